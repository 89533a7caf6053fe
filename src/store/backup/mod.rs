//! Backups of a data directory. A backup is a folder of generations: what a generation holds lies there once, under the hash of
//! its bytes, so that another one costs what has changed. A generation is a RocksDB checkpoint with the index files of the same
//! moment; it appears when it is complete, and every byte of it is under a checksum. Beside them lies the log of writes, as far
//! as it was taken along, so that a moment after a generation can be restored.
//!
//! RocksDB's own backup engine was the other way. It knows nothing of index files, of which a generation must have those of its
//! moment; and through its C interface it verifies the lengths of its files and not their bytes.
//!
//! ```text
//! generations/<number>.json   what the generation holds (see `generation`)
//! objects/<hash>              the bytes of a file; `<hash>.damaged` once they are not those any more
//! log/<from>-<to>             writes by sequence (see `log`)
//! LOCK                        held by whoever writes here
//! ```

mod generation;
mod log;
mod repository;
mod restore;
mod stage;

use std::fs;
use std::path::{Path, PathBuf};

use rocksdb::checkpoint::Checkpoint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use log::note_time;
pub use restore::Until;

use super::families::Family;
use super::format::FORMAT;
use super::{Counts, Store, codec, storage};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::Timestamp;
use generation::Generation;
use repository::Repository;
use stage::{link_snapshots, remove_tree};

/// In `meta`: which history of writes this is. A restored directory begins one of its own.
const TIMELINE: &str = "timeline";
/// What a checkpoint is called in the data directory.
const CHECKPOINT: &str = ".checkpoint-";

/// A generation of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupGeneration {
    /// Its number.
    pub generation: u64,
    /// When it was made.
    pub time: Timestamp,
    /// The last write that is surely in it.
    pub sequence: u64,
    /// Users that it holds.
    pub users: u64,
    /// Items that it holds.
    pub items: u64,
    /// Events that it holds.
    pub events: u64,
    /// Files that it holds.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that no generation before had.
    pub new_bytes: u64,
    /// The last write that can be restored after it by the log beside it; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_until: Option<u64>,
}

/// A part of the log of writes that was taken along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupLog {
    /// Writes that are new in the backup.
    pub writes: u64,
    /// The last write that can be restored.
    pub sequence: u64,
}

/// The files of one moment, linked beside the database; they are gone when it is dropped.
pub struct Moment {
    path: PathBuf,
    sequence: u64,
    counts: Counts,
    timeline: String,
}

impl Drop for Moment {
    fn drop(&mut self) {
        remove_tree(&self.path);
    }
}

impl Store {
    /// Links the files of this moment. The caller sees to it that no index file comes or goes meanwhile.
    pub fn checkpoint(&self) -> Result<Moment> {
        let timeline = self.timeline()?;
        let stage = tempfile::Builder::new().prefix(CHECKPOINT).tempdir_in(&self.dir).map_err(Error::io(&self.dir))?;
        // What is written meanwhile is in it or not: the log begins before.
        let (sequence, counts) = (self.db.latest_sequence_number(), self.counts());
        let moment = Moment { path: stage.keep(), sequence, counts, timeline };
        let checkpoint = Checkpoint::new(&self.db).map_err(storage("backup"))?;
        checkpoint.create_checkpoint(moment.path.join("rocksdb")).map_err(storage("backup"))?;
        let index = self.dir.join("index");
        if index.is_dir() {
            link_snapshots(&index, &moment.path.join("index"))?;
        }
        Ok(moment)
    }

    /// Adds what was linked to a backup, as its next generation. `to` must be a backup, empty, or not there yet.
    pub fn back_up(&self, moment: &Moment, to: &Path) -> Result<BackupGeneration> {
        let repository = Repository::open_or_create(to)?;
        let newest = repository.generations()?.pop();
        let log = match &newest {
            // The log goes on over generations, where it is kept: any moment between them can be restored.
            Some(newest) if newest.timeline == moment.timeline => self.append_log(&repository, newest)?,
            _ => None,
        };
        let made = Generation {
            format: generation::FORMAT,
            generation: newest.as_ref().map_or(1, |newest| newest.generation + 1),
            time: Timestamp::now(),
            savor: env!("CARGO_PKG_VERSION").to_owned(),
            data_format: FORMAT,
            timeline: moment.timeline.clone(),
            sequence: moment.sequence,
            users: moment.counts.users,
            items: moment.counts.items,
            events: moment.counts.events,
            new_bytes: 0,
            files: Vec::new(),
        };
        let made = repository.add(made, &moment.path, newest.as_ref())?;
        Ok(made.summary(log.map(|log| log.sequence).filter(|sequence| *sequence > made.sequence)))
    }

    /// Adds the writes since the last generation, or since the last time, to the log of a backup. Errors: [`Error::Conflict`]
    /// where there is no generation of this directory, or where the data directory has not kept the log for so long.
    pub fn back_up_log(&self, to: &Path) -> Result<BackupLog> {
        let none = || Error::Conflict(format!("{} has no generation of this directory; make one first", to.display()));
        let repository = match Repository::open(to) {
            Err(Error::NotSavor { .. }) => return Err(none()),
            repository => repository?,
        };
        let timeline = self.timeline()?;
        let newest = repository.generations()?.pop().filter(|newest| newest.timeline == timeline).ok_or_else(none)?;
        self.append_log(&repository, &newest)?.ok_or_else(|| {
            let reason = "the writes since the last backup are not in the directory's log any more; make a generation, and set \
                          store.log_retention to more than the time between two backups";
            Error::Conflict(reason.into())
        })
    }

    /// Which history of writes this is; begun if need be.
    fn timeline(&self) -> Result<String> {
        let meta = Family::Meta.of(&self.db)?;
        if let Some(bytes) = self.db.get_cf(meta, TIMELINE).map_err(storage("read the timeline"))? {
            return codec::decode("the timeline", &bytes);
        }
        let timeline = new_timeline();
        self.commit(Durability::Sync, |turn| turn.put(Family::Meta, TIMELINE, codec::encode(&timeline)?))?;
        Ok(timeline)
    }

    /// Writes from now on are another history than those in the backup.
    fn begin_timeline(&self) -> Result<()> {
        self.commit(Durability::Sync, |turn| turn.put(Family::Meta, TIMELINE, codec::encode(&new_timeline())?))
    }

    /// Removes what an interrupted backup has left.
    pub(super) fn remove_checkpoints(dir: &Path) {
        checkpoints(dir).into_iter().flatten().for_each(|path| remove_tree(&path));
    }

    /// Whether a backup is being made: its checkpoint has files that the database may have removed.
    pub(super) fn has_checkpoint(&self) -> Result<bool> {
        Ok(!checkpoints(&self.dir)?.is_empty())
    }
}

fn checkpoints(dir: &Path) -> Result<Vec<PathBuf>> {
    let paths = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
    let is_checkpoint =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(CHECKPOINT));
    Ok(paths.map_err(Error::io(dir))?.into_iter().filter(is_checkpoint).collect())
}

/// A name that nobody has used: by the clock, and by the random state of the process's hash maps.
fn new_timeline() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:x}-{:016x}", Timestamp::now().millis(), RandomState::new().hash_one(std::process::id()))
}

/// All generations of a backup, the oldest first. Errors: [`Error::NotSavor`] for a folder that is none.
pub fn list(dir: &Path) -> Result<Vec<BackupGeneration>> {
    let repository = Repository::read(dir)?;
    let log = repository.log()?;
    let until = |of: &Generation| log::reaches(&log, of).filter(|until| *until > of.sequence);
    Ok(repository.generations()?.iter().map(|of| of.summary(until(of))).collect())
}

/// Reads every byte of every generation, and of the log, and compares the checksums; tells how many files and bytes that were.
/// What is damaged is put aside, so that the next generation brings it again where the directory still has it. Errors:
/// [`Error::Corrupt`] names the first that is not as it was written.
pub fn verify(dir: &Path) -> Result<(u64, u64)> {
    Repository::read(dir)?.verify()
}

/// Removes the oldest generations but the newest `keep`, and what only they had; tells how many went.
pub fn prune(dir: &Path, keep: usize) -> Result<u64> {
    Repository::open(dir)?.prune(keep)
}
