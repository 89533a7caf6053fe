//! How far the database was on disk, kept beside it. What a crash leaves at the end of a log looks like a log that was cut
//! off, emptied or removed, and RocksDB opens without the writes that were in it. Held against this note, a database that
//! misses what was acknowledged is an error, before anything is changed.
//!
//! The note is written after each fsync of the log, before anybody is told, and is not synced itself: after a power failure
//! it may be older than the log, and sees less then; it never says more than what was on disk. It does not know of writes
//! that were acknowledged without a sync, and nothing is known where it is lost together with the log. An older database that
//! takes the place of one of which nothing was written since it was opened is refused, too, but only after it has been opened. A
//! log in the middle that has gone is found by RocksDB itself, whose manifest has the sizes of all but the last.
//!
//! ```text
//! SYNCED: the last write on disk u64 | the last write in tables when it was opened u64 | xxh3 of both u64   (little-endian)
//! ```

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use rocksdb::{DB, Options};
use xxhash_rust::xxh3::xxh3_64;

use super::health::RESTORE;
use super::intact::Found;
use super::storage;
use crate::error::{Error, Result};

/// The name of the note.
pub const SYNCED: &str = "SYNCED";

/// By RocksDB's sequence numbers, which count entries: one write may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// On disk, wherever.
    synced: u64,
    /// In tables: no log is needed for those until this.
    in_tables: u64,
}

impl Mark {
    fn to_bytes(self) -> Vec<u8> {
        let numbers = [self.synced.to_le_bytes(), self.in_tables.to_le_bytes()].concat();
        [numbers.as_slice(), &xxh3_64(&numbers).to_le_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (synced, rest) = bytes.split_first_chunk()?;
        let in_tables = rest.first_chunk()?;
        let mark = Self { synced: u64::from_le_bytes(*synced), in_tables: u64::from_le_bytes(*in_tables) };
        (mark.to_bytes() == bytes).then_some(mark)
    }

    /// The note of a directory. One that cannot be read says nothing: a power failure may have left it so.
    fn read(path: &Path) -> Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let mark = Self::from_bytes(&bytes);
        if mark.is_none() {
            tracing::warn!(file = %path.display(), "damaged: it cannot tell whether the log is complete");
        }
        Ok(mark)
    }
}

/// Whether what was acknowledged is there, as far as can be told without opening the database for writing. Errors:
/// [`Error::Corrupt`] names the log, what is missing, and the remedy.
pub fn check(dir: &Path, found: &Found) -> Result<()> {
    let path = dir.join(SYNCED);
    let Some(mark) = Mark::read(&path)? else { return Ok(()) };
    let is_logged = mark.synced <= mark.in_tables || found.logged >= Some(mark.synced);
    if found.is_database && is_logged {
        return Ok(());
    }
    let database = dir.join("rocksdb");
    let log = || found.log.clone().unwrap_or_else(|| database.join("*.log"));
    // Tables may have been written since it was opened: then the logs of those writes are gone by right.
    let reached = if found.is_database { reached(&database)? } else { 0 };
    admit(mark, reached, &path, log)
}

/// The last write that there is, in tables and logs.
fn reached(database: &Path) -> Result<u64> {
    let options = Options::default();
    let families = DB::list_cf(&options, database).map_err(storage("look at the log"))?;
    let db = DB::open_cf_for_read_only(&options, database, families, false).map_err(storage("look at the log"))?;
    Ok(db.latest_sequence_number())
}

fn admit(mark: Mark, reached: u64, path: &Path, log: impl FnOnce() -> PathBuf) -> Result<()> {
    if reached >= mark.synced {
        return Ok(());
    }
    let (missing, path) = (mark.synced - reached, path.display());
    let reason = format!(
        "{missing} acknowledged entries are missing: it ends at entry {reached}, but entry {} was on disk; {RESTORE}, or, to \
         go on without them, remove {path}",
        mark.synced
    );
    Err(Error::corrupt(log().display().to_string(), reason))
}

/// The note of a directory that is open.
pub struct Watermark {
    file: File,
    in_tables: u64,
}

impl Watermark {
    /// Begins a note when the database has just been opened, and so has all of its `reached` writes in tables.
    pub fn begin(dir: &Path, reached: u64) -> Result<Self> {
        let path = dir.join(SYNCED);
        if let Some(mark) = Mark::read(&path)? {
            admit(mark, reached, &path, || dir.join("rocksdb"))?;
        }
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(Error::io(&path))?;
        let watermark = Self { file, in_tables: reached };
        watermark.write(reached).map_err(Error::io(&path))?;
        Ok(watermark)
    }

    /// Notes that all writes until `synced` are on disk. Where it cannot be written the older note stays, which is right, too.
    pub fn raise(&self, synced: u64) {
        if let Err(error) = self.write(synced) {
            tracing::debug!(%error, "what is on disk could not be noted");
        }
    }

    fn write(&self, synced: u64) -> std::io::Result<()> {
        let mut file = &self.file;
        file.rewind()?;
        file.write_all(&Mark { synced, in_tables: self.in_tables }.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Durability, StoreConfig};
    use crate::record::{Event, Item, User};
    use crate::store::Store;
    use crate::store::families::Family;

    fn open(dir: &Path) -> Result<Store> {
        Store::open(dir, &StoreConfig::default())
    }

    fn write(store: &Store, name: &str, durability: Durability) {
        store.append_events(&[Event::new("u", name, "click")], durability).unwrap();
    }

    fn logs(dir: &Path) -> Vec<PathBuf> {
        let files = fs::read_dir(dir.join("rocksdb")).unwrap().map(|entry| entry.unwrap().path());
        let mut logs: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "log")).collect();
        logs.sort();
        logs
    }

    #[test]
    fn a_note_that_is_damaged_says_nothing() {
        let mark = Mark { synced: 7, in_tables: 5 };
        let bytes = mark.to_bytes();
        assert_eq!(Mark::from_bytes(&bytes), Some(mark));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(Mark::from_bytes(&damaged), None);
            assert_eq!(Mark::from_bytes(&bytes[..place]), None);
        }
    }

    #[test]
    fn a_log_without_what_was_acknowledged_is_named_and_nothing_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        write(&store, "a", Durability::Sync);
        write(&store, "b", Durability::Sync);
        drop(store);
        let log = logs(dir.path()).pop().unwrap();
        let whole = fs::read(&log).unwrap();
        for part in [0, whole.len() / 2, whole.len() - 1] {
            fs::write(&log, &whole[..part]).unwrap();
            let error = open(dir.path()).map(drop).unwrap_err().to_string();
            assert!(error.contains(&log.display().to_string()) && error.contains("savor restore"), "{error}");
        }
        fs::remove_file(&log).unwrap();
        assert!(open(dir.path()).map(drop).unwrap_err().to_string().contains("acknowledged"));
        fs::write(&log, &whole).unwrap();
        assert_eq!(open(dir.path()).unwrap().counts().events, 2, "with its log back it is whole");
    }

    #[test]
    fn whoever_removes_the_note_goes_on_with_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        write(&store, "a", Durability::Sync);
        drop(store);
        fs::write(logs(dir.path()).pop().unwrap(), b"").unwrap();
        assert!(open(dir.path()).is_err());
        fs::remove_file(dir.path().join(SYNCED)).unwrap();
        assert_eq!(open(dir.path()).unwrap().counts().events, 0);
        assert!(open(dir.path()).is_ok());
    }

    #[test]
    fn what_was_acknowledged_without_a_sync_may_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        write(&store, "a", Durability::Sync);
        let log = logs(dir.path()).pop().unwrap();
        let synced = fs::metadata(&log).unwrap().len();
        write(&store, "b", Durability::Async);
        drop(store);
        fs::File::options().write(true).open(&log).unwrap().set_len(synced).unwrap();
        assert_eq!(open(dir.path()).unwrap().counts().events, 1);
    }

    #[test]
    fn logs_whose_writes_are_in_tables_may_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        write(&store, "a", Durability::Sync);
        for family in crate::store::families::ALL {
            store.db.flush_cf(family.of(&store.db).unwrap()).unwrap();
        }
        drop(store);
        for _ in 0..3 {
            assert_eq!(open(dir.path()).unwrap().counts().events, 1);
        }
    }

    #[test]
    fn a_log_in_the_middle_that_is_gone_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        store.put_items(&[Item::new("i")], Durability::Sync).unwrap();
        store.put_users(&[User::new("u")], Durability::Sync).unwrap();
        // One family goes to tables: a new log begins, the other families' writes stay in the one before.
        store.db.flush_cf(Family::Users.of(&store.db).unwrap()).unwrap();
        store.put_items(&[Item::new("j")], Durability::Sync).unwrap();
        drop(store);
        let logs = logs(dir.path());
        assert!(logs.len() > 1, "{logs:?}");
        let (first, away) = (logs.first().unwrap(), dir.path().join("away"));
        fs::rename(first, &away).unwrap();
        let error = open(dir.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains("Missing WAL") && error.contains("savor restore"), "{error}");
        fs::rename(&away, first).unwrap();
        assert_eq!(open(dir.path()).unwrap().counts().items, 2);
    }

    #[test]
    fn an_older_copy_or_no_database_in_its_place_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()).unwrap());
        let aside = tempfile::tempdir().unwrap();
        let (database, older) = (dir.path().join("rocksdb"), aside.path().join("older"));
        fs::create_dir(&older).unwrap();
        for entry in fs::read_dir(&database).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, older.join(path.file_name().unwrap())).unwrap();
        }
        let store = open(dir.path()).unwrap();
        write(&store, "a", Durability::Sync);
        drop(store);
        drop(open(dir.path()).unwrap());
        fs::remove_dir_all(&database).unwrap();
        assert!(open(dir.path()).map(drop).unwrap_err().to_string().contains("acknowledged"));
        assert!(!database.exists(), "no new one is begun");
        fs::rename(&older, &database).unwrap();
        assert!(open(dir.path()).map(drop).unwrap_err().to_string().contains("acknowledged"));
    }
}
