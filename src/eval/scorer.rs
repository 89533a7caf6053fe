//! What can be evaluated: anything that scores the whole catalogue for a user.

use super::lists::item_counts;
use crate::features::Csr;
use crate::linalg::{Rows, dot};

/// Scores the whole catalogue for a user of the training part.
pub trait Scorer: Sync {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// Writes a score for every column; a larger one is better.
    fn score(&self, user_row: usize, out: &mut [f32]);
}

/// Inner products of factors.
pub struct FactorScorer<'a> {
    name: &'a str,
    users: Rows<'a>,
    items: Rows<'a>,
}

impl<'a> FactorScorer<'a> {
    /// User factors `[users, d]` and item factors `[items, d]` by row and column of the training matrix.
    pub fn new(name: &'a str, users: Rows<'a>, items: Rows<'a>) -> Self {
        Self { name, users, items }
    }
}

impl Scorer for FactorScorer<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn score(&self, user_row: usize, out: &mut [f32]) {
        let user = self.users.row(user_row);
        out.iter_mut().enumerate().for_each(|(column, score)| *score = dot(user, self.items.row(column)));
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
