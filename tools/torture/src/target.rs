//! The process that is killed: the real binary as a server, or this one with the library in it (`library`). Both take the same
//! requests.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::Agent;

use crate::Result;
use crate::estate::{Deed, tenant_name};
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
    /// Answers with the items.
    Ask(String),
    Search(Vec<f32>),
    /// The same of a tenant.
    Of(String, Box<Request>),
    Do(Deed),
    /// What a token lets in to, of a tenant that is named beside it: items, or 0 where it does not.
    Enter {
        token: String,
        tenant: Option<usize>,
    },
}

/// What it says to that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// A number that belongs to it: records stored, the snapshot.
    Done(u64),
    Items(Vec<String>),
    /// A key with a new secret.
    Key {
        id: String,
        token: String,
    },
    Refused(String),
}

/// A connection to a victim. `None`: it is gone, and what was asked for is in doubt.
pub enum Line {
    Http { agent: Agent, url: String, binary: PathBuf, scratch: PathBuf, token: Option<String> },
    Library(BufReader<TcpStream>),
}

/// A process that can be killed.
pub struct Victim {
    pub child: Child,
    /// `None`: it ended before it could be asked anything.
    address: Option<String>,
    binary: Option<PathBuf>,
    scratch: PathBuf,
    token: Option<String>,
}

impl Victim {
    /// Starts `command`, which tells its address on its first line. A server is the binary that is given, and is asked with the
    /// token.
    pub fn start(mut command: Command, binary: Option<&Path>, scratch: &Path, token: Option<String>) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line.trim().strip_prefix("listening on ").map(str::to_owned);
        Ok(Self { child, address, binary: binary.map(Path::to_path_buf), scratch: scratch.to_path_buf(), token })
    }

    /// A connection for one thread.
    pub fn line(&self) -> Option<Line> {
        let address = self.address.as_ref()?;
        match &self.binary {
            Some(binary) => {
                let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
                let (url, binary, scratch) = (address.clone(), binary.clone(), self.scratch.clone());
                Some(Line::Http { agent: config.into(), url, binary, scratch, token: self.token.clone() })
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
            Self::Http { agent, url, binary, scratch, token } => {
                Http { agent, url, binary, scratch, token: token.as_deref(), tenant: None }.send(request)
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Http<'a> {
    agent: &'a Agent,
    url: &'a str,
    binary: &'a Path,
    scratch: &'a Path,
    token: Option<&'a str>,
    tenant: Option<&'a str>,
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
                self.told("GET", &format!("/v1/users/{user}/recommendations"), &Value::Null, |body| items(&body))
            }
            Request::Search(vector) => {
                self.call("POST", "/v1/vectors/search", &json!({"space": SPACE, "vector": vector}), none)
            }
            Request::Of(tenant, request) => Http { tenant: Some(tenant), ..*self }.send(request),
            Request::Do(deed) => self.deed(deed),
            Request::Enter { token, tenant } => {
                let tenant = tenant.map(tenant_name);
                let caller = Http { token: Some(token), tenant: tenant.as_deref(), ..*self };
                // Too many wrong secrets are told otherwise, and let nobody in either; a tenant that is not the key's is not there.
                caller.reply("GET", "/v1/lists/popular", &Value::Null, |status, body| match status {
                    200..300 => Some(items(&body)),
                    401 | 404 | 429 => Some(Reply::Done(0)),
                    _ => None,
                })
            }
        }
    }

    fn deed(&self, deed: &Deed) -> Option<Reply> {
        let none = |_: Value| 0;
        let key = |body: Value| match (body["key"]["id"].as_str(), body["token"].as_str()) {
            (Some(id), Some(token)) => Reply::Key { id: id.to_owned(), token: token.to_owned() },
            _ => Reply::Refused(body.to_string()),
        };
        match deed {
            Deed::MakeTenant(number) => {
                self.call("PUT", &format!("/v1/tenants/{}", tenant_name(*number)), &json!({}), none)
            }
            Deed::DeleteTenant(number) => {
                let name = tenant_name(*number);
                self.call("DELETE", &format!("/v1/tenants/{name}?confirm={name}"), &Value::Null, none)
            }
            Deed::BackUp(number) => {
                Http { tenant: Some(&tenant_name(*number)), ..*self }.call("POST", "/v1/backups", &json!({}), none)
            }
            Deed::Write(number, op) => Http { tenant: Some(&tenant_name(*number)), ..*self }.write(op),
            Deed::MakeKey { name, tenant } => {
                let mut design = json!({"name": name, "scopes": ["read"]});
                if let Some(tenant) = tenant {
                    design["tenant"] = tenant_name(*tenant).into();
                }
                self.told("POST", "/v1/keys", &design, key)
            }
            Deed::RotateKey(id) => self.told("POST", &format!("/v1/keys/{id}:rotate"), &json!({"overlap": "0s"}), key),
            Deed::RevokeKey(id) => self.call("DELETE", &format!("/v1/keys/{id}"), &Value::Null, none),
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
                command.envs(self.token.map(|token| ("SAVOR_API_KEY", token)));
                let output = command.current_dir(self.scratch).output().ok()?;
                let summary: Value = serde_json::from_slice(&output.stdout).ok()?;
                Some(Reply::Done(summary["stored"].as_u64()?))
            }
        }
    }

    fn call(&self, method: &str, path: &str, body: &Value, number: impl Fn(Value) -> u64) -> Option<Reply> {
        self.told(method, path, body, |answer| Reply::Done(number(answer)))
    }

    fn told(&self, method: &str, path: &str, body: &Value, reply: impl Fn(Value) -> Reply) -> Option<Reply> {
        self.reply(method, path, body, |status, answer| (200..300).contains(&status).then(|| reply(answer)))
    }

    /// What a status and a body mean; none if the request was refused.
    fn reply(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        reply: impl Fn(u16, Value) -> Option<Reply>,
    ) -> Option<Reply> {
        loop {
            let (status, answer) = self.ask(method, path, body)?;
            // A machine with much else to do: nothing of it was begun, and it is asked again.
            if status == 503 && answer["code"] == "overloaded" {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            let refused = || Reply::Refused(format!("{method} {path}: {status} {answer}"));
            return Some(reply(status, answer.clone()).unwrap_or_else(refused));
        }
    }

    /// Status and body. An answer that was cut off is none.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let url = format!("{}{path}", self.url);
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(tenant) = self.tenant {
            request = request.header("savor-tenant", tenant);
        }
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

/// The items of an answer.
fn items(body: &Value) -> Reply {
    let items = body["items"].as_array().into_iter().flatten();
    Reply::Items(items.filter_map(|item| Some(item["item"].as_str()?.to_owned())).collect())
}

/// Events as a file of JSON Lines.
pub fn events_file(scratch: &Path, events: &[savor::Event]) -> Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile_in(scratch)?;
    for event in events {
        writeln!(file, "{}", serde_json::to_string(event)?)?;
    }
    Ok(file)
}

/// Where backups of a directory lie, as the server puts them.
pub fn backups(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".backups");
    dir.with_file_name(name)
}
