//! A folder of its own for each test, what it is filled with, and a server on top of it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::command::savor;

/// The folder, and the binary in it.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        savor(self.0.path(), args)
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code and standard error of a command that must fail.
    pub fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?}");
        (output.status.code().unwrap(), stderr(&output))
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["--format", "json"]].concat())).unwrap()
    }

    /// Two groups of twenty users, each with its own twelve films; everybody has seen all but two of theirs.
    pub fn filled() -> Self {
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

    pub fn trained() -> Self {
        let place = Self::filled();
        place.ok(&["train", "--dimension", "4", "--epochs", "5", "--activate", "always"]);
        place
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server on a port of its own, stopped when dropped.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    pub fn start(place: &Place) -> Self {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--log", "error"]);
        Self::of(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// One that was just started, with its standard output piped.
    pub fn of(mut child: Child) -> Self {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, url }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, such as `-HUP`.
    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.id().to_string()]).status().unwrap().success());
    }

    /// Asks it to stop as an operator does, and gives the exit code.
    pub fn stop(mut self, signal: &str) -> i32 {
        self.signal(signal);
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
