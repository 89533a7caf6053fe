//! Room for what was shown. Answers are kept for the retention, and as many as may be: beyond `exposures.max_mib` the oldest go
//! before their time. Whoever may only ask leaves something behind with each answer, and must not be able to fill the disk.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::exposures::Counts;
use crate::config::ExposuresConfig;
use crate::error::{Error, Result};
use crate::record::Timestamp;
use crate::store::{Forgotten, ShownAnswer, Store};

/// So often old ones are looked for, and what makes room is told.
const TIDY: Duration = Duration::from_secs(3_600);
/// So often tables are made of the log of writes where there is no room: it also has what is removed again. By this thread, so that
/// nobody who writes waits for it.
const FLUSHED: Duration = Duration::from_secs(60);

/// Writes answers, and removes others.
pub struct Room<'a> {
    store: &'a Store,
    config: &'a ExposuresConfig,
    counts: &'a Counts,
    looked: Option<Instant>,
    /// Where those that are too old go on.
    old: Option<Vec<u8>>,
    /// Where the oldest are: before it RocksDB has to pass by all that is removed and not yet gone from its files.
    oldest: Option<Vec<u8>>,
    /// When it was told last that all take more than they may, and that too little is free.
    told: Option<Instant>,
    told_full: Option<Instant>,
    flushed: Option<Instant>,
}

impl<'a> Room<'a> {
    /// In a store.
    pub fn new(store: &'a Store, config: &'a ExposuresConfig, counts: &'a Counts) -> Self {
        Self {
            store,
            config,
            counts,
            looked: None,
            old: None,
            oldest: None,
            told: None,
            told_full: None,
            flushed: None,
        }
    }

    /// Removes a turn's worth of what is to go; tells when to come again.
    pub fn tidy(&mut self) -> Duration {
        if self.old.is_some() || self.looked.is_none_or(|last| last.elapsed() >= TIDY) {
            // Answers of a clock that was behind lie before those that went last.
            self.oldest = None;
            self.looked = Some(Instant::now());
            self.forget_old();
        }
        let goes_on = self.evict(0);
        if self.old.is_some() || goes_on { Duration::ZERO } else { TIDY }
    }

    /// Writes answers, and removes twice as much of the oldest as long as all is too much: it shrinks, also where new answers are
    /// larger than the old ones.
    pub fn put(&mut self, shown: &[ShownAnswer]) -> Result<()> {
        if shown.is_empty() {
            return Ok(());
        }
        let bytes: u64 = shown.iter().map(ShownAnswer::bytes).sum();
        match self.store.put_shown(shown) {
            Err(Error::Quota { .. }) => self.replace(shown)?,
            stored => stored?,
        }
        self.evict(2 * bytes);
        Ok(())
    }

    /// Where too little is free, new answers come in the place of old ones: the newest are kept, as many as there is room for, and all
    /// of them shrink until enough is free. Where there is no room even for that, old ones
    /// stay but for what goes with the log of writes.
    fn replace(&mut self, shown: &[ShownAnswer]) -> Result<()> {
        let mut newest = shown;
        let mut stored = self.store.replace_shown(newest);
        while newest.len() > 1 && matches!(stored, Err(Error::Quota { .. })) {
            newest = newest.split_at(newest.len().div_ceil(2)).1;
            stored = self.store.replace_shown(newest);
        }
        match &stored {
            Ok(()) => {
                self.counts.dropped.fetch_add((shown.len() - newest.len()) as u64, Ordering::Relaxed);
                self.make_up_for(newest.iter().map(ShownAnswer::bytes).sum());
            }
            Err(error @ Error::Quota { .. }) if is_due(&mut self.flushed, FLUSHED) => {
                // Some go with the log, so that there is room again where exposures are what takes it.
                tracing::debug!(%error, "tables are made of the log of writes");
                self.make_up_for(shown.iter().map(ShownAnswer::bytes).sum());
                self.store.flush_all()?;
            }
            Err(_) => {}
        }
        if is_due(&mut self.told_full, TIDY) {
            let is_kept = stored.is_ok();
            tracing::warn!(
                is_kept,
                "too little is free of a tenant's storage_bytes: the oldest exposures go for new ones"
            );
        }
        stored
    }

    /// Removes as many bytes of the oldest as were written, or twice as many where exposures take much of what may be stored: what
    /// else a tenant has does not wear them down to nothing.
    fn make_up_for(&mut self, bytes: u64) {
        let old = self.store.exposed_bytes().saturating_sub(bytes);
        let much = self.store.exposure_quota().unwrap_or_default() / 2;
        let mut left = old.min(if old > much { 2 * bytes } else { bytes });
        while left > 0
            && let Some(forgotten) = self.forget(left)
        {
            left = left.saturating_sub(forgotten.bytes);
            if forgotten.next.is_none() {
                break;
            }
        }
    }

    fn forget_old(&mut self) {
        let before = Timestamp::now().before(self.config.retention);
        match self.store.forget_exposures(before, self.old.as_deref()) {
            Ok(Forgotten { answers, next, .. }) => {
                if answers > 0 {
                    tracing::debug!(answers, "exposures older than the retention are removed");
                }
                self.old = next;
            }
            Err(error) => {
                tracing::warn!(%error, "old exposures are not removed");
                self.old = None;
            }
        }
    }

    /// Bytes that are too much.
    fn excess(&self) -> u64 {
        let most = self.config.max_mib << 20;
        let most = self.store.exposure_quota().map_or(most, |quota| quota.min(most));
        self.store.exposed_bytes().saturating_sub(most)
    }

    /// Removes a turn's worth of the oldest, and further ones until so many bytes are gone, as long as all is too much. Tells
    /// whether there is more to do.
    fn evict(&mut self, bytes: u64) -> bool {
        let mut left = bytes;
        loop {
            let excess = self.excess();
            if excess == 0 {
                return false;
            }
            let Some(forgotten) = self.forget(excess) else { return false };
            self.tell(forgotten.answers);
            if forgotten.bytes >= left {
                return true;
            }
            left -= forgotten.bytes;
        }
    }

    /// Removes a turn's worth of the oldest, no more than it takes for so many bytes to be gone.
    fn forget(&mut self, bytes: u64) -> Option<Forgotten> {
        match self.store.forget_oldest_exposures(bytes, self.oldest.as_deref()) {
            Ok(forgotten) => {
                self.oldest.clone_from(&forgotten.next);
                self.counts.evicted.fetch_add(forgotten.answers, Ordering::Relaxed);
                Some(forgotten)
            }
            Err(error) => {
                tracing::warn!(%error, "the oldest exposures are not removed");
                None
            }
        }
    }

    fn tell(&mut self, answers: u64) {
        if answers > 0 && is_due(&mut self.told, TIDY) {
            let bytes = self.store.exposed_bytes();
            tracing::warn!(
                bytes,
                "exposures take all that they may (exposures.max_mib): the oldest go before their time"
            );
        }
    }
}

/// Whether so long has passed since the last time; then this is the last time.
fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let is_due = last.is_none_or(|last| last.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}
