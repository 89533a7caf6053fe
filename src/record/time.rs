//! Points in time and spans, in milliseconds.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// Milliseconds since 1970-01-01T00:00:00Z. In JSON: written as an RFC 3339 string in UTC, read from such a string or
/// from a whole number of milliseconds. In binary formats: milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest accepted time, 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000);
    /// The latest accepted time, 9999-12-30T00:00:00Z.
    pub const MAX: Self = Self(253_402_128_000_000);

    /// From milliseconds since the epoch; an error outside the years 1 to 9999.
    pub fn from_millis(millis: i64) -> Result<Self> {
        if (Self::MIN.0..=Self::MAX.0).contains(&millis) {
            Ok(Self(millis))
        } else {
            Err(Error::invalid("time", format!("is {millis} ms since 1970, expected a time in the years 1 to 9999")))
        }
    }

    /// The clock's time.
    pub fn now() -> Self {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64);
        Self(millis.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whether so many milliseconds have passed since a time. They have if that is still to come, too: somebody has set the clock back.
    pub fn is_after(self, then: Self, millis: i64) -> bool {
        !(0..millis).contains(&self.0.saturating_sub(then.0))
    }

    /// This time less a span, not before [`Timestamp::MIN`].
    pub fn before(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.millis()).max(Self::MIN.0))
    }

    /// This time and a span, not after [`Timestamp::MAX`].
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.millis()).min(Self::MAX.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// Reads RFC 3339 (`2026-11-24T08:30:00Z`, with any offset) or a date (`2026-11-24`, midnight UTC).
impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.parse::<jiff::Timestamp>().or_else(|error| {
            // Of a date with a time but no offset jiff would take the date and drop the time.
            let date = if text.contains(['T', 't', ' ']) { Err(error) } else { text.parse().map_err(|_| error) };
            let date: jiff::civil::Date = date?;
            jiff::tz::TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0))
        });
        match parsed {
            Ok(time) => Self::from_millis(time.as_millisecond()),
            Err(_) => {
                Err(Error::invalid("time", format!("is \"{text}\", expected RFC 3339 like 2026-11-24T08:30:00Z")))
            }
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct TimestampVisitor;
        impl Visitor<'_> for TimestampVisitor {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time or whole milliseconds since 1970")
            }
            fn visit_i64<E: de::Error>(self, millis: i64) -> std::result::Result<Timestamp, E> {
                Timestamp::from_millis(millis).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, millis: u64) -> std::result::Result<Timestamp, E> {
                self.visit_i64(i64::try_from(millis).unwrap_or(i64::MAX))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }
        }
        if !deserializer.is_human_readable() {
            return Self::from_millis(i64::deserialize(deserializer)?).map_err(de::Error::custom);
        }
        deserializer.deserialize_any(TimestampVisitor)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "RFC 3339 time, or whole milliseconds since 1970-01-01T00:00:00Z",
            "oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]
        })
    }
}

/// A length of time. In text: a whole number and a unit, `90s`, `15m`, `12h`, `30d`, `2w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

const UNITS: [(&str, i64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Span {
    /// A span of whole days.
    pub const fn days(days: u32) -> Self {
        Self(days as i64 * 86_400_000)
    }

    /// A span of whole seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds as i64 * 1_000)
    }

    /// A span of whole milliseconds.
    pub const fn millis_of(millis: u32) -> Self {
        Self(millis as i64)
    }

    /// From a time to another; nothing if that is before it.
    pub fn between(from: Timestamp, until: Timestamp) -> Self {
        Self(until.0.saturating_sub(from.0).max(0))
    }

    /// So many times as long.
    pub const fn times(self, count: i64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// Its length in milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, millis)| self.0 % millis == 0) {
            Some((unit, millis)) => write!(f, "{}{unit}", self.0 / millis),
            None => write!(f, "{}ms", self.0),
        }
    }
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let millis = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
        match (number.parse::<i64>(), millis) {
            (Ok(number), Some(millis)) if number.checked_mul(millis).is_some() => Ok(Self(number * millis)),
            _ => Err(Error::invalid("", format!("is \"{text}\", expected a span like 90s, 15m, 12h, 30d or 2w"))),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A whole number and a unit: ms, s, m, h, d or w",
            "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d|w)$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_from_text_date_and_milliseconds() {
        let from = |json: &str| serde_json::from_str::<Timestamp>(json).unwrap().millis();
        assert_eq!(from("1700000000123"), 1_700_000_000_123);
        assert_eq!(from("\"2023-11-14T23:13:20.123+01:00\""), 1_700_000_000_123);
        assert_eq!(from("\"1932-01-01\""), -1_199_232_000_000);
        assert!(serde_json::from_str::<Timestamp>("9223372036854775807").is_err());
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
        assert!(serde_json::from_str::<Timestamp>("\"2023-11-14T23:13:20\"").is_err(), "no offset");
        assert!(serde_json::from_str::<Timestamp>("\"20231114T23\"").is_err(), "no offset");
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        let time = Timestamp::from_millis(1_700_000_000_120).unwrap();
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2023-11-14T22:13:20.120Z\"");
        assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
    }

    #[test]
    fn a_span_is_read_and_written_in_its_largest_unit() {
        for text in ["90s", "15m", "12h", "30d", "2w", "7ms"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["", "d", "1", "-1d", "1y", "99999999999999999999d", "9223372036854775807w"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
