//! Adjacency lists: on each line a user and then the user's items, apart by white space, as the split files of NGCF and
//! LightGCN have them. Each pair is an event; type and time are the same for all, `view` and 1970-01-01 unless the
//! mapping's constants say otherwise, so that importing a file again changes nothing.

use super::cell::{Cell, Converted};
use super::input::{Input, Line, too_long};
use super::mapping::{EventsMapping, Field, Mapping};
use super::plan::{BadField, Cells, Plan};
use super::resolve::Columns;
use super::{Kind, ReadRows, Rejected, Row};
use crate::error::{Error, Result};

const COLUMNS: [&str; 2] = ["user", "item"];

/// Reads events; an error for anything else, of which such a file says nothing.
pub(super) fn open(input: Input, mapping: &Mapping, kind: Kind) -> Result<AdjacencyRows> {
    if kind != Kind::Events {
        return Err(Error::invalid("format", "is adjacency, which holds events and nothing else"));
    }
    let EventsMapping { kind: event_type, time, time_unit, .. } = mapping.events.clone();
    let user = Some(Field::from("user"));
    let item = Some(Field::from("item"));
    let events = EventsMapping { user, item, kind: event_type, time, time_unit, ..EventsMapping::default() };
    let mapping = Mapping { events, ..Mapping::default() };
    let names = COLUMNS.map(str::to_owned);
    let plan = Plan::new(kind, &mapping, &Columns { names: &names, growing: false, infer: &|_| None })?;
    Ok(AdjacencyRows { input, buffer: Vec::new(), user: 0..0, next: 0, line: 0, weight: 0, plan })
}

/// The pairs of an adjacency list.
pub(super) struct AdjacencyRows {
    input: Input,
    buffer: Vec<u8>,
    /// The user's bytes in the buffer.
    user: std::ops::Range<usize>,
    /// Where in the buffer the search for the next item begins.
    next: usize,
    line: u64,
    weight: u64,
    plan: Plan,
}

impl ReadRows for AdjacencyRows {
    fn next_row(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(item) = word(&self.buffer, self.next) {
                self.next = item.end;
                self.weight += (self.user.len() + item.len()) as u64;
                let user = self.buffer.get(self.user.clone()).unwrap_or_default();
                let pair = Pair([user, self.buffer.get(item).unwrap_or_default()]);
                let row = match self.plan.record(&pair) {
                    Ok(record) => Row::Record { line: self.line, record },
                    Err(BadField { field, reason }) => {
                        Row::Rejected(Rejected { line: self.line, field, reason, row: pair.text() })
                    }
                };
                return Ok(Some(row));
            }
            self.line += 1;
            self.next = 0;
            match self.input.line(&mut self.buffer)? {
                Line::End => return Ok(None),
                Line::TooLong => {
                    let rejected = too_long(self.line, &self.buffer, "");
                    self.buffer.clear();
                    return Ok(Some(Row::Rejected(rejected)));
                }
                Line::Whole => {
                    self.user = word(&self.buffer, 0).unwrap_or(0..0);
                    self.next = self.user.end;
                }
            }
        }
    }

    fn weight(&self) -> u64 {
        self.weight
    }

    fn ignored(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The first word from a place on.
fn word(line: &[u8], from: usize) -> Option<std::ops::Range<usize>> {
    let rest = line.get(from..)?;
    let start = from + rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let length = line.get(start..)?.iter().position(u8::is_ascii_whitespace);
    Some(start..length.map_or(line.len(), |length| start + length))
}

struct Pair<'l>([&'l [u8]; 2]);

impl Pair<'_> {
    fn text(&self) -> String {
        self.0.map(String::from_utf8_lossy).join(" ")
    }
}

impl Cells for Pair<'_> {
    fn get(&self, column: usize) -> Converted<Cell<'_>> {
        match self.0.get(column).map(|word| std::str::from_utf8(word)) {
            Some(Ok(text)) => Ok(Cell::text(text)),
            Some(Err(_)) => Err("is not valid UTF-8".into()),
            None => Ok(Cell::Null),
        }
    }
}
