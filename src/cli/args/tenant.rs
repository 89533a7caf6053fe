//! The words of `savor tenant …`, and the word after `--tenant`.

use std::str::FromStr;

use clap::Subcommand;

use crate::error::Error;
use crate::record::TenantName;

/// The word after `--tenant`: a name, or `default` for the data directory itself.
#[derive(Clone, Debug)]
pub struct TenantWord(pub Option<TenantName>);

impl FromStr for TenantWord {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            TenantName::DEFAULT => Ok(Self(None)),
            name => name.parse().map(Some).map(Self),
        }
    }
}

/// `savor tenant …`.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// List all tenants with what they have used
    List,
    /// What a tenant is, what it may use and has used
    Show {
        /// Its name
        name: TenantName,
    },
    /// Make a tenant; --set says what its configuration has otherwise
    Create {
        /// 1 to 63 lower-case letters, digits, hyphens and underscores
        name: TenantName,
        #[command(flatten)]
        said: Said,
    },
    /// Say otherwise of a tenant; what is not named stays. --set says what its configuration has otherwise
    Set {
        /// Its name
        name: TenantName,
        #[command(flatten)]
        said: Said,
        /// A setting of its configuration that is no longer to be other than the data directory's; repeatable
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
    },
    /// Delete a tenant with everything that it has
    Delete {
        /// Its name
        name: TenantName,
        /// The name once more
        #[arg(long, value_name = "NAME")]
        confirm: String,
    },
}

/// What can be said of a tenant.
#[derive(Debug, clap::Args)]
pub struct Said {
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// What it may use: items, users, events, events_per_second, requests_per_second, concurrent_requests, storage_bytes,
    /// backup_bytes, snapshot_bytes, training_minutes; `none` for what all may; repeatable
    #[arg(long, value_name = "QUOTA=NUMBER")]
    pub quota: Vec<String>,
}
