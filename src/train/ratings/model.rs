//! Ratings as a model among others: rows whose inner product is the rating.

use super::{Factors, RatingScale, factorise};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::eval::RatingPredictor;
use crate::features::Csr;
use crate::linalg::{Matrix, dot};
use crate::progress::Progress;
use crate::train::fold_in::{FoldIn, ItemParts, Mix};
use crate::train::model::{Model, Trainer, TrainingData};

/// Biased factorisation of explicit ratings; items are ranked by the rating they are foretold.
pub struct Ratings;

impl Trainer for Ratings {
    fn name(&self) -> &'static str {
        "ratings"
    }

    fn train(&self, data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
        let ratings = data.ratings.ok_or_else(|| {
            Error::no_data("there is no rating", "import events of a type that events.rating names, with a value")
        })?;
        let Factors { scale, users, items } = factorise(ratings, config, progress)?;
        let dim = config.ratings.dimension;
        let mix = Mix { factors: dim, unit: 1.0, ratings: Some(scale), ..Mix::default() };
        let parts = ItemParts { scales: vec![1.0; ratings.n_cols()], ..ItemParts::default() };
        let fold_in = FoldIn::new(mix, Vec::new(), parts, config)?;
        Ok(Model {
            users: rows(&users.features, &users.biases, |bias| [scale.mean + bias, 1.0]),
            items: rows(&items.features, &items.biases, |bias| [1.0, bias]),
            fold_in,
        })
    }
}

/// The factors of each row with two more columns made of its bias.
fn rows(features: &Matrix, biases: &[f32], last: impl Fn(f32) -> [f32; 2]) -> Matrix {
    let dim = features.dim() - 1;
    let mut out = Matrix::zeros(biases.len(), dim + 2);
    for (row, bias) in biases.iter().enumerate() {
        let (factors, columns) = out.row_mut(row).split_at_mut(dim);
        factors.copy_from_slice(&features.row(row)[..dim]);
        columns.copy_from_slice(&last(*bias));
    }
    out
}

/// Foretells ratings by a model of ratings: with the user's bias alone for an unknown item, with the item's for an unknown
/// user.
pub struct ModelPredictor<'a> {
    model: &'a Model,
    scale: RatingScale,
    least: f32,
    most: f32,
}

impl<'a> ModelPredictor<'a> {
    /// `None` unless it is a model of ratings. Foretold ratings are kept within those of `ratings`.
    pub fn new(model: &'a Model, ratings: &Csr) -> Option<Self> {
        let all = (0..ratings.n_rows()).flat_map(|row| ratings.row(row).1.iter().copied());
        let (least, most) = all.fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
        (least <= most).then_some(())?;
        Some(Self { model, scale: model.fold_in.mix().ratings?, least, most })
    }
}

impl RatingPredictor for ModelPredictor<'_> {
    fn name(&self) -> &'static str {
        "ratings"
    }

    fn predict(&self, row: Option<u32>, column: Option<u32>) -> f32 {
        let user = row.map(|row| self.model.users.row(row as usize));
        let item = column.map(|column| self.model.items.row(column as usize));
        let factors = self.model.fold_in.mix().factors;
        let rating = match (user, item) {
            (Some(user), Some(item)) => dot(user, item),
            (Some(user), None) => user.get(factors).copied().unwrap_or(self.scale.mean),
            (None, Some(item)) => self.scale.mean + item.last().copied().unwrap_or(0.0),
            (None, None) => self.scale.mean,
        };
        rating.clamp(self.least, self.most)
    }
}
