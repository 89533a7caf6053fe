//! What an evaluation found, for tables and for machines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Models measured on the same users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// How the events were split.
    pub split: String,
    /// Users in the training part.
    pub training_users: u64,
    /// Items in the training part: the catalogue that is ranked.
    pub training_items: u64,
    /// Pairs in the training part.
    pub training_pairs: u64,
    /// Test users.
    pub users: u64,
    /// Test pairs.
    pub test_pairs: u64,
    /// Test pairs left out: user or item unknown in training, or pair seen there.
    pub dropped_pairs: u64,
    /// List lengths.
    pub cutoffs: Vec<u64>,
    /// Confidence of all intervals.
    pub confidence: f64,
    /// Resamplings behind the intervals.
    pub bootstrap: u64,
    /// Seed of the resampling.
    pub seed: u64,
    /// The models; the first is the baseline.
    pub models: Vec<ModelReport>,
    /// Each later model's paired difference to the baseline.
    pub differences: Vec<Vec<Estimate>>,
}

impl Report {
    /// A model by name.
    pub fn model(&self, name: &str) -> Option<&ModelReport> {
        self.models.iter().find(|model| model.name == name)
    }
}

/// One model's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelReport {
    /// Its name.
    pub name: String,
    /// Means over users: `recall@k` (hits over held-out items), `recall_min@k` (hits over min(k, held-out)), `ndcg@k`,
    /// `map@k`, `mrr@k`, `hit_rate@k`.
    pub metrics: Vec<Estimate>,
    /// What its lists look like.
    pub lists: Vec<ListFigures>,
}

impl ModelReport {
    /// A metric by name: `ndcg@10`.
    pub fn metric(&self, name: &str) -> Option<&Estimate> {
        self.metrics.iter().find(|estimate| estimate.name == name)
    }
}

/// A mean over users with its confidence interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The metric: `ndcg@10`.
    pub name: String,
    /// The mean.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// What all users' first `k` items look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListFigures {
    /// Length of the lists.
    pub k: u64,
    /// Share of the catalogue that is in any list.
    pub coverage: f64,
    /// Mean number of training users of a listed item.
    pub mean_popularity: f64,
    /// Inequality of how often items are listed: 0 all alike, towards 1 a few get everything.
    pub gini: f64,
}
