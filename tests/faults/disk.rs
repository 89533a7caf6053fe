//! Disk and clock that fail under a running server.

use std::time::{Duration, Instant};

use crate::place::Place;
use crate::shim::{EIO, ENOSPC, Order, Served, Shim, log_of};

/// What RocksDB does by itself after a full disk has come by then.
const PATIENCE: Duration = Duration::from_secs(120);

/// The ids of a user's notes, as a server tells them.
fn notes(server: &Served) -> Vec<String> {
    let events = server.get("/v1/users/u1/events?limit=1000").expect(200);
    let notes = events["events"].as_array().unwrap().iter().filter(|event| event["type"] == "note");
    let mut ids: Vec<String> = notes.map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[track_caller]
fn all_well(place: &Place) {
    let findings = place.json(&["doctor", "--verify"]);
    assert!(findings.as_array().unwrap().iter().all(|finding| finding["ok"] == true), "{findings}");
}

#[test]
fn a_full_disk_refuses_writes_answers_questions_and_goes_on_when_there_is_room() {
    let place = Place::trained();
    let shim = Shim::over(&place);
    let server = Served::start(&place, &shim);
    server.event("before").expect(200);
    // Room for part of a record.
    shim.order(Order::Room, 20);
    let refused = server.event("refused");
    refused.problem(503, "unwritable");
    assert!(refused.text().contains("make room") && refused.header("retry-after").is_some(), "{}", refused.text());
    assert!(shim.injected() > 0);
    server.get("/readyz").problem(503, "unwritable");
    server.answers();
    // Nor is a training begun of which nothing could be kept.
    server.json("POST", "/v1/train", "{}").problem(503, "unwritable");
    // The file is the log, or the manifest where RocksDB is still about what opening began.
    assert!(log_of(&place).contains("No space left") && log_of(&place).contains("/rocksdb/"), "{}", log_of(&place));
    shim.order(Order::Room, -1);
    let begun = Instant::now();
    while server.event("after").status != 200 {
        assert!(begun.elapsed() < PATIENCE, "{}", log_of(&place));
        std::thread::park_timeout(Duration::from_millis(50));
    }
    server.get("/readyz").expect(200);
    assert_eq!(server.train()["state"], "done");
    server.kill();
    let server = Served::start(&place, &shim);
    let kept = notes(&server);
    assert!(kept.contains(&"before".into()) && kept.contains(&"after".into()), "{kept:?}");
    server.answers();
    drop(server);
    all_well(&place);
}

#[test]
fn what_is_sent_again_while_the_disk_is_full_changes_nothing() {
    let place = Place::trained();
    let shim = Shim::over(&place);
    let server = Served::start(&place, &shim);
    server.event("before").expect(200);
    // Acknowledged without a sync, so that the next acknowledgement needs one. With a time it is the same event when sent again.
    let lazy = r#"{"user":"u1","item":"f1","type":"note","id":"lazy","time":1700000000000}"#;
    server.json("POST", "/v1/events?durability=async", lazy).expect(200);
    let again = || server.json("POST", "/v1/events", lazy);
    shim.order(Order::Room, 20);
    server.event("refused").problem(503, "unwritable");
    // There is nothing to write, and it is not on disk yet. RocksDB does not sync a log that it could not write to: that is no
    // failed fsync, after which a restart would be needed.
    again().problem(503, "unwritable");
    shim.order(Order::Room, -1);
    again();
    let begun = Instant::now();
    while server.event("after").status != 200 {
        assert!(begun.elapsed() < PATIENCE, "{}", log_of(&place));
        std::thread::park_timeout(Duration::from_millis(50));
    }
    again().expect(200);
    server.kill();
    let server = Served::start(&place, &shim);
    let kept = notes(&server);
    assert!(["before", "lazy", "after"].iter().all(|id| kept.contains(&(*id).into())), "{kept:?}");
    drop(server);
    all_well(&place);
}

#[test]
fn the_log_of_a_backup_goes_on_over_a_refused_write() {
    let place = Place::trained();
    place.file("data/savor.toml", "[store]\nlog_retention = \"1d\"\n");
    place.ok(&["backup", "kept"]);
    let shim = Shim::over(&place);
    let server = Served::start(&place, &shim);
    server.event("before").expect(200);
    shim.order(Order::Room, 20);
    server.event("refused").problem(503, "unwritable");
    shim.order(Order::Room, -1);
    let begun = Instant::now();
    while server.event("after").status != 200 {
        assert!(begun.elapsed() < PATIENCE, "{}", log_of(&place));
        std::thread::park_timeout(Duration::from_millis(50));
    }
    server.kill();
    // Numbers that a refused write had used up would be a gap.
    place.ok(&["backup", "kept", "--writes"]);
    place.ok(&["restore", "kept", "--data", "copy"]);
    let known = place.ok(&["user", "export", "u1", "--data", "copy"]);
    assert!(known.contains("\"before\"") && known.contains("\"after\"") && !known.contains("\"refused\""), "{known}");
}

#[test]
fn after_a_failed_fsync_nothing_is_acknowledged_until_a_restart() {
    let place = Place::trained();
    let shim = Shim::over(&place);
    let server = Served::start(&place, &shim);
    server.event("before").expect(200);
    shim.order(Order::SyncError, EIO);
    let refused = server.event("in-doubt");
    refused.problem(503, "unwritable");
    assert!(refused.text().contains("restart"), "{}", refused.text());
    assert!(shim.injected() > 0);
    // The disk says that it is well again. What it has lost meanwhile it does not say.
    shim.order(Order::SyncError, 0);
    server.event("refused").problem(503, "unwritable");
    server.get("/readyz").problem(503, "unwritable");
    server.answers();
    server.kill();
    let server = Served::start(&place, &shim);
    server.get("/readyz").expect(200);
    server.event("after").expect(200);
    let kept = notes(&server);
    assert!(kept.contains(&"before".into()) && kept.contains(&"after".into()), "{kept:?}");
    assert!(!kept.contains(&"refused".into()), "{kept:?}");
    drop(server);
    all_well(&place);
}

#[test]
fn a_disk_that_fails_in_writing_refuses_and_keeps_what_it_had() {
    let place = Place::trained();
    let shim = Shim::over(&place);
    let server = Served::start(&place, &shim);
    server.event("before").expect(200);
    shim.order(Order::WriteError, EIO);
    server.event("refused").problem(503, "unwritable");
    server.answers();
    server.get("/readyz").problem(503, "unwritable");
    assert!(log_of(&place).contains("see to the disk"), "{}", log_of(&place));
    shim.order(Order::WriteError, 0);
    server.kill();
    let server = Served::start(&place, &shim);
    server.event("after").expect(200);
    assert_eq!(notes(&server), ["after", "before"]);
    drop(server);
    all_well(&place);
}

#[test]
fn short_writes_are_written_to_their_end() {
    let place = Place::trained();
    let shim = Shim::over(&place);
    shim.order(Order::ShortWrites, 1);
    let server = Served::start(&place, &shim);
    let ids: Vec<String> = (10..40).map(|number| format!("n{number}")).collect();
    for id in &ids {
        server.event(id).expect(200);
    }
    assert_eq!(server.train()["state"], "done");
    server.json("POST", "/v1/backups", r#"{"name":"short"}"#).expect(201);
    assert!(shim.injected() > 100, "{}", shim.injected());
    server.kill();
    let server = Served::start(&place, &shim);
    assert_eq!(notes(&server), ids);
    server.answers();
    drop(server);
    all_well(&place);
}

#[test]
fn a_directory_that_cannot_be_read_says_which_file_and_one_that_can_again_is_whole() {
    let place = Place::trained();
    let shim = Shim::over(&place);
    shim.order(Order::ReadError, EIO);
    let output = shim.command(&place, &["stats"]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("/data/") && words.contains("Input/output error"), "{words}");
    shim.order(Order::ReadError, 0);
    let server = Served::start(&place, &shim);
    shim.order(Order::ReadError, EIO);
    // A question that needs the disk fails alone; nobody is told something else.
    let answer = server.get("/v1/users/u1/recommendations");
    assert!([200, 500].contains(&answer.status), "{}", answer.text());
    server.get("/healthz").expect(200);
    shim.order(Order::ReadError, 0);
    server.kill();
    let server = Served::start(&place, &shim);
    server.event("after").expect(200);
    server.answers();
    drop(server);
    all_well(&place);
}

#[test]
fn a_read_only_directory_is_said_to_be_so_and_a_running_server_goes_on_answering() {
    let place = Place::trained();
    let shim = Shim::over(&place);
    shim.order(Order::ReadOnly, 1);
    let output = shim.command(&place, &["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("Read-only file system") && words.contains("/data"), "{words}");
    shim.order(Order::ReadOnly, 0);
    let server = Served::start(&place, &shim);
    shim.order(Order::ReadOnly, 1);
    server.event("refused").problem(503, "unwritable");
    server.answers();
    shim.order(Order::ReadOnly, 0);
    drop(server);
    all_well(&place);
}

#[test]
fn a_snapshot_that_cannot_be_written_leaves_the_last_good_one() {
    let place = Place::trained();
    let shim = Shim::over(&place);
    let server = Served::start(&place, &shim);
    let before = server.get("/v1/users/u1/recommendations").expect(200)["snapshot"].clone();
    // Room for the log, none for an index.
    shim.order(Order::Room, 30_000);
    assert_eq!(server.train()["state"], "failed");
    shim.order(Order::WriteError, ENOSPC);
    assert_eq!(server.get("/v1/users/u1/recommendations").expect(200)["snapshot"], before);
    shim.order(Order::WriteError, 0);
    shim.order(Order::Room, -1);
    server.kill();
    let server = Served::start(&place, &shim);
    assert_eq!(server.get("/v1/users/u1/recommendations").expect(200)["snapshot"], before);
    assert_eq!(server.train()["state"], "done");
    drop(server);
    all_well(&place);
}

#[test]
fn a_clock_that_jumps_back_and_forth_stops_nothing() {
    const YEAR: i64 = 365 * 86_400;
    let place = Place::trained();
    let shim = Shim::over(&place);
    let server = Served::start(&place, &shim);
    for (round, seconds) in [0, -YEAR, 10 * YEAR, -30 * YEAR, 0].into_iter().enumerate() {
        shim.order(Order::ClockSeconds, seconds);
        server.event(&format!("n{round}")).expect(200);
        assert_eq!(server.train()["state"], "done", "{seconds} s");
        server.answers();
        let popular = server.get("/v1/lists/popular").expect(200);
        assert!(!popular["items"].as_array().unwrap().is_empty(), "{seconds} s");
    }
    assert_eq!(notes(&server), ["n0", "n1", "n2", "n3", "n4"]);
    server.kill();
    let server = Served::start(&place, &shim);
    server.answers();
    assert_eq!(notes(&server).len(), 5);
    drop(server);
    all_well(&place);
}
