//! Implicit alternating least squares: users against fixed items, items against fixed users, epoch by epoch. Both sides
//! are turned into the principal axes of the fixed one before each pass, where a row's equations are a diagonal and its
//! few events; passes overshoot a little, which brings them to the end in half as many epochs.

mod alternate;
mod axes;
mod block;
mod equations;
mod guide;
mod loss;
mod pass;
mod start;
#[cfg(test)]
mod tests;

use alternate::alternate;
pub use equations::{Equations, History, Scratch};
pub use guide::{Guide, Observer, Verdict, Warm};
use start::initial_items;
pub use start::item_scales;

use super::pool::in_pool;
use super::settle::settle;
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::features::Csr;
use crate::linalg::Matrix;
use crate::progress::Progress;

/// What training gives: the inner product of a user's and an item's row is the item's score for the user.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// `[n_users, dim]`: each the fold-in solution of `items`.
    pub users: Matrix,
    /// `[n_items, dim]`.
    pub items: Matrix,
}

/// Learns factors from `matrix`, `[n_users, n_items]`, whose values are the pairs' confidences, by the method of
/// Rendle, Krichene, Zhang & Koren, "Revisiting the Performance of iALS on Item Recommendation Benchmarks" (2021). After
/// the epochs the users are solved once more, so that they are what fold-in finds for the final items, and the axes are
/// the items' principal ones, the longest first. Settings that are 0 are chosen as [`settle`] says. Training
/// begins where `guide` says and goes on as long as it says, at most through all epochs; with an observer, the model is the best one it saw. Reports
/// [`crate::progress::Step::Epoch`] with the exact loss after each epoch. The factors depend on the arguments alone, not on
/// the threads.
///
/// # Errors
/// [`Error::NoData`] when there are no pairs, or fewer than two users or items; [`Error::Invalid`] for a confidence
/// that is not a positive number, or a configuration under which the factors run out of range; [`Error::Cancelled`].
pub fn guided(matrix: &Csr, config: &TrainConfig, guide: Guide<'_>, progress: &dyn Progress) -> Result<Model> {
    config.validate().map_err(|error| error.within("train"))?;
    check(matrix)?;
    let config = &settle(config, matrix);
    let users = Matrix::zeros(matrix.n_rows(), config.dimension);
    let (items, known) = initial_items(matrix.n_cols(), config, guide.warm)?;
    // A start that is mostly random must not overshoot as one that is near the end may.
    let warm = guide.warm.filter(|_| 2 * known > matrix.n_cols());
    if guide.warm.is_some() {
        tracing::info!(known, items = matrix.n_cols(), is_warm = warm.is_some(), "factors of the earlier model");
    }
    let (start, observer) = (Model { users, items }, guide.observer);
    in_pool(config.threads, || alternate(matrix, config, start, warm, observer, progress))?
}

/// Whether there is anything to learn from. Errors: [`Error::NoData`] and [`Error::Invalid`] as for [`ials`].
pub fn check(matrix: &Csr) -> Result<()> {
    super::model::check(matrix)?;
    for row in 0..matrix.n_rows() {
        let (ids, weights) = matrix.row(row);
        if let Some((id, weight)) = ids.iter().zip(weights).find(|(_, weight)| !(weight.is_finite() && **weight > 0.0))
        {
            let reason = format!("is {weight} for row {row} and column {id}, expected a positive number");
            return Err(Error::invalid("confidence", reason));
        }
    }
    Ok(())
}

/// [`guided`] by nothing.
#[cfg(test)]
pub fn ials(matrix: &Csr, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
    guided(matrix, config, Guide::default(), progress)
}
