//! Parquet, read column by column in batches of rows. Plain columns, lists of plain values (for embeddings and
//! categories) and the members of structs (as `outer.inner`) are read; maps and lists of lists are not, and count as
//! ignored columns.
//!
//! The decoder is not ours and a damaged file can make it panic, so every call into it is fenced: such a file is an
//! error like any other.

mod column;
pub(super) mod pages;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use self::column::Column;
use super::cell::{Cell, Converted};
use super::input::Meter;
use super::plan::{BadField, Cells, Plan};
use super::resolve::Columns;
use super::{Kind, ReadRows, Rejected, Row, Source};
use crate::error::{Error, Result};

/// So many rows are decoded at a time.
const BATCH_ROWS: usize = 1024;

/// Opens a Parquet file, which needs a file that can be read in any order.
pub(super) fn open(source: &Source, meter: &Meter, kind: Kind) -> Result<ParquetRows> {
    if source.is_stdin() {
        return Err(Error::invalid("path", "is standard input, which Parquet cannot be read from; give a file"));
    }
    let path = &source.path;
    let file = File::open(path).map_err(Error::io(path))?;
    meter.set_total(file.metadata().map_err(Error::io(path))?.len());
    let pages = file.try_clone().map_err(Error::io(path))?;
    let reader = fenced(path, || SerializedFileReader::new_with_options(file, pages::options()))?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let (mut columns, mut unread) = (Vec::new(), Vec::new());
    for (leaf, descriptor) in schema.columns().iter().enumerate() {
        match Column::of(leaf, descriptor, schema.root_schema()) {
            Some(column) => columns.push(column),
            None => unread.push(descriptor.path().string()),
        }
    }
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    if let Some(twice) = names.iter().enumerate().find(|(place, name)| names.iter().take(*place).any(|n| n == *name)) {
        return Err(Error::invalid("columns", format!("two columns are called \"{}\"; rename one", twice.1)));
    }
    let plan = Plan::new(kind, &source.mapping, &Columns { names: &names, growing: false, infer: &|_| None })?;
    Ok(ParquetRows {
        reader,
        file: pages,
        path: path.clone(),
        columns,
        unread,
        meter: meter.clone(),
        group: 0,
        left_in_group: 0,
        batch_rows: 0,
        next: 0,
        row: 0,
        weight: 0,
        plan,
    })
}

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    reader: SerializedFileReader<File>,
    /// The same file, for a look at the pages.
    file: File,
    path: PathBuf,
    columns: Vec<Column>,
    unread: Vec<String>,
    meter: Meter,
    /// The row group to be opened next.
    group: usize,
    left_in_group: usize,
    batch_rows: usize,
    /// The next row in the batch.
    next: usize,
    /// The next row in the file, from 0.
    row: u64,
    weight: u64,
    plan: Plan,
}

impl ReadRows for ParquetRows {
    fn next_row(&mut self) -> Result<Option<Row>> {
        while self.next == self.batch_rows {
            if self.left_in_group == 0 && !self.open_group()? {
                return Ok(None);
            }
            self.read_batch()?;
        }
        let cells = RowCells { columns: &self.columns, row: self.next };
        self.next += 1;
        self.row += 1;
        Ok(Some(match self.plan.record(&cells) {
            Ok(record) => Row::Record { line: self.row, record },
            Err(BadField { field, reason }) => {
                Row::Rejected(Rejected { line: self.row, field, reason, row: String::new() })
            }
        }))
    }

    fn weight(&self) -> u64 {
        self.weight
    }

    fn ignored(&self) -> Vec<String> {
        self.plan.ignored().into_iter().chain(self.unread.iter().cloned()).collect()
    }
}

impl ParquetRows {
    /// Opens the next row group with rows; `false` if there is none.
    fn open_group(&mut self) -> Result<bool> {
        if self.group >= self.reader.num_row_groups() {
            return Ok(false);
        }
        let (reader, file, columns, group) = (&self.reader, &self.file, &mut self.columns, self.group);
        let (rows, bytes) = fenced(&self.path, || {
            let group = reader.get_row_group(group)?;
            for column in columns {
                column.reader = Some(pages::column(file, &*group, column.leaf, &column.budget)?);
            }
            Ok((group.metadata().num_rows(), group.metadata().compressed_size()))
        })?;
        self.left_in_group = usize::try_from(rows).map_err(|_| self.damaged("a row group has less than no rows"))?;
        self.meter.advance(u64::try_from(bytes).unwrap_or(0));
        self.group += 1;
        Ok(true)
    }

    fn read_batch(&mut self) -> Result<()> {
        let wanted = self.left_in_group.min(BATCH_ROWS);
        for column in &mut self.columns {
            fenced(&self.path, || column.read(wanted))?;
            if column.cells.len() != wanted {
                let reason = format!("column {} has fewer rows than the file says", column.name);
                return Err(self.damaged(&reason));
            }
            self.weight += column.cells.iter().map(weigh).sum::<u64>();
        }
        self.left_in_group -= wanted;
        self.batch_rows = wanted;
        self.next = 0;
        Ok(())
    }

    fn damaged(&self, reason: &str) -> Error {
        Error::corrupt(self.path.display().to_string(), reason)
    }
}

fn weigh(cell: &Converted<Cell<'static>>) -> u64 {
    match cell {
        Ok(Cell::Text(text)) => text.len() as u64,
        Ok(Cell::List(cells)) => cells.len() as u64 * 8,
        _ => 8,
    }
}

/// Runs a part of the decoder; its errors and its panics become errors of the file.
fn fenced<T>(path: &Path, decode: impl FnOnce() -> std::result::Result<T, ParquetError>) -> Result<T> {
    // After a panic nothing of the decoder's state is used again: the stream ends with the error.
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    let what = || path.display().to_string();
    match outcome {
        Ok(decoded) => decoded.map_err(|error| Error::corrupt(what(), error.to_string())),
        Err(_) => Err(Error::corrupt(what(), "it is no valid Parquet file")),
    }
}

struct RowCells<'p> {
    columns: &'p [Column],
    row: usize,
}

impl Cells for RowCells<'_> {
    fn get(&self, column: usize) -> Converted<Cell<'_>> {
        match self.columns.get(column).and_then(|column| column.cells.get(self.row)) {
            Some(Ok(cell)) => Ok(cell.borrowed()),
            Some(Err(reason)) => Err(reason.clone()),
            None => Ok(Cell::Null),
        }
    }
}
