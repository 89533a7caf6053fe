//! The store: users, items, events, vectors, factors and small records in RocksDB, in one data directory. It promises
//! that a write is whole or not there, that an acknowledged write survives what its durability says, that the same event
//! is stored once, and that dense ids are never reused. What the data means is for other rooms; no other room names
//! RocksDB.
//!
//! Writers take turns: under one short lock a write resolves its ids, looks for duplicates, and hands RocksDB one batch
//! with everything in it, counters included. The fsync comes after the lock, and one fsync serves all who wait
//! ([`commit`]).

mod audit;
mod backup;
mod budget;
mod catalogue;
mod codec;
mod commit;
mod counters;
mod cross;
mod dictionary;
mod erase;
mod events;
mod expire;
mod exposures;
mod factors;
mod families;
mod forget;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod health;
mod intact;
mod item_index;
mod key;
mod keys;
mod kinds;
mod limits;
mod migrate;
mod purge;
mod records;
mod scenarios;
mod served;
mod stored;
mod term;
#[cfg(test)]
mod tests;
mod view;
mod watermark;

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, RwLock};

use rocksdb::DB;

pub use backup::{
    BackupGeneration, BackupLog, Until, list as list_backup, prune as prune_backup, verify as verify_backup,
};
pub use budget::Budget;
pub use cross::Fault;
pub use events::Appended;
pub use exposures::ShownAnswer;
pub use factors::Side;
pub use forget::Forgotten;
pub use format::{FORMAT as DATA_FORMAT, Holder, holder};
pub use health::Trouble;
pub use item_index::bitmap;
pub use keys::{SecretHash, StoredKey};
pub use limits::tree_bytes;
pub use purge::{PendingPurge, Purged};
pub use records::Records;
pub use served::{ServedAnswer, ServedRow};
pub use term::{TermRange, Terms, kind as term_kind};
pub use view::{LoggedCount, LoggedEvent, LoggedOutcome, View};

use crate::config::StoreConfig;
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::record::{ItemId, UserId};
use commit::{GroupSync, Writer};
use counters::Kept;
use dictionary::Dictionaries;
use families::Family;
use format::DirectoryLock;
use health::Health;
use kinds::Kinds;
use limits::Limits;
use stored::Counters;
use watermark::Watermark;

/// How many there are, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Users with a profile or an event.
    pub users: u64,
    /// Items with metadata or an event.
    pub items: u64,
    /// Events in the log.
    pub events: u64,
    /// Events ever stored, those that are gone included.
    pub stored: u64,
}

/// An open data directory.
pub struct Store {
    // Declared first and so dropped first: the database is closed before the lock is given back.
    db: DB,
    writer: Mutex<Writer>,
    sync: GroupSync,
    watermark: Watermark,
    health: Health,
    ids: RwLock<Dictionaries>,
    kept: RwLock<Kept>,
    kinds: Kinds,
    limits: Limits,
    budget: Budget,
    /// RocksDB's sequence number after the last deletion of what belongs to somebody.
    erased: AtomicU64,
    /// Held while files are rewritten.
    purging: Mutex<()>,
    dir: std::path::PathBuf,
    lock: DirectoryLock,
}

impl Store {
    /// Opens a data directory, or makes a new one; one of an older format is migrated. Errors: [`Error::Locked`], [`Error::NotSavor`],
    /// [`Error::NewerFormat`], [`Error::Corrupt`] naming the file when acknowledged writes in it cannot be read,
    /// [`Error::Storage`] when RocksDB cannot recover it for another reason.
    pub fn open(dir: &Path, config: &StoreConfig) -> Result<Self> {
        Self::open_within(dir, config, Budget::alone(config.cache_mib))
    }

    /// The same with the memory that a budget has for it.
    pub fn open_within(dir: &Path, config: &StoreConfig, budget: Budget) -> Result<Self> {
        format::check_directory(dir)?;
        let lock = DirectoryLock::take(dir)?;
        fault::reach(Point::Locked);
        watermark::check(dir, &intact::check(&dir.join("rocksdb"))?)?;
        format::check_families(dir)?;
        Self::remove_checkpoints(dir);
        let db = families::open(&dir.join("rocksdb"), config, &budget)?;
        let watermark = Watermark::begin(dir, db.latest_sequence_number())?;
        migrate::migrate(&db, format::check_version(&db, dir)?)?;
        let counters = match db.get_cf(Family::Meta.of(&db)?, records::COUNTERS).map_err(storage("open"))? {
            Some(bytes) => codec::decode("the counters", &bytes)?,
            None => Counters::default(),
        };
        let ids = Dictionaries::load(&db)?;
        let kept = Kept::load(&db)?;
        let kinds = Kinds::of(kept.kinds());
        let exposed = forget::exposed_bytes(&db)?;
        Ok(Self {
            db,
            writer: Mutex::new(Writer::new(counters, exposed)),
            sync: GroupSync::default(),
            watermark,
            health: Health::default(),
            ids: RwLock::new(ids),
            kept: RwLock::new(kept),
            kinds,
            limits: Limits::default(),
            budget,
            erased: AtomicU64::new(0),
            purging: Mutex::new(()),
            dir: dir.to_path_buf(),
            lock,
        })
    }

    /// Where it has its memory from.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Writes a server's address into the lock file.
    pub fn announce(&self, address: &str) -> Result<()> {
        self.lock.announce(address)
    }

    /// How many users, items and events there are.
    pub fn counts(&self) -> Counts {
        let counters = commit::lock(&self.writer).counters;
        let stored = u64::midpoint(counters.log_changes, counters.events);
        Counts { users: counters.users, items: counters.items, events: counters.events, stored }
    }

    /// The dense id of a user.
    pub fn user_id(&self, name: &str) -> Result<Option<UserId>> {
        Ok(commit::read(&self.ids).users.get(name).map(UserId::new))
    }

    /// The dense id of an item.
    pub fn item_id(&self, name: &str) -> Result<Option<ItemId>> {
        Ok(commit::read(&self.ids).items.get(name).map(ItemId::new))
    }

    /// The external id of a user; `None` once the user is deleted.
    pub fn user_name(&self, id: UserId) -> Result<Option<String>> {
        self.name(Family::UserIds, id.get())
    }

    /// The external id of an item; `None` once the item is deleted.
    pub fn item_name(&self, id: ItemId) -> Result<Option<String>> {
        self.name(Family::ItemIds, id.get())
    }

    fn name(&self, family: Family, id: u32) -> Result<Option<String>> {
        let name = self.db.get_cf(family.of(&self.db)?, key::dense(id)).map_err(storage("read an id"))?;
        name.map(|name| String::from_utf8(name).map_err(|_| Error::corrupt("an id", "is not UTF-8"))).transpose()
    }
}

/// For `map_err`: what was being done when RocksDB failed. What it says of damage names the file.
fn storage(operation: &'static str) -> impl Fn(rocksdb::Error) -> Error {
    move |error| match error.kind() {
        rocksdb::ErrorKind::Corruption => damaged(operation, &error),
        // A table that has gone.
        rocksdb::ErrorKind::IOError if error.as_ref().contains("No such file") => damaged(operation, &error),
        _ => Error::Storage { operation, reason: error.into_string() },
    }
}

fn damaged(operation: &'static str, error: &rocksdb::Error) -> Error {
    Error::corrupt(format!("the database ({operation})"), format!("{error}; {}", health::RESTORE))
}
