//! What was done to a server or a data directory, and by whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// One operation, or a request that was not let in. Users are named by a pseudonym: whoever is deleted leaves no name here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// When.
    pub time: Timestamp,
    /// The id of the key that was used; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The namespace that the key is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Where the request came from: an address, or `command line`.
    pub from: String,
    /// What was asked for: the operation's name in the API's description.
    pub action: String,
    /// What it was done to: a path of the API, users by pseudonym.
    pub target: String,
    /// The tenant whose data that is; absent: the data directory itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_tenant: Option<String>,
    /// How it ended: an HTTP status.
    pub outcome: u16,
    /// The stable word for why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// So many requests before this one were refused and are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
