//! What people take next.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::Result;
use crate::record::Span;

/// What people take next: how often one item follows another within a visit, counted when a model is trained. Logs without
/// times have none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransitionsConfig {
    /// Items that are kept for each item; 0 counts nothing.
    pub neighbours: usize,
    /// A visit ends when so much time passes without an event, and where events name their session, with the session.
    pub gap: Span,
    /// So many following events count, the s-th one 1/s.
    pub steps: usize,
    /// After this span a transition counts half.
    pub half_life: Span,
    /// γ: what follows is divided by (its share of all transitions)^γ; 0 leaves popular items where they are, 1 tells lift.
    pub popularity_exponent: f64,
}

impl Default for TransitionsConfig {
    fn default() -> Self {
        Self {
            neighbours: 50,
            gap: Span::seconds(3600),
            steps: 3,
            half_life: Span::days(180),
            popularity_exponent: 0.5,
        }
    }
}

impl TransitionsConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("neighbours", self.neighbours as f64, 0.0..=10_000.0)?;
        check("steps", self.steps as f64, 1.0..=100.0)?;
        check("popularity_exponent", self.popularity_exponent, 0.0..=2.0)
    }
}
