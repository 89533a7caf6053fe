//! Attribute values of users, items and event contexts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::error::{Error, Result};

/// Named attributes, in the order of their names.
pub type Attributes = BTreeMap<String, Value>;

const MAX_ATTRIBUTES: usize = 256;
const MAX_NAME_BYTES: usize = 128;
const MAX_TEXT_BYTES: usize = 64 << 10;
const MAX_LIST: usize = 1024;
const MAX_TIME_BYTES: usize = 64;
/// A question's circumstances are kept with its answer.
const MAX_CONTEXT_BYTES: usize = 16 << 10;

/// One attribute value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected true, false, a number, a text, or a list of these")]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A finite number, 64-bit floating point.
    Number(f64),
    /// Text: a category, a title, a description.
    Text(String),
    /// Several values; a filter matches the list when it matches one of them.
    List(Vec<Value>),
}

impl Value {
    /// The text of a text value.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a numeric value.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The time of a text that is an RFC 3339 time or a date.
    pub fn as_time(&self) -> Option<Timestamp> {
        let text = self.as_text()?;
        // Most texts are none: they are told apart before they are parsed.
        let may_be = text.len() <= MAX_TIME_BYTES && text.starts_with(|c: char| c.is_ascii_digit());
        may_be.then(|| text.parse().ok()).flatten()
    }

    /// The value itself, or each value of a list.
    pub fn each(&self) -> &[Value] {
        match self {
            Self::List(values) => values,
            single => std::slice::from_ref(single),
        }
    }

    /// The value as people read it in a table.
    pub fn display(&self) -> Cow<'_, str> {
        match self {
            Self::Bool(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Text(text) => Cow::Borrowed(text),
            Self::List(values) => Cow::Owned(values.iter().map(Value::display).collect::<Vec<_>>().join(", ")),
        }
    }

    /// About the bytes that it takes.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => size_of::<f64>() + text.len(),
            Self::List(values) => values.iter().map(Self::bytes).sum(),
            Self::Bool(_) | Self::Number(_) => size_of::<f64>(),
        }
    }

    fn validate(&self, nested: bool) -> Result<()> {
        match self {
            Self::Number(number) if !number.is_finite() => Err(Error::invalid("", "is not a finite number")),
            Self::Text(text) if text.len() > MAX_TEXT_BYTES => {
                Err(Error::invalid("", format!("has {} bytes, expected at most {MAX_TEXT_BYTES}", text.len())))
            }
            Self::List(_) if nested => Err(Error::invalid("", "is a list inside a list")),
            Self::List(values) if values.len() > MAX_LIST => {
                Err(Error::invalid("", format!("has {} values, expected at most {MAX_LIST}", values.len())))
            }
            Self::List(values) => values.iter().try_for_each(|value| value.validate(true)),
            _ => Ok(()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}
impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// Checks the circumstances of a question: what an event's may be, and small enough to be kept with every answer.
pub(super) fn validate_context(field: &str, context: &Attributes) -> Result<()> {
    validate_attributes(field, context)?;
    let bytes: usize = context.iter().map(|(name, value)| name.len() + value.bytes()).sum();
    if bytes > MAX_CONTEXT_BYTES {
        let reason = format!("has {bytes} bytes of names and values, expected at most {MAX_CONTEXT_BYTES}");
        return Err(Error::invalid(field, reason));
    }
    Ok(())
}

/// Checks names, sizes and numbers of an attribute map; `field` leads the path in the error.
pub(super) fn validate_attributes(field: &str, attributes: &Attributes) -> Result<()> {
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(Error::invalid(
            field,
            format!("has {} names, expected at most {MAX_ATTRIBUTES}", attributes.len()),
        ));
    }
    for (name, value) in attributes {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(Error::invalid(
                field,
                format!("has a name of {} bytes, expected 1 to {MAX_NAME_BYTES}", name.len()),
            ));
        }
        value.validate(false).map_err(|error| error.within(&format!("{field}.{name}")))?;
    }
    Ok(())
}
