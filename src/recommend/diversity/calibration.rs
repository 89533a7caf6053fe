//! Calibrated recommendations (Steck, RecSys 2018): the list has the user's mix of categories.

use super::{Candidates, Objective, relevance};
use crate::features::ValueMix;

/// (1 − λ) · relevance of the list − λ · the divergence of its mix from the user's.
pub(super) struct Calibration<'a> {
    relevance: Vec<f64>,
    values: &'a [Vec<u32>],
    wanted: &'a ValueMix,
    taken: Vec<usize>,
    weight: f64,
}

impl<'a> Calibration<'a> {
    /// `values`, `[n]`, are those of the candidates; `weight` is λ, 0 to 1.
    pub fn new(candidates: &Candidates<'_>, values: &'a [Vec<u32>], wanted: &'a ValueMix, weight: f64) -> Self {
        Self { relevance: relevance(candidates.scores), values, wanted, taken: Vec::new(), weight }
    }
}

impl Objective for Calibration<'_> {
    fn gain(&self, at: usize) -> f64 {
        let places = self.taken.iter().chain([&at]);
        let mix = ValueMix::of(places.map(|place| (self.values[*place].as_slice(), 1.0)));
        (1.0 - self.weight) * self.relevance[at] - self.weight * self.wanted.divergence(&mix)
    }

    fn take(&mut self, at: usize) {
        self.taken.push(at);
    }
}
