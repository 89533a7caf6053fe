//! The settings of factors by stochastic gradient descent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::{Error, Result};

/// The most scores of pairs and negatives in a minibatch, and the most numbers of its rows of factors: 16 MB each.
const MOST_NUMBERS: usize = 4_000_000;

/// Factors by stochastic gradient descent over positive pairs and sampled negatives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SgdConfig {
    /// Length of the factors.
    pub dimension: usize,
    /// Passes over all pairs.
    pub epochs: usize,
    /// Step size of the first pass; it falls linearly to a tenth, and each row's by its own past gradients (Adagrad).
    pub learning_rate: f64,
    /// Passes over which the step size falls; 0 takes all of them.
    pub decay_epochs: usize,
    /// Weight of the L2 penalty, for each time that a row is in a minibatch; 0 chooses .003 for `bpr`, .02 for `softmax`.
    pub regularization: f64,
    /// Sampled negatives of a minibatch, shared by its pairs; 0 takes the items of its other pairs. At most 4,000,000
    /// scores are in a minibatch: `batch` times `negatives`, or `batch` squared. As many numbers are in its factors:
    /// `dimension` times `batch`, and times `negatives`.
    pub negatives: usize,
    /// α: an item is drawn as a negative in proportion to (its users)^α; 0 is uniform.
    pub negative_exponent: f64,
    /// Whether softmax corrects the scores of sampled items by the logarithm of how likely they are drawn (logQ).
    pub log_q: bool,
    /// Positive pairs in a minibatch.
    pub batch: usize,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self {
            dimension: 64,
            epochs: 15,
            learning_rate: 0.1,
            decay_epochs: 0,
            regularization: 0.0,
            negatives: 128,
            negative_exponent: 0.5,
            log_q: true,
            batch: 256,
        }
    }
}

impl SgdConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("dimension", self.dimension as f64, 1.0..=4096.0)?;
        check("epochs", self.epochs as f64, 1.0..=10_000.0)?;
        check("decay_epochs", self.decay_epochs as f64, 0.0..=10_000.0)?;
        check("learning_rate", self.learning_rate, 1e-9..=1e3)?;
        check("regularization", self.regularization, 0.0..=1e6)?;
        check("negatives", self.negatives as f64, 0.0..=10_000.0)?;
        check("negative_exponent", self.negative_exponent, 0.0..=2.0)?;
        check("batch", self.batch as f64, 1.0..=1e5)?;
        if self.negatives == 0 && self.batch < 2 {
            return Err(Error::invalid("batch", "is 1, which leaves no other pair to take negatives from"));
        }
        // A score for each pair and negative; every thread holds those of its minibatch.
        let negatives = if self.negatives == 0 { self.batch } else { self.negatives };
        let scores = self.batch.saturating_mul(negatives);
        if scores > MOST_NUMBERS {
            let reason = format!(
                "is {} and negatives is {}, which makes {scores} scores a minibatch, expected at most {MOST_NUMBERS}",
                self.batch, self.negatives
            );
            return Err(Error::invalid("batch", reason));
        }
        // A row of factors for each pair, and one for each negative.
        for (name, rows) in [("batch", self.batch), ("negatives", self.negatives)] {
            let numbers = rows.saturating_mul(self.dimension);
            if numbers > MOST_NUMBERS {
                let reason = format!(
                    "is {rows} and dimension is {}, which makes {numbers} numbers a minibatch, expected at most {MOST_NUMBERS}",
                    self.dimension
                );
                return Err(Error::invalid(name, reason));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrainConfig;

    #[test]
    fn the_scores_of_a_minibatch_are_bounded() {
        let refused = |batch: usize, negatives: usize| {
            let sgd = SgdConfig { batch, negatives, ..SgdConfig::default() };
            let train = TrainConfig { sgd, ..TrainConfig::default() };
            train.validate().err().map(|error| error.to_string())
        };
        for (batch, negatives) in [(256, 128), (2_000, 0), (62_500, 40), (400, 10_000)] {
            assert_eq!(refused(batch, negatives), None, "{batch} and {negatives}");
        }
        for (batch, negatives) in [(2_001, 0), (100_000, 0), (100_000, 41), (401, 10_000)] {
            let message = refused(batch, negatives).unwrap();
            assert!(message.starts_with("sgd.batch: ") && message.contains("negatives"), "{message}");
        }
    }

    #[test]
    fn the_factors_of_a_minibatch_are_bounded() {
        let refused = |batch: usize, negatives: usize, dimension: usize| {
            let sgd = SgdConfig { batch, negatives, dimension, ..SgdConfig::default() };
            sgd.validate().err().map(|error| error.to_string())
        };
        assert_eq!(refused(976, 976, 4096), None);
        for (batch, negatives, field) in [(977, 8, "batch: "), (8, 977, "negatives: ")] {
            let message = refused(batch, negatives, 4096).unwrap();
            assert!(message.starts_with(field) && message.contains("dimension is 4096"), "{message}");
        }
    }
}
