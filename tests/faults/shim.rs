//! The shim (tools/torture/shim.c), compiled once, and a server under it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, Response};
use crate::place::Place;

/// The orders that the shim takes, in the order in which it reads them.
#[derive(Clone, Copy)]
pub enum Order {
    SyncError,
    WriteError,
    Room,
    ShortWrites,
    ReadError,
    ClockSeconds,
    ReadOnly,
    Injected,
}

pub const EIO: i64 = 5;
pub const ENOSPC: i64 = 28;

fn library() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/torture/shim.c");
        let built = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        assert!(built.expect("cc, which RocksDB is built with, too").success());
        (folder, library)
    });
    library
}

/// Orders for the processes that are started under it; only files of the place's data fail.
pub struct Shim {
    orders: File,
    path: PathBuf,
    under: PathBuf,
}

impl Shim {
    pub fn over(place: &Place) -> Self {
        let path = place.path("orders");
        let orders = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        orders.set_len(64).unwrap();
        let shim = Self { orders, path, under: place.path("data").canonicalize().unwrap() };
        shim.order(Order::Room, -1);
        shim
    }

    /// Holds from the next call of the system on.
    pub fn order(&self, order: Order, value: i64) {
        self.orders.write_all_at(&value.to_ne_bytes(), order as u64 * 8).unwrap();
    }

    /// Calls that were made to fail until now.
    pub fn injected(&self) -> i64 {
        let mut bytes = [0; 8];
        self.orders.read_exact_at(&mut bytes, Order::Injected as u64 * 8).unwrap();
        i64::from_ne_bytes(bytes)
    }

    /// The binary under it. It works in the canonical folder: the shim goes by paths.
    pub fn command(&self, place: &Place, args: &[&str]) -> Command {
        let mut command = place.command(args);
        command.env("LD_PRELOAD", library()).env("SAVOR_SHIM", &self.path).env("SAVOR_SHIM_UNDER", &self.under);
        command.env("SAVOR_DATA", &self.under);
        command
    }
}

/// `savor serve` under a shim; killed when dropped.
pub struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    pub fn start(place: &Place, shim: &Shim) -> Self {
        let log = File::options().append(true).create(true).open(place.path("log")).unwrap();
        let mut command = shim.command(place, &["serve", "--listen", "127.0.0.1:0", "--log", "info"]);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}, {}", log_of(place)));
        Self { child, address: address.parse().unwrap() }
    }

    pub fn get(&self, path: &str) -> Response {
        Client::connect(self.address).get(path)
    }

    pub fn json(&self, method: &str, path: &str, body: &str) -> Response {
        Client::connect(self.address).json(method, path, body)
    }

    /// One event with this id.
    pub fn event(&self, id: &str) -> Response {
        let event = format!("{{\"user\":\"u1\",\"item\":\"f1\",\"type\":\"note\",\"id\":\"{id}\"}}");
        self.json("POST", "/v1/events", &event)
    }

    /// Trains and waits; the job as it ended.
    pub fn train(&self) -> Value {
        let job = self.json("POST", "/v1/train", r#"{"measure":false,"activate":"always"}"#).expect(202);
        loop {
            let job = self.get(&format!("/v1/jobs/{}", job["id"])).expect(200);
            if job["state"] != "running" {
                return job;
            }
            std::thread::yield_now();
        }
    }

    /// Questions are answered from a snapshot.
    #[track_caller]
    pub fn answers(&self) {
        let answer = self.get("/v1/users/u1/recommendations").expect(200);
        assert!(answer["snapshot"].is_u64() && !answer["items"].as_array().unwrap().is_empty(), "{answer}");
        self.get("/healthz").expect(200);
    }

    /// As a crash does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn log_of(place: &Place) -> String {
    std::fs::read_to_string(place.path("log")).unwrap_or_default()
}
