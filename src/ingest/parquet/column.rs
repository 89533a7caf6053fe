//! One column of a Parquet file: what its stored numbers and bytes stand for, and how levels become nulls and lists.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, Int96};
use parquet::errors::ParquetError;
use parquet::schema::types::{ColumnDescriptor, Type};

use super::super::cell::{Cell, Converted};
use super::pages::Budget;
use crate::record::Timestamp;

/// One column with the decoded batch.
pub(super) struct Column {
    pub name: String,
    /// Its place among the leaves of the schema.
    pub leaf: usize,
    meaning: Meaning,
    /// The definition level of a value that is there.
    full: i16,
    /// The definition level from which on a list has an element; `None` if the column holds no lists.
    element: Option<i16>,
    /// What the next batch may hold.
    pub budget: Arc<Budget>,
    /// The reader of the current row group.
    pub reader: Option<ColumnReader>,
    /// The decoded rows.
    pub cells: Vec<Converted<Cell<'static>>>,
}

/// What the stored numbers or bytes stand for.
#[derive(Clone, Copy)]
enum Meaning {
    Plain,
    Text,
    Unsigned,
    Half,
    Uuid,
    Date,
    Millis,
    Micros,
    Nanos,
    /// Divided by ten to this power.
    Decimal(i32),
}

impl Column {
    /// `None` for a column that cannot be a field: in a map, or in a list of lists.
    pub fn of(leaf: usize, descriptor: &ColumnDescriptor, root: &Type) -> Option<Self> {
        let parts = descriptor.path().parts();
        let name = match descriptor.max_rep_level() {
            0 => parts.join("."),
            1 => parts.get(..list_depth(parts, root)?)?.join("."),
            _ => return None,
        };
        let element = (descriptor.max_rep_level() == 1).then(|| descriptor.repeated_ancestor_def_level());
        let (meaning, full) = (Meaning::of(descriptor), descriptor.max_def_level());
        Some(Self { name, leaf, meaning, full, element, budget: Arc::default(), reader: None, cells: Vec::new() })
    }

    /// Decodes the next rows.
    pub fn read(&mut self, rows: usize) -> std::result::Result<(), ParquetError> {
        self.cells.clear();
        self.budget.renew();
        let shape = Shape { full: self.full, element: self.element };
        let (meaning, cells) = (self.meaning, &mut self.cells);
        match &mut self.reader {
            None => Ok(()),
            Some(ColumnReader::BoolColumnReader(reader)) => fill(reader, shape, rows, cells, |v| Ok(Cell::Bool(v))),
            Some(ColumnReader::Int32ColumnReader(reader)) => fill(reader, shape, rows, cells, |v| {
                whole(if matches!(meaning, Meaning::Unsigned) { i128::from(v as u32) } else { v.into() }, meaning)
            }),
            Some(ColumnReader::Int64ColumnReader(reader)) => fill(reader, shape, rows, cells, |v| {
                whole(if matches!(meaning, Meaning::Unsigned) { i128::from(v as u64) } else { v.into() }, meaning)
            }),
            Some(ColumnReader::Int96ColumnReader(reader)) => {
                fill(reader, shape, rows, cells, |v: Int96| time(v.to_millis().into()))
            }
            Some(ColumnReader::FloatColumnReader(reader)) => {
                fill(reader, shape, rows, cells, |v| Ok(Cell::Number(v.into())))
            }
            Some(ColumnReader::DoubleColumnReader(reader)) => fill(reader, shape, rows, cells, |v| Ok(Cell::Number(v))),
            Some(ColumnReader::ByteArrayColumnReader(reader)) => {
                fill(reader, shape, rows, cells, |v: ByteArray| bytes(v.data(), meaning))
            }
            Some(ColumnReader::FixedLenByteArrayColumnReader(reader)) => {
                fill(reader, shape, rows, cells, |v| bytes(v.data(), meaning))
            }
        }
    }
}

/// How many parts of the path name the list, if what is repeated is a single value and not the entry of a map.
fn list_depth(parts: &[String], root: &Type) -> Option<usize> {
    let mut node = root;
    for (depth, part) in parts.iter().enumerate() {
        node = node.get_fields().iter().find(|field| field.name() == part)?;
        if node.get_basic_info().has_repetition() && node.get_basic_info().repetition() == Repetition::REPEATED {
            let single = node.is_primitive() || (node.get_fields().len() == 1 && parts.len() == depth + 2);
            return single.then_some(depth.max(1));
        }
        if node.is_primitive() {
            return None;
        }
    }
    None
}

impl Meaning {
    fn of(descriptor: &ColumnDescriptor) -> Self {
        match descriptor.logical_type_ref() {
            Some(LogicalType::Timestamp(time)) => match time.unit {
                TimeUnit::MILLIS => return Self::Millis,
                TimeUnit::MICROS => return Self::Micros,
                TimeUnit::NANOS => return Self::Nanos,
            },
            Some(LogicalType::Float16) => return Self::Half,
            Some(LogicalType::Uuid) => return Self::Uuid,
            _ => {}
        }
        match descriptor.converted_type() {
            ConvertedType::DATE => Self::Date,
            ConvertedType::TIMESTAMP_MILLIS => Self::Millis,
            ConvertedType::TIMESTAMP_MICROS => Self::Micros,
            ConvertedType::DECIMAL => Self::Decimal(descriptor.type_scale()),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64 => {
                Self::Unsigned
            }
            _ if descriptor.physical_type() == Physical::BYTE_ARRAY => Self::Text,
            _ => Self::Plain,
        }
    }
}

/// How levels become cells.
#[derive(Clone, Copy)]
struct Shape {
    full: i16,
    element: Option<i16>,
}

/// Reads rows and puts the values where the levels say: `null`s into their places, elements into their lists
/// (Melnik et al., "Dremel", VLDB 2010).
fn fill<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    shape: Shape,
    rows: usize,
    cells: &mut Vec<Converted<Cell<'static>>>,
    convert: impl Fn(T::T) -> Converted<Cell<'static>>,
) -> std::result::Result<(), ParquetError> {
    let (mut definitions, mut repetitions, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut done = 0;
    while done < rows {
        let (read, _, _) =
            reader.read_records(rows - done, Some(&mut definitions), Some(&mut repetitions), &mut values)?;
        if read == 0 {
            break;
        }
        done += read;
    }
    let mut values = values.into_iter().map(convert);
    let mut next = || values.next().unwrap_or_else(|| Err("is not in the file".to_owned()));
    if shape.full == 0 {
        cells.extend((0..done).map(|_| next()));
        return Ok(());
    }
    let Some(element) = shape.element else {
        cells.extend(definitions.iter().map(|level| if *level == shape.full { next() } else { Ok(Cell::Null) }));
        return Ok(());
    };
    for (definition, repetition) in definitions.iter().zip(&repetitions) {
        if *repetition == 0 {
            cells.push(Ok(if *definition < element { Cell::Null } else { Cell::List(Vec::new()) }));
        }
        if *definition < element {
            continue;
        }
        let value = if *definition == shape.full { next() } else { Ok(Cell::Null) };
        if let Some(cell) = cells.last_mut() {
            match (&mut *cell, value) {
                (Ok(Cell::List(list)), Ok(value)) => list.push(value),
                (Ok(_), Err(reason)) => *cell = Err(reason),
                _ => {}
            }
        }
    }
    Ok(())
}

fn whole(number: i128, meaning: Meaning) -> Converted<Cell<'static>> {
    const DAY_MS: i128 = 86_400_000;
    match meaning {
        Meaning::Date => time(number * DAY_MS),
        Meaning::Millis => time(number),
        Meaning::Micros => time(number.div_euclid(1_000)),
        Meaning::Nanos => time(number.div_euclid(1_000_000)),
        Meaning::Decimal(scale) => Ok(Cell::Number(number as f64 / 10f64.powi(scale))),
        _ => Ok(Cell::Int(number)),
    }
}

fn time(millis: i128) -> Converted<Cell<'static>> {
    let millis = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millis(millis).ok());
    millis.map(Cell::Time).ok_or_else(|| "is a time outside the years 1 to 9999".to_owned())
}

fn bytes(bytes: &[u8], meaning: Meaning) -> Converted<Cell<'static>> {
    match (meaning, bytes) {
        (Meaning::Decimal(_), bytes) if bytes.len() <= 16 => {
            // Two's complement, big-endian, of any width.
            let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
            whole(bytes.iter().fold(sign, |number: i128, byte| (number << 8) | i128::from(*byte)), meaning)
        }
        (Meaning::Half, [low, high]) => Ok(Cell::Number(half(u16::from_le_bytes([*low, *high])))),
        (Meaning::Uuid, bytes) => {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let groups = [0..4, 4..6, 6..8, 8..10, 10..16];
            let groups = groups.map(|range| hex(bytes.get(range).unwrap_or_default()));
            Ok(Cell::Text(groups.join("-").into()))
        }
        (_, bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cell::Text(text.to_owned().into())),
            Err(_) => Err("is not valid UTF-8".into()),
        },
    }
}

/// A 16-bit floating-point number (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f64::from(bits & 0x3ff);
    match (bits >> 10) & 0x1f {
        0 => sign * fraction * 2f64.powi(-24),
        31 if bits & 0x3ff == 0 => sign * f64::INFINITY,
        31 => f64::NAN,
        exponent => sign * (1.0 + fraction / 1024.0) * 2f64.powi(i32::from(exponent) - 15),
    }
}
