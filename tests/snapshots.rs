//! Snapshots through the library: swapped under load, rolled back, gated, kept, carried to another machine.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;
#[path = "support/turning.rs"]
mod turning;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use savor::{
    Engine, Event, Gate, HalfLife, ModelKind, Progress, Query, SnapshotState, Step, TrainConfig, TrainOptions,
};
use support::{config, item, time, world};
use turning::turning;

fn train_with_seed(engine: &Engine, seed: u64) -> savor::SnapshotId {
    let train = TrainConfig { seed, ..config().train };
    engine.train(&TrainOptions { train: Some(train), measure: false, ..TrainOptions::default() }).unwrap()
}

#[test]
fn a_hundred_swaps_under_load_never_fail_and_never_mix() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let ids = [train_with_seed(&engine, 1), train_with_seed(&engine, 2)];
    let users: Vec<_> = (0..16).map(|user| Query::for_user(format!("u{user}"))).collect();
    let mut expected = HashMap::new();
    for id in ids {
        engine.activate(id).unwrap();
        for (place, query) in users.iter().enumerate() {
            expected.insert((id, place), engine.recommend(query).unwrap().items);
        }
    }
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for first in 0..3 {
            let (engine, users, expected, stop, asked) = (&engine, &users, &expected, &stop, &asked);
            scope.spawn(move || {
                for place in (0..users.len()).cycle().skip(first) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let answer = engine.recommend(&users[place]).unwrap();
                    assert_eq!(expected[&(answer.snapshot.unwrap(), place)], answer.items);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for swap in 0..100 {
            let before = asked.load(Ordering::Relaxed);
            engine.activate(ids[swap % 2]).unwrap();
            while asked.load(Ordering::Relaxed) < before + 3 {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_training_finds_how_events_fade_and_the_snapshot_keeps_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut measuring = config();
    measuring.events.half_life = HalfLife::Auto;
    let engine = turning(dir.path(), measuring);
    let faded = |engine: &Engine, id| engine.snapshot(id).unwrap().faded.unwrap();
    let options = TrainOptions { ranker: false, ..TrainOptions::default() };
    let id = engine.train(&options).unwrap();
    engine.activate(id).unwrap();
    let found = faded(&engine, id);
    assert!(found.half_life.is_some() && found.found_in == Some(3_200), "{found:?}");
    // The same without measuring, and what a warm start takes over.
    let unmeasured = engine.train(&TrainOptions { measure: false, ..options.clone() }).unwrap();
    assert!(faded(&engine, unmeasured).half_life.is_some());
    let more: Vec<Event> = (0..10).map(|step| Event::new("u1", item(2, step), "click").at(time(4_000))).collect();
    engine.append_events(&more).unwrap();
    let warm = TrainConfig { warm_start: true, ..config().train };
    let warm = engine.train(&TrainOptions { train: Some(warm), ..options.clone() }).unwrap();
    assert_eq!(faded(&engine, warm), found);

    // What is configured counts from the next training on: until then histories fade as the snapshot's did.
    let explained = |engine: &Engine| {
        let answer = engine.recommend(&Query::for_user("u7").explain()).unwrap();
        answer.items.into_iter().map(|item| (item.item, item.score, item.because)).collect::<Vec<_>>()
    };
    let before = explained(&engine);
    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    assert_eq!(explained(&engine), before);
    let id = engine.train(&options).unwrap();
    assert_eq!((faded(&engine, id).half_life, faded(&engine, id).found_in), (None, None));
    engine.activate(id).unwrap();
    assert_ne!(explained(&engine), before);
}

#[test]
fn a_warm_start_saves_epochs_and_hands_on_what_is_enough() {
    #[derive(Default)]
    struct Epochs(AtomicUsize);
    impl Progress for Epochs {
        fn report(&self, step: &Step) {
            if let Step::Epoch { epoch, .. } = step {
                self.0.store(*epoch, Ordering::Relaxed);
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let train = |epochs, warm_start| {
        let train = TrainConfig { model: ModelKind::Ials, epochs, warm_start, ..config().train };
        let gone_through = Epochs::default();
        let options = TrainOptions { train: Some(train), measure: false, ..TrainOptions::default() };
        let id = engine.train_with(&options, &gone_through).unwrap();
        engine.activate(id).unwrap();
        (gone_through.0.into_inner(), engine.snapshot(id).unwrap().last_gain)
    };
    let (cold, enough) = train(8, true);
    assert!(cold == 8 && enough.is_some(), "there was nothing to begin from");
    for event in 0..5 {
        engine.append_events(&[Event::new(format!("u{event}"), item(0, event), "click").at(time(10_000))]).unwrap();
        let (warm, handed_on) = train(8, true);
        assert!((2..8).contains(&warm), "{warm}");
        assert_eq!(handed_on, enough);
    }
    assert_eq!(train(30, true).0, 30, "the one before was not trained as long as is asked for now");
    assert_eq!(train(8, false).0, 8);
}

#[test]
fn roll_back_returns_to_the_snapshot_before() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    assert_eq!(engine.rollback().unwrap_err().code(), "conflict");
    let ids: Vec<_> = (0..3).map(|seed| train_with_seed(&engine, seed)).collect();
    ids.iter().for_each(|id| engine.activate(*id).unwrap());
    assert_eq!(engine.rollback().unwrap(), ids[1]);
    assert_eq!(engine.rollback().unwrap(), ids[0]);
    assert_eq!(engine.rollback().unwrap_err().code(), "conflict");
    drop(engine);
    let reopened = Engine::open(dir.path(), config()).unwrap();
    assert_eq!(reopened.active_snapshot(), Some(ids[0]));
}

#[test]
fn only_the_newest_snapshots_stay_and_their_files_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    for seed in 0..6 {
        let id = train_with_seed(&engine, seed);
        engine.activate(id).unwrap();
    }
    let kept: Vec<_> = engine.snapshots().unwrap().into_iter().map(|manifest| manifest.id.0).collect();
    assert_eq!(kept.len(), engine.config().snapshot.keep);
    let files = std::fs::read_dir(dir.path().join("index")).unwrap().count();
    assert_eq!(files, 2 * kept.len());
}

#[test]
fn a_worse_model_does_not_pass_the_gate() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let good = engine.train(&TrainOptions::default()).unwrap();
    engine.activate_if(good, &Gate::no_worse("ndcg@10", 0.0)).unwrap();
    let train = TrainConfig { model: ModelKind::Ials, dimension: 1, epochs: 1, regularization: 1e6, ..config().train };
    let bad = engine.train(&TrainOptions { train: Some(train), ..TrainOptions::default() }).unwrap();
    let error = engine.activate_if(bad, &Gate::no_worse("ndcg@10", 0.0)).unwrap_err();
    assert_eq!(error.code(), "gate_failed", "{error}");
    assert_eq!(engine.active_snapshot(), Some(good));
    assert_eq!(engine.snapshot(bad).unwrap().state, SnapshotState::Rejected);
}

#[test]
fn a_bundle_gives_the_same_answers_on_another_machine() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = world(here.path());
    let id = train_with_seed(&engine, 1);
    engine.activate(id).unwrap();
    let bundle = here.path().join("model.bundle");
    engine.export_snapshot(id, &bundle).unwrap();

    let other = Engine::open(there.path(), config()).unwrap();
    // Dense ids differ there: another item came first, and the events come in another order.
    other.append_events(&[Event::new("zed", item(3, 19), "click")]).unwrap();
    let mut events = support::events();
    events.reverse();
    other.append_events(&events).unwrap();
    let imported = other.import_snapshot(&bundle).unwrap();
    other.activate(imported).unwrap();
    for user in 0..support::USERS {
        let query = Query::for_user(format!("u{user}")).explain();
        let (a, b) = (engine.recommend(&query).unwrap(), other.recommend(&query).unwrap());
        for (a, b) in a.items.iter().zip(&b.items) {
            assert!((a.score - b.score).abs() < 1e-4, "{a:?} {b:?}");
        }
    }
}

#[test]
fn a_bundle_is_taken_also_when_an_item_was_deleted_before_its_export() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = world(here.path());
    let id = train_with_seed(&engine, 1);
    engine.delete_item(&item(0, 0)).unwrap();
    let bundle = here.path().join("model.bundle");
    engine.export_snapshot(id, &bundle).unwrap();
    let other = world(there.path());
    let imported = other.import_snapshot(&bundle).unwrap();
    other.activate(imported).unwrap();
    let answer = other.recommend(&Query::for_session([item(0, 1), item(0, 2)]).limit(100)).unwrap();
    assert!(answer.items.iter().any(|found| found.source == savor::Source::FoldIn));
}

#[test]
fn rejected_snapshots_neither_pile_up_nor_displace_the_ones_that_served() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let good: Vec<_> = (0..2).map(|_| engine.train(&TrainOptions::default()).unwrap()).collect();
    good.iter().for_each(|id| engine.activate(*id).unwrap());
    for seed in 0..4 {
        let train = TrainConfig {
            model: ModelKind::Ials,
            dimension: 1,
            epochs: 1,
            regularization: 1e6,
            seed,
            ..config().train
        };
        let bad = engine.train(&TrainOptions { train: Some(train), ..TrainOptions::default() }).unwrap();
        assert_eq!(engine.activate_if(bad, &Gate::no_worse("ndcg@10", 0.0)).unwrap_err().code(), "gate_failed");
    }
    assert_eq!(engine.snapshots().unwrap().len(), 3);
    assert_eq!(engine.rollback().unwrap(), good[0]);
}

#[test]
fn a_damaged_bundle_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let id = train_with_seed(&engine, 1);
    let bundle = dir.path().join("model.bundle");
    engine.export_snapshot(id, &bundle).unwrap();
    let whole = std::fs::read(&bundle).unwrap();
    for place in (0..whole.len()).step_by(whole.len() / 23) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        std::fs::write(&bundle, &bytes).unwrap();
        let error = engine.import_snapshot(&bundle).unwrap_err();
        assert!(["corrupt", "newer_format"].contains(&error.code()), "byte {place}: {error}");
    }
    std::fs::write(&bundle, &whole[..whole.len() - 9]).unwrap();
    assert_eq!(engine.import_snapshot(&bundle).unwrap_err().code(), "corrupt");
    assert_eq!(engine.snapshots().unwrap().len(), 1);
}

#[test]
fn a_damaged_index_falls_back_to_the_snapshot_before() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let ids = [train_with_seed(&engine, 1), train_with_seed(&engine, 2)];
    ids.iter().for_each(|id| engine.activate(*id).unwrap());
    drop(engine);
    let index = dir.path().join("index").join(ids[1].to_string());
    let mut bytes = std::fs::read(&index).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&index, bytes).unwrap();
    let reopened = Engine::open(dir.path(), config()).unwrap();
    assert_eq!(reopened.active_snapshot(), Some(ids[0]));
    let findings = reopened.check().unwrap();
    assert!(
        findings.iter().any(|finding| !finding.ok && finding.check == format!("snapshot {}", ids[1])),
        "{findings:?}"
    );
}

#[test]
fn a_cancelled_training_leaves_nothing() {
    struct Stop;
    impl savor::Progress for Stop {
        fn report(&self, _: &savor::Step) {}
        fn cancelled(&self) -> bool {
            true
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let error = engine.train_with(&TrainOptions::default(), &Stop).unwrap_err();
    assert_eq!(error.code(), "cancelled");
    assert!(engine.snapshots().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(dir.path().join("index")).unwrap().count(), 0);
}

#[test]
fn training_without_events_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), config()).unwrap();
    let error = engine.train(&TrainOptions::default()).unwrap_err();
    assert_eq!(error.code(), "no_data", "{error}");
    assert!(engine.snapshots().unwrap().is_empty());
}
