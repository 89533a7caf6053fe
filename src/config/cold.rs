//! How those without events are placed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::Result;

/// How metadata and profiles become vectors for items and users without events. Maps are learned beside every model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ColdConfig {
    /// Categories, values and words that become columns at most, the most frequent first; 0 learns no maps.
    pub terms: usize,
    /// The L2 penalty of a coefficient, in the unit of a known item's mean weight; 0 chooses it on held-out items.
    pub ridge: f64,
}

impl Default for ColdConfig {
    fn default() -> Self {
        Self { terms: 1024, ridge: 0.0 }
    }
}

impl ColdConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("terms", self.terms as f64, 0.0..=8192.0)?;
        check("ridge", self.ridge, 0.0..=1e9)
    }
}
