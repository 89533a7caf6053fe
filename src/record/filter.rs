//! The filter language: Qdrant's `must`, `should`, `must_not` over item attributes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::CATEGORIES;
use super::{Condition, Item, Match, MatchCondition, Value};
use crate::error::{Error, Result};

const MAX_CONDITIONS: usize = 256;
const MAX_DEPTH: usize = 8;
/// Values that are matched, in all conditions together.
const MAX_VALUES: usize = 4_096;

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

impl Filter {
    /// The items of one category.
    pub fn category(name: impl Into<String>) -> Self {
        let matches = Match::Value(Value::Text(name.into()));
        Self { must: vec![Condition::Match(MatchCondition { key: CATEGORIES.into(), matches })], ..Self::default() }
    }

    /// The items that pass this filter and belong to a category, if one is given.
    pub fn in_category(self, category: Option<&str>) -> Self {
        let Some(category) = category else { return self };
        let mut both = Self::category(category);
        if !self.is_empty() {
            both.must.push(Condition::Nested(self));
        }
        both
    }

    /// Whether there is no condition at all.
    pub fn is_empty(&self) -> bool {
        self.must.is_empty() && self.should.is_empty() && self.must_not.is_empty()
    }

    /// Whether the item fulfils the conditions: what the language means. Answers are made with bitmaps from the item
    /// index, which say the same.
    pub fn matches(&self, item: &Item) -> bool {
        self.must.iter().all(|condition| condition.matches(item))
            && (self.should.is_empty() || self.should.iter().any(|condition| condition.matches(item)))
            && !self.must_not.iter().any(|condition| condition.matches(item))
    }

    /// Checks sizes, depth and bounds, so that the work for a hostile filter is bounded. The error names the field.
    pub fn validate(&self) -> Result<()> {
        self.validate_at(1, &mut Size::default()).map_err(|error| error.within("filter"))
    }

    fn validate_at(&self, depth: usize, size: &mut Size) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::invalid("", format!("is nested deeper than {MAX_DEPTH}")));
        }
        for (name, clause) in [("must", &self.must), ("should", &self.should), ("must_not", &self.must_not)] {
            for (place, condition) in clause.iter().enumerate() {
                size.conditions += 1;
                size.values += condition.values();
                if size.conditions > MAX_CONDITIONS {
                    return Err(Error::invalid("", format!("has more than {MAX_CONDITIONS} conditions")));
                }
                if size.values > MAX_VALUES {
                    return Err(Error::invalid("", format!("has more than {MAX_VALUES} values in all")));
                }
                let checked = match condition {
                    Condition::Nested(filter) => filter.validate_at(depth + 1, size),
                    condition => condition.validate(),
                };
                checked.map_err(|error| error.within(&format!("{name}[{place}]")))?;
            }
        }
        Ok(())
    }
}

/// How large a filter is, as far as it has been looked at.
#[derive(Default)]
struct Size {
    conditions: usize,
    values: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(filter: &str) -> bool {
        let item = r#"{"id":"i1","categories":["shoes"],"time":1000,
            "attributes":{"brand":"ape","price":9.5,"sizes":[41,42],"none":[],
                "sold":"2024-02-29T12:00:00+02:00","days":["2020-01-01","soon"]}}"#;
        let filter: Filter = serde_json::from_str(filter).unwrap();
        filter.validate().unwrap();
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
        assert!(holds(
            r#"{"must":[{"key":"sizes","values_count":{"gt":1}},{"key":"absent","values_count":{"lt":1}}]}"#
        ));
        assert!(!holds(r#"{"must":[{"key":"price","values_count":{"gte":2}}]}"#));
    }

    #[test]
    fn datetimes_bound_times_and_texts_that_are_some() {
        assert!(holds(r#"{"must":[{"key":"sold","range":{"gte":"2024-02-29T10:00:00Z","lt":"2024-03-01"}}]}"#));
        assert!(!holds(r#"{"must":[{"key":"sold","range":{"gt":"2024-02-29T10:00:00Z"}}]}"#));
        assert!(holds(r#"{"must":[{"key":"days","range":{"lte":"2020-01-01"}}]}"#));
        assert!(holds(r#"{"must":[{"key":"time","range":{"gte":"1970-01-01T00:00:01Z"}}]}"#));
        assert!(!holds(r#"{"must":[{"key":"price","range":{"gte":"1970-01-01"}}]}"#), "a number is no datetime");
        assert!(!holds(r#"{"must":[{"key":"sold","range":{"gte":0}}]}"#), "a datetime is no number");
    }

    #[test]
    fn a_misspelt_clause_is_refused() {
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

    #[test]
    fn a_refusal_names_the_field() {
        let refusal =
            |filter: &str| serde_json::from_str::<Filter>(filter).unwrap().validate().unwrap_err().to_string();
        assert_eq!(
            refusal(r#"{"must":[{"should":[{"key":"a","range":{"gt":1,"lt":"2026-01-01"}}]}]}"#),
            "filter.must[0].should[0].range: mixes numbers and datetimes, expected bounds of one kind"
        );
        let many = serde_json::to_string(&vec![1; 1025]).unwrap();
        assert!(
            refusal(&format!(r#"{{"must_not":[{{"key":"a","match":{{"any":{many}}}}}]}}"#))
                .starts_with("filter.must_not[0].match.any: lists 1025 values")
        );
        let some = serde_json::to_string(&vec![1; 1024]).unwrap();
        let five = format!(r#"{{"key":"a","match":{{"except":{some}}}}},"#).repeat(5);
        assert_eq!(
            refusal(&format!(r#"{{"should":[{{"must":[{}]}}]}}"#, five.trim_end_matches(','))),
            "filter.should[0]: has more than 4096 values in all"
        );
    }
}
