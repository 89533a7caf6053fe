//! Looks at RocksDB's own files before RocksDB does, where it would lose without a word what was acknowledged:
//!
//! - Without `CURRENT` it begins a new database, and removes the tables of the one that has lost it.
//! - What a crash leaves at the end of a write-ahead log, a record that is cut off, was never acknowledged, and goes. But a
//!   damaged length in the middle looks the same to it, and all records behind would go, too. (Whether all is there that
//!   was acknowledged is asked in `watermark`.)
//! - A manifest that is cut off is read as far as it goes, and tables that are named behind are removed.
//!
//! Here each is an error with the file and the place.
//!
//! ```text
//! log and manifest: blocks of 32 KiB; a block: records, and less than 7 zero bytes at its end
//! record: masked CRC-32C of type and payload u32 | length u16 | type u8 | payload          (numbers little-endian)
//! ```

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::health::RESTORE;
use crate::error::{Error, Result};

const BLOCK: usize = 32 * 1024;
const HEAD: usize = 7;
/// A whole record, or the first, a middle or the last part of one that spans blocks.
const PARTS: std::ops::RangeInclusive<u8> = 1..=4;
const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// What is there.
#[derive(Debug, Default)]
pub struct Found {
    pub is_database: bool,
    /// The newest log.
    pub log: Option<PathBuf>,
    /// The last write in any log, by RocksDB's sequence number.
    pub logged: Option<u64>,
}

/// Checks the files of a database, if there is one. Errors: [`Error::Corrupt`] names the file and the byte.
pub fn check(database: &Path) -> Result<Found> {
    let Ok(entries) = fs::read_dir(database) else { return Ok(Found::default()) };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(Error::io(database))?.path());
    }
    match manifest(database, &files)? {
        Some(manifest) => match read_to_end(&manifest, &mut |_, _| {})? {
            (0, _) => return Err(Error::corrupt(manifest.display().to_string(), format!("it is empty; {RESTORE}"))),
            (_, None) => {}
            (_, Some(at)) => {
                let (file, reason) = (manifest.display(), "it ends in the middle of a change");
                let cut =
                    format!("where a power cut did that, `truncate -s {at} {file}` goes on from the change before");
                return Err(Error::corrupt(file.to_string(), format!("{reason} at byte {at}; {cut}; else {RESTORE}")));
            }
        },
        // An interrupted creation has nothing to lose.
        None if !files.iter().any(|file| has_data(file)) => return Ok(Found::default()),
        None => {
            let reason = format!("it is missing, though there are tables or logs; {RESTORE}");
            return Err(Error::corrupt(database.join("CURRENT").display().to_string(), reason));
        }
    }
    let mut found = Found { is_database: true, ..Found::default() };
    for log in files.into_iter().filter(|file| has_ending(file, "log")) {
        let (mut logged, mut begun) = (None, None);
        let end = read_to_end(&log, &mut |kind, payload| match kind {
            WHOLE => logged = logged.max(last_write(payload)),
            FIRST => begun = last_write(payload),
            LAST => logged = logged.max(begun),
            _ => {}
        })?;
        if let (bytes, Some(at)) = end {
            let (file, bytes) = (log.display(), bytes - at);
            tracing::warn!(%file, at, bytes, "the log ends in the middle of a write");
        }
        found.logged = found.logged.max(logged);
        if number(&log) >= found.log.as_deref().and_then(number) {
            found.log = Some(log);
        }
    }
    Ok(found)
}

/// The number in a log's name.
fn number(log: &Path) -> Option<u64> {
    log.file_stem()?.to_str()?.parse().ok()
}

/// The last write of a batch, from its head: its first sequence number u64, its count of entries u32. A head that is cut by
/// the end of a block tells none.
fn last_write(batch: &[u8]) -> Option<u64> {
    let (first, rest) = batch.split_first_chunk()?;
    let count = u32::from_le_bytes(*rest.first_chunk()?);
    u64::from_le_bytes(*first).checked_add(u64::from(count))?.checked_sub(1)
}

/// The manifest that `CURRENT` names; none without a `CURRENT`.
fn manifest(database: &Path, files: &[PathBuf]) -> Result<Option<PathBuf>> {
    let current = database.join("CURRENT");
    if !files.contains(&current) {
        return Ok(None);
    }
    let bytes = fs::read(&current).map_err(Error::io(&current))?;
    let name = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let manifest = name.map(|name| database.join(name)).filter(|manifest| files.contains(manifest));
    let damaged = || {
        let reason = format!("it names no manifest that is there: {:?}; {RESTORE}", String::from_utf8_lossy(&bytes));
        Error::corrupt(current.display().to_string(), reason)
    };
    manifest.map(Some).ok_or_else(damaged)
}

fn has_ending(file: &Path, ending: &str) -> bool {
    file.extension().is_some_and(|extension| extension == ending)
}

fn has_data(file: &Path) -> bool {
    (has_ending(file, "sst") || has_ending(file, "log")) && fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0)
}

/// Reads a file of records: its length, and where its good records end if not there; `each` gets the type and the payload of each. Errors: [`Error::Corrupt`] where that is not what a write that was cut off leaves.
fn read_to_end(path: &Path, each: &mut dyn FnMut(u8, &[u8])) -> Result<(usize, Option<usize>)> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut block = Vec::with_capacity(BLOCK);
    let mut start = 0;
    let mut end: Option<usize> = None;
    loop {
        block.clear();
        file.by_ref().take(BLOCK as u64).read_to_end(&mut block).map_err(Error::io(path))?;
        if block.is_empty() {
            return Ok((start, end));
        }
        match end {
            None => {
                if let Some(found) = records_end(&block, each) {
                    end = Some(start + found.at);
                    if found.is_damaged {
                        return Err(damaged(path, start + found.at));
                    }
                }
            }
            // The writer begins each block with a record.
            Some(end) if record(&block).is_some() => return Err(damaged(path, end)),
            Some(_) => {}
        }
        start += block.len();
    }
}

fn damaged(path: &Path, at: usize) -> Error {
    let reason = format!("acknowledged writes at and after byte {at} cannot be read; {RESTORE}");
    Error::corrupt(path.display().to_string(), reason)
}

/// Where the good records of a block end before the block does.
struct End {
    at: usize,
    /// What is there is no write that was cut off.
    is_damaged: bool,
}

fn records_end(block: &[u8], each: &mut dyn FnMut(u8, &[u8])) -> Option<End> {
    let mut at = 0;
    while let Some(rest) = block.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(length) = record(rest) {
            if let Some((kind, payload)) = rest.get(HEAD - 1..length).and_then(<[u8]>::split_first) {
                each(*kind, payload);
            }
            at += length;
            continue;
        }
        let is_trailer = block.len() == BLOCK && rest.len() < HEAD && rest.iter().all(|byte| *byte == 0);
        if is_trailer {
            return None;
        }
        // A record that is there to its end was written whole.
        let is_whole = declared(rest).is_some_and(|length| length <= rest.len()) && rest.iter().any(|byte| *byte != 0);
        let is_followed = (at + 1..block.len()).any(|at| block.get(at..).and_then(record).is_some());
        return Some(End { at, is_damaged: is_whole || is_followed });
    }
    None
}

/// The length that a record says it has, its head included.
fn declared(bytes: &[u8]) -> Option<usize> {
    let (low, high) = (*bytes.get(4)?, *bytes.get(5)?);
    bytes.get(6)?;
    Some(HEAD + usize::from(u16::from_le_bytes([low, high])))
}

/// The length of a good record at the beginning of these bytes.
fn record(bytes: &[u8]) -> Option<usize> {
    let length = declared(bytes)?;
    let checked = bytes.get(HEAD - 1..length)?;
    let stored = u32::from_le_bytes(*bytes.first_chunk::<4>()?);
    let is_good = checked.first().is_some_and(|kind| PARTS.contains(kind)) && masked(crc32c(checked)) == stored;
    is_good.then_some(length)
}

/// A checksum of bytes that hold checksums is weak; so they are stored masked.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), byte by byte.
fn crc32c(bytes: &[u8]) -> u32 {
    static TABLE: [u32; 256] = table();
    let step = |crc: u32, byte: &u8| {
        let entry = TABLE.get(usize::from(crc as u8 ^ byte)).copied().unwrap_or_default();
        entry ^ (crc >> 8)
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[allow(clippy::indexing_slicing)]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Durability, StoreConfig};
    use crate::record::Event;
    use crate::store::Store;

    const WRITES: u64 = 200;

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// A directory whose log has so many writes in it, and the log.
    fn logged() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        for write in 0..WRITES {
            // Long ones: the log has several blocks.
            let event = Event::new("u", format!("{write}-{}", "i".repeat(200)), "click");
            store.append_events(&[event], Durability::Async).unwrap();
        }
        drop(store);
        let logs = fs::read_dir(dir.path().join("rocksdb")).unwrap().map(|entry| entry.unwrap().path());
        let log = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        let log = log.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        assert!(fs::metadata(&log).unwrap().len() > 2 * BLOCK as u64);
        (dir, log)
    }

    #[test]
    fn a_byte_changed_anywhere_before_the_last_write_is_found_with_file_and_place() {
        let (dir, log) = logged();
        let good = fs::read(&log).unwrap();
        check(&dir.path().join("rocksdb")).unwrap();
        // All bytes of some heads, so that checksum, length, type and payload are all hit; and both sides of a block.
        let some = (40..700).step_by(13).chain(good.len() - 1_200..good.len() - 1_000);
        let places = (0..40).chain(some).chain(BLOCK - 40..BLOCK + 40);
        for place in places {
            for mask in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[place] ^= mask;
                if place < BLOCK && place + HEAD > BLOCK && good[place..BLOCK].iter().all(|byte| *byte == 0) {
                    continue;
                }
                fs::write(&log, &bad).unwrap();
                let error = check(&dir.path().join("rocksdb")).map_err(|error| error.to_string());
                let error = error.expect_err(&format!("byte {place} with {mask:#x} is not found"));
                assert!(error.contains(&log.display().to_string()) && error.contains("restore"), "{error}");
            }
        }
    }

    #[test]
    fn a_log_cut_off_anywhere_opens_and_holds_all_that_is_whole() {
        let (dir, log) = logged();
        let good = fs::read(&log).unwrap();
        let copy = tempfile::tempdir().unwrap();
        for cut in [1, 6, 7, 8, 100, 400, good.len() - BLOCK, good.len() - BLOCK - 3] {
            let target = copy.path().join(format!("{cut}/rocksdb"));
            fs::create_dir_all(&target).unwrap();
            for entry in fs::read_dir(dir.path().join("rocksdb")).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
            }
            fs::write(target.join(log.file_name().unwrap()), &good[..good.len() - cut]).unwrap();
            let store = Store::open(target.parent().unwrap(), &StoreConfig::default()).unwrap();
            let events = store.counts().events;
            let fewest = WRITES.saturating_sub(1 + cut as u64 / 200);
            assert!((fewest..WRITES).contains(&events), "{events} events after {cut} bytes were cut off");
        }
    }
}
