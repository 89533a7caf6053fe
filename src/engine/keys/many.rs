//! How many keys there may be. A key that lets nobody in any more is kept, so that who sends it is told why; it goes when there is
//! no room for another one.

use super::{ApiKey, DELETED, Engine, KeyState, Timestamp};
use crate::error::{Error, Result};

impl Engine {
    /// The keys that go when another one is made for a tenant, or for none: those that have let nobody in for the longest time.
    /// Errors: [`Error::Conflict`] when there are too few of them.
    pub(super) fn spent_keys(&self, tenant: Option<&str>, now: Timestamp) -> Result<Vec<String>> {
        let limits = &self.config().keys;
        let (most, setting) = match tenant {
            Some(_) => (limits.max_per_tenant, "keys.max_per_tenant"),
            None => (limits.max, "keys.max"),
        };
        let keys: Vec<ApiKey> = self.keys().into_iter().filter(|key| owner(key) == tenant).collect();
        let excess = (keys.len() + 1).saturating_sub(most);
        let mut spent: Vec<&ApiKey> = keys.iter().filter(|key| key.state(now) != KeyState::Active).collect();
        if spent.len() < excess {
            let whose = tenant.map_or_else(String::new, |tenant| format!(" of tenant \"{tenant}\""));
            return Err(Error::Conflict(format!(
                "there are {} keys{whose}, {most} may be: revoke one, or raise {setting}",
                keys.len()
            )));
        }
        spent.sort_by_key(|key| (key.revoked.or(key.expires), key.created));
        Ok(spent.into_iter().take(excess).map(|key| key.id.clone()).collect())
    }
}

/// Whose it counts as: keys of tenants that are gone are left to who made them.
fn owner(key: &ApiKey) -> Option<&str> {
    key.tenant.as_deref().filter(|tenant| !tenant.starts_with(DELETED))
}
