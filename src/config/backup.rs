//! Where a server backs up to, and what stays of it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::Result;

/// Where a server backs up to, and what stays of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// The folder of all backups that clients of a server may ask for; `DATA.backups` beside the data directory if absent. Clients
    /// choose a name in there, never a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// So many generations of each backup stay; 0: all.
    pub keep: usize,
    /// Backups that there may be in that folder: clients choose their names.
    pub max: usize,
    /// The same of a tenant, in its folder.
    pub max_per_tenant: usize,
    /// So many generations of each backup of a tenant stay, that the tenant itself asked for; 0: all.
    pub keep_per_tenant: usize,
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self { directory: None, keep: 0, max: 100, max_per_tenant: 4, keep_per_tenant: 14 }
    }
}

impl BackupConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("keep", self.keep as f64, 0.0..=1e6)?;
        check("keep_per_tenant", self.keep_per_tenant as f64, 0.0..=1e6)?;
        check("max", self.max as f64, 1.0..=1e6)?;
        check("max_per_tenant", self.max_per_tenant as f64, 1.0..=1e6)
    }
}
