//! The command line as a user and a script meet it: the real binary, its exit codes, its messages, its JSON.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const SAVOR: &str = env!("CARGO_BIN_EXE_savor");

/// A folder of its own for each test, and the binary with a clean environment.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(SAVOR);
        command.args(args).env_remove("RUST_LOG").env("SAVOR_DATA", self.path("data")).current_dir(self.0.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code and standard error of a command that must fail.
    fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?}");
        (output.status.code().unwrap(), stderr(&output))
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["--format", "json"]].concat())).unwrap()
    }

    /// Two groups of twenty users, each with its own twelve films; everybody has seen all but two of theirs.
    fn filled() -> Self {
        let place = Self::new();
        let (mut items, mut events) = (String::new(), String::new());
        for film in 0..24 {
            let kind = if film < 12 { "Comedy" } else { "Drama" };
            items += &format!(
                "{{\"id\":\"f{film}\",\"categories\":[\"{kind}\"],\"attributes\":{{\"title\":\"{kind} {film}\"}}}}\n"
            );
        }
        for user in 0..40_i64 {
            let first = if user < 20 { 0 } else { 12 };
            for film in (first..first + 12).filter(|film| (film + user) % 6 != 0) {
                let time = 1_700_000_000_000 + (film * 7 % 12) * 1_000_000 + user;
                events += &format!("{{\"user\":\"u{user}\",\"item\":\"f{film}\",\"type\":\"view\",\"time\":{time}}}\n");
            }
        }
        place.file("items.jsonl", &items);
        place.file("events.jsonl", &events);
        place.ok(&["import", "items", "items.jsonl"]);
        place.ok(&["import", "events", "events.jsonl"]);
        place
    }

    fn trained() -> Self {
        let place = Self::filled();
        place.ok(&["train", "--dimension", "4", "--epochs", "5", "--activate", "always"]);
        place
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server on a port of its own, stopped when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(place: &Place) -> Self {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--log", "error"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, url }
    }

    /// Asks it to stop as an operator does, and gives the exit code.
    fn stop(mut self, signal: &str) -> i32 {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
        "config",
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
    assert!(place.json(&["doctor"]).as_array().unwrap().iter().all(|finding| finding["ok"] == true));
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
fn evaluation_measures_the_model_beside_popularity() {
    let place = Place::filled();
    let text = place.ok(&["evaluate", "--dimension", "4", "--split", "leave-last-out"]);
    for words in ["popularity", "ndcg@10", "recall@20", "40 users", "seed", "weights  "] {
        assert!(text.contains(words), "{words} in {text}");
    }
    place.file("test.csv", "user,item\nu1,f5\nu2,f4\nu30,f18\n");
    let given = place.json(&["evaluate", "--dimension", "4", "--test", "test.csv"]);
    assert!(given["train_seconds"].as_f64().unwrap() > 0.0);
    assert!(given["report"]["users"] == 3, "{given}");
}

#[test]
fn settings_are_compared_and_the_page_is_written() {
    let place = Place::filled();
    let compared = ["evaluate", "--split", "folds:3", "--dimension", "4", "--compare", "dimension=2,epochs=1"];
    let text = place.ok(&[&compared[..], &["--slices", "--report", "page.html"]].concat());
    for words in ["3 parts", "dimension=2,epochs=1", "against", "long tail", "new users", "diversity@10", "sign flips"]
    {
        assert!(text.contains(words), "{words} in {text}");
    }
    let page = std::fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("dimension=2,epochs=1") && page.contains("<svg"));
    let (code, message) = place.fails(&["evaluate", "--compare", "dimensions=2"]);
    assert!(code == 2 && message.contains("dimensions"), "{message}");
}

#[test]
fn snapshots_are_compared_when_there_are_later_events() {
    let place = Place::trained();
    place.ok(&["train", "--dimension", "2", "--activate", "never"]);
    let (code, message) = place.fails(&["snapshot", "compare", "1", "2"]);
    assert!(code == 1 && message.contains("wait for new events"), "{message}");
    let seen = |user: i64, film: i64| (film + user) % 6 != 0;
    let later = (0..20).map(|user| {
        let film = (0..12).find(|film| !seen(user, *film)).unwrap();
        format!(
            "{{\"user\":\"u{user}\",\"item\":\"f{film}\",\"type\":\"view\",\"time\":{}}}\n",
            1_800_000_000_000 + user
        )
    });
    place.file("later.jsonl", &later.collect::<String>());
    place.ok(&["import", "events", "later.jsonl"]);
    let comparison = place.json(&["snapshot", "compare", "1", "2", "--report", "page.html"]);
    assert_eq!(comparison["report"]["users"], 20, "{comparison}");
    assert_eq!(comparison["report"]["models"][2]["name"], "snapshot 2");
    assert!(place.path("page.html").exists());
}

#[test]
fn snapshots_are_switched_and_travel() {
    let place = Place::trained();
    place.ok(&["train", "--dimension", "4", "--seed", "7", "--activate", "never"]);
    assert_eq!(place.json(&["stats"])["active_snapshot"], 1);
    place.ok(&["snapshot", "activate", "2"]);
    assert_eq!(place.json(&["snapshot", "rollback"])["active"], 1);
    place.ok(&["snapshot", "export", "2", "two.savor"]);
    let imported = place.json(&["snapshot", "import", "two.savor", "--activate", "--data", "elsewhere"]);
    assert_eq!(imported["state"], "active");
    let (code, message) = place.fails(&["snapshot", "activate", "99"]);
    assert_eq!((code, message.trim()), (1, "savor: no snapshot \"99\""));
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
fn a_directory_that_is_served_says_where() {
    let place = Place::trained();
    let server = Server::start(&place);
    let (code, message) = place.fails(&["stats"]);
    assert_eq!(code, 1);
    assert!(message.contains("in use") && message.contains(&server.url) && message.contains("--url"), "{message}");
    assert_eq!(server.stop("-TERM"), 0);
    assert_eq!(place.json(&["stats"])["users"], 40);
}

#[test]
fn a_server_takes_the_same_commands() {
    let place = Place::trained();
    let here = place.json(&["recommend", "u1"])["items"].clone();
    let server = Server::start(&place);
    let there = |args: &[&str]| place.json(&[args, &["--url", &server.url]].concat());
    assert_eq!(there(&["recommend", "u1"])["items"], here);
    assert_eq!(there(&["similar", "f1"])["items"].as_array().unwrap().len(), 10);
    assert_eq!(there(&["list", "latest", "--category", "Drama", "-n", "2"])["items"].as_array().unwrap().len(), 2);
    assert!(there(&["explain", "u1"])["items"][0]["because"].is_array());
    place.file("more.jsonl", "{\"user\":\"new/one\",\"item\":\"f1\",\"type\":\"view\",\"time\":1700000000000}\n");
    assert_eq!(there(&["import", "events", "more.jsonl"])["stored"], 1);
    assert_eq!(there(&["import", "events", "more.jsonl"])["known"], 1);
    assert_eq!(there(&["user", "show", "new/one"])["events"].as_array().unwrap().len(), 1);
    assert_eq!(there(&["user", "delete", "new/one"])["deleted"], true);
    assert_eq!(there(&["train", "--activate", "always"])["state"], "active");
    assert_eq!(there(&["snapshot", "list"]).as_array().unwrap().len(), 2);
    assert_eq!(there(&["snapshot", "rollback"])["active"], 1);
    assert_eq!(there(&["snapshot", "activate", "2"])["active"], 2);
    assert_eq!(there(&["stats"])["events"], 400);
    assert!(Path::new(there(&["backup", "monday"])["path"].as_str().unwrap()).is_dir());
    let titles = place.ok(&["recommend", "u1", "--url", &server.url]);
    assert!(titles.contains("Comedy 5"), "{titles}");
    let (code, message) = place.fails(&["snapshot", "show", "99", "--url", &server.url]);
    assert_eq!((code, message.trim()), (1, "savor: no snapshot \"99\""));
    let (code, message) = place.fails(&["train", "--epochs", "3", "--url", &server.url]);
    assert_eq!(code, 2, "{message}");
    assert_eq!(server.stop("-INT"), 0);
    let (code, message) = place.fails(&["stats", "--url", "http://127.0.0.1:1"]);
    assert!(code == 1 && message.contains("savor serve"), "{message}");
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
