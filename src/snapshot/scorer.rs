//! A snapshot as something that can be measured: every user is folded in from a given history, as serving does.

use rayon::prelude::*;

use super::Snapshot;
use crate::eval::{PopularityScorer, Scorer};
use crate::features::{Csr, Interactions};
use crate::linalg::{Matrix, inner_products};

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

    /// What the snapshot knows of a user's history; empty for a user none of whose items it knows.
    fn known(&self, user_row: usize) -> Vec<(u32, f32)> {
        let (columns, weights) = self.past.row(user_row);
        let row = |column: u32| self.rows.get(column as usize).copied().flatten();
        columns.iter().zip(weights).filter_map(|(column, weight)| Some((row(*column)?, *weight))).collect()
    }
}

impl Scorer for SnapshotScorer<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    /// Items that the snapshot does not know come last. Who has no item that it knows gets what is popular, as when
    /// serving.
    fn score(&self, user_row: usize, out: &mut [f32]) {
        self.score_all(&[user_row as u32], out);
    }

    fn score_all(&self, user_rows: &[u32], out: &mut [f32]) {
        let (vectors, fold_in) = (self.snapshot.vectors(), self.snapshot.fold_in());
        let (dim, columns) = (vectors.dim().max(1), self.rows.len().max(1));
        let mut factors = Matrix::zeros(user_rows.len(), dim);
        let solve = |(factor, row): (&mut [f32], &u32)| {
            let known = self.known(*row as usize);
            let is_known = !known.is_empty() && fold_in.solve(vectors, &known, factor).is_ok();
            is_known.then_some(known)
        };
        let known: Vec<Option<Vec<(u32, f32)>>> =
            factors.data_mut().par_chunks_exact_mut(dim).zip(user_rows).map(solve).collect();
        let mut scores = inner_products(factors.as_rows(), vectors);
        let of_users = scores.data_mut().par_chunks_exact_mut(vectors.len().max(1)).zip(&known).zip(user_rows);
        out.par_chunks_exact_mut(columns).zip(of_users).for_each(|(out, ((scores, known), row))| {
            let Some(known) = known else { return self.popularity.score(*row as usize, out) };
            fold_in.add_lists(known, scores);
            for (slot, row) in out.iter_mut().zip(&self.rows) {
                let score = row.and_then(|row| scores.get(row as usize));
                *slot = score.copied().unwrap_or(f32::NEG_INFINITY);
            }
        });
    }
}
