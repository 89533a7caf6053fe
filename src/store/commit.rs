//! The way of every write: turns under one lock, one batch each, and a shared fsync.

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard};

use rocksdb::{DB, WriteBatch, WriteOptions};
use rustc_hash::FxHashMap;

use super::counters::Counting;
use super::dictionary::Staged;
use super::families::Family;
use super::limits::Purpose;
use super::stored::Counters;
use super::{Store, backup, codec, forget, records, storage};
use crate::config::Durability;
use crate::counters::{Changes, Owner};
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::record::Timestamp;

/// What only the writer whose turn it is may touch.
pub struct Writer {
    /// As they are after the last write.
    pub counters: Counters,
    /// Bytes of the entries of exposures, as they were written.
    pub exposed: u64,
    /// Writes until now.
    ticket: u64,
}

impl Writer {
    pub fn new(counters: Counters, exposed: u64) -> Self {
        Self { counters, exposed, ticket: 0 }
    }
}

/// A write in the making: one batch, the counters as they will be, and ids that become known when it is written.
pub struct Turn<'a> {
    pub db: &'a DB,
    pub batch: WriteBatch,
    pub counters: Counters,
    pub ids: Staged<'a>,
    /// Vector spaces that this write begins.
    pub spaces: Vec<String>,
    /// What this write adds to the counters of events, and takes from them.
    pub counted: Changes,
    /// Users and items whose counters this write removes.
    pub forgotten: Vec<Owner>,
    /// Whether nothing is to be pending in the counters afterwards.
    pub folds: bool,
    /// What it wants room for, where it counts against a limit of bytes.
    pub charged: Option<Purpose>,
    /// Bytes of exposures that this write adds, less those that it removes.
    pub exposed: i64,
    /// Whether this write deletes what belongs to somebody (see `purge`).
    pub erases: bool,
    /// Catalogue entries that this write has put or deleted: [`Turn::get`] sees them.
    changed: FxHashMap<(Family, Vec<u8>), Option<Vec<u8>>>,
}

/// A batch that knows when it was written, for the log of a backup.
fn timed_batch() -> WriteBatch {
    let mut batch = WriteBatch::default();
    backup::note_time(&mut batch, Timestamp::now());
    batch
}

impl Store {
    /// Takes a turn: `build` fills the batch, which is then written whole. Whatever goes wrong, nothing is changed.
    pub(super) fn commit<T>(
        &self,
        durability: Durability,
        build: impl FnOnce(&mut Turn<'_>) -> Result<T>,
    ) -> Result<T> {
        self.health.admit()?;
        let (outcome, ticket) = {
            let mut writer = lock(&self.writer);
            let known = read(&self.ids);
            let mut turn = Turn {
                db: &self.db,
                batch: timed_batch(),
                counters: writer.counters,
                ids: Staged::new(&known),
                spaces: Vec::new(),
                counted: Changes::default(),
                forgotten: Vec::new(),
                folds: false,
                charged: None,
                exposed: 0,
                erases: false,
                changed: FxHashMap::default(),
            };
            let outcome = build(&mut turn)?;
            let Turn { mut batch, counters, ids, counted, forgotten, folds, charged, exposed, erases, .. } = turn;
            let changes = ids.finish();
            let counting = Counting::stage(&self.db, &read(&self.kept), counted, forgotten, folds, &mut batch)?;
            drop(known);
            self.limits.check_counts(&writer.counters, &counters)?;
            if let Some(purpose) = charged {
                self.limits.check_room(&self.dir, batch.size_in_bytes(), purpose, || self.flush_all())?;
            }
            if counters != writer.counters {
                batch.put_cf(Family::Meta.of(&self.db)?, records::COUNTERS, codec::encode(&counters)?);
            }
            let exposed = writer.exposed.saturating_add_signed(exposed);
            if exposed != writer.exposed {
                batch.put_cf(Family::Meta.of(&self.db)?, forget::EXPOSED, codec::encode(&exposed)?);
            }
            if !batch.is_empty() {
                let readers_wait = counting.folds.then(|| write(&self.kept));
                self.health.write(self.db.write_opt(batch, &WriteOptions::default()))?;
                fault::reach(Point::WalWritten);
                if erases {
                    self.erased.fetch_max(self.db.latest_sequence_number(), Ordering::SeqCst);
                }
                (writer.counters, writer.exposed) = (counters, exposed);
                writer.ticket += 1;
                write(&self.ids).apply(changes);
                counting.apply(&mut readers_wait.unwrap_or_else(|| write(&self.kept)));
            }
            (outcome, writer.ticket)
        };
        // Also when nothing was written: what was found stored already may be another writer's, not yet on disk.
        if durability == Durability::Sync {
            self.sync.wait(ticket, || self.sync_to_disk())?;
            fault::reach(Point::WalSynced);
        }
        Ok(outcome)
    }

    /// Puts everything written until now on disk.
    pub fn sync(&self) -> Result<()> {
        let ticket = lock(&self.writer).ticket;
        self.sync.wait(ticket, || self.sync_to_disk())
    }

    /// One fsync; tells which writes it covered.
    fn sync_to_disk(&self) -> Result<u64> {
        // One that succeeds after one that failed proves nothing; after a refused write RocksDB does not even try, which is no
        // failed fsync.
        self.health.admit_sync()?;
        let (ticket, written) = {
            let writer = lock(&self.writer);
            (writer.ticket, self.db.latest_sequence_number())
        };
        self.health.sync(self.db.flush_wal(true))?;
        self.watermark.raise(written);
        Ok(ticket)
    }
}

/// One fsync for all who wait: the first to come runs it, those who come meanwhile share the next.
#[derive(Default)]
pub struct GroupSync {
    state: Mutex<SyncState>,
    done: Condvar,
}

#[derive(Default)]
struct SyncState {
    synced: u64,
    is_running: bool,
}

impl GroupSync {
    /// Returns when the write with this ticket is on disk. `sync` must cover all writes before it and tell the last.
    fn wait(&self, ticket: u64, sync: impl Fn() -> Result<u64>) -> Result<()> {
        let mut state = lock(&self.state);
        loop {
            if state.synced >= ticket {
                return Ok(());
            }
            if state.is_running {
                state = self.done.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            }
            state.is_running = true;
            drop(state);
            let outcome = sync();
            state = lock(&self.state);
            state.is_running = false;
            self.done.notify_all();
            // Whoever waits for a failed sync runs one of its own, and sees its own error.
            state.synced = state.synced.max(outcome?);
        }
    }
}

impl Turn<'_> {
    /// Adds an entry to the batch.
    pub fn put(&mut self, family: Family, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.note(family, key.as_ref(), Some(value.as_ref()));
        self.batch.put_cf(family.of(self.db)?, key, value);
        Ok(())
    }

    /// Removes an entry.
    pub fn delete(&mut self, family: Family, key: impl AsRef<[u8]>) -> Result<()> {
        self.note(family, key.as_ref(), None);
        self.batch.delete_cf(family.of(self.db)?, key);
        Ok(())
    }

    /// Reads an entry: of the catalogue as this write leaves it, of other families as it was before.
    pub fn get(&self, family: Family, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        if family.is_catalogue()
            && let Some(value) = self.changed.get(&(family, key.as_ref().to_vec()))
        {
            return Ok(value.clone());
        }
        self.db.get_cf(family.of(self.db)?, key).map_err(storage("read"))
    }

    fn note(&mut self, family: Family, key: &[u8], value: Option<&[u8]>) {
        if family.is_catalogue() {
            self.changed.insert((family, key.to_vec()), value.map(<[u8]>::to_vec));
        }
    }
}

/// The next dense id; an error when all are used up.
pub fn next_id(next: &mut u32, what: &'static str) -> Result<u32> {
    let id = *next;
    *next = id.checked_add(1).ok_or_else(|| Error::Conflict(format!("all {} ids of {what} are used", u32::MAX)))?;
    Ok(id)
}

// The state behind these locks is changed in single steps after the write has succeeded, so a panicked holder leaves it
// as it was.

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_failed_sync_is_an_error_for_those_who_waited_for_it_and_no_other() {
        let sync = GroupSync::default();
        let failing = || Err(Error::Storage { operation: "sync", reason: "disk full".into() });
        assert!(sync.wait(1, failing).is_err());
        assert!(sync.wait(1, || Ok(1)).is_ok());
        assert!(sync.wait(1, failing).is_ok(), "it is on disk already");
        assert!(sync.wait(2, failing).is_err());
    }

    #[test]
    fn waiters_share_syncs_and_none_returns_before_its_own() {
        let (sync, written, runs) = (GroupSync::default(), AtomicU64::new(0), AtomicU64::new(0));
        let synced = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let ticket = written.fetch_add(1, Ordering::SeqCst) + 1;
                        let run = || {
                            let covered = written.load(Ordering::SeqCst);
                            runs.fetch_add(1, Ordering::SeqCst);
                            synced.fetch_max(covered, Ordering::SeqCst);
                            Ok(covered)
                        };
                        sync.wait(ticket, run).unwrap();
                        assert!(synced.load(Ordering::SeqCst) >= ticket);
                    }
                });
            }
        });
        assert!(runs.load(Ordering::SeqCst) <= 1600);
    }
}
