//! What is kept, backed up, mended and removed, as an operator does it by hand.

use crate::place::Place;
use savor::Timestamp;

#[test]
fn a_user_is_exported_deleted_and_gone_from_the_files() {
    let place = Place::trained();
    let export = place.json(&["user", "export", "u1", "--vectors"]);
    assert_eq!((&export["user"], export["events"].as_array().unwrap().len()), (&"u1".into(), 10));
    assert_eq!(export["vectors"].as_array().unwrap().len(), 1);
    assert_eq!(place.fails(&["user", "export", "nobody"]).0, 1);
    let done = place.ok(&["user", "delete", "u1", "--purge", "--format", "json"]);
    assert!(done.lines().count() == 2 && done.contains("\"deletions\":1"), "{done}");
    assert!(place.ok(&["purge"]).contains("nothing waits"));
    place.ok(&["user", "delete", "u2"]);
    assert_eq!(place.json(&["stats"])["purge_pending"]["deletions"], 1);
    assert!(place.ok(&["doctor"]).contains("savor purge"));
    assert_eq!(place.json(&["purge"])["deletions"], 1);
    assert_eq!(place.json(&["expire"])["events"], 0);
    let expired = place.json(&["expire", "--set", "retention.events.view=\"1d\""]);
    assert_eq!((&expired["events"], &place.json(&["stats"])["events"]), (&380.into(), &0.into()));
}

#[test]
fn generations_are_made_listed_verified_pruned_and_gone_back_to() {
    let place = Place::trained();
    let log = ["--set", "store.log_retention=\"1d\""];
    let with_log = |args: &[&str]| place.json(&[args, &log].concat());
    assert_eq!(with_log(&["backup", "saved"])["generation"]["generation"], 1);
    place.file("more.jsonl", "{\"user\":\"late\",\"item\":\"f1\",\"type\":\"view\",\"time\":1700000000000}\n");
    place.ok(&[&["import", "events", "more.jsonl"][..], &log].concat());
    let sequence = with_log(&["backup", "saved", "--writes"])["sequence"].as_u64().unwrap();
    place.ok(&["user", "delete", "u1"]);
    assert_eq!(with_log(&["backup", "saved"])["generation"]["generation"], 2);
    let listed = place.json(&["backup", "saved", "--list"]);
    assert_eq!((&listed[0]["events"], &listed[1]["events"]), (&400.into(), &391.into()));
    assert!(listed[0]["log_until"].as_u64() >= Some(sequence), "{listed}");
    assert!(place.json(&["backup", "saved", "--verify"])["files"].as_u64() > Some(5));
    let events = |data: &str| place.json(&["stats", "--data", data])["events"].clone();
    place.ok(&["restore", "saved", "--generation", "1", "--data", "first"]);
    place.ok(&["restore", "saved", "--sequence", &sequence.to_string(), "--data", "between"]);
    place.ok(&["restore", "saved", "--time", &Timestamp::now().to_string(), "--data", "now"]);
    place.ok(&["restore", "saved", "--data", "newest"]);
    assert_eq!([events("first"), events("between"), events("now"), events("newest")], [400, 401, 391, 391]);
    assert_eq!(place.json(&["backup", "saved", "--prune", "1"])["pruned"], 1);
    let (code, message) = place.fails(&["restore", "saved", "--generation", "1", "--data", "gone"]);
    assert!(code == 1 && message.contains("generation 1"), "{message}");
    assert_eq!(place.fails(&["backup", "saved", "--prune", "0"]).0, 2);
    let (code, message) = place.fails(&["backup", "data"]);
    assert!(code == 1 && message.contains("no backup"), "{message}");
}

#[test]
fn a_sound_directory_is_said_to_be_sound_and_nothing_is_mended() {
    let place = Place::trained();
    let findings = place.json(&["doctor", "--verify"]);
    let all = findings.as_array().unwrap();
    assert!(all.iter().any(|finding| finding["check"] == "cross-references"));
    assert!(all.iter().all(|finding| finding["ok"] == true), "{findings}");
    assert!(place.ok(&["doctor", "--repair"]).contains("nothing is to be mended"));
    assert!(place.ok(&["doctor", "--repair", "--yes"]).contains("cross-references"));
    assert_eq!(place.fails(&["doctor", "--yes"]).0, 2);
}
