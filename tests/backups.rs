//! Backups: generations that cost what has changed, that are checked before they are believed, and moments between them.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use savor::{Config, Engine, Event, Query, Span, TenantSettings, Tenants, Timestamp, TrainOptions, Until};
use support::{config, item, time, world};

struct Place {
    parent: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { parent: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.parent.path().join(name)
    }

    /// A directory that keeps its log.
    fn logging(&self) -> Engine {
        let mut config = config();
        config.store.log_retention = Span::days(1);
        let engine = Engine::open(self.path("data"), config).unwrap();
        engine.append_events(&support::events()).unwrap();
        engine
    }

    fn restored(&self, name: &str, until: Until) -> Engine {
        Engine::restore_until(self.path("backup"), self.path(name), until).unwrap();
        Engine::open(self.path(name), config()).unwrap()
    }
}

fn click(number: i64) -> Event {
    Event::new("writer", item(0, number as usize % 20), "click").at(time(10_000 + number))
}

fn clicks(engine: &Engine) -> usize {
    engine.user_events("writer", 999).map_or(0, |events| events.len())
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn each_generation_restores_what_was_there_and_costs_what_has_changed() {
    let place = Place::new();
    let engine = world(&place.path("data"));
    let snapshot = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(snapshot).unwrap();
    let first = engine.backup(place.path("backup")).unwrap();
    assert_eq!((first.generation, first.events, first.new_bytes), (1, 800, first.bytes));
    engine.append_events(&[click(1)]).unwrap();
    let second = engine.backup(place.path("backup")).unwrap();
    // A table of one event and the few small files that RocksDB writes anew.
    assert_eq!((second.generation, second.events), (2, 801));
    assert!(second.new_bytes * 4 < second.bytes, "{second:?}");
    assert_eq!(Engine::backups(place.path("backup")).unwrap(), [first, second]);
    let (files, bytes) = Engine::verify_backup(place.path("backup")).unwrap();
    assert!(files > 10 && bytes > 10_000);
    let answer = engine.recommend(&Query::for_user("u1")).unwrap().items;
    drop(engine);
    for (number, events) in [(1, 800), (2, 801)] {
        let copy = place.restored(&format!("copy{number}"), Until::Generation(number));
        assert_eq!(copy.stats().unwrap().events, events);
        assert_eq!(copy.active_snapshot(), Some(snapshot));
        assert_eq!(copy.recommend(&Query::for_user("u1")).unwrap().items, answer);
        assert!(copy.verify().unwrap().iter().all(|finding| finding.ok));
    }
    let missing = Engine::restore_until(place.path("backup"), place.path("copy3"), Until::Generation(3)).unwrap_err();
    assert_eq!(missing.code(), "not_found", "{missing}");
    assert!(!place.path("copy3").exists());
}

#[test]
fn what_is_pruned_takes_along_what_only_it_had() {
    let place = Place::new();
    let engine = world(&place.path("data"));
    for number in 0..4 {
        engine.append_events(&[click(number)]).unwrap();
        engine.backup(place.path("backup")).unwrap();
    }
    let objects = || files(&place.path("backup/objects")).len();
    let before = objects();
    assert_eq!(Engine::prune_backup(place.path("backup"), 2).unwrap(), 2);
    assert!(objects() < before);
    let left: Vec<_> = Engine::backups(place.path("backup")).unwrap().iter().map(|of| of.generation).collect();
    assert_eq!(left, [3, 4]);
    Engine::verify_backup(place.path("backup")).unwrap();
    assert_eq!(clicks(&place.restored("copy", Until::Generation(3))), 3);
    assert_eq!(engine.backup(place.path("backup")).unwrap().generation, 5, "no number is given twice");
    assert_eq!(Engine::prune_backup(place.path("backup"), 0).unwrap(), 2, "one stays");
}

#[test]
fn a_damaged_or_missing_file_is_named_and_nothing_of_it_becomes_visible() {
    let place = Place::new();
    let engine = world(&place.path("data"));
    engine.backup(place.path("backup")).unwrap();
    let largest =
        files(&place.path("backup/objects")).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let good = std::fs::read(&largest).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let name = largest.file_name().unwrap().to_str().unwrap().to_owned();
    let refused = || {
        let restore = || Engine::restore(place.path("backup"), place.path("copy")).unwrap_err();
        for error in [restore(), Engine::verify_backup(place.path("backup")).unwrap_err(), restore()] {
            assert_eq!(error.code(), "corrupt");
            assert!(error.to_string().contains(&name) && error.to_string().contains("another generation"), "{error}");
        }
        // Nor is anything half-made left beside it.
        let mut names: Vec<_> = files(place.parent.path());
        names.retain(|path| path.file_name().unwrap() != "data" && path.file_name().unwrap() != "backup");
        assert_eq!(names, Vec::<PathBuf>::new());
    };
    for damaged in [Some(flipped.as_slice()), good.get(1..), None] {
        match damaged {
            Some(bytes) => std::fs::write(&largest, bytes).unwrap(),
            None => std::fs::remove_file(&largest).unwrap(),
        }
        refused();
        // Another generation brings the bytes again, for those before it, too.
        engine.backup(place.path("backup")).unwrap();
        Engine::verify_backup(place.path("backup")).unwrap();
    }
    Engine::restore_until(place.path("backup"), place.path("copy"), Until::Generation(1)).unwrap();
    Engine::prune_backup(place.path("backup"), 9).unwrap();
    assert!(files(&place.path("backup/objects")).iter().all(|path| path.extension().is_none()), "what was put aside");
}

#[test]
fn a_file_that_is_read_again_takes_the_place_of_a_damaged_one() {
    let place = Place::new();
    let engine = world(&place.path("data"));
    engine.backup(place.path("backup")).unwrap();
    for object in files(&place.path("backup/objects")) {
        let mut bytes = std::fs::read(&object).unwrap();
        if let Some(first) = bytes.first_mut() {
            *first ^= 1;
        }
        std::fs::write(&object, bytes).unwrap();
    }
    // By another time they are other files.
    for file in files(&place.path("data/rocksdb")).iter().filter(|file| file.is_file()) {
        std::fs::File::open(file).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    engine.backup(place.path("backup")).unwrap();
    Engine::restore(place.path("backup"), place.path("copy")).unwrap();
}

#[test]
fn what_a_training_is_still_writing_is_in_no_generation() {
    let place = Place::new();
    let engine = world(&place.path("data"));
    engine.activate(engine.train(&TrainOptions::default()).unwrap()).unwrap();
    for unfinished in [".index-Ab3dEf.tmp", ".tmpGh1jKl", "7.parts.tmp"] {
        std::fs::write(place.path("data/index").join(unfinished), "half").unwrap();
    }
    engine.backup(place.path("backup")).unwrap();
    let held = std::fs::read_to_string(&files(&place.path("backup/generations"))[0]).unwrap();
    assert!(held.contains("\"index/1\"") && held.contains("\"index/1.parts\""), "{held}");
    assert!(!held.contains("tmp"), "{held}");
}

#[test]
fn what_a_crash_leaves_in_a_backup_is_neither_believed_nor_kept() {
    let place = Place::new();
    let engine = world(&place.path("data"));
    engine.backup(place.path("backup")).unwrap();
    // A copy that was cut off, an object that no generation names, a generation that has no name yet, a checkpoint.
    std::fs::write(place.path("backup/objects/.new-abc"), "half").unwrap();
    std::fs::write(place.path("backup/objects").join("0".repeat(32)), "nobody's").unwrap();
    std::fs::write(place.path("backup/generations/.new-def"), "{").unwrap();
    std::fs::create_dir(place.path("data/.checkpoint-xyz")).unwrap();
    assert_eq!(Engine::backups(place.path("backup")).unwrap().len(), 1);
    Engine::restore(place.path("backup"), place.path("copy")).unwrap();
    assert_eq!(engine.backup(place.path("backup")).unwrap().generation, 2);
    assert_eq!(Engine::prune_backup(place.path("backup"), 9).unwrap(), 0);
    let names: Vec<_> = files(&place.path("backup/objects"));
    assert!(names.iter().all(|path| !path.ends_with(".new-abc") && !path.ends_with("0".repeat(32))));
    assert_eq!(files(&place.path("backup/generations")).len(), 2);
    drop(engine);
    drop(Engine::open(place.path("data"), config()).unwrap());
    assert!(!place.path("data/.checkpoint-xyz").exists());
}

#[test]
fn a_backup_goes_nowhere_where_something_else_is_and_a_restore_overwrites_nothing() {
    let place = Place::new();
    let engine = world(&place.path("data"));
    std::fs::create_dir(place.path("notes")).unwrap();
    std::fs::write(place.path("notes/mine.txt"), "mine").unwrap();
    assert_eq!(engine.backup(place.path("notes")).unwrap_err().code(), "conflict");
    assert_eq!(files(&place.path("notes")).len(), 1);
    assert_eq!(Engine::backups(place.path("notes")).unwrap_err().code(), "not_savor");
    engine.backup(place.path("backup")).unwrap();
    for taken in ["data", "notes"] {
        assert_eq!(Engine::restore(place.path("backup"), place.path(taken)).unwrap_err().code(), "conflict");
    }
    std::fs::create_dir(place.path("empty")).unwrap();
    Engine::restore(place.path("backup"), place.path("empty")).unwrap();
}

#[test]
fn a_plain_copy_of_a_directory_is_a_backup_too() {
    let place = Place::new();
    drop(world(&place.path("data")));
    Engine::restore(place.path("data"), place.path("copy")).unwrap();
    assert_eq!(Engine::open(place.path("copy"), config()).unwrap().stats().unwrap().events, 800);
    let error = Engine::restore_until(place.path("data"), place.path("other"), Until::Sequence(1)).unwrap_err();
    assert_eq!(error.code(), "conflict", "{error}");
}

#[test]
fn any_write_after_a_generation_can_be_gone_back_to() {
    let place = Place::new();
    let engine = place.logging();
    let generation = engine.backup(place.path("backup")).unwrap();
    let mut writes = Vec::new();
    for number in 0..30 {
        engine.append_events(&[click(number)]).unwrap();
        // The log is taken along now and then; what one time lacks the next has.
        if number % 7 == 3 {
            writes.push((number as usize + 1, engine.backup_log(place.path("backup")).unwrap().sequence));
        }
    }
    engine.delete_user("u5").unwrap();
    writes.push((30, engine.backup_log(place.path("backup")).unwrap().sequence));
    let listed = Engine::backups(place.path("backup")).unwrap();
    assert_eq!(listed[0].log_until, writes.last().map(|(_, sequence)| *sequence));
    for (place_of, (count, sequence)) in writes.iter().enumerate() {
        let copy = place.restored(&format!("copy{place_of}"), Until::Sequence(*sequence));
        assert_eq!(clicks(&copy), *count);
        assert_eq!(copy.user("u5").unwrap().is_some(), place_of + 1 < writes.len(), "deleted by the last write alone");
        assert!(copy.verify().unwrap().iter().all(|finding| finding.ok), "{:?}", copy.verify().unwrap());
    }
    // Between what was noted, too: each event was a write of its own.
    let between: Vec<usize> = (writes[0].1..=writes[0].1 + 14)
        .enumerate()
        .map(|(n, sequence)| clicks(&place.restored(&format!("between{n}"), Until::Sequence(sequence))))
        .collect();
    assert!(between.is_sorted() && between.first() == Some(&4) && between.last() > Some(&5), "{between:?}");
    assert!(between.windows(2).all(|pair| pair[1] - pair[0] <= 1), "one by one: {between:?}");
    let newest = place.restored("newest", Until::Newest);
    assert_eq!((clicks(&newest), newest.user("u5").unwrap()), (30, None));
    assert_eq!(clicks(&place.restored("plain", Until::Generation(generation.generation))), 0);
    let beyond = Until::Sequence(writes.last().unwrap().1 + 1);
    let error = Engine::restore_until(place.path("backup"), place.path("beyond"), beyond).unwrap_err();
    assert_eq!(error.code(), "not_found", "{error}");
}

#[test]
fn a_moment_can_be_gone_back_to_by_the_clock() {
    let place = Place::new();
    let engine = place.logging();
    engine.backup(place.path("backup")).unwrap();
    engine.append_events(&[click(1)]).unwrap();
    let between = a_moment();
    engine.append_events(&[click(2)]).unwrap();
    engine.backup_log(place.path("backup")).unwrap();
    assert_eq!(clicks(&place.restored("copy", Until::Time(between))), 1);
    assert_eq!(clicks(&place.restored("all", Until::Time(Timestamp::now()))), 2);
    let error = Engine::restore_until(place.path("backup"), place.path("before"), Until::Time(time(0))).unwrap_err();
    assert_eq!(error.code(), "not_found", "{error}");
}

/// The clock has milliseconds: what is written from now on is in a later one.
fn a_moment() -> Timestamp {
    let now = Timestamp::now();
    while Timestamp::now() <= now {
        std::hint::spin_loop();
    }
    now
}

#[test]
fn a_moment_of_which_the_log_is_not_there_is_said_to_be_so() {
    let place = Place::new();
    // It keeps no log.
    let engine = world(&place.path("data"));
    engine.backup(place.path("backup")).unwrap();
    let first = a_moment();
    engine.append_events(&[click(1)]).unwrap();
    engine.delete_user("u7").unwrap();
    // What rewrites all files leaves no log of before.
    engine.purge().unwrap();
    let between = a_moment();
    engine.append_events(&[click(2)]).unwrap();
    engine.backup(place.path("backup")).unwrap();
    for moment in [first, between] {
        let error = Engine::restore_until(place.path("backup"), place.path("copy"), Until::Time(moment)).unwrap_err();
        assert!(error.code() == "conflict" && error.to_string().contains("--generation 1"), "{error}");
        assert!(!place.path("copy").exists());
    }
    assert_eq!(clicks(&place.restored("before", Until::Generation(1))), 0);
    assert_eq!(clicks(&place.restored("last", Until::Time(Timestamp::now()))), 2);
}

#[test]
fn a_part_of_the_log_that_is_missing_is_said_to_be_so() {
    let place = Place::new();
    let engine = place.logging();
    engine.backup(place.path("backup")).unwrap();
    let mut ends = Vec::new();
    for number in 0..3 {
        engine.append_events(&[click(number)]).unwrap();
        ends.push(engine.backup_log(place.path("backup")).unwrap().sequence);
    }
    let now = a_moment();
    std::fs::remove_file(&files(&place.path("backup/log"))[1]).unwrap();
    for until in [Until::Newest, Until::Time(now)] {
        let error = Engine::restore_until(place.path("backup"), place.path("copy"), until).unwrap_err();
        let instead = format!("--sequence {}", ends[0]);
        assert!(error.code() == "conflict" && error.to_string().contains(&instead), "{error}");
    }
    assert_eq!(clicks(&place.restored("copy", Until::Sequence(ends[0]))), 1);
}

#[test]
fn a_tenant_whose_log_is_not_there_is_not_left_out() {
    let place = Place::new();
    let tenants = Tenants::open(place.path("data"), config()).unwrap();
    let name = "a".parse().unwrap();
    tenants.create(&name, TenantSettings::default()).unwrap();
    tenants.backup(place.path("backup")).unwrap();
    let moment = a_moment();
    let tenant = tenants.get(&name).unwrap();
    tenant.append_events(&[click(1)]).unwrap();
    tenant.delete_user("writer").unwrap();
    tenant.purge().unwrap();
    tenants.backup(place.path("backup")).unwrap();
    let error = Tenants::restore_until(place.path("backup"), place.path("copy"), Until::Time(moment)).unwrap_err();
    assert!(error.code() == "conflict" && error.to_string().contains("tenants/a"), "{error}");
    assert!(!place.path("copy").exists());
}

#[test]
fn the_log_goes_on_over_generations_and_ends_where_a_history_ends() {
    let place = Place::new();
    let engine = place.logging();
    engine.backup(place.path("backup")).unwrap();
    engine.append_events(&[click(1)]).unwrap();
    let middle = engine.backup_log(place.path("backup")).unwrap().sequence;
    engine.append_events(&[click(2)]).unwrap();
    engine.backup(place.path("backup")).unwrap();
    engine.append_events(&[click(3)]).unwrap();
    engine.backup_log(place.path("backup")).unwrap();
    assert_eq!(clicks(&place.restored("middle", Until::Sequence(middle))), 1);
    assert_eq!(clicks(&place.restored("newest", Until::Newest)), 3);
    // A restored directory is another history: its writes do not continue those of the backup.
    let copy = place.restored("branch", Until::Sequence(middle));
    copy.append_events(&[click(9)]).unwrap();
    assert_eq!(copy.backup_log(place.path("backup")).unwrap_err().code(), "conflict");
    let branched = copy.backup(place.path("backup")).unwrap();
    assert_eq!((branched.generation, branched.log_until), (3, None));
    assert_eq!(clicks(&place.restored("again", Until::Newest)), 2);
    assert_eq!(clicks(&place.restored("second", Until::Generation(2))), 2);
}

#[test]
fn a_snapshot_of_which_only_the_log_knows_is_left_out_and_the_one_before_answers() {
    let place = Place::new();
    let engine = place.logging();
    let first = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(first).unwrap();
    engine.backup(place.path("backup")).unwrap();
    let second = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(second).unwrap();
    engine.append_events(&[click(1)]).unwrap();
    engine.backup_log(place.path("backup")).unwrap();
    let copy = place.restored("copy", Until::Newest);
    assert_eq!((copy.active_snapshot(), copy.snapshots().unwrap().len(), clicks(&copy)), (Some(first), 1, 1));
    assert!(copy.check().unwrap().into_iter().chain(copy.verify().unwrap()).all(|finding| finding.ok));
    engine.backup(place.path("backup")).unwrap();
    assert_eq!(place.restored("whole", Until::Newest).active_snapshot(), Some(second));
}

#[test]
fn a_log_that_was_not_kept_is_said_to_be_missing() {
    let place = Place::new();
    let engine = world(&place.path("data"));
    engine.backup(place.path("backup")).unwrap();
    engine.append_events(&[click(1)]).unwrap();
    // Rewriting all files leaves no log of before.
    engine.delete_user("u7").unwrap();
    engine.purge().unwrap();
    let error = engine.backup_log(place.path("backup")).unwrap_err();
    assert!(error.code() == "conflict" && error.to_string().contains("store.log_retention"), "{error}");
    assert_eq!(engine.backup(place.path("backup")).unwrap().generation, 2);
    let fresh = Engine::open(place.path("fresh"), Config::default()).unwrap();
    assert_eq!(fresh.backup_log(place.path("nothing")).unwrap_err().code(), "conflict");
}

#[test]
fn a_backup_is_taken_while_others_write_train_and_delete() {
    let place = Place::new();
    let engine = world(&place.path("data"));
    let snapshot = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(snapshot).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..300 {
                engine.append_events(&[click(number)]).unwrap();
                if number % 50 == 0 {
                    engine.delete_user(&format!("u{}", number / 50)).unwrap();
                }
            }
        });
        let trainer = scope.spawn(|| {
            let snapshot = engine.train(&TrainOptions::default()).unwrap();
            engine.activate(snapshot).unwrap();
        });
        for _ in 0..5 {
            engine.backup(place.path("backup")).unwrap();
        }
        writer.join().unwrap();
        trainer.join().unwrap();
    });
    for number in 1..=5 {
        let copy = place.restored(&format!("copy{number}"), Until::Generation(number));
        // The writes of a generation are the first so many, without a gap.
        let events = copy.user_events("writer", 999).unwrap_or_default();
        let last = events.len() as i64;
        assert!(
            events.iter().rev().enumerate().all(|(n, event)| event.time == Some(time(10_000 + n as i64))),
            "{last}"
        );
        assert!(copy.verify().unwrap().iter().all(|finding| finding.ok), "{:?}", copy.verify().unwrap());
        assert!(copy.recommend(&Query::for_user("u20")).unwrap().snapshot.is_some());
    }
}
