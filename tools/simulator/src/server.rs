//! A real server: one that is there, or one that is started here, in a directory that goes with it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

use crate::Result;
use crate::clock::Clock;

const LONGEST_TRAINING: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(50);

pub struct Server {
    started: Option<(Child, TempDir)>,
    clock: Option<Clock>,
    pub client: Client,
}

impl Server {
    pub fn there(url: &str) -> Self {
        Self { started: None, clock: None, client: Client::new(url) }
    }

    /// Starts `savor serve` on an empty directory and a free port, under a clock if there is one.
    pub fn start(savor: &Path, settings: &[String], clock: Option<Clock>) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let mut command = Command::new(savor);
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--data"]).arg(data.path());
        for setting in settings {
            command.args(["--set", setting]);
        }
        if let Some(clock) = &clock {
            clock.over(&mut command);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().map_err(|e| format!("{}: {e}", savor.display()))?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let Some(place) = line.find("http://") else {
            process.kill()?;
            process.wait()?;
            return Err(format!("{command:?} did not tell its address: {line:?}").into());
        };
        Ok(Self { client: Client::new(line[place..].trim_end()), started: Some((process, data)), clock })
    }

    /// It is this time for a server that is under a clock: milliseconds since 1970.
    pub fn set_clock(&self, millis: i64) -> Result<()> {
        self.clock.as_ref().map_or(Ok(()), |clock| clock.set(millis))
    }

    /// Resident memory in MiB, of a server that was started here, where the system tells it.
    pub fn memory(&self) -> Option<f64> {
        let (process, _) = self.started.as_ref()?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((process, _)) = &mut self.started {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// One keep-alive connection.
pub struct Client {
    agent: Agent,
    url: String,
}

impl Client {
    pub fn new(url: &str) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(60)));
        Self { agent: config.build().into(), url: url.trim_end_matches('/').to_owned() }
    }

    /// A connection of its own to the same server.
    pub fn another(&self) -> Self {
        Self::new(&self.url)
    }

    /// Status and body; a body that is no JSON is null.
    pub fn ask(&self, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let url = format!("{}{path}", self.url);
        let mut answer = match body {
            Some(body) => self.agent.post(&url).send_json(body)?,
            None => self.agent.get(&url).call()?,
        };
        let value = serde_json::from_slice(&answer.body_mut().read_to_vec()?).unwrap_or(Value::Null);
        Ok((answer.status().as_u16(), value))
    }

    pub fn get(&self, path: &str) -> Result<Value> {
        good(path, self.ask(path, None)?)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        good(path, self.ask(path, Some(body))?)
    }

    /// Stores all records, or says which was refused.
    pub fn put(&self, path: &str, records: &[Value]) -> Result<()> {
        for batch in records.chunks(1000) {
            let answer = self.post(path, &json!(batch))?;
            if let Some(first) = answer["rejected"].as_array().and_then(|rejected| rejected.first()) {
                return Err(format!("{path}: refused: {first}").into());
            }
        }
        Ok(())
    }

    /// Trains and waits for it; why the new snapshot does not answer, if it does not.
    pub fn train(&self, activate: &str) -> Result<Option<String>> {
        let job = self.post("/v1/train", &json!({ "activate": activate }))?;
        self.finished(&format!("/v1/jobs/{}", job["id"]))
    }

    fn finished(&self, path: &str) -> Result<Option<String>> {
        let begun = Instant::now();
        while begun.elapsed() < LONGEST_TRAINING {
            let job = self.get(path)?;
            match job["state"].as_str() {
                // A refusal of the gate is told by a message.
                Some("done") => return Ok(job["message"].as_str().map(str::to_owned)),
                Some("running") => std::thread::sleep(POLL),
                _ => return Err(format!("the training failed: {job}").into()),
            }
        }
        Err(format!("{path}: not finished after {} s", LONGEST_TRAINING.as_secs()).into())
    }

    /// The numbers of the trainings that the server began and ended by itself, and why what they made did not go live.
    pub fn retrained(&self) -> Result<Vec<(u64, Option<String>)>> {
        let jobs = self.get("/v1/jobs")?;
        let own = jobs["jobs"].as_array().into_iter().flatten().filter(|job| job["kind"] == "retrain");
        let ended = own.filter(|job| !job["finished"].is_null());
        Ok(ended.filter_map(|job| Some((job["id"].as_u64()?, job["message"].as_str().map(str::to_owned)))).collect())
    }

    /// Waits until the server has trained by itself once more than `before`.
    pub fn await_retraining(&self, before: usize) -> Result<()> {
        let begun = Instant::now();
        while self.retrained()?.len() <= before {
            if begun.elapsed() > LONGEST_TRAINING {
                return Err("the server does not train by itself".into());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

fn good(path: &str, (status, body): (u16, Value)) -> Result<Value> {
    if (200..300).contains(&status) { Ok(body) } else { Err(format!("{path}: status {status}: {body}").into()) }
}
