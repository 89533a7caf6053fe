//! Implicit alternating least squares: users against fixed items, items against fixed users, epoch by epoch.

mod equations;
mod loss;
mod pass;
#[cfg(test)]
mod tests;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

pub use equations::{Equations, History};
use loss::{Side, loss};
use pass::{Method, pass};

use super::settle::settle;
use crate::config::{Solver, TrainConfig};
use crate::error::{Error, Result};
use crate::features::Csr;
use crate::linalg::{Matrix, gramian};
use crate::progress::{Progress, Step};

/// Past this dimension `auto` takes conjugate gradient. Measured with 20 to 30 events a row and three steps: at 8 the
/// exact solution takes half as long, at 16 as long, at 24 half as long again.
const EXACT_TO: usize = 16;
/// Steps that bring the last pass to the solution as near as single precision lets it.
const LAST_STEPS: usize = 64;

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
/// the epochs the users are solved once more, so that they are what fold-in finds for the final items. Settings
/// that are 0 are chosen as [`settle`] says. Reports
/// [`Step::Epoch`] with the exact loss after each epoch. The factors depend on the arguments alone, not on the threads.
///
/// # Errors
/// [`Error::NoData`] when there are no pairs, or fewer than two users or items; [`Error::Invalid`] for a confidence
/// that is not a positive number, or a configuration under which the factors run out of range; [`Error::Cancelled`].
pub fn ials(matrix: &Csr, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
    config.validate().map_err(|error| error.within("train"))?;
    check(matrix)?;
    let config = &settle(config, matrix);
    if config.threads == 0 {
        return alternate(matrix, config, progress);
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.threads)
        .build()
        .map_err(|error| Error::invalid("train.threads", error.to_string()))?;
    pool.install(|| alternate(matrix, config, progress))
}

/// Whether there is anything to learn from. Errors: [`Error::NoData`] and [`Error::Invalid`] as for [`ials`].
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

fn alternate(matrix: &Csr, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
    let transposed = matrix.transpose();
    let (n_users, n_items, dim) = (matrix.n_rows(), matrix.n_cols(), config.dimension);
    let method = match config.solver {
        Solver::Auto if dim <= EXACT_TO => Method::Exact,
        Solver::Cholesky => Method::Exact,
        Solver::Auto | Solver::Cg | Solver::Block => Method::Steps(config.cg_steps),
    };
    let last = if method == Method::Exact { method } else { Method::Steps(LAST_STEPS) };

    let mut users = Matrix::zeros(n_users, dim);
    let mut items = initial(n_items, config)?;
    let mut of_items = gramian(items.as_rows());
    let mut user_equations = Equations::new(&of_items, dim, n_items, config);
    for epoch in 1..=config.epochs {
        pass(matrix, &mut users, items.as_rows(), &user_equations, method, progress)?;
        let of_users = gramian(users.as_rows());
        let item_equations = Equations::new(&of_users, dim, n_users, config);
        pass(&transposed, &mut items, users.as_rows(), &item_equations, method, progress)?;
        of_items = gramian(items.as_rows());
        user_equations = Equations::new(&of_items, dim, n_items, config);

        let user_side = Side { matrix, factors: &users, gramian: &of_users, equations: &user_equations };
        let item_side = Side { matrix: &transposed, factors: &items, gramian: &of_items, equations: &item_equations };
        let loss = loss(&user_side, &item_side, config.unobserved_weight);
        if !loss.is_finite() {
            let reason =
                format!("factors ran out of range in epoch {epoch}; raise regularization or lower the weights");
            return Err(Error::invalid("train", reason));
        }
        progress.report(&Step::Epoch { epoch, epochs: config.epochs, loss });
    }
    pass(matrix, &mut users, items.as_rows(), &user_equations, last, progress)?;
    Ok(Model { users, items })
}

/// Normal numbers with standard deviation init_stddev / √dim.
fn initial(n: usize, config: &TrainConfig) -> Result<Matrix> {
    let stddev = config.init_stddev / (config.dimension as f64).sqrt();
    let normal = Normal::new(0.0, stddev).map_err(|error| Error::invalid("train.init_stddev", error.to_string()))?;
    let random = ChaCha8Rng::seed_from_u64(config.seed);
    let data = normal.sample_iter(random).take(n * config.dimension).map(|value| value as f32).collect();
    Matrix::new(config.dimension, data)
}
