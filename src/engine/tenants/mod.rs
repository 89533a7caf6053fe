//! Tenants: namespaces in one process, of which none sees another's. Each is a whole engine on a directory of its own inside
//! the data directory, `tenants/<name>`: its own database, snapshots, jobs, caches, lock. What belongs to one cannot be reached
//! through another, as there is no key, cache or id that they have in common. They share memory for blocks ([`crate::store::Budget`]),
//! the way to training ([`Lane`]) and, in a server, its places. The data directory itself is the default tenant: whoever has
//! no other notices nothing.

mod allowance;
mod bucket;
mod copies;
mod directory;
mod folder;
mod lane;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use allowance::Allowance;
pub use settings::TenantSettings;

use super::{Engine, Finding, lock};
use crate::config::{Config, Quotas};
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::record::{SnapshotId, TenantName, Timestamp};
use crate::store::Budget;
use directory::Directory;
use lane::Lane;

/// Who still asks a tenant that is to be closed has so long to finish.
const CLOSING: Duration = Duration::from_secs(10);
/// So often it is looked whether the last one has.
const LOOK: Duration = Duration::from_millis(5);

/// A data directory with its tenants. Cheap to clone; share it between threads as it is.
///
/// ```
/// # let dir = tempfile::tempdir()?; let data = dir.path().join("data");
/// use savor::{Config, Event, TenantSettings, Tenants};
///
/// let tenants = Tenants::open(&data, Config::default())?;
/// let acme = "acme".parse()?;
/// tenants.create(&acme, TenantSettings::default())?;
/// tenants.get(&acme)?.append_events(&[Event::new("u1", "i9", "click")])?;
/// assert_eq!(tenants.home().stats()?.events, 0); // the data directory itself knows nothing of it
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tenants {
    set: Arc<Set>,
}

pub(super) struct Set {
    home: Engine,
    directory: Directory,
    lane: Arc<Lane>,
    slots: RwLock<BTreeMap<TenantName, Slot>>,
    /// Held while one is made, changed, opened, closed or deleted.
    changing: Mutex<()>,
    /// Where it is served, once it is.
    address: OnceLock<String>,
}

/// Where a tenant stands.
#[derive(Clone)]
enum Slot {
    /// Nobody has asked for it yet.
    Closed,
    Open(Engine),
    /// It cannot be opened.
    Broken(String),
    /// It is being closed, to be deleted or opened anew.
    Closing,
}

/// What a tenant is, and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantStatus {
    /// Its name.
    pub name: TenantName,
    /// Whether it can be asked.
    pub state: TenantState,
    /// Why it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// What is said of it; absent when that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<TenantSettings>,
    /// The quotas that hold: its own, and for the rest those of all.
    pub quotas: Quotas,
    /// What it has used; absent when it is not open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TenantUsage>,
}

/// Whether a tenant can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// It can.
    Open,
    /// It can, and is opened when it is.
    Closed,
    /// It is being closed, to be deleted or opened anew.
    Closing,
    /// Its directory cannot be opened; `reason` says why. The others are not concerned.
    Broken,
}

/// What a tenant has used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantUsage {
    /// Users with a profile or an event.
    pub users: u64,
    /// Items with metadata or an event.
    pub items: u64,
    /// Events in the log.
    pub events: u64,
    /// Bytes on disk.
    pub storage_bytes: u64,
    /// Minutes of training in the last 24 hours.
    pub training_minutes: f64,
    /// The snapshot that answers.
    pub active_snapshot: Option<SnapshotId>,
}

impl Tenants {
    /// Opens a data directory, or makes a new one; its tenants are opened when they are asked for, or by [`Tenants::open_all`]. Removes
    /// what was left of tenants whose making a crash cut off, and finishes deletions. Errors: those of [`Engine::open`].
    pub fn open(path: impl AsRef<Path>, config: Config) -> Result<Self> {
        Self::around(Engine::open(path, config)?)
    }

    /// The tenants of an engine that is open already: the same as others have of it, where somebody still has them.
    pub fn around(home: Engine) -> Result<Self> {
        let inner = Arc::clone(&home.inner);
        let mut known = lock(&inner.tenants);
        if let Some(set) = known.upgrade() {
            return Ok(Self { set });
        }
        let config = home.config().tenants.clone();
        let lane =
            inner.allowance.get().map_or_else(|| Arc::new(Lane::new(config.trainings)), |allowance| allowance.lane());
        let directory = Directory::of(home.path());
        let mut slots = BTreeMap::new();
        for name in directory.half_deleted()? {
            tracing::info!(tenant = %name, "finishing the deletion of a tenant");
            // It keeps no other from opening. Nobody is given the name before it is done.
            if let Err(error) = folder::settle(&home, &name) {
                tracing::error!(tenant = %name, %error, "a tenant is deleted in part; the next start goes on with it");
                slots.insert(name, Slot::Broken(format!("it is deleted in part: {error}")));
            }
        }
        if slots.is_empty() {
            directory.remove_leftovers()?;
        }
        slots.extend(directory.names()?.into_iter().map(|name| (name, Slot::Closed)));
        let allowance = Allowance::new(None, Quotas::default(), Arc::clone(&lane), config.threads(), &home.jobs()?);
        // Those who had them before have set it.
        let _ = inner.allowance.set(Arc::new(allowance));
        let set = Arc::new(Set {
            home,
            directory,
            lane,
            slots: RwLock::new(slots),
            changing: Mutex::default(),
            address: OnceLock::new(),
        });
        *known = Arc::downgrade(&set);
        Ok(Self { set })
    }

    /// Opens one tenant alone, whoever else is open: what a command on a directory needs. Its quotas hold as they do beside
    /// others. Errors: [`Error::NotFound`]; those of [`Engine::open`].
    pub fn open_one(path: impl AsRef<Path>, config: Config, name: &TenantName) -> Result<Engine> {
        let dir = Self::path_of(path, name);
        let quotas = Self::settings_of(&dir, name)?.quotas.or(&config.tenants.quotas);
        let budget = Budget::alone(config.store.cache_mib);
        open(&dir, name, config, quotas, budget, Arc::new(Lane::new(1)))
    }

    /// The configuration of a tenant in a data directory whose own is `config`. Errors: [`Error::NotFound`]; [`Error::Invalid`].
    pub fn config_of(path: impl AsRef<Path>, config: &Config, name: &TenantName) -> Result<Config> {
        let dir = Self::path_of(path, name);
        of_tenant(&dir, config, &Self::settings_of(&dir, name)?)
    }

    fn settings_of(dir: &Path, name: &TenantName) -> Result<TenantSettings> {
        if !dir.is_dir() {
            return Err(unknown(name));
        }
        TenantSettings::read(dir).map(|(settings, _)| settings)
    }

    /// The directory of a tenant in a data directory, whether it is there or not.
    pub fn path_of(data: impl AsRef<Path>, name: &TenantName) -> PathBuf {
        Directory::of(data.as_ref()).of_tenant(name)
    }

    /// The engine of the data directory itself, the default tenant.
    pub fn home(&self) -> &Engine {
        &self.set.home
    }

    /// A tenant's engine, opened if need be. Errors: [`Error::NotFound`]; [`Error::Unavailable`] when it cannot be opened.
    pub fn get(&self, name: &TenantName) -> Result<Engine> {
        if let Some(Slot::Closed) = self.slot(name) {
            let _changing = self.changing();
            if let Some(Slot::Closed) = self.slot(name) {
                self.reopen(name);
            }
        }
        self.opened(name)
    }

    /// A tenant's engine if it is open; never waits for one to be opened. Errors: those of [`Tenants::get`].
    pub fn opened(&self, name: &TenantName) -> Result<Engine> {
        let unavailable = |reason: &str| Error::Unavailable { tenant: name.to_string(), reason: reason.to_owned() };
        match self.slot(name) {
            Some(Slot::Open(engine)) => Ok(engine),
            Some(Slot::Closed) => Err(unavailable("it is not open yet")),
            Some(Slot::Closing) => Err(unavailable("it is being closed or opened anew; try again")),
            Some(Slot::Broken(reason)) => Err(unavailable(&reason)),
            None => Err(unknown(name)),
        }
    }

    /// Opens all that can be opened. One that cannot is said to be broken and keeps nobody else from being opened.
    pub fn open_all(&self) {
        let _changing = self.changing();
        let is_waiting = |(name, slot): (&TenantName, &Slot)| matches!(slot, Slot::Closed).then(|| name.clone());
        let waiting: Vec<TenantName> = self.set.slots.read().iter().filter_map(is_waiting).collect();
        waiting.into_par_iter().for_each(|name| self.reopen(&name));
    }

    /// Tries again to open those that are broken, unless somebody changes something meanwhile, a backup for instance. Tells how
    /// many are open now.
    pub fn retry(&self) -> usize {
        let Ok(_changing) = self.set.changing.try_lock() else { return 0 };
        let is_broken = |(name, slot): (&TenantName, &Slot)| matches!(slot, Slot::Broken(_)).then(|| name.clone());
        let broken: Vec<TenantName> = self.set.slots.read().iter().filter_map(is_broken).collect();
        broken.iter().for_each(|name| self.reopen(name));
        broken.iter().filter(|name| matches!(self.slot(name), Some(Slot::Open(_)))).count()
    }

    /// The names of all tenants, in their order.
    pub fn names(&self) -> Vec<TenantName> {
        self.set.slots.read().keys().cloned().collect()
    }

    /// The engines that are open, beside the data directory's own.
    pub fn engines(&self) -> Vec<(TenantName, Engine)> {
        let slots = self.set.slots.read();
        let is_open = |(name, slot): (&TenantName, &Slot)| match slot {
            Slot::Open(engine) => Some((name.clone(), engine.clone())),
            _ => None,
        };
        slots.iter().filter_map(is_open).collect()
    }

    /// All tenants as they stand, in the order of their names.
    pub fn list(&self) -> Result<Vec<TenantStatus>> {
        self.names().iter().filter_map(|name| self.status(name).transpose()).collect()
    }

    /// One tenant as it stands. Errors: [`Error::NotFound`].
    pub fn show(&self, name: &TenantName) -> Result<TenantStatus> {
        self.status(name)?.ok_or_else(|| unknown(name))
    }

    fn status(&self, name: &TenantName) -> Result<Option<TenantStatus>> {
        let Some(slot) = self.slot(name) else { return Ok(None) };
        let read = TenantSettings::read(&self.set.directory.of_tenant(name));
        let defaults = &self.set.home.config().tenants.quotas;
        let quotas = read.as_ref().map_or_else(|_| defaults.clone(), |(settings, _)| settings.quotas.or(defaults));
        let (state, reason, usage) = match slot {
            Slot::Open(engine) => (TenantState::Open, None, Some(engine.usage()?)),
            Slot::Closed => (TenantState::Closed, None, None),
            Slot::Closing => (TenantState::Closing, None, None),
            Slot::Broken(reason) => (TenantState::Broken, Some(reason), None),
        };
        let (settings, created) = read.map_or((None, None), |(settings, created)| (Some(settings), Some(created)));
        Ok(Some(TenantStatus { name: name.clone(), state, reason, created, settings, quotas, usage }))
    }

    /// Makes a tenant; after a crash it is there whole or not at all. Errors: [`Error::Conflict`] when there is one of that name,
    /// or as many as there may be; [`Error::Invalid`] for settings that cannot be.
    pub fn create(&self, name: &TenantName, settings: TenantSettings) -> Result<TenantStatus> {
        let _changing = self.changing();
        self.check(&settings)?;
        let (count, most) = (self.set.slots.read().len(), self.set.home.config().tenants.max);
        if self.slot(name).is_some() {
            return Err(Error::Conflict(format!("there is a tenant \"{name}\" already")));
        }
        if count >= most {
            return Err(Error::Conflict(format!("there are {count} tenants, {most} may be: raise tenants.max")));
        }
        self.set.directory.create(name, |dir| settings.write(dir, Timestamp::now()))?;
        self.take_in(name)?;
        self.show(name)
    }

    /// Opens a directory that has just appeared.
    fn take_in(&self, name: &TenantName) -> Result<()> {
        self.put(name, Slot::Closing);
        self.reopen(name);
        tracing::info!(tenant = %name, "tenant made");
        self.opened(name).map(drop)
    }

    /// Says otherwise of a tenant. Quotas hold from the next request on; when the configuration changes, or the tenant is broken, it is opened
    /// anew, and cannot be asked for that moment. Errors: [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Conflict`] when
    /// somebody asks it for so long that it cannot be closed.
    pub fn set(&self, name: &TenantName, settings: TenantSettings) -> Result<TenantStatus> {
        let _changing = self.changing();
        self.check(&settings)?;
        let slot = self.slot(name).ok_or_else(|| unknown(name))?;
        let dir = self.set.directory.of_tenant(name);
        let before = TenantSettings::read(&dir);
        let created = before.as_ref().map_or_else(|_| Timestamp::now(), |(_, created)| *created);
        let is_same = before.is_ok_and(|(before, _)| before.config == settings.config);
        match slot {
            Slot::Open(engine) if is_same => {
                settings.write(&dir, created)?;
                let quotas = settings.quotas.or(&self.set.home.config().tenants.quotas);
                engine.inner.store.limit(name.as_str(), &quotas);
                if let Some(allowance) = engine.inner.allowance.get() {
                    allowance.set(quotas);
                }
            }
            Slot::Open(engine) => {
                // What is written is what it is opened by: nothing is, as long as it cannot be closed.
                self.close(name, engine)?;
                let written = settings.write(&dir, created);
                self.reopen(name);
                written?;
            }
            Slot::Broken(_) => {
                settings.write(&dir, created)?;
                self.reopen(name);
            }
            Slot::Closed | Slot::Closing => settings.write(&dir, created)?,
        }
        self.show(name)
    }

    /// Deletes a tenant with everything that it has; `confirmation` is its name once more. From the moment in which its directory is
    /// renamed nothing of it is there: what a crash cuts off is finished at the next start. Its keys are revoked, and backups that a
    /// server made of it are put aside. Errors: [`Error::Invalid`] without the confirmation, [`Error::NotFound`], [`Error::Conflict`]
    /// when somebody has it open and does not end.
    pub fn delete(&self, name: &TenantName, confirmation: &str) -> Result<()> {
        let _changing = self.changing();
        let slot = self.slot(name).ok_or_else(|| unknown(name))?;
        if confirmation != name.as_str() {
            let reason = "expected the name of the tenant once more, as everything that it has is deleted";
            return Err(Error::invalid("confirm", reason));
        }
        if let Slot::Open(engine) = slot {
            self.close(name, engine)?;
        }
        // What follows it is done at the next start if a crash comes before, and before anybody is given the name.
        let gone = self.set.directory.delete(name).inspect_err(|_| self.reopen(name))?;
        fault::reach(Point::TenantGone);
        if let Err(error) = folder::settle(&self.set.home, name) {
            if let Err(error) = gone.put_back() {
                tracing::error!(tenant = %name, %error, "a tenant is neither deleted nor put back; the next start deletes it");
            }
            self.reopen(name);
            return Err(error);
        }
        fault::reach(Point::TenantSettled);
        self.set.slots.write().remove(name);
        tracing::info!(tenant = %name, "tenant deleted");
        // It is gone already: what cannot be removed now is removed when the directory is opened next.
        if let Err(error) = gone.remove() {
            tracing::warn!(tenant = %name, %error, "files of a deleted tenant are left until the next start");
        }
        Ok(())
    }

    /// Looks at everything of everybody, as [`Engine::check`] does; what concerns a tenant says so.
    pub fn check_all(&self, check: impl Fn(&Engine) -> Result<Vec<Finding>>) -> Result<Vec<Finding>> {
        let mut findings = check(&self.set.home)?;
        for name in self.names() {
            let of_tenant =
                |finding: Finding| Finding { check: format!("tenant {name}: {}", finding.check), ..finding };
            match self.get(&name).and_then(|engine| check(&engine)) {
                Ok(found) => findings.extend(found.into_iter().map(of_tenant)),
                Err(error) => findings.push(Finding::new(format!("tenant {name}"), false, error.to_string())),
            }
        }
        Ok(findings)
    }

    /// Tells all that they are served at an address, also those that come later: it stands in their locks, and what they show is kept.
    pub fn serve_at(&self, address: &str) -> Result<()> {
        let _changing = self.changing();
        let _ = self.set.address.set(address.to_owned());
        serve(&self.set.home, address)?;
        self.engines().iter().try_for_each(|(_, engine)| serve(engine, address))
    }

    /// Cancels background jobs of all and waits for them. The directories are released when the last clone is dropped.
    pub fn shutdown(&self) {
        self.engines().iter().for_each(|(_, engine)| engine.shutdown());
        self.set.home.shutdown();
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        lock(&self.set.changing)
    }

    fn slot(&self, name: &TenantName) -> Option<Slot> {
        self.set.slots.read().get(name).cloned()
    }

    fn put(&self, name: &TenantName, slot: Slot) {
        self.set.slots.write().insert(name.clone(), slot);
    }

    fn check(&self, settings: &TenantSettings) -> Result<()> {
        settings.validate()?;
        self.set.home.config().of_tenant(&settings.config).map_err(|error| error.within("config")).map(drop)
    }

    /// Opens a tenant, or notes why it cannot be opened.
    fn reopen(&self, name: &TenantName) {
        let dir = self.set.directory.of_tenant(name);
        let home = &self.set.home;
        let opened = TenantSettings::read(&dir).and_then(|(settings, _)| {
            let shared = &home.config().tenants;
            let budget = home.inner.store.budget().beside(shared.write_buffer_mib);
            let (config, quotas) = (of_tenant(&dir, home.config(), &settings)?, settings.quotas.or(&shared.quotas));
            let engine = open(&dir, name, config, quotas, budget, Arc::clone(&self.set.lane))?;
            self.set.address.get().map_or(Ok(()), |address| serve(&engine, address))?;
            Ok(engine)
        });
        let slot = match opened {
            Ok(engine) => Slot::Open(engine),
            Err(error) => {
                // It is tried again and again: only what is new is told.
                let reason = error.to_string();
                if !matches!(self.slot(name), Some(Slot::Broken(before)) if before == reason) {
                    tracing::error!(tenant = %name, %error, "tenant cannot be opened; the others are not concerned");
                }
                Slot::Broken(reason)
            }
        };
        self.put(name, slot);
    }

    /// Waits until nobody has a tenant open any more. Errors: [`Error::Conflict`]; it is open as before, then.
    fn close(&self, name: &TenantName, engine: Engine) -> Result<()> {
        self.put(name, Slot::Closing);
        engine.shutdown();
        let dir = self.set.directory.of_tenant(name);
        let last = Arc::downgrade(&engine.inner);
        drop(engine);
        let until = Instant::now() + CLOSING;
        // Whoever holds the engine, or but its store, holds the lock: it is free when really all of it is closed.
        while crate::store::holder(&dir).is_some() {
            if Instant::now() >= until {
                match last.upgrade() {
                    Some(inner) => self.put(name, Slot::Open(Engine { inner })),
                    None => self.put(name, Slot::Closed),
                }
                return Err(Error::Conflict(format!("tenant \"{name}\" is still in use; try again")));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Engine {
    /// What is there, and what was used.
    fn usage(&self) -> Result<TenantUsage> {
        let counts = self.inner.store.counts();
        Ok(TenantUsage {
            users: counts.users,
            items: counts.items,
            events: counts.events,
            storage_bytes: self.inner.store.disk_bytes()?,
            training_minutes: self.trained_lately().as_secs_f64() / 60.0,
            active_snapshot: self.active_snapshot(),
        })
    }
}

/// Opens the engine of a tenant under its quotas.
fn open(
    dir: &Path,
    name: &TenantName,
    config: Config,
    quotas: Quotas,
    budget: Budget,
    lane: Arc<Lane>,
) -> Result<Engine> {
    let threads = config.tenants.threads();
    let engine = Engine::open_within(dir, config, budget)?;
    engine.inner.store.limit(name.as_str(), &quotas);
    let allowance = Allowance::new(Some(name.clone()), quotas, lane, threads, &engine.jobs()?);
    // It was opened a line above: nobody has set one.
    let _ = engine.inner.allowance.set(Arc::new(allowance));
    Ok(engine)
}

/// The configuration of the tenant in a directory.
fn of_tenant(dir: &Path, base: &Config, settings: &TenantSettings) -> Result<Config> {
    let within = |error: Error| error.within(&dir.join("savor.toml").display().to_string());
    base.of_tenant(&settings.config).map_err(within)
}

fn serve(engine: &Engine, address: &str) -> Result<()> {
    engine.announce(address)?;
    if engine.config().exposures.enabled { engine.keep_exposures() } else { Ok(()) }
}

fn unknown(name: &TenantName) -> Error {
    Error::not_found("tenant", name.as_str())
}
