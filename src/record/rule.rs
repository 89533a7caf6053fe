//! The rules of a scenario, as they are written down. What they do is in `recommend::rules`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scenario::knows;
use super::{EditorialList, Filter, MaxPer, Span, validate_id};
use crate::error::{Error, Result};

const MAX_NAME: usize = 64;
/// The last position of the longest answer, its pages included.
const MAX_POSITION: usize = 999;
const MAX_FACTOR: f64 = 1e6;

/// One rule, by the word under `rule`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum RuleSpec {
    /// Items that fulfil a filter come sooner, or later.
    Boost(Boost),
    /// Items that fulfil a filter come after all others.
    Bury(FilterRule),
    /// An item stands at a position.
    Pin(Pin),
    /// Items that fulfil a filter are not shown.
    Exclude(FilterRule),
    /// Only items that were published lately are shown.
    OnlyNew(WithinRule),
    /// An item that was shown so often without an event of the user is not shown.
    FrequencyCap(FrequencyCap),
    /// An item that was shown lately is not shown.
    NoRepeat(WithinRule),
    /// So many items at most have the same value of an attribute.
    MaxPer(MaxPerRule),
    /// Positions belong to an editorial list.
    Slot(Slot),
}

/// Items that fulfil a filter come sooner (or later, with a factor below 1). Scores are taken on the scale of their standard
/// deviation among the candidates, as the logarithm of odds, and the factor multiplies the odds: 2 lifts by 0.7 deviations,
/// 10 by 2.3. An item keeps its score in the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Boost {
    /// How answers call it: `boost:NAME`; the number of the rule if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which items.
    pub filter: Filter,
    /// By how much.
    pub factor: f64,
}

/// A rule that says nothing but which items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterRule {
    /// How answers call it, behind the word of the rule; its number if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which items.
    pub filter: Filter,
}

/// An item at a position, unless it may not be shown at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// How answers call it: `pin:NAME`; the number of the rule if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// External id.
    pub item: String,
    /// Counted from 0, over all pages; where two are pinned to one, the second takes the next that is free.
    pub position: usize,
}

/// A rule that says nothing but how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithinRule {
    /// How answers call it, behind the word of the rule; its number if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far back.
    pub within: Span,
}

/// How often an item may be shown in vain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrequencyCap {
    /// How answers call it: `frequency_cap:NAME`; the number of the rule if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// So often, counted since the user's last event with the item.
    pub shown: u32,
    /// How far back showings count.
    pub within: Span,
}

/// A quota for each value of an attribute, for all items but pinned ones; these count, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaxPerRule {
    /// How `explain` calls it: `max_per:NAME`; the number of the rule if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The attribute, or `categories`.
    pub key: String,
    /// How many items of an answer may have the same value.
    pub limit: usize,
}

/// Positions that belong to an editorial list, as long as it is shown: each takes the list's next item that may be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// How answers call it: `slot:NAME`; the list's name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The list, one of `lists`.
    pub list: String,
    /// Counted from 0, over all pages.
    pub positions: Vec<usize>,
}

impl RuleSpec {
    /// How an answer calls it, where it is the `number`-th of its list.
    pub fn label(&self, number: usize) -> String {
        let number = || number.to_string();
        let (word, name) = match self {
            Self::Boost(rule) => ("boost", rule.name.clone().unwrap_or_else(number)),
            Self::Bury(rule) => ("bury", rule.name.clone().unwrap_or_else(number)),
            Self::Pin(rule) => ("pin", rule.name.clone().unwrap_or_else(number)),
            Self::Exclude(rule) => ("exclude", rule.name.clone().unwrap_or_else(number)),
            Self::OnlyNew(rule) => ("only_new", rule.name.clone().unwrap_or_else(number)),
            Self::FrequencyCap(rule) => ("frequency_cap", rule.name.clone().unwrap_or_else(number)),
            Self::NoRepeat(rule) => ("no_repeat", rule.name.clone().unwrap_or_else(number)),
            Self::MaxPer(rule) => ("max_per", rule.name.clone().unwrap_or_else(number)),
            Self::Slot(rule) => ("slot", rule.name.clone().unwrap_or_else(|| rule.list.clone())),
        };
        format!("{word}:{name}")
    }

    /// Checks every field; the error names the first that is wrong.
    pub(super) fn validate(&self, lists: &BTreeMap<String, EditorialList>) -> Result<()> {
        match self {
            Self::Boost(rule) => rule.validate(),
            Self::Bury(rule) | Self::Exclude(rule) => {
                validate_name(&rule.name)?;
                validate_filter(&rule.filter)
            }
            Self::Pin(rule) => rule.validate(),
            Self::OnlyNew(rule) | Self::NoRepeat(rule) => {
                validate_name(&rule.name)?;
                validate_within(rule.within)
            }
            Self::FrequencyCap(rule) => {
                validate_name(&rule.name)?;
                if rule.shown == 0 {
                    return Err(Error::invalid("shown", "is 0, expected at least 1"));
                }
                validate_within(rule.within)
            }
            Self::MaxPer(rule) => {
                validate_name(&rule.name)?;
                validate_id("key", &rule.key)?;
                if rule.limit == 0 { Err(Error::invalid("limit", "is 0, expected at least 1")) } else { Ok(()) }
            }
            Self::Slot(rule) => {
                validate_name(&rule.name)?;
                knows(lists, &rule.list).map_err(|error| error.within("list"))?;
                let mut positions = rule.positions.iter().enumerate();
                positions.try_for_each(|(place, position)| validate_position(&format!("positions[{place}]"), *position))
            }
        }
    }
}

impl Boost {
    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        validate_name(&self.name)?;
        if !(self.factor > 0.0 && self.factor <= MAX_FACTOR && self.factor.recip() <= MAX_FACTOR) {
            let reason = format!("is {}, expected {} to {MAX_FACTOR}", self.factor, MAX_FACTOR.recip());
            return Err(Error::invalid("factor", reason));
        }
        validate_filter(&self.filter)
    }
}

impl Pin {
    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        validate_name(&self.name)?;
        validate_id("item", &self.item)?;
        validate_position("position", self.position)
    }
}

impl MaxPerRule {
    /// The bound alone.
    pub fn bound(&self) -> MaxPer {
        MaxPer { key: self.key.clone(), limit: self.limit }
    }
}

fn validate_name(name: &Option<String>) -> Result<()> {
    match name {
        Some(name) if !(1..=MAX_NAME).contains(&name.len()) => {
            Err(Error::invalid("name", format!("has {} bytes, expected 1 to {MAX_NAME}", name.len())))
        }
        _ => Ok(()),
    }
}

/// A filter that everything passes is a mistake here.
fn validate_filter(filter: &Filter) -> Result<()> {
    if filter.is_empty() { Err(Error::invalid("filter", "has no condition")) } else { filter.validate() }
}

fn validate_position(field: &str, position: usize) -> Result<()> {
    if position <= MAX_POSITION {
        return Ok(());
    }
    Err(Error::invalid(field, format!("is {position}, expected 0 to {MAX_POSITION}")))
}

fn validate_within(within: Span) -> Result<()> {
    if within.millis() > 0 { Ok(()) } else { Err(Error::invalid("within", "is no time, expected a span like 7d")) }
}
