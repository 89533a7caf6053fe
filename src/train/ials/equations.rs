//! The normal equations of one row. Training minimises (Rendle, Krichene, Zhang & Koren 2021, eq. 2 to 4)
//!
//! ```text
//! Σ over pairs with an event    w (1 − x·y)²
//! + α₀ Σ over all pairs         (x·y)²
//! + λ Σ over rows of each side  (count + α₀ · size of the other side)^ν |row|²
//! ```
//!
//! so that, the other side's rows y held fixed, a row x solves `(α₀ YᵀY + Σ w y yᵀ + λ(…)^ν I) x = Σ w y`.

use crate::config::TrainConfig;
use crate::error::Result;
use crate::linalg::{Rows, Workspace, add_outer, add_projections, axpy, conjugate_gradient, mat_vec, solve_spd};

/// The events of one row: which rows of the other side, and with what confidence.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The other side, `[n_other, dim]`.
    pub rows: Rows<'a>,
    /// Rows of it; each less than their number.
    pub ids: &'a [u32],
    /// The confidences w beside `ids`.
    pub weights: &'a [f32],
}

impl History<'_> {
    /// The right side of the equations: `out = Σ w y`.
    pub fn right_side(&self, out: &mut [f32]) {
        out.fill(0.0);
        for (&id, &weight) in self.ids.iter().zip(self.weights) {
            axpy(weight, self.rows.row(id as usize), out);
        }
    }
}

/// What the equations of all rows of one side have in common.
#[derive(Clone, Debug)]
pub struct Equations {
    /// α₀ YᵀY, `[dim, dim]`.
    base: Vec<f32>,
    dim: usize,
    regularization: f64,
    exponent: f64,
    /// α₀ times the number of rows of the other side.
    unobserved: f64,
}

impl Equations {
    /// The equations against `n_other` rows with this `gramian`, `[dim, dim]`.
    pub fn new(gramian: &[f32], dim: usize, n_other: usize, config: &TrainConfig) -> Self {
        Self {
            base: gramian.iter().map(|value| (config.unobserved_weight * f64::from(*value)) as f32).collect(),
            dim,
            regularization: config.regularization,
            exponent: config.regularization_exponent,
            unobserved: config.unobserved_weight * n_other as f64,
        }
    }

    /// Length of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// What a row with `count` events pays for its squared length: λ (count + α₀ · other side)^ν.
    pub fn penalty(&self, count: usize) -> f64 {
        self.regularization * (count as f64 + self.unobserved).powf(self.exponent)
    }

    /// Solves `A x = b` exactly for the `A` of a row with this history; `x` holds `b` and becomes the solution, `a`,
    /// `[dim, dim]`, is overwritten.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when rounding has cost the equations their definiteness.
    pub fn solve(&self, history: History<'_>, x: &mut [f32], a: &mut [f32]) -> Result<()> {
        a.copy_from_slice(&self.base);
        add_outer(a, history.rows, history.ids, history.weights);
        let penalty = self.penalty(history.ids.len()) as f32;
        for diagonal in a.iter_mut().step_by(self.dim + 1) {
            *diagonal += penalty;
        }
        solve_spd(a, x, self.dim)
    }

    /// Takes `x` at most `steps` steps of conjugate gradient nearer to the solution of `A x = b`.
    pub fn improve(&self, history: History<'_>, b: &[f32], x: &mut [f32], steps: usize, workspace: &mut Workspace) {
        let penalty = self.penalty(history.ids.len()) as f32;
        let apply = |v: &[f32], out: &mut [f32]| {
            mat_vec(&self.base, v, out);
            axpy(penalty, v, out);
            add_projections(history.rows, history.ids, history.weights, v, out);
        };
        conjugate_gradient(apply, b, x, steps, workspace);
    }
}
