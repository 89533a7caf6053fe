//! A data directory from a backup: every byte is compared with what it was, and the whole is opened and looked at, before it is
//! visible under its name.

use std::fs::{self, File};
use std::path::Path;

use rocksdb::{WriteBatch, WriteOptions};

use super::generation::Generation;
use super::log::{self, Part, Segment};
use super::repository::{Repository, copy_verified};
use super::stage::{Stage, copy_tree};
use crate::config::StoreConfig;
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::record::Timestamp;
use crate::store::budget::Budget;
use crate::store::format::FORMAT;
use crate::store::{Store, families, storage};

/// Which moment is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The newest: the last generation, and the log after it.
    Newest,
    /// A generation as it was.
    Generation(u64),
    /// After the write with this sequence number.
    Sequence(u64),
    /// After the last write that was made at this time or before.
    Time(Timestamp),
}

impl Store {
    /// Makes the data directory `to` from a backup: a folder of generations, or a plain copy as Savor made it before there were
    /// generations. `to` must not exist or be empty; it appears when `check` has found it good. Errors: [`Error::Conflict`],
    /// [`Error::Corrupt`], [`Error::NotSavor`], [`Error::NotFound`] for a moment that the backup does not reach.
    pub fn restore(from: &Path, to: &Path, until: Until, check: &dyn Fn(&Path) -> Result<()>) -> Result<()> {
        if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::Conflict(format!("{} is not empty; restore to a new place", to.display())));
        }
        let is_plain = from.join("rocksdb").join("CURRENT").is_file();
        let stage = if is_plain { plain(from, to, until)? } else { generation(from, to, until)? };
        check(&stage.path)?;
        fault::reach(Point::RestoreStaged);
        if to.exists() {
            fs::remove_dir(to).map_err(Error::io(to))?;
        }
        stage.publish(to)
    }
}

fn plain(from: &Path, to: &Path, until: Until) -> Result<Stage> {
    if until != Until::Newest {
        let reason = "is a plain copy of one moment; it has no generations and no log to choose from";
        return Err(Error::Conflict(format!("{} {reason}", from.display())));
    }
    let stage = Stage::beside(to)?;
    for part in ["rocksdb", "index"] {
        if from.join(part).is_dir() {
            copy_tree(&from.join(part), &stage.path.join(part))?;
        }
    }
    Store::open(&stage.path, &StoreConfig::default())?.begin_timeline()?;
    Ok(stage)
}

fn generation(from: &Path, to: &Path, until: Until) -> Result<Stage> {
    let repository = Repository::read(from)?;
    let generations = repository.generations()?;
    let chosen = choose(&generations, until).ok_or_else(|| not_there(from, until))?;
    if chosen.data_format > FORMAT {
        return Err(Error::NewerFormat { path: from.to_path_buf(), found: chosen.data_format, supported: FORMAT });
    }
    let stage = Stage::beside(to)?;
    for entry in &chosen.files {
        let path = stage.path.join(&entry.path);
        let folder = path.parent().unwrap_or(&stage.path);
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let mut file = File::create(&path).map_err(Error::io(&path))?;
        copy_verified(&repository.object(&entry.hash), entry, &mut file)?;
    }
    if !matches!(until, Until::Generation(_)) {
        let log = repository.log()?;
        let last = last_known(&generations, &log, chosen);
        let replayed = replay(&stage.path, chosen, log, until)?;
        match until {
            Until::Sequence(wanted) if replayed.reached < wanted => return Err(not_there(from, until)),
            Until::Newest | Until::Time(_) if !replayed.is_at_moment && replayed.reached < last => {
                return Err(gap(from, chosen, replayed.reached));
            }
            _ => {}
        }
    }
    Store::open(&stage.path, &StoreConfig::default())?.begin_timeline()?;
    Ok(stage)
}

/// The newest generation that is not after the moment. Of the sequence numbers of another history nothing follows.
fn choose(generations: &[Generation], until: Until) -> Option<&Generation> {
    let newest = generations.last()?;
    match until {
        Until::Newest => Some(newest),
        Until::Generation(number) => generations.iter().find(|of| of.generation == number),
        Until::Sequence(sequence) => {
            let same = generations.iter().rev().filter(|of| of.timeline == newest.timeline);
            same.into_iter().find(|of| of.sequence <= sequence)
        }
        Until::Time(time) => generations.iter().rev().find(|of| of.time <= time),
    }
}

/// The last write that the backup knows of in the history of a generation.
fn last_known(generations: &[Generation], log: &[Part], of: &Generation) -> u64 {
    let later = generations.iter().filter(|other| other.timeline == of.timeline).map(|other| other.sequence);
    let logged = log.iter().filter(|part| part.timeline == of.timeline).map(|part| part.to);
    later.chain(logged).max().unwrap_or(of.sequence)
}

/// There were writes before the moment that are not there: to leave them out is for who restores to decide.
fn gap(from: &Path, chosen: &Generation, reached: u64) -> Error {
    let (number, time) = (chosen.generation, chosen.time);
    let instead = match reached > chosen.sequence {
        true => format!("`--sequence {reached}` restores what came before"),
        false => format!("`--generation {number}` restores what was there at {time}"),
    };
    Error::Conflict(format!(
        "{}: the log after generation {number} has a gap at write {reached}, before that moment; {instead}",
        from.display()
    ))
}

fn not_there(from: &Path, until: Until) -> Error {
    let moment = match until {
        Until::Newest => "any generation".to_owned(),
        Until::Generation(number) => format!("generation {number}"),
        Until::Sequence(sequence) => format!("write {sequence}"),
        Until::Time(time) => format!("a generation before {time}"),
    };
    Error::not_found("moment in the backup", format!("{}: {moment}", from.display()))
}

/// How far the log has led.
struct Replayed {
    /// The last write.
    reached: u64,
    /// Whether the next one comes after the moment.
    is_at_moment: bool,
}

/// Writes what the log says after a generation, up to the moment.
fn replay(dir: &Path, after: &Generation, log: Vec<Part>, until: Until) -> Result<Replayed> {
    let mut parts: Vec<Part> = log.into_iter().filter(|part| part.timeline == after.timeline).collect();
    parts.sort_by_key(|part| part.from);
    let db = families::open(&dir.join("rocksdb"), &StoreConfig::default(), &Budget::alone(64))?;
    let mut reached = db.latest_sequence_number();
    if let Until::Sequence(wanted) = until
        && reached > wanted
    {
        // Its checkpoint took some moments, in which more was written.
        return Err(Error::Conflict(format!(
            "generation {} has write {reached} already; choose the generation before it, or a later write",
            after.generation
        )));
    }
    let mut is_at_moment = false;
    'parts: for part in parts {
        if part.to <= reached {
            continue;
        }
        if part.from > reached + 1 {
            break;
        }
        for (sequence, batch) in Segment::read(&part.path)?.batches {
            let is_after = match until {
                Until::Sequence(wanted) => sequence > wanted,
                Until::Time(time) => log::noted_time(&batch).is_some_and(|noted| noted > time),
                Until::Newest | Until::Generation(_) => false,
            };
            if sequence <= reached {
                continue;
            }
            is_at_moment = is_after && sequence == reached + 1;
            if is_after || sequence != reached + 1 {
                break 'parts;
            }
            let batch = WriteBatch::from_data(&batch);
            let count = batch.len() as u64;
            db.write_opt(batch, &WriteOptions::default()).map_err(storage("write what the log says"))?;
            reached = db.latest_sequence_number().max(sequence + count.max(1) - 1);
        }
    }
    db.flush_wal(true).map_err(storage("sync"))?;
    Ok(Replayed { reached, is_at_moment })
}
