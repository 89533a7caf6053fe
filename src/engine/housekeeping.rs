//! What an engine does to its data by itself, slowly and in the background: events and audit entries that are too old are
//! removed, and what has been deleted is removed from the files.

use std::sync::Mutex;

use super::{Engine, Expired, lock};
use crate::error::Result;
use crate::record::Timestamp;
use crate::store::{PendingPurge, Purged};

/// When housekeeping was done last.
#[derive(Default)]
pub(super) struct Housekeeping {
    /// When was looked for events that are too old.
    expired: Mutex<Option<Timestamp>>,
    /// When was looked for audit entries that are too old.
    audited: Mutex<Option<Timestamp>>,
    /// When a purge was tried that did not come to its end.
    tried: Mutex<Option<Timestamp>>,
}

/// A purge that had to wait is tried again after so long, in milliseconds.
const RETRY_MS: i64 = 10 * 60 * 1_000;
/// Audit entries are looked through so often, in milliseconds.
const AUDITED_MS: i64 = 24 * 3_600 * 1_000;

impl Engine {
    /// What is due as of `now`: events that are older than `retention` says are removed, so often as it says; audit entries older
    /// than `audit.retention`, daily; what was deleted more than `privacy.purge_after` ago is removed from the files. `savor serve` calls this every few seconds; who embeds
    /// the engine does so as often as he likes.
    pub fn keep_house(&self, now: Timestamp) -> Result<()> {
        let house = &self.inner.housekeeping;
        let every = self.inner.config.retention.every.millis();
        let is_due = |last: Option<Timestamp>, every: i64| last.is_none_or(|last| now.is_after(last, every));
        if self.inner.config.retention.is_limited() && is_due(*lock(&house.expired), every) {
            // Before anything can fail: what does is not tried again at once.
            *lock(&house.expired) = Some(now);
            self.expire_events(now)?;
        }
        if is_due(*lock(&house.audited), AUDITED_MS) {
            *lock(&house.audited) = Some(now);
            self.tidy_audit(now)?;
        }
        let after = self.inner.config.privacy.purge_after.millis();
        let pending = self.pending_purge()?.filter(|pending| now.is_after(pending.since, after));
        if pending.is_some() && is_due(*lock(&house.tried), RETRY_MS) {
            *lock(&house.tried) = Some(now);
            let purged = self.purge()?;
            match purged.waits_for {
                Some(waits_for) => tracing::warn!(waits_for, "what was deleted is not gone from the files yet"),
                None => *lock(&house.tried) = None,
            }
        }
        Ok(())
    }

    /// Removes the events that are older than `retention` says, as of `now`. In turns of some thousand: reading and writing go on.
    /// A training that has begun sees them still; each later one is as if they had never been.
    pub fn expire_events(&self, now: Timestamp) -> Result<Expired> {
        let inner = &*self.inner;
        let retention = &inner.config.retention;
        let mut expired = Expired::default();
        let Some(until) = retention.latest(now) else { return Ok(expired) };
        let mut from = None;
        loop {
            let mut turn = inner.store.expire_events(&|kind| retention.oldest(kind, now), from, until)?;
            turn.users.sort_unstable();
            turn.users.dedup();
            inner.freshness.mark(turn.users.iter().copied());
            for user in turn.users {
                if let Some(user) = inner.store.user_name(user)? {
                    inner.answers.user_changed(&user);
                }
            }
            expired.events += turn.events;
            from = turn.next;
            if from.is_none() {
                break;
            }
        }
        if expired.events > 0 {
            tracing::info!(events = expired.events, "events older than the retention are removed");
        }
        Ok(expired)
    }

    /// Removes what has been deleted from the files of the data directory: tables, write-ahead logs and manifests are written
    /// anew without it. Reading and writing go on; it takes as long as copying what belongs to users does. The blocks of removed
    /// files are the file system's to overwrite. Backups and exported bundles of before are other files: they go by themselves.
    pub fn purge(&self) -> Result<Purged> {
        self.inner.store.purge()
    }

    /// What has been deleted and may still be in the files.
    pub fn pending_purge(&self) -> Result<Option<PendingPurge>> {
        self.inner.store.pending_purge()
    }
}
