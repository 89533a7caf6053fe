//! Reading what others have written: items, users and events from CSV, JSON Lines, Parquet, Gorse's exports and
//! adjacency lists, as a stream of records in constant memory. A row that cannot be a record is a row of its own kind,
//! with its line, field and reason, and the stream goes on; only what ends the stream (no such file, damaged bytes, a
//! missing column) is an error.
//!
//! [`read`] gives the stream, [`import`] feeds a [`Sink`] from it, [`pairs`] collects the user and item pairs of a test
//! file. Storing is left to the sink, drawing progress to the caller.

mod adjacency;
mod cell;
mod delimited;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod import;
mod input;
mod jsonl;
mod mapping;
#[cfg(feature = "parquet")]
mod parquet;
mod plan;
mod rejects;
mod resolve;
#[cfg(test)]
mod tests;
mod time;
pub mod vectors;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::format::Format;
pub use self::import::{ImportOptions, Sink, Summary, Written, import};
use self::input::{Input, Meter};
pub use self::mapping::{
    EventsMapping, Field, FieldSpec, FieldType, ItemsMapping, Mapping, Rest, TimeUnit, UsersMapping,
};
use crate::error::{Error, Result};
use crate::record::{Event, Item, User};

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Things that can be recommended.
    Items,
    /// People.
    Users,
    /// Interactions.
    Events,
}

/// A file to read, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// Its format; by its extension if absent.
    pub format: Option<Format>,
    /// Which column is which field.
    pub mapping: Mapping,
}

impl Source {
    /// A file whose extension and column names speak for themselves.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), format: None, mapping: Mapping::default() }
    }

    /// Whether the source is standard input, which can be read only once.
    pub fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    /// The format that is given, or else told by the extension.
    pub fn format(&self) -> Result<Format> {
        self.format.map_or_else(|| Format::of(&self.path), Ok)
    }
}

/// One record of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An item.
    Item(Item),
    /// A user.
    User(User),
    /// An event.
    Event(Event),
}

/// One row of a source.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// The row is this valid record.
    Record {
        /// Its line, or its row in Parquet, from 1.
        line: u64,
        /// The record.
        record: Record,
    },
    /// The row cannot be a record.
    Rejected(Rejected),
}

/// A row that cannot be a record: a line of the rejects file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// Its line, or its row in Parquet, from 1.
    pub line: u64,
    /// The offending column or field; `row` if it is the row as a whole.
    pub field: String,
    /// What is wrong with it and what is expected.
    pub reason: String,
    /// The row as it stands in the file, at most 64 KiB of it; empty for Parquet.
    pub row: String,
}

impl Rejected {
    /// The same as an error, with the file's name.
    pub fn into_error(self, file: &Path) -> Error {
        Error::BadRow { file: file.to_path_buf(), line: self.line, field: self.field, reason: self.reason }
    }
}

/// Opens a source as a stream of rows. Errors that are known before the first row, such as a required column that is
/// missing (the error lists those that are there), come from here.
pub fn read(source: &Source, kind: Kind) -> Result<Rows> {
    source.mapping.validate()?;
    let meter = Meter::default();
    let mapping = &source.mapping;
    let reader: Box<dyn ReadRows> = match source.format()? {
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(parquet::open(source, &meter, kind)?),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(Error::invalid("format", "is parquet, which this build of Savor cannot read")),
        text => read_text(text, input::open(source, &meter)?, mapping, kind)?,
    };
    Ok(Rows { reader, meter, ended: false })
}

/// The reader of a text format.
fn read_text(format: Format, input: Input, mapping: &Mapping, kind: Kind) -> Result<Box<dyn ReadRows>> {
    Ok(match format {
        Format::Csv => Box::new(delimited::open(input, None, mapping, kind)?),
        Format::Tsv => Box::new(delimited::open(input, Some(b'\t'), mapping, kind)?),
        Format::Jsonl => Box::new(jsonl::open(input, mapping, kind)?),
        Format::GorseJsonl => Box::new(jsonl::open_gorse(input, mapping, kind)?),
        Format::Adjacency => Box::new(adjacency::open(input, mapping, kind)?),
        Format::Parquet => return Err(Error::invalid("format", "is parquet, which is no text")),
    })
}

/// The rows of a source, read as they are asked for. After an error the stream ends.
pub struct Rows {
    reader: Box<dyn ReadRows>,
    meter: Meter,
    ended: bool,
}

impl Rows {
    /// How many bytes of the file have been read.
    pub fn bytes(&self) -> u64 {
        self.meter.done()
    }

    /// How many bytes the file has; `None` for standard input.
    pub fn total_bytes(&self) -> Option<u64> {
        self.meter.total()
    }

    /// Bytes of rows until now, after decompression: what rows in memory cost, roughly.
    fn weight(&self) -> u64 {
        self.reader.weight()
    }

    /// The columns that no field is read from.
    pub fn ignored(&self) -> Vec<String> {
        self.reader.ignored()
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.reader.next_row().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}

/// Reads the user and item pairs of a test file in any of the formats, in the order of the file. A bad row is an error:
/// a measure on half a test file would be wrong without a word.
pub fn pairs(source: &Source) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for row in read(source, Kind::Events)? {
        match row? {
            Row::Record { record: Record::Event(event), .. } => pairs.push((event.user, event.item)),
            Row::Record { .. } => {}
            Row::Rejected(rejected) => return Err(rejected.into_error(&source.path)),
        }
    }
    Ok(pairs)
}

/// The reader of one format.
trait ReadRows: Send {
    /// The next row; `None` at the end.
    fn next_row(&mut self) -> Result<Option<Row>>;

    /// Bytes of rows until now, after decompression.
    fn weight(&self) -> u64;

    /// The columns that no field is read from.
    fn ignored(&self) -> Vec<String>;
}
