//! Retrieval whose lists are arranged, as something that can be measured: by the same code that answers.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::diversity::{Quota, Traits, Values, arrange};
use crate::eval::{Scorer, unseen};
use crate::features::{Holdout, ValueMix};
use crate::linalg::Matrix;
use crate::record::{Diversity, Item, ItemId};

/// Above any score.
const ABOVE: f32 = 1e30;

/// The values of some attributes of all items.
pub struct ItemValues {
    keys: Vec<String>,
    values: Values,
    /// For each key.
    of_items: Vec<FxHashMap<ItemId, Vec<u32>>>,
}

impl ItemValues {
    /// Of no item yet.
    pub fn new(mut keys: Vec<String>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        let of_items = keys.iter().map(|_| FxHashMap::default()).collect();
        Self { keys, values: Values::default(), of_items }
    }

    /// Takes in an item.
    pub fn add(&mut self, id: ItemId, item: &Item) {
        for (key, of_items) in self.keys.iter().zip(&mut self.of_items) {
            let values = self.values.of(item, key);
            if !values.is_empty() {
                of_items.insert(id, values);
            }
        }
    }

    /// Those of the columns of a training part, `[columns]`; nothing if no item at all has the attribute.
    pub fn of_columns(&self, key: &str, holdout: &Holdout) -> Option<Vec<Vec<u32>>> {
        let place = self.keys.iter().position(|known| known == key)?;
        let of_items = self.of_items.get(place).filter(|of_items| !of_items.is_empty())?;
        let of = |item: &ItemId| of_items.get(item).cloned().unwrap_or_default();
        Some(holdout.train.items.iter().map(of).collect())
    }
}

/// The first `limit` places of another scorer's lists arranged, as an answer of that many items would be; what follows
/// stands in the order of the scores.
pub struct ArrangedScorer<'a> {
    name: String,
    scorer: &'a dyn Scorer,
    holdout: &'a Holdout,
    items: &'a Matrix,
    wanted: &'a Diversity,
    limit: usize,
    bounded: Option<Vec<Vec<u32>>>,
    calibrated: Option<Vec<Vec<u32>>>,
}

impl<'a> ArrangedScorer<'a> {
    /// `items`, `[columns, dim]`, are the vectors by which items are alike.
    pub fn new(
        scorer: &'a dyn Scorer,
        holdout: &'a Holdout,
        items: &'a Matrix,
        values: &ItemValues,
        wanted: &'a Diversity,
        limit: usize,
    ) -> Self {
        let of = |key: &str| values.of_columns(key, holdout).unwrap_or(vec![Vec::new(); items.rows()]);
        Self {
            name: format!("{}, {wanted}", scorer.name()),
            scorer,
            holdout,
            items,
            wanted,
            limit,
            bounded: wanted.max_per.as_ref().map(|bound| of(&bound.key)),
            calibrated: wanted.calibration.as_ref().map(|calibration| of(&calibration.key)),
        }
    }

    /// The columns of a user's arranged places.
    fn arranged(&self, row: u32, scores: &[f32]) -> Vec<u32> {
        let (seen, weights) = self.holdout.train.matrix.row(row as usize);
        let mut best = unseen(scores, self.holdout.left_out(row), self.wanted.candidates(self.limit), &mut Vec::new());
        let score = |column: &u32| scores.get(*column as usize).copied().unwrap_or(f32::NEG_INFINITY);
        best.retain(|column| score(column).is_finite());
        let of = |values: &Vec<Vec<u32>>, column: &u32| values.get(*column as usize).cloned().unwrap_or_default();
        let calibrated = self.calibrated.as_ref().map(|values| {
            let past: Vec<_> =
                seen.iter().zip(weights).map(|(column, weight)| (of(values, column), f64::from(*weight))).collect();
            let mix = ValueMix::of(past.iter().map(|(values, weight)| (values.as_slice(), *weight)));
            (best.iter().map(|column| of(values, column)).collect(), mix)
        });
        let traits =
            Traits { vectors: best.iter().map(|column| self.items.row(*column as usize)).collect(), calibrated };
        let scores: Vec<f32> = best.iter().map(score).collect();
        let bound = self.wanted.max_per.as_ref().zip(self.bounded.as_ref());
        let mut quota = bound.map(|(bound, _)| Quota::new(bound.limit));
        let values = bound.map(|(_, values)| best.iter().map(|column| of(values, column)).collect());
        let mut quotas: Vec<_> = quota.as_mut().zip(values).into_iter().collect();
        let chosen = arrange(self.wanted, &scores, &traits, &mut quotas, self.limit);
        chosen.into_iter().filter_map(|place| best.get(place).copied()).collect()
    }
}

impl Scorer for ArrangedScorer<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, user_row: usize, out: &mut [f32]) {
        self.score_all(&[user_row as u32], out);
    }

    fn score_all(&self, user_rows: &[u32], out: &mut [f32]) {
        self.scorer.score_all(user_rows, out);
        let each = out.par_chunks_exact_mut(self.items.rows().max(1)).zip(user_rows);
        each.for_each(|(out, row)| {
            let order = self.arranged(*row, out);
            for (place, column) in order.iter().enumerate() {
                if let Some(slot) = out.get_mut(*column as usize) {
                    *slot = ABOVE * (2.0 - place as f32 / order.len() as f32);
                }
            }
        });
    }
}
