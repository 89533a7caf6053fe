//! A place's files under the shim (tools/torture/shim.c), and a server on it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::client::{Client, Response};
pub use crate::orders::Order;
use crate::orders::Orders;
use crate::place::Place;

pub const EIO: i64 = 5;
pub const ENOSPC: i64 = 28;

/// Orders for the processes that are started under it; only files of the place's data fail.
pub struct Shim {
    orders: Orders,
    under: PathBuf,
}

impl Shim {
    pub fn over(place: &Place) -> Self {
        Self { orders: Orders::new().unwrap(), under: place.path("data").canonicalize().unwrap() }
    }

    /// Holds from the next call of the system on.
    pub fn order(&self, order: Order, value: i64) {
        self.orders.give(order, value).unwrap();
    }

    /// Calls that were made to fail until now.
    pub fn injected(&self) -> i64 {
        self.orders.injected().unwrap()
    }

    /// The binary under it. It works in the canonical folder: the shim goes by paths.
    pub fn command(&self, place: &Place, args: &[&str]) -> Command {
        let mut command = place.command(args);
        self.orders.over(&mut command, &self.under);
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
