//! Tenants: namespaces in one process, of which none sees another's. Each is a whole engine on a directory of its own inside
//! the data directory, `tenants/<name>`: its own database, snapshots, jobs, caches, lock. What belongs to one cannot be reached
//! through another, as there is no key, cache or id that they have in common. They share memory for blocks ([`crate::store::Budget`]),
//! the way to training ([`Lane`]) and, in a server, its places. The data directory itself is the default tenant: whoever has
//! no other notices nothing.

mod allowance;
mod bucket;
mod changes;
mod copies;
mod directory;
mod folder;
mod keys;
mod lane;
mod settings;
mod status;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use parking_lot::RwLock;
use rayon::prelude::*;

pub(super) use allowance::Allowance;
pub use settings::TenantSettings;
pub use status::{TenantState, TenantStatus, TenantUsage};

use super::{Engine, lock};
use crate::config::{Config, Quotas};
use crate::error::{Error, Result};
use crate::record::TenantName;
use crate::store::Budget;
use directory::Directory;
use lane::Lane;

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

    /// Tries again to open those that are broken, and where they are served those that stayed closed, too; unless somebody changes
    /// something meanwhile, a backup for instance. Tells how many are open now.
    pub fn retry(&self) -> usize {
        let Ok(_changing) = self.set.changing.try_lock() else { return 0 };
        let is_due = |slot: &Slot| match slot {
            Slot::Broken(_) => true,
            // A server opens nothing for a request.
            Slot::Closed => self.is_served(),
            Slot::Open(_) | Slot::Closing => false,
        };
        let slots = self.set.slots.read();
        let due: Vec<TenantName> =
            slots.iter().filter(|(_, slot)| is_due(slot)).map(|(name, _)| name.clone()).collect();
        drop(slots);
        due.iter().for_each(|name| self.reopen(name));
        due.iter().filter(|name| matches!(self.slot(name), Some(Slot::Open(_)))).count()
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

    fn is_served(&self) -> bool {
        self.set.address.get().is_some()
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

    /// Opens a tenant, or notes why it cannot be opened.
    fn reopen(&self, name: &TenantName) {
        let dir = self.set.directory.of_tenant(name);
        let home = &self.set.home;
        let opened = TenantSettings::read(&dir).and_then(|(settings, _)| {
            let shared = &home.config().tenants;
            let budget = home.inner.store.budget().beside(shared.write_buffer_mib);
            let (config, quotas) = (of_tenant(&dir, home.config(), &settings)?, settings.quotas.or(&shared.quotas));
            let engine = open(&dir, name, config, quotas, budget, Arc::clone(&self.set.lane))?;
            if let Some(address) = self.set.address.get() {
                serve(&engine, address)?;
                go_on(&engine);
            }
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

/// Begins again what was interrupted when an engine was closed, or was to be. It answers all the same where that fails.
fn go_on(engine: &Engine) {
    if let Err(error) = engine.resume_jobs() {
        let tenant = engine.tenant().map(TenantName::as_str);
        tracing::error!(tenant, %error, "a training that was interrupted cannot be begun again");
    }
}

fn unknown(name: &TenantName) -> Error {
    Error::not_found("tenant", name.as_str())
}
