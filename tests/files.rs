//! What a command is to write at its end is tried before its work: nobody loses an hour to a folder that is not there.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "support/command.rs"]
mod command;
#[allow(dead_code)] // Only its world is asked for.
mod support;

use std::path::Path;

use command::savor;
use savor::{Silent, TrainOptions};
use support::world;

/// A command that fails by the file that it names, with nothing to show.
fn refused(dir: &Path, args: &[&str], file: &str) {
    let output = savor(dir, args).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {message}");
    assert!(message.contains(file) && output.stdout.is_empty(), "{args:?}: {message}");
}

#[test]
fn a_search_is_not_begun_when_its_files_cannot_be_written() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    drop(world(&dir.join("data")));
    let search = ["tune", "--models", "popularity", "--trials", "2", "--format", "json"];
    for (option, file) in
        [("--plot", "missing/page.html"), ("--plot", "data"), ("--write", "missing/other.toml"), ("--write", "data")]
    {
        refused(dir, &[&search[..], &[option, file]].concat(), file);
    }
    let done = savor(dir, &[&search[..], &["--plot", "page.html", "--write", "other.toml"]].concat()).output().unwrap();
    let done: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(done["resumed"], 0, "nothing was measured before");
    assert_eq!((&done["written"], &done["train"]["model"]), (&"other.toml".into(), &"popularity".into()));
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["data", "other.toml", "page.html"]);
}

#[test]
fn the_command_that_trains_with_what_was_written_is_named() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    drop(world(&dir.join("data")));
    let search = ["tune", "--models", "popularity", "--trials", "2"];
    for (written, command) in [
        (&["--write", "other.toml"][..], "`savor train --config other.toml` takes"),
        (&["--write", "data/savor.toml"], "`savor train` takes"),
        (&[], "`savor train` takes"),
        (&["--config", "other.toml"], "`savor train --config other.toml` takes"),
    ] {
        let output = savor(dir, &[&search[..], written].concat()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(command), "{written:?}: {text}");
    }
}

#[test]
fn nothing_is_measured_for_a_page_that_cannot_be_written() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    let engine = world(&dir.join("data"));
    for _ in 0..2 {
        engine.train_with(&TrainOptions { measure: false, ..TrainOptions::default() }, &Silent).unwrap();
    }
    drop(engine);
    refused(dir, &["evaluate", "--report", "missing/page.html"], "missing/page.html");
    // Without the page it is the missing events that are told of: the file is looked at first.
    refused(dir, &["snapshot", "compare", "1", "2"], "wait for new events");
    refused(dir, &["snapshot", "compare", "1", "2", "--report", "missing/page.html"], "missing/page.html");
}
