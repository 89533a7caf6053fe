//! One row of the alternation: a user's (or an item's) factors and bias from ratings, the other side held fixed. With
//! residuals e = rating − mean − bias of the other side, the row z = [x, b] minimises
//!
//! ```text
//! Σ over the row's ratings (e − x·y − b)² + λ σ countᵛ |x|² + λ_b b²
//! ```
//!
//! a ridge regression on the features [y, 1]. σ is the standard deviation of all ratings: with it, stars from 1 to 5 and
//! marks from 0 to 100 are learned alike.

use super::RatingScale;
use crate::config::RatingsConfig;
use crate::error::Result;
use crate::linalg::{Rows, add_outer, axpy, solve_spd};

/// Stands for the deviation where all ratings are the same.
const SMALLEST_DEVIATION: f64 = 1e-3;

/// The penalties of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ridge {
    factors: f64,
    exponent: f64,
    bias: f64,
}

impl Ridge {
    /// As configured, for ratings of this scale.
    pub fn new(config: &RatingsConfig, scale: RatingScale) -> Self {
        Self {
            factors: config.regularization * f64::from(scale.deviation).max(SMALLEST_DEVIATION),
            exponent: config.regularization_exponent,
            bias: config.bias_regularization,
        }
    }

    /// λ σ countᵛ: what a row with `count` ratings pays for the squared length of its factors.
    pub fn penalty(&self, count: usize) -> f64 {
        self.factors * (count as f64).powf(self.exponent)
    }

    /// λ_b: what a row pays for its squared bias.
    pub fn bias_penalty(&self) -> f64 {
        self.bias
    }

    /// Solves `A z = right` for the `A` of a row that rated `ids` among `features`, rows `[y, 1]`; `right` becomes z. `a`,
    /// `[dim, dim]`, is overwritten.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when rounding has cost the equations their definiteness.
    pub fn solve(&self, features: Rows<'_>, ids: &[u32], right: &mut [f32], a: &mut [f32]) -> Result<()> {
        let dim = features.dim();
        a.fill(0.0);
        add_outer(a, features, ids, &vec![1.0; ids.len()]);
        let penalty = self.penalty(ids.len()) as f32;
        for diagonal in a.iter_mut().step_by(dim + 1) {
            *diagonal += penalty;
        }
        if let Some(last) = a.last_mut() {
            *last += self.bias as f32 - penalty;
        }
        solve_spd(a, right, dim)
    }
}

/// `out = Σ residual · feature` over a row's ratings.
pub fn right_side(features: Rows<'_>, ids: &[u32], residuals: impl Iterator<Item = f32>, out: &mut [f32]) {
    out.fill(0.0);
    for (&id, residual) in ids.iter().zip(residuals) {
        axpy(residual, features.row(id as usize), out);
    }
}
