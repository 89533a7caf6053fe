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

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use savor::{
    Config, Engine, Event, ExcludeSeen, Filter, Item, JobState, ModelKind, Query, SnapshotId, SnapshotState, Source,
    TrainOptions,
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
