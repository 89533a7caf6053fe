//! The words of `key` and `audit`.

use clap::Subcommand;

use crate::record::{Scope, Span, Timestamp};

/// `savor key …`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print its token, which cannot be shown again
    Create(CreateKeyArgs),
    /// All keys, also those that let nobody in any more
    List,
    /// Give a key a new secret and print the new token
    Rotate {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        /// The secret before is taken so long; 0s refuses it at once
        #[arg(long, value_name = "SPAN", default_value = "24h")]
        overlap: Span,
    },
    /// Revoke a key: from now on it lets nobody in
    Revoke {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// `savor key create`. With `--tenant` it is bound to that one; `default` binds it to the data directory itself.
#[derive(Debug, clap::Args)]
pub struct CreateKeyArgs {
    /// What it is for
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it may be used for: read, write, manage, observe or operate; repeatable, or with commas
    #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',')]
    pub scope: Vec<Scope>,
    /// For web pages and apps, where everybody can read it
    #[arg(long)]
    pub publishable: bool,
    /// A web page's origin from which a publishable key is taken; repeatable
    #[arg(long, value_name = "ORIGIN", requires = "publishable")]
    pub origin: Vec<String>,
    /// It lets in so long, such as 90d; absent: until it is revoked
    #[arg(long, value_name = "SPAN")]
    pub expires: Option<Span>,
    /// Requests a second, by all who use it together
    #[arg(long, value_name = "NUMBER")]
    pub rate: Option<f64>,
}

/// `savor audit`.
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// So many of the newest entries
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
    pub limit: usize,
    /// Only entries before this time
    #[arg(long, value_name = "TIME")]
    pub before: Option<Timestamp>,
    /// Only what was done with this key
    #[arg(long, value_name = "ID")]
    pub key: Option<String>,
    /// Only what was done to this user
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
}
