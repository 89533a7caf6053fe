//! The order of a list as a whole. Candidates come with scores; what is put next depends on what stands before it: whether
//! it repeats that, brings the list nearer to the mix of the user's past, or fills a quota that is full.

mod calibration;
mod determinant;
mod marginal;
mod quota;
#[cfg(test)]
mod tests;
mod values;

pub use quota::Quota;
pub use values::Values;

use calibration::Calibration;
use determinant::Determinant;
use marginal::Marginal;

use rustc_hash::FxHashSet;

use crate::features::ValueMix;
use crate::linalg::dot;
use crate::record::Diversity;

/// What is known of candidates beside their scores, each `[n]`.
pub struct Traits<'a> {
    /// Where the model has them; empty where it knows nothing.
    pub vectors: Vec<&'a [f32]>,
    /// Their values of the attribute that is calibrated, and the mix that is wanted.
    pub calibrated: Option<(Vec<Vec<u32>>, ValueMix)>,
}

/// So many places of a list are put in order by all that stands before; those after them by score. Work grows with its square.
const ARRANGED: usize = 200;

/// Up to `limit` of the candidates, by their places, in the order that is wanted, the first [`ARRANGED`] of them; then by score.
/// `scores`, `[n]`, fall; each quota comes with the values of its attribute, `[n]`.
pub fn arrange(
    wanted: &Diversity,
    scores: &[f32],
    traits: &Traits<'_>,
    quotas: &mut [(&mut Quota, Vec<Vec<u32>>)],
    limit: usize,
) -> Vec<usize> {
    let vectors = &traits.vectors;
    let lengths: Vec<f32> = vectors.iter().map(|vector| dot(vector, vector).sqrt()).collect();
    let alike = |a: usize, b: usize| {
        // New items may stand in a space of their own; nothing is known of how like others they are.
        let product = if vectors[a].len() == vectors[b].len() { lengths[a] * lengths[b] } else { 0.0 };
        if product > 0.0 { dot(vectors[a], vectors[b]) / product } else { 0.0 }
    };
    let candidates = Candidates { scores, alike: &alike };
    let calibrated = wanted.calibration.as_ref().zip(traits.calibrated.as_ref());
    let mut objective: Box<dyn Objective + '_> = match (wanted.mmr, wanted.dpp, calibrated) {
        (Some(weight), ..) => Box::new(Marginal::new(&candidates, weight)),
        (_, Some(weight), _) => Box::new(Determinant::new(&candidates, weight)),
        (_, _, Some((to, (values, mix)))) => Box::new(Calibration::new(&candidates, values, mix, to.weight)),
        _ => Box::new(ByScore),
    };
    let mut chosen = choose(objective.as_mut(), scores.len(), limit.min(ARRANGED), quotas);
    let taken: FxHashSet<usize> = chosen.iter().copied().collect();
    for at in (0..scores.len()).filter(|at| !taken.contains(at)) {
        if chosen.len() >= limit {
            break;
        }
        if quotas.iter().all(|(quota, values)| quota.fits(&values[at])) {
            quotas.iter_mut().for_each(|(quota, values)| quota.count(&values[at]));
            chosen.push(at);
        }
    }
    chosen
}

/// What is to be put in order.
struct Candidates<'a> {
    /// `[n]`: scores, in falling order.
    pub scores: &'a [f32],
    /// How alike two candidates are, by their places: the cosine of their vectors, −1 to 1.
    pub alike: &'a dyn Fn(usize, usize) -> f32,
}

/// A way to choose the next item of a list.
trait Objective {
    /// What candidate `at` would add to the list so far; the largest is put next, of equal ones the first.
    fn gain(&self, at: usize) -> f64;

    /// Candidate `at` has been put next.
    fn take(&mut self, at: usize);
}

/// The order of the scores.
struct ByScore;

impl Objective for ByScore {
    fn gain(&self, at: usize) -> f64 {
        -(at as f64)
    }

    fn take(&mut self, _: usize) {}
}

/// Chooses up to `limit` of `count` candidates one by one, each time the one with the largest gain of those that fit into all
/// quotas, each of which comes with the values of each candidate. Returns their places in the order of choice.
fn choose(
    objective: &mut dyn Objective,
    count: usize,
    limit: usize,
    quotas: &mut [(&mut Quota, Vec<Vec<u32>>)],
) -> Vec<usize> {
    let mut left: Vec<usize> = (0..count).collect();
    let mut chosen = Vec::with_capacity(limit.min(count));
    while chosen.len() < limit {
        for (quota, values) in quotas.iter() {
            // A value that is full stays full.
            left.retain(|at| quota.fits(&values[*at]));
        }
        let mut best: Option<(usize, f64)> = None;
        for (place, at) in left.iter().enumerate() {
            let gain = objective.gain(*at);
            if best.is_none_or(|(_, most)| gain > most) {
                best = Some((place, gain));
            }
        }
        let Some((place, _)) = best else { break };
        let at = left.remove(place);
        objective.take(at);
        quotas.iter_mut().for_each(|(quota, values)| quota.count(&values[at]));
        chosen.push(at);
    }
    chosen
}

/// Scores on one scale: the best is 1, the last of the candidates 0; all 1 where they are equal.
fn relevance(scores: &[f32]) -> Vec<f64> {
    let (best, last) = (scores.first().copied().unwrap_or(0.0), scores.last().copied().unwrap_or(0.0));
    let span = f64::from(best) - f64::from(last);
    scores.iter().map(|score| if span > 0.0 { (f64::from(*score) - f64::from(last)) / span } else { 1.0 }).collect()
}
