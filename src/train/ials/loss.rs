//! The exact training objective. The sum over all pairs, most of which have no event, is the inner product of the two
//! Gramians (Bayer, He, Kanagal & Rendle 2017, "A Generic Coordinate Descent Framework for Learning from Implicit
//! Feedback", lemma 1), so that it costs no more than the pairs with an event.

use rayon::prelude::*;

use super::equations::Equations;
use crate::features::Csr;
use crate::linalg::{Matrix, dot};

/// Rows summed by one task; sums are merged in order, so the loss does not depend on the number of threads.
const BLOCK_ROWS: usize = 1_024;

/// One side of the model: who has how many events, the factors, their Gramian and the equations they solve.
pub struct Side<'a> {
    /// The side's rows, their columns the other side.
    pub matrix: &'a Csr,
    /// `[rows, dim]`.
    pub factors: &'a Matrix,
    /// `[dim, dim]`, of `factors`.
    pub gramian: &'a [f32],
    /// The equations of the side's rows, for their penalty.
    pub equations: &'a Equations,
}

/// The objective at these factors, with `unobserved_weight` for α₀.
pub fn loss(users: &Side<'_>, items: &Side<'_>, unobserved_weight: f64) -> f64 {
    let observed = sum_over_rows(users, |row, x| {
        let (ids, weights) = users.matrix.row(row);
        let miss = |(&id, &weight): (&u32, &f32)| {
            f64::from(weight) * (1.0 - f64::from(dot(x, items.factors.row(id as usize)))).powi(2)
        };
        ids.iter().zip(weights).map(miss).sum()
    });
    let everywhere: f64 = users.gramian.iter().zip(items.gramian).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    observed + unobserved_weight * everywhere + penalty(users) + penalty(items)
}

fn penalty(side: &Side<'_>) -> f64 {
    sum_over_rows(side, |row, x| side.equations.penalty(side.matrix.row(row).0.len()) * f64::from(dot(x, x)))
}

fn sum_over_rows(side: &Side<'_>, term: impl Fn(usize, &[f32]) -> f64 + Sync) -> f64 {
    let dim = side.factors.dim();
    let blocks: Vec<f64> = side
        .factors
        .data()
        .par_chunks(BLOCK_ROWS * dim)
        .enumerate()
        .map(|(block, data)| {
            data.chunks_exact(dim).enumerate().map(|(i, x)| term(block * BLOCK_ROWS + i, x)).sum::<f64>()
        })
        .collect();
    blocks.iter().sum()
}
