//! A learned ranker as it is served: feature table, frozen weights, and what was measured of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::inputs::{SCORES, Sources, score_names};
use super::network::Network;
use crate::error::{Error, Result};
use crate::features::table::{FeatureRequest, FittedTable, Known, Scope, Standard};
use crate::linalg::Matrix;
use crate::record::ItemId;

/// What was measured of a ranker on held-out time, beside retrieval alone: on windows of time, each after those that it
/// was learned from.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RankerReport {
    /// Whether it puts answers in order.
    pub is_used: bool,
    /// Why, or why not.
    pub note: String,
    /// `network` or `linear`: whichever was better; the linear one if both were the same.
    pub model: String,
    /// Questions that it was learned from.
    pub questions: u64,
    /// Answers that were shown and of which something was taken: those of the questions that nobody had to guess.
    #[serde(default)]
    pub shown: u64,
    /// Users of held-out time by whom it was judged: those of whom a question was asked.
    pub users: u64,
    /// NDCG@10 of retrieval alone, among its own candidates and all that was taken; neither has what its user had touched before.
    pub ndcg_retrieval: f64,
    /// NDCG@10 of the linear model.
    pub ndcg_linear: f64,
    /// NDCG@10 of the network.
    pub ndcg_network: f64,
    /// By how much the better one is above retrieval, paired by user.
    pub difference: f64,
    /// Lower end of the interval of the difference.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Passes over the questions.
    pub epochs: u64,
    /// Answers to whom fewer liked items are known of stay in the order of retrieval.
    #[serde(default)]
    pub least_pairs: u64,
    /// Seconds that all of it took.
    pub seconds: f64,
    /// What each feature is worth, the most important first.
    pub importance: Vec<FeatureImportance>,
}

/// What a feature is worth to a ranker (permutation importance, Breiman 2001, section 10).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureImportance {
    /// The feature.
    pub feature: String,
    /// By how much NDCG@10 falls when its values are those of other candidates.
    pub drop: f64,
}

/// A ranker that orders candidates. Columns that were the same in all training rows have no weight, whatever they are
/// when serving.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedRanker {
    table: FittedTable,
    weights: Weights,
    /// The columns that are the same for all candidates of a question, and the others, as the network reads them.
    shared: Vec<Input>,
    own: Vec<Input>,
}

/// A column that a network reads.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Input {
    place: usize,
    standard: Standard,
}

impl Input {
    fn read(&self, scores: &[f32], features: &[f32]) -> f32 {
        let raw = match self.place.checked_sub(SCORES) {
            None => scores.get(self.place),
            Some(place) => features.get(place),
        };
        self.standard.of(raw.copied().unwrap_or(0.0))
    }
}

/// The network and what goes into it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Weights {
    pub network: Network,
    pub columns: Columns,
    /// So many liked items of a visitor it has to know.
    #[serde(default)]
    pub least_pairs: usize,
}

/// Columns that a network reads, by place: first the retrieval's inputs, then the table's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Columns {
    /// Those that are the same for all candidates of a question.
    pub shared: Vec<u32>,
    /// The others.
    pub own: Vec<u32>,
}

impl Columns {
    /// Those of a table that are not the same in all rows.
    pub fn of(table: &FittedTable, varies: impl Fn(usize) -> bool) -> Self {
        let scope =
            |place: usize| place.checked_sub(SCORES).and_then(|place| table.columns().get(place)).map(|of| of.scope);
        let is_shared = |place: usize| matches!(scope(place), Some(Scope::User | Scope::Session | Scope::Request));
        let all = 0..SCORES + table.columns().len();
        let (shared, own): (Vec<usize>, Vec<usize>) =
            all.filter(|place| varies(*place)).partition(|place| is_shared(*place));
        let narrow = |places: Vec<usize>| places.into_iter().map(|place| place as u32).collect();
        Self { shared: narrow(shared), own: narrow(own) }
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    /// Places in the order of the network's inputs.
    pub fn all(&self) -> impl Iterator<Item = usize> {
        self.shared.iter().chain(&self.own).map(|place| *place as usize)
    }

    /// The input that a place has become.
    pub fn input_of(&self, place: usize) -> Option<usize> {
        self.all().position(|column| column == place)
    }
}

impl LearnedRanker {
    /// Of a table and the weights that were learned on its rows.
    pub(super) fn new(table: FittedTable, weights: Weights) -> Self {
        let standards = table.standards();
        let standard = |place: usize| place.checked_sub(SCORES).and_then(|place| standards.get(place)).copied();
        let input = |place: &u32| {
            let place = *place as usize;
            Input { place, standard: standard(place).unwrap_or(Standard::NONE) }
        };
        let (shared, own) = (&weights.columns.shared, &weights.columns.own);
        let (shared, own) = (shared.iter().map(input).collect(), own.iter().map(input).collect());
        Self { table, weights, shared, own }
    }

    /// Whether it is to rank for somebody of whom so many liked items are known: one who has just come is not like those that
    /// it has learned from.
    pub fn ranks(&self, pairs: usize) -> bool {
        pairs >= self.weights.least_pairs
    }

    /// Scores of candidates, the larger the better. `scores` is what retrieval knows of them ([`super::Candidates::inputs`]),
    /// `following` what people take after what the user did last ([`super::following`]). `features` becomes the raw rows that it
    /// has seen, `[candidates, columns]`.
    pub fn score(
        &self,
        scores: &Matrix,
        following: Vec<f32>,
        request: &FeatureRequest<'_>,
        known: Known<'_>,
        candidates: &[ItemId],
        features: &mut Matrix,
    ) -> Vec<f32> {
        self.rows(scores, following, request, known, candidates, features);
        self.score_rows(scores, features)
    }

    /// The raw rows of the candidates, `[candidates, columns]`: all that needs to know what is counted.
    pub fn rows(
        &self,
        scores: &Matrix,
        following: Vec<f32>,
        request: &FeatureRequest<'_>,
        known: Known<'_>,
        candidates: &[ItemId],
        features: &mut Matrix,
    ) {
        let sources = Sources::of(scores, following);
        let request = &FeatureRequest { scores: &sources.scores(), ..*request };
        self.table.raw_rows(request, known, candidates, features);
    }

    /// Scores of raw rows, `[candidates, columns]`. The user's part of the first layer is worked out once.
    pub fn score_rows(&self, scores: &Matrix, features: &Matrix) -> Vec<f32> {
        let candidates = scores.rows().min(features.rows());
        if candidates == 0 {
            return Vec::new();
        }
        let read = |inputs: &[Input], row: usize, out: &mut [f32]| {
            let (scores, features) = (scores.row(row), features.row(row));
            out.iter_mut().zip(inputs).for_each(|(slot, input)| *slot = input.read(scores, features));
        };
        let (mut common, mut own) = (vec![0.0; self.shared.len()], vec![0.0; self.own.len()]);
        read(&self.shared, 0, &mut common);
        let mut request = self.weights.network.request(&common);
        let of_row = |row: usize| {
            read(&self.own, row, &mut own);
            request.score(&own)
        };
        (0..candidates).map(of_row).collect()
    }

    /// The table that makes its rows.
    pub fn table(&self) -> &FittedTable {
        &self.table
    }

    /// The bytes of the two sections of a snapshot: the weights, and the feature table.
    pub fn to_bytes(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        Ok((serde_json::to_vec(&self.weights).map_err(|error| damaged(error.to_string()))?, self.table.to_bytes()?))
    }

    /// From the bytes of both sections; `None` for one that this build would give other features than it was learned from. Errors:
    /// [`Error::Corrupt`] when they do not fit together.
    pub fn from_bytes(weights: &[u8], table: &[u8]) -> Result<Option<Self>> {
        let weights: Weights = serde_json::from_slice(weights).map_err(|error| damaged(error.to_string()))?;
        let table = FittedTable::from_bytes(table)?;
        let width = SCORES + table.columns().len();
        let is_known = weights.columns.all().all(|place| place < width);
        if !is_known || !weights.network.is_sound() || weights.network.shape().inputs() != weights.columns.len() {
            return Err(damaged("its weights do not fit its columns".into()));
        }
        if let Some(feature) = table.outdated() {
            tracing::warn!(
                feature,
                "this build makes a feature otherwise than the one that the ranker was learned by: answers stay in the order of retrieval until the next training"
            );
            return Ok(None);
        }
        Ok(Some(Self::new(table, weights)))
    }
}

fn damaged(reason: String) -> Error {
    Error::corrupt("the ranker", reason)
}

/// Names of all columns: the retrieval's inputs, then the table's.
pub(super) fn names(table: &FittedTable) -> Vec<String> {
    score_names().chain(table.columns().iter().map(|column| column.name.clone())).collect()
}
