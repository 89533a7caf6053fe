//! Delimited text: CSV and TSV, quoted or not, with a header or without. Rows of another width than the header, rows
//! without an end and texts that are no UTF-8 are rejected one by one, and reading goes on behind them.
//!
//! `csv-core` splits; the buffers are ours, so that their size is bounded and a bad row is at hand as it stands in the
//! file.

use std::collections::VecDeque;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::cell::{Cell, Converted};
use super::input::{Input, MAX_REJECT_BYTES, MAX_ROW_BYTES, excerpt, too_long};
use super::mapping::{FieldType, Mapping, Rest};
use super::plan::{BadField, Cells, Plan};
use super::resolve::Columns;
use super::{Kind, ReadRows, Rejected, Row};
use crate::error::{Error, Result};

/// So many columns a row may have.
const MAX_COLUMNS: usize = 1 << 16;
/// The types of attributes are taken from so many rows, or as many as fit into [`MAX_ROW_BYTES`].
const SAMPLE_ROWS: usize = 1_000;

/// Reads the header and the first rows. `delimiter` stands where the mapping names none.
pub(super) fn open(input: Input, delimiter: Option<u8>, mapping: &Mapping, kind: Kind) -> Result<DelimitedRows> {
    let mut splitter = Splitter::new(input, delimiter, mapping)?;
    let given = match kind {
        Kind::Events => &mapping.events.columns,
        Kind::Items => &mapping.items.columns,
        Kind::Users => &mapping.users.columns,
    };
    let mut ahead = VecDeque::new();
    let mut first = Record::default();
    let mut names = given.clone();
    if splitter.read(&mut first)? {
        if first.overlong {
            let path = splitter.input.path.display();
            return Err(Error::invalid(
                "header",
                format!("the first line of {path} is longer than {MAX_ROW_BYTES} bytes"),
            ));
        }
        if mapping.header.unwrap_or(given.is_empty()) {
            if names.is_empty() {
                names = header(&first, &splitter)?;
            }
        } else {
            if names.is_empty() {
                names = (1..=first.fields).map(|number| number.to_string()).collect();
            }
            ahead.push_back(first);
        }
    } else if names.is_empty() {
        return Ok(DelimitedRows { splitter, record: Record::default(), ahead, names, plan: None, weight: 0 });
    }
    let attributes =
        kind != Kind::Events || mapping.events.rest == Some(Rest::Attributes) || !mapping.events.context.is_empty();
    if attributes {
        splitter.read_ahead(&mut ahead)?;
    }
    let infer = |column: usize| infer(&ahead, column, mapping);
    let plan = Plan::new(kind, mapping, &Columns { names: &names, growing: false, infer: &infer })?;
    Ok(DelimitedRows { splitter, record: Record::default(), ahead, names, plan: Some(plan), weight: 0 })
}

/// The column names of the first line; an error if two are the same, because then neither can be meant.
fn header(first: &Record, splitter: &Splitter) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(first.fields);
    for column in 0..first.fields {
        let name = std::str::from_utf8(first.field(column).unwrap_or_default()).map_err(|_| {
            let reason = format!("column {} of {} is not valid UTF-8", column + 1, splitter.input.path.display());
            Error::invalid("header", reason)
        })?;
        let name = name.trim();
        if let Some(other) = names.iter().position(|known| known == name && !name.is_empty()) {
            let reason = format!(
                "columns {} and {} are both called \"{name}\"; rename one, or give columns in the mapping",
                other + 1,
                column + 1
            );
            return Err(Error::invalid("header", reason));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The rows of a delimited text.
pub(super) struct DelimitedRows {
    splitter: Splitter,
    record: Record,
    /// Rows that have been read to tell the types of attributes.
    ahead: VecDeque<Record>,
    names: Vec<String>,
    /// `None` if the file is empty.
    plan: Option<Plan>,
    weight: u64,
}

impl ReadRows for DelimitedRows {
    fn next_row(&mut self) -> Result<Option<Row>> {
        let Some(plan) = &mut self.plan else { return Ok(None) };
        match self.ahead.pop_front() {
            Some(record) => self.record = record,
            None => {
                if !self.splitter.read(&mut self.record)? {
                    return Ok(None);
                }
            }
        }
        let record = &self.record;
        self.weight += record.len() as u64;
        if record.overlong {
            let hint = if record.raw.contains(&b'"') { "; is a quote never closed?" } else { "" };
            return Ok(Some(Row::Rejected(too_long(record.line(), &record.raw, hint))));
        }
        if record.fields != self.names.len() {
            let reason = format!("has {} fields, expected {}", record.fields, self.names.len());
            return Ok(Some(Row::Rejected(record.rejected(BadField { field: "row".into(), reason }))));
        }
        Ok(Some(match plan.record(record) {
            Ok(built) => Row::Record { line: record.line(), record: built },
            Err(bad) => Row::Rejected(record.rejected(bad)),
        }))
    }

    fn weight(&self) -> u64 {
        self.weight
    }

    fn ignored(&self) -> Vec<String> {
        self.plan.as_ref().map(Plan::ignored).unwrap_or_default()
    }
}

/// One row: its fields one behind the other, and the bytes it was read from. The buffers stay as long as they have ever
/// been, for rows to come.
#[derive(Default)]
struct Record {
    data: Vec<u8>,
    /// The end of each field in `data`.
    ends: Vec<usize>,
    /// How many of them there are.
    fields: usize,
    raw: Vec<u8>,
    /// The line on which `raw` begins; line ends that belong to no row may be in front of the row itself.
    first_line: u64,
    overlong: bool,
}

impl Record {
    fn field(&self, column: usize) -> Option<&[u8]> {
        let ends = self.ends.get(..self.fields)?;
        let start = column.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
        self.data.get(start..*ends.get(column)?)
    }

    /// The bytes of all fields together.
    fn len(&self) -> usize {
        self.fields.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0)
    }

    fn line(&self) -> u64 {
        let blank = self.raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        self.first_line + blank.filter(|byte| **byte == b'\n').count() as u64
    }

    fn rejected(&self, bad: BadField) -> Rejected {
        let row = excerpt(&self.raw).trim_matches(['\r', '\n']).to_owned();
        Rejected { line: self.line(), field: bad.field, reason: bad.reason, row }
    }
}

impl Cells for Record {
    fn get(&self, column: usize) -> Converted<Cell<'_>> {
        match self.field(column).map(std::str::from_utf8) {
            None | Some(Ok("")) => Ok(Cell::Null),
            Some(Ok(text)) => Ok(Cell::text(text)),
            Some(Err(_)) => Err("is not valid UTF-8".into()),
        }
    }
}

/// Splits bytes into rows of bounded size.
struct Splitter {
    input: Input,
    core: Reader,
}

impl Splitter {
    fn new(mut input: Input, delimiter: Option<u8>, mapping: &Mapping) -> Result<Self> {
        let named = mapping.delimiter.and_then(|delimiter| u8::try_from(delimiter).ok());
        let delimiter = match named.or(delimiter) {
            Some(delimiter) => delimiter,
            None => sniff(input.reader.fill_buf().map_err(Error::io(&input.path))?),
        };
        let core = ReaderBuilder::new().delimiter(delimiter).quoting(mapping.quoting.unwrap_or(true)).build();
        Ok(Self { input, core })
    }

    /// Reads the next row; `false` at the end. Blank lines are no rows.
    fn read(&mut self, record: &mut Record) -> Result<bool> {
        record.raw.clear();
        record.first_line = self.core.line();
        record.overlong = false;
        record.data.resize(record.data.len().max(256), 0);
        record.ends.resize(record.ends.len().max(16), 0);
        let (mut filled, mut ended) = (0, 0);
        loop {
            let bytes = self.input.reader.fill_buf().map_err(Error::io(&self.input.path))?;
            let data = record.data.get_mut(filled..).unwrap_or_default();
            let ends = record.ends.get_mut(ended..).unwrap_or_default();
            let (result, read, wrote, closed) = self.core.read_record(bytes, data, ends);
            if record.raw.len() < MAX_REJECT_BYTES {
                record.raw.extend_from_slice(bytes.get(..read).unwrap_or_default());
            }
            self.input.reader.consume(read);
            filled += wrote;
            ended += closed;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if record.data.len() >= MAX_ROW_BYTES => {
                    // The row is lost; its fields are overwritten until its end is found.
                    record.overlong = true;
                    filled = 0;
                }
                ReadRecordResult::OutputFull => record.data.resize(record.data.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if record.ends.len() >= MAX_COLUMNS => {
                    record.overlong = true;
                    ended = 0;
                }
                ReadRecordResult::OutputEndsFull => record.ends.resize(record.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    record.fields = ended;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    fn read_ahead(&mut self, rows: &mut VecDeque<Record>) -> Result<()> {
        let mut bytes = 0;
        while rows.len() < SAMPLE_ROWS && bytes < MAX_ROW_BYTES {
            let mut record = Record::default();
            if !self.read(&mut record)? {
                break;
            }
            bytes += record.len();
            rows.push_back(record);
        }
        Ok(())
    }
}

/// The delimiter that the first line has most of; a comma if it has none.
fn sniff(bytes: &[u8]) -> u8 {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
    let candidates = [b'|', b'\t', b';', b','];
    // Of equals the last is taken: the comma.
    candidates.into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}

/// The type that all values of a column's first rows have: `true` and `false`, numbers, or else text. Digits that are
/// no number but a name (a leading zero, more of them than a number holds exactly) make a column text.
fn infer(rows: &VecDeque<Record>, column: usize, mapping: &Mapping) -> Option<FieldType> {
    let cells = rows.iter().filter_map(|row| std::str::from_utf8(row.field(column)?).ok());
    let values = || cells.clone().filter(|cell| !cell.is_empty() && !mapping.null.iter().any(|null| null == cell));
    values().next()?;
    if values().all(|value| matches!(value, "true" | "false")) {
        Some(FieldType::Bool)
    } else if values().all(|value| is_plain_number(value, mapping.decimal_comma)) {
        Some(FieldType::Number)
    } else {
        Some(FieldType::Text)
    }
}

fn is_plain_number(text: &str, decimal_comma: bool) -> bool {
    const EXACT_DIGITS: usize = 15;
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let named = matches!(digits, [b'0', b'0'..=b'9', ..]) || !matches!(digits, [b'0'..=b'9', ..]);
    let inexact = digits.len() > EXACT_DIGITS && digits.iter().all(u8::is_ascii_digit);
    let number = if decimal_comma { text.replacen(',', ".", 1).parse() } else { text.parse::<f64>() };
    !named && !inexact && number.is_ok_and(f64::is_finite)
}
