//! The log of writes in a backup: RocksDB's write batches as they are, each with its sequence number, in parts that appear when
//! they are complete. A part begins where the one before ended.
//!
//! ```text
//! head, JSON in one line | batches … | xxh3-128 of all before u128        (numbers little-endian)
//! batch: sequence u64 | length u32 | bytes
//! ```
//!
//! A write notes its time in the batch, as its first entry: RocksDB carries such a note through its log, and nowhere else.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::BackupLog;
use super::generation::Generation;
use super::repository::Repository;
use crate::error::{Error, Result};
use crate::record::Timestamp;
use crate::store::{Store, storage};

const FORMAT: u32 = 1;
/// A part is no longer than this, about.
const MOST_BYTES: usize = 64 << 20;
/// Sequence and count.
const BATCH_HEAD: usize = 12;
/// RocksDB's tag of a note.
const NOTE: u8 = 3;

/// What a part says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    format: u32,
    timeline: String,
    from: u64,
    to: u64,
    time: Timestamp,
}

/// Where a part lies, and what it holds.
#[derive(Clone, Debug)]
pub struct Part {
    pub path: PathBuf,
    pub timeline: String,
    /// The first and the last sequence number.
    pub from: u64,
    pub to: u64,
    /// When it was taken.
    pub time: Timestamp,
}

/// A part, whole.
pub struct Segment {
    head: Head,
    /// By sequence.
    pub batches: Vec<(u64, Vec<u8>)>,
}

impl Part {
    /// Reads what a part says of itself.
    pub fn read(path: &Path) -> Result<Self> {
        let mut line = String::new();
        let file = fs::File::open(path).map_err(Error::io(path))?;
        BufReader::new(file).read_line(&mut line).map_err(Error::io(path))?;
        let head = head(path, &line)?;
        Ok(Self { path: path.to_path_buf(), timeline: head.timeline, from: head.from, to: head.to, time: head.time })
    }
}

fn head(path: &Path, line: &str) -> Result<Head> {
    let head: Head = serde_json::from_str(line).map_err(|error| damaged(path, &error.to_string()))?;
    match head.format > FORMAT {
        true => Err(Error::NewerFormat { path: path.to_path_buf(), found: head.format, supported: FORMAT }),
        false => Ok(head),
    }
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::corrupt(path.display().to_string(), format!("{why}; restore what lies before it"))
}

impl Segment {
    pub fn name(&self) -> String {
        format!("{:020}-{:020}", self.head.from, self.head.to)
    }

    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(&self.head)
            .map_err(|error| Error::Storage { operation: "describe a log", reason: error.to_string() })?;
        bytes.push(b'\n');
        for (sequence, batch) in &self.batches {
            bytes.extend(sequence.to_le_bytes());
            bytes.extend((batch.len() as u32).to_le_bytes());
            bytes.extend(batch);
        }
        bytes.extend(xxh3_128(&bytes).to_le_bytes());
        Ok(bytes)
    }

    /// Reads and checks a part. Errors: [`Error::Corrupt`], [`Error::NewerFormat`].
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let (body, hash) = bytes.split_last_chunk().ok_or_else(|| damaged(path, "it is cut off"))?;
        if xxh3_128(body) != u128::from_le_bytes(*hash) {
            return Err(damaged(path, "its checksum does not fit"));
        }
        let end = body.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged(path, "it has no head"))?;
        let (line, mut rest) = body.split_at(end + 1);
        let head = head(path, &String::from_utf8_lossy(line))?;
        let mut batches = Vec::new();
        while !rest.is_empty() {
            let (sequence, batch, after) = read_batch(rest).ok_or_else(|| damaged(path, "a write is cut off"))?;
            batches.push((sequence, batch.to_vec()));
            rest = after;
        }
        Ok(Self { head, batches })
    }
}

fn read_batch(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (sequence, bytes) = bytes.split_first_chunk()?;
    let (length, bytes) = bytes.split_first_chunk()?;
    let (batch, rest) = bytes.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (batch.len() >= BATCH_HEAD).then_some((u64::from_le_bytes(*sequence), batch, rest))
}

/// Notes the time of a write in its batch, which must be empty yet.
pub fn note_time(batch: &mut WriteBatch, time: Timestamp) {
    batch.put_log_data(time.millis().to_le_bytes());
}

/// The time that is noted in a batch. Writes in bulk, of factors, have none: they belong to the write before them.
pub fn noted_time(batch: &[u8]) -> Option<Timestamp> {
    let note = batch.get(BATCH_HEAD..)?.strip_prefix(&[NOTE, 8])?;
    Timestamp::from_millis(i64::from_le_bytes(*note.first_chunk()?)).ok()
}

/// The last write after a generation that the parts lead to without a gap.
pub fn reaches(parts: &[Part], after: &Generation) -> Option<u64> {
    let mut until = after.sequence;
    for part in parts.iter().filter(|part| part.timeline == after.timeline) {
        if part.from <= until + 1 {
            until = until.max(part.to);
        }
    }
    (until > after.sequence).then_some(until)
}

impl Store {
    /// Adds the writes since a generation, or since the log's end, to a backup. `None` if the database has not kept them.
    pub(super) fn append_log(&self, repository: &Repository, newest: &Generation) -> Result<Option<BackupLog>> {
        let mut log = repository.log()?;
        log.sort_by_key(|part| part.from);
        let begin = reaches(&log, newest).unwrap_or(newest.sequence) + 1;
        let end = self.db.latest_sequence_number();
        let mut done = BackupLog { writes: 0, sequence: begin - 1 };
        if end < begin {
            return Ok(Some(done));
        }
        // What is acknowledged later than it is read must not be in a backup that a power cut takes from the original.
        self.sync()?;
        // It passes on what comes after a sequence number.
        let Ok(updates) = self.db.get_updates_since(begin - 1) else { return Ok(None) };
        let mut segment = self.segment(newest, begin);
        let mut bytes = 0;
        for update in updates {
            let (sequence, batch) = match update {
                // The file in which it was is gone.
                Err(_) if done.writes == 0 => return Ok(None),
                update => update.map_err(storage("read the log of writes"))?,
            };
            let next = done.sequence + 1;
            if sequence > next {
                // A gap: RocksDB has removed what was before.
                return Ok(None);
            }
            let last = sequence + (batch.len() as u64).max(1) - 1;
            if last < next {
                continue;
            }
            bytes += batch.size_in_bytes();
            segment.batches.push((sequence, batch.data().to_vec()));
            segment.head.to = last;
            done = BackupLog { writes: done.writes + 1, sequence: last };
            if bytes >= MOST_BYTES {
                repository.add_segment(&segment)?;
                segment = self.segment(newest, last + 1);
                bytes = 0;
            }
            if last >= end {
                break;
            }
        }
        if !segment.batches.is_empty() {
            repository.add_segment(&segment)?;
        }
        Ok((done.sequence >= end).then_some(done))
    }

    fn segment(&self, of: &Generation, from: u64) -> Segment {
        let (timeline, time) = (of.timeline.clone(), Timestamp::now());
        Segment { head: Head { format: FORMAT, timeline, from, to: from, time }, batches: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_carries_its_time() {
        let mut batch = WriteBatch::default();
        let time = Timestamp::from_millis(1_767_225_600_123).unwrap();
        note_time(&mut batch, time);
        assert_eq!(noted_time(batch.data()), Some(time));
        batch.put("key", "value");
        assert_eq!((batch.len(), noted_time(batch.data())), (1, Some(time)));
        let mut other = WriteBatch::default();
        other.put("key", "value");
        assert_eq!(noted_time(other.data()), None);
    }

    #[test]
    fn a_part_is_read_whole_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let head = Head { format: FORMAT, timeline: "t".into(), from: 5, to: 7, time: Timestamp::MIN };
        let segment = Segment { head, batches: vec![(5, vec![1; 12]), (7, vec![2; 20])] };
        let path = dir.path().join(segment.name());
        let bytes = segment.bytes().unwrap();
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Segment::read(&path).unwrap().batches, segment.batches);
        let part = Part::read(&path).unwrap();
        assert_eq!((part.from, part.to), (5, 7));
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            fs::write(&path, &other).unwrap();
            assert!(Segment::read(&path).is_err(), "byte {place}");
            fs::write(&path, &bytes[..place]).unwrap();
            assert!(Segment::read(&path).is_err(), "cut at {place}");
        }
    }
}
