//! A directory, the model of it, and one round: start, write, kill, open, compare.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::{Config, Engine, Query, SnapshotState};
use tempfile::TempDir;

use crate::lane::{Lane, Window, write_until};
use crate::model::{Op, State, read_all, read_versions};
use crate::plan::{Blow, Focus, Kind, Plan};
use crate::target::{Line, Reply, Request, Victim, backups, events_file};
use crate::{Figures, Result};

const LANES: usize = 3;
/// A round that has not come to its blow by then is ended by one.
const LONGEST: Duration = Duration::from_secs(6);
const SETTINGS: &str = "[train]\nmodel = \"ials\"\ndimension = 4\nepochs = 2\n[store]\ncache_mib = 16\n[snapshot]\nkeep = 1\n[ranker]\nenabled = false\n";

/// The victims' configuration: trains in milliseconds, syncs every write.
pub fn config() -> Result<Config> {
    Ok(Config::from_toml(SETTINGS)?)
}

/// What is known of the snapshot that answers.
#[derive(Clone, Copy, Debug, Default)]
struct Pointer {
    acknowledged: Option<u64>,
    doubt: Option<Doubt>,
}

/// A switch that was asked for and not acknowledged.
#[derive(Clone, Copy, Debug)]
enum Doubt {
    /// To a new snapshot.
    Newer,
    /// To an older one.
    Older,
    To(u64),
}

/// A backup and what it may hold.
struct Backup {
    path: PathBuf,
    windows: Vec<Window>,
}

pub struct World {
    folder: Option<TempDir>,
    binary: PathBuf,
    golden: PathBuf,
    lanes: Vec<Arc<Lane>>,
    pointer: Arc<Mutex<Pointer>>,
    backup: Option<Backup>,
    places: u64,
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
        })
    }

    /// Leaves the directory where it is.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.take().map(TempDir::keep).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.as_ref().map(|folder| folder.path().join(name)).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A path that was never given before.
    fn place(&mut self, name: &str) -> PathBuf {
        self.places += 1;
        self.path(&format!("{name}{}", self.places))
    }

    pub fn round(&mut self, plan: &Plan, figures: &mut Figures) -> Result<()> {
        let (visits, log) = (self.path("visits"), self.path("log"));
        for file in [&visits, &log] {
            let _ = fs::remove_file(file);
        }
        *figures.kinds.entry(format!("{:?}", plan.kind).to_lowercase()).or_default() += 1;
        match plan.kind {
            Kind::Server | Kind::Library => self.serve(plan, figures)?,
            Kind::Commands => self.commands(plan, figures)?,
            Kind::Restore => self.restore(plan, figures)?,
            Kind::Migration => self.migrate(plan, figures)?,
        }
        for line in fs::read_to_string(&visits).unwrap_or_default().lines() {
            match line.split_once(' ') {
                Some(("killed", point)) => figures.points.entry(point.to_owned()).or_default().1 += 1,
                Some((_, point)) => figures.points.entry(point.to_owned()).or_default().0 += 1,
                None => {}
            }
        }
        // What the victims say on standard error.
        match fs::read_to_string(&log).unwrap_or_default().lines().find(|line| line.contains("panicked")) {
            Some(line) => Err(format!("a victim panicked: {line}").into()),
            None => Ok(()),
        }
    }

    /// The environment of a victim.
    fn arm(&self, command: &mut Command, plan: &Plan) {
        command.env("SAVOR_FAULT_LOG", self.path("visits")).env_remove("SAVOR_FAULT").env_remove("RUST_LOG");
        if let Blow::At(point, visit) = &plan.blow {
            command.env("SAVOR_FAULT", format!("{}:{visit}", point.name()));
        }
        let log = fs::File::options().append(true).create(true).open(self.path("log"));
        command.stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
    }

    fn serve(&mut self, plan: &Plan, figures: &mut Figures) -> Result<()> {
        let data = self.data();
        let is_server = plan.kind == Kind::Server;
        let mut command = if is_server {
            let mut command = Command::new(&self.binary);
            command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--data"]).arg(&data);
            command
        } else {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--library").arg(&data);
            command
        };
        self.arm(&mut command, plan);
        let mut victim = Victim::start(command, is_server.then_some(self.binary.as_path()), &self.path(""))?;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let gate = Arc::new(RwLock::new(()));
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        let mut threads = Vec::new();
        for (number, lane) in self.lanes.iter().enumerate() {
            let Some(line) = victim.line() else { break };
            let (lane, random) = (Arc::clone(lane), ChaCha8Rng::seed_from_u64(random.random()));
            let (acknowledged, over, gate) = (Arc::clone(&acknowledged), Arc::clone(&over), Arc::clone(&gate));
            threads.push(std::thread::spawn(move || {
                let enough = || over.load(Ordering::Relaxed);
                write_until(&lane, number, random, line, &acknowledged, &gate, &enough)
            }));
        }
        self.places += 1;
        let mut operator = Operator {
            lanes: self.lanes.clone(),
            gate: Arc::clone(&gate),
            pointer: Arc::clone(&self.pointer),
            folder: backups(&data),
            focus: plan.focus,
            round: self.places,
            backup: None,
        };
        let operating = victim.line().map(|line| {
            let (over, random) = (Arc::clone(&over), ChaCha8Rng::seed_from_u64(random.random()));
            std::thread::spawn(move || operator.operate(line, random, &over).map(|()| operator.backup))
        });
        self.strike(&mut victim.child, plan, &acknowledged, &threads)?;
        over.store(true, Ordering::Relaxed);
        if !was_killed(victim.kill()?)? {
            return Err("the victim ended by itself".into());
        }
        figures.kills += 1;
        figures.acknowledged += acknowledged.load(Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| "a lane's thread panicked")??;
        }
        if let Some(operating) = operating
            && let Some(backup) = operating.join().map_err(|_| "the operator's thread panicked")??
        {
            self.compare_backup(&backup, figures)?;
            self.backup = Some(backup);
        }
        self.compare(figures)
    }

    /// Waits for the moment of the blow, or until the process has ended by itself or a lane by an error.
    fn strike(
        &self,
        child: &mut Child,
        plan: &Plan,
        acknowledged: &AtomicU64,
        lanes: &[std::thread::JoinHandle<Result<()>>],
    ) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < LONGEST && child.try_wait()?.is_none() && !lanes.iter().any(|lane| lane.is_finished()) {
            if let Blow::After { operations, microseconds } = plan.blow
                && acknowledged.load(Ordering::Relaxed) >= operations
            {
                std::thread::sleep(Duration::from_micros(microseconds));
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// Commands on the directory, until one is killed.
    fn commands(&mut self, plan: &Plan, figures: &mut Figures) -> Result<()> {
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        for number in 0..4 {
            let of = random.random_range(0..LANES);
            let lane = Arc::clone(&self.lanes[of]);
            let (op, words) = {
                let mut inner = lane.lock();
                let user = inner.state.users.keys().next().cloned();
                let item = inner.state.items.keys().next().cloned();
                match (random.random_range(0..5), user, item) {
                    (0, Some(user), _) => {
                        (Some(Op::DeleteUser(user.clone())), vec!["user".into(), "delete".into(), user])
                    }
                    (1, _, Some(item)) => {
                        (Some(Op::DeleteItem(item.clone())), vec!["item".into(), "delete".into(), item])
                    }
                    (2, Some(from), _) => {
                        let into = format!("{}-u99", from.split('-').next().unwrap_or_default());
                        let words = vec!["user".into(), "merge".into(), into.clone(), from.clone()];
                        if into == from {
                            (None, vec!["stats".into()])
                        } else {
                            (Some(Op::Merge { into, from }), words)
                        }
                    }
                    (3, ..) => (None, vec!["doctor".into()]),
                    _ => {
                        let events = inner.new_events(of, 60, &mut random);
                        (Some(Op::Import { events, batch: usize::MAX }), Vec::new())
                    }
                }
            };
            let file = match &op {
                Some(Op::Import { events, .. }) => Some(events_file(&self.path(""), events)?),
                _ => None,
            };
            let mut command = Command::new(&self.binary);
            match &file {
                Some(file) => command.args(["import", "events"]).arg(file.path()),
                None => command.args(&words),
            };
            command
                .arg("--data")
                .arg(self.data())
                .current_dir(self.path(""))
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            self.arm(&mut command, plan);
            lane.lock().doubt.clone_from(&op);
            let mut child = command.spawn()?;
            // The last of them is killed, if none has killed itself.
            let is_last = number == 3;
            let patience =
                if is_last { Duration::from_micros(random.random_range(0..60_000)) } else { Duration::from_secs(60) };
            let begun = Instant::now();
            while child.try_wait()?.is_none() && begun.elapsed() < patience {
                std::thread::sleep(Duration::from_micros(200));
            }
            child.kill()?;
            let status = child.wait()?;
            if status.success() {
                let mut inner = lane.lock();
                op.iter().for_each(|op| inner.state.apply(op));
                inner.doubt = None;
                figures.acknowledged += 1;
                continue;
            }
            // A directory without a snapshot is told so by `doctor`.
            if status.code() == Some(1) && words.first().is_some_and(|word| word == "doctor") {
                continue;
            }
            if was_killed(status).map_err(|error| format!("{command:?}: {error}"))? {
                figures.kills += 1;
                break;
            }
        }
        self.compare(figures)
    }

    /// Restores the last backup, and is killed. Whatever is there afterwards is complete.
    fn restore(&mut self, plan: &Plan, figures: &mut Figures) -> Result<()> {
        let Some(backup) = self.backup.take() else { return Ok(()) };
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        let to = self.place("restored");
        let mut command = Command::new(&self.binary);
        command.arg("restore").arg(&backup.path).arg("--data").arg(&to).stdin(Stdio::null()).stdout(Stdio::null());
        self.arm(&mut command, plan);
        let mut child = command.spawn()?;
        let patience = match plan.blow {
            Blow::At(..) => LONGEST,
            Blow::After { .. } => Duration::from_micros(random.random_range(0..150_000)),
        };
        let begun = Instant::now();
        while child.try_wait()?.is_none() && begun.elapsed() < patience {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill()?;
        if was_killed(child.wait()?)? {
            figures.kills += 1;
            figures.restored += 1;
        }
        if to.join("rocksdb").exists() {
            self.compare_with(&to, &backup.windows, figures)?;
            fs::remove_dir_all(&to)?;
        } else if to.exists() && fs::read_dir(&to)?.next().is_some() {
            return Err(format!("{} is half restored", to.display()).into());
        }
        self.compare_backup(&backup, figures)?;
        self.backup = Some(backup);
        Ok(())
    }

    /// Opens a copy of an older directory, and is killed; the next opening migrates it all the same.
    fn migrate(&mut self, plan: &Plan, figures: &mut Figures) -> Result<()> {
        let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
        let mut versions: Vec<_> = fs::read_dir(&self.golden)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        versions.retain(|path| path.is_dir());
        versions.sort();
        let Some(version) = versions.get(random.random_range(0..versions.len().max(1))) else { return Ok(()) };
        let (whole, killed) = (self.place("whole"), self.place("killed"));
        for place in [&whole, &killed] {
            copy_tree(&version.join("data"), place)?;
        }
        let stats = |place: &Path| -> Result<_> {
            let engine = Engine::open(place, Config::default())?;
            let findings: Vec<_> = engine.check()?.into_iter().map(|finding| (finding.check, finding.ok)).collect();
            let stats = engine.stats()?;
            Ok((findings, stats.users, stats.items, stats.events, stats.active_snapshot))
        };
        let expected = stats(&whole)?;
        let mut command = Command::new(&self.binary);
        command.args(["stats", "--data"]).arg(&killed).stdin(Stdio::null()).stdout(Stdio::null());
        self.arm(&mut command, plan);
        let mut child = command.spawn()?;
        let patience = match plan.blow {
            Blow::At(..) => LONGEST,
            Blow::After { .. } => Duration::from_micros(random.random_range(0..100_000)),
        };
        let begun = Instant::now();
        while child.try_wait()?.is_none() && begun.elapsed() < patience {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill()?;
        figures.kills += u64::from(was_killed(child.wait()?)?);
        let seen = stats(&killed)?;
        if seen != expected {
            return Err(format!(
                "a migration of {} that was killed gives {seen:?}, expected {expected:?}",
                version.display()
            )
            .into());
        }
        fs::remove_dir_all(whole)?;
        fs::remove_dir_all(killed)?;
        Ok(())
    }

    /// Opens the directory and compares all of it with the model; what was in doubt is then known.
    fn compare(&mut self, figures: &mut Figures) -> Result<()> {
        let engine = open(&self.data())?;
        let mut seen = read_all(&engine, LANES)?;
        let mut counted = State::default();
        let (mut users, mut items, mut events) = (0, 0, 0);
        for (number, (lane, seen)) in self.lanes.iter().zip(&mut seen).enumerate() {
            let mut inner = lane.lock();
            let doubt = inner.doubt.take();
            let names = inner.state.scenarios.keys().cloned().chain(match &doubt {
                Some(Op::Scenario(name, _) | Op::DeleteScenario(name)) => Some(name.clone()),
                _ => None,
            });
            read_versions(&engine, names.collect::<BTreeSet<_>>().into_iter(), seen)?;
            let outcomes = doubt.as_ref().map_or_else(|| vec![inner.state.clone()], |op| inner.state.outcomes(op));
            let Some(place) = outcomes.iter().position(|outcome| outcome.difference(seen).is_none()) else {
                let difference = inner.state.difference(seen).unwrap_or_default();
                return Err(format!("lane {number}: {difference}; in doubt was {doubt:?}").into());
            };
            match (doubt.is_some(), place) {
                (false, _) => {}
                (true, 0) => figures.undone += 1,
                (true, _) => figures.done += 1,
            }
            inner.state = outcomes.into_iter().nth(place).unwrap_or_default();
            users += inner.state.users.len() as u64;
            items += inner.state.items.len() as u64;
            events += inner.state.counted();
            counted.items.extend(inner.state.items.clone());
        }
        figures.compared_events += events;
        let stats = engine.stats()?;
        if (stats.users, stats.items, stats.events) != (users, items, events) {
            return Err(format!("{stats:?}, expected {users} users, {items} items, {events} events").into());
        }
        check(&engine)?;
        self.compare_pointer(&engine)?;
        ask(&engine, &counted)
    }

    fn compare_pointer(&self, engine: &Engine) -> Result<()> {
        let mut pointer = self.pointer.lock().map_err(|_| "the operator's thread panicked")?;
        let active = engine.active_snapshot().map(|id| id.0);
        let is_allowed = active == pointer.acknowledged
            || match (pointer.doubt, active) {
                (Some(Doubt::Newer), Some(active)) => pointer.acknowledged.is_none_or(|known| active > known),
                (Some(Doubt::Older), Some(active)) => pointer.acknowledged.is_some_and(|known| active < known),
                (Some(Doubt::To(id)), Some(active)) => active == id,
                _ => false,
            };
        if !is_allowed {
            return Err(format!("snapshot {active:?} answers, expected {pointer:?}").into());
        }
        *pointer = Pointer { acknowledged: active, doubt: None };
        // Files of whole snapshots and no others.
        let mut files: BTreeSet<String> = BTreeSet::new();
        for entry in fs::read_dir(self.data().join("index"))? {
            files.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        for manifest in engine.snapshots()? {
            if manifest.state == SnapshotState::Building {
                return Err(format!("snapshot {} is a leftover", manifest.id).into());
            }
            for name in [manifest.id.to_string(), format!("{}.parts", manifest.id)] {
                if !files.remove(&name) {
                    return Err(format!("index/{name} is missing").into());
                }
            }
        }
        if files.is_empty() { Ok(()) } else { Err(format!("leftovers: {files:?}").into()) }
    }

    /// Restores a backup and compares it with what it may hold.
    fn compare_backup(&mut self, backup: &Backup, figures: &mut Figures) -> Result<()> {
        if !backup.path.exists() {
            return Err(format!("{} is gone", backup.path.display()).into());
        }
        let to = self.place("restored");
        Engine::restore(&backup.path, &to)?;
        self.compare_with(&to, &backup.windows, figures)?;
        fs::remove_dir_all(&to)?;
        figures.backups += 1;
        Ok(())
    }

    fn compare_with(&self, dir: &Path, windows: &[Window], figures: &mut Figures) -> Result<()> {
        let engine = open(dir)?;
        let mut seen = read_all(&engine, LANES)?;
        for (number, (window, seen)) in windows.iter().zip(&mut seen).enumerate() {
            let names: BTreeSet<String> =
                window.states().iter().flat_map(|state| state.scenarios.keys().cloned()).collect();
            read_versions(&engine, names.into_iter(), seen)?;
            if window.states().iter().all(|state| state.difference(seen).is_some()) {
                let first = window.states().first().and_then(|state| state.difference(seen));
                let last = window.states().last().and_then(|state| state.difference(seen));
                return Err(format!(
                    "{}: lane {number} is of no moment of the backup: {first:?}; {last:?}",
                    dir.display()
                )
                .into());
            }
            figures.compared_events += seen.events.len() as u64;
        }
        check(&engine)
    }
}

/// Whether the process was killed; `false` if it ended well before that. Errors: it ended in another way.
fn was_killed(status: ExitStatus) -> Result<bool> {
    const SIGKILL: i32 = 9;
    match (status.signal(), status.code()) {
        (Some(SIGKILL), _) => Ok(true),
        (_, Some(0)) => Ok(false),
        _ => Err(format!("the victim ended by itself: {status}").into()),
    }
}

fn open(dir: &Path) -> Result<Engine> {
    let opened = catch_unwind(AssertUnwindSafe(|| Engine::open(dir, config()?).map_err(Into::into)));
    opened.unwrap_or_else(|_| Err("opening panicked".into()))
}

fn check(engine: &Engine) -> Result<()> {
    for finding in engine.check()?.into_iter().chain(engine.verify()?) {
        // No snapshot is active when the first training was killed.
        if !finding.ok && finding.check != "serving" {
            return Err(format!("{finding:?}").into());
        }
    }
    Ok(())
}

/// Questions are answered, with items that there are and that fulfil the condition.
fn ask(engine: &Engine, model: &State) -> Result<()> {
    for category in ["c0", "c1", "c2"] {
        let query = Query { category: Some(category.into()), ..Query::for_user("w0-u0").limit(1000) };
        for found in engine.recommend(&query)?.items {
            let item =
                model.items.get(&found.item).ok_or_else(|| format!("{} is recommended and not there", found.item))?;
            if item.hidden || !item.categories.iter().any(|of| of == category) {
                return Err(format!("{item:?} is recommended in {category}").into());
            }
        }
    }
    Ok(())
}

/// The thread beside the writers.
struct Operator {
    lanes: Vec<Arc<Lane>>,
    /// Closed while nobody may write.
    gate: Arc<RwLock<()>>,
    pointer: Arc<Mutex<Pointer>>,
    folder: PathBuf,
    focus: Focus,
    round: u64,
    /// The last that was made.
    backup: Option<Backup>,
}

impl Operator {
    fn operate(&mut self, mut line: Line, mut random: ChaCha8Rng, over: &AtomicBool) -> Result<()> {
        let mut number = 0;
        while !over.load(Ordering::Relaxed) {
            number += 1;
            let focus = match self.focus {
                Focus::Anything => {
                    [Focus::Train, Focus::BackUp, Focus::Bundle, Focus::Search][random.random_range(0..4)]
                }
                focus => focus,
            };
            let went_on = match focus {
                Focus::Train | Focus::Anything => match random.random_range(0..6) {
                    0 => self.switch(&mut line, Request::RollBack, Doubt::Older)?,
                    1 => {
                        let active = self.pointer()?.acknowledged;
                        active.map_or(Ok(true), |id| self.switch(&mut line, Request::Activate(id), Doubt::To(id)))?
                    }
                    _ => self.switch(&mut line, Request::Train, Doubt::Newer)?,
                },
                Focus::BackUp => self.back_up(&mut line, number)?,
                Focus::Bundle => {
                    if self.pointer()?.acknowledged.is_none() {
                        self.switch(&mut line, Request::Train, Doubt::Newer)?
                    } else {
                        // A bundle brings back users and items that were deleted since it was made: nobody writes meanwhile.
                        let _closed = self.gate.write().unwrap_or_else(PoisonError::into_inner);
                        done(line.send(&Request::Bundle))?.is_some()
                    }
                }
                Focus::Search => {
                    let vector = (0..4).map(|_| random.random_range(-1.0f32..1.0)).collect();
                    // Before the first vector there is no space.
                    line.send(&Request::Search(vector)).is_some()
                }
            };
            if !went_on {
                break;
            }
        }
        Ok(())
    }

    fn pointer(&self) -> Result<std::sync::MutexGuard<'_, Pointer>> {
        self.pointer.lock().map_err(|_| "somebody panicked".into())
    }

    /// Whether the victim is still there.
    fn switch(&self, line: &mut Line, request: Request, doubt: Doubt) -> Result<bool> {
        self.pointer()?.doubt = Some(doubt);
        match line.send(&request) {
            None => Ok(false),
            Some(Reply::Done(active)) => {
                *self.pointer()? = Pointer { acknowledged: Some(active), doubt: None };
                Ok(true)
            }
            // Nothing to learn from yet, or nothing to go back to.
            Some(Reply::Refused(_)) => {
                self.pointer()?.doubt = None;
                Ok(true)
            }
        }
    }

    fn back_up(&mut self, line: &mut Line, number: u64) -> Result<bool> {
        let name = format!("b{}-{number}", self.round);
        self.lanes.iter().for_each(|lane| lane.open_window());
        let reply = line.send(&Request::BackUp(name.clone()));
        let windows: Vec<_> = self.lanes.iter().map(|lane| lane.close_window()).collect();
        let path = self.folder.join(name);
        let is_there = done(reply)?.is_some();
        // One that was not acknowledged is complete or not there, but for what the next backup goes on with.
        let is_whole = || savor::Engine::backups(&path).is_ok_and(|generations| !generations.is_empty());
        if (is_there || is_whole())
            && let Some(old) = self.backup.replace(Backup { path, windows })
        {
            let _ = fs::remove_dir_all(old.path);
        }
        Ok(is_there)
    }
}

/// What must not be refused.
fn done(reply: Option<Reply>) -> Result<Option<u64>> {
    match reply {
        None => Ok(None),
        Some(Reply::Done(number)) => Ok(Some(number)),
        Some(Reply::Refused(reason)) => Err(format!("the operator was refused: {reason}").into()),
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
