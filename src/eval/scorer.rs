//! What can be evaluated: anything that scores the whole catalogue for a user.

use super::lists::item_counts;
use crate::features::Csr;

/// Scores the whole catalogue for a user of the training part.
pub trait Scorer: Sync {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// Writes a score for every column; a larger one is better.
    fn score(&self, user_row: usize, out: &mut [f32]);
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
