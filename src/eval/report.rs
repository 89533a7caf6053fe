//! What an evaluation found, for tables and for machines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::MetricAt;

/// With fewer users, an interval is narrow by chance: that of a single one is a point.
const FEWEST_USERS: u64 = 10;
/// With a larger corrected p-value nothing is told apart.
const DOUBT: f64 = 0.05;

/// Models measured on the same users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// How the events were split.
    pub split: String,
    /// Hold-outs that were measured; in a cross-validation a user's figure is the mean over those with test pairs.
    pub folds: u64,
    /// Users in the training part; over several hold-outs the mean, as with the other sizes of the training part.
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
    /// Resamplings of the users behind the intervals.
    pub bootstrap: u64,
    /// Sign flips behind the p-values.
    pub permutations: u64,
    /// Seed of resampling and sign flips.
    pub seed: u64,
    /// The models; the first is the baseline.
    pub models: Vec<ModelReport>,
    /// Every pair of models on the same users.
    pub comparisons: Vec<Comparison>,
    /// List length of slices and exposure: the largest cutoff up to 20, else the smallest.
    pub slice_k: u64,
    /// Figures of some users, or of some items.
    pub slices: Vec<Slice>,
    /// The Lorenz curve of the training pairs, to be held beside each model's `exposure`.
    pub training_exposure: Vec<f64>,
}

impl Report {
    /// A model by name.
    pub fn model(&self, name: &str) -> Option<&ModelReport> {
        self.models.iter().find(|model| model.name == name)
    }

    /// The metrics that stand for all where there is room for two.
    pub fn headline(&self) -> [String; 2] {
        let first = self.cutoffs.first().copied().unwrap_or(self.slice_k);
        [format!("ndcg@{first}"), format!("recall@{}", self.slice_k)]
    }

    /// What the interval of a difference allows to say: better, worse, or not told apart; of what lists are like, more or
    /// less. Without resamplings, with fewer than 10 users, or where the corrected p-value is above .05, it allows nothing.
    pub fn verdict(&self, difference: &Difference) -> &'static str {
        let is_sure = difference.p_holm.is_none_or(|p| p <= DOUBT);
        let is_known = self.bootstrap > 0 && self.users >= FEWEST_USERS && is_sure;
        let is_metric = difference.is_metric();
        match difference {
            Difference { low, .. } if is_known && *low > 0.0 => {
                if is_metric {
                    "better"
                } else {
                    "more"
                }
            }
            Difference { high, .. } if is_known && *high < 0.0 => {
                if is_metric {
                    "worse"
                } else {
                    "less"
                }
            }
            _ => "not told apart",
        }
    }

    /// A comparison of two models by their names.
    pub fn comparison(&self, a: &str, b: &str) -> Option<&Comparison> {
        self.comparisons.iter().find(|pair| pair.a == a && pair.b == b)
    }
}

/// One model's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelReport {
    /// Its name.
    pub name: String,
    /// Means over users: `recall@k` (hits over held-out items), `recall_min@k` (hits over min(k, held-out)), `ndcg@k`,
    /// `map@k`, `mrr@k`, `hit_rate@k`. Where the items of the lists were looked at, also `vector_diversity@k` and
    /// `category_diversity@k`, the mean distance of two items of a list by the cosine of the vectors of the settings that
    /// are evaluated and of their categories, and `calibration_error@k`, the divergence of a list's mix of categories from
    /// that of the user's past (Steck 2018).
    pub metrics: Vec<Estimate>,
    /// Means over users at more list lengths, up to the largest cutoff.
    pub curve: Vec<CurvePoint>,
    /// What its lists look like.
    pub lists: Vec<ListFigures>,
    /// The Lorenz curve of how often items are listed in `slice_k` places: the share of all places that the least listed
    /// 0 %, 2 %, … 100 % of the catalogue have.
    pub exposure: Vec<f64>,
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

/// Recall and NDCG at one list length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// The list length.
    pub k: u64,
    /// Mean `recall@k`.
    pub recall: f64,
    /// Mean `ndcg@k`.
    pub ndcg: f64,
}

/// Two models on the same users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The model that is compared with.
    pub a: String,
    /// The model that is compared.
    pub b: String,
    /// `b` minus `a`, metric by metric.
    pub metrics: Vec<Difference>,
}

impl Comparison {
    /// A metric's difference by name: `ndcg@10`.
    pub fn metric(&self, name: &str) -> Option<&Difference> {
        self.metrics.iter().find(|difference| difference.name == name)
    }

    /// Whether the lists of the one are those of the other, arranged: their names say so.
    pub fn is_of_arranged(&self) -> bool {
        self.b.strip_prefix(&self.a).is_some_and(|rest| rest.starts_with(", "))
    }
}

/// A mean paired difference over users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The metric: `ndcg@10`.
    pub name: String,
    /// The mean difference.
    pub mean: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
    /// Two-sided p-value of a sign-flip test over users: how often chance alone, were the models equally good, gives a
    /// difference as large. Absent if no sign flips were asked for.
    pub p: Option<f64>,
    /// The p-value corrected for all comparisons of this metric in the report (Holm 1979).
    pub p_holm: Option<f64>,
}

impl Difference {
    /// Whether it is of a metric, the larger the better; else of what lists are like.
    pub fn is_metric(&self) -> bool {
        MetricAt::named(&self.name).is_ok()
    }

    /// The corrected p-value for a table; nothing if there is none.
    pub fn written_p(&self) -> String {
        let written = |p| if p < 1e-4 { "< .0001".into() } else { format!("{p:.4}") };
        self.p_holm.map(written).unwrap_or_default()
    }
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
    /// Mean self-information of a listed item in bits, −log2 of the share of training users who have it (Vargas &
    /// Castells 2011).
    pub novelty: f64,
    /// Mean distance of two items of one list (Ziegler et al. 2005): 1 minus the cosine of their training users. Over at
    /// most 1,000 users.
    pub diversity: f64,
}

/// A part of the users, or of the items, and how good each model is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slice {
    /// How it was cut.
    pub kind: SliceKind,
    /// Its number among those of its kind, from 1.
    pub number: u64,
    /// The fewest training pairs of its users or items.
    pub from: u64,
    /// The most training pairs of its users or items.
    pub to: u64,
    /// Items in it; absent for slices of users.
    pub items: Option<u64>,
    /// Test users with a test pair in it.
    pub users: u64,
    /// Test pairs in it.
    pub pairs: u64,
    /// For each model, in the order of `models`: means over users (`recall`, `ndcg`) for slices of users, the share of
    /// test pairs that were found (`recall`) for slices of items. Empty without test pairs.
    pub figures: Vec<Vec<Estimate>>,
}

impl Slice {
    /// Its bounds: `3 to 17`.
    pub fn within(&self) -> String {
        if self.from == self.to { self.from.to_string() } else { format!("{} to {}", self.from, self.to) }
    }
}

/// How a slice was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SliceKind {
    /// Test users by quarter of their number of training pairs, the least active first; equals are kept together.
    UserActivity,
    /// Test users with at most 5 training pairs.
    NewUsers,
    /// Items by tenth of the catalogue, the least popular first.
    ItemPopularity,
    /// Items outside the head, the most popular items that have 80 % of all training pairs (Yin et al. 2012).
    LongTail,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EvaluateConfig;
    use crate::eval::assemble;

    #[test]
    fn an_interval_of_nothing_allows_no_verdict() {
        let config = EvaluateConfig::default();
        let report = |users: u64, bootstrap: u64| Report { users, bootstrap, ..assemble::report(&[], &[10], &config) };
        let difference = |mean: f64| {
            let name = "ndcg@10".to_owned();
            Difference { name, mean, low: mean - 0.1, high: mean + 0.1, p: None, p_holm: None }
        };
        let told = |users: u64, bootstrap: u64| {
            [0.2, -0.2, 0.0].map(|mean| report(users, bootstrap).verdict(&difference(mean)))
        };
        assert_eq!(told(10, 1), ["better", "worse", "not told apart"]);
        assert_eq!(told(9, 1000), ["not told apart"; 3]);
        assert_eq!(told(500, 0), ["not told apart"; 3]);
    }
}
