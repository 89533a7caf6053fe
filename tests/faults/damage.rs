//! Bytes changed, cut off or gone in every kind of file. Nothing may be silently different: what is read is what was
//! written, or an error names the file and the remedy.

use std::fs;
use std::path::{Path, PathBuf};

use savor::{Config, Engine, Event, Item, Query, Scenario, Timestamp, TrainOptions};
use tempfile::TempDir;

use crate::place::Place;

/// Records of every kind in tables and in the log, and two snapshots that have both been active.
struct Good {
    folder: TempDir,
    dump: String,
}

fn config() -> Config {
    let text =
        "[train]\nmodel = \"ials\"\ndimension = 4\nepochs = 2\n[ranker]\nenabled = false\n[store]\ncache_mib = 8\n";
    Config::from_toml(text).unwrap()
}

impl Good {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..2_i64 {
            let engine = Engine::open(folder.path(), config()).unwrap();
            let items: Vec<Item> = (0..40)
                .map(|number| {
                    let mut item = Item::new(format!("i{number}"));
                    item.categories = vec![format!("c{}", number % 3)];
                    item.vectors.insert("look".into(), vec![number as f32, 1.0, round as f32]);
                    item
                })
                .collect();
            engine.put_items(&items).unwrap();
            engine.append_events(&events(round)).unwrap();
            engine.put_scenario("home", Scenario::default(), None).unwrap();
            let options = TrainOptions { measure: false, ranker: false, ..TrainOptions::default() };
            engine.activate(engine.train(&options).unwrap()).unwrap();
        }
        // The opening writes the logs of before into tables; this is in a log when it is closed.
        let engine = Engine::open(folder.path(), config()).unwrap();
        engine.append_events(&events(2)).unwrap();
        let dump = dump(&engine).unwrap();
        drop(engine);
        Self { folder, dump }
    }

    /// The files of a folder, by name.
    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(self.folder.path().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// A copy in which one file has other bytes, or none at all.
    fn with(&self, file: &Path, bytes: Option<&[u8]>) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(self.folder.path().join("SYNCED"), copy.path().join("SYNCED")).unwrap();
        for folder in ["rocksdb", "index"] {
            fs::create_dir(copy.path().join(folder)).unwrap();
            for source in self.files(folder) {
                let target = copy.path().join(folder).join(source.file_name().unwrap());
                match bytes {
                    _ if source != file => drop(fs::copy(&source, &target).unwrap()),
                    Some(bytes) => fs::write(&target, bytes).unwrap(),
                    None => {}
                }
            }
        }
        copy
    }
}

fn events(round: i64) -> Vec<Event> {
    let event = |number: i64| {
        let time = Timestamp::from_millis(1_767_225_600_000 + (round * 1000 + number) * 1000).unwrap();
        Event::new(format!("u{}", number % 20), format!("i{}", number * 7 % 40), "click").at(time)
    };
    (0..300).map(event).collect()
}

/// Everything that was acknowledged, as text.
fn dump(engine: &Engine) -> savor::Result<String> {
    let mut lines = Vec::new();
    engine.for_each_event(&mut |event| {
        lines.push(format!("{event:?}"));
        Ok(())
    })?;
    for user in engine.users(None, 1000)?.entries {
        lines.push(format!("{user:?} {:?}", engine.user_events(&user.id, 1000)?));
    }
    for item in engine.items(None, 1000)?.entries {
        lines.push(format!("{item:?}"));
    }
    lines.push(format!("{:?} {:?}", engine.scenario_versions("home")?, engine.snapshots()?));
    let stats = engine.stats()?;
    lines.push(format!("{:?} {:?}", (stats.users, stats.items, stats.events), stats.spaces));
    Ok(lines.join("\n"))
}

/// Bytes changed at some places, half of the file, nothing, and no file.
fn damages(bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let places =
        [0, bytes.len() / 7, bytes.len() / 3, bytes.len() / 2, bytes.len() * 4 / 5, bytes.len().saturating_sub(20)];
    let changed = places.into_iter().filter(|place| *place < bytes.len()).map(|place| {
        let mut changed = bytes.to_vec();
        changed[place] ^= 0x55;
        (format!("byte {place} changed"), Some(changed))
    });
    let mut damages: Vec<_> = changed.collect();
    damages.push(("cut in half".into(), Some(bytes[..bytes.len() / 2].to_vec())));
    damages.push(("emptied".into(), Some(Vec::new())));
    damages.push(("removed".into(), None));
    damages
}

/// Opens and reads everything. `None`: as it was written. Else what the error says.
fn outcome(good: &Good, dir: &Path) -> Option<String> {
    let read = Engine::open(dir, config()).and_then(|engine| {
        let read = dump(&engine);
        // A question may meet the damage, too; it must not panic.
        drop(engine.recommend(&Query::for_user("u1")));
        read
    });
    match read {
        Ok(text) => {
            assert!(text == good.dump, "something is silently different");
            None
        }
        Err(error) => Some(error.to_string()),
    }
}

/// Damages every file of the database whose name is such; each must be read as it was, or be named with the remedy.
/// Tells how many could not be read.
fn damage_all(good: &Good, is_such: impl Fn(&str) -> bool, allowed: impl Fn(&str) -> bool) -> usize {
    let mut refused = 0;
    for file in good.files("rocksdb") {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !is_such(&name) {
            continue;
        }
        for (damage, bytes) in damages(&fs::read(&file).unwrap()) {
            if !allowed(&damage) {
                continue;
            }
            let copy = good.with(&file, bytes.as_deref());
            if let Some(error) = outcome(good, copy.path()) {
                // Of some damaged properties RocksDB says no more than that the manifest does not fit its table, or that they
                // are unsorted: it names no table then.
                let is_nameless = error.contains("/rocksdb/MANIFEST") || error.contains("properties unsorted");
                let is_named = error.contains(&name) || (name.ends_with(".sst") && is_nameless);
                assert!(is_named, "{name} {damage}: the file is not named: {error}");
                assert!(error.contains("savor restore"), "{name} {damage}: no remedy: {error}");
                refused += 1;
            }
        }
    }
    refused
}

#[test]
fn a_damaged_table_is_named_with_the_remedy_or_read_as_it_was() {
    let good = Good::new();
    let refused = damage_all(&good, |name| name.ends_with(".sst"), |_| true);
    assert!(refused > 10, "{refused}");
}

#[test]
fn a_damaged_log_is_named_with_the_remedy() {
    let good = Good::new();
    // A log that is gone has no name any more: it is "*.log".
    let refused = damage_all(&good, |name| name.ends_with(".log"), |damage| damage != "removed");
    assert!(refused >= 5, "{refused}");
    for log in good.files("rocksdb").iter().filter(|file| file.extension().is_some_and(|ending| ending == "log")) {
        let error = outcome(&good, good.with(log, None).path()).unwrap();
        assert!(error.contains("acknowledged") && error.contains("savor restore"), "{error}");
    }
}

#[test]
fn a_damaged_manifest_is_named_with_the_remedy() {
    let good = Good::new();
    let refused = damage_all(&good, |name| name.starts_with("MANIFEST"), |_| true);
    assert!(refused >= 5, "{refused}");
}

#[test]
fn a_damaged_or_missing_current_is_named_and_nothing_is_begun_anew_in_its_place() {
    let good = Good::new();
    let refused = damage_all(&good, |name| name == "CURRENT", |_| true);
    assert!(refused >= 4, "{refused}");
    let current = good.folder.path().join("rocksdb/CURRENT");
    let copy = good.with(&current, None);
    assert!(outcome(&good, copy.path()).is_some());
    fs::copy(&current, copy.path().join("rocksdb/CURRENT")).unwrap();
    assert_eq!(outcome(&good, copy.path()), None, "with its CURRENT back the directory is whole");
}

#[test]
fn files_that_only_people_read_may_be_anything() {
    let good = Good::new();
    let is_such = |name: &str| ["OPTIONS", "IDENTITY", "LOG", "LOCK"].iter().any(|kind| name.starts_with(kind));
    assert_eq!(damage_all(&good, is_such, |_| true), 0);
    fs::write(good.folder.path().join("LOCK"), b"\xff\xfe no number").unwrap();
    assert_eq!(outcome(&good, good.folder.path()), None);
}

#[test]
fn a_damaged_index_file_is_named_and_the_snapshot_before_answers() {
    let good = Good::new();
    let mut fallen_back = 0;
    for name in ["2", "2.parts"] {
        let file = good.folder.path().join("index").join(name);
        for (damage, bytes) in damages(&fs::read(&file).unwrap()) {
            let copy = good.with(&file, bytes.as_deref());
            let engine = Engine::open(copy.path(), config()).unwrap();
            let answer = engine.recommend(&Query::for_user("u1")).unwrap();
            assert!(!answer.items.is_empty());
            // Bytes between sections are under no checksum, and nobody reads them.
            if answer.snapshot.map(|id| id.0) == Some(2) && damage.contains("changed") {
                continue;
            }
            fallen_back += 1;
            assert_eq!(answer.snapshot.map(|id| id.0), Some(1), "{name} {damage}");
            assert_eq!(dump(&engine).unwrap(), good.dump);
            let findings = engine.check().unwrap();
            let wrong = findings.iter().find(|finding| !finding.ok).unwrap();
            assert!(
                wrong.detail.contains(&format!("index/{name}")) && wrong.detail.contains("train again"),
                "{wrong:?}"
            );
        }
    }
    assert!(fallen_back >= 12, "{fallen_back}");
}

#[test]
fn a_damaged_configuration_is_named_with_its_line() {
    let place = Place::filled();
    place.file("data/savor.toml", "[train]\ndimension = \u{1}\n");
    let (code, words) = place.fails(&["stats"]);
    assert!(code != 0 && words.contains("savor.toml") && words.contains('2'), "{words}");
    fs::write(place.path("data/savor.toml"), b"\xff\xfe[train]").unwrap();
    let (_, words) = place.fails(&["stats"]);
    assert!(words.contains("savor.toml"), "{words}");
}
