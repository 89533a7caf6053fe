//! From somebody's ratings to a vector that foretells the others: the last pass of training, for one user.

use serde::{Deserialize, Serialize};

use super::ridge::{Ridge, right_side};
use crate::config::RatingsConfig;
use crate::error::{Error, Result};
use crate::linalg::{Matrix, Rows, dot};

/// Where ratings lie and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatingScale {
    /// The mean of all ratings.
    pub mean: f32,
    /// Their standard deviation.
    pub deviation: f32,
}

/// Solves ratings against item rows `[factors | 1 | bias]`.
#[derive(Clone, Debug)]
pub struct RatedFoldIn {
    factors: usize,
    mean: f32,
    ridge: Ridge,
}

/// The rated items' rows `[factors, 1]`, and what their ratings are over mean and bias.
struct Rated {
    features: Matrix,
    ids: Vec<u32>,
    residuals: Vec<f32>,
}

impl RatedFoldIn {
    /// For rows of so many factors.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the scale is not made of finite numbers.
    pub fn new(factors: usize, scale: RatingScale, config: &RatingsConfig) -> Result<Self> {
        if !(scale.mean.is_finite() && scale.deviation.is_finite() && scale.deviation >= 0.0) {
            return Err(Error::invalid("ratings", "have a mean or deviation that is not a finite number"));
        }
        Ok(Self { factors, mean: scale.mean, ridge: Ridge::new(config, scale) })
    }

    /// The row `[factors | mean + bias | 1]` of somebody who gave these ratings, `(row of items, rating)`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when rounding has cost the equations their definiteness.
    pub fn solve(&self, items: Rows<'_>, history: &[(u32, f32)], out: &mut [f32]) -> Result<()> {
        out.fill(0.0);
        let (row, last) = out.split_at_mut(self.factors + 1);
        last.fill(1.0);
        if !history.is_empty() {
            let rated = self.gather(items, history)?;
            right_side(rated.features.as_rows(), &rated.ids, rated.residuals.iter().copied(), row);
            self.ridge.solve(rated.features.as_rows(), &rated.ids, row, &mut self.square())?;
        }
        row.last_mut().into_iter().for_each(|bias| *bias += self.mean);
        Ok(())
    }

    /// The parts of the past items in the rating foretold for the row `target`, in the order of the history: with A the matrix of
    /// the ridge regression, fₜᵀ A⁻¹ fᵢ · residualᵢ, and an equal share of mean + item's bias each.
    ///
    /// # Errors
    /// As [`RatedFoldIn::solve`].
    pub fn explain(&self, items: Rows<'_>, history: &[(u32, f32)], target: &[f32]) -> Result<Vec<(u32, f64)>> {
        let rated = self.gather(items, history)?;
        let (features, bias) = target.split_at(self.factors + 1);
        let mut view = features.to_vec();
        self.ridge.solve(rated.features.as_rows(), &rated.ids, &mut view, &mut self.square())?;
        let share = f64::from(self.mean + bias.first().copied().unwrap_or(0.0)) / history.len().max(1) as f64;
        let part = |(place, residual): (usize, &f32)| {
            share + f64::from(dot(&view, rated.features.row(place))) * f64::from(*residual)
        };
        let parts = rated.residuals.iter().enumerate().map(part);
        Ok(history.iter().map(|(id, _)| *id).zip(parts).collect())
    }

    fn gather(&self, items: Rows<'_>, history: &[(u32, f32)]) -> Result<Rated> {
        let mut data = Vec::with_capacity(history.len() * (self.factors + 1));
        let mut residuals = Vec::with_capacity(history.len());
        for &(id, rating) in history {
            let (features, bias) = items.row(id as usize).split_at(self.factors + 1);
            data.extend_from_slice(features);
            residuals.push(rating - self.mean - bias.first().copied().unwrap_or(0.0));
        }
        let features = Matrix::new(self.factors + 1, data)?;
        Ok(Rated { features, ids: (0..history.len() as u32).collect(), residuals })
    }

    fn square(&self) -> Vec<f32> {
        vec![0.0; (self.factors + 1).pow(2)]
    }
}
