//! What can be evaluated: anything that scores the whole catalogue for a user.

use rayon::prelude::*;

use super::lists::item_counts;
use crate::features::Csr;

/// Scores the whole catalogue for a user of the training part.
pub trait Scorer: Sync {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// Writes a score for every column; a larger one is better.
    fn score(&self, user_row: usize, out: &mut [f32]);

    /// The same scores for several users, `[users, columns]`, in parallel: what a scorer that reads every item once for all
    /// of them overrides.
    fn score_all(&self, user_rows: &[u32], out: &mut [f32]) {
        let columns = out.len() / user_rows.len().max(1);
        let each = out.par_chunks_exact_mut(columns.max(1)).zip(user_rows);
        each.for_each(|(out, row)| self.score(*row as usize, out));
    }
}

/// The baseline: the number of training users of an item, the same for everybody.
pub struct PopularityScorer {
    counts: Vec<f32>,
}

impl PopularityScorer {
    /// Counts the training matrix.
    pub fn new(matrix: &Csr) -> Self {
        Self { counts: item_counts(matrix).into_iter().map(|count| count as f32).collect() }
    }
}

impl Scorer for PopularityScorer {
    fn name(&self) -> &str {
        "popularity"
    }

    fn score(&self, _: usize, out: &mut [f32]) {
        out.iter_mut().zip(&self.counts).for_each(|(score, count)| *score = *count);
    }
}
