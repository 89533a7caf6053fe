//! Rows of the weighted item-item Gramian RᵀDR, one at a time: what graph filter and linear item model are both made
//! of. The whole product is never held; a row costs one visit of the rows of the item's users.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::features::Csr;
use crate::progress::Progress;

/// Rows that a task takes: enough to be worth handing over, little enough to be cancelled promptly.
const TASK_ROWS: usize = 32;

/// R by rows and by columns, and the weight of each user.
pub struct Gram<'a> {
    by_user: &'a Csr,
    by_item: Csr,
    user_weights: Vec<f32>,
}

impl<'a> Gram<'a> {
    /// Of `matrix`, `[n_users, n_items]`, in which a user weighs mass^−`exponent`, the mass being the sum of the user's
    /// confidences over the mean confidence.
    pub fn new(matrix: &'a Csr, exponent: f64, unit: f32) -> Self {
        let weight = |user| {
            let mass: f32 = matrix.row(user).1.iter().sum();
            if mass > 0.0 { f64::from(mass / unit).powf(-exponent) as f32 } else { 0.0 }
        };
        Self { by_user: matrix, by_item: matrix.transpose(), user_weights: (0..matrix.n_rows()).map(weight).collect() }
    }

    /// Items.
    pub fn n_items(&self) -> usize {
        self.by_user.n_cols()
    }

    /// The users of an item and their confidences.
    pub fn users(&self, item: usize) -> (&[u32], &[f32]) {
        self.by_item.row(item)
    }

    /// Σ over an item's users of weight times squared confidence: the diagonal.
    pub fn diagonal(&self) -> Vec<f32> {
        let of_item = |item| {
            let (users, values) = self.by_item.row(item);
            users.iter().zip(values).map(|(user, value)| self.weight(*user) * value * value).sum()
        };
        (0..self.n_items()).map(of_item).collect()
    }

    /// Computes the row of each of `items` and gives it to `f` with the item's place in `items`; results in that order.
    ///
    /// # Errors
    /// [`Error::Cancelled`], asked for before each task.
    pub fn rows<T: Send>(
        &self,
        items: &[u32],
        progress: &dyn Progress,
        f: impl Fn(usize, &GramRow) -> T + Sync,
    ) -> Result<Vec<T>> {
        let task = |row: &mut GramRow, (task, items): (usize, &[u32])| {
            if progress.cancelled() {
                return Err(Error::Cancelled("training"));
            }
            let each = items.iter().enumerate().map(|(place, &item)| {
                row.compute(self, item as usize);
                f(task * TASK_ROWS + place, row)
            });
            Ok(each.collect::<Vec<T>>())
        };
        let tasks: Vec<Vec<T>> = items
            .par_chunks(TASK_ROWS)
            .enumerate()
            .map_init(|| GramRow::new(self.n_items()), task)
            .collect::<Result<_>>()?;
        Ok(tasks.into_iter().flatten().collect())
    }

    fn weight(&self, user: u32) -> f32 {
        self.user_weights.get(user as usize).copied().unwrap_or(0.0)
    }
}

/// One row, dense, with the list of its entries; reused from row to row.
pub struct GramRow {
    values: Vec<f32>,
    touched: Vec<u32>,
}

impl GramRow {
    fn new(n_items: usize) -> Self {
        Self { values: vec![0.0; n_items], touched: Vec::new() }
    }

    /// Items with an entry, in no order; the diagonal is among them.
    pub fn touched(&self) -> &[u32] {
        &self.touched
    }

    /// The entry of an item.
    pub fn value(&self, item: u32) -> f32 {
        self.values.get(item as usize).copied().unwrap_or(0.0)
    }

    fn compute(&mut self, gram: &Gram<'_>, item: usize) {
        for &touched in &self.touched {
            if let Some(value) = self.values.get_mut(touched as usize) {
                *value = 0.0;
            }
        }
        self.touched.clear();
        // Users in ascending order: sums of floats are the same whoever computes them.
        let (users, confidences) = gram.by_item.row(item);
        for (&user, confidence) in users.iter().zip(confidences) {
            let weight = confidence * gram.weight(user);
            let (others, values) = gram.by_user.row(user as usize);
            for (&other, value) in others.iter().zip(values) {
                let Some(entry) = self.values.get_mut(other as usize) else { continue };
                if *entry == 0.0 {
                    self.touched.push(other);
                }
                *entry += weight * value;
            }
        }
    }
}

/// The `k` entries of the largest score, ascending by item; equal scores by the smaller item. Scores that are not
/// positive are left out.
pub fn strongest(k: usize, scored: impl Iterator<Item = (u32, f32)>) -> Vec<(u32, f32)> {
    let mut kept: Vec<(u32, f32)> = scored.filter(|(_, score)| *score > 0.0).collect();
    if kept.len() > k {
        let better = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if k > 0 {
            kept.select_nth_unstable_by(k - 1, better);
        }
        kept.truncate(k);
    }
    kept.sort_unstable_by_key(|(item, _)| *item);
    kept
}
