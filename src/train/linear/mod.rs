//! The linear item model: for each item a ridge regression that predicts who has it from who has its nearest items. A
//! sparse item-item matrix whose columns are the regressions: EASE (Steck, WWW 2019) and SLIM (Ning & Karypis, ICDM 2011)
//! made local, so that a catalogue of any size is a batch of small systems.

mod ease;
mod local;
mod nearest;
#[cfg(test)]
mod tests;

pub use local::local;

use crate::config::LinearConfig;
use crate::error::Result;
use crate::features::Csr;
use crate::progress::Progress;
use crate::train::gram_row::Gram;

/// The weights, `[n_items, n_items]`: the row of a past item holds what it adds to the scores of others. `unit` is the mean
/// confidence of `matrix`.
///
/// # Errors
/// [`crate::Error::Invalid`] when the full model is asked for on a catalogue that is too large for it;
/// [`crate::Error::Cancelled`].
pub fn linear(matrix: &Csr, unit: f32, config: &LinearConfig, progress: &dyn Progress) -> Result<Csr> {
    let gram = Gram::new(matrix, config.user_exponent, unit);
    if config.neighbours == 0 {
        return ease::ease(&gram, ridge(config, unit), progress);
    }
    let items: Vec<u32> = (0..gram.n_items() as u32).collect();
    let columns = local(&gram, &items, ridge(config, unit), config, progress)?;
    Ok(Csr::from_rows(gram.n_items(), columns).transpose())
}

/// The penalty in the unit of squared confidences.
fn ridge(config: &LinearConfig, unit: f32) -> f32 {
    config.ridge as f32 * unit * unit
}
