//! What older Savors wrote is still read.
//!
//! `tests/golden/v1` was written by the last build of format 1: 24 users and items,
//! three snapshots of iALS (the third active, by a background job), the first of them as a bundle, and the answers that
//! it gave (`answers.jsonl`: user, the best five with their scores, the parts of the first score).
//!
//! `tests/golden/v2` was written by the last build of format 2: 24 users, 24 items with metadata, two snapshots of iALS (the
//! second active), the first of them as a bundle, and the answers that it gave to filters (`answers.jsonl`: user, filter, the
//! best five of all items that pass, with their scores).
//!
//! `tests/golden/v3` was written by the last build of format 3: 24 users and items, 288 events with dwell times and values, a
//! deleted user, a deleted item, a visitor who was merged into `u2`, two snapshots of iALS (the second active), and the
//! answers that it gave (`answers.jsonl`: user, the best five with their scores).
//!
//! `tests/golden/v4`, and whatever comes after it, is written by [`written`]: `tests/golden/README.md` says how.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use savor::{
    Config, DATA_FORMAT, Engine, Event, ExcludeSeen, Filter, Item, JobState, ModelKind, Query, Ranker, RankerQuestion,
    Scenario, SnapshotId, SnapshotState, Source, Timestamp, TrainOptions, User, UserExport,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    user: String,
    items: Vec<(String, f64)>,
    because: Vec<(String, f64)>,
}

fn config() -> Config {
    Config::from_toml(
        "[train]\ndimension = 4\nepochs = 6\n[store]\ndurability = \"async\"\n[evaluate]\nbootstrap = 20\n",
    )
    .unwrap()
}

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn opened(version: &str, dir: &Path) -> Engine {
    copy(&golden(version).join("data"), dir);
    Engine::open(dir, config()).unwrap()
}

fn check_answers(engine: &Engine) {
    for line in std::fs::read_to_string(golden("v1").join("answers.jsonl")).unwrap().lines() {
        let line: Line = serde_json::from_str(line).unwrap();
        let plain = engine.recommend(&Query::for_user(&line.user).limit(5)).unwrap();
        assert_eq!(plain.degraded, None);
        for (found, (item, score)) in plain.items.iter().zip(&line.items) {
            assert_eq!((&found.item, found.source), (item, Source::Personal));
            assert!((found.score - score).abs() < 1e-6, "{found:?}, expected {score}");
        }
        let explained = engine.recommend(&Query::for_user(&line.user).limit(5).explain()).unwrap();
        let parts = explained.items[0].because.as_ref().unwrap();
        assert_eq!(parts.len(), line.because.len());
        for (part, (item, weight)) in parts.iter().zip(&line.because) {
            assert_eq!(&part.item, item);
            assert!((part.weight - weight).abs() < 1e-5, "{part:?}, expected {weight}");
        }
    }
}

#[test]
fn a_directory_of_format_1_answers_as_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let engine = opened("v1", dir.path());
    assert_eq!(engine.active_snapshot(), Some(SnapshotId(3)));
    check_answers(&engine);
    let first = engine.snapshot(SnapshotId(1)).unwrap();
    assert_eq!((first.state, first.train.model, first.train.dimension), (SnapshotState::Retired, ModelKind::Ials, 4));
    assert!(first.metric("ndcg@10").is_some() && first.index.is_some());
    let job = engine.job(1).unwrap();
    assert_eq!((job.state, job.snapshot), (JobState::Done, Some(SnapshotId(3))));
    assert!(engine.check().unwrap().iter().all(|finding| finding.ok));

    drop(engine);
    check_answers(&Engine::open(dir.path(), config()).unwrap());
}

#[test]
fn a_directory_of_format_1_goes_on_learning_and_can_roll_back() {
    let dir = tempfile::tempdir().unwrap();
    let engine = opened("v1", dir.path());
    engine.append_events(&[Event::new("u0", "g0-4", "click")]).unwrap();
    let fresh = engine.recommend(&Query::for_user("u0")).unwrap();
    assert!(fresh.items.iter().all(|item| item.source == Source::FoldIn && item.item != "g0-4"), "{fresh:?}");
    let new = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(new).unwrap();
    assert_eq!(engine.recommend(&Query::for_user("u1")).unwrap().snapshot, Some(new));
    assert_eq!(engine.rollback().unwrap(), SnapshotId(3));
    assert_eq!(engine.recommend(&Query::for_user("u1")).unwrap().items[0].item, "g1-5");
}

#[test]
fn a_bundle_of_format_1_is_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), config()).unwrap();
    let id = engine.import_snapshot(golden("v1").join("model.bundle")).unwrap();
    engine.activate(id).unwrap();
    assert_eq!(engine.snapshot(id).unwrap().train.model, ModelKind::Ials);
    let answer = engine.recommend(&Query::for_session(["g1-1", "g1-2"]).limit(3)).unwrap();
    assert_eq!((answer.degraded, answer.items[0].source), (None, Source::FoldIn));
}

#[derive(Deserialize)]
struct Filtered {
    user: String,
    filter: Filter,
    items: Vec<(String, f64)>,
}

fn check_filters(engine: &Engine) {
    for line in std::fs::read_to_string(golden("v2").join("answers.jsonl")).unwrap().lines() {
        let line: Filtered = serde_json::from_str(line).unwrap();
        let mut query = Query::for_user(&line.user).limit(5).filter(line.filter);
        query.exclude_seen = ExcludeSeen::All(false);
        let answer = engine.recommend(&query).unwrap();
        let personal: Vec<_> = answer.items.iter().filter(|item| item.source == Source::Personal).collect();
        assert_eq!(personal.len(), line.items.len(), "{query:?}");
        for (found, (item, score)) in personal.into_iter().zip(&line.items) {
            assert_eq!(&found.item, item, "{query:?}");
            assert!((found.score - score).abs() < 1e-6, "{found:?}, expected {score}");
        }
    }
}

#[test]
fn a_directory_of_format_2_gets_an_item_index_that_answers_as_the_items_did() {
    let dir = tempfile::tempdir().unwrap();
    let engine = opened("v2", dir.path());
    assert_eq!(engine.active_snapshot(), Some(SnapshotId(2)));
    check_filters(&engine);
    assert!(engine.check().unwrap().iter().all(|finding| finding.ok));
    // What was indexed by the migration is taken out of the index like anything else.
    let cheap: Filter = serde_json::from_str(r#"{"must":[{"key":"price","range":{"lt":-3}}]}"#).unwrap();
    let all =
        |filter: &Filter| engine.recommend(&Query::for_user("nobody").filter(filter.clone())).unwrap().items.len();
    assert_eq!(all(&cheap), 1, "of g0-0 and g0-1 the first is hidden");
    engine.put_items(&[Item::new("g0-1")]).unwrap();
    assert_eq!(all(&cheap), 0);

    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    assert_eq!(engine.recommend(&Query::for_user("nobody").filter(cheap)).unwrap().items.len(), 0);
}

#[test]
fn a_bundle_of_format_2_is_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), config()).unwrap();
    let id = engine.import_snapshot(golden("v2").join("model.bundle")).unwrap();
    engine.activate(id).unwrap();
    let answer = engine.recommend(&Query::for_session(["g1-1", "g1-2"]).limit(3)).unwrap();
    assert_eq!((answer.degraded, answer.items[0].source), (None, Source::FoldIn));
}

#[derive(Deserialize)]
struct Plain {
    user: String,
    items: Vec<(String, f64)>,
}

#[test]
fn a_directory_of_format_3_gets_its_events_counted_and_answers_as_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let engine = opened("v3", dir.path());
    for line in std::fs::read_to_string(golden("v3").join("answers.jsonl")).unwrap().lines() {
        let line: Plain = serde_json::from_str(line).unwrap();
        let answer = engine.recommend(&Query::for_user(&line.user).limit(5)).unwrap();
        let found: Vec<_> = answer.items.iter().map(|item| item.item.clone()).collect();
        assert_eq!(found, line.items.iter().map(|(item, _)| item.clone()).collect::<Vec<_>>());
    }
    assert!(engine.check().unwrap().iter().all(|finding| finding.ok));
    // What was counted by the migration goes on being counted, and goes with its user.
    engine.append_events(&[Event::new("u2", "g1-1", "view")]).unwrap();
    engine.delete_user("u3").unwrap();
    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    assert!(engine.check().unwrap().iter().all(|finding| finding.ok));
}

/// Something of everything that a directory can hold: users and items with attributes and vectors, events with all fields, a
/// deleted user, a deleted item, a merged visitor, exposures, a scenario, an experiment, a job, two snapshots with the second
/// active, a roll-back target, a pending purge.
fn written(dir: &Path) {
    let engine = Engine::open(dir, config()).unwrap();
    let items: Vec<Item> = (0..24)
        .map(|number| {
            let mut item = Item::new(format!("g{}-{}", number % 2, number / 2));
            item.categories = vec![format!("group{}", number % 2)];
            item.attributes.insert("price".into(), (number as f64 - 4.5).into());
            item.attributes.insert("title".into(), format!("Item {number}").into());
            item.vectors.insert("image".into(), vec![number as f32, 1.0]);
            item.hidden = number == 23;
            item
        })
        .collect();
    engine.put_items(&items).unwrap();
    let users: Vec<User> = (0..24)
        .map(|number| {
            let mut user = User::new(format!("u{number}"));
            user.attributes.insert("town".into(), if number % 2 == 0 { "even" } else { "odd" }.into());
            user
        })
        .collect();
    engine.put_users(&users).unwrap();
    let events: Vec<Event> = (0..288i64)
        .map(|number| {
            let (user, round) = (number % 24, number / 24);
            let item = format!("g{}-{}", user % 2, (user / 2 + round) % 12);
            let time = Timestamp::from_millis(1_767_225_600_000 + number * 60_000).unwrap();
            let mut event = Event::new(format!("u{user}"), item, if round % 3 == 0 { "buy" } else { "view" }).at(time);
            event.value = (round % 3 == 0).then_some(number as f64 / 4.0);
            event.dwell_ms = Some(1_000 + number as u64);
            event.session = Some(format!("s{round}"));
            event.id = (round == 5).then(|| format!("e{number}"));
            event.context.insert("device".into(), "phone".into());
            event
        })
        .collect();
    engine.append_events(&events).unwrap();
    engine.append_events(&[Event::new("visitor", "g1-3", "view").at(events[0].time.unwrap())]).unwrap();
    engine.merge_users("u2", "visitor").unwrap();
    engine.delete_item("g1-11").unwrap();
    let first = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(first).unwrap();
    let job = engine.start_training(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap();
    engine.wait_for_job(job.id).unwrap();
    engine.activate(engine.snapshots().unwrap()[0].id).unwrap();
    let scenario: Scenario = serde_json::from_str(r#"{"description":"the first page"}"#).unwrap();
    engine.put_scenario("home", scenario, None).unwrap();
    let design = serde_json::from_str(r#"{"variants":[{"name":"A"},{"name":"B","query":{"limit":4}}]}"#).unwrap();
    engine.put_experiment("trial", &design).unwrap();
    engine.keep_exposures().unwrap();
    engine.recommend(&Query::for_user("u2").limit(3)).unwrap();
    engine.set_ranker(Some(Arc::new(Backwards)));
    engine.recommend(&Query::for_user("u2").limit(3)).unwrap();
    engine.set_ranker(None);
    engine.flush_exposures();
    engine.delete_user("u3").unwrap();
}

/// The files of a directory that matter: no lock, no log of RocksDB's, none of its options.
fn keep_what_matters(dir: &Path) {
    std::fs::remove_file(dir.join("LOCK")).unwrap();
    for entry in std::fs::read_dir(dir.join("rocksdb")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "LOCK" || name.starts_with("LOG") || name.starts_with("OPTIONS") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// The last becomes the first.
struct Backwards;

impl Ranker for Backwards {
    fn score(&self, question: &RankerQuestion<'_>) -> savor::Result<Vec<f32>> {
        Ok((0..question.items.len()).map(|place| place as f32).collect())
    }
}

#[derive(Deserialize, serde::Serialize)]
struct Golden {
    /// Each user's best five, with their scores.
    answers: Vec<(String, Vec<(String, f64)>)>,
    /// All that is known of one.
    known: UserExport,
    users: u64,
    items: u64,
    events: u64,
}

fn seen(engine: &Engine) -> Golden {
    let users = (0..24).filter(|number| *number != 3).map(|number| format!("u{number}"));
    let best = |user: String| {
        let answer = engine.recommend(&Query::for_user(&user).limit(5)).unwrap();
        (user, answer.items.into_iter().map(|item| (item.item, item.score)).collect())
    };
    let answers = users.map(best).collect();
    let stats = engine.stats().unwrap();
    let known = engine.export_user("u2", true).unwrap();
    Golden { answers, known, users: stats.users, items: stats.items, events: stats.events }
}

#[test]
fn every_format_from_4_on_has_a_golden_directory_that_answers_as_it_did() {
    for version in 4..=DATA_FORMAT {
        let name = format!("v{version}");
        let golden_file = golden(&name).join("seen.json");
        if version == DATA_FORMAT && !golden_file.exists() && std::env::var_os("SAVOR_BLESS").is_some() {
            written(&golden(&name).join("data"));
            let engine = Engine::open(golden(&name).join("data"), config()).unwrap();
            std::fs::write(&golden_file, serde_json::to_string_pretty(&seen(&engine)).unwrap()).unwrap();
            engine.export_snapshot(SnapshotId(1), golden(&name).join("model.bundle")).unwrap();
            drop(engine);
            keep_what_matters(&golden(&name).join("data"));
        }
        let text = std::fs::read_to_string(&golden_file).unwrap_or_else(|_| {
            panic!("format {version} has no golden directory; tests/golden/README.md says how to make one")
        });
        let expected: Golden = serde_json::from_str(&text).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let engine = opened(&name, dir.path());
        let found = seen(&engine);
        assert_eq!((found.users, found.items, found.events), (expected.users, expected.items, expected.events));
        assert_eq!((found.users, found.events), (23, 277), "{name}");
        for ((user, best), (_, expected)) in found.answers.iter().zip(&expected.answers) {
            for ((item, score), (expected_item, expected_score)) in best.iter().zip(expected) {
                assert_eq!(item, expected_item, "{user}");
                assert!((score - expected_score).abs() < 1e-6, "{user}: {score}, expected {expected_score}");
            }
            assert_eq!(best.len(), expected.len());
        }
        assert_eq!(UserExport { time: expected.known.time, ..found.known }, expected.known);
        assert!(engine.check().unwrap().into_iter().chain(engine.verify().unwrap()).all(|finding| finding.ok));
        assert_eq!(engine.scenario("home").unwrap().version, 1);
        assert_eq!(engine.experiment("trial").unwrap().design.variants.len(), 2);
        assert!(engine.pending_purge().unwrap().is_some());
        assert_eq!(engine.purge().unwrap().waits_for, None);
        assert!(engine.verify().unwrap().iter().all(|finding| finding.ok));
        assert_eq!(engine.rollback().unwrap(), SnapshotId(1));
        let other = tempfile::tempdir().unwrap();
        let taker = Engine::open(other.path(), config()).unwrap();
        let taken = taker.import_snapshot(golden(&name).join("model.bundle")).unwrap();
        taker.activate(taken).unwrap();
        assert_eq!(taker.recommend(&Query::for_session(["g1-1"]).limit(3)).unwrap().degraded, None);
    }
}

#[test]
fn a_directory_of_any_format_agrees_with_itself_after_its_migration() {
    for version in ["v1", "v2", "v3", "v4", "v5"] {
        let dir = tempfile::tempdir().unwrap();
        let engine = opened(version, dir.path());
        let bad: Vec<_> = engine.verify().unwrap().into_iter().filter(|finding| !finding.ok).collect();
        assert_eq!(bad, [], "{version}");
    }
}
