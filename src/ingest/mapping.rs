//! Which column of a file becomes which field of a record: plain data, read from a small TOML file or filled in from
//! flags. It says what the user wants; what the file really has, and what the names mean where nothing is said, is for
//! the plan.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::record::Value;

/// How the columns of input files map to records. Everything is optional: columns with obvious names (`user_id`,
/// `item`, `rating`, `timestamp`, …) are found without a word, whatever their case and underscores, and so are RecBole's
/// `user_id:token`.
///
/// ```toml
/// delimiter = ";"
///
/// [events]
/// user = "customer"
/// item = "sku"
/// type = { constant = "purchase" }
/// time = "bought"
/// time_unit = "s"
///
/// [items]
/// categories = { column = "genres", separator = "|" }
/// attributes = { year = { column = "released", type = "number", null = ["unknown"] } }
/// vectors = { image = "embedding" }
/// rest = "ignore"
/// ```
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// Delimiter of CSV: one ASCII character.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Whether the first line of CSV names the columns; if absent: `true` unless `columns` names them. Without a header
    /// and without `columns` they are called `1`, `2`, `3`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Whether `"` quotes fields of CSV; `true` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quoting: Option<bool>,
    /// Numbers in text have a decimal comma: `12,5`.
    pub decimal_comma: bool,
    /// Texts that mean "no value" in every column, such as `\N` or `NULL`; an empty field of CSV always does.
    pub null: Vec<String>,
    /// Events.
    pub events: EventsMapping,
    /// Items.
    pub items: ItemsMapping,
    /// Users.
    pub users: UsersMapping,
}

/// Where the fields of an event come from.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventsMapping {
    /// Names of the columns, instead of those in the file.
    pub columns: Vec<String>,
    /// External id of the user.
    pub user: Option<Field>,
    /// External id of the item.
    pub item: Option<Field>,
    /// The event's type. Where nothing says it: `rating` if the value is found in a column of that name, else `view`.
    #[serde(rename = "type")]
    pub kind: Option<Field>,
    /// The number that belongs to the event.
    pub value: Option<Field>,
    /// When it happened. An event without a time gets 1970-01-01, not the time of the import, so that importing a file
    /// again changes nothing; `{ constant = "2026-11-24" }` gives another.
    pub time: Option<Field>,
    /// What numbers in the time column count.
    pub time_unit: TimeUnit,
    /// Distinguishes events that agree in user, item, type and time.
    pub id: Option<Field>,
    /// The visit it belongs to.
    pub session: Option<Field>,
    /// How long the user stayed, in milliseconds.
    pub dwell_ms: Option<Field>,
    /// The answer that showed the item.
    pub recommendation_id: Option<Field>,
    /// The place in that answer, from 0.
    pub position: Option<Field>,
    /// Entries of the event's context, by name.
    pub context: BTreeMap<String, Field>,
    /// Columns that hold an object whose entries are the context; `context` if absent.
    pub spread: Option<Vec<String>>,
    /// What becomes of the other columns: they are ignored unless told otherwise.
    pub rest: Option<Rest>,
}

/// Where the fields of an item come from.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ItemsMapping {
    /// Names of the columns, instead of those in the file.
    pub columns: Vec<String>,
    /// External id.
    pub id: Option<Field>,
    /// Categories: a list, or text with separators.
    pub categories: Option<Field>,
    /// When it was published.
    pub time: Option<Field>,
    /// What numbers in the time column count.
    pub time_unit: TimeUnit,
    /// Whether it is never recommended.
    pub hidden: Option<Field>,
    /// Attributes, by name.
    pub attributes: BTreeMap<String, Field>,
    /// Embeddings, by space: a list, or text with separators.
    pub vectors: BTreeMap<String, Field>,
    /// Columns that hold an object whose entries are attributes; `attributes` if absent.
    pub spread: Option<Vec<String>>,
    /// What becomes of the other columns: attributes unless told otherwise.
    pub rest: Option<Rest>,
}

/// Where the fields of a user come from.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UsersMapping {
    /// Names of the columns, instead of those in the file.
    pub columns: Vec<String>,
    /// External id.
    pub id: Option<Field>,
    /// Attributes, by name.
    pub attributes: BTreeMap<String, Field>,
    /// Columns that hold an object whose entries are attributes; `attributes` if absent.
    pub spread: Option<Vec<String>>,
    /// What becomes of the other columns: attributes unless told otherwise.
    pub rest: Option<Rest>,
}

/// What becomes of columns that nothing else claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// Each is an attribute (of an event: an entry of its context) of the column's name.
    Attributes,
    /// They are left out.
    Ignore,
}

/// What a number counts where a time is expected. Text is always RFC 3339, a date, or a date and time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// By its size: up to 1e11 (the year 5138) seconds, up to 1e14 milliseconds, up to 1e17 microseconds, beyond that
    /// nanoseconds. Right for every time after March 1973.
    #[default]
    Auto,
    /// Seconds since 1970.
    S,
    /// Milliseconds since 1970.
    Ms,
    /// Microseconds since 1970.
    Us,
    /// Nanoseconds since 1970.
    Ns,
}

/// Where one field comes from: the name of a column, or a table that says more.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Field {
    /// The column of this name.
    Column(String),
    /// A column with its type, a constant, or both.
    Spec(FieldSpec),
}

/// Where one field comes from, in full.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FieldSpec {
    /// The column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The value where there is no column, or where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constant: Option<Value>,
    /// The type of an attribute; by the column's own type, or by its first rows, if absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<FieldType>,
    /// What stands between the entries of a list in text. If absent: text that starts with `[` is a JSON list, texts
    /// are apart by `|`, numbers by any of blanks, commas, semicolons and bars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Texts that mean "no value" in this column.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub null: Vec<String>,
}

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// Text as it stands.
    Text,
    /// A finite number.
    Number,
    /// `true` or `false`; also `1`, `0`, `yes`, `no`, `t`, `f`.
    Bool,
    /// A list of texts.
    List,
    /// A list of numbers.
    Numbers,
}

impl Mapping {
    /// Reads a mapping text.
    pub fn from_toml(text: &str) -> Result<Self> {
        let mapping: Self = toml::from_str(text).map_err(|error| Error::invalid("mapping", error.to_string()))?;
        mapping.validate()?;
        Ok(mapping)
    }

    /// Reads a mapping file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::from_toml(&text).map_err(|error| error.within(&path.display().to_string()))
    }

    /// Checks what no file is needed for; the error names the field.
    pub fn validate(&self) -> Result<()> {
        match self.delimiter {
            Some(delimiter) if !delimiter.is_ascii() || matches!(delimiter, '\n' | '\r' | '"') => {
                Err(Error::invalid("delimiter", format!("is {delimiter:?}, expected one ASCII character")))
            }
            Some(',') if self.decimal_comma => {
                Err(Error::invalid("decimal_comma", "needs another delimiter than the comma"))
            }
            _ => Ok(()),
        }
    }
}

impl Field {
    /// The column, if one is named.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Column(name) => Some(name),
            Self::Spec(spec) => spec.column.as_deref(),
        }
    }

    /// The same in full.
    pub fn spec(&self) -> FieldSpec {
        match self {
            Self::Column(name) => FieldSpec { column: Some(name.clone()), ..FieldSpec::default() },
            Self::Spec(spec) => spec.clone(),
        }
    }

    /// A field that is the same in every record.
    pub fn constant(value: impl Into<Value>) -> Self {
        Self::Spec(FieldSpec { constant: Some(value.into()), ..FieldSpec::default() })
    }
}

impl From<&str> for Field {
    fn from(column: &str) -> Self {
        Self::Column(column.to_owned())
    }
}

/// By hand, because an untagged enum would hide which key of a table is wrong.
impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct FieldVisitor;
        impl<'de> Visitor<'de> for FieldVisitor {
            type Value = Field;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a column, or a table with column, constant, type, separator or null")
            }
            fn visit_str<E: de::Error>(self, column: &str) -> std::result::Result<Field, E> {
                Ok(Field::from(column))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Field, A::Error> {
                let spec = FieldSpec::deserialize(MapAccessDeserializer::new(map))?;
                if spec.column.is_none() && spec.constant.is_none() {
                    return Err(de::Error::custom("names neither a column nor a constant"));
                }
                Ok(Field::Spec(spec))
            }
        }
        deserializer.deserialize_any(FieldVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_file_says_columns_constants_and_types() {
        let mapping = Mapping::from_toml(
            "[events]\nuser = \"u\"\ntype = { constant = \"rating\" }\ntime_unit = \"s\"\n\
             [items]\nattributes = { year = { column = \"y\", type = \"number\" } }\nvectors.image = \"e\"\n",
        )
        .unwrap();
        assert_eq!(mapping.events.user, Some(Field::from("u")));
        assert_eq!(mapping.events.kind, Some(Field::constant("rating")));
        assert_eq!(mapping.events.time_unit, TimeUnit::S);
        assert_eq!(mapping.items.attributes["year"].spec().kind, Some(FieldType::Number));
        assert_eq!(mapping.items.vectors["image"].column(), Some("e"));
    }

    #[test]
    fn a_mapping_survives_a_round_trip() {
        let mut mapping = Mapping { delimiter: Some(';'), header: Some(false), ..Mapping::default() };
        mapping.events.kind = Some(Field::constant("buy"));
        mapping.users.columns = vec!["id".into(), "age".into()];
        mapping.items.rest = Some(Rest::Ignore);
        let text = toml::to_string(&mapping).unwrap();
        assert_eq!(Mapping::from_toml(&text).unwrap(), mapping);
    }

    #[test]
    fn a_wrong_key_is_refused_by_name() {
        for (text, word) in [
            ("[events]\nuzer = \"u\"\n", "uzer"),
            ("[items]\ncategories = { colunm = \"c\" }\n", "colunm"),
            ("[items]\ncategories = {}\n", "neither"),
            ("[events]\ntime_unit = \"days\"\n", "days"),
            ("delimiter = \"é\"\n", "ASCII"),
            ("delimiter = \",\"\ndecimal_comma = true\n", "another delimiter"),
        ] {
            let error = Mapping::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
