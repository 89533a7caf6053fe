//! A file of named, checksummed sections, written as a stream and visible only when complete. It carries the small parts
//! beside an index and the whole of an exported bundle.
//!
//! ```text
//! magic "SAVORSEC" | version u32 | section bytes … | table | table length u64 | xxh3 of head and table u64 | magic
//! table entry: name length u8, name, offset u64, length u64, xxh3 u64          (numbers little-endian)
//! ```

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::{Error, Result};
use crate::fault::{self, Point};

const MAGIC: &[u8; 8] = b"SAVORSEC";
/// 1 held factors alone; readers of 1 do not know what else there may be. Up to 2 the version was under no checksum.
const VERSION: u32 = 3;
const HEAD: usize = 8 + 4;
const TRAILER: u64 = 8 + 8 + 8;
const MAX_TABLE: u64 = 1 << 16;

struct Section {
    name: String,
    offset: u64,
    length: u64,
    hash: u64,
}

/// Writes sections one after another; [`SectionWriter::finish`] makes the file visible under its name.
pub struct SectionWriter {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    offset: u64,
    table: Vec<Section>,
}

impl SectionWriter {
    /// Begins a file that will be visible at `path`; until then it is a temporary sibling.
    pub fn create(path: &Path) -> Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(parent).map_err(Error::io(parent))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&head(VERSION)).map_err(Error::io(path))?;
        Ok(Self { path: path.to_path_buf(), file, offset: HEAD as u64, table: Vec::new() })
    }

    /// Writes one section by a function that is given a place to write to.
    pub fn section(&mut self, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let mut hashed = Hashed { inner: &mut self.file, hash: Xxh3::new(), length: 0 };
        write(&mut hashed).map_err(Error::io(&self.path))?;
        let (hash, length) = (hashed.hash.digest(), hashed.length);
        self.table.push(Section { name: name.to_owned(), offset: self.offset, length, hash });
        self.offset += length;
        Ok(())
    }

    /// Writes the table, syncs the file and its folder, and renames it to its name.
    pub fn finish(mut self) -> Result<()> {
        let mut table = Vec::new();
        for section in &self.table {
            table.push(section.name.len() as u8);
            table.extend_from_slice(section.name.as_bytes());
            for number in [section.offset, section.length, section.hash] {
                table.extend_from_slice(&number.to_le_bytes());
            }
        }
        let trailer =
            [&table[..], &(table.len() as u64).to_le_bytes(), &table_hash(VERSION, &table).to_le_bytes(), MAGIC]
                .concat();
        let path = self.path;
        self.file.write_all(&trailer).map_err(Error::io(&path))?;
        let file = self.file.into_inner().map_err(|error| Error::io(&path)(error.into_error()))?;
        file.as_file().sync_all().map_err(Error::io(&path))?;
        fault::reach(Point::PartsStaged);
        file.persist(&path).map_err(|error| Error::io(&path)(error.error))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(Error::io(parent))
    }
}

struct Hashed<'a, W> {
    inner: &'a mut W,
    hash: Xxh3,
    length: u64,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or(bytes));
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A section file whose every byte has been checked.
pub struct SectionFile {
    path: PathBuf,
    table: Vec<Section>,
}

impl SectionFile {
    /// Opens a file and verifies all of it. Errors: [`Error::NewerFormat`], or [`Error::Corrupt`] when a byte is not
    /// what was written.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(Error::io(path))?);
        let damaged =
            |reason: &str| Error::corrupt(path.display().to_string(), format!("{reason}; copy or export it again"));
        let size = file.seek(SeekFrom::End(0)).map_err(Error::io(path))?;
        let mut head = [0; HEAD];
        if size < head.len() as u64 + TRAILER {
            return Err(damaged("the file is too short"));
        }
        file.rewind().and_then(|()| file.read_exact(&mut head)).map_err(Error::io(path))?;
        let (magic, version) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(damaged("it does not begin like a Savor file"));
        }
        let version = version.try_into().map_or(0, u32::from_le_bytes);
        if version == 0 {
            return Err(damaged("it states no version"));
        }
        if version > VERSION {
            return Err(Error::NewerFormat { path: path.to_path_buf(), found: version, supported: VERSION });
        }
        let mut trailer = [0; TRAILER as usize];
        file.seek(SeekFrom::End(-(TRAILER as i64)))
            .and_then(|_| file.read_exact(&mut trailer))
            .map_err(Error::io(path))?;
        let mut trailer = &trailer[..];
        let table_length = read_u64(&mut trailer).unwrap_or(u64::MAX);
        let stated_hash = read_u64(&mut trailer);
        if trailer != MAGIC || table_length > MAX_TABLE || table_length + TRAILER + HEAD as u64 > size {
            return Err(damaged("the end is missing"));
        }
        let end = size - TRAILER - table_length;
        let mut table = vec![0; table_length as usize];
        file.seek(SeekFrom::Start(end)).and_then(|_| file.read_exact(&mut table)).map_err(Error::io(path))?;
        if Some(table_hash(version, &table)) != stated_hash {
            return Err(damaged("the table of sections does not fit its checksum"));
        }
        let table = parse_table(&table, end).ok_or_else(|| damaged("the table of sections makes no sense"))?;
        file.seek(SeekFrom::Start(HEAD as u64)).map_err(Error::io(path))?;
        for section in &table {
            if hash_next(&mut file, section.length).map_err(Error::io(path))? != section.hash {
                return Err(damaged(&format!("section \"{}\" does not fit its checksum", section.name)));
            }
        }
        Ok(Self { path: path.to_path_buf(), table })
    }

    /// Whether there is such a section.
    pub fn has(&self, name: &str) -> bool {
        self.table.iter().any(|section| section.name == name)
    }

    /// The bytes of a section, as a stream.
    pub fn reader(&self, name: &str) -> Result<impl Read + use<>> {
        let section = self.find(name)?;
        let mut file = File::open(&self.path).map_err(Error::io(&self.path))?;
        file.seek(SeekFrom::Start(section.offset)).map_err(Error::io(&self.path))?;
        Ok(BufReader::with_capacity(1 << 20, file).take(section.length))
    }

    /// The bytes of a section.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader(name)?.read_to_end(&mut bytes).map_err(Error::io(&self.path))?;
        Ok(bytes)
    }

    /// A section of `f32`s.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.bytes(name)?.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// An error about this file.
    pub fn damaged(&self, reason: impl Into<String>) -> Error {
        Error::corrupt(self.path.display().to_string(), reason)
    }

    fn find(&self, name: &str) -> Result<&Section> {
        let found = self.table.iter().find(|section| section.name == name);
        found.ok_or_else(|| self.damaged(format!("it has no section \"{name}\"; it may be a file of another kind")))
    }
}

fn head(version: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let (magic, number) = head.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    number.copy_from_slice(&version.to_le_bytes());
    head
}

fn table_hash(version: u32, table: &[u8]) -> u64 {
    if version < 3 { xxh3_64(table) } else { xxh3_64(&[&head(version)[..], table].concat()) }
}

/// Sections must follow one another without a gap, so that every byte of the file is under a checksum.
fn parse_table(mut table: &[u8], end: u64) -> Option<Vec<Section>> {
    let mut sections = Vec::new();
    let mut next = HEAD as u64;
    while let Some((&name_length, rest)) = table.split_first() {
        let (name, rest) = rest.split_at_checked(name_length.into())?;
        table = rest;
        let name = String::from_utf8(name.to_vec()).ok()?;
        let (offset, length, hash) = (read_u64(&mut table)?, read_u64(&mut table)?, read_u64(&mut table)?);
        if offset != next {
            return None;
        }
        next = offset.checked_add(length)?;
        sections.push(Section { name, offset, length, hash });
    }
    (next == end).then_some(sections)
}

fn read_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

fn hash_next(file: &mut impl Read, length: u64) -> io::Result<u64> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 16];
    let mut left = length;
    while left > 0 {
        let wanted = left.min(buffer.len() as u64) as usize;
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact(chunk)?;
        hash.update(chunk);
        left -= wanted as u64;
    }
    Ok(hash.digest())
}

/// Writes floats as little-endian bytes.
pub fn write_floats(out: &mut dyn Write, floats: &[f32]) -> io::Result<()> {
    floats.iter().try_for_each(|float| out.write_all(&float.to_le_bytes()))
}

/// Writes a string with its length before it.
pub fn write_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(&(text.len() as u32).to_le_bytes())?;
    out.write_all(text.as_bytes())
}

/// Reads all strings that [`write_text`] has written; `None` when the bytes are not such.
pub fn read_texts(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        texts.push(String::from_utf8(text.to_vec()).ok()?);
        bytes = rest;
    }
    Some(texts)
}

#[cfg(any(test, fuzzing))]
#[path = "sections/fuzzing.rs"] // As the fuzzer's package compiles this file alone.
pub mod fuzzing;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(path: &Path, sections: &[(&str, &[u8])]) {
        let mut writer = SectionWriter::create(path).unwrap();
        for (name, bytes) in sections {
            writer.section(name, |out| out.write_all(bytes)).unwrap();
        }
        writer.finish().unwrap();
    }

    #[test]
    fn sections_are_read_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        written(&path, &[("a", b"one"), ("empty", b""), ("b", &[7; 100_000])]);
        let file = SectionFile::open(&path).unwrap();
        assert_eq!(file.bytes("a").unwrap(), b"one");
        assert_eq!(file.bytes("empty").unwrap(), b"");
        assert_eq!(file.bytes("b").unwrap(), vec![7; 100_000]);
        assert!(file.bytes("c").unwrap_err().to_string().contains("no section \"c\""));
    }

    #[test]
    fn an_unfinished_file_is_not_visible() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SectionWriter::create(&dir.path().join("file")).unwrap();
        writer.section("a", |out| out.write_all(b"one")).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_other_version_is_believed_of_a_file_and_older_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        written(&path, &[("a", b"some bytes")]);
        let bytes = std::fs::read(&path).unwrap();
        for version in (0..VERSION).chain([VERSION + 1]) {
            let mut other = bytes.clone();
            other[8..HEAD].copy_from_slice(&version.to_le_bytes());
            std::fs::write(&path, &other).unwrap();
            assert!(SectionFile::open(&path).is_err(), "version {version}");
        }
        for version in [1u32, 2] {
            let mut older = bytes.clone();
            older[8..HEAD].copy_from_slice(&version.to_le_bytes());
            let (table, hash) = (HEAD + 10..bytes.len() - 24, bytes.len() - 16..bytes.len() - 8);
            let stated = xxh3_64(&older[table]).to_le_bytes();
            older[hash].copy_from_slice(&stated);
            std::fs::write(&path, &older).unwrap();
            assert_eq!(SectionFile::open(&path).unwrap().bytes("a").unwrap(), b"some bytes", "version {version}");
        }
    }

    proptest! {
        #[test]
        fn any_flipped_or_missing_byte_is_found(place in 0usize..200, flip in 1u8..=255, cut in any::<bool>()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            written(&path, &[("a", b"some bytes"), ("b", b"more bytes")]);
            let mut bytes = std::fs::read(&path).unwrap();
            let place = place % bytes.len();
            if cut { bytes.truncate(place) } else { bytes[place] ^= flip }
            std::fs::write(&path, bytes).unwrap();
            prop_assert!(SectionFile::open(&path).is_err());
        }
    }
}
