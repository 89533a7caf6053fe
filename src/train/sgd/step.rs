//! One minibatch: scores, gradients and steps of the rows that it touches.

use rand::seq::SliceRandom;

use super::blocks::{Block, Cell, Pair};
use super::loss::Loss;
use crate::config::SgdConfig;
use crate::linalg::{Matrix, axpy, dot, project};

/// Keeps the first step finite.
const SMALL: f32 = 1e-6;

/// The gradient of a minibatch with respect to every row that it touches.
pub struct Gradient {
    /// Of the users, in the order of the batch, `[batch, dim]`.
    pub users: Matrix,
    /// Of the items of the batch, `[batch, dim]`.
    pub positives: Matrix,
    /// Of the negatives, `[negatives, dim]`.
    pub negatives: Matrix,
    /// The sum of the pairs' losses.
    pub loss: f64,
}

/// Goes through all pairs of a cell in random order, minibatch by minibatch, and returns the sum of their losses.
pub fn descend(cell: &mut Cell<'_>, loss: &dyn Loss, config: &SgdConfig, rate: f64) -> f64 {
    let mut order = cell.pairs.to_vec();
    order.shuffle(&mut cell.random);
    let known = Known::new(cell.pairs, cell.users.ids.len());
    let in_batch = config.negatives == 0;
    let shares = in_batch.then(|| shares(cell.pairs, cell.items.ids.len()));
    let mut total = 0.0;
    for batch in order.chunks(config.batch) {
        let negatives: Vec<u32> = if in_batch {
            batch.iter().map(|pair| pair.item).collect()
        } else {
            (0..config.negatives).map(|_| cell.sampler.draw(&mut cell.random)).collect()
        };
        let expected = |item: &u32| {
            let probability = match &shares {
                Some(shares) => shares.get(*item as usize).copied().unwrap_or(0.0),
                None => cell.sampler.probability(*item),
            };
            (negatives.len() as f64 * probability * cell.chance).ln() as f32
        };
        let log_expected: Vec<f32> = negatives.iter().map(expected).collect();
        let known = loss.spares_known().then_some(&known);
        let users = &cell.users.rows;
        let gradient = gradient(users, &cell.items.rows, batch, &negatives, &log_expected, known, loss);
        total += gradient.loss;
        let penalty = config.regularization as f32;
        for (k, pair) in batch.iter().enumerate() {
            // The last column of a user is the constant that an item's bias is multiplied with.
            let free = gradient.users.dim() - 1;
            step(cell.users, pair.user, &gradient.users.row(k)[..free], penalty, rate as f32);
            step(cell.items, pair.item, gradient.positives.row(k), penalty, rate as f32);
        }
        for (k, &item) in negatives.iter().enumerate() {
            step(cell.items, item, gradient.negatives.row(k), penalty, rate as f32);
        }
    }
    total
}

/// The gradient of the batch's loss, the penalty left out.
pub fn gradient(
    users: &Matrix,
    items: &Matrix,
    batch: &[Pair],
    negatives: &[u32],
    log_expected: &[f32],
    known: Option<&Known>,
    loss: &dyn Loss,
) -> Gradient {
    let dim = users.dim();
    let x = gather(users, batch.iter().map(|pair| pair.user));
    let y = gather(items, negatives.iter().copied());
    let mut scores = project(x.as_rows(), y.data());
    let mut positives = Matrix::zeros(batch.len(), dim);
    let mut slopes = Vec::with_capacity(batch.len());
    let mut total = 0.0;
    let mut wanted = vec![false; items.rows()];
    for (k, pair) in batch.iter().enumerate() {
        let row = scores.row_mut(k);
        let spared = known.map_or(std::slice::from_ref(&pair.item), |known| known.of(pair.user));
        spared.iter().for_each(|item| wanted[*item as usize] = true);
        for (score, item) in row.iter_mut().zip(negatives) {
            if wanted[*item as usize] {
                *score = f32::NEG_INFINITY;
            }
        }
        spared.iter().for_each(|item| wanted[*item as usize] = false);
        let score = dot(x.row(k), items.row(pair.item as usize));
        let (cost, slope) = loss.differentiate(score, row, log_expected);
        row.iter_mut().for_each(|slope| *slope *= pair.weight);
        total += f64::from(cost * pair.weight);
        slopes.push(slope * pair.weight);
        axpy(slope * pair.weight, x.row(k), positives.row_mut(k));
    }
    let mut of_users = project(scores.as_rows(), transpose(&y).data());
    for (k, pair) in batch.iter().enumerate() {
        axpy(slopes[k], items.row(pair.item as usize), of_users.row_mut(k));
    }
    let of_negatives = project(transpose(&scores).as_rows(), transpose(&x).data());
    Gradient { users: of_users, positives, negatives: of_negatives, loss: total }
}

/// The items of each user in a cell.
pub struct Known {
    ends: Vec<usize>,
    items: Vec<u32>,
}

impl Known {
    /// From pairs that are in the order of the users.
    pub fn new(pairs: &[Pair], users: usize) -> Self {
        let mut ends = vec![0; users + 1];
        for pair in pairs {
            ends[pair.user as usize + 1] += 1;
        }
        for user in 0..users {
            ends[user + 1] += ends[user];
        }
        Self { ends, items: pairs.iter().map(|pair| pair.item).collect() }
    }

    fn of(&self, user: u32) -> &[u32] {
        &self.items[self.ends[user as usize]..self.ends[user as usize + 1]]
    }
}

/// Each item's share of the pairs.
fn shares(pairs: &[Pair], items: usize) -> Vec<f64> {
    let mut shares = vec![0.0; items];
    for pair in pairs {
        shares[pair.item as usize] += 1.0 / pairs.len() as f64;
    }
    shares
}

/// A step against the gradient and the penalty, its length by the row's past gradients (Adagrad, Duchi, Hazan & Singer
/// 2011, with one accumulator for a row): popular items, which are in every batch, settle, rare ones still move.
fn step(block: &mut Block, row: u32, gradient: &[f32], penalty: f32, rate: f32) {
    let numbers = &mut block.rows.row_mut(row as usize)[..gradient.len()];
    let square = &mut block.squares[row as usize];
    *square += dot(gradient, gradient) / gradient.len() as f32;
    let length = rate / (*square + SMALL).sqrt();
    numbers.iter_mut().for_each(|number| *number *= 1.0 - (length * penalty).min(1.0));
    axpy(-length, gradient, numbers);
}

fn gather(from: &Matrix, rows: impl ExactSizeIterator<Item = u32>) -> Matrix {
    let mut out = Matrix::zeros(rows.len(), from.dim());
    for (to, row) in rows.enumerate() {
        out.row_mut(to).copy_from_slice(from.row(row as usize));
    }
    out
}

fn transpose(matrix: &Matrix) -> Matrix {
    let mut out = Matrix::zeros(matrix.dim(), matrix.rows());
    let n = matrix.rows();
    let data = out.data_mut();
    for row in 0..n {
        for (column, value) in matrix.row(row).iter().enumerate() {
            data[column * n + row] = *value;
        }
    }
    out
}
