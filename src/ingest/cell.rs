//! One cell of an input, whatever the format it came in, and its conversion into the types of a record's fields. A
//! conversion that fails says what the cell is and what was expected; where it stands is added by others.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::mapping::{FieldType, TimeUnit};
use super::time;
use crate::record::{Timestamp, Value};

/// A cell: what a format's own types can say, text borrowed from the input where possible.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// No value.
    Null,
    /// Text; in CSV everything is.
    Text(Cow<'a, str>),
    /// A whole number. Wide enough for every 64-bit id, signed or not.
    Int(i128),
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A time, where the format knows times.
    Time(Timestamp),
    /// Several cells.
    List(Vec<Cell<'a>>),
    /// Named cells.
    Map(Vec<(String, Cell<'a>)>),
}

/// A conversion's failure: the reason of a bad row.
pub(super) type Converted<T> = std::result::Result<T, String>;

/// How text is to be understood, apart from the cell's own field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    /// `12,5` is a number.
    pub decimal_comma: bool,
}

impl<'a> Cell<'a> {
    /// Borrowed text.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The same cell, borrowing its texts.
    pub fn borrowed(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Text(text) => Cell::text(text),
            Self::Int(number) => Cell::Int(*number),
            Self::Number(number) => Cell::Number(*number),
            Self::Bool(flag) => Cell::Bool(*flag),
            Self::Time(time) => Cell::Time(*time),
            Self::List(cells) => Cell::List(cells.iter().map(Cell::borrowed).collect()),
            Self::Map(entries) => {
                Cell::Map(entries.iter().map(|(name, cell)| (name.clone(), cell.borrowed())).collect())
            }
        }
    }

    /// An external id. Whole numbers are ids too.
    pub fn into_id(self) -> Converted<String> {
        match self {
            Self::Text(text) => Ok(text.into_owned()),
            Self::Int(number) => Ok(number.to_string()),
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => Ok(format!("{number:.0}")),
            other => Err(other.instead_of("text or a whole number")),
        }
    }

    /// A finite number.
    pub fn into_number(self, style: Style) -> Converted<f64> {
        let number = match &self {
            Self::Text(text) => parse_number(text, style)?,
            Self::Int(number) => *number as f64,
            Self::Number(number) => *number,
            _ => return Err(self.instead_of("a number")),
        };
        if number.is_finite() { Ok(number) } else { Err(format!("is {number}, expected a finite number")) }
    }

    /// A whole number that is not negative and not above `max`.
    pub fn into_count(self, style: Style, max: u64) -> Converted<u64> {
        let number = self.into_number(style)?;
        if number.fract() == 0.0 && (0.0..=max as f64).contains(&number) {
            Ok(number as u64)
        } else {
            Err(format!("is {number}, expected a whole number from 0 to {max}"))
        }
    }

    /// `true` or `false`.
    pub fn into_bool(self) -> Converted<bool> {
        let flag = match &self {
            Self::Bool(flag) => Some(*flag),
            Self::Int(0) => Some(false),
            Self::Int(1) => Some(true),
            Self::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "t" | "y" => Some(true),
                "false" | "0" | "no" | "f" | "n" => Some(false),
                _ => None,
            },
            _ => None,
        };
        flag.ok_or_else(|| self.instead_of("true or false"))
    }

    /// A time; `None` for the zero time of Go.
    pub fn into_time(self, unit: TimeUnit, style: Style) -> Converted<Option<Timestamp>> {
        match &self {
            Self::Time(time) => Ok(Some(*time)),
            Self::Int(number) => time::whole(*number, unit).map(Some),
            Self::Number(number) => time::fractional(*number, unit).map(Some),
            Self::Text(text) => time::parse(text.trim(), unit, style),
            _ => Err(self.instead_of("a time")),
        }
    }

    /// A list of texts, from a list or from text with separators; blanks around an entry and empty entries fall away.
    pub fn into_texts(self, separator: Option<&str>) -> Converted<Vec<String>> {
        match self {
            Self::List(cells) => cells.into_iter().filter(|cell| *cell != Cell::Null).map(Cell::into_id).collect(),
            Self::Text(text) if is_json_list(&text, separator) => parse_json_list(&text)?.into_texts(separator),
            Self::Text(text) => {
                let parts = text.split(separator.unwrap_or("|"));
                Ok(parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
            }
            other => Ok(vec![other.into_id()?]),
        }
    }

    /// A list of numbers, from a list or from text with separators.
    pub fn into_numbers(self, separator: Option<&str>, style: Style) -> Converted<Vec<f64>> {
        let numbered = |(place, cell): (usize, Cell<'_>)| {
            cell.into_number(style).map_err(|reason| format!("number {} {reason}", place + 1))
        };
        match self {
            Self::List(cells) => cells.into_iter().enumerate().map(numbered).collect(),
            Self::Text(text) if is_json_list(&text, separator) => {
                parse_json_list(&text)?.into_numbers(separator, style)
            }
            Self::Text(text) => {
                let parts: Vec<&str> = match separator {
                    Some(separator) => text.split(separator).collect(),
                    None => text.split(|c: char| is_between_numbers(c, style)).collect(),
                };
                let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
                parts.map(Cell::text).enumerate().map(numbered).collect()
            }
            other => Err(other.instead_of("a list of numbers")),
        }
    }

    /// An attribute's value of a given type, or of the cell's own; `None` where there is no value.
    pub fn into_value(
        self,
        kind: Option<FieldType>,
        separator: Option<&str>,
        style: Style,
    ) -> Converted<Option<Value>> {
        let value = match (kind, self) {
            (_, Self::Null) => return Ok(None),
            (Some(FieldType::Text), cell) => Value::Text(cell.into_id()?),
            (Some(FieldType::Number), cell) => Value::Number(cell.into_number(style)?),
            (Some(FieldType::Bool), cell) => Value::Bool(cell.into_bool()?),
            (Some(FieldType::List), cell) => {
                Value::List(cell.into_texts(separator)?.into_iter().map(Value::Text).collect())
            }
            (Some(FieldType::Numbers), cell) => {
                Value::List(cell.into_numbers(separator, style)?.into_iter().map(Value::Number).collect())
            }
            (None, Self::Text(text)) => Value::Text(text.into_owned()),
            (None, Self::Bool(flag)) => Value::Bool(flag),
            (None, Self::Time(time)) => Value::Text(time.to_string()),
            (None, cell @ (Self::Int(_) | Self::Number(_))) => Value::Number(cell.into_number(style)?),
            (None, Self::List(cells)) => {
                let values = cells.into_iter().map(|cell| match cell {
                    Self::List(_) | Self::Map(_) => Err(cell.instead_of("text or a number inside a list")),
                    single => single.into_value(None, None, style),
                });
                Value::List(values.filter_map(Converted::transpose).collect::<Converted<_>>()?)
            }
            (None, cell @ Self::Map(_)) => return Err(cell.instead_of("a value")),
        };
        Ok(Some(value))
    }

    /// `is …, expected …`: what this cell is, shortened, against what it should be.
    fn instead_of(&self, expected: &str) -> String {
        match self {
            Self::Null => format!("is missing, expected {expected}"),
            Self::Text(text) => format!("is \"{}\", expected {expected}", shorten(text)),
            Self::Int(number) => format!("is {number}, expected {expected}"),
            Self::Number(number) => format!("is {number}, expected {expected}"),
            Self::Bool(flag) => format!("is {flag}, expected {expected}"),
            Self::Time(time) => format!("is {time}, expected {expected}"),
            Self::List(_) => format!("is a list, expected {expected}"),
            Self::Map(_) => format!("is an object, expected {expected}"),
        }
    }
}

/// The text as an error message can show it: its first 60 characters.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(60) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// The number that a text is, finite or not.
pub(super) fn number_of(text: &str, style: Style) -> Option<f64> {
    let parsed = if style.decimal_comma { text.replacen(',', ".", 1).parse() } else { text.parse() };
    parsed.ok()
}

fn parse_number(text: &str, style: Style) -> Converted<f64> {
    let text = text.trim();
    number_of(text, style).ok_or_else(|| {
        let comma = !style.decimal_comma && text.replacen(',', ".", 1).parse::<f64>().is_ok();
        let remedy = if comma { " (use --decimal-comma)" } else { "" };
        format!("is \"{}\", expected a number{remedy}", shorten(text))
    })
}

fn is_between_numbers(c: char, style: Style) -> bool {
    c.is_whitespace() || c == ';' || c == '|' || (c == ',' && !style.decimal_comma)
}

fn is_json_list(text: &str, separator: Option<&str>) -> bool {
    separator.is_none() && text.trim_start().starts_with('[')
}

fn parse_json_list(text: &str) -> Converted<Cell<'_>> {
    serde_json::from_str(text).map_err(|error| format!("starts like a JSON list but is none: {error}"))
}

/// From JSON, without a copy of texts that have no escapes.
impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct CellVisitor;
        impl<'de> Visitor<'de> for CellVisitor {
            type Value = Cell<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> std::result::Result<Cell<'de>, E> {
                Ok(Cell::Null)
            }
            fn visit_bool<E>(self, flag: bool) -> std::result::Result<Cell<'de>, E> {
                Ok(Cell::Bool(flag))
            }
            fn visit_i64<E>(self, number: i64) -> std::result::Result<Cell<'de>, E> {
                Ok(Cell::Int(number.into()))
            }
            fn visit_u64<E>(self, number: u64) -> std::result::Result<Cell<'de>, E> {
                Ok(Cell::Int(number.into()))
            }
            fn visit_f64<E>(self, number: f64) -> std::result::Result<Cell<'de>, E> {
                Ok(Cell::Number(number))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Cell<'de>, E> {
                Ok(Cell::text(text))
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<Cell<'de>, E> {
                Ok(Cell::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Cell<'de>, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = seq.next_element()? {
                    cells.push(cell);
                }
                Ok(Cell::List(cells))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Cell<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Cell::Map(entries))
            }
        }
        deserializer.deserialize_any(CellVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { decimal_comma: false };
    const COMMA: Style = Style { decimal_comma: true };

    #[test]
    fn a_number_is_finite_and_may_have_a_decimal_comma() {
        assert_eq!(Cell::text(" 12.5 ").into_number(PLAIN), Ok(12.5));
        assert_eq!(Cell::text("12,5").into_number(COMMA), Ok(12.5));
        assert_eq!(
            Cell::text("12,5").into_number(PLAIN).unwrap_err(),
            "is \"12,5\", expected a number (use --decimal-comma)"
        );
        for text in ["NaN", "inf", "-Infinity", "1e999", "", "x", "1.2.3"] {
            assert!(Cell::text(text).into_number(PLAIN).is_err(), "{text}");
        }
        assert!(Cell::Number(f64::NAN).into_number(PLAIN).is_err());
    }

    #[test]
    fn ids_keep_their_text_and_whole_numbers_are_ids() {
        assert_eq!(Cell::text("007").into_id().unwrap(), "007");
        assert_eq!(Cell::Int(u64::MAX.into()).into_id().unwrap(), "18446744073709551615");
        assert_eq!(Cell::Number(42.0).into_id().unwrap(), "42");
        assert!(Cell::Number(42.5).into_id().is_err());
        assert!(Cell::Bool(true).into_id().is_err());
    }

    #[test]
    fn lists_come_from_text_json_text_and_lists() {
        let words = |text: &'static str, separator| Cell::text(text).into_texts(separator).unwrap();
        assert_eq!(words("Action| Sci-Fi ||", None), ["Action", "Sci-Fi"]);
        assert_eq!(words("Action Sci-Fi", Some(" ")), ["Action", "Sci-Fi"]);
        assert_eq!(words(r#"["a|b", 3]"#, None), ["a|b", "3"]);
        for text in ["[1, 2.5]", "1 2.5", "1,2.5", "1;2.5", "1|2.5"] {
            assert_eq!(Cell::text(text).into_numbers(None, PLAIN).unwrap(), [1.0, 2.5], "{text}");
        }
        assert_eq!(Cell::text("1,5 2").into_numbers(None, COMMA).unwrap(), [1.5, 2.0]);
        let reason = Cell::text("1 x").into_numbers(None, PLAIN).unwrap_err();
        assert!(reason.starts_with("number 2 is \"x\""), "{reason}");
    }
}
