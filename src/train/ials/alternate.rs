//! The epochs: both passes, the loss between them, and the users' last pass.

use super::Model;
use super::axes::{align, align_by};
use super::equations::Equations;
use super::guide::{Observer, Verdict, Warm};
use super::loss::{everywhere, penalty};
use super::pass::{Against, Method, Side};
use super::start::item_scales;
use crate::config::{Solver, TrainConfig};
use crate::error::{Error, Result};
use crate::features::Csr;
use crate::linalg::{Effort, Matrix, gramian_f64};
use crate::progress::{Progress, Step};

/// Up to this dimension `auto` solves exactly. Processor time on Gowalla, 10 epochs to the same loss, conjugate gradient,
/// Cholesky and blocks of 32: d = 4 0.75, 0.67, 0.91 s; d = 8 0.75, 0.83, 1.08 s; d = 16 0.99, 1.55, 1.89 s; d = 32 1.24,
/// 4.08, 4.62 s. At d = 512, 3 epochs, conjugate gradient takes 7.7 s and blocks 23.9 s, to a higher loss: principal axes
/// leave blocks nothing to be quicker at, and `auto` never takes them.
const EXACT_TO: usize = 4;
/// Numbers that `block` solves together.
const BLOCK: usize = 32;
/// How the last pass solves the users: to where single precision ends.
const LAST: Effort = Effort { steps: 64, tolerance: 1e-5, relaxation: 1.0 };
/// Successive over-relaxation (Young 1954): how many times the way to its solution a row goes at last. Alternation alone
/// comes nearer to the end by a quarter an epoch, with this by more than half.
const RELAXATION: f32 = 1.5;
/// Epochs in which it rises from 1: far from the end, a row's solution is not worth overshooting.
const RELAXATION_RISES: usize = 4;

/// Learns from `start` on. The epochs of a start that is `warm` overshoot from the first on, and end when they gain no more
/// than what it calls enough.
///
/// # Errors
/// [`Error::Invalid`] when factors run out of range, [`Error::Cancelled`].
pub fn alternate(
    matrix: &Csr,
    config: &TrainConfig,
    start: Model,
    warm: Option<Warm<'_>>,
    mut observer: Option<&mut dyn Observer>,
    progress: &dyn Progress,
) -> Result<Model> {
    let transposed = matrix.transpose();
    let scales = item_scales(matrix, config.item_frequency_exponent);
    let (user_side, item_side) = (Side::new(matrix, &[], &scales), Side::new(&transposed, &scales, &[]));
    let (n_users, n_items) = (matrix.n_rows(), matrix.n_cols());
    let method = method(config);
    let Model { mut users, mut items } = start;
    let (mut best, mut last) = (None, f64::INFINITY);
    let enough = warm.and_then(|warm| warm.enough);

    let mut of_items = align(&mut items, Some(&mut users))?;
    for epoch in 1..=config.epochs {
        let out_of_range = |_| {
            let reason = format!("ran out of range in epoch {epoch}; raise regularization or lower the weights");
            Error::invalid("factors", reason)
        };
        let relaxation = relaxation(if warm.is_some() { RELAXATION_RISES + epoch } else { epoch });
        let equations = Equations::along(&of_items, n_items, config);
        let against = Against { other: items.as_rows(), equations: &equations };
        // Users that nothing is known of must not overshoot from zero.
        user_side.pass(&mut users, against, method, if epoch == 1 { 1.0 } else { relaxation }, progress)?;
        let users_pay = penalty(matrix, &users, &equations);

        let of_users = align(&mut users, Some(&mut items)).map_err(out_of_range)?;
        let equations = Equations::along(&of_users, n_users, config);
        let against = Against { other: users.as_rows(), equations: &equations };
        let missed = item_side.pass(&mut items, against, method, relaxation, progress)?;
        let items_pay = penalty(&transposed, &items, &equations);

        let gramian = gramian_f64(items.as_rows());
        let loss = missed + config.unobserved_weight * everywhere(&of_users, &gramian) + users_pay + items_pay;
        of_items = align_by(&gramian, &mut items, Some(&mut users)).map_err(out_of_range)?;
        progress.report(&Step::Epoch { epoch, epochs: config.epochs, loss });

        if let Some(observer) = &mut observer {
            let mut solved = users.clone();
            finish(&user_side, &mut solved, &items, &of_items, method, config, progress)?;
            let verdict = observer.epoch(epoch, &solved, &items);
            if verdict == Verdict::Best || best.is_none() {
                best = Some(Model { users: solved, items: items.clone() });
            }
            if verdict == Verdict::Stop {
                break;
            }
        }
        if enough.is_some_and(|enough| (last - loss).abs() <= enough * loss) {
            break;
        }
        last = loss;
    }
    if let Some(best) = best {
        return Ok(best);
    }
    finish(&user_side, &mut users, &items, &of_items, method, config, progress)?;
    Ok(Model { users, items })
}

/// Solves the users for good, against items in their principal axes.
fn finish(
    side: &Side<'_>,
    users: &mut Matrix,
    items: &Matrix,
    of_items: &[f64],
    method: Method,
    config: &TrainConfig,
    progress: &dyn Progress,
) -> Result<()> {
    let equations = Equations::along(of_items, items.rows(), config);
    let method = if method == Method::Exact { method } else { Method::Descent(LAST) };
    side.pass(users, Against { other: items.as_rows(), equations: &equations }, method, 1.0, progress)?;
    Ok(())
}

fn method(config: &TrainConfig) -> Method {
    match config.solver {
        Solver::Auto if config.dimension <= EXACT_TO => Method::Exact,
        Solver::Auto => Method::Adapted,
        Solver::Cholesky => Method::Exact,
        Solver::Cg => Method::Descent(Effort { steps: config.cg_steps, tolerance: 0.0, relaxation: 1.0 }),
        Solver::Block => Method::Block(BLOCK),
    }
}

fn relaxation(epoch: usize) -> f32 {
    let risen = (epoch.saturating_sub(1) as f32 / RELAXATION_RISES as f32).min(1.0);
    1.0 + (RELAXATION - 1.0) * risen
}
