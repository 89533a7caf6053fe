//! The promises of the room, format by format, on small files; and that nothing a file can hold makes a reader panic.

mod adjacency;
mod bombs;
mod delimited;
mod importing;
mod json_lines;
#[cfg(feature = "parquet")]
mod parquet_files;
mod properties;

#[cfg(feature = "parquet")]
pub use parquet_files::parquet_bytes;

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::input::MAX_ROW_BYTES;
use super::*;
use crate::progress::{Progress, Silent, Step};
use crate::record::{Timestamp, Value};

/// A folder for the files of one test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn source(&self, name: &str, content: impl AsRef<[u8]>) -> Source {
        std::fs::write(self.path(name), content).unwrap();
        Source::file(self.path(name))
    }
}

fn gzipped(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn mapped(source: Source, mapping: &str) -> Source {
    Source { mapping: Mapping::from_toml(mapping).unwrap(), ..source }
}

fn rows(source: &Source, kind: Kind) -> (Vec<(u64, Record)>, Vec<Rejected>) {
    let (mut records, mut rejected) = (Vec::new(), Vec::new());
    for row in read(source, kind).unwrap() {
        match row.unwrap() {
            Row::Record { line, record } => records.push((line, record)),
            Row::Rejected(bad) => rejected.push(bad),
        }
    }
    (records, rejected)
}

fn events(source: &Source) -> Vec<Event> {
    let (records, rejected) = rows(source, Kind::Events);
    assert_eq!(rejected, []);
    let event = |(_, record)| if let Record::Event(event) = record { event } else { panic!("{record:?}") };
    records.into_iter().map(event).collect()
}

fn items(source: &Source) -> Vec<Item> {
    let (records, rejected) = rows(source, Kind::Items);
    assert_eq!(rejected, []);
    let item = |(_, record)| if let Record::Item(item) = record { item } else { panic!("{record:?}") };
    records.into_iter().map(item).collect()
}

fn users(source: &Source) -> Vec<User> {
    let (records, rejected) = rows(source, Kind::Users);
    assert_eq!(rejected, []);
    let user = |(_, record)| if let Record::User(user) = record { user } else { panic!("{record:?}") };
    records.into_iter().map(user).collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000).unwrap()
}

fn text(text: &str) -> Value {
    Value::from(text)
}

/// Keeps what it is given as a set, as the store does.
#[derive(Default)]
struct Memory {
    known: HashSet<String>,
    writes: usize,
    finished: usize,
    refuse: Option<&'static str>,
}

impl Memory {
    fn put<T: Serialize>(&mut self, records: &[T], field: &str) -> Result<Written> {
        let lines: Vec<String> = records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        if let Some(word) = self.refuse.filter(|word| lines.iter().any(|line| line.contains(word))) {
            return Err(Error::invalid(field, format!("holds {word}")));
        }
        self.writes += 1;
        let stored = lines.into_iter().filter(|line| self.known.insert(line.clone())).count() as u64;
        Ok(Written { stored, known: records.len() as u64 - stored })
    }
}

impl Sink for Memory {
    fn write_events(&mut self, events: &[Event]) -> Result<Written> {
        self.put(events, "events")
    }
    fn write_items(&mut self, items: &[Item]) -> Result<Written> {
        self.put(items, "items")
    }
    fn write_users(&mut self, users: &[User]) -> Result<Written> {
        self.put(users, "users")
    }
    fn finish(&mut self) -> Result<()> {
        self.finished += 1;
        Ok(())
    }
}
