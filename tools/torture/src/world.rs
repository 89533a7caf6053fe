//! A directory, the model of it, and one round: a victim is started, kept busy and killed, and what is left is compared.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use savor::{Config, Engine, KeyDesign, Scope};
use tempfile::TempDir;

use crate::Result;
use crate::estate::{Estate, lock};
use crate::figures::Figures;
use crate::finding::{Finding, Kind as Found};
use crate::lane::Lane;
use crate::operator::{Backup, Pointer};
use crate::plan::{Blow, Kind, Plan};

/// Writers at work at the same time.
pub const LANES: usize = 3;
/// A round that has not come to its blow by then is ended by one.
pub const LONGEST: Duration = Duration::from_secs(6);
const SETTINGS: &str = "[train]\nmodel = \"ials\"\ndimension = 4\nepochs = 2\n[store]\ncache_mib = 16\n[snapshot]\nkeep = 1\n[ranker]\nenabled = false\n";

/// The victims' configuration: trains in milliseconds, syncs every write.
pub fn config() -> Result<Config> {
    Ok(Config::from_toml(SETTINGS)?)
}

pub struct World {
    folder: Option<TempDir>,
    pub binary: PathBuf,
    pub golden: PathBuf,
    pub lanes: Vec<Arc<Lane>>,
    pub pointer: Arc<Mutex<Pointer>>,
    /// The last that is known to be whole.
    pub backup: Option<Backup>,
    pub places: u64,
    pub estate: Arc<Mutex<Estate>>,
    /// What the torture's own key sends.
    pub token: Option<String>,
    rounds: u64,
}

impl World {
    pub fn new(binary: &Path, golden: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("torture-").tempdir()?;
        fs::create_dir(folder.path().join("data"))?;
        fs::write(folder.path().join("data/savor.toml"), SETTINGS)?;
        Ok(Self {
            folder: Some(folder),
            binary: binary.to_path_buf(),
            golden: golden.to_path_buf(),
            lanes: (0..LANES).map(|_| Arc::default()).collect(),
            pointer: Arc::default(),
            backup: None,
            places: 0,
            estate: Arc::default(),
            token: None,
            rounds: 0,
        })
    }

    /// Leaves the directory where it is.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.take().map(TempDir::keep).unwrap_or_default()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.as_ref().map(|folder| folder.path().join(name)).unwrap_or_default()
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A path that was never given before.
    pub fn place(&mut self, name: &str) -> PathBuf {
        self.places += 1;
        self.path(&format!("{name}{}", self.places))
    }

    /// Errors: the torture itself cannot go on.
    pub fn round(&mut self, plan: &Plan, figures: &mut Figures) -> Result<Vec<Finding>> {
        let (visits, log) = (self.path("visits"), self.path("log"));
        for file in [&visits, &log] {
            let _ = fs::remove_file(file);
        }
        self.rounds += 1;
        *figures.kinds.entry(format!("{:?}", plan.kind).to_lowercase()).or_default() += 1;
        // The engine that compares runs in this process, and may panic, too.
        let outcome = catch_unwind(AssertUnwindSafe(|| match plan.kind {
            Kind::Server | Kind::Library => self.serve(plan, figures),
            Kind::Commands => self.commands(plan, figures),
            Kind::Restore => self.restore(plan, figures),
            Kind::Migration => self.migrate(plan, figures),
        }));
        let mut findings = match outcome {
            Ok(Ok(())) => Vec::new(),
            Ok(Err(error)) => vec![Finding::of(error)?],
            Err(_) => vec![Finding::new(Found::Panic, "the engine that compares panicked")],
        };
        for line in fs::read_to_string(&visits).unwrap_or_default().lines() {
            match line.split_once(' ') {
                Some(("killed", point)) => figures.points.entry(point.to_owned()).or_default().1 += 1,
                Some((_, point)) => figures.points.entry(point.to_owned()).or_default().0 += 1,
                None => {}
            }
        }
        // What the victims say on standard error.
        let said = fs::read(&log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let panics = said.lines().filter(|line| line.contains("panicked at"));
        findings.extend(panics.map(|line| Finding::new(Found::Panic, format!("a victim said: {line}"))));
        Ok(findings)
    }

    /// Makes a key for the torture, but not before the first round, in which a victim makes the directory.
    pub fn make_key(&mut self) -> Result<()> {
        if self.rounds > 1 && self.token.is_none() {
            let engine = Engine::open(self.data(), config()?)?;
            let made = engine.create_key(&KeyDesign::new("operator", Scope::ALL))?;
            let token = made.token.reveal().to_owned();
            lock(&self.estate).add_operator(made.key.id, token.clone());
            self.token = Some(token);
        }
        Ok(())
    }

    /// The environment of a victim.
    pub fn arm(&self, command: &mut Command, plan: &Plan) {
        command.env("SAVOR_FAULT_LOG", self.path("visits")).env_remove("SAVOR_FAULT").env_remove("RUST_LOG");
        if let Blow::At(point, visit) = &plan.blow {
            command.env("SAVOR_FAULT", format!("{}:{visit}", point.name()));
        }
        let log = fs::File::options().append(true).create(true).open(self.path("log"));
        command.stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
    }
}

/// Whether the process was killed; `false` if it ended well before that. Errors: it ended in another way.
pub fn was_killed(status: ExitStatus) -> Result<bool> {
    const SIGKILL: i32 = 9;
    /// What Rust's runtime ends with after a panic, which is in the log.
    const PANICKED: i32 = 101;
    match (status.signal(), status.code()) {
        (Some(SIGKILL), _) => Ok(true),
        (_, Some(0 | PANICKED)) => Ok(false),
        (Some(_), _) => Err(Finding::new(Found::Panic, format!("the victim ended by itself: {status}")).into()),
        _ => Err(Finding::new(Found::FailedOpen, format!("the victim ended with an error: {status}")).into()),
    }
}
