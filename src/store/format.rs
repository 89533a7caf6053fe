//! Is this directory ours, is it free, can we read it? Three questions before anything is touched.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use rocksdb::{DB, IteratorMode, Options, WriteOptions};

use super::families::{self, Family};
use super::watermark::SYNCED;
use super::{codec, storage};
use crate::error::{Error, Result};

/// The format that this build writes. Older ones are migrated at open (see `migrate`), newer ones refused.
pub const FORMAT: u32 = 5;
/// In `meta`: the format of the directory.
pub const FORMAT_KEY: &str = "format";
const LOCK: &str = "LOCK";
/// What a directory may hold before it holds a database.
const OURS: [&str; 7] = [LOCK, SYNCED, "rocksdb", "index", "savor.toml", "tenant.toml", "tenants"];

/// Who has a data directory open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Where it serves, if it does.
    pub address: Option<String>,
}

/// Who has a directory open; `None` when nobody has.
pub fn holder(dir: &Path) -> Option<Holder> {
    let mut file = File::open(dir.join(LOCK)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text).ok()?;
            let mut lines = text.lines();
            let pid = lines.next()?.parse().ok()?;
            Some(Holder { pid, address: lines.next().map(str::to_owned) })
        }
        _ => None,
    }
}

/// The exclusive lock on a data directory, for as long as it lives. The operating system gives it back when the process
/// ends, however it ends.
pub struct DirectoryLock {
    file: File,
    path: PathBuf,
}

impl DirectoryLock {
    /// Makes the directory if need be, and takes it. Errors: [`Error::Locked`] with the holder.
    pub fn take(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let path = dir.join(LOCK);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(dir).map_or("another process".to_owned(), |holder| match holder.address {
                    Some(address) => format!("process {}, which serves {address}", holder.pid),
                    None => format!("process {}", holder.pid),
                });
                return Err(Error::Locked { path: dir.to_path_buf(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(&path)(error)),
        }
        let lock = Self { file, path };
        lock.write(&format!("{}\n", std::process::id()))?;
        Ok(lock)
    }

    /// Adds the address of a server.
    pub fn announce(&self, address: &str) -> Result<()> {
        self.write(&format!("{}\n{address}\n", std::process::id()))
    }

    fn write(&self, text: &str) -> Result<()> {
        let mut file = &self.file;
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(Error::io(&self.path))
    }
}

/// Refuses a directory in which there is something, but no database of ours. Touches nothing.
pub fn check_directory(dir: &Path) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(dir)(error)),
    };
    if dir.join("rocksdb").is_dir() {
        return Ok(());
    }
    for entry in entries {
        let name = entry.map_err(Error::io(dir))?.file_name();
        if !OURS.iter().any(|ours| name == *ours) {
            let reason = format!("it holds \"{}\" and no database", name.to_string_lossy());
            return Err(Error::NotSavor { path: dir.to_path_buf(), reason });
        }
    }
    Ok(())
}

/// Refuses a database whose families are not ours, before it is opened for writing and so changed.
pub fn check_families(dir: &Path) -> Result<()> {
    let path = dir.join("rocksdb");
    if !path.join("CURRENT").is_file() {
        return Ok(());
    }
    let families = DB::list_cf(&Options::default(), &path).map_err(storage("read the families"))?;
    let is_ours = |name: &String| name == "default" || families::ALL.iter().any(|family| family.name() == name);
    if !families.iter().any(|name| name == Family::Meta.name()) {
        let db = DB::open_for_read_only(&Options::default(), &path, false).map_err(storage("read the database"))?;
        // An empty one is ours: its creation was interrupted.
        if db.iterator(IteratorMode::Start).next().is_none() {
            return Ok(());
        }
        let reason = "its database has no family \"meta\"".into();
        return Err(Error::NotSavor { path: dir.to_path_buf(), reason });
    }
    if families.iter().all(is_ours) {
        return Ok(());
    }
    // A family that this build does not know: a newer format, if it says so itself.
    let db = DB::open_cf_for_read_only(&Options::default(), &path, [Family::Meta.name()], false);
    check_version(&db.map_err(storage("read the format"))?, dir)?;
    let reason = "its database has families that no Savor writes".into();
    Err(Error::NotSavor { path: dir.to_path_buf(), reason })
}

/// The format of a database; a new one is given the newest. Refuses one of another program or of a newer Savor.
pub fn check_version(db: &DB, dir: &Path) -> Result<u32> {
    let meta = Family::Meta.of(db)?;
    let Some(bytes) = db.get_cf(meta, FORMAT_KEY).map_err(storage("read the format"))? else {
        let is_empty = db.iterator_cf(meta, IteratorMode::Start).next().is_none();
        if !is_empty {
            let reason = "its database has no format version".into();
            return Err(Error::NotSavor { path: dir.to_path_buf(), reason });
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        db.put_cf_opt(meta, FORMAT_KEY, codec::encode(&FORMAT)?, &options).map_err(storage("write the format"))?;
        return Ok(FORMAT);
    };
    let found: u32 = codec::decode("the format version", &bytes)?;
    if found > FORMAT {
        return Err(Error::NewerFormat { path: dir.to_path_buf(), found, supported: FORMAT });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;
    use crate::store::Store;

    #[test]
    fn a_directory_of_a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        let meta = Family::Meta.of(&store.db).unwrap();
        store.db.put_cf(meta, FORMAT_KEY, codec::encode(&(FORMAT + 1)).unwrap()).unwrap();
        drop(store);
        let error = Store::open(dir.path(), &StoreConfig::default()).err().unwrap();
        assert_eq!(error.code(), "newer_format");
        assert!(error.to_string().contains("upgrade Savor"));
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let other = DB::open_default(dir.path().join("rocksdb")).unwrap();
        other.put("key", "value").unwrap();
        drop(other);
        assert_eq!(Store::open(dir.path(), &StoreConfig::default()).err().unwrap().code(), "not_savor");
        let families = DB::list_cf(&Options::default(), dir.path().join("rocksdb")).unwrap();
        assert_eq!(families, ["default"], "it is left as it was");
    }
}
