//! Is this directory ours, is it free, can we read it? Three questions before anything is touched.

use std::fs::{self, File, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
/// A lock whose holder has ended is waited for so long: what is left of the process, or somebody who looks who has the
/// directory, holds it for a moment.
const LINGERS: Duration = Duration::from_secs(2);
/// So often it is tried.
const TRIED: Duration = Duration::from_millis(5);
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
    let path = dir.join(LOCK);
    match File::open(&path).ok()?.try_lock_shared() {
        Err(TryLockError::WouldBlock) => recorded(&path),
        _ => None,
    }
}

/// Who says to have taken a lock, last.
fn recorded(lock: &Path) -> Option<Holder> {
    let text = fs::read_to_string(lock).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.parse().ok()?;
    Some(Holder { pid, address: lines.next().map(str::to_owned) })
}

/// Makes a directory, where there is none, that nobody else of the machine can look into.
pub fn make_private(dir: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir).map_err(Error::io(dir))
}

/// Whether a process runs, as far as this machine tells: one that was killed is none any more, though it may have to be waited for.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return !Path::new("/proc/self/stat").exists();
    };
    // The state comes after the name, in which there may be anything.
    let state = stat.rsplit_once(')').map_or("", |(_, rest)| rest.trim_start());
    !state.starts_with(['Z', 'X'])
}

/// Who has it, in words.
fn told(lock: &Path) -> String {
    match recorded(lock) {
        Some(Holder { pid, .. }) if !is_alive(pid) => {
            format!(
                "process {pid}, which does not run here any more; `fuser {}` tells who has it from there",
                lock.display()
            )
        }
        Some(Holder { pid, address: Some(address) }) => format!("process {pid}, which serves {address}"),
        Some(Holder { pid, address: None }) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// The exclusive lock on a data directory, for as long as it lives. The operating system gives it back when the process
/// ends, however it ends.
pub struct DirectoryLock {
    file: File,
    path: PathBuf,
}

impl DirectoryLock {
    /// Makes the directory if need be, and takes it; waits a moment for one that nobody has who is alive. Errors:
    /// [`Error::Locked`] with the holder.
    pub fn take(dir: &Path) -> Result<Self> {
        let until = Instant::now() + LINGERS;
        Self::take_when(dir, || {
            let is_time = Instant::now() < until;
            if is_time {
                std::thread::sleep(TRIED);
            }
            is_time
        })
    }

    /// The same, tried again as long as `wait` says so.
    fn take_when(dir: &Path, mut wait: impl FnMut() -> bool) -> Result<Self> {
        make_private(dir)?;
        let path = dir.join(LOCK);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io(&path))?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    let is_alive = recorded(&path).is_some_and(|holder| is_alive(holder.pid));
                    if is_alive || !wait() {
                        return Err(Error::Locked { path: dir.to_path_buf(), holder: told(&path) });
                    }
                }
                Err(TryLockError::Error(error)) => return Err(Error::io(&path)(error)),
            }
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

/// Closing alone leaves it to a child of this process that is about to become another program.
impl Drop for DirectoryLock {
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(path = %self.path.display(), %error, "the lock is given back when the process ends");
        }
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

    /// A process that has ended.
    fn ended() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    /// A lock that somebody holds, in which a process is named.
    fn held(dir: &Path, pid: u32) -> File {
        fs::write(dir.join(LOCK), format!("{pid}\n")).unwrap();
        let file = File::open(dir.join(LOCK)).unwrap();
        file.try_lock().unwrap();
        file
    }

    #[test]
    fn a_lock_that_outlives_its_holder_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut lingering = Some(held(dir.path(), ended()));
        let mut waits = 0;
        let taken = DirectoryLock::take_when(dir.path(), || {
            waits += 1;
            if waits == 3 {
                drop(lingering.take());
            }
            waits < 10
        });
        drop(taken.unwrap());
        assert_eq!(waits, 3);
        // It never comes free: the error says what to look for.
        let pid = ended();
        let _held = held(dir.path(), pid);
        let error = DirectoryLock::take_when(dir.path(), || false).err().unwrap().to_string();
        assert!(
            error.contains(&format!("process {pid}, which does not run here")) && error.contains("fuser"),
            "{error}"
        );
    }

    #[test]
    fn a_lock_is_given_back_though_somebody_has_inherited_it() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::take(dir.path()).unwrap();
        let _inherited = lock.file.try_clone().unwrap();
        drop(lock);
        DirectoryLock::take_when(dir.path(), || panic!("it waits")).unwrap();
    }

    #[test]
    fn a_lock_of_somebody_alive_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let _held = held(dir.path(), std::process::id());
        let error = DirectoryLock::take_when(dir.path(), || panic!("it waits")).err().unwrap();
        assert_eq!(error.code(), "locked");
        // One that has ended and is still to be waited for is not alive.
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(is_alive(child.id()));
        child.kill().unwrap();
        while is_alive(child.id()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!is_alive(child.id()));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_made_here_nobody_else_can_look_into_and_what_is_there_stays_as_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (dir.path().join("a/data"), dir.path().join("theirs"));
        fs::create_dir(&theirs).unwrap();
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o750)).unwrap();
        for place in [&ours, &theirs] {
            drop(Store::open(place, &StoreConfig::default()).unwrap());
        }
        assert_eq!((mode(&ours), mode(&theirs)), (0o700, 0o750));
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
