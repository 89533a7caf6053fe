//! How models are learned: which model, and the settings of each part.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::cold::ColdConfig;
use super::sgd::SgdConfig;
use super::transitions::TransitionsConfig;
use crate::error::{Error, Result};

/// How a model is learned. The settings of factors stand here, those of the other parts in tables of their own. Factors
/// are learned by implicit alternating least squares in the formulation of Rendle, Krichene, Zhang & Koren, "Revisiting
/// the Performance of iALS on Item Recommendation Benchmarks" (2021).
/// Where a default is 0, the value is chosen from how many users, items and pairs of them there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Which model is learned.
    pub model: ModelKind,
    /// Length of the factors; 0 chooses √pairs / 4 in steps of 16, at most 256.
    pub dimension: usize,
    /// Passes over both sides.
    pub epochs: usize,
    /// λ, the weight of the L2 penalty; 0 chooses it such that a typical row's penalty is a third of
    /// √(mean pairs of a user) + √(mean pairs of an item), the largest singular value of noise, times the mean weight.
    pub regularization: f64,
    /// ν: a row's penalty is λ (count + α₀ · other side)^ν; 1 scales with frequency, 0 is plain L2, ½ is between.
    pub regularization_exponent: f64,
    /// α₀, the weight of the pairs without an event; 0 chooses √(pairs / (users · items)) times the mean weight, and
    /// without the root where `bpr` and `softmax` fold in.
    pub unobserved_weight: f64,
    /// Standard deviation of the initial factors, times 1/√dimension.
    pub init_stddev: f64,
    /// How a row is solved.
    pub solver: Solver,
    /// Steps in each pass of the solver `cg`; the others, `auto` among them, do not look at it.
    pub cg_steps: usize,
    /// Epochs without a better metric on the validation part before factors count as learned, those of `bpr` and `softmax`
    /// too; 0 goes through all epochs.
    pub patience: usize,
    /// Whether factors begin from those of the active snapshot. They are then done when an epoch gains as little as the last
    /// one of a training from the beginning, often after half of the epochs; the model then depends on the one before it.
    pub warm_start: bool,
    /// γ of the loss of factors: a pair weighs (users of its item / their mean)^−γ times its confidence; 0 leaves it as it
    /// is, larger values give rare items more to say.
    pub item_frequency_exponent: f64,
    /// δ of the score: it is multiplied by (users of the item / their mean)^−δ; 0 leaves it as it is, larger values
    /// recommend rarer items.
    pub debias: f64,
    /// τ of the score: where events have times it is multiplied by (the item's share of the recent events / its share of
    /// all)^τ, recent as `events.trend_half_life` says; 0 leaves it as it is. A score below zero
    /// is multiplied, too. Models of ratings and popularity have none.
    pub trend: f64,
    /// The same seed, data and configuration give the same model, bit for bit.
    pub seed: u64,
    /// Threads; 0 means all cores.
    pub threads: usize,
    /// The graph filter.
    pub filter: FilterConfig,
    /// The linear item model.
    pub linear: LinearConfig,
    /// How much each part of the blend weighs.
    pub blend: BlendConfig,
    /// Factors by stochastic gradient descent, for `bpr` and `softmax`.
    pub sgd: SgdConfig,
    /// Biased factorisation of explicit ratings, for `ratings`.
    pub ratings: RatingsConfig,
    /// Vectors for items and users without events.
    pub cold: ColdConfig,
    /// What people take next.
    pub transitions: TransitionsConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            model: ModelKind::Blend,
            dimension: 0,
            epochs: 15,
            regularization: 0.0,
            regularization_exponent: 0.5,
            unobserved_weight: 0.0,
            init_stddev: 0.1,
            solver: Solver::Auto,
            cg_steps: 3,
            patience: 0,
            warm_start: false,
            item_frequency_exponent: 0.0,
            debias: 0.0,
            trend: 0.3,
            seed: 42,
            threads: 0,
            filter: FilterConfig::default(),
            linear: LinearConfig::default(),
            blend: BlendConfig::default(),
            sgd: SgdConfig::default(),
            ratings: RatingsConfig::default(),
            cold: ColdConfig::default(),
            transitions: TransitionsConfig::default(),
        }
    }
}

/// A model that can be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Factors, graph filter and linear item model together, weighed on a validation part of the data.
    Blend,
    /// Factors by implicit alternating least squares.
    Ials,
    /// The graph filter GF-CF.
    Filter,
    /// The linear item model.
    Linear,
    /// Factors by Bayesian personalised ranking.
    Bpr,
    /// Factors by sampled softmax.
    Softmax,
    /// Biased factorisation of explicit ratings.
    Ratings,
    /// The number of an item's users, the same for everybody.
    Popularity,
}

impl ModelKind {
    const ALL: [Self; 8] = [
        Self::Blend,
        Self::Ials,
        Self::Filter,
        Self::Linear,
        Self::Bpr,
        Self::Softmax,
        Self::Ratings,
        Self::Popularity,
    ];

    /// Its name in configurations and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blend => "blend",
            Self::Ials => "ials",
            Self::Filter => "filter",
            Self::Linear => "linear",
            Self::Bpr => "bpr",
            Self::Softmax => "softmax",
            Self::Ratings => "ratings",
            Self::Popularity => "popularity",
        }
    }
}

impl FromStr for ModelKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let named = Self::ALL.into_iter().find(|kind| kind.name() == text);
        named.ok_or_else(|| Error::invalid("model", format!("is \"{text}\", expected one of {}", names())))
    }
}

/// How the normal equations of a row are solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Solver {
    /// What is quickest at the dimension: Cholesky for the shortest factors, for others conjugate gradient with as many steps
    /// as a row needs.
    Auto,
    /// Exact, by Cholesky factorisation.
    Cholesky,
    /// A few steps of conjugate gradient from the last pass's factor (Takács, Pilászy & Tikk, RecSys 2011).
    Cg,
    /// Blocks of the factor one after another (iALS++, Rendle, Krichene, Zhang & Koren 2021).
    Block,
}

/// The graph filter, GF-CF (Shen et al., CIKM 2021) with exponents of its own for each side: a user's scores are the
/// user's row times D_I^−b Rᵀ D_U^−2a R D_I^−b', pruned, plus the low-pass part D_I^−e V (Σ/σ₁)^p Vᵀ D_I^e of the top
/// right singular vectors V of D_U^−e R D_I^−e. The degrees D are the sums of confidences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// a, the exponent of the users' degrees.
    pub user_exponent: f64,
    /// b, the exponent of the degree of an item in the user's history.
    pub history_exponent: f64,
    /// b', the exponent of the degree of an item that is scored. GF-CF has ½ for all three.
    pub item_exponent: f64,
    /// Neighbours that an item keeps: the largest entries of its row.
    pub neighbours: usize,
    /// Singular vectors of the low-pass part; 0 chooses them from the number of pairs.
    pub components: usize,
    /// The exponent of users' and items' degrees in the matrix whose singular vectors make the low-pass part.
    pub low_pass_exponent: f64,
    /// p, the exponent of the singular values in the low-pass part: 0 is GF-CF's ideal filter, which lets all through
    /// alike; the larger, the more the strong tastes that many share count, which last longer than the weak ones.
    pub spectral_exponent: f64,
    /// Weight of the low-pass part beside the neighbours when the filter is the whole model, both on one scale as in a blend.
    pub low_pass: f64,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self {
            user_exponent: 0.4,
            history_exponent: 0.7,
            item_exponent: 0.35,
            neighbours: 200,
            components: 0,
            low_pass_exponent: 0.3,
            spectral_exponent: 1.0,
            low_pass: 0.4,
        }
    }
}

/// The linear item model: for each item a ridge regression on its nearest items; EASE (Steck, WWW 2019) and SLIM (Ning &
/// Karypis, ICDM 2011) made local.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinearConfig {
    /// K: on how many nearest items an item is regressed; 0 takes all others (EASE), for catalogues of a few thousand.
    pub neighbours: usize,
    /// The L2 penalty, in the unit of the squared weights of an item's users.
    pub ridge: f64,
    /// What picks the nearest items.
    pub similarity: Similarity,
    /// A user counts (mass)^−c in the regressions: larger values give those with few items more to say.
    pub user_exponent: f64,
}

impl Default for LinearConfig {
    fn default() -> Self {
        Self { neighbours: 50, ridge: 20.0, similarity: Similarity::Cosine, user_exponent: 0.0 }
    }
}

/// How near two items are, by the users they have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Similarity {
    /// Common mass over the root of the product of both.
    Cosine,
    /// Common mass over that of either.
    Jaccard,
    /// Common mass.
    Overlap,
}

/// How much each part weighs in the blend; all 0 finds the weights on hold-outs inside the data, and where those have fewer
/// than 50 users, fixed ones answer. Parts are on the scale of their standard deviation over the items, averaged over users.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlendConfig {
    /// Of the factors.
    pub ials: f64,
    /// Of the graph filter's neighbours.
    pub filter: f64,
    /// Of the graph filter's low-pass part.
    pub low_pass: f64,
    /// Of the linear item model.
    pub linear: f64,
    /// Of the item's number of users.
    pub popularity: f64,
    /// p: the factors' scores are multiplied by (the user's mass)^p, as the other parts grow with the mass by themselves.
    pub mass_exponent: f64,
}

/// Biased factorisation of explicit ratings: mean + user's bias + item's bias + inner product (Koren, Bell & Volinsky
/// 2009, eq. 4), by alternating ridge regressions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RatingsConfig {
    /// Length of the factors.
    pub dimension: usize,
    /// Passes over both sides.
    pub epochs: usize,
    /// λ: a row's factors pay λ (its ratings)^ν for their squared length, times the ratings' standard deviation.
    pub regularization: f64,
    /// ν: 1 scales with the number of ratings, 0 is plain L2.
    pub regularization_exponent: f64,
    /// What a squared bias pays.
    pub bias_regularization: f64,
}

impl Default for RatingsConfig {
    fn default() -> Self {
        Self { dimension: 32, epochs: 15, regularization: 1.1, regularization_exponent: 0.5, bias_regularization: 2.0 }
    }
}

impl TrainConfig {
    /// Checks every value; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        check("dimension", self.dimension as f64, 0.0..=4096.0)?;
        check("epochs", self.epochs as f64, 1.0..=10_000.0)?;
        check("regularization", self.regularization, 0.0..=1e9)?;
        check("regularization_exponent", self.regularization_exponent, 0.0..=2.0)?;
        check("unobserved_weight", self.unobserved_weight, 0.0..=1e6)?;
        check("init_stddev", self.init_stddev, 1e-6..=1e3)?;
        check("cg_steps", self.cg_steps as f64, 1.0..=1000.0)?;
        check("patience", self.patience as f64, 0.0..=10_000.0)?;
        check("item_frequency_exponent", self.item_frequency_exponent, -2.0..=2.0)?;
        check("debias", self.debias, -2.0..=2.0)?;
        check("trend", self.trend, -2.0..=2.0)?;
        check("threads", self.threads as f64, 0.0..=1024.0)?;
        self.filter.validate().map_err(|error| error.within("filter"))?;
        self.linear.validate().map_err(|error| error.within("linear"))?;
        self.blend.validate().map_err(|error| error.within("blend"))?;
        self.sgd.validate().map_err(|error| error.within("sgd"))?;
        self.ratings.validate().map_err(|error| error.within("ratings"))?;
        self.cold.validate().map_err(|error| error.within("cold"))?;
        self.transitions.validate().map_err(|error| error.within("transitions"))
    }
}

impl FilterConfig {
    fn validate(&self) -> Result<()> {
        check("user_exponent", self.user_exponent, 0.0..=2.0)?;
        check("history_exponent", self.history_exponent, 0.0..=2.0)?;
        check("item_exponent", self.item_exponent, 0.0..=2.0)?;
        check("low_pass_exponent", self.low_pass_exponent, 0.0..=2.0)?;
        check("spectral_exponent", self.spectral_exponent, 0.0..=4.0)?;
        check("neighbours", self.neighbours as f64, 0.0..=10_000.0)?;
        check("components", self.components as f64, 0.0..=4096.0)?;
        check("low_pass", self.low_pass, 0.0..=1e6)
    }
}

impl LinearConfig {
    fn validate(&self) -> Result<()> {
        check("neighbours", self.neighbours as f64, 0.0..=2_000.0)?;
        check("ridge", self.ridge, 1e-6..=1e9)?;
        check("user_exponent", self.user_exponent, 0.0..=2.0)
    }
}

impl BlendConfig {
    /// Whether the weights are left to the data.
    pub fn is_open(&self) -> bool {
        self.weights().iter().all(|(_, weight)| *weight == 0.0)
    }

    /// The weights by the names of their parts.
    pub fn weights(&self) -> [(&'static str, f64); 5] {
        [
            ("ials", self.ials),
            ("filter", self.filter),
            ("low_pass", self.low_pass),
            ("linear", self.linear),
            ("popularity", self.popularity),
        ]
    }

    fn validate(&self) -> Result<()> {
        for (name, weight) in self.weights() {
            check(name, weight, 0.0..=1e6)?;
        }
        check("mass_exponent", self.mass_exponent, -2.0..=2.0)
    }
}

impl RatingsConfig {
    fn validate(&self) -> Result<()> {
        check("dimension", self.dimension as f64, 1.0..=4096.0)?;
        check("epochs", self.epochs as f64, 1.0..=10_000.0)?;
        check("regularization", self.regularization, 1e-6..=1e6)?;
        check("regularization_exponent", self.regularization_exponent, 0.0..=2.0)?;
        check("bias_regularization", self.bias_regularization, 1e-6..=1e6)
    }
}
