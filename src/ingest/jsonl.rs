//! JSON Lines: one object a line. The fields may be those of the REST interface or have other names; a field that is an
//! object becomes attributes with dotted names. Gorse's exports are read as the same thing under Gorse's names.

use std::fmt;

use rustc_hash::FxHashMap;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::cell::{Cell, Converted};
use super::input::{Input, Line, excerpt, too_long};
use super::mapping::{Field, FieldSpec, Mapping};
use super::plan::{BadField, Cells, Plan};
use super::resolve::Columns;
use super::{Kind, ReadRows, Record, Rejected, Row};
use crate::error::Result;

/// So many different names the fields of a file may have.
const MAX_NAMES: usize = 4096;

/// Reads lines of records or of objects with mapped names.
pub(super) fn open(input: Input, mapping: &Mapping, kind: Kind) -> Result<JsonRows> {
    let names = Names { columns: Vec::new(), by_name: FxHashMap::default() };
    let mapping = mapping.clone();
    let plan = plan(kind, &mapping, &names)?;
    Ok(JsonRows { input, buffer: Vec::new(), line: 0, weight: 0, names, plan, mapping, kind })
}

/// Reads lines as Gorse exports them: `UserId`, `ItemId`, `FeedbackType`, `Value`, `Timestamp`, `IsHidden` and
/// `Categories` are found by their names; the entries of `Labels` become attributes, and so does a `Comment`.
pub(super) fn open_gorse(input: Input, mapping: &Mapping, kind: Kind) -> Result<JsonRows> {
    let mut mapping = mapping.clone();
    let comment = FieldSpec { column: Some("Comment".into()), null: vec![String::new()], ..FieldSpec::default() };
    for attributes in [&mut mapping.items.attributes, &mut mapping.users.attributes, &mut mapping.events.context] {
        attributes.entry("comment".into()).or_insert(Field::Spec(comment.clone()));
    }
    for spread in [&mut mapping.items.spread, &mut mapping.users.spread] {
        spread.get_or_insert_with(|| vec!["Labels".into()]);
    }
    open(input, &mapping, kind)
}

fn plan(kind: Kind, mapping: &Mapping, names: &Names) -> Result<Plan> {
    Plan::new(kind, mapping, &Columns { names: &names.columns, growing: true, infer: &|_| None })
}

/// The rows of a JSON Lines text.
pub(super) struct JsonRows {
    input: Input,
    buffer: Vec<u8>,
    line: u64,
    weight: u64,
    names: Names,
    plan: Plan,
    mapping: Mapping,
    kind: Kind,
}

impl ReadRows for JsonRows {
    fn next_row(&mut self) -> Result<Option<Row>> {
        loop {
            let line = self.input.line(&mut self.buffer)?;
            self.line += 1;
            self.weight += self.buffer.len() as u64;
            match line {
                Line::End => return Ok(None),
                Line::TooLong => return Ok(Some(Row::Rejected(too_long(self.line, &self.buffer, "")))),
                Line::Whole if self.buffer.iter().all(u8::is_ascii_whitespace) => {}
                Line::Whole => break,
            }
        }
        // The buffer is lent to the cells, while new names change the plan.
        let buffer = std::mem::take(&mut self.buffer);
        let record = self.record(&buffer);
        let row = match record? {
            Ok(record) => Row::Record { line: self.line, record },
            Err(BadField { field, reason }) => {
                Row::Rejected(Rejected { line: self.line, field, reason, row: excerpt(&buffer) })
            }
        };
        self.buffer = buffer;
        Ok(Some(row))
    }

    fn weight(&self) -> u64 {
        self.weight
    }

    fn ignored(&self) -> Vec<String> {
        self.plan.ignored()
    }
}

impl JsonRows {
    fn record(&mut self, line: &[u8]) -> Result<std::result::Result<Record, BadField>> {
        let bad = |reason: String| Ok(Err(BadField { field: "row".into(), reason }));
        let text = match std::str::from_utf8(line) {
            Ok(text) => text.trim(),
            Err(error) => return bad(format!("is not valid UTF-8 from byte {} on", error.valid_up_to() + 1)),
        };
        let known = self.names.columns.len();
        let mut reader = serde_json::Deserializer::from_str(text);
        let cells = (&mut self.names).deserialize(&mut reader).and_then(|cells| reader.end().map(|()| cells));
        if self.names.columns.len() != known {
            self.plan = plan(self.kind, &self.mapping, &self.names)?;
        }
        match cells {
            Ok(cells) => Ok(self.plan.record(&cells)),
            Err(_) if text.starts_with('[') => {
                bad("is a JSON array, expected one object on each line (as `jq -c '.[]'` writes)".into())
            }
            Err(error) => bad(format!("is not a JSON object: {error}")),
        }
    }
}

/// The names of fields that have been seen; each has its column from then on.
struct Names {
    columns: Vec<String>,
    by_name: FxHashMap<String, usize>,
}

impl Names {
    fn column(&mut self, name: &str) -> Option<usize> {
        if let Some(column) = self.by_name.get(name) {
            return Some(*column);
        }
        let column = self.columns.len();
        if column == MAX_NAMES {
            return None;
        }
        self.columns.push(name.to_owned());
        self.by_name.insert(name.to_owned(), column);
        Some(column)
    }
}

/// The cells of one object, by column. Shorter than the list of columns where the last are missing.
struct ObjectCells<'l>(Vec<Cell<'l>>);

impl Cells for ObjectCells<'_> {
    fn get(&self, column: usize) -> Converted<Cell<'_>> {
        Ok(self.0.get(column).map_or(Cell::Null, Cell::borrowed))
    }
}

impl<'de> DeserializeSeed<'de> for &mut Names {
    type Value = ObjectCells<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Self::Value, D::Error> {
        struct ObjectVisitor<'n>(&'n mut Names);
        impl<'de> Visitor<'de> for ObjectVisitor<'_> {
            type Value = ObjectCells<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut cells = Vec::with_capacity(self.0.columns.len());
                while let Some(Cell::Text(name)) = map.next_key()? {
                    let cell: Cell<'de> = map.next_value()?;
                    let column = self.0.column(&name).ok_or_else(|| {
                        serde::de::Error::custom(format!("the file has more than {MAX_NAMES} different names"))
                    })?;
                    if cells.len() <= column {
                        cells.resize(column + 1, Cell::Null);
                    }
                    if let Some(place) = cells.get_mut(column) {
                        if *place != Cell::Null {
                            return Err(serde::de::Error::custom(format!("\"{name}\" is there twice")));
                        }
                        *place = cell;
                    }
                }
                Ok(ObjectCells(cells))
            }
        }
        deserializer.deserialize_map(ObjectVisitor(self))
    }
}
