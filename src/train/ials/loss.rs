//! The exact training objective, put together from what the passes know. The sum over all pairs, most of which have no
//! event, is the inner product of the two Gramians (Bayer, He, Kanagal & Rendle 2017, "A Generic Coordinate Descent
//! Framework for Learning from Implicit Feedback", lemma 1); in the principal axes of one side it takes the diagonals
//! alone.

use rayon::prelude::*;

use super::equations::Equations;
use crate::features::Csr;
use crate::linalg::{Matrix, dot};

/// Rows summed by one task; sums are merged in order, so the loss does not depend on the number of threads.
const BLOCK_ROWS: usize = 1_024;

/// `Σ (x·y)²` over all pairs: the eigenvalues, `[dim]`, of one side's Gramian times the diagonal of the other's
/// `gramian`, `[dim, dim]`, in the same axes.
pub fn everywhere(eigenvalues: &[f64], gramian: &[f64]) -> f64 {
    eigenvalues.iter().zip(gramian.iter().step_by(eigenvalues.len() + 1)).map(|(a, b)| a * b).sum()
}

/// What the rows of one side pay for their length: λ Σ (count + α₀ · other side)^ν |row|². `matrix` has their events.
pub fn penalty(matrix: &Csr, factors: &Matrix, equations: &Equations) -> f64 {
    let dim = factors.dim();
    let block = |(block, data): (usize, &[f32])| -> f64 {
        let row = |(i, x): (usize, &[f32])| {
            equations.penalty(matrix.row(block * BLOCK_ROWS + i).0.len()) * f64::from(dot(x, x))
        };
        data.chunks_exact(dim).enumerate().map(row).sum()
    };
    let blocks: Vec<f64> = factors.data().par_chunks(BLOCK_ROWS * dim).enumerate().map(block).collect();
    blocks.iter().sum()
}
