//! A snapshot as something that can be measured: every user is folded in from a given history, as serving does.

use super::Snapshot;
use crate::eval::{PopularityScorer, Scorer};
use crate::features::{Csr, Interactions};
use crate::linalg::dot;

/// Scores users from their `history` by a snapshot.
pub struct SnapshotScorer<'a> {
    name: String,
    snapshot: &'a Snapshot,
    /// What users are folded in from.
    past: &'a Csr,
    /// The snapshot's row of each column.
    rows: Vec<Option<u32>>,
    popularity: PopularityScorer,
}

impl<'a> SnapshotScorer<'a> {
    /// Columns are those of `history`; its users need not be known to the snapshot. A model of ratings takes `ratings`, in
    /// the shape of the history's matrix, in place of preferences.
    pub fn new(snapshot: &'a Snapshot, history: &'a Interactions, ratings: Option<&'a Csr>) -> Self {
        let ratings = ratings.filter(|_| snapshot.fold_in().mix().ratings.is_some());
        Self {
            name: format!("snapshot {}", snapshot.manifest().id),
            snapshot,
            past: ratings.unwrap_or(&history.matrix),
            rows: history.items.iter().map(|item| snapshot.row(*item)).collect(),
            popularity: PopularityScorer::new(&history.matrix),
        }
    }

    /// The scores of the snapshot's own rows; `None` for a user none of whose items it knows.
    fn own_scores(&self, user_row: usize) -> Option<Vec<f32>> {
        let (columns, weights) = self.past.row(user_row);
        let row = |column: u32| self.rows.get(column as usize).copied().flatten();
        let known = columns.iter().zip(weights).filter_map(|(column, weight)| Some((row(*column)?, *weight)));
        let known: Vec<(u32, f32)> = known.collect();
        if known.is_empty() {
            return None;
        }
        let vectors = self.snapshot.vectors();
        let mut factor = vec![0.0; vectors.dim()];
        self.snapshot.fold_in().solve(vectors, &known, &mut factor).ok()?;
        let mut scores: Vec<f32> = (0..vectors.len()).map(|row| dot(&factor, vectors.row(row))).collect();
        self.snapshot.fold_in().add_lists(&known, &mut scores);
        Some(scores)
    }
}

impl Scorer for SnapshotScorer<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    /// Items that the snapshot does not know come last. Who has no item that it knows gets what is popular, as when
    /// serving.
    fn score(&self, user_row: usize, out: &mut [f32]) {
        let Some(scores) = self.own_scores(user_row) else { return self.popularity.score(user_row, out) };
        for (slot, row) in out.iter_mut().zip(&self.rows) {
            let score = row.and_then(|row| scores.get(row as usize));
            *slot = score.copied().unwrap_or(f32::NEG_INFINITY);
        }
    }
}
