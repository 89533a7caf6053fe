//! The process is killed at random moments of writing events and items, import, training and swapping. Whatever was acknowledged
//! must be there afterwards, the engine must open, and it must serve a good snapshot.
//!
//! The victim is this very test binary, started again with a directory in its environment. It says on standard output
//! what has been acknowledged; the killer reads so many lines and strikes at once, wherever the other threads are.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use savor::ingest::{ImportOptions, Kind, Source};
use savor::{Durability, Engine, Event, Item, ModelKind, Query, Silent, TrainConfig, TrainOptions};
use support::{Random, config, item, time};

const KILLS: usize = 50;
/// One victim in so many sees a swap.
const SWAPPED: usize = 5;
const VICTIM: &str = "SAVOR_TEST_CRASH_DIR";

#[test]
fn fifty_kills_lose_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(2026);
    let mut acknowledged = Vec::new();
    let (mut swaps, mut imports) = (0, 0);
    for kill in 0..KILLS {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim_that_writes_until_it_is_killed", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut last_swap = None;
        let mut follow = |line: String| match line.split_once(' ') {
            Some(("stored", event)) => acknowledged.push(event.to_owned()),
            Some(("imported", _)) => imports += 1,
            Some(("active", id)) => {
                swaps += 1;
                last_swap = Some(id.parse::<u64>().unwrap());
            }
            _ => {}
        };
        let mut next = || lines.next().expect("the victim ended by itself").unwrap();
        // Writing is quicker than training: some victims live until a snapshot is swapped in, and a little longer.
        if kill % SWAPPED == 0 {
            loop {
                let line = next();
                let is_swap = line.starts_with("active ");
                follow(line);
                if is_swap {
                    break;
                }
            }
        }
        for _ in 0..1 + random.below(120) {
            follow(next());
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        // What was said before the blow, but not yet read, was acknowledged too. A line cut in two was not.
        let mut rest: Vec<_> = lines.map_while(Result::ok).collect();
        rest.pop();
        rest.into_iter().for_each(&mut follow);
        check(dir.path(), &acknowledged, last_swap, kill);
    }
    assert!(swaps > 0 && imports > 0 && acknowledged.len() > KILLS, "{swaps} swaps, {imports} imports");
    println!("{KILLS} kills, {} events acknowledged, {imports} imports, {swaps} swaps, 0 lost", acknowledged.len());
}

fn check(dir: &Path, acknowledged: &[String], last_swap: Option<u64>, kill: usize) {
    let engine = Engine::open(dir, config()).unwrap_or_else(|error| panic!("after kill {kill}: {error}"));
    let mut stored = std::collections::HashSet::new();
    engine
        .for_each_event(&mut |event| {
            stored.extend(event.id.clone());
            Ok(())
        })
        .unwrap();
    for event in acknowledged {
        assert!(stored.contains(event), "event {event} was acknowledged and is lost after kill {kill}");
    }
    let active = engine.active_snapshot().map(|id| id.0);
    assert!(active >= last_swap, "snapshot {last_swap:?} was active before kill {kill}, now {active:?}");
    if active.is_some() {
        let answer = engine.recommend(&Query::for_user("u1")).unwrap();
        assert_eq!(answer.snapshot.map(|id| id.0), active);
        assert!(!answer.items.is_empty());
    }
    for finding in engine.check().unwrap() {
        assert!(finding.ok || finding.check == "serving", "after kill {kill}: {finding:?}");
    }
}

/// Does nothing unless it is started as the victim.
#[test]
fn victim_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let dir = Path::new(&dir);
    let engine = support::world(dir);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let engine = &engine;
            scope.spawn(move || write_events(engine, thread));
        }
        scope.spawn(|| change_items(&engine));
        scope.spawn(|| import_again_and_again(&engine, dir));
        scope.spawn(|| {
            // What takes no measuring trains within the life of a victim.
            let train = TrainConfig { model: ModelKind::Ials, ..config().train };
            loop {
                let options = TrainOptions { train: Some(train.clone()), measure: false, ..TrainOptions::default() };
                let snapshot = engine.train(&options).unwrap();
                engine.activate(snapshot).unwrap();
                say(&format!("active {snapshot}"));
            }
        });
    });
}

fn write_events(engine: &Engine, thread: usize) {
    let run = std::process::id();
    for number in 0.. {
        let mut event = Event::new(format!("writer{thread}"), item(number % 4, number % 20), "click");
        event.time = Some(time(number as i64 % 50));
        event.id = Some(format!("{run}-{thread}-{number}"));
        let id = event.id.clone().unwrap();
        engine.append_events_with(&[event], Durability::Sync).unwrap();
        say(&format!("stored {id}"));
    }
}

/// Leaves more to the item index each time, and takes more away.
fn change_items(engine: &Engine) {
    for number in 0.. {
        let changed = (0..4).map(|group| {
            let mut changed = Item::new(item(group, number % 20));
            changed.categories = vec![format!("round{number}")];
            changed.attributes.insert("stock".into(), (number as f64).into());
            changed
        });
        engine.put_items(&changed.collect::<Vec<_>>()).unwrap();
        engine.delete_item(&format!("short-lived{number}")).unwrap();
        engine.put_items(&[Item::new(format!("short-lived{}", number + 1))]).unwrap();
    }
}

fn import_again_and_again(engine: &Engine, dir: &Path) {
    let run = std::process::id();
    for number in 0.. {
        let file = dir.with_extension(format!("{run}-{number}.csv"));
        let rows: String = (0..200)
            .map(|row| format!("imp{row},{},click,{}\n", item(row % 4, row % 20), number * 200 + row))
            .collect();
        std::fs::write(&file, format!("user,item,type,time\n{rows}")).unwrap();
        let summary = engine.import(Kind::Events, &Source::file(&file), &ImportOptions::default(), &Silent).unwrap();
        assert_eq!(summary.read, 200);
        std::fs::remove_file(&file).unwrap();
        say(&format!("imported {number}"));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}
