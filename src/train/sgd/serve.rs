//! From what gradient descent found to what serving needs. Users are not kept as they were trained but solved from
//! their histories by the equations of fold-in, against the items' rows `[factors, bias]`: so a known user has exactly
//! the scores that the same history gives to a new one, and every score is a sum over the history. The lists are as good
//! or better on both a dense and a sparse catalogue: an exact solution that also knows what the user did not take, in
//! place of the last few noisy steps.

use rayon::prelude::*;

use crate::config::{BlendConfig, TrainConfig};
use crate::error::Result;
use crate::features::Csr;
use crate::linalg::{Matrix, dot, gramian};
use crate::train::blend::{Parts, assemble};
use crate::train::fold_in::{FoldIn, ItemParts, Mix};
use crate::train::ials::{self, Equations, item_scales};
use crate::train::model::Model;

/// Rounds in which the length of the items settles; each leaves about the square root of the error.
const ROUNDS: usize = 8;
/// Users that are solved in each round.
const SAMPLE: usize = 1_000;

/// A model of these items, `[n_items, dim]`, for the users of `matrix`, under a settled configuration. The knobs of popularity
/// are those of alternating least squares: one in the equations of fold-in, one in the length of the items.
///
/// # Errors
/// Those of [`FoldIn::solve`].
pub fn model(items: Matrix, matrix: &Csr, config: &TrainConfig) -> Result<Model> {
    let all: Vec<usize> = (0..matrix.n_rows()).collect();
    let (users, items) = users(items, matrix, &all, config)?;
    let parts = Parts { ials: Some(ials::Model { users, items }), ..Parts::none(matrix) };
    assemble(parts, &BlendConfig { ials: 1.0, ..BlendConfig::default() }, matrix, config)
}

/// The fold-in solutions of `rows` of `matrix`, `[n_users, dim]` where all other rows are zero, and the items at the length
/// that they are solved against, `[n_items, dim]`.
///
/// # Errors
/// Those of [`FoldIn::solve`].
pub fn users(mut items: Matrix, matrix: &Csr, rows: &[usize], config: &TrainConfig) -> Result<(Matrix, Matrix)> {
    let confidences = item_scales(matrix, config.item_frequency_exponent);
    let sample: Vec<usize> = (0..matrix.n_rows()).step_by(matrix.n_rows().div_ceil(SAMPLE).max(1)).collect();
    for _ in 0..ROUNDS {
        let fold_in = fold_in(&items, &confidences, config)?;
        let factor = better_length(&fold_in, &items, matrix, &sample, config)?;
        items.data_mut().iter_mut().for_each(|value| *value *= factor);
    }
    let solved = solve(&fold_in(&items, &confidences, config)?, &items, matrix, rows)?;
    let mut users = Matrix::zeros(matrix.n_rows(), items.dim());
    rows.iter().enumerate().for_each(|(place, row)| users.row_mut(*row).copy_from_slice(solved.row(place)));
    Ok((users, items))
}

fn fold_in(items: &Matrix, confidences: &[f32], config: &TrainConfig) -> Result<FoldIn> {
    let mix = Mix { factors: items.dim(), ials: 1.0, unit: 1.0, ..Mix::default() };
    let (scales, confidences) = (vec![1.0; items.rows()], confidences.to_vec());
    let parts = ItemParts { scales, confidences, ..ItemParts::default() };
    FoldIn::new(mix, gramian(items.as_rows()), parts, config)
}

/// By what to multiply the items. Their ranking is learned, their length is arbitrary, yet the penalty of fold-in is on the
/// scale of the items of alternating least squares. There the penalties of both sides are equal (else a longer item and a
/// shorter user would lower the loss); users shrink as items grow, so the fourth root of the quotient of the penalties
/// leads there.
fn better_length(
    fold_in: &FoldIn,
    items: &Matrix,
    matrix: &Csr,
    sample: &[usize],
    config: &TrainConfig,
) -> Result<f32> {
    let users = solve(fold_in, items, matrix, sample)?;
    let of_users = Equations::new(&[], 0, matrix.n_cols(), config);
    let of_items = Equations::new(&[], 0, matrix.n_rows(), config);
    let mut counts = vec![0; matrix.n_cols()];
    for row in 0..matrix.n_rows() {
        matrix.row(row).0.iter().for_each(|id| counts[*id as usize] += 1);
    }
    let squared = |row: &[f32]| f64::from(dot(row, row));
    let user = |(place, row): (usize, &usize)| of_users.penalty(matrix.row(*row).0.len()) * squared(users.row(place));
    let item = |(item, count): (usize, &usize)| of_items.penalty(*count) * squared(items.row(item));
    let users: f64 = sample.iter().enumerate().map(user).sum::<f64>() / sample.len().max(1) as f64;
    let items: f64 = counts.iter().enumerate().map(item).sum();
    let factor = (users * matrix.n_rows() as f64 / items).powf(0.25);
    Ok(if factor.is_finite() && factor > 0.0 { factor as f32 } else { 1.0 })
}

fn solve(fold_in: &FoldIn, items: &Matrix, matrix: &Csr, rows: &[usize]) -> Result<Matrix> {
    let mut users = Matrix::zeros(rows.len(), items.dim());
    users.data_mut().par_chunks_exact_mut(items.dim()).zip(rows).try_for_each(|(user, row)| {
        let (ids, weights) = matrix.row(*row);
        let history: Vec<(u32, f32)> = ids.iter().copied().zip(weights.iter().copied()).collect();
        fold_in.solve(items.as_rows(), &history, user)
    })?;
    Ok(users)
}
