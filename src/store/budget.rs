//! The memory that databases in one process share: one block cache for all of them, and a bound for what each has written and
//! not yet flushed. The unflushed is counted in the cache, too, so that what it takes is taken from blocks and not from the
//! machine.

use rocksdb::{Cache, Options, WriteBufferManager};

/// Threads for flushes and compactions of all databases together. RocksDB gives all databases of a process one pool; it grows
/// to what the largest asks for.
const POOL: i32 = 4;
/// Those of them that one of several databases may hold: one flush and one compaction, so that others find threads free.
const OF_EACH: i32 = 2;
const OPEN_FILES: i32 = 1024;
const OPEN_FILES_OF_EACH: i32 = 64;
const LOG: u64 = 256 << 20;
const LOG_OF_EACH: u64 = 64 << 20;

/// Where a database has its memory from.
#[derive(Clone)]
pub struct Budget {
    pub(super) cache: Cache,
    /// Bytes of the unflushed writes of one of several databases; none where a database has all for itself.
    unflushed: Option<usize>,
}

impl Budget {
    /// For one database alone.
    pub fn alone(cache_mib: usize) -> Self {
        Self { cache: Cache::new_lru_cache(cache_mib.max(1) << 20), unflushed: None }
    }

    /// For another database beside: the same cache, and so much for its unflushed writes.
    pub fn beside(&self, write_buffer_mib: usize) -> Self {
        Self { cache: self.cache.clone(), unflushed: Some(write_buffer_mib.max(1) << 20) }
    }

    /// Tells a database.
    pub(super) fn apply(&self, options: &mut Options) {
        match self.unflushed {
            None => {
                options.set_max_background_jobs(POOL);
                options.set_max_open_files(OPEN_FILES);
                options.set_max_total_wal_size(LOG);
            }
            Some(bytes) => {
                options.set_max_background_jobs(OF_EACH);
                options.set_max_open_files(OPEN_FILES_OF_EACH);
                options.set_max_total_wal_size(LOG_OF_EACH);
                // One for each database: by a common one, whoever writes flushes for whoever has filled it.
                let cache = self.cache.clone();
                let manager = WriteBufferManager::new_write_buffer_manager_with_cache(bytes, false, cache);
                options.set_write_buffer_manager(&manager);
            }
        }
    }

    /// The largest memtable of a family that would have `wanted` bytes for itself.
    pub(super) fn memtable(&self, wanted: usize) -> usize {
        self.unflushed.map_or(wanted, |bytes| wanted.min(bytes / 2).max(1 << 20))
    }
}
