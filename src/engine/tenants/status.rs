//! How tenants stand: whether each can be asked, what it may use and has used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::TenantSettings;
use super::{Slot, Tenants, unknown};
use crate::config::Quotas;
use crate::engine::{Engine, Finding};
use crate::error::Result;
use crate::record::{SnapshotId, TenantName, Timestamp};

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
    /// It can, and is opened when it is; by a server, at its next look.
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
    /// All tenants as they stand, in the order of their names.
    pub fn list(&self) -> Result<Vec<TenantStatus>> {
        self.names().iter().filter_map(|name| self.status(name).transpose()).collect()
    }

    /// One tenant as it stands. Errors: [`crate::Error::NotFound`].
    pub fn show(&self, name: &TenantName) -> Result<TenantStatus> {
        self.status(name)?.ok_or_else(|| unknown(name))
    }

    /// Since when the tenant of a namespace is there; `None` for the data directory's own namespace. Errors: what a tenant says of
    /// itself cannot be read; [`crate::Error::Invalid`] for what is no namespace.
    pub(crate) fn created(&self, namespace: &str) -> Result<Option<Timestamp>> {
        if namespace == TenantName::DEFAULT {
            return Ok(None);
        }
        let directory = self.set.directory.of_tenant(&namespace.parse()?);
        TenantSettings::read(&directory).map(|(_, created)| Some(created))
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
