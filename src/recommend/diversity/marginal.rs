//! Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998).

use super::{Candidates, Objective, relevance};

/// (1 − λ) · relevance − λ · the greatest likeness to what stands before.
pub(super) struct Marginal<'a> {
    candidates: &'a Candidates<'a>,
    relevance: Vec<f64>,
    /// `[n]`: the greatest likeness to what has been taken; 0 before anything has.
    nearest: Vec<f64>,
    is_first: bool,
    weight: f64,
}

impl<'a> Marginal<'a> {
    /// `weight` is λ: 0 leaves the order of the scores, 1 looks at differences alone.
    pub fn new(candidates: &'a Candidates<'a>, weight: f64) -> Self {
        let relevance = relevance(candidates.scores);
        let nearest = vec![0.0; relevance.len()];
        Self { candidates, relevance, nearest, is_first: true, weight }
    }
}

impl Objective for Marginal<'_> {
    fn gain(&self, at: usize) -> f64 {
        (1.0 - self.weight) * self.relevance[at] - self.weight * self.nearest[at]
    }

    fn take(&mut self, at: usize) {
        for (other, nearest) in self.nearest.iter_mut().enumerate() {
            let alike = f64::from((self.candidates.alike)(at, other));
            *nearest = if self.is_first { alike } else { nearest.max(alike) };
        }
        self.is_first = false;
    }
}
