//! The audit log: what was done, by whom, and who was not let in. Entries go to the log of the process, too (`savor::audit`).
//! Users stand in it by pseudonym, so that nothing is left here of one who is deleted; who knows a user's id finds the entries.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Engine;
use super::keys::{hex, keyed, random};
use crate::error::Result;
use crate::record::{AuditEntry, Timestamp};

/// Entries that are too old or too many are looked for after so many new ones, and daily.
const TIDY_EVERY: u32 = 1_000;
/// The most entries that are given at once.
const MOST: usize = 1_000;

/// Counts entries.
#[derive(Default)]
pub(super) struct Audit {
    number: AtomicU32,
    pseudonyms: OnceLock<[u8; 32]>,
}

/// Which entries of the audit log are wanted: the newest that fulfil all that is said.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AuditQuery {
    /// So many at most, and 1,000.
    pub limit: usize,
    /// Only older ones.
    pub before: Option<Timestamp>,
    /// Only those of this time or later.
    pub since: Option<Timestamp>,
    /// Only those of this key.
    pub key: Option<String>,
    /// Only those about this user.
    pub user: Option<String>,
    /// Only those of keys that are bound to this namespace.
    pub tenant: Option<String>,
}

impl Engine {
    /// Notes what was done. It is on disk with the next write that is synced.
    pub fn audit(&self, entry: &AuditEntry) -> Result<()> {
        let AuditEntry { key, tenant, from, action, target, target_tenant, outcome, code, omitted, .. } = entry;
        tracing::info!(target: "savor::audit", key, tenant, from, action, on = target, of = target_tenant, outcome, code, omitted);
        let number = self.inner.audit.number.fetch_add(1, Ordering::Relaxed);
        self.inner.store.put_audit(entry, number)?;
        if number.is_multiple_of(TIDY_EVERY) {
            self.tidy_audit(Timestamp::now())?;
        }
        Ok(())
    }

    /// Removes the entries that are too old or too many as of `now`.
    pub(super) fn tidy_audit(&self, now: Timestamp) -> Result<()> {
        let config = &self.inner.config.audit;
        self.inner.store.forget_audit(now.before(config.retention), config.entries)
    }

    /// Entries of the audit log, the newest first.
    pub fn audit_log(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        let kept = Timestamp::now().before(self.inner.config.audit.retention);
        let oldest = query.since.map_or(kept, |since| since.max(kept));
        let user = query.user.as_deref().map(|user| self.pseudonym(user)).transpose()?;
        let limit = query.limit.min(MOST);
        let fits = |entry: &AuditEntry| {
            query.key.as_ref().is_none_or(|key| entry.key.as_ref() == Some(key))
                && query.tenant.as_ref().is_none_or(|tenant| entry.tenant.as_ref() == Some(tenant))
                && user.as_ref().is_none_or(|user| entry.target.split('/').any(|part| part == user))
        };
        let mut entries = Vec::new();
        self.inner.store.for_each_audit(query.before, &mut |entry| {
            // They come in the order of time.
            let is_wanted = entry.time >= oldest;
            if is_wanted && entries.len() < limit && fits(&entry) {
                entries.push(entry);
            }
            is_wanted && entries.len() < limit
        })?;
        Ok(entries)
    }

    /// What stands for a user in the audit log: the same for the same user of this directory, and nothing that the id can be
    /// read from.
    pub fn pseudonym(&self, user: &str) -> Result<String> {
        let audit = &self.inner.audit;
        let key = match audit.pseudonyms.get() {
            Some(key) => *key,
            None => {
                let mut fresh = [0; 32];
                random(&mut fresh)?;
                let kept = self.inner.store.pseudonym_key(fresh)?;
                *audit.pseudonyms.get_or_init(|| kept)
            }
        };
        let [a, b, c, d, e, f, g, h, ..] = keyed(&key, user.as_bytes());
        Ok(format!("~{}", hex(&[a, b, c, d, e, f, g, h])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn entry(key: &str, target: &str, time: Timestamp) -> AuditEntry {
        AuditEntry {
            time,
            key: Some(key.into()),
            tenant: (key == "b").then(|| "shop".into()),
            from: "127.0.0.1".into(),
            action: "deleteUser".into(),
            target: target.into(),
            target_tenant: None,
            outcome: 204,
            code: None,
            omitted: 0,
        }
    }

    #[test]
    fn entries_are_found_by_key_user_tenant_and_time_and_forgotten_with_age() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.audit.retention = "1h".parse().unwrap();
        let engine = Engine::open(dir.path().join("data"), config.clone()).unwrap();
        let now = Timestamp::now();
        let anna = engine.pseudonym("anna").unwrap();
        assert!(!anna.contains("anna") && anna != engine.pseudonym("bert").unwrap());
        let ago = |seconds: i64| Timestamp::from_millis(now.millis() - seconds * 1000).unwrap();
        engine.audit(&entry("a", "/v1/users/x", ago(1))).unwrap();
        engine.audit(&entry("a", "/v1/train", ago(7200))).unwrap();
        engine.audit(&entry("b", &format!("/v1/users/{anna}"), ago(20))).unwrap();
        let found = |query: AuditQuery| -> Vec<i64> {
            let query = AuditQuery { limit: query.limit.max(1), ..query };
            let entries = engine.audit_log(&query).unwrap();
            entries.iter().map(|entry| (now.millis() - entry.time.millis()) / 1000).collect()
        };
        let all = AuditQuery { limit: 10, ..AuditQuery::default() };
        assert_eq!(found(all.clone()), [1, 20], "the one of two hours ago is too old");
        assert_eq!(found(AuditQuery { key: Some("a".into()), ..all.clone() }), [1]);
        assert_eq!(found(AuditQuery { user: Some("anna".into()), ..all.clone() }), [20]);
        assert_eq!(found(AuditQuery { tenant: Some("shop".into()), ..all.clone() }), [20]);
        assert_eq!(found(AuditQuery { before: Some(ago(1)), ..all.clone() }), [20]);
        assert_eq!(found(AuditQuery { since: Some(ago(20)), ..all.clone() }), [1, 20]);
        assert_eq!(found(AuditQuery { since: Some(ago(19)), ..all.clone() }), [1]);
        assert_eq!(found(AuditQuery { limit: 1, ..all }), [1]);
        let stored = || {
            let mut count = 0;
            let mut note = |_| {
                count += 1;
                true
            };
            engine.inner.store.for_each_audit(None, &mut note).unwrap();
            count
        };
        assert_eq!(stored(), 3);
        engine.keep_house(now).unwrap();
        assert_eq!(stored(), 2, "also where nothing is noted any more");
        drop(engine);
        let engine = Engine::open(dir.path().join("data"), config).unwrap();
        assert_eq!(engine.pseudonym("anna").unwrap(), anna);
    }
}
