//! What a data directory promises: one engine at a time, nothing of other programs touched, the same after a reopening,
//! a backup that restores.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use savor::{Config, Engine, Event, Query, TrainOptions, Until};
use support::{config, world};

#[test]
fn a_directory_opens_once_and_tells_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), config()).unwrap();
    engine.announce("http://127.0.0.1:8380").unwrap();
    let error = Engine::open(dir.path(), config()).err().unwrap();
    assert_eq!(error.code(), "locked");
    assert!(error.to_string().contains("http://127.0.0.1:8380"), "{error}");
    assert_eq!(Engine::holder(dir.path()).unwrap().pid, std::process::id());
    drop(engine);
    assert!(Engine::holder(dir.path()).is_none());
    Engine::open(dir.path(), config()).unwrap();
}

#[test]
fn a_directory_of_another_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let error = Engine::open(dir.path(), Config::default()).err().unwrap();
    assert_eq!(error.code(), "not_savor", "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn everything_is_there_after_a_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let id = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(id).unwrap();
    let before = (engine.stats().unwrap(), engine.recommend(&Query::for_user("u1")).unwrap().items);
    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    let after = engine.stats().unwrap();
    assert_eq!((after.users, after.items, after.events), (before.0.users, before.0.items, before.0.events));
    assert_eq!(after.active_snapshot, Some(id));
    assert_eq!(engine.recommend(&Query::for_user("u1")).unwrap().items, before.1);
}

#[test]
fn an_event_sent_twice_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let events = support::events();
    let again = engine.append_events(&events).unwrap();
    assert_eq!((again.stored, again.known), (0, events.len() as u64));
    assert_eq!(engine.stats().unwrap().events, events.len() as u64);
}

#[test]
fn a_bad_event_in_a_batch_stores_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), config()).unwrap();
    let error = engine.append_events(&[Event::new("u", "i", "click"), Event::new("u", "", "click")]).unwrap_err();
    assert_eq!(error.to_string(), "events[1].item: is empty, expected an id");
    assert_eq!(engine.stats().unwrap().events, 0);
}

#[test]
fn a_backup_taken_while_writing_restores_and_answers() {
    let parent = tempfile::tempdir().unwrap();
    let (data, backup, restored) =
        (parent.path().join("data"), parent.path().join("copy"), parent.path().join("again"));
    let engine = world(&data);
    let id = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(id).unwrap();
    let answer = engine.recommend(&Query::for_user("u1")).unwrap().items;
    engine.backup(&backup).unwrap();
    engine.append_events(&[Event::new("late", "g0-0", "click")]).unwrap();
    let again = engine.backup(&backup).unwrap();
    assert_eq!(again.generation, 2, "a backup never overwrites");

    Engine::restore_until(&backup, &restored, Until::Generation(1)).unwrap();
    let copy = Engine::open(&restored, config()).unwrap();
    assert_eq!(copy.active_snapshot(), Some(id));
    assert_eq!(copy.recommend(&Query::for_user("u1")).unwrap().items, answer);
    assert!(copy.user("late").unwrap().is_none());
    assert!(Engine::restore(&backup, &data).is_err(), "a restore never overwrites");
}
