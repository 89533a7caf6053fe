//! The normal equations of one row. Training minimises (Rendle, Krichene, Zhang & Koren 2021, eq. 2 to 4)
//!
//! ```text
//! Σ over pairs with an event    w (1 − x·y)²
//! + α₀ Σ over all pairs         (x·y)²
//! + λ Σ over rows of each side  (count + α₀ · size of the other side)^ν |row|²
//! ```
//!
//! so that, the other side's rows y held fixed, a row x solves `(α₀ YᵀY + Σ w y yᵀ + λ(…)^ν I) x = Σ w y`. Scores do not
//! change when both sides are turned alike: in the principal axes of Y, YᵀY is diagonal, and so is all of the matrix but
//! for the row's few events.

use crate::config::TrainConfig;
use crate::error::Result;
use crate::linalg::{Descent, Effort, Rows, Updated, add_outer, axpy, solve_spd};

/// What is not on the diagonal of α₀ YᵀY is taken for zero up to this part of the diagonals it stands between: rounding.
const ROUNDING: f64 = 1e-5;
/// To what part of the right side a residual falls before a row counts as solved.
const SOLVED: f32 = 1e-6;
/// Steps after which a factorisation takes over.
const MAX_STEPS: usize = 64;

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
    base: Base,
    dim: usize,
    regularization: f64,
    exponent: f64,
    /// α₀ times the number of rows of the other side.
    unobserved: f64,
}

/// α₀ YᵀY.
#[derive(Clone, Debug)]
enum Base {
    /// `[dim, dim]`.
    Full(Vec<f32>),
    /// In principal axes: the diagonal, `[dim]`.
    Diagonal(Vec<f32>),
}

/// What a row is solved in, kept from one row to the next.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// For conjugate gradient.
    pub descent: Descent,
    /// For factorisations, `[dim, dim]` once one was needed.
    pub square: Vec<f32>,
}

impl Equations {
    /// The equations against `n_other` rows with this `gramian`, `[dim, dim]`.
    pub fn new(gramian: &[f32], dim: usize, n_other: usize, config: &TrainConfig) -> Self {
        let mut equations = Self::along(&[], n_other, config);
        equations.dim = dim;
        let scaled = |value: &f32| (config.unobserved_weight * f64::from(*value)) as f32;
        let diagonal: Vec<f32> = gramian.iter().step_by(dim + 1).map(scaled).collect();
        let least = equations.penalty(0);
        let reach: Vec<f64> = diagonal.iter().map(|value| (f64::from(value.max(0.0)) + least).sqrt()).collect();
        let is_rounding = |(at, value): (usize, &f32)| {
            let (i, j) = (at / dim, at % dim);
            i == j || f64::from(scaled(value)).abs() <= ROUNDING * reach[i] * reach[j]
        };
        equations.base = if gramian.iter().enumerate().all(is_rounding) {
            Base::Diagonal(diagonal)
        } else {
            Base::Full(gramian.iter().map(scaled).collect())
        };
        equations
    }

    /// The equations in the principal axes of `n_other` rows, whose Gramian has these `eigenvalues`, `[dim]`.
    pub fn along(eigenvalues: &[f64], n_other: usize, config: &TrainConfig) -> Self {
        Self {
            // Rounding makes some eigenvalues of a positive semidefinite matrix negative.
            base: Base::Diagonal(eigenvalues.iter().map(|v| (config.unobserved_weight * v.max(0.0)) as f32).collect()),
            dim: eigenvalues.len(),
            regularization: config.regularization,
            exponent: config.regularization_exponent,
            unobserved: config.unobserved_weight * n_other as f64,
        }
    }

    /// What a row with `count` events pays for its squared length: λ (count + α₀ · other side)^ν.
    pub fn penalty(&self, count: usize) -> f64 {
        self.regularization * (count as f64 + self.unobserved).powf(self.exponent)
    }

    /// Solves `A x = b` exactly for the `A` of a row with this history, by Cholesky factorisation; `x` holds `b` and
    /// becomes the solution, `a`, `[dim, dim]`, is overwritten.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when rounding has cost the equations their definiteness.
    pub fn solve(&self, history: History<'_>, x: &mut [f32], a: &mut [f32]) -> Result<()> {
        match &self.base {
            Base::Full(base) => a.copy_from_slice(base),
            Base::Diagonal(diagonal) => {
                a.fill(0.0);
                a.iter_mut().step_by(self.dim + 1).zip(diagonal).for_each(|(a, value)| *a = *value);
            }
        }
        add_outer(a, history.rows, history.ids, history.weights);
        let penalty = self.penalty(history.ids.len()) as f32;
        a.iter_mut().step_by(self.dim + 1).for_each(|diagonal| *diagonal += penalty);
        solve_spd(a, x, self.dim)
    }

    /// Solves as [`Equations::solve`] does, to single precision, in the way that is quickest: in principal axes by
    /// conjugate gradient, which costs a few times h · dim for h events; elsewhere, and where that does not arrive, by
    /// factorisation.
    ///
    /// # Errors
    /// Those of [`Equations::solve`].
    pub fn solve_row(&self, history: History<'_>, x: &mut [f32], scratch: &mut Scratch) -> Result<()> {
        if let Some(system) = self.system(history) {
            let right_side = x.to_vec();
            if scratch.descent.solve(system, x, Effort { steps: MAX_STEPS, tolerance: SOLVED, relaxation: 1.0 }) {
                return Ok(());
            }
            x.copy_from_slice(&right_side);
        }
        scratch.square.resize(self.dim * self.dim, 0.0);
        self.solve(history, x, &mut scratch.square)
    }

    /// The equations of a row with this history in principal axes; `None` elsewhere.
    pub fn system<'a>(&'a self, history: History<'a>) -> Option<Updated<'a>> {
        let Base::Diagonal(diagonal) = &self.base else { return None };
        let shift = self.penalty(history.ids.len()) as f32;
        Some(Updated { diagonal, shift, rows: history.rows, ids: history.ids, weights: history.weights })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{Matrix, gramian};

    fn config() -> TrainConfig {
        TrainConfig { unobserved_weight: 0.1, regularization: 0.003, ..TrainConfig::default() }
    }

    #[test]
    fn a_row_has_the_same_solution_by_conjugate_gradient_and_by_factorisation() {
        let mut rows = Matrix::new(6, (0..240).map(|i| (i as f32 * 0.7).sin()).collect()).unwrap();
        let eigenvalues = super::super::axes::align(&mut rows, None).unwrap();
        for equations in
            [Equations::along(&eigenvalues, 40, &config()), Equations::new(&gramian(rows.as_rows()), 6, 40, &config())]
        {
            for h in [0, 1, 5, 39] {
                let ids: Vec<u32> = (0..h).collect();
                let weights: Vec<f32> = ids.iter().map(|id| 1.0 + *id as f32).collect();
                let history = History { rows: rows.as_rows(), ids: &ids, weights: &weights };
                assert!(equations.system(history).is_some());
                let mut exact: Vec<f32> = vec![1.0, -2.0, 3.0, 0.5, 0.0, -1.0];
                let mut quick = exact.clone();
                equations.solve(history, &mut exact, &mut [0.0; 36]).unwrap();
                equations.solve_row(history, &mut quick, &mut Scratch::default()).unwrap();
                let scale = exact.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                for (quick, exact) in quick.iter().zip(&exact) {
                    assert!((quick - exact).abs() < 1e-4 * scale, "{quick} for {exact} with {h} events");
                }
            }
        }
    }

    #[test]
    fn a_gramian_that_is_not_diagonal_is_solved_whole() {
        let rows = Matrix::new(3, (0..60).map(|i| (i as f32 * 0.7).sin() + 1.0).collect()).unwrap();
        let equations = Equations::new(&gramian(rows.as_rows()), 3, 20, &config());
        let history = History { rows: rows.as_rows(), ids: &[1, 4], weights: &[1.0, 2.0] };
        assert!(equations.system(history).is_none());
        let (mut exact, mut quick) = (vec![1.0, 2.0, 3.0], vec![1.0, 2.0, 3.0]);
        equations.solve(history, &mut exact, &mut [0.0; 9]).unwrap();
        equations.solve_row(history, &mut quick, &mut Scratch::default()).unwrap();
        assert_eq!(exact, quick);
    }
}
