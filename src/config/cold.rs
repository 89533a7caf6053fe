//! How those without events are placed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::{Error, Result};

/// How metadata and profiles become vectors for items and users without events. Maps are learned beside every model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ColdConfig {
    /// Categories, values and words that become columns at most, the most frequent first; 0 learns no maps.
    pub terms: usize,
    /// Texts are projected on so many leading directions of their TF-IDF (latent semantic analysis) in place of columns for their
    /// words; 0: words are columns.
    pub text_directions: usize,
    /// Target statistics of attributes with many values, the 64 whose repeated values the most items have: the mean logarithm of the
    /// number of pairs of the items with the same value, drawn to the mean of all as by so many items; 0: none.
    pub statistics_prior: f64,
    /// The L2 penalty of a coefficient, in the unit of a known item's mean weight; 0 chooses it on held-out items.
    pub ridge: f64,
}

impl Default for ColdConfig {
    fn default() -> Self {
        Self { terms: 1024, text_directions: 0, statistics_prior: 0.0, ridge: 0.0 }
    }
}

impl ColdConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("terms", self.terms as f64, 0.0..=8192.0)?;
        check("text_directions", self.text_directions as f64, 0.0..=256.0)?;
        check("statistics_prior", self.statistics_prior, 0.0..=1e6)?;
        if self.statistics_prior > 0.0 && (self.statistics_prior as f32) == 0.0 {
            return Err(Error::invalid("statistics_prior", format!("is {}, too small", self.statistics_prior)));
        }
        check("ridge", self.ridge, 0.0..=1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prior_that_single_precision_rounds_to_none_is_refused() {
        let of = |statistics_prior| ColdConfig { statistics_prior, ..ColdConfig::default() }.validate();
        assert!(of(1e-50).unwrap_err().to_string().contains("statistics_prior"));
        assert!(of(0.0).is_ok() && of(1e-6).is_ok());
    }
}
