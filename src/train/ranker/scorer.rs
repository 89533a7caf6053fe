//! Retrieval with a ranker on top, as something that can be measured: the candidates in the ranker's order, after them all
//! others in that of retrieval.

use rustc_hash::FxHashMap;

use super::gather::{Past, Window, found};
use super::learned::LearnedRanker;
use crate::error::Result;
use crate::eval::Scorer;
use crate::features::Csr;
use crate::features::table::{Asked, replay_asked};
use crate::train::{Model, ModelScorer};

/// Above any score of retrieval.
const ABOVE: f32 = 1e30;

/// Scores the test users of a hold-out by a model and a ranker.
pub struct RankedScorer<'a> {
    name: String,
    retrieval: ModelScorer<'a>,
    columns: usize,
    /// Candidates of each test user, the best first, by row of the training matrix.
    orders: FxHashMap<u32, Vec<u32>>,
}

impl<'a> RankedScorer<'a> {
    /// Asks for every test user at the time at which the window begins.
    pub fn new(
        name: String,
        past: &Past<'_>,
        ranker: &LearnedRanker,
        model: &'a Model,
        matrix: &'a Csr,
        window: &Window<'_>,
        candidates: usize,
    ) -> Result<Self> {
        let train = &window.holdout.train;
        let user = |(row, _): &(u32, Vec<u32>)| train.users.get(*row as usize).copied();
        let tested: Vec<_> = window.holdout.test.iter().filter_map(|of| Some((of, user(of)?))).collect();
        let asked: Vec<Asked> = tested.iter().map(|(_, user)| Asked { at: window.at, user: *user }).collect();
        let mut orders = FxHashMap::default();
        replay_asked(
            past.view,
            ranker.table().table(),
            past.items,
            past.users,
            &asked,
            &mut |place, request, known| {
                let Some((of_user, _)) = tested.get(place) else { return Ok(()) };
                for found in found(model, window.holdout, &[of_user], candidates) {
                    let scores = ranker.score(&found.scores, request, known, &found.items);
                    let mut order: Vec<usize> = (0..found.items.len()).collect();
                    let score = |place: usize| scores.get(place).copied().unwrap_or(f32::NEG_INFINITY);
                    order.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
                    let column = |place: usize| train.column_of(*found.items.get(place)?);
                    orders.insert(of_user.0, order.into_iter().filter_map(column).collect());
                }
                Ok(())
            },
        )?;
        Ok(Self { name, retrieval: ModelScorer::new("retrieval", model, matrix), columns: model.items.rows(), orders })
    }
}

impl Scorer for RankedScorer<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, user_row: usize, out: &mut [f32]) {
        self.score_all(&[user_row as u32], out);
    }

    fn score_all(&self, user_rows: &[u32], out: &mut [f32]) {
        self.retrieval.score_all(user_rows, out);
        for (out, row) in out.chunks_exact_mut(self.columns.max(1)).zip(user_rows) {
            let order = self.orders.get(row).map(Vec::as_slice).unwrap_or_default();
            for (place, column) in order.iter().enumerate() {
                if let Some(slot) = out.get_mut(*column as usize) {
                    *slot = ABOVE * (2.0 - place as f32 / order.len() as f32);
                }
            }
        }
    }
}
