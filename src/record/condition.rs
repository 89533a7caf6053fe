//! One condition on an item. An item's values under a key are those of the attribute of this name: one, or each of a list.
//! Two keys are built in: `categories`, the item's categories, and `time`, its publishing time, as milliseconds since 1970
//! and as a datetime. Dots in keys are part of the name.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Filter, Item, Timestamp, Value};
use crate::error::{Error, Result};

/// The key of an item's categories.
pub const CATEGORIES: &str = "categories";
/// The key of an item's publishing time.
pub const TIME: &str = "time";

const MAX_VALUES: usize = 1_024;
const MAX_IDS: usize = 65_536;

/// One condition.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Condition {
    /// `{"key": "brand", "match": {"value": "x"}}`
    Match(MatchCondition),
    /// `{"key": "price", "range": {"gte": 1, "lt": 5}}`
    Range(RangeCondition),
    /// `{"key": "sizes", "values_count": {"gte": 2}}`
    ValuesCount(ValuesCountCondition),
    /// `{"has_id": ["i1", "i2"]}`
    HasId(HasIdCondition),
    /// `{"is_empty": {"key": "brand"}}`: absent, or an empty list.
    IsEmpty(IsEmptyCondition),
    /// A filter inside a filter.
    Nested(Filter),
}

/// An attribute compared with given values.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchCondition {
    /// The attribute, or `categories`, or `time` (milliseconds since 1970).
    pub key: String,
    /// What it must equal.
    #[serde(rename = "match")]
    pub matches: Match,
}

/// What an attribute must equal. A list attribute matches when one of its values does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// Exactly this value.
    Value(Value),
    /// One of these values.
    Any(Vec<Value>),
    /// None of these values (and present).
    Except(Vec<Value>),
}

/// An attribute between bounds. Bounds are all numbers, or all datetimes; datetimes are compared with texts that are
/// datetimes or dates, and with `time`. A list attribute matches when one of its values does.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeCondition {
    /// The attribute, or `time`.
    pub key: String,
    /// The bounds.
    pub range: Range,
}

/// Bounds; absent ones do not bound.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Greater than, later than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gt: Option<Bound>,
    /// Greater than or equal to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gte: Option<Bound>,
    /// Less than, before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lt: Option<Bound>,
    /// Less than or equal to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lte: Option<Bound>,
}

/// One bound of a range.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Bound {
    /// A number; for `time`, milliseconds since 1970.
    Number(f64),
    /// A datetime, RFC 3339 (`2026-11-24T08:30:00Z`) or a date (`2026-11-24`, midnight UTC).
    Time(Timestamp),
}

/// How many values an attribute has: 0 when it is absent, 1 when it is no list.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValuesCountCondition {
    /// The attribute, or `categories`, or `time`.
    pub key: String,
    /// The bounds.
    pub values_count: CountRange,
}

/// Bounds of a count; absent ones do not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountRange {
    /// More than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gt: Option<u32>,
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gte: Option<u32>,
    /// Fewer than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lt: Option<u32>,
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lte: Option<u32>,
}

/// The item is one of these.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HasIdCondition {
    /// External item ids.
    pub has_id: BTreeSet<String>,
}

/// The attribute is absent or an empty list.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IsEmptyCondition {
    /// Which attribute.
    pub is_empty: KeyName,
}

/// Names an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyName {
    /// The attribute, or `categories`, or `time`.
    pub key: String,
}

impl Condition {
    pub(super) fn matches(&self, item: &Item) -> bool {
        match self {
            Self::Nested(filter) => filter.matches(item),
            Self::HasId(ids) => ids.has_id.contains(&item.id),
            Self::IsEmpty(empty) => values(item, &empty.is_empty.key).is_none_or(|values| values.is_empty()),
            Self::ValuesCount(ValuesCountCondition { key, values_count }) => {
                let count = values(item, key).map_or(0, |values| values.len() as u32);
                values_count.inclusive().is_some_and(|range| range.contains(&count))
            }
            Self::Match(MatchCondition { key, matches }) => {
                let values = values(item, key);
                let is_there = |wanted: &Value| values.as_ref().is_some_and(|values| values.contains(wanted));
                match matches {
                    Match::Value(wanted) => is_there(wanted),
                    Match::Any(wanted) => wanted.iter().any(is_there),
                    Match::Except(unwanted) => values.is_some() && !unwanted.iter().any(is_there),
                }
            }
            Self::Range(RangeCondition { key, range }) => values(item, key).is_some_and(|values| {
                values.iter().any(|value| match (range.is_of_times(), value) {
                    (true, Value::Number(millis)) if key == TIME => {
                        Timestamp::from_millis(*millis as i64).is_ok_and(|time| range.contains(Bound::Time(time)))
                    }
                    (true, value) => value.as_time().is_some_and(|time| range.contains(Bound::Time(time))),
                    (false, value) => value.as_number().is_some_and(|number| range.contains(Bound::Number(number))),
                })
            }),
        }
    }

    /// How many values it matches against.
    pub(super) fn values(&self) -> usize {
        match self {
            Self::Match(MatchCondition { matches: Match::Any(values) | Match::Except(values), .. }) => values.len(),
            _ => 1,
        }
    }

    /// Checks sizes and bounds; the error names the field.
    pub(super) fn validate(&self) -> Result<()> {
        let (field, listed, most) = match self {
            Self::HasId(ids) => ("has_id", ids.has_id.len(), MAX_IDS),
            Self::Match(MatchCondition { matches: Match::Any(values), .. }) => ("match.any", values.len(), MAX_VALUES),
            Self::Match(MatchCondition { matches: Match::Except(values), .. }) => {
                ("match.except", values.len(), MAX_VALUES)
            }
            Self::Range(RangeCondition { range, .. }) => {
                return range.validate().map_err(|error| error.within("range"));
            }
            _ => return Ok(()),
        };
        if listed > most {
            return Err(Error::invalid(field, format!("lists {listed} values, expected at most {most}")));
        }
        Ok(())
    }
}

/// An item's values under a key; `None` where it has none, not even an empty list.
fn values<'a>(item: &'a Item, key: &str) -> Option<Cow<'a, [Value]>> {
    match key {
        CATEGORIES if item.categories.is_empty() => None,
        CATEGORIES => Some(item.categories.iter().cloned().map(Value::Text).collect()),
        TIME => item.time.map(|time| Cow::Owned(vec![Value::Number(time.millis() as f64)])),
        key => item.attributes.get(key).map(|value| Cow::Borrowed(value.each())),
    }
}

impl Range {
    /// Whether the bounds are datetimes.
    pub fn is_of_times(&self) -> bool {
        self.bounds().any(|bound| matches!(bound, Bound::Time(_)))
    }

    fn bounds(&self) -> impl Iterator<Item = Bound> {
        [self.gt, self.gte, self.lt, self.lte].into_iter().flatten()
    }

    /// Nothing is in a range whose bounds are of the other kind.
    fn contains(&self, value: Bound) -> bool {
        let is_time = |bound| matches!(bound, Bound::Time(_));
        self.bounds().all(|bound| is_time(bound) == is_time(value))
            && self.gt.is_none_or(|bound| value > bound)
            && self.gte.is_none_or(|bound| value >= bound)
            && self.lt.is_none_or(|bound| value < bound)
            && self.lte.is_none_or(|bound| value <= bound)
    }

    fn validate(&self) -> Result<()> {
        if self.is_of_times() && self.bounds().any(|bound| matches!(bound, Bound::Number(_))) {
            return Err(Error::invalid("", "mixes numbers and datetimes, expected bounds of one kind"));
        }
        for (name, bound) in [("gt", self.gt), ("gte", self.gte), ("lt", self.lt), ("lte", self.lte)] {
            if matches!(bound, Some(Bound::Number(number)) if !number.is_finite()) {
                return Err(Error::invalid(name, "is not a finite number"));
            }
        }
        Ok(())
    }
}

impl CountRange {
    /// The counts between the bounds; `None` if there are none.
    pub fn inclusive(&self) -> Option<RangeInclusive<u32>> {
        let above = self.gt.map_or(Some(0), |bound| bound.checked_add(1))?;
        let below = self.lt.map_or(Some(u32::MAX), |bound| bound.checked_sub(1))?;
        let range = above.max(self.gte.unwrap_or(0))..=below.min(self.lte.unwrap_or(u32::MAX));
        (!range.is_empty()).then_some(range)
    }
}

impl From<f64> for Bound {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}
impl From<Timestamp> for Bound {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct BoundVisitor;
        impl Visitor<'_> for BoundVisitor {
            type Value = Bound;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a datetime (RFC 3339 like 2026-11-24T08:30:00Z)")
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> std::result::Result<Bound, E> {
                Ok(Bound::Number(number))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> std::result::Result<Bound, E> {
                Ok(Bound::Number(number as f64))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> std::result::Result<Bound, E> {
                Ok(Bound::Number(number as f64))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Bound, E> {
                text.parse().map(Bound::Time).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(BoundVisitor)
    }
}

/// All fields that a condition may have. Read at once, so that an error names the field: of an untagged enum it would
/// say no more than that nothing fits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, deserialize_with = "there")]
    key: Option<String>,
    #[serde(default, rename = "match", deserialize_with = "there")]
    matches: Option<Match>,
    #[serde(default, deserialize_with = "there")]
    range: Option<Range>,
    #[serde(default, deserialize_with = "there")]
    values_count: Option<CountRange>,
    #[serde(default, deserialize_with = "there")]
    has_id: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "there")]
    is_empty: Option<KeyName>,
    #[serde(default, deserialize_with = "there")]
    must: Option<Vec<Condition>>,
    #[serde(default, deserialize_with = "there")]
    should: Option<Vec<Condition>>,
    #[serde(default, deserialize_with = "there")]
    must_not: Option<Vec<Condition>>,
}

/// A field that is there has a value: `null` is none.
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let Fields { key, matches, range, values_count, has_id, is_empty, must, should, must_not } =
            Fields::deserialize(deserializer)?;
        let is_nested = must.is_some() || should.is_some() || must_not.is_some();
        match (key, matches, range, values_count, has_id, is_empty, is_nested) {
            (Some(key), Some(matches), None, None, None, None, false) => {
                Ok(Self::Match(MatchCondition { key, matches }))
            }
            (Some(key), None, Some(range), None, None, None, false) => Ok(Self::Range(RangeCondition { key, range })),
            (Some(key), None, None, Some(values_count), None, None, false) => {
                Ok(Self::ValuesCount(ValuesCountCondition { key, values_count }))
            }
            (None, None, None, None, Some(has_id), None, false) => Ok(Self::HasId(HasIdCondition { has_id })),
            (None, None, None, None, None, Some(is_empty), false) => Ok(Self::IsEmpty(IsEmptyCondition { is_empty })),
            (None, None, None, None, None, None, _) => {
                let [must, should, must_not] = [must, should, must_not].map(Option::unwrap_or_default);
                Ok(Self::Nested(Filter { must, should, must_not }))
            }
            _ => Err(de::Error::custom(
                "is no condition: expected a key with one of match, range and values_count, or has_id, or is_empty, or \
                 must, should and must_not",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_is_wrong() {
        let error = |condition: &str| serde_json::from_str::<Condition>(condition).unwrap_err().to_string();
        assert!(error(r#"{"key":"a","mach":{"value":1}}"#).contains("unknown field `mach`"));
        assert!(
            error(r#"{"key":"a","range":{"gte":"soon"}}"#)
                .contains(r#"string "soon", expected a number or a datetime"#)
        );
        assert!(error(r#"{"key":"a"}"#).contains("is no condition"));
        assert!(error(r#"{"match":{"value":1}}"#).contains("is no condition"));
        assert!(error(r#"{"key":"a","match":{"value":1},"range":{}}"#).contains("is no condition"));
        assert!(error(r#"{"key":"a","values_count":{"gt":-1}}"#).contains("expected u32"));
        assert!(error(r#"{"must":[],"should":null}"#).contains("null"));
    }

    #[test]
    fn a_condition_is_written_as_it_is_read() {
        for condition in [
            r#"{"key":"a","match":{"any":["x",1.0,true]}}"#,
            r#"{"key":"a","range":{"gte":1.5,"lt":2.0}}"#,
            r#"{"key":"a","range":{"gt":"2026-11-24T08:30:00.000Z"}}"#,
            r#"{"key":"a","values_count":{"lte":2}}"#,
            r#"{"has_id":["i1"]}"#,
            r#"{"is_empty":{"key":"a"}}"#,
            r#"{"must_not":[{"has_id":["i1"]}]}"#,
        ] {
            let read: Condition = serde_json::from_str(condition).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), condition);
        }
    }

    #[test]
    fn counts_are_between_their_bounds() {
        let range = |gt, gte, lt, lte| CountRange { gt, gte, lt, lte }.inclusive();
        assert_eq!(range(None, None, None, None), Some(0..=u32::MAX));
        assert_eq!(range(Some(1), Some(1), Some(5), Some(9)), Some(2..=4));
        assert_eq!(range(None, Some(3), Some(3), None), None);
        assert_eq!(range(None, None, Some(0), None), None);
        assert_eq!(range(Some(u32::MAX), None, None, None), None);
    }
}
