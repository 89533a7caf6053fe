//! How models are measured: split, list lengths, and how sure a figure has to be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::{Error, Result};

/// How models are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateConfig {
    /// List lengths k of the metrics.
    pub cutoffs: Vec<usize>,
    /// The split that snapshots are measured on.
    pub split: Split,
    /// Resamplings of the users for the confidence intervals.
    pub bootstrap: usize,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Random sign flips behind the p-values of paired differences; 0 leaves them out.
    pub permutations: usize,
    /// Seed of the resampling and of the sign flips.
    pub seed: u64,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self {
            cutoffs: vec![10, 20, 100],
            split: Split::Time { train: 0.8 },
            bootstrap: 1000,
            confidence: 0.95,
            permutations: 10_000,
            seed: 42,
        }
    }
}

impl EvaluateConfig {
    pub(super) fn validate(&self) -> Result<()> {
        if self.cutoffs.is_empty() || self.cutoffs.len() > 32 {
            return Err(Error::invalid("cutoffs", "expected 1 to 32 list lengths"));
        }
        for cutoff in &self.cutoffs {
            check("cutoffs", *cutoff as f64, 1.0..=10_000.0)?;
        }
        self.split.validate()?;
        check("bootstrap", self.bootstrap as f64, 0.0..=100_000.0)?;
        check("permutations", self.permutations as f64, 0.0..=1e6)?;
        check("confidence", self.confidence, 0.5..=0.999)
    }
}

/// How events are split into training and test part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "by")]
pub enum Split {
    /// The first share of all events, by time, is for training.
    Time {
        /// The share, between 0 and 1.
        train: f64,
    },
    /// Each user's last positive item is for testing.
    LeaveLastOut,
    /// Pairs are drawn into so many parts, and each part is for testing once: as many trainings.
    Folds {
        /// The number of parts, 2 to 100.
        folds: u64,
    },
}

impl Split {
    /// Checks the share or the number of parts.
    pub(crate) fn validate(&self) -> Result<()> {
        match self {
            Self::Time { train } => check("split.train", *train, 0.01..=0.99),
            Self::LeaveLastOut => Ok(()),
            Self::Folds { folds } => check("split.folds", *folds as f64, 2.0..=100.0),
        }
    }
}
