//! The weights of a blend, found on a validation part: a search along one part at a time over candidates that were scored
//! once. The weights leave the prior only for a gain of more than two standard errors: a search over noise always finds
//! something better.

use rayon::prelude::*;

use super::PRIOR;
use super::parts::{Part, Parts};
use super::scores::{BLOCK, evenly};
use crate::config::BlendConfig;
use crate::error::{Error, Result};
use crate::eval::{Metric, Ndcg};
use crate::features::Holdout;
use crate::progress::Progress;

/// So many validation users are ranked; more do not change the weights (EVALUATION's data, 2,000 against 6,000).
const USERS: usize = 2_000;
/// Candidates that each part brings for a user.
const CANDIDATES: usize = 100;
/// The metric is NDCG at this length of the list.
const CUTOFF: usize = 20;
/// What a weight is multiplied with at each visit of a part.
const STEPS: [f64; 6] = [0.0, 0.5, 0.7, 1.4, 2.0, 4.0];
/// What a weight of zero is tried with.
const FROM_ZERO: f64 = 0.25;
/// Visits of all parts.
const ROUNDS: usize = 4;

/// The weights under which `parts`, trained on the holdout's training part, rank its test users best.
///
/// # Errors
/// [`Error::Cancelled`].
pub fn weigh(parts: &Parts, holdout: &Holdout, progress: &dyn Progress) -> Result<BlendConfig> {
    let candidates = Candidates::gather(parts, holdout, progress)?;
    let prior = parts.only_trained(PRIOR);
    let mut chosen = Found::new(&candidates, prior);
    for part in Part::ALL.into_iter().filter(|part| parts.has(*part)) {
        let alone = Found::new(&candidates, part.with_weight(BlendConfig::default(), 1.0));
        if alone.is_better_than(&chosen) {
            chosen = alone;
        }
    }
    let mut best = chosen.clone();
    for _ in 0..ROUNDS {
        let before = best.mean;
        for part in Part::ALL.into_iter().filter(|part| parts.has(*part)) {
            let weight = part.weight(&best.blend);
            let tried = if weight > 0.0 { STEPS.iter().map(|step| weight * step).collect() } else { vec![FROM_ZERO] };
            let tried: Vec<_> = tried
                .into_par_iter()
                .map(|weight| part.with_weight(best.blend.clone(), weight))
                .filter(|blend| !blend.is_open())
                .map(|blend| Found::new(&candidates, blend))
                .collect();
            for found in tried {
                if found.mean > best.mean {
                    best = found;
                }
            }
        }
        if best.mean <= before {
            break;
        }
    }
    if best.is_better_than(&chosen) {
        chosen = best;
    }
    tracing::info!(ndcg = chosen.mean, weights = ?chosen.blend, users = candidates.users.len(), "blend weighed");
    Ok(chosen.blend)
}

impl Parts {
    /// The same weights without those of parts that are not there; popularity alone where none is left.
    fn only_trained(&self, mut blend: BlendConfig) -> BlendConfig {
        for part in Part::ALL.into_iter().filter(|part| !self.has(*part)) {
            blend = part.with_weight(blend, 0.0);
        }
        if blend.is_open() { Part::Popularity.with_weight(blend, 1.0) } else { blend }
    }
}

/// A user's candidates: the best of each part, and what all parts say about each.
struct User {
    items: Vec<u32>,
    /// `[items, parts]`, on one scale.
    scores: Vec<[f32; Part::ALL.len()]>,
    held: Vec<u32>,
}

struct Candidates {
    users: Vec<User>,
}

impl Candidates {
    fn gather(parts: &Parts, holdout: &Holdout, progress: &dyn Progress) -> Result<Self> {
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
        let places: Vec<u32> = (0..holdout.test.len() as u32).collect();
        let places = evenly(&places, USERS);
        let mut users = Vec::with_capacity(places.len());
        for places in places.chunks(BLOCK) {
            if progress.cancelled() {
                return Err(Error::Cancelled("training"));
            }
            let tested: Vec<_> = places.iter().filter_map(|place| holdout.test.get(*place as usize)).collect();
            let rows: Vec<u32> = tested.iter().map(|(row, _)| *row).collect();
            let scores = parts.scores(matrix, &rows)?;
            users.par_extend(tested.par_iter().enumerate().map(|(place, (row, held))| {
                let seen = matrix.row(*row as usize).0;
                let mut items: Vec<u32> =
                    scores.iter().flat_map(|part| best_unseen(part.of(place), seen, CANDIDATES)).collect();
                items.sort_unstable();
                items.dedup();
                let mut table = vec![[0.0; Part::ALL.len()]; items.len()];
                for of_part in &scores {
                    let Some(column) = Part::ALL.iter().position(|part| *part == of_part.part) else { continue };
                    let scale = of_part.part.weight(&scales) as f32;
                    for (to, item) in table.iter_mut().zip(&items) {
                        let score = of_part.of(place).get(*item as usize).copied().unwrap_or(0.0);
                        if let Some(to) = to.get_mut(column) {
                            *to = scale * score;
                        }
                    }
                }
                User { items, scores: table, held: held.clone() }
            }));
        }
        Ok(Self { users })
    }

    /// Each user's NDCG under these weights.
    fn ndcg(&self, blend: &BlendConfig) -> Vec<f64> {
        let weights = Part::ALL.map(|part| part.weight(blend) as f32);
        let of_user = |user: &User| {
            let score = |scores: &[f32; Part::ALL.len()]| -> f32 {
                scores.iter().zip(&weights).map(|(score, weight)| score * weight).sum()
            };
            let mut ranked: Vec<(f32, u32)> = user.scores.iter().map(score).zip(user.items.iter().copied()).collect();
            let better = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            if ranked.len() > CUTOFF {
                ranked.select_nth_unstable_by(CUTOFF - 1, better);
                ranked.truncate(CUTOFF);
            }
            ranked.sort_unstable_by(better);
            let ranked: Vec<u32> = ranked.into_iter().map(|(_, item)| item).collect();
            Ndcg.value(&ranked, &user.held, CUTOFF)
        };
        self.users.par_iter().map(of_user).collect()
    }
}

/// The first `k` unseen items by score.
fn best_unseen(scores: &[f32], seen: &[u32], k: usize) -> Vec<u32> {
    let mut seen = seen.iter().peekable();
    let unseen = scores.iter().zip(0u32..).filter(|(_, item)| seen.next_if(|next| *next == item).is_none());
    let mut order: Vec<(f32, u32)> = unseen.map(|(score, item)| (*score, item)).collect();
    if order.len() > k {
        order.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order.truncate(k);
    }
    order.into_iter().map(|(_, item)| item).collect()
}

/// Weights with what they reach.
#[derive(Clone)]
struct Found {
    blend: BlendConfig,
    mean: f64,
    each: Vec<f64>,
}

impl Found {
    fn new(candidates: &Candidates, blend: BlendConfig) -> Self {
        let each = candidates.ndcg(&blend);
        let mean = each.iter().sum::<f64>() / each.len().max(1) as f64;
        Self { blend, mean, each }
    }

    /// Whether the mean of the paired differences exceeds twice its standard error.
    fn is_better_than(&self, other: &Self) -> bool {
        let n = self.each.len() as f64;
        let gain = self.mean - other.mean;
        let squares = self.each.iter().zip(&other.each).map(|(a, b)| (a - b - gain).powi(2)).sum::<f64>();
        n > 1.0 && gain > 2.0 * (squares / (n - 1.0) / n).sqrt()
    }
}
