//! What its first events say of a new item, and how much they count beside its metadata (empirical Bayes). The prior is
//! the vector m that metadata foretell, with the variances S that they leave open; with users of length 1, an event of
//! user x says that x·y is as high as for a user's own items, and a sample of all users stands for those without an event,
//! of whom as many would have said yes as do for other items, the more surely the more events there are:
//!
//! ```text
//! y = argmin  Σ events (x·y − t)² / s²  +  Σ sample (x·y − (1 − ω) x·m − ω t₀)² / s₀²  +  (y − m)ᵀ S⁻¹ (y − m)
//! ω = n / (n + mean pairs of an item)
//! ```
//!
//! Solved in the space of the users, n + sample on a side: y = m + S Zᵀ (D + Z S Zᵀ)⁻¹ r.

use serde::{Deserialize, Serialize};

use super::{ColdStart, length};
use crate::error::Result;
use crate::features::Csr;
use crate::linalg::{Matrix, axpy, dot, solve_spd};
use crate::train::model::Model;

/// Scores of users of length 1, with what lists say: means and variances.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// t and s² of pairs with an event.
    pub seen: (f32, f32),
    /// t₀ and s₀² of all pairs.
    pub all: (f32, f32),
}

impl Moments {
    /// Over these users, by row of the model and the matrix that it was trained on; `scales` make their lengths 1.
    pub fn of(model: &Model, matrix: &Csr, users: &[usize], scales: &[f32]) -> Self {
        let [mut seen, mut all] = [Spread::default(), Spread::default()];
        for &user in users {
            let vector = model.users.row(user);
            let scale = scales.get(user).copied().unwrap_or(0.0);
            let (ids, weights) = matrix.row(user);
            let history: Vec<(u32, f32)> = ids.iter().copied().zip(weights.iter().copied()).collect();
            let mut scores: Vec<f32> = (0..model.items.rows()).map(|item| dot(vector, model.items.row(item))).collect();
            model.fold_in.add_lists(&history, &mut scores);
            scores.iter().for_each(|score| all.add(score * scale));
            ids.iter().filter_map(|id| scores.get(*id as usize)).for_each(|score| seen.add(score * scale));
        }
        Self { seen: seen.moments(), all: all.moments() }
    }
}

#[derive(Default)]
struct Spread {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, value: f32) {
        self.count += 1.0;
        self.sum += f64::from(value);
        self.squares += f64::from(value).powi(2);
    }

    fn moments(&self) -> (f32, f32) {
        let count = self.count.max(1.0);
        let mean = self.sum / count;
        (mean as f32, (self.squares / count - mean * mean).max(0.0) as f32)
    }
}

impl ColdStart {
    /// What to add to the vector `mean` of a new item's metadata after `n` events, some of which are by `users`, whose
    /// vectors are given. Costs (users + sample)² · dim. Zero where nothing can be said.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when numbers run out of range.
    pub fn shift(&self, mean: &[f32], users: &[Vec<f32>], n: usize) -> Result<Vec<f32>> {
        let mut shift = vec![0.0; mean.len()];
        let Some(map) = &self.items else { return Ok(shift) };
        let ((target, noise), (other_target, other_noise)) = (self.moments.seen, self.moments.all);
        if users.is_empty() || mean.len() != map.dim() || noise <= 0.0 || other_noise <= 0.0 {
            return Ok(shift);
        }
        let share = n as f32 / (n as f32 + self.mean_evidence()).max(f32::MIN_POSITIVE);
        let (mut rows, mut right, mut noises) = (Vec::new(), Vec::new(), Vec::new());
        for user in users.iter().filter(|user| user.len() == mean.len() && length(user) > 0.0) {
            let mut row = vec![0.0; mean.len()];
            axpy(length(user).recip(), user, &mut row);
            right.push(target - dot(&row, mean));
            noises.push(noise);
            rows.push(row);
        }
        for row in self.sample.data().chunks_exact(self.sample.dim()).filter(|row| row.len() == mean.len()) {
            right.push(share * (other_target - dot(row, mean)));
            noises.push(other_noise);
            rows.push(row.to_vec());
        }
        // Z S½: the inner products of its rows are Z S Zᵀ.
        let half: Vec<f32> = map.residual().iter().map(|variance| variance.max(0.0).sqrt()).collect();
        let scaled: Vec<Vec<f32>> =
            rows.iter().map(|row| row.iter().zip(&half).map(|(value, half)| value * half).collect()).collect();
        let size = rows.len();
        let mut system = vec![0.0; size * size];
        for (i, line) in system.chunks_exact_mut(size).enumerate() {
            for (value, j) in line.iter_mut().zip(0..=i) {
                *value = dot(&scaled[i], &scaled[j]) + if i == j { noises[i] } else { 0.0 };
            }
        }
        solve_spd(&mut system, &mut right, size)?;
        for (weight, row) in right.iter().zip(&scaled) {
            axpy(*weight, row, &mut shift);
        }
        shift.iter_mut().zip(&half).for_each(|(value, half)| *value *= half);
        Ok(shift)
    }

    /// The variance of a new item's score for a user with this vector, after `n` events.
    pub fn score_variance(&self, user: &[f32], n: usize) -> f32 {
        let Some(map) = &self.items else { return 0.0 };
        let open: f32 = user.iter().zip(map.residual()).map(|(value, variance)| value * value * variance).sum();
        let mean = self.mean_evidence();
        if mean > 0.0 { open * mean / (mean + n as f32) } else { 0.0 }
    }
}

/// Users of length 1 that stand for all.
pub fn sample(probes: &Matrix, count: usize) -> Matrix {
    let count = count.min(probes.rows());
    let mut sample = Matrix::zeros(count, probes.dim());
    for at in 0..count {
        let row = probes.row(at * probes.rows() / count);
        let scale = length(row);
        axpy(if scale > 0.0 { scale.recip() } else { 0.0 }, row, sample.row_mut(at));
    }
    sample
}
