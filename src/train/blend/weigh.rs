//! The weights of a blend, found on validation parts: a search along one part at a time over candidates that were scored
//! once. The prior gives way to a single model that is better by more than two standard errors, and so does what is chosen then
//! to what the search finds: a search over noise always finds something better.

use rayon::prelude::*;

use super::PRIOR;
use super::candidates::Candidates;
use super::parts::{Part, Parts};
use crate::config::{BlendConfig, TrainConfig};
use crate::error::Result;
use crate::features::Holdout;
use crate::progress::Progress;

const NOTHING: BlendConfig =
    BlendConfig { ials: 0.0, filter: 0.0, low_pass: 0.0, linear: 0.0, popularity: 0.0, mass_exponent: 0.0 };
/// The single models, any of which may do better than the prior by itself. Lists alone name few items for a short history, and say
/// nothing of who is like whom: the low-pass part stays beside them.
const ALONE: [BlendConfig; 4] = [
    BlendConfig { popularity: 1.0, ..NOTHING },
    BlendConfig { ials: 1.0, ..NOTHING },
    BlendConfig { filter: 1.0, low_pass: 0.4, ..NOTHING },
    BlendConfig { linear: 1.0, low_pass: 0.2, ..NOTHING },
];
/// What a weight is multiplied with at each visit of a part.
const STEPS: [f64; 6] = [0.0, 0.5, 0.7, 1.4, 2.0, 4.0];
/// What a weight of zero is tried with.
const FROM_ZERO: f64 = 0.25;
/// Visits of all parts.
const ROUNDS: usize = 4;

/// What weights are found by: for each hold-out the candidates of its users, as the parts trained on it score them.
#[derive(Default)]
pub struct Weighing {
    holdouts: Vec<Candidates>,
}

impl Weighing {
    /// Adds a hold-out, one of `of`. `parts` were trained on its training part; scores are multiplied with what items have under
    /// `settled`, as the model's will be.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`].
    pub fn add(
        &mut self,
        parts: &Parts,
        holdout: &Holdout,
        of: usize,
        settled: &TrainConfig,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.holdouts.push(Candidates::gather(parts, holdout, of, settled, progress)?);
        Ok(())
    }

    /// The weights under which test users are ranked best: those of all hold-outs, or of all but one.
    pub fn weigh(&self, without: Option<usize>) -> BlendConfig {
        let used = self.holdouts.iter().enumerate().filter(|(place, _)| Some(*place) != without);
        let used: Vec<&Candidates> = used.map(|(_, candidates)| candidates).collect();
        let there: Vec<Part> =
            Part::ALL.into_iter().filter(|part| used.iter().all(|candidates| candidates.has(*part))).collect();
        let mut chosen = Found::new(&used, only(&there, PRIOR));
        for alone in ALONE {
            let alone = Found::new(&used, only(&there, alone));
            if alone.is_better_than(&chosen, 2.0) {
                chosen = alone;
            }
        }
        let best = climb(&used, &there, chosen.clone());
        tracing::debug!(ndcg = best.mean, weights = ?best.blend, over = chosen.mean, "best of the search");
        if best.is_better_than(&chosen, 2.0) {
            chosen = best;
        }
        tracing::info!(ndcg = chosen.mean, weights = ?chosen.blend, users = chosen.each.len(), "blend weighed");
        chosen.blend
    }
}

/// Goes up from `best`, one part at a time, as long as it goes up.
fn climb(used: &[&Candidates], there: &[Part], mut best: Found) -> Found {
    for _ in 0..ROUNDS {
        let before = best.mean;
        for part in there {
            let weight = part.weight(&best.blend);
            let tried = if weight > 0.0 { STEPS.iter().map(|step| weight * step).collect() } else { vec![FROM_ZERO] };
            let tried: Vec<_> = tried
                .into_par_iter()
                .map(|weight| part.with_weight(best.blend.clone(), weight))
                .filter(reaches_all)
                .map(|blend| Found::new(used, blend))
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
    best
}

/// Whether every item has a score.
fn reaches_all(blend: &BlendConfig) -> bool {
    [blend.ials, blend.low_pass, blend.popularity].iter().any(|weight| *weight > 0.0)
}

/// The same weights without those of parts that are not there; popularity alone where none is left.
fn only(there: &[Part], mut blend: BlendConfig) -> BlendConfig {
    for part in Part::ALL.into_iter().filter(|part| !there.contains(part)) {
        blend = part.with_weight(blend, 0.0);
    }
    if reaches_all(&blend) { blend } else { Part::Popularity.with_weight(blend, 1.0) }
}

/// Weights with what they reach.
#[derive(Clone)]
struct Found {
    blend: BlendConfig,
    mean: f64,
    each: Vec<f64>,
}

impl Found {
    fn new(used: &[&Candidates], blend: BlendConfig) -> Self {
        let each: Vec<f64> = used.iter().flat_map(|candidates| candidates.ndcg(&blend)).collect();
        let mean = each.iter().sum::<f64>() / each.len().max(1) as f64;
        Self { blend, mean, each }
    }

    /// Whether the mean of the paired differences exceeds so many times its standard error.
    fn is_better_than(&self, other: &Self, errors: f64) -> bool {
        let n = self.each.len() as f64;
        let gain = self.mean - other.mean;
        let squares = self.each.iter().zip(&other.each).map(|(a, b)| (a - b - gain).powi(2)).sum::<f64>();
        n > 1.0 && gain > errors * (squares / (n - 1.0) / n).sqrt()
    }
}
