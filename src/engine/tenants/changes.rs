//! Tenants come, change and go. Who does it holds the turn to change; nobody sees one that is half made or half gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Slot, TenantSettings, TenantStatus, Tenants, folder, go_on, unknown};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::record::{TenantName, Timestamp};

/// Who still asks a tenant that is to be closed has so long to finish.
const CLOSING: Duration = Duration::from_secs(10);
/// So often it is looked whether the last one has.
const LOOK: Duration = Duration::from_millis(5);

impl Tenants {
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
    pub(super) fn take_in(&self, name: &TenantName) -> Result<()> {
        self.put(name, Slot::Closing);
        self.reopen(name);
        tracing::info!(tenant = %name, "tenant made");
        self.opened(name).map(drop)
    }

    /// Says otherwise of a tenant. Quotas hold from the next request on; when the configuration changes, or the tenant is broken, it is opened
    /// anew, and cannot be asked for that moment; its training is interrupted, and begun again where it is served, see
    /// [`Engine::resume_jobs`]. Errors: [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Conflict`] when somebody asks it for so long that it
    /// cannot be closed.
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
                self.close(name, engine, Instant::now() + CLOSING)?;
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
            self.close(name, engine, Instant::now() + CLOSING)?;
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

    fn check(&self, settings: &TenantSettings) -> Result<()> {
        settings.validate()?;
        self.set.home.config().of_tenant(&settings.config).map_err(|error| error.within("config")).map(drop)
    }

    /// Waits until nobody has a tenant open any more. Errors: [`Error::Conflict`]; it is open as before, then, and what was interrupted is
    /// begun again. Where only its lock is still held it stays closed, until [`Tenants::retry`] or [`Tenants::get`].
    fn close(&self, name: &TenantName, engine: Engine, until: Instant) -> Result<()> {
        self.put(name, Slot::Closing);
        engine.shutdown();
        let dir = self.set.directory.of_tenant(name);
        let last = Arc::downgrade(&engine.inner);
        drop(engine);
        // Whoever holds the engine, or but its store, holds the lock: it is free when really all of it is closed.
        while crate::store::holder(&dir).is_some() {
            if Instant::now() >= until {
                match last.upgrade() {
                    Some(inner) => {
                        let engine = Engine { inner };
                        go_on(&engine);
                        self.put(name, Slot::Open(engine));
                    }
                    None => self.put(name, Slot::Closed),
                }
                return Err(Error::Conflict(format!("tenant \"{name}\" is still in use; try again")));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::{JobState, TrainOptions};
    use crate::progress::Silent;

    fn opened(dir: &tempfile::TempDir) -> (Tenants, TenantName) {
        let (tenants, name) =
            (Tenants::open(dir.path().join("data"), Config::default()).unwrap(), "a".parse().unwrap());
        tenants.create(&name, TenantSettings::default()).unwrap();
        (tenants, name)
    }

    /// How its jobs stand, the newest first.
    fn jobs(tenants: &Tenants, name: &TenantName) -> Vec<JobState> {
        tenants.opened(name).unwrap().jobs().unwrap().into_iter().map(|job| job.state).collect()
    }

    #[test]
    fn a_training_goes_on_when_the_configuration_has_changed_and_when_it_could_not() {
        let dir = tempfile::tempdir().unwrap();
        let (tenants, name) = opened(&dir);
        tenants.serve_at("http://x").unwrap();
        // Nothing is trained as long as this one has the only place.
        let _place = tenants.set.lane.enter(&Silent).unwrap();
        let asked = tenants.get(&name).unwrap();
        asked.start_training(&TrainOptions::default()).unwrap();
        let refused = tenants.close(&name, asked.clone(), Instant::now()).unwrap_err();
        assert_eq!(refused.code(), "conflict");
        assert_eq!(jobs(&tenants, &name), [JobState::Running, JobState::Failed]);
        drop(asked);
        let other =
            TenantSettings { config: toml::from_str("[train]\ndimension = 5\n").unwrap(), ..TenantSettings::default() };
        tenants.set(&name, other).unwrap();
        assert_eq!(tenants.opened(&name).unwrap().config().train.dimension, 5);
        assert_eq!(jobs(&tenants, &name), [JobState::Running, JobState::Failed, JobState::Failed]);
        tenants.shutdown();
    }

    #[test]
    fn one_that_stayed_closed_is_opened_again_where_it_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let (tenants, name) = opened(&dir);
        let engine = tenants.get(&name).unwrap();
        let store = Arc::clone(&engine.inner.store);
        assert_eq!(tenants.close(&name, engine, Instant::now()).unwrap_err().code(), "conflict");
        drop(store);
        assert_eq!(tenants.retry(), 0, "who opens each when it is asked for does not want all of them open");
        tenants.serve_at("http://x").unwrap();
        assert!(tenants.opened(&name).is_err());
        assert_eq!(tenants.retry(), 1);
        tenants.opened(&name).unwrap();
    }
}
