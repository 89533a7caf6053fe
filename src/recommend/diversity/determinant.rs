//! The most likely list under a determinantal point process, greedily (Chen, Zhang & Zhou, Fast greedy MAP inference for
//! determinantal point process, NeurIPS 2018).

use super::{Candidates, Objective, relevance};

/// A list is as good as the volume that its vectors span, each as long as the item is relevant: log det L, with
/// L = diag(q) S diag(q), S the likeness of two items and q = exp(α · relevance), α = θ / (2 (1 − θ)) with θ = 1 − weight.
pub(super) struct Determinant<'a> {
    candidates: &'a Candidates<'a>,
    quality: Vec<f64>,
    /// `[n]`: d², by which factor a candidate would enlarge the determinant.
    left: Vec<f64>,
    /// `[taken, n]`: the rows of the Cholesky factor.
    rows: Vec<Vec<f64>>,
}

/// The least weight: with 0 there would be nothing but relevance, and q without bounds.
const LEAST_WEIGHT: f64 = 0.01;
/// A candidate that adds less than this share of its own volume is one that stands there already, as far as f64 tells.
const NOTHING: f64 = 1e-10;

impl<'a> Determinant<'a> {
    /// `weight` 0 leaves (nearly) the order of the scores, 1 looks at differences alone.
    pub fn new(candidates: &'a Candidates<'a>, weight: f64) -> Self {
        let weight = weight.clamp(LEAST_WEIGHT, 1.0);
        let alpha = (1.0 - weight) / (2.0 * weight);
        let quality: Vec<f64> =
            relevance(candidates.scores).iter().map(|relevance| (alpha * relevance).exp()).collect();
        let left = quality.iter().map(|quality| quality * quality).collect();
        Self { candidates, quality, left, rows: Vec::new() }
    }
}

impl Objective for Determinant<'_> {
    fn gain(&self, at: usize) -> f64 {
        self.left[at].ln()
    }

    fn take(&mut self, at: usize) {
        let root = self.left[at].max(f64::MIN_POSITIVE).sqrt();
        let mut row = vec![0.0; self.left.len()];
        for (other, entry) in row.iter_mut().enumerate() {
            // Vectors of unit length, whose cosine is taken half way to 1: a likeness that is never negative.
            let alike = 0.5 + 0.5 * f64::from((self.candidates.alike)(at, other)).clamp(-1.0, 1.0);
            let alike = if other == at { 1.0 } else { alike };
            let product: f64 = self.rows.iter().map(|row| row[at] * row[other]).sum();
            *entry = (self.quality[at] * self.quality[other] * alike - product) / root;
        }
        for ((left, entry), quality) in self.left.iter_mut().zip(&row).zip(&self.quality) {
            let least = NOTHING * quality * quality;
            *left = (*left - entry * entry).max(least * 1e-3);
        }
        self.rows.push(row);
    }
}
