//! The filter language: Qdrant's `must`, `should`, `must_not` over item attributes. Two keys are built in: `categories`
//! and `time`; every other key names an attribute. Dots in keys are part of the name.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Item, Value};
use crate::error::{Error, Result};

const MAX_CONDITIONS: usize = 256;
const MAX_DEPTH: usize = 8;
const MAX_VALUES: usize = 1_024;
const MAX_IDS: usize = 65_536;

/// Conditions on an item: all of `must`, at least one of `should` (if there are any), none of `must_not`.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// All of these hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must: Vec<Condition>,
    /// At least one of these holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub should: Vec<Condition>,
    /// None of these holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_not: Vec<Condition>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Condition {
    /// `{"key": "brand", "match": {"value": "x"}}`
    Match(MatchCondition),
    /// `{"key": "price", "range": {"gte": 1, "lt": 5}}`
    Range(RangeCondition),
    /// `{"has_id": ["i1", "i2"]}`
    HasId(HasIdCondition),
    /// `{"is_empty": {"key": "brand"}}`: absent, or an empty list.
    IsEmpty(IsEmptyCondition),
    /// A filter inside a filter.
    Nested(Filter),
}

/// An attribute compared with given values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchCondition {
    /// The attribute, or `categories`.
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

/// A numeric attribute (or `time`) between bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeCondition {
    /// The attribute, or `time` (milliseconds since 1970).
    pub key: String,
    /// The bounds.
    pub range: Range,
}

/// Bounds; absent ones do not bound.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Greater than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gt: Option<f64>,
    /// Greater than or equal to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gte: Option<f64>,
    /// Less than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lt: Option<f64>,
    /// Less than or equal to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lte: Option<f64>,
}

/// The item is one of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HasIdCondition {
    /// External item ids.
    pub has_id: BTreeSet<String>,
}

/// The attribute is absent or an empty list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

impl Filter {
    /// The items of one category.
    pub fn category(name: impl Into<String>) -> Self {
        let matches = Match::Value(Value::Text(name.into()));
        Self { must: vec![Condition::Match(MatchCondition { key: "categories".into(), matches })], ..Self::default() }
    }

    /// Whether there is no condition at all.
    pub fn is_empty(&self) -> bool {
        self.must.is_empty() && self.should.is_empty() && self.must_not.is_empty()
    }

    /// Whether the item fulfils the conditions.
    pub fn matches(&self, item: &Item) -> bool {
        self.must.iter().all(|condition| condition.matches(item))
            && (self.should.is_empty() || self.should.iter().any(|condition| condition.matches(item)))
            && !self.must_not.iter().any(|condition| condition.matches(item))
    }

    /// Checks sizes and depth, so that a hostile filter cannot cost more than a bounded amount per item.
    pub fn validate(&self) -> Result<()> {
        let mut conditions = 0;
        self.validate_at(1, &mut conditions).map_err(|error| error.within("filter"))
    }

    fn validate_at(&self, depth: usize, conditions: &mut usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::invalid("", format!("is nested deeper than {MAX_DEPTH}")));
        }
        for condition in self.must.iter().chain(&self.should).chain(&self.must_not) {
            *conditions += 1;
            if *conditions > MAX_CONDITIONS {
                return Err(Error::invalid("", format!("has more than {MAX_CONDITIONS} conditions")));
            }
            let (values, most) = match condition {
                Condition::Nested(filter) => {
                    filter.validate_at(depth + 1, conditions)?;
                    continue;
                }
                Condition::HasId(ids) => (ids.has_id.len(), MAX_IDS),
                Condition::Match(MatchCondition { matches: Match::Any(values) | Match::Except(values), .. }) => {
                    (values.len(), MAX_VALUES)
                }
                _ => continue,
            };
            if values > most {
                return Err(Error::invalid("", format!("lists {values} values, expected at most {most}")));
            }
        }
        Ok(())
    }
}

impl Condition {
    fn matches(&self, item: &Item) -> bool {
        match self {
            Self::Nested(filter) => filter.matches(item),
            Self::HasId(ids) => ids.has_id.contains(&item.id),
            Self::IsEmpty(empty) => match empty.is_empty.key.as_str() {
                "categories" => item.categories.is_empty(),
                "time" => item.time.is_none(),
                key => item.attributes.get(key).is_none_or(|value| value.each().is_empty()),
            },
            Self::Match(MatchCondition { key, matches }) if key == "categories" => matches
                .holds(!item.categories.is_empty(), |wanted| {
                    wanted.as_text().is_some_and(|text| item.categories.iter().any(|category| category == text))
                }),
            Self::Match(MatchCondition { key, matches }) => {
                let value = item.attributes.get(key);
                matches.holds(value.is_some(), |wanted| value.is_some_and(|value| value.each().contains(wanted)))
            }
            Self::Range(RangeCondition { key, range }) if key == "time" => {
                item.time.is_some_and(|time| range.contains(time.millis() as f64))
            }
            Self::Range(RangeCondition { key, range }) => item
                .attributes
                .get(key)
                .is_some_and(|value| value.each().iter().any(|v| v.as_number().is_some_and(|n| range.contains(n)))),
        }
    }
}

impl Match {
    fn holds(&self, present: bool, equals: impl Fn(&Value) -> bool) -> bool {
        match self {
            Self::Value(wanted) => equals(wanted),
            Self::Any(wanted) => wanted.iter().any(equals),
            Self::Except(unwanted) => present && !unwanted.iter().any(equals),
        }
    }
}

impl Range {
    fn contains(&self, number: f64) -> bool {
        self.gt.is_none_or(|bound| number > bound)
            && self.gte.is_none_or(|bound| number >= bound)
            && self.lt.is_none_or(|bound| number < bound)
            && self.lte.is_none_or(|bound| number <= bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(filter: &str) -> bool {
        let item = r#"{"id":"i1","categories":["shoes"],"time":1000,
            "attributes":{"brand":"ape","price":9.5,"sizes":[41,42],"none":[]}}"#;
        let filter: Filter = serde_json::from_str(filter).unwrap();
        filter.matches(&serde_json::from_str(item).unwrap())
    }

    #[test]
    fn each_condition_holds_and_fails_where_it_should() {
        assert!(holds(r#"{}"#));
        assert!(holds(
            r#"{"must":[{"key":"brand","match":{"value":"ape"}},{"key":"price","range":{"gte":9.5,"lt":10}}]}"#
        ));
        assert!(!holds(r#"{"must":[{"key":"price","range":{"gt":9.5}}]}"#));
        assert!(holds(r#"{"must":[{"key":"sizes","match":{"any":[42,43]}}]}"#));
        assert!(!holds(r#"{"must":[{"key":"sizes","match":{"except":[42]}}]}"#));
        assert!(!holds(r#"{"must":[{"key":"absent","match":{"except":[42]}}]}"#));
        assert!(holds(r#"{"should":[{"key":"brand","match":{"value":"bee"}},{"has_id":["i1"]}]}"#));
        assert!(!holds(r#"{"must_not":[{"key":"categories","match":{"value":"shoes"}}]}"#));
        assert!(holds(r#"{"must":[{"is_empty":{"key":"none"}},{"is_empty":{"key":"absent"}}]}"#));
        assert!(holds(r#"{"must":[{"key":"time","range":{"lte":1000}}]}"#));
        assert!(holds(r#"{"must":[{"must_not":[{"key":"brand","match":{"value":"bee"}}]}]}"#));
    }

    #[test]
    fn a_misspelt_condition_is_refused() {
        assert!(serde_json::from_str::<Filter>(r#"{"must":[{"key":"a","mach":{"value":1}}]}"#).is_err());
        assert!(serde_json::from_str::<Filter>(r#"{"most":[]}"#).is_err());
    }

    #[test]
    fn a_filter_nested_too_deep_is_refused() {
        let mut filter = Filter::category("x");
        for _ in 0..MAX_DEPTH {
            filter = Filter { must: vec![Condition::Nested(filter)], ..Filter::default() };
        }
        assert!(filter.validate().unwrap_err().to_string().contains("nested deeper"));
    }
}
