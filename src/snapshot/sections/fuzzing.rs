//! What a fuzzer does to a section file, and what tests replay of what it found: any bytes at all, and a table that is signed
//! rightly, whatever it says.
//!
//! ```text
//! A file to be signed: format version u8, length of the table u16 (little-endian), the table, the bytes of the sections
//! ```

#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::*;

/// Opens any bytes.
pub fn any(bytes: &[u8]) {
    open(bytes);
}

/// Opens a file with right checksums.
pub fn signed(bytes: &[u8]) {
    let Some(([version, low, high], rest)) = bytes.split_first_chunk() else { return };
    let (table, body) = rest.split_at(rest.len().min(u16::from_le_bytes([*low, *high]).into()));
    let version = u32::from(*version);
    let mut file = [&head(version)[..], body].concat();
    let table = with_hashes(table, &file);
    file.extend_from_slice(&table);
    file.extend((table.len() as u64).to_le_bytes());
    file.extend(table_hash(version, &table).to_le_bytes());
    file.extend(MAGIC);
    open(&file);
}

/// The table with the right checksum of every section that lies in the file.
fn with_hashes(table: &[u8], file: &[u8]) -> Vec<u8> {
    let mut table = table.to_vec();
    let mut at = 0;
    while let Some(numbers) = table.get(at).map(|length| at + 1 + usize::from(*length)) {
        at = numbers + 24;
        let Some(mut entry) = table.get(numbers..at) else { break };
        let (offset, length) = (read_u64(&mut entry).unwrap() as usize, read_u64(&mut entry).unwrap() as usize);
        let section = offset.checked_add(length).and_then(|end| file.get(offset..end));
        if let Some(section) = section {
            table[numbers + 16..at].copy_from_slice(&xxh3_64(section).to_le_bytes());
        }
    }
    table
}

/// Whatever is opened can be read to its end.
fn open(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let Ok(opened) = SectionFile::open(file.path()) else { return };
    let mut total = 0;
    for section in &opened.table {
        let bytes = opened.bytes(&section.name).unwrap();
        assert!(opened.has(&section.name));
        assert_eq!(opened.floats(&section.name).unwrap().len(), bytes.len() / 4);
        read_texts(&bytes);
        total += section.length;
    }
    assert!(total <= bytes.len() as u64);
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn corpus(target: &str) -> PathBuf {
        // The package of the rooms with unsafe code is below the root, and compiles this room too.
        let mut roots = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let root = roots.find(|root| root.join("fuzz/corpus").is_dir()).unwrap();
        root.join("fuzz/corpus").join(target)
    }

    #[test]
    fn what_was_ever_found_is_found_no_more() {
        for (target, open) in [("sections_any", any as fn(&[u8])), ("sections_signed", signed)] {
            let inputs: Vec<_> =
                std::fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!inputs.is_empty(), "{target}");
            inputs.into_iter().for_each(|path| open(&std::fs::read(path).unwrap()));
        }
    }

    /// `SAVOR_BLESS=1` writes the seeds that a fuzzer begins with.
    #[test]
    fn a_signed_file_is_what_was_to_be_signed() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let mut writer = SectionWriter::create(&path).unwrap();
        writer.section("texts", |out| ["one", ""].iter().try_for_each(|text| write_text(out, text))).unwrap();
        writer.section("floats", |out| write_floats(out, &[1.5, -2.0])).unwrap();
        writer.finish().unwrap();
        let file = std::fs::read(&path).unwrap();
        let (content, trailer) = file.split_at(file.len() - TRAILER as usize);
        let length = u64::from_le_bytes(trailer[..8].try_into().unwrap()) as usize;
        let (body, table) = content.split_at(content.len() - length);
        assert_eq!(with_hashes(table, body), table);
        let seed = [&[VERSION as u8, length as u8, 0], table, &body[HEAD..]].concat();
        signed(&seed);
        if std::env::var_os("SAVOR_BLESS").is_some() {
            for (target, bytes) in [("sections_any", &file), ("sections_signed", &seed)] {
                std::fs::create_dir_all(corpus(target)).unwrap();
                std::fs::write(corpus(target).join("seed"), bytes).unwrap();
            }
        }
    }
}
