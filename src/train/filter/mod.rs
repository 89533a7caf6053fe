//! The graph filter: closed form, no epochs. Scores are the history's rows of the pruned, normalised item-item matrix,
//! plus the low-pass part by singular vectors. Both are sums over a user's items, so known users, new users and sessions
//! are scored by the same code.

mod neighbours;
#[cfg(test)]
mod tests;

pub use neighbours::neighbours;

use crate::config::TrainConfig;
use crate::error::Result;
use crate::features::{Csr, Svd, truncated_svd};
use crate::linalg::Matrix;
use crate::progress::Progress;

/// The low-pass part: an item is d_i^e V_i S, a user Σ w_j d_j^−e V_j S, S the square root of what passes.
pub struct LowPass {
    /// d_i^e V_i S, `[n_items, components]`.
    pub items: Matrix,
    /// d_i^−2e, `[n_items]`: times `items` it is what a user sums.
    pub degrees: Vec<f32>,
}

/// The low-pass part of `matrix`, whose mean confidence is `unit`. Items without users have zero rows.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub fn low_pass(matrix: &Csr, unit: f32, config: &TrainConfig, progress: &dyn Progress) -> Result<LowPass> {
    let exponent = config.filter.low_pass_exponent;
    let users = masses(matrix, unit);
    let items = masses(&matrix.transpose(), unit);
    let powers = |masses: &[f32], exponent: f64| -> Vec<f32> {
        let power = |mass: &f32| if *mass > 0.0 { f64::from(*mass).powf(exponent) as f32 } else { 0.0 };
        masses.iter().map(power).collect()
    };
    let normalised = matrix.scaled(&powers(&users, -exponent), &powers(&items, -exponent));
    let Svd { values, mut right } = truncated_svd(&normalised, config.filter.components, config.seed, progress)?;
    tracing::debug!(components = values.len(), largest = values.first(), least = values.last(), "singular values");
    let largest = values.first().copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
    let passing = |value: &f64| (value / largest).powf(config.filter.spectral_exponent / 2.0) as f32;
    let passing: Vec<f32> = values.iter().map(passing).collect();
    for (item, power) in powers(&items, exponent).into_iter().enumerate() {
        right.row_mut(item).iter_mut().zip(&passing).for_each(|(value, passing)| *value *= power * passing);
    }
    let degrees = items.iter().map(|mass| f64::from(mass.max(f32::MIN_POSITIVE)).powf(-2.0 * exponent) as f32);
    // An item without users has no components; any finite number does.
    let degrees = degrees.zip(&items).map(|(power, mass)| if *mass > 0.0 { power } else { 1.0 }).collect();
    Ok(LowPass { items: right, degrees })
}

/// The sum of each row's confidences, in units of the mean one.
pub fn masses(matrix: &Csr, unit: f32) -> Vec<f32> {
    (0..matrix.n_rows()).map(|row| matrix.row(row).1.iter().sum::<f32>() / unit).collect()
}
