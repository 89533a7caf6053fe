//! How candidates are put in order: by the model that finds them, or by a second one that knows their features, too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::{Error, Result};

/// The ranker: a small network over scores and features that orders what retrieval has found. It is learned with every
/// training that has enough to learn from, and kept out unless it has ordered held-out time better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RankerConfig {
    /// Whether one is learned and asked.
    pub enabled: bool,
    /// How many candidates retrieval gives it.
    pub candidates: usize,
    /// So many of them, a tenth at most, may be what people take next after what somebody did last and what retrieval does not find
    /// among its first; 0: retrieval alone finds candidates.
    pub next: usize,
    /// Widths of the hidden layers; the linear model beside them is learned in any case.
    pub hidden: Vec<usize>,
    /// Passes over the questions, unless the loss on held-out time stops falling before.
    pub epochs: usize,
    /// After so many passes without a lower loss on held-out time, training ends.
    pub patience: usize,
    /// Step size of Adam.
    pub learning_rate: f64,
    /// Weight of the L2 penalty, decoupled from the step (AdamW).
    pub l2: f64,
    /// The share of hidden units that is left out of each step.
    pub dropout: f64,
    /// Candidates drawn beside the positives of a question.
    pub negatives: usize,
    /// How much less is looked at further down: an item at place p of an answer, from 1, with probability p^−η. What was taken
    /// there says more, by the inverse of it (Joachims et al., WSDM 2017), ten times at most; events without a position count as
    /// one. 0: place does not matter.
    pub position_bias: f64,
    /// Users of held-out time below which there is too little to judge by.
    pub fewest_users: usize,
    /// Answers to somebody of whom fewer liked items are known stay in the order of retrieval; absent: as many as were known of all
    /// but the lowest twentieth of those that it was learned from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_pairs: Option<usize>,
    /// Seed of initial weights, draws and dropout.
    pub seed: u64,
}

impl Default for RankerConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            candidates: 500,
            next: 0,
            hidden: vec![32, 16],
            epochs: 40,
            patience: 5,
            learning_rate: 0.002,
            l2: 0.01,
            dropout: 0.2,
            negatives: 64,
            position_bias: 0.5,
            fewest_users: 50,
            least_pairs: None,
            seed: 42,
        }
    }
}

impl RankerConfig {
    /// Checks every value; the error names the first that is wrong.
    pub(crate) fn validate(&self) -> Result<()> {
        check("candidates", self.candidates as f64, 1.0..=10_000.0)?;
        // With more, retrieval's own first would make room, and the gate would judge by a worse retrieval than the one that serves.
        let most = self.candidates / 10;
        if self.next > most {
            let reason = format!("is {}, expected at most {most}: a tenth of `candidates`", self.next);
            return Err(Error::invalid("next", reason));
        }
        if self.hidden.len() > 4 {
            return Err(Error::invalid("hidden", format!("names {} layers, expected at most 4", self.hidden.len())));
        }
        self.hidden.iter().try_for_each(|width| check("hidden", *width as f64, 1.0..=1024.0))?;
        check("epochs", self.epochs as f64, 1.0..=10_000.0)?;
        check("patience", self.patience as f64, 1.0..=10_000.0)?;
        check("learning_rate", self.learning_rate, 1e-8..=1.0)?;
        check("l2", self.l2, 0.0..=1e3)?;
        check("dropout", self.dropout, 0.0..=0.95)?;
        check("position_bias", self.position_bias, 0.0..=4.0)?;
        check("negatives", self.negatives as f64, 1.0..=10_000.0)?;
        check("least_pairs", self.least_pairs.unwrap_or(0) as f64, 0.0..=1e6)?;
        check("fewest_users", self.fewest_users as f64, 1.0..=1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next_has_a_tenth_of_the_candidates_at_most() {
        let of = |candidates, next| RankerConfig { candidates, next, ..RankerConfig::default() }.validate();
        assert!(of(500, 50).is_ok() && of(9, 0).is_ok());
        for (candidates, next) in [(500, 51), (9, 1)] {
            assert!(of(candidates, next).unwrap_err().to_string().contains("next"));
        }
    }
}
