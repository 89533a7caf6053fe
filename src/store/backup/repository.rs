//! The folder of a backup. Whoever writes there holds its lock. An object is complete when it has its name, a generation when it
//! has its own; what a crash leaves is a temporary file, or an object that no generation names: the next writer removes it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use xxhash_rust::xxh3::Xxh3;

use super::generation::{Entry, Generation, Stamp};
use super::log::{self, Segment};
use super::stage::sync;
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::store::format::make_private;

const GENERATIONS: &str = "generations";
const OBJECTS: &str = "objects";
const LOG: &str = "log";
const LOCK: &str = "LOCK";
const TEMPORARY: &str = ".new-";
/// What is put behind the name of an object that is damaged.
const DAMAGED: &str = "damaged";

/// A backup.
pub struct Repository {
    dir: PathBuf,
    /// Of whoever writes.
    _lock: Option<Held>,
}

/// A lock that is given back at once: closing alone leaves it to a child of this process that is about to become another program.
struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // What cannot be given back is when the process ends.
        let _ = self.0.unlock();
    }
}

impl Repository {
    /// To read. Errors: [`Error::NotSavor`].
    pub fn read(dir: &Path) -> Result<Self> {
        if dir.join(GENERATIONS).is_dir() && dir.join(OBJECTS).is_dir() {
            return Ok(Self { dir: dir.to_path_buf(), _lock: None });
        }
        Err(Error::NotSavor { path: dir.to_path_buf(), reason: "it holds no backup".into() })
    }

    /// To write. Errors: [`Error::NotSavor`]; [`Error::Conflict`] while another one writes there.
    pub fn open(dir: &Path) -> Result<Self> {
        let repository = Self::read(dir)?;
        let path = dir.join(LOCK);
        let lock = File::options().write(true).create(true).truncate(false).open(&path).map_err(Error::io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Conflict(format!(
                    "another backup is being written to {}; wait for it",
                    dir.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(&path)(error)),
        }
        let repository = Self { _lock: Some(Held(lock)), ..repository };
        repository.remove_temporary()?;
        Ok(repository)
    }

    /// To write, also to a folder that is empty or not there. Errors: [`Error::Conflict`] for one that holds something else.
    pub fn open_or_create(dir: &Path) -> Result<Self> {
        if Self::read(dir).is_err() {
            let is_free = |name: &std::ffi::OsStr| [GENERATIONS, OBJECTS, LOG, LOCK].iter().any(|ours| name == *ours);
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            if entries.into_iter().any(|entry| !is_free(&entry.file_name())) {
                let reason =
                    "holds something that is no backup; give an empty or a new folder, or one that holds a backup";
                return Err(Error::Conflict(format!("{} {reason}", dir.display())));
            }
            make_private(dir)?;
            for folder in [GENERATIONS, OBJECTS, LOG] {
                let path = dir.join(folder);
                fs::create_dir_all(&path).map_err(Error::io(&path))?;
            }
            sync(dir)?;
        }
        Self::open(dir)
    }

    /// All generations, the oldest first.
    pub fn generations(&self) -> Result<Vec<Generation>> {
        let mut found = BTreeMap::new();
        for (name, path) in self.listed(GENERATIONS)? {
            if let Some(number) = name.strip_suffix(".json").and_then(|number| number.parse::<u64>().ok()) {
                found.insert(number, Generation::read(&path)?);
            }
        }
        Ok(found.into_values().collect())
    }

    /// Adds a generation of the files in a folder. What the one before had is not read again.
    pub fn add(&self, made: Generation, from: &Path, before: Option<&Generation>) -> Result<Generation> {
        let known: HashMap<&str, &Entry> =
            before.iter().flat_map(|before| before.files.iter().map(|file| (file.path.as_str(), file))).collect();
        let mut made = made;
        for (path, file) in files_in(from)? {
            let metadata = file.metadata().map_err(Error::io(&file))?;
            let stamp = stamp(&metadata);
            let same = known.get(path.as_str()).filter(|known| known.bytes == metadata.len() && known.stamp == stamp);
            let (hash, bytes) = match same.filter(|known| self.has(&known.hash, known.bytes)) {
                Some(known) => (known.hash.clone(), known.bytes),
                None => {
                    let (hash, bytes, is_new) = self.put(&file)?;
                    made.new_bytes += if is_new { bytes } else { 0 };
                    (hash, bytes)
                }
            };
            made.files.push(Entry { path, bytes, hash, stamp });
        }
        made.files.sort_by(|a, b| a.path.cmp(&b.path));
        sync(&self.dir.join(OBJECTS))?;
        let name = format!("{:010}.json", made.generation);
        fault::reach(Point::BackupStaged);
        self.publish(GENERATIONS, &name, made.text()?.as_bytes())?;
        fault::reach(Point::CopyNamed);
        Ok(made)
    }

    /// Takes a file in; tells its hash, its length, and whether its bytes are new.
    fn put(&self, file: &Path) -> Result<(String, u64, bool)> {
        let folder = self.dir.join(OBJECTS);
        let mut copy = temporary(&folder)?;
        let mut source = File::open(file).map_err(Error::io(file))?;
        let (hash, bytes) = hashed(&mut source, copy.as_file_mut()).map_err(Error::io(file))?;
        let object = self.object(&hash);
        let is_new = !self.has(&hash, bytes);
        copy.as_file().sync_all().map_err(Error::io(&object))?;
        // Also over one that is there: its length tells nothing of its bytes, and these are right.
        copy.persist(&object).map_err(|error| Error::io(&object)(error.error))?;
        Ok((hash, bytes, is_new))
    }

    /// Whether there is an object of this hash, by its length alone.
    fn has(&self, hash: &str, bytes: u64) -> bool {
        self.object(hash).metadata().is_ok_and(|object| object.len() == bytes)
    }

    /// Writes a file that appears under its name when it is complete and on disk.
    pub fn publish(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let folder = self.dir.join(folder);
        let path = folder.join(name);
        let mut file = temporary(&folder)?;
        file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(Error::io(&path))?;
        file.persist(&path).map_err(|error| Error::io(&path)(error.error))?;
        sync(&folder)
    }

    /// Adds a part of the log.
    pub fn add_segment(&self, segment: &Segment) -> Result<()> {
        let folder = self.dir.join(LOG);
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        self.publish(LOG, &segment.name(), &segment.bytes()?)
    }

    /// What parts of the log there are, in their order.
    pub fn log(&self) -> Result<Vec<log::Part>> {
        let mut parts = Vec::new();
        for (name, path) in self.listed(LOG)? {
            if !name.starts_with(TEMPORARY) {
                parts.push(log::Part::read(&path)?);
            }
        }
        parts.sort_by_key(|part| (part.time, part.from));
        Ok(parts)
    }

    /// Where the bytes of a hash lie.
    pub fn object(&self, hash: &str) -> PathBuf {
        self.dir.join(OBJECTS).join(hash)
    }

    /// Reads all objects and parts of the log; tells how many files and bytes of files that were. Damaged objects are put aside.
    pub fn verify(&self) -> Result<(u64, u64)> {
        let (mut seen, mut bytes, mut damaged) = (HashSet::new(), 0, Vec::new());
        for generation in self.generations()? {
            for file in &generation.files {
                if seen.insert(file.hash.clone()) {
                    match copy_verified(&self.object(&file.hash), file, &mut std::io::sink()) {
                        Err(error @ Error::Corrupt { .. }) => damaged.push((file.clone(), error)),
                        read => read?,
                    }
                    bytes += file.bytes;
                }
            }
        }
        self.put_aside(damaged.iter().map(|(file, _)| file));
        if let Some((_, error)) = damaged.into_iter().next() {
            return Err(error);
        }
        for part in self.log()? {
            bytes += Segment::read(&part.path)?.batches.iter().map(|(_, batch)| batch.len() as u64).sum::<u64>();
        }
        Ok((seen.len() as u64, bytes))
    }

    /// Takes their names from damaged objects, so that the next generation does not take them for what it needs. Not while somebody
    /// writes here, who may just do so, nor where nothing can be written.
    fn put_aside<'a>(&self, files: impl Iterator<Item = &'a Entry>) {
        let mut files = files.peekable();
        if files.peek().is_none() {
            return;
        }
        let put = Self::open(&self.dir).and_then(|writer| {
            for file in files {
                let object = writer.object(&file.hash);
                // A backup that has just ended may have brought it again.
                let read = copy_verified(&object, file, &mut std::io::sink());
                if matches!(read, Err(Error::Corrupt { .. })) && object.exists() {
                    fs::rename(&object, object.with_extension(DAMAGED)).map_err(Error::io(&object))?;
                }
            }
            sync(&writer.dir.join(OBJECTS))
        });
        if let Err(error) = put {
            tracing::warn!(%error, "damaged files of the backup could not be put aside; verify it again when nobody writes to it");
        }
    }

    pub fn prune(&self, keep: usize) -> Result<u64> {
        let generations = self.generations()?;
        let surplus = generations.len().saturating_sub(keep.max(1));
        for old in generations.iter().take(surplus) {
            let path = self.dir.join(GENERATIONS).join(format!("{:010}.json", old.generation));
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
        sync(&self.dir.join(GENERATIONS))?;
        // After the generations that named them: an interrupted removal leaves objects that nobody names.
        let kept = generations.get(surplus..).unwrap_or_default();
        let named: HashSet<&str> = kept.iter().flat_map(|of| of.files.iter().map(|file| file.hash.as_str())).collect();
        for (name, path) in self.listed(OBJECTS)? {
            if !named.contains(name.as_str()) {
                fs::remove_file(&path).map_err(Error::io(&path))?;
            }
        }
        for part in self.log()? {
            let is_of_use = kept.iter().any(|of| of.timeline == part.timeline && part.to > of.sequence);
            if !is_of_use {
                fs::remove_file(&part.path).map_err(Error::io(&part.path))?;
            }
        }
        Ok(surplus as u64)
    }

    fn remove_temporary(&self) -> Result<()> {
        for folder in [GENERATIONS, OBJECTS, LOG] {
            for (name, path) in self.listed(folder)? {
                if name.starts_with(TEMPORARY) {
                    fs::remove_file(&path).map_err(Error::io(&path))?;
                }
            }
        }
        Ok(())
    }

    fn listed(&self, folder: &str) -> Result<Vec<(String, PathBuf)>> {
        let folder = self.dir.join(folder);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io(&folder))?,
        };
        let entry = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.map_err(Error::io(&folder))?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
        };
        entries.map(entry).collect()
    }
}

/// Copies an object and compares its bytes with what they were. Errors: [`Error::Corrupt`].
pub fn copy_verified(object: &Path, entry: &Entry, to: &mut dyn Write) -> Result<()> {
    let damaged = |why: String| {
        let what = format!("{} ({})", object.display(), entry.path);
        let remedy = "restore another generation, or have `savor backup --verify` put it aside and make a new one";
        Error::corrupt(what, format!("{why}; {remedy}"))
    };
    let mut source = match File::open(object) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(damaged("it is missing".into())),
        file => file.map_err(Error::io(object))?,
    };
    let (hash, bytes) = hashed(&mut source, to).map_err(Error::io(object))?;
    match (hash == entry.hash, bytes == entry.bytes) {
        (true, true) => Ok(()),
        (_, false) => Err(damaged(format!("it has {bytes} bytes, {} were written", entry.bytes))),
        (false, true) => Err(damaged("its bytes are not those that were written".into())),
    }
}

fn hashed(from: &mut dyn Read, to: &mut dyn Write) -> std::io::Result<(String, u64)> {
    let (mut hasher, mut buffer, mut bytes) = (Xxh3::new(), vec![0; 1 << 20], 0);
    loop {
        let read = from.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        hasher.update(part);
        to.write_all(part)?;
        bytes += read as u64;
    }
    Ok((format!("{:032x}", hasher.digest128()), bytes))
}

fn temporary(folder: &Path) -> Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder).map_err(Error::io(folder))
}

/// All files under a folder, by their place in it.
fn files_in(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), dir.to_path_buf())];
    while let Some((place, folder)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let entry = entry.map_err(Error::io(&folder))?;
            let name = format!("{place}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push((format!("{name}/"), entry.path()));
            } else {
                files.push((name, entry.path()));
            }
        }
    }
    Ok(files)
}

#[cfg(unix)]
fn stamp(metadata: &fs::Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    Stamp { modified_ns: modified(metadata), inode: metadata.ino() }
}

#[cfg(not(unix))]
fn stamp(metadata: &fs::Metadata) -> Stamp {
    Stamp { modified_ns: modified(metadata), inode: 0 }
}

fn modified(metadata: &fs::Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos() as u64)
}
