//! How the items of an answer are to differ from each other.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const MAX_CANDIDATES: usize = 1_000;
/// Candidates for each item that is wanted, and the least number of them.
const CANDIDATES_EACH: usize = 10;
const FEWEST_CANDIDATES: usize = 100;

/// The order of an answer as a whole. The best candidates are found by their scores; then one after the other is chosen. At
/// most one of `mmr`, `dpp` and `calibration` says by what; without one, the order is that of the scores. An item keeps its
/// score, so scores no longer fall from place to place.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Diversity {
    /// Maximal marginal relevance: the weight, 0 to 1, of not being like an item before. Scores count on a scale from 1 for
    /// the best candidate to 0 for the last, likeness is the cosine of the items' vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mmr: Option<f64>,
    /// A determinantal point process: the weight, 0 to 1, of differing from all items before at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpp: Option<f64>,
    /// The mix of an attribute's values is to be that of the user's past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationTo>,
    /// Not more items than that with the same value of an attribute; items that fill up a short answer included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_per: Option<MaxPer>,
    /// Candidates to choose from; ten for each item that is wanted, at least 100, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
}

/// Calibration (Steck 2018).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibrationTo {
    /// The attribute; `categories` if absent.
    #[serde(default = "categories")]
    pub key: String,
    /// How much the mix counts beside the scores, 0 to 1.
    pub weight: f64,
}

/// A quota for each value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaxPer {
    /// The attribute, or `categories`.
    pub key: String,
    /// How many items of an answer may have the same value.
    pub limit: usize,
}

fn categories() -> String {
    super::CATEGORIES.into()
}

impl Diversity {
    /// Whether items stand by their scores, bounded or not.
    pub fn is_by_score(&self) -> bool {
        self.mmr.is_none() && self.dpp.is_none() && self.calibration.is_none()
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        let weights = [
            ("mmr", self.mmr),
            ("dpp", self.dpp),
            ("calibration.weight", self.calibration.as_ref().map(|calibration| calibration.weight)),
        ];
        let given = weights.iter().filter_map(|(name, weight)| Some((name, (*weight)?)));
        for (name, weight) in given.clone() {
            if !(0.0..=1.0).contains(&weight) {
                return Err(Error::invalid(format!("diversity.{name}"), format!("is {weight}, expected 0 to 1")));
            }
        }
        if given.count() > 1 {
            return Err(Error::invalid("diversity", "has more than one of mmr, dpp and calibration; name one"));
        }
        if self.max_per.as_ref().is_some_and(|quota| quota.limit == 0) {
            return Err(Error::invalid("diversity.max_per.limit", "is 0, expected at least 1"));
        }
        match self.candidates {
            Some(count) if !(1..=MAX_CANDIDATES).contains(&count) => {
                Err(Error::invalid("diversity.candidates", format!("is {count}, expected 1 to {MAX_CANDIDATES}")))
            }
            _ => Ok(()),
        }
    }

    /// The attributes whose values it asks for.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let calibrated = self.calibration.iter().map(|calibration| calibration.key.as_str());
        calibrated.chain(self.max_per.iter().map(|bound| bound.key.as_str()))
    }

    /// How many candidates an answer of `limit` items is chosen from.
    pub fn candidates(&self, limit: usize) -> usize {
        let usual = (CANDIDATES_EACH * limit).clamp(FEWEST_CANDIDATES, MAX_CANDIDATES);
        self.candidates.unwrap_or(usual).max(limit)
    }
}

impl fmt::Display for Diversity {
    /// In short, for reports: `mmr 0.3, at most 2 per brand`.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights = [("mmr", self.mmr), ("dpp", self.dpp)];
        let weights = weights.into_iter().filter_map(|(name, weight)| Some(format!("{name} {}", weight?)));
        let calibrated = self.calibration.iter().map(|to| format!("calibration {} to {}", to.weight, to.key));
        let bounded = self.max_per.iter().map(|bound| format!("at most {} per {}", bound.limit, bound.key));
        let parts: Vec<String> = weights.chain(calibrated).chain(bounded).collect();
        to.write_str(&if parts.is_empty() { "by score".into() } else { parts.join(", ") })
    }
}
