//! Retrieval with a ranker on top, as something that can be measured: the candidates in the ranker's order, after them all
//! others in that of retrieval.

use rustc_hash::FxHashMap;

use super::found::found;
use super::gather::{Past, Window};
use super::learned::LearnedRanker;
use crate::config::RankerConfig;
use crate::error::Result;
use crate::eval::Scorer;
use crate::features::Csr;
use crate::features::table::{Asked, replay_asked};
use crate::linalg::Matrix;
use crate::record::{Attributes, ItemId, UserId};
use crate::train::{Model, ModelScorer};

/// Scores the test users of a hold-out by a model and a ranker.
pub struct RankedScorer<'a> {
    name: String,
    retrieval: ModelScorer<'a>,
    columns: usize,
    /// The ranker's scores of each test user's candidates by column, by row of the training matrix.
    ranks: FxHashMap<u32, Vec<(u32, f32)>>,
}

impl<'a> RankedScorer<'a> {
    /// Asks for every test user at the time at which the window begins, of which alone the model knows; under the circumstances of
    /// the user's first event after it.
    pub fn new(
        name: String,
        past: &Past<'_>,
        ranker: &LearnedRanker,
        model: &'a Model,
        matrix: &'a Csr,
        window: &Window<'_>,
        config: &RankerConfig,
    ) -> Result<Self> {
        let train = &window.holdout.train;
        let user = |(row, _): &(u32, Vec<u32>)| train.users.get(*row as usize).copied();
        let tested: Vec<_> = window.holdout.test.iter().filter_map(|of| Some((of, user(of)?))).collect();
        let mut contexts: FxHashMap<UserId, Option<Attributes>> =
            tested.iter().map(|(_, user)| (*user, None)).collect();
        past.view.for_each_counted(Some(window.at), &mut |event| {
            contexts.entry(event.user).and_modify(|known| *known = known.take().or(Some(event.context)));
            Ok(())
        })?;
        let context = |user: &UserId| contexts.get(user).cloned().flatten().unwrap_or_default();
        let asked = |user: &UserId| Asked { at: window.at, user: *user, context: context(user) };
        let asked: Vec<Asked> = tested.iter().map(|(_, user)| asked(user)).collect();
        let touches = past.log.touches(tested.iter().map(|(_, user)| *user));
        let (mut ranks, mut features) = (FxHashMap::default(), Matrix::zeros(0, 1));
        replay_asked(
            past.view,
            ranker.table().table(),
            past.items,
            past.users,
            &asked,
            &mut |place, request, known| {
                let Some((of_user, _)) = tested.get(place) else { return Ok(()) };
                if !ranker.ranks(matrix.row(of_user.0 as usize).0.len()) {
                    return Ok(());
                }
                if let Some(found) = found(model, window, of_user, &touches, config) {
                    let follows = window.following(request.past, &found.items);
                    let scores = ranker.score(&found.scores, follows, request, known, &found.items, &mut features);
                    let rank = |(item, score): (&ItemId, f32)| Some((train.column_of(*item)?, score));
                    ranks.insert(of_user.0, found.items.iter().zip(scores).filter_map(rank).collect());
                }
                Ok(())
            },
        )?;
        Ok(Self { name, retrieval: ModelScorer::new("retrieval", model, matrix), columns: model.items.rows(), ranks })
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
            let ranks = self.ranks.get(row).map(Vec::as_slice).unwrap_or_default();
            let least = ranks.iter().map(|(_, rank)| *rank).fold(f32::INFINITY, f32::min);
            let highest = out.iter().copied().filter(|score| score.is_finite()).fold(f32::NEG_INFINITY, f32::max);
            if least.is_finite() && highest.is_finite() {
                // All others below the last of them.
                out.iter_mut().for_each(|score| *score += least - highest - 1.0);
            }
            for (column, rank) in ranks {
                out.get_mut(*column as usize).into_iter().for_each(|slot| *slot = *rank);
            }
        }
    }
}
