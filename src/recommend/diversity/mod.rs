//! The order of a list as a whole. Candidates come with scores; what is put next depends on what stands before it: whether
//! it repeats that, brings the list nearer to the mix of the user's past, or fills a quota that is full.

mod calibration;
mod determinant;
mod marginal;
mod quota;
#[cfg(test)]
mod tests;

pub use calibration::{Calibration, Mix};
pub use determinant::Determinant;
pub use marginal::Marginal;
pub use quota::Quota;

/// What is to be put in order.
pub struct Candidates<'a> {
    /// `[n]`: scores, in falling order.
    pub scores: &'a [f32],
    /// How alike two candidates are, by their places: the cosine of their vectors, −1 to 1.
    pub alike: &'a dyn Fn(usize, usize) -> f32,
}

/// A way to choose the next item of a list.
pub trait Objective {
    /// What candidate `at` would add to the list so far; the largest is put next, of equal ones the first.
    fn gain(&self, at: usize) -> f64;

    /// Candidate `at` has been put next.
    fn take(&mut self, at: usize);
}

/// The order of the scores.
pub struct ByScore;

impl Objective for ByScore {
    fn gain(&self, at: usize) -> f64 {
        -(at as f64)
    }

    fn take(&mut self, _: usize) {}
}

/// Chooses up to `limit` of `count` candidates one by one, each time the one with the largest gain of those that fit into all
/// quotas, each of which comes with the values of each candidate. Returns their places in the order of choice.
pub fn choose(
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
