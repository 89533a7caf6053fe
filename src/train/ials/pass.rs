//! One half of an epoch: every row of one side is solved anew against the fixed other side. Rows are independent, so
//! they are spread over the threads in small groups, the longest rows first: no thread is left with a long row when the
//! others have finished, and the result does not depend on who solved what.

use rayon::prelude::*;

use super::block::{Blocks, improve};
use super::equations::{Equations, History, Scratch};
use crate::error::{Error, Result};
use crate::features::Csr;
use crate::linalg::{Effort, Matrix, Rows, dot};
use crate::progress::Progress;

/// Entries and rows that make a group: enough to be worth handing over, little enough to be cancelled promptly.
const GROUP_WORK: usize = 2_048;

/// Rows up to this length are so near to their solution after the first number of steps that another one gains less
/// than it costs; longer ones, which are further from a diagonal, take the second. Measured at d = 64: on Gowalla (27
/// events a user) a third step changes the loss of epoch 9 by 10⁻⁵ of it, on a set in the shape of MovieLens-20M (142) it
/// saves one epoch in six, and a fourth saves no more.
const FEW_EVENTS: usize = 64;
const STEPS_FOR_FEW: usize = 2;
const STEPS_FOR_MANY: usize = 3;

/// How the rows of a pass are solved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Exactly, by Cholesky factorisation.
    Exact,
    /// By conjugate gradient from the row as it is.
    Descent(Effort),
    /// By so many steps of it as the row's events ask for.
    Adapted,
    /// Block by block of so many numbers (iALS++).
    Block(usize),
}

/// One side as passes see it.
pub struct Side<'a> {
    matrix: &'a Csr,
    /// Factors of the confidences, by row and by column; empty for none.
    row_scales: &'a [f32],
    column_scales: &'a [f32],
    /// Rows, the longest first.
    order: Vec<u32>,
}

/// What rows are solved against: the other side in its principal axes, and the equations of its Gramian.
#[derive(Clone, Copy)]
pub struct Against<'a> {
    pub other: Rows<'a>,
    pub equations: &'a Equations,
}

impl<'a> Side<'a> {
    /// The rows of `matrix`. A confidence counts times the scale of its row and that of its column; no scales are 1.
    pub fn new(matrix: &'a Csr, row_scales: &'a [f32], column_scales: &'a [f32]) -> Self {
        let mut order: Vec<u32> = (0..matrix.n_rows() as u32).collect();
        // Stable, so that equally long rows keep their order and neighbours in memory stay together.
        order.sort_by_key(|row| std::cmp::Reverse(matrix.row(*row as usize).0.len()));
        Self { matrix, row_scales, column_scales, order }
    }

    /// Solves every row of `rows`, and goes `relaxation` times the way to each exact or block solution, as
    /// [`Effort::relaxation`] says for the others. A row without entries becomes zero. Returns `Σ w (1 − x·y)²`.
    ///
    /// # Errors
    /// [`Error::Cancelled`], asked for before each group; [`Error::Invalid`] from a row that cannot be solved.
    pub fn pass(
        &self,
        rows: &mut Matrix,
        against: Against<'_>,
        method: Method,
        relaxation: f32,
        progress: &dyn Progress,
    ) -> Result<f64> {
        let dim = rows.dim();
        let mut slices: Vec<Option<&mut [f32]>> = rows.data_mut().chunks_exact_mut(dim).map(Some).collect();
        let in_order = self.order.iter().filter_map(|&row| Some((row as usize, slices.get_mut(row as usize)?.take()?)));
        let groups = groups(in_order, |(row, _)| 1 + self.matrix.row(*row).0.len());
        let solve = |solver: &mut RowSolver, (place, group): (usize, Vec<(usize, &mut [f32])>)| {
            if progress.cancelled() {
                return Err(Error::Cancelled("training"));
            }
            let mut missed = 0.0;
            for (row, x) in group {
                missed += solver.solve(self, row, x, against, method, relaxation)?;
            }
            Ok((place, missed))
        };
        let mut missed: Vec<(usize, f64)> =
            groups.into_iter().enumerate().par_bridge().map_init(RowSolver::default, solve).collect::<Result<_>>()?;
        // Summed in one order, whoever was first.
        missed.sort_by_key(|(place, _)| *place);
        Ok(missed.iter().map(|(_, missed)| missed).sum())
    }
}

/// Cuts `targets` into runs of about [`GROUP_WORK`].
fn groups<T>(targets: impl Iterator<Item = T>, work: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut groups = Vec::new();
    let (mut group, mut done) = (Vec::new(), 0);
    for target in targets {
        done += work(&target);
        group.push(target);
        if done >= GROUP_WORK {
            groups.push(std::mem::take(&mut group));
            done = 0;
        }
    }
    groups.push(group);
    groups
}

/// What a thread needs to solve rows, allocated once.
#[derive(Default)]
struct RowSolver {
    scratch: Scratch,
    blocks: Blocks,
    weights: Vec<f32>,
    old: Vec<f32>,
}

impl RowSolver {
    /// Solves one row; returns its `Σ w (1 − x·y)²`.
    fn solve(
        &mut self,
        side: &Side<'_>,
        row: usize,
        x: &mut [f32],
        against: Against<'_>,
        method: Method,
        relaxation: f32,
    ) -> Result<f64> {
        let (ids, weights) = side.matrix.row(row);
        if ids.is_empty() {
            x.fill(0.0);
            return Ok(0.0);
        }
        let Self { scratch, blocks, weights: scaled, old } = self;
        let history = History { rows: against.other, ids, weights: scale(side, row, ids, weights, scaled) };
        match (method, against.equations.system(history)) {
            (Method::Descent(effort), Some(system)) => {
                return Ok(scratch.descent.fit(system, x, Effort { relaxation, ..effort }));
            }
            (Method::Adapted, Some(system)) => {
                let steps = if ids.len() <= FEW_EVENTS { STEPS_FOR_FEW } else { STEPS_FOR_MANY };
                return Ok(scratch.descent.fit(system, x, Effort { steps, tolerance: 0.0, relaxation }));
            }
            (Method::Block(size), Some(system)) => return improve(system, x, size, relaxation, blocks),
            _ => {}
        }
        old.clear();
        old.extend_from_slice(x);
        history.right_side(x);
        scratch.square.resize(x.len() * x.len(), 0.0);
        against.equations.solve(history, x, &mut scratch.square)?;
        x.iter_mut().zip(&*old).for_each(|(x, old)| *x = old + relaxation * (*x - old));
        let miss = |(&id, &weight): (&u32, &f32)| {
            f64::from(weight) * (1.0 - f64::from(dot(x, history.rows.row(id as usize)))).powi(2)
        };
        Ok(ids.iter().zip(history.weights).map(miss).sum())
    }
}

/// The row's confidences times the scales.
fn scale<'a>(side: &Side<'_>, row: usize, ids: &[u32], weights: &'a [f32], scaled: &'a mut Vec<f32>) -> &'a [f32] {
    if side.row_scales.is_empty() && side.column_scales.is_empty() {
        return weights;
    }
    let of_row = side.row_scales.get(row).copied().unwrap_or(1.0);
    let of_column = |id: u32| side.column_scales.get(id as usize).copied().unwrap_or(1.0);
    scaled.clear();
    scaled.extend(ids.iter().zip(weights).map(|(&id, weight)| weight * of_row * of_column(id)));
    scaled
}
