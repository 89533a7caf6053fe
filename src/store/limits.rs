//! How much may be stored: looked at in the turn of each write, so that what is counted is exact whoever writes at the same
//! time, and nothing of a write that would go over it is left.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use rustc_hash::FxHashSet;

use super::Store;
use super::commit::{Turn, lock};
use super::stored::Counters;
use crate::config::Quotas;
use crate::error::{Error, Result};
use crate::record::Event;

/// What is on disk is measured anew after so long.
const MEASURED: Duration = Duration::from_secs(1);
/// So soon when there was no room for a write: a deletion may have made some.
const MEASURED_FULL: Duration = Duration::from_millis(100);
/// So often what is full is flushed: tables are smaller than the log of writes, which also has what is removed again.
const FLUSHED: Duration = Duration::from_secs(10);

/// Exposures take no more than this part of the bytes that may be on disk, and leave as much free: who may only read, and so
/// leaves exposures, does not keep others from writing.
const EXPOSED: u64 = 4;

/// The limits of a store; none until some are set.
#[derive(Default)]
pub struct Limits {
    set: ArcSwapOption<Set>,
    used: Mutex<Used>,
}

/// Whose limits, and which.
struct Set {
    tenant: String,
    quotas: Quotas,
}

/// What room is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What somebody writes.
    Write,
    /// What answers leave behind.
    Exposures,
    /// The same, in the place of twice as much that goes then. That is gone from disk only when tables are rewritten: until then
    /// half of what exposures leave free is theirs.
    Replacement,
}

impl Purpose {
    /// Bytes that may be on disk with it, of those that may be.
    fn of(self, most: u64) -> u64 {
        match self {
            Self::Write => most,
            Self::Exposures => most - most / EXPOSED,
            Self::Replacement => most - most / EXPOSED / 2,
        }
    }
}

/// What is on disk. All who write share it, so that each sees what the others have written since it was measured.
#[derive(Default)]
struct Used {
    measured: Option<Instant>,
    bytes: u64,
    /// What was written since then, as it was sent.
    since: u64,
    /// When tables were last made of the log, for a write.
    flushed: Option<Instant>,
}

/// An event that was not stored as there is no room for it.
#[derive(Debug)]
pub struct Refused {
    /// Its place among the events given.
    pub place: usize,
    /// Which quota is used up.
    pub error: Error,
}

impl Store {
    /// From now on these quotas hold, of these `items`, `users`, `events` and `storage_bytes`; errors name the tenant.
    pub fn limit(&self, tenant: &str, quotas: &Quotas) {
        let set = Set { tenant: tenant.to_owned(), quotas: quotas.clone() };
        self.limits.set.store(Some(std::sync::Arc::new(set)));
    }

    /// Whether there is room on disk for so many bytes more. Errors: [`Error::Quota`].
    pub fn check_room(&self, bytes: usize) -> Result<()> {
        self.limits.check_room(&self.dir, bytes, Purpose::Write, || self.flush_all())
    }

    /// Bytes that exposures may take of those on disk; `None` where these are not limited.
    pub fn exposure_quota(&self) -> Option<u64> {
        Some(self.limits.set.load().as_ref()?.quotas.storage_bytes? / EXPOSED)
    }

    /// Bytes of the database and the snapshots on disk.
    pub fn disk_bytes(&self) -> Result<u64> {
        disk_bytes(&self.dir)
    }
}

impl Limits {
    /// Refuses a write that would lead from one count to another over a limit. What does not add is never refused, though a
    /// limit may be lower than what is there.
    pub fn check_counts(&self, before: &Counters, after: &Counters) -> Result<()> {
        let set = self.set.load();
        let Some(set) = set.as_ref() else { return Ok(()) };
        let quotas = &set.quotas;
        let grows =
            |before: u64, after: u64, limit: Option<u64>| after > before && limit.is_some_and(|most| after > most);
        for (quota, before, after, limit) in [
            ("items", before.items, after.items, quotas.items),
            ("users", before.users, after.users, quotas.users),
            ("events", before.events, after.events, quotas.events),
        ] {
            if grows(before, after, limit) {
                return Err(set.used_up(quota, before, limit.unwrap_or_default(), after - before));
            }
        }
        Ok(())
    }

    /// Refuses to write so many bytes more where there is no room for them, and `flush` makes none. Only for a write it takes the
    /// trouble to make room: exposures are many, and whoever writes would wait for what is done for them.
    pub fn check_room(
        &self,
        dir: &Path,
        bytes: usize,
        purpose: Purpose,
        flush: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let set = self.set.load();
        let Some((set, most)) = set.as_ref().and_then(|set| Some((set, set.quotas.storage_bytes?))) else {
            return Ok(());
        };
        let (most, is_write) = (purpose.of(most), purpose == Purpose::Write);
        let mut used = lock(&self.used);
        let fits = |used: &Used| used.bytes.saturating_add(used.since).saturating_add(bytes as u64) <= most;
        let good_for = if is_write && !fits(&used) { MEASURED_FULL } else { MEASURED };
        if used.measured.is_none_or(|at| at.elapsed() >= good_for) {
            used.measure(dir)?;
        }
        if is_write && !fits(&used) && used.flushed.is_none_or(|last| last.elapsed() >= FLUSHED) {
            used.flushed = Some(Instant::now());
            flush()?;
            used.measure(dir)?;
        }
        if !fits(&used) {
            return Err(set.used_up("storage_bytes", used.bytes + used.since, most, bytes as u64));
        }
        used.since += bytes as u64;
        Ok(())
    }
}

impl Used {
    fn measure(&mut self, dir: &Path) -> Result<()> {
        (self.bytes, self.since, self.measured) = (disk_bytes(dir)?, 0, Some(Instant::now()));
        Ok(())
    }
}

impl Set {
    fn used_up(&self, quota: &'static str, used: u64, most: u64, more: u64) -> Error {
        let reason = format!("{used} of {most} are used, {more} more do not fit; delete some, or raise it");
        Error::Quota { tenant: self.tenant.clone(), quota, reason, retry_after_ms: None }
    }
}

impl Turn<'_> {
    /// The places of those events that there is room for, each with all that it brings, in the order given; and the others.
    /// `identity` tells whether an event is stored already, and never fails for lack of room.
    pub fn fitting(
        &self,
        limits: &Limits,
        events: &[Event],
        is_stored: impl Fn(&Self, &Event) -> Result<bool>,
    ) -> Result<(Vec<usize>, Vec<Refused>)> {
        let all = || (0..events.len()).collect();
        let set = limits.set.load();
        let Some(set) = set.as_ref() else { return Ok((all(), Vec::new())) };
        let (quotas, now) = (&set.quotas, &self.counters);
        let more = events.len() as u64;
        let is_far = |count: u64, limit: Option<u64>| limit.is_none_or(|limit| count.saturating_add(more) <= limit);
        if is_far(now.items, quotas.items) && is_far(now.users, quotas.users) && is_far(now.events, quotas.events) {
            return Ok((all(), Vec::new()));
        }
        let (mut users, mut items, mut stored) = (FxHashSet::default(), FxHashSet::default(), FxHashSet::default());
        let (mut fit, mut refused) = (Vec::new(), Vec::new());
        for (place, event) in events.iter().enumerate() {
            let identity = (&event.user, &event.item, &event.kind, event.time, &event.id);
            if stored.contains(&identity) || is_stored(self, event)? {
                fit.push(place);
                continue;
            }
            let is_new_user = self.ids.user(&event.user).is_none() && !users.contains(&event.user);
            let is_new_item = self.ids.item(&event.item).is_none() && !items.contains(&event.item);
            let over = [
                ("users", is_new_user, now.users + users.len() as u64, quotas.users),
                ("items", is_new_item, now.items + items.len() as u64, quotas.items),
                ("events", true, now.events + stored.len() as u64, quotas.events),
            ];
            let over =
                over.into_iter().find(|(_, grows, count, limit)| *grows && limit.is_some_and(|most| *count >= most));
            if let Some((quota, _, count, limit)) = over {
                let error = set.used_up(quota, count, limit.unwrap_or_default(), 1);
                refused.push(Refused { place, error });
                continue;
            }
            stored.insert(identity);
            if is_new_user {
                users.insert(&event.user);
            }
            if is_new_item {
                items.insert(&event.item);
            }
            fit.push(place);
        }
        Ok((fit, refused))
    }
}

/// Bytes of what belongs to a data directory itself: tenants in it have directories of their own.
fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for part in ["rocksdb", "index"] {
        bytes += tree_bytes(&dir.join(part))?;
    }
    Ok(bytes)
}

/// Bytes of all files below a directory; none where there is no directory.
pub fn tree_bytes(dir: &Path) -> Result<u64> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io(dir)(error)),
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry.map_err(Error::io(dir))?;
        // A file that RocksDB removed a moment ago counts as nothing.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { tree_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 1 << 20;

    /// Limits of a directory of which so many bytes are used.
    fn limits(dir: &Path, used: usize) -> Limits {
        std::fs::create_dir_all(dir.join("rocksdb")).unwrap();
        std::fs::write(dir.join("rocksdb/file"), vec![0; used]).unwrap();
        let limits = Limits::default();
        let quotas = Quotas { storage_bytes: Some(MOST), ..Quotas::default() };
        limits.set.store(Some(std::sync::Arc::new(Set { tenant: "a".into(), quotas })));
        limits
    }

    #[test]
    fn exposures_are_refused_without_measuring_again_and_without_a_flush() {
        let dir = tempfile::tempdir().unwrap();
        let limits = limits(dir.path(), (MOST - MOST / 8) as usize);
        let take = |bytes, purpose| {
            let mut flushed = false;
            let taken = limits.check_room(dir.path(), bytes, purpose, || {
                flushed = true;
                Ok(())
            });
            (taken.is_ok(), flushed)
        };
        assert_eq!(take(10, Purpose::Exposures), (false, false));
        // Long ago for a write that finds no room, and not for these.
        let before = Instant::now().checked_sub(MEASURED_FULL);
        lock(&limits.used).measured = before;
        for purpose in [Purpose::Exposures, Purpose::Replacement] {
            assert_eq!(take(MOST as usize / 4, purpose), (false, false));
            assert_eq!(lock(&limits.used).measured, before);
        }
        // Nor is the write's turn to flush taken from it: there is no room for it, and it may make some.
        assert_eq!(take(MOST as usize / 4, Purpose::Write), (false, true));
        assert_eq!(take(10, Purpose::Write), (true, false));
    }

    #[test]
    fn what_replaces_others_may_take_half_of_what_is_left_free_and_writes_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let limits = limits(dir.path(), (MOST - MOST / 4) as usize);
        let take = |bytes: u64, purpose| limits.check_room(dir.path(), bytes as usize, purpose, || Ok(())).is_ok();
        assert!(!take(1, Purpose::Exposures) && take(MOST / 8, Purpose::Replacement));
        assert!(!take(1, Purpose::Replacement), "each sees what another has taken");
        assert!(take(MOST / 8, Purpose::Write), "the rest is left to who writes");
    }
}
