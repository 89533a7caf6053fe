//! Room for what was shown. Answers are kept for the retention, and as many as may be: beyond `exposures.max_mib` the oldest go
//! before their time. Whoever may only ask leaves something behind with each answer, and must not be able to fill the disk.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::exposures::Counts;
use crate::config::ExposuresConfig;
use crate::error::Result;
use crate::record::Timestamp;
use crate::store::{Forgotten, ShownAnswer, Store};

/// So often old ones are looked for, and what makes room is told.
const TIDY: Duration = Duration::from_secs(3_600);

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
    told: Option<Instant>,
}

impl<'a> Room<'a> {
    /// In a store.
    pub fn new(store: &'a Store, config: &'a ExposuresConfig, counts: &'a Counts) -> Self {
        Self { store, config, counts, looked: None, old: None, oldest: None, told: None }
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
        let before = self.store.exposed_bytes();
        self.store.put_shown(shown)?;
        self.evict(2 * self.store.exposed_bytes().saturating_sub(before));
        Ok(())
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
            let Forgotten { answers, bytes, next } =
                match self.store.forget_oldest_exposures(excess, self.oldest.as_deref()) {
                    Ok(forgotten) => forgotten,
                    Err(error) => {
                        tracing::warn!(%error, "exposures that are too many are not removed");
                        return false;
                    }
                };
            self.oldest = next;
            self.counts.evicted.fetch_add(answers, Ordering::Relaxed);
            self.tell(answers);
            if bytes >= left {
                return true;
            }
            left -= bytes;
        }
    }

    fn tell(&mut self, answers: u64) {
        if answers > 0 && self.told.is_none_or(|last| last.elapsed() >= TIDY) {
            self.told = Some(Instant::now());
            let bytes = self.store.exposed_bytes();
            tracing::warn!(
                bytes,
                "exposures take all that they may (exposures.max_mib): the oldest go before their time"
            );
        }
    }
}
