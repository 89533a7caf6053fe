//! What weights are tried on: for each validation user the best items of each part, with what all parts say about them.

use rayon::prelude::*;

use super::assemble::{item_scales, trend_factors};
use super::parts::{Part, Parts};
use super::scores::evenly;
use crate::config::{BlendConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::eval::{Metric, Ndcg, unseen};
use crate::features::Holdout;
use crate::progress::Progress;

/// So many validation users are ranked in all: more would tell single models from the prior better still, and take longer
/// than training.
const USERS: usize = 4_000;
/// Candidates that each part brings for a user.
const CANDIDATES: usize = 100;
/// The metric is NDCG at this length of the list.
const CUTOFF: usize = 20;

/// A user's candidates: the best of each part, and what all parts say about each.
struct User {
    items: Vec<u32>,
    /// `[items, parts]`, on one scale.
    scores: Vec<[f32; Part::ALL.len()]>,
    held: Vec<u32>,
}

/// The candidates of a hold-out's test users, or of some of them.
pub struct Candidates {
    users: Vec<User>,
    there: Vec<Part>,
}

impl Candidates {
    /// Scores the candidates of a hold-out, one of `of`, by parts that were trained on its training part.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn gather(
        parts: &Parts,
        holdout: &Holdout,
        of: usize,
        settled: &TrainConfig,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let matrix = &holdout.train.matrix;
        let unit = BlendConfig {
            ials: 1.0,
            filter: 1.0,
            low_pass: 1.0,
            linear: 1.0,
            popularity: 1.0,
            ..BlendConfig::default()
        };
        let scales = parts.on_one_scale(matrix, &unit)?;
        let mut scale_of = item_scales(&parts.popularity, settled.debias);
        let followed = trend_factors(&holdout.train.trend, settled);
        scale_of.iter_mut().zip(&followed).for_each(|(scale, factor)| *scale *= factor);
        let places: Vec<u32> = (0..holdout.test.len() as u32).collect();
        let places = evenly(&places, USERS / of.max(1));
        let mut users = Vec::with_capacity(places.len());
        for places in places.chunks(parts.block()) {
            if progress.cancelled() {
                return Err(Error::Cancelled("training"));
            }
            let tested: Vec<_> = places.iter().filter_map(|place| holdout.test.get(*place as usize)).collect();
            let rows: Vec<u32> = tested.iter().map(|(row, _)| *row).collect();
            let scores = parts.scores(matrix, &rows)?;
            users.par_extend(tested.par_iter().enumerate().map_init(Vec::new, |order, (place, (row, held))| {
                let seen = matrix.row(*row as usize).0;
                let mut items: Vec<u32> = scores
                    .iter()
                    .flat_map(|part| unseen(&scaled(part.of(place), &scale_of), seen, CANDIDATES, order))
                    .collect();
                items.sort_unstable();
                items.dedup();
                let mut table = vec![[0.0; Part::ALL.len()]; items.len()];
                for of_part in &scores {
                    let Some(column) = Part::ALL.iter().position(|part| *part == of_part.part) else { continue };
                    let scale = of_part.part.weight(&scales) as f32;
                    for (to, item) in table.iter_mut().zip(&items) {
                        let score = of_part.of(place).get(*item as usize).copied().unwrap_or(0.0);
                        let of_item = scale_of.get(*item as usize).copied().unwrap_or(1.0);
                        if let Some(to) = to.get_mut(column) {
                            *to = scale * of_item * score;
                        }
                    }
                }
                User { items, scores: table, held: held.clone() }
            }));
        }
        Ok(Self { users, there: Part::ALL.into_iter().filter(|part| parts.has(*part)).collect() })
    }

    /// Whether a part scored them.
    pub fn has(&self, part: Part) -> bool {
        self.there.contains(&part)
    }

    /// Each user's NDCG under these weights.
    pub fn ndcg(&self, blend: &BlendConfig) -> Vec<f64> {
        let weights = Part::ALL.map(|part| part.weight(blend) as f32);
        let of_user = |order: &mut Vec<u32>, user: &User| {
            let score = |scores: &[f32; Part::ALL.len()]| -> f32 {
                scores.iter().zip(&weights).map(|(score, weight)| score * weight).sum()
            };
            let scores: Vec<f32> = user.scores.iter().map(score).collect();
            // Candidates ascend by item, so their places break ties as items do.
            let places = unseen(&scores, &[], CUTOFF, order);
            let ranked: Vec<u32> = places.iter().filter_map(|place| user.items.get(*place as usize)).copied().collect();
            Ndcg.value(&ranked, &user.held, CUTOFF)
        };
        self.users.par_iter().map_init(Vec::new, of_user).collect()
    }
}

fn scaled(scores: &[f32], scales: &[f32]) -> Vec<f32> {
    scores.iter().zip(scales).map(|(score, scale)| score * scale).collect()
}
