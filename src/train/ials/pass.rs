//! One half of an epoch: every row of one side is solved anew against the fixed other side. Rows are independent, so
//! they are spread over the threads in small groups, the longest rows first: no thread is left with a long row when the
//! others have finished, and the result does not depend on who solved what.

use rayon::prelude::*;

use super::equations::{Equations, History};
use crate::error::{Error, Result};
use crate::features::Csr;
use crate::linalg::{Matrix, Rows, Workspace};
use crate::progress::Progress;

/// Entries and rows that make a group: enough to be worth handing over, little enough to be cancelled promptly.
const GROUP_WORK: usize = 2_048;

/// How the rows of a pass are solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Exactly, by Cholesky factorisation.
    Exact,
    /// So many steps of conjugate gradient from the row as it is.
    Steps(usize),
}

/// Solves every row of `rows` against `other`, whose columns `matrix` names. A row without entries becomes zero.
///
/// # Errors
/// [`Error::Cancelled`], asked for before each group; [`Error::Invalid`] from a row that cannot be solved.
pub fn pass(
    matrix: &Csr,
    rows: &mut Matrix,
    other: Rows<'_>,
    equations: &Equations,
    method: Method,
    progress: &dyn Progress,
) -> Result<()> {
    let dim = rows.dim();
    let mut targets: Vec<(usize, &mut [f32])> = rows.data_mut().chunks_exact_mut(dim).enumerate().collect();
    // Stable, so that equally long rows keep their order and neighbours in memory stay together.
    targets.sort_by_key(|(row, _)| std::cmp::Reverse(matrix.row(*row).0.len()));
    groups(targets, |(row, _)| 1 + matrix.row(*row).0.len()).into_iter().par_bridge().try_for_each_init(
        || Scratch::new(dim, method),
        |scratch, group| {
            if progress.cancelled() {
                return Err(Error::Cancelled("training"));
            }
            for (row, x) in group {
                let (ids, weights) = matrix.row(row);
                scratch.solve(equations, History { rows: other, ids, weights }, method, x)?;
            }
            Ok(())
        },
    )
}

/// Cuts `targets` into runs of about [`GROUP_WORK`].
fn groups<T>(targets: Vec<T>, work: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
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
struct Scratch {
    a: Vec<f32>,
    b: Vec<f32>,
    workspace: Workspace,
}

impl Scratch {
    fn new(dim: usize, method: Method) -> Self {
        let entries = if method == Method::Exact { dim * dim } else { 0 };
        Self { a: vec![0.0; entries], b: vec![0.0; dim], workspace: Workspace::new(dim) }
    }

    fn solve(&mut self, equations: &Equations, history: History<'_>, method: Method, x: &mut [f32]) -> Result<()> {
        if history.ids.is_empty() {
            x.fill(0.0);
            return Ok(());
        }
        match method {
            Method::Exact => {
                history.right_side(x);
                equations.solve(history, x, &mut self.a)
            }
            Method::Steps(steps) => {
                history.right_side(&mut self.b);
                equations.improve(history, &self.b, x, steps, &mut self.workspace);
                Ok(())
            }
        }
    }
}
