//! The command line as a user and a script meet it: the real binary, its exit codes, its messages, its JSON.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../support/command.rs"]
mod command;
mod keeping;
mod keys;
mod learning;
mod place;
mod scenarios;
mod served;
mod tenants;

use std::process::Stdio;

use place::{Place, stderr};
use serde_json::Value;

#[test]
fn bad_usage_ends_with_code_2() {
    let place = Place::new();
    for args in [
        &["recomend", "u1"][..],
        &["recommend"],
        &["recommend", "u1", "--limit", "0"],
        &["recommend", "u1", "--filter", "{\"must\": 1}"],
        &["train", "--set", "train.dimensions=3"],
        &["train", "--dimension", "5000"],
        &["evaluate", "--split", "random"],
        &["tune", "--models", "als"],
        &["stats", "--url", "localhost:80"],
        &["doctor", "--url", "http://127.0.0.1:1"],
        &["stats", "--log", "savor=loud"],
    ] {
        std::fs::create_dir_all(place.path("data")).unwrap();
        let (code, message) = place.fails(args);
        assert_eq!(code, 2, "{args:?}: {message}");
    }
}

#[test]
fn help_and_version_succeed() {
    let place = Place::new();
    for words in [
        "import",
        "export",
        "train",
        "tune",
        "evaluate",
        "recommend",
        "similar",
        "list",
        "explain",
        "serve",
        "snapshot",
        "user",
        "backup",
        "restore",
        "stats",
        "doctor",
        "features",
        "tenant",
        "config",
        "key",
        "audit",
    ] {
        assert!(place.ok(&["--help"]).contains(words), "{words}");
        assert!(place.ok(&[words, "--help"]).contains("--data"), "{words}");
    }
    assert!(place.ok(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn asking_a_directory_that_is_not_there_does_not_make_it() {
    let place = Place::new();
    let (code, message) = place.fails(&["recommend", "u1"]);
    assert_eq!(code, 1);
    assert!(message.contains("no data directory") && message.contains("savor import"), "{message}");
    assert!(!place.path("data").exists());
}

#[test]
fn a_folder_of_another_program_is_left_alone() {
    let place = Place::new();
    std::fs::create_dir(place.path("data")).unwrap();
    place.file("data/thesis.tex", "years of work");
    let (code, message) = place.fails(&["stats"]);
    assert_eq!(code, 1);
    assert!(message.contains("not a Savor data directory"), "{message}");
    assert_eq!(std::fs::read_dir(place.path("data")).unwrap().count(), 1);
}

#[test]
fn import_train_and_recommend_make_a_loop() {
    let place = Place::trained();
    let answer = place.json(&["recommend", "u1", "--limit", "2"]);
    let items: Vec<&str> =
        answer["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect();
    assert_eq!(answer["degraded"], Value::Null);
    // The two comedies that u1 has not seen; every drama is somebody else's.
    assert_eq!(std::collections::BTreeSet::from_iter(items), ["f5", "f11"].into());

    let table = place.ok(&["recommend", "u1", "u30"]);
    assert!(table.contains("Comedy 5") && table.contains("user u30"), "{table}");
    let beside = place.ok(&["recommend", "u1", "--liked"]);
    assert!(beside.contains("liked last") && beside.contains("Comedy 4"), "{beside}");
}

#[test]
fn all_users_are_answered_in_one_go_as_each_would_be() {
    let place = Place::trained();
    let said = place.ok(&["recommend", "--all", "-n", "3"]);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 40);
    for line in [&lines[0], &lines[39]] {
        let alone = place.json(&["recommend", line["user"].as_str().unwrap(), "-n", "3"]);
        assert_eq!((&line["items"], &line["degraded"]), (&alone["items"], &alone["degraded"]));
    }
    place.ok(&["recommend", "--all", "-n", "3", "--output", "all.jsonl"]);
    assert_eq!(std::fs::read_to_string(place.path("all.jsonl")).unwrap().lines().count(), 40);
}

#[test]
fn importing_a_file_again_stores_nothing() {
    let place = Place::filled();
    let summary = place.json(&["import", "events", "events.jsonl"]);
    assert_eq!(summary["stored"], 0, "{summary}");
    assert_eq!(summary["known"], 400, "{summary}");
    assert_eq!(place.json(&["stats"])["events"], 400);
}

#[test]
fn every_question_answers_in_json() {
    let place = Place::trained();
    assert_eq!(place.json(&["similar", "f1", "-n", "3"])["items"].as_array().unwrap().len(), 3);
    let comedies = place.json(&["list", "popular", "--category", "Comedy", "-n", "1000"]);
    assert_eq!(comedies["items"].as_array().unwrap().len(), 12);
    let explained = place.json(&["explain", "u1", "f5"]);
    let item = &explained["items"][0];
    let parts: f64 = item["because"].as_array().unwrap().iter().map(|part| part["weight"].as_f64().unwrap()).sum();
    assert!((parts - item["score"].as_f64().unwrap()).abs() < 1e-4, "{explained}");
    assert_eq!(place.json(&["recommend", "--session", "f13", "-n", "5"])["items"].as_array().unwrap().len(), 5);
    assert_eq!(place.json(&["stats"])["users"], 40);
    assert_eq!(place.json(&["snapshot", "list"])[0]["state"], "active");
    assert_eq!(explained["search"], serde_json::Value::Null, "the caller's own candidates need no search");
    assert_eq!(place.json(&["explain", "u1"])["search"]["way"], "scan");
    let findings = place.json(&["doctor"]);
    let indexes: Vec<_> = findings.as_array().unwrap().iter().filter(|finding| !finding["index"].is_null()).collect();
    assert_eq!(
        (indexes[0]["check"].as_str(), &indexes[0]["index"]["plan"]["kind"]),
        (Some("index of the model"), &"exact".into())
    );
    assert!(place.json(&["doctor"]).as_array().unwrap().iter().all(|finding| finding["ok"] == true));
    assert!(place.json(&["doctor", "--skew"]).as_array().unwrap().iter().all(|finding| finding["ok"] == true));
    let columns = place.json(&["features", "list"]).as_array().unwrap().len();
    let page = place.path("features.html");
    let statistics = place.json(&["features", "stats", "--report", page.to_str().unwrap()]);
    assert_eq!(statistics["columns"].as_array().unwrap().len(), columns);
    assert!(std::fs::read_to_string(page).unwrap().contains("user.events_7d"));
    let values = place.json(&["features", "show", "--user", "u1", "--item", "f5"]);
    assert_eq!(values["values"].as_array().unwrap().len(), columns);
    let of_item = place.json(&["features", "show", "--item", "f5"]);
    assert!(of_item["values"].as_array().unwrap().iter().all(|value| value["scope"] == "item"), "{of_item}");
    assert_eq!(place.fails(&["features", "show", "--user", "nobody"]).0, 1);
    assert_eq!(place.fails(&["features", "show"]).0, 2);
    assert_eq!(place.json(&["config", "show", "--set", "train.dimension=7"])["train"]["dimension"], 7);
    assert_eq!(place.json(&["user", "show", "u1", "-n", "3"])["events"].as_array().unwrap().len(), 3);
    assert_eq!(place.ok(&["recommend", "u1", "u2", "nobody", "--format", "json"]).lines().count(), 3);
}

#[test]
fn an_error_in_json_has_its_code() {
    let place = Place::filled();
    let (code, message) = place.fails(&["similar", "no-such-item", "--format", "json"]);
    let error: Value = serde_json::from_str(message.trim()).unwrap();
    assert_eq!((code, &error["error"]["code"]), (1, &"not_found".into()));
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let place = Place::trained();
    for kind in ["items", "users", "events"] {
        let lines = place.ok(&["export", kind]);
        place.file(&format!("{kind}.out.jsonl"), &lines);
        place.ok(&["import", kind, &format!("{kind}.out.jsonl"), "--data", "copy"]);
        assert_eq!(place.ok(&["export", kind, "--data", "copy"]), lines);
    }
}

#[test]
fn a_backup_restores_to_the_same_answers() {
    let place = Place::trained();
    let answer = place.json(&["recommend", "u1"])["items"].clone();
    place.ok(&["backup", "saved"]);
    place.ok(&["restore", "saved", "--data", "restored"]);
    assert_eq!(place.json(&["recommend", "u1", "--data", "restored"])["items"], answer);
    let (code, _) = place.fails(&["restore", "saved", "--data", "restored"]);
    assert_eq!(code, 1);
}

#[test]
fn a_deleted_user_is_gone() {
    let place = Place::trained();
    place.ok(&["user", "delete", "u1"]);
    assert_eq!(place.json(&["stats"])["events"], 390);
    assert_eq!(place.fails(&["user", "show", "u1"]).0, 1);
    assert_eq!(place.fails(&["user", "delete", "u1"]).0, 1);
    assert_eq!(place.json(&["recommend", "u1"])["degraded"], "unknown_user");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::filled();
    let mut child = place.command(&["export", "events"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
}

#[test]
fn the_configuration_beside_the_data_counts() {
    let place = Place::filled();
    place.file("data/savor.toml", "[train]\ndimension = 5\nepochs = 2\n");
    place.ok(&["train", "--epochs", "3", "--activate", "always"]);
    let train = &place.json(&["snapshot", "show", "1"])["train"];
    assert_eq!((&train["dimension"], &train["epochs"]), (&5.into(), &3.into()));
    place.file("data/savor.toml", "[train]\ndimensions = 5\n");
    let (code, message) = place.fails(&["config", "check"]);
    assert!(code == 1 && message.contains("savor.toml") && message.contains("dimensions"), "{message}");
}
