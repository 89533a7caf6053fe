//! The process that is killed: the real binary as a server, or this one with the library in it. Both take the same
//! requests.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use savor::ingest::{ImportOptions, Kind, Source};
use savor::{Config, Engine, Query, Silent, SnapshotId, TrainOptions, VectorQuery};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::Agent;

use crate::Result;
use crate::model::Op;

/// Space of the vectors that some items have.
pub const SPACE: &str = "look";

/// What a victim is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    Write(Op),
    /// Answers with the number of the snapshot, which answers questions by then.
    Train,
    Activate(u64),
    RollBack,
    /// By its name, in the folder beside the directory.
    BackUp(String),
    /// Exports the active snapshot and takes it in again; answers with its new number.
    Bundle,
    Ask(String),
    Search(Vec<f32>),
}

/// What it says to that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// A number that belongs to it: records stored, the snapshot.
    Done(u64),
    Refused(String),
}

/// A connection to a victim. `None`: it is gone, and what was asked for is in doubt.
pub enum Line {
    Http { agent: Agent, url: String, binary: PathBuf, scratch: PathBuf },
    Library(BufReader<TcpStream>),
}

/// A process that can be killed.
pub struct Victim {
    pub child: Child,
    /// `None`: it ended before it could be asked anything.
    address: Option<String>,
    binary: Option<PathBuf>,
    scratch: PathBuf,
}

impl Victim {
    /// Starts `command`, which tells its address on its first line. A server is the binary that is given.
    pub fn start(mut command: Command, binary: Option<&Path>, scratch: &Path) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line.trim().strip_prefix("listening on ").map(str::to_owned);
        Ok(Self { child, address, binary: binary.map(Path::to_path_buf), scratch: scratch.to_path_buf() })
    }

    /// A connection for one thread.
    pub fn line(&self) -> Option<Line> {
        let address = self.address.as_ref()?;
        match &self.binary {
            Some(binary) => {
                let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
                let (url, binary, scratch) = (address.clone(), binary.clone(), self.scratch.clone());
                Some(Line::Http { agent: config.into(), url, binary, scratch })
            }
            None => {
                let stream = TcpStream::connect(address).ok()?;
                stream.set_read_timeout(Some(PATIENCE)).ok()?;
                Some(Line::Library(BufReader::new(stream)))
            }
        }
    }

    /// Kills it, if it has not ended yet, and tells how it ended.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No answer takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

impl Line {
    /// Sends a request and waits for the answer. `None`: the victim is gone.
    pub fn send(&mut self, request: &Request) -> Option<Reply> {
        match self {
            Self::Library(stream) => {
                let line = serde_json::to_string(request).ok()?;
                stream.get_mut().write_all(format!("{line}\n").as_bytes()).ok()?;
                let mut answer = String::new();
                stream.read_line(&mut answer).ok()?;
                serde_json::from_str(&answer).ok()
            }
            Self::Http { agent, url, binary, scratch } => Http { agent, url, binary, scratch }.send(request),
        }
    }
}

struct Http<'a> {
    agent: &'a Agent,
    url: &'a str,
    binary: &'a Path,
    scratch: &'a Path,
}

impl Http<'_> {
    fn send(&self, request: &Request) -> Option<Reply> {
        let field = |name: &'static str| move |body: Value| body[name].as_u64().unwrap_or_default();
        let none = |_: Value| 0;
        match request {
            Request::Write(op) => self.write(op),
            Request::Train => {
                let options = json!({"measure": false, "ranker": false, "activate": "always"});
                let job = match self.call("POST", "/v1/train", &options, field("id"))? {
                    Reply::Done(job) => job,
                    refused => return Some(refused),
                };
                loop {
                    let (_, job) = self.ask("GET", &format!("/v1/jobs/{job}"), &Value::Null)?;
                    match job["state"].as_str() {
                        Some("running") => std::thread::sleep(Duration::from_millis(2)),
                        Some("done") => return Some(Reply::Done(job["snapshot"].as_u64()?)),
                        _ => return Some(Reply::Refused(job.to_string())),
                    }
                }
            }
            Request::Activate(id) => {
                self.call("POST", &format!("/v1/snapshots/{id}:activate"), &Value::Null, field("active"))
            }
            Request::RollBack => self.call("POST", "/v1/snapshots:rollback", &Value::Null, field("active")),
            Request::BackUp(name) => self.call("POST", "/v1/backups", &json!({ "name": name }), none),
            // A server neither exports nor imports bundles.
            Request::Bundle => Some(Reply::Done(0)),
            Request::Ask(user) => {
                self.call("GET", &format!("/v1/users/{user}/recommendations"), &Value::Null, |body| {
                    body["items"].as_array().map_or(0, |items| items.len() as u64)
                })
            }
            Request::Search(vector) => {
                self.call("POST", "/v1/vectors/search", &json!({"space": SPACE, "vector": vector}), none)
            }
        }
    }

    fn write(&self, op: &Op) -> Option<Reply> {
        let upserted =
            |body: Value| body["created"].as_u64().unwrap_or_default() + body["changed"].as_u64().unwrap_or_default();
        let none = |_: Value| 0;
        let accepted = |body: Value| body["accepted"].as_u64().unwrap_or_default();
        let moved = |body: Value| body["moved"].as_u64().unwrap_or_default();
        match op {
            Op::Events(events) => self.call("POST", "/v1/events", &json!(events), accepted),
            // One record alone goes by the route for one.
            Op::Items(items) if items.len() == 1 => {
                self.call("PUT", &format!("/v1/items/{}", items.first()?.id), &json!(items.first()), upserted)
            }
            Op::Items(items) => self.call("POST", "/v1/items", &json!(items), upserted),
            Op::Users(users) if users.len() == 1 => {
                self.call("PUT", &format!("/v1/users/{}", users.first()?.id), &json!(users.first()), upserted)
            }
            Op::Users(users) => self.call("POST", "/v1/users", &json!(users), upserted),
            Op::PatchItem(id, patch) => self.call("PATCH", &format!("/v1/items/{id}"), &json!(patch), none),
            Op::PatchUser(id, patch) => self.call("PATCH", &format!("/v1/users/{id}"), &json!(patch), none),
            Op::DeleteItem(id) => self.call("DELETE", &format!("/v1/items/{id}"), &Value::Null, none),
            Op::DeleteUser(id) => self.call("DELETE", &format!("/v1/users/{id}"), &Value::Null, none),
            Op::Merge { into, from } => {
                self.call("PUT", &format!("/v1/users/{into}/merge/{from}"), &Value::Null, moved)
            }
            Op::Scenario(name, scenario) => self.call("PUT", &format!("/v1/scenarios/{name}"), &json!(scenario), none),
            Op::DeleteScenario(name) => self.call("DELETE", &format!("/v1/scenarios/{name}"), &Value::Null, none),
            Op::Experiment(id, design) => self.call("PUT", &format!("/v1/experiments/{id}"), &json!(design), none),
            Op::StartExperiment(id) => self.call("POST", &format!("/v1/experiments/{id}:start"), &Value::Null, none),
            Op::StopExperiment(id) => self.call("POST", &format!("/v1/experiments/{id}:stop"), &Value::Null, none),
            Op::DeleteExperiment(id) => self.call("DELETE", &format!("/v1/experiments/{id}"), &Value::Null, none),
            Op::Import { events, .. } => {
                let file = events_file(self.scratch, events).ok()?;
                let mut command = Command::new(self.binary);
                command.args(["import", "events", "--format", "json", "--url", self.url]).arg(file.path());
                let output = command.current_dir(self.scratch).output().ok()?;
                let summary: Value = serde_json::from_slice(&output.stdout).ok()?;
                Some(Reply::Done(summary["stored"].as_u64()?))
            }
        }
    }

    fn call(&self, method: &str, path: &str, body: &Value, number: impl Fn(Value) -> u64) -> Option<Reply> {
        loop {
            let (status, answer) = self.ask(method, path, body)?;
            return Some(match status {
                200..300 => Reply::Done(number(answer)),
                // A machine with much else to do: nothing of it was begun, and it is asked again.
                503 if answer["code"] == "overloaded" => {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                }
                _ => Reply::Refused(format!("{method} {path}: {status} {answer}")),
            });
        }
    }

    /// Status and body. An answer that was cut off is none.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let url = format!("{}{path}", self.url);
        let request = ureq::http::Request::builder().method(method).uri(&url);
        let answer = match body {
            // Methods that take a body get an empty one.
            Value::Null if matches!(method, "POST" | "PUT") => self.agent.run(request.body(Vec::new()).ok()?),
            Value::Null => self.agent.run(request.body(()).ok()?),
            body => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(serde_json::to_vec(body).ok()?).ok()?)
            }
        };
        let mut answer = answer.ok()?;
        let bytes = answer.body_mut().read_to_vec().ok()?;
        Some((answer.status().as_u16(), serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }
}

/// Events as a file of JSON Lines.
pub fn events_file(scratch: &Path, events: &[savor::Event]) -> Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile_in(scratch)?;
    for event in events {
        writeln!(file, "{}", serde_json::to_string(event)?)?;
    }
    Ok(file)
}

/// The library, embedded in a storage service: answers requests, one line each, until it is killed.
pub fn serve_library(dir: &Path, config: Config) -> Result<()> {
    let engine = Engine::open(dir, config)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, engine, dir) = (stream?, engine.clone(), dir.to_path_buf());
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                let reply = match serde_json::from_str(&line) {
                    Ok(request) => answer(&engine, &dir, request)
                        .map_or_else(|error| Reply::Refused(error.to_string()), Reply::Done),
                    Err(error) => Reply::Refused(error.to_string()),
                };
                line.clear();
                let reply = serde_json::to_string(&reply).unwrap_or_default();
                if writeln!(reader.get_mut(), "{reply}").is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

fn answer(engine: &Engine, dir: &Path, request: Request) -> Result<u64> {
    Ok(match request {
        Request::Write(op) => write(engine, dir, op)?,
        Request::Train => {
            let snapshot = engine.train(&TrainOptions { measure: false, ranker: false, ..TrainOptions::default() })?;
            engine.activate(snapshot)?;
            snapshot.0
        }
        Request::Activate(id) => {
            engine.activate(SnapshotId(id))?;
            id
        }
        Request::RollBack => engine.rollback()?.0,
        Request::BackUp(name) => {
            engine.backup(backups(dir).join(name))?;
            0
        }
        Request::Bundle => {
            let Some(active) = engine.active_snapshot() else { return Ok(0) };
            let file = dir.with_extension("bundle");
            engine.export_snapshot(active, &file)?;
            engine.import_snapshot(&file)?.0
        }
        Request::Ask(user) => engine.recommend(&Query::for_user(user))?.items.len() as u64,
        Request::Search(vector) => {
            let query = VectorQuery { space: SPACE.into(), vector, limit: 10, filter: None, explain: false };
            engine.search_vectors(&query)?.items.len() as u64
        }
    })
}

fn write(engine: &Engine, dir: &Path, op: Op) -> Result<u64> {
    let none = 0;
    Ok(match op {
        Op::Events(events) => engine.append_events(&events)?.stored,
        Op::Items(items) => {
            let put = engine.put_items(&items)?;
            put.created + put.changed
        }
        Op::Users(users) => {
            let put = engine.put_users(&users)?;
            put.created + put.changed
        }
        Op::PatchItem(id, patch) => engine.patch_item(&id, patch).map(|_| none)?,
        Op::PatchUser(id, patch) => engine.patch_user(&id, patch).map(|_| none)?,
        Op::DeleteItem(id) => u64::from(engine.delete_item(&id)?),
        Op::DeleteUser(id) => u64::from(engine.delete_user(&id)?),
        Op::Merge { into, from } => engine.merge_users(&into, &from)?.moved,
        Op::Scenario(name, scenario) => engine.put_scenario(&name, *scenario, None).map(|_| none)?,
        Op::DeleteScenario(name) => engine.delete_scenario(&name, None).map(|()| none)?,
        Op::Experiment(id, design) => engine.put_experiment(&id, &design).map(|_| none)?,
        Op::StartExperiment(id) => engine.start_experiment(&id).map(|_| none)?,
        Op::StopExperiment(id) => engine.stop_experiment(&id).map(|_| none)?,
        Op::DeleteExperiment(id) => engine.delete_experiment(&id).map(|()| none)?,
        Op::Import { events, batch } => {
            let file = events_file(dir.parent().unwrap_or(dir), &events)?;
            let options = ImportOptions { batch, ..ImportOptions::default() };
            engine.import(Kind::Events, &Source::file(file.path()), &options, &Silent)?.stored
        }
    })
}

/// Where backups of a directory lie, as the server puts them.
pub fn backups(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".backups");
    dir.with_file_name(name)
}
