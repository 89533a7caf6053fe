//! Where new items are placed beside a model of lists alone, whose vectors say nothing of kinds: the space of the leading
//! singular vectors of the interactions. A user is there what the past items add up to; what an item is, is found by the
//! scores that lists give.

use super::ColdStart;
use crate::error::Result;
use crate::features::{Csr, truncated_svd};
use crate::linalg::{Matrix, axpy, dot, inner_products};
use crate::progress::Silent;
use crate::train::model::Model;

/// Dimensions at most.
const DIMENSIONS: usize = 64;

/// The space, `[n_items, k]`; `None` where vectors of the model say what kind an item is, or nothing does.
pub fn of(model: &Model, matrix: &Csr, seed: u64) -> Result<Option<Matrix>> {
    let is_of_lists = model.fold_in.mix().traits() == 0 && super::has_lists(model);
    if !is_of_lists {
        return Ok(None);
    }
    truncated_svd(matrix, DIMENSIONS, seed, &Silent).map(|svd| Some(svd.right))
}

/// The users in the space, `[n_users, k]`.
pub fn users(model: &Model, matrix: &Csr, space: &Matrix) -> Matrix {
    let unit = vec![model.fold_in.mix().unit.recip(); matrix.n_rows()];
    super::gathered(&matrix.scaled(&unit, &vec![1.0; matrix.n_cols()]), space, matrix.n_rows())
}

/// Adds what the model's vectors say (popularity) to what lists say, `[n_items, k]`; `users` are in the space, scaled.
pub fn add_products(model: &Model, users: &Matrix, scales: &[f32], listed: &mut Matrix) {
    let mut common = Matrix::zeros(users.dim(), model.users.dim());
    for (user, scale) in scales.iter().enumerate() {
        for (axis, value) in users.row(user).iter().enumerate() {
            axpy(value * scale, model.users.row(user), common.row_mut(axis));
        }
    }
    axpy(1.0, inner_products(model.items.as_rows(), common.as_rows()).data(), listed.data_mut());
}

impl ColdStart {
    /// Where somebody with this history of (row, confidence), in units of the mean one, is among new items; `vector` is the
    /// model's.
    pub fn visitor(&self, vector: &[f32], history: &[(u32, f32)], unit: f32) -> Vec<f32> {
        let Some(space) = &self.space else { return vector.to_vec() };
        let mut sum = vec![0.0; space.dim()];
        for &(item, weight) in history.iter().filter(|(item, _)| (*item as usize) < space.rows()) {
            axpy(weight / unit, space.row(item as usize), &mut sum);
        }
        sum
    }

    /// The parts of past items in the score of a new one that is placed in the space, in their order; `None` without one.
    pub fn parts(&self, placed: &[f32], history: &[(u32, f32)], unit: f32) -> Option<Vec<(u32, f64)>> {
        let space = self.space.as_ref()?;
        let part = |&(item, weight): &(u32, f32)| {
            let is_there = (item as usize) < space.rows() && placed.len() == space.dim();
            let product = if is_there { dot(space.row(item as usize), placed) } else { 0.0 };
            (item, f64::from(weight / unit * product))
        };
        Some(history.iter().map(part).collect())
    }
}
