//! After how long an event weighs half: found in the data, never, or as somebody says.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};
use crate::record::Span;

/// How fast events fade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HalfLife {
    /// They do not fade.
    #[default]
    Never,
    /// Each training finds out by measuring, where events have times; without times they do not fade.
    Auto,
    /// An event weighs half after this span.
    After(Span),
}

impl HalfLife {
    /// The span, where it is known and finite.
    pub fn span(self) -> Option<Span> {
        match self {
            Self::After(span) => Some(span),
            Self::Auto | Self::Never => None,
        }
    }
}

/// What was found: a span, or that nothing is to fade.
impl From<Option<Span>> for HalfLife {
    fn from(found: Option<Span>) -> Self {
        found.map_or(Self::Never, Self::After)
    }
}

impl fmt::Display for HalfLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Never => f.write_str("never"),
            Self::After(span) => span.fmt(f),
        }
    }
}

impl FromStr for HalfLife {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "never" => Ok(Self::Never),
            span => span.parse().map(Self::After).map_err(|_| {
                Error::invalid("", format!("is \"{text}\", expected auto, never, or a span like 12h, 30d or 8w"))
            }),
        }
    }
}

impl Serialize for HalfLife {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HalfLife {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for HalfLife {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HalfLife".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "auto, never, or a whole number and a unit: ms, s, m, h, d or w",
            "type": "string", "pattern": "^(auto|never|[0-9]+(ms|s|m|h|d|w))$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["auto", "never", "36h", "2w"] {
            assert_eq!(text.parse::<HalfLife>().unwrap().to_string(), text);
        }
        let message = "soon".parse::<HalfLife>().unwrap_err().to_string();
        assert!(message.contains("soon") && message.contains("never"), "{message}");
    }
}
