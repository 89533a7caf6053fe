//! What training takes and gives, whatever the method.

use rayon::prelude::*;

use super::fold_in::FoldIn;
use super::ials::{Guide, Warm};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::eval::Scorer;
use crate::features::{Csr, Holdout};
use crate::linalg::{Matrix, inner_products};
use crate::progress::Progress;

/// What a model is learned from.
#[derive(Clone, Copy)]
pub struct TrainingData<'a> {
    /// Preferences, `[n_users, n_items]`: the pairs' confidences.
    pub matrix: &'a Csr,
    /// Whether people turn to each item of late (above 1) or leave it, `[n_items]`; empty where nobody knows.
    pub trend: &'a [f32],
    /// Parts of the same data, each split once more, the one that says most first, for what is chosen by measuring: weights
    /// of the blend, the number of epochs. May be empty.
    pub validation: &'a [Holdout],
    /// The last explicit rating of each pair, `[n_users, n_items]`, for models of ratings.
    pub ratings: Option<&'a Csr>,
    /// Factors of an earlier model to begin with.
    pub warm: Option<Warm<'a>>,
}

impl<'a> TrainingData<'a> {
    /// How factors begin.
    pub fn guide(&self) -> Guide<'a> {
        Guide { warm: self.warm, observer: None }
    }
}

/// Whether there is anything to learn from. Errors: [`Error::NoData`] without pairs, or with fewer than two users or items.
pub fn check(matrix: &Csr) -> Result<()> {
    let remedy = "import events with a positive weight (see [events] in the configuration)";
    if matrix.nnz() == 0 {
        return Err(Error::no_data("no user prefers any item", remedy));
    }
    if matrix.n_rows() < 2 {
        return Err(Error::no_data("there is one user with preferences, training needs two", remedy));
    }
    if matrix.n_cols() < 2 {
        return Err(Error::no_data("there is one preferred item, training needs two", remedy));
    }
    Ok(())
}

/// A method of learning.
pub trait Trainer: Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Learns a model under a settled configuration. The model depends on the arguments alone, not on the threads.
    ///
    /// # Errors
    /// [`crate::Error::NoData`] when there is too little to learn from, [`crate::Error::Invalid`] for settings under
    /// which numbers run out of range, [`crate::Error::Cancelled`].
    fn train(&self, data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<Model>;
}

/// What training gives. An item's score for a user is the inner product of their rows plus what the item-item lists of
/// the user's history say.
#[derive(Clone, Debug)]
pub struct Model {
    /// `[n_users, dim]`: what `fold_in` gives for each user's history.
    pub users: Matrix,
    /// `[n_items, dim]`.
    pub items: Matrix,
    /// From a history to a vector and scores, for anybody at any later moment.
    pub fold_in: FoldIn,
}

impl Model {
    /// The same with the scores of each item multiplied by `factors`, positive, `[n_items]`.
    pub fn scaled(mut self, factors: &[f32]) -> Self {
        for (item, factor) in factors.iter().enumerate().take(self.items.rows()) {
            self.items.row_mut(item).iter_mut().for_each(|value| *value *= factor);
        }
        self.fold_in.scale(factors);
        self
    }
}

/// Scores users of the training part by a model.
pub struct ModelScorer<'a> {
    name: &'a str,
    model: &'a Model,
    matrix: &'a Csr,
}

impl<'a> ModelScorer<'a> {
    /// The model with the matrix that it was trained on.
    pub fn new(name: &'a str, model: &'a Model, matrix: &'a Csr) -> Self {
        Self { name, model, matrix }
    }
}

impl Scorer for ModelScorer<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn score(&self, user_row: usize, out: &mut [f32]) {
        self.score_all(&[user_row as u32], out);
    }

    fn score_all(&self, user_rows: &[u32], out: &mut [f32]) {
        let Model { users, items, fold_in } = self.model;
        let mut vectors = Matrix::zeros(user_rows.len(), users.dim());
        let by_user = vectors.data_mut().chunks_exact_mut(users.dim()).zip(user_rows);
        by_user.for_each(|(to, row)| to.copy_from_slice(users.row(*row as usize)));
        let scores = inner_products(vectors.as_rows(), items.as_rows());
        let columns = items.rows().max(1);
        let each = out.par_chunks_exact_mut(columns).zip(scores.data().par_chunks_exact(columns)).zip(user_rows);
        each.for_each(|((out, scores), row)| {
            out.copy_from_slice(scores);
            let (ids, weights) = self.matrix.row(*row as usize);
            let history: Vec<(u32, f32)> = ids.iter().copied().zip(weights.iter().copied()).collect();
            fold_in.add_lists(&history, out);
        });
    }
}
