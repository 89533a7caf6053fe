//! Vectors from a list column of a Parquet file: lists of `float` or `double`, all of one length, none missing; and if asked,
//! ids from a column of strings or whole numbers.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

use super::super::parquet::pages::{self, Budget};
use super::{VectorColumns, Vectors, bad_row, finite, malformed};
use crate::error::{Error, Result};
use crate::linalg::Matrix;

/// Rows decoded at a time.
const BATCH: usize = 1024;

/// Reads the named columns. The decoder may panic over a damaged file, which is an error like any other.
pub(super) fn read(path: &Path, columns: &VectorColumns) -> Result<Vectors> {
    let read = catch_unwind(AssertUnwindSafe(|| read_columns(path, columns)));
    read.unwrap_or_else(|_| Err(malformed(path, "is not readable as Parquet: it is damaged")))
}

fn read_columns(path: &Path, columns: &VectorColumns) -> Result<Vectors> {
    let file = File::open(path).map_err(Error::io(path))?;
    let failed = |error: ParquetError| malformed(path, format!("is not readable as Parquet: {error}"));
    let pages = file.try_clone().map_err(Error::io(path))?;
    let reader = SerializedFileReader::new_with_options(file, pages::options()).map_err(failed)?;
    let budget = Arc::<Budget>::default();
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let vector = vector_column(&schema, &columns.vector).map_err(|reason| malformed(path, reason))?;
    let id = match &columns.id {
        Some(name) => Some(id_column(&schema, name).map_err(|reason| malformed(path, reason))?),
        None => None,
    };

    let mut vectors = Lists { path, column: &columns.vector, dim: 0, rows: 0, values: Vec::new() };
    let mut ids: Option<Vec<String>> = id.map(|_| Vec::new());
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(failed)?;
        let levels = Levels { rep: 1, def: schema.column(vector).max_def_level() };
        match pages::column(&pages, &*group, vector, &budget).map_err(failed)? {
            ColumnReader::FloatColumnReader(column) => {
                each_row(column, levels, (&budget, &failed), |row| vectors.push(row.map(|value| value.copied())))?;
            }
            ColumnReader::DoubleColumnReader(column) => {
                each_row(column, levels, (&budget, &failed), |row| {
                    vectors.push(row.map(|value| value.map(|value| *value as f32)))
                })?;
            }
            _ => return Err(malformed(path, "changes its schema between row groups")),
        }
        if let (Some(id), Some(ids), Some(name)) = (id, &mut ids, &columns.id) {
            let levels = Levels { rep: 0, def: schema.column(id).max_def_level() };
            let mut put = |text: Option<String>| {
                let missing = || bad_row(path, ids.len(), name, "is missing or not text");
                let text = text.ok_or_else(missing)?;
                ids.push(text);
                Ok(())
            };
            match pages::column(&pages, &*group, id, &budget).map_err(failed)? {
                ColumnReader::ByteArrayColumnReader(column) => each_row(column, levels, (&budget, &failed), |row| {
                    put(row.next().flatten().and_then(|bytes| String::from_utf8(bytes.data().to_vec()).ok()))
                })?,
                ColumnReader::Int32ColumnReader(column) => {
                    each_row(column, levels, (&budget, &failed), |row| put(row.next().flatten().map(i32::to_string)))?;
                }
                ColumnReader::Int64ColumnReader(column) => {
                    each_row(column, levels, (&budget, &failed), |row| put(row.next().flatten().map(i64::to_string)))?;
                }
                _ => return Err(malformed(path, "changes its schema between row groups")),
            }
        }
    }

    if vectors.rows == 0 {
        return Err(Error::no_data(format!("{} holds no vectors", path.display()), "give a file with one at least"));
    }
    if let Some(ids) = &ids
        && ids.len() != vectors.rows
    {
        return Err(malformed(path, format!("has {} ids for {} vectors", ids.len(), vectors.rows)));
    }
    let rows = Matrix::new(vectors.dim, vectors.values).map_err(|error| error.within(&path.display().to_string()))?;
    Ok(Vectors { rows, ids })
}

/// The leaf of the list column of this name.
fn vector_column(schema: &SchemaDescriptor, name: &str) -> std::result::Result<usize, String> {
    let leaf = leaf(schema, name)?;
    let column = schema.column(leaf);
    let number = matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE);
    if number && column.max_rep_level() == 1 {
        Ok(leaf)
    } else {
        Err(format!("column \"{name}\" is not a list of float or double"))
    }
}

/// The leaf of the id column of this name.
fn id_column(schema: &SchemaDescriptor, name: &str) -> std::result::Result<usize, String> {
    let leaf = leaf(schema, name)?;
    let column = schema.column(leaf);
    let kind = matches!(column.physical_type(), Type::BYTE_ARRAY | Type::INT32 | Type::INT64);
    if kind && column.max_rep_level() == 0 {
        Ok(leaf)
    } else {
        Err(format!("column \"{name}\" is neither text nor whole numbers"))
    }
}

/// The only leaf of a top-level column.
fn leaf(schema: &SchemaDescriptor, name: &str) -> std::result::Result<usize, String> {
    let root = |leaf: usize| schema.get_column_root(leaf).name();
    let leaves: Vec<usize> = (0..schema.num_columns()).filter(|leaf| root(*leaf) == name).collect();
    match leaves.as_slice() {
        [leaf] => Ok(*leaf),
        [] => {
            let mut names: Vec<&str> = (0..schema.num_columns()).map(root).collect();
            names.dedup();
            Err(format!("has no column \"{name}\"; it has {}", names.join(", ")))
        }
        _ => Err(format!("column \"{name}\" has more than one field")),
    }
}

/// The largest levels of a column in Dremel's encoding: a record begins where the repetition level is 0, and a value is there
/// where the definition level is the largest.
#[derive(Clone, Copy)]
struct Levels {
    rep: i16,
    def: i16,
}

/// Calls `f` with the values of each row of a column chunk; `None` is a missing value, or a missing or empty list.
fn each_row<T: DataType>(
    mut column: ColumnReaderImpl<T>,
    levels: Levels,
    (budget, failed): (&Budget, &dyn Fn(ParquetError) -> Error),
    mut f: impl FnMut(&mut dyn Iterator<Item = Option<&T::T>>) -> Result<()>,
) -> Result<()> {
    let (mut defs, mut reps, mut values) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        budget.renew();
        defs.clear();
        reps.clear();
        values.clear();
        let def_levels = (levels.def > 0).then_some(&mut defs);
        let rep_levels = (levels.rep > 0).then_some(&mut reps);
        let (_, read, count) = column.read_records(BATCH, def_levels, rep_levels, &mut values).map_err(failed)?;
        if count == 0 {
            return Ok(());
        }
        let mut present = values.iter().take(read);
        let mut next = 0;
        while next < count {
            let start = next;
            next += 1;
            while reps.get(next).is_some_and(|rep| *rep > 0) {
                next += 1;
            }
            let defined = |at: &usize| levels.def == 0 || defs.get(*at) == Some(&levels.def);
            let width = (start..next).filter(defined).count();
            let mut row_values = present.by_ref().take(width);
            let mut row = (start..next).map(|at| if defined(&at) { row_values.next() } else { None });
            f(&mut row)?;
            // What `f` left is not the next row's.
            row.for_each(drop);
        }
    }
}

/// Lists of one length, one after the other.
struct Lists<'a> {
    path: &'a Path,
    column: &'a str,
    dim: usize,
    rows: usize,
    values: Vec<f32>,
}

impl Lists<'_> {
    fn push(&mut self, list: impl Iterator<Item = Option<f32>>) -> Result<()> {
        let start = self.values.len();
        for (at, value) in list.enumerate() {
            let missing = || bad_row(self.path, self.rows, self.column, "is empty or has a missing value");
            self.values.push(finite(self.path, self.rows, at, value.ok_or_else(missing)?)?);
        }
        let length = self.values.len() - start;
        if self.rows == 0 {
            self.dim = length;
        }
        if length != self.dim {
            let reason = format!("has {length} values, but the rows before have {}", self.dim);
            return Err(bad_row(self.path, self.rows, self.column, reason));
        }
        self.rows += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
