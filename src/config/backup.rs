//! Where a server backs up to, and what stays of it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::Result;

/// Where a server backs up to, and what stays of it.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// The folder of all backups that clients of a server may ask for; `DATA.backups` beside the data directory if absent. Clients
    /// choose a name in there, never a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// So many generations of each backup stay; 0: all.
    pub keep: usize,
}

impl BackupConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("keep", self.keep as f64, 0.0..=1e6)
    }
}
