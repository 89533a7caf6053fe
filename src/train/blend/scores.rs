//! The parts' scores of some users over the whole catalogue, and the scale on which they are compared.

use rayon::prelude::*;

use super::parts::{Part, Parts};
use crate::config::BlendConfig;
use crate::error::Result;
use crate::features::Csr;
use crate::linalg::{Matrix, axpy, inner_products};

/// Users scored together at most: each item vector that is read serves all of them.
const MOST_USERS: usize = 64;
/// Scores of a part that are held at a time, if one user has not more.
const MOST_SCORES: usize = 1 << 22;
/// So many users tell the scale of a part.
const SCALE_USERS: usize = 256;

/// The scores of one part, `[users, n_items]`.
pub struct PartScores {
    /// Whose.
    pub part: Part,
    rows: Vec<f32>,
    n_items: usize,
}

impl PartScores {
    /// The scores of the user at a place of the block.
    pub fn of(&self, place: usize) -> &[f32] {
        self.rows.get(place * self.n_items..(place + 1) * self.n_items).unwrap_or_default()
    }
}

impl Parts {
    /// So many users are scored together.
    pub fn block(&self) -> usize {
        (MOST_SCORES / self.popularity.len().max(1)).clamp(1, MOST_USERS)
    }

    /// What each part that is there says about all items to `users`, rows of `matrix`, at most [`Parts::block`] of them.
    pub fn scores(&self, matrix: &Csr, users: &[u32]) -> Result<Vec<PartScores>> {
        let n_items = self.popularity.len();
        let mut all = Vec::new();
        if let Some(model) = &self.ials {
            let rows = users.iter().flat_map(|user| model.users.row(*user as usize)).copied().collect();
            let rows = Matrix::new(model.items.dim(), rows)?;
            let rows = inner_products(rows.as_rows(), model.items.as_rows());
            all.push(PartScores { part: Part::Ials, rows: rows.into_data(), n_items });
        }
        if let Some(low_pass) = &self.low_pass {
            let mut vectors = Matrix::zeros(users.len(), low_pass.items.dim());
            for (place, user) in users.iter().enumerate() {
                let (ids, weights) = matrix.row(*user as usize);
                for (&id, weight) in ids.iter().zip(weights) {
                    let degree = low_pass.degrees.get(id as usize).copied().unwrap_or(0.0);
                    axpy(weight / self.unit * degree, low_pass.items.row(id as usize), vectors.row_mut(place));
                }
            }
            let rows = inner_products(vectors.as_rows(), low_pass.items.as_rows());
            all.push(PartScores { part: Part::LowPass, rows: rows.into_data(), n_items });
        }
        for (part, lists) in [(Part::Filter, &self.filter), (Part::Linear, &self.linear)] {
            let Some(lists) = lists else { continue };
            let mut rows = vec![0.0; users.len() * n_items];
            rows.par_chunks_mut(n_items.max(1)).zip(users).for_each(|(out, user)| {
                let (ids, weights) = matrix.row(*user as usize);
                for (&id, weight) in ids.iter().zip(weights) {
                    let (items, values) = lists.row(id as usize);
                    for (&item, value) in items.iter().zip(values) {
                        if let Some(score) = out.get_mut(item as usize) {
                            *score += weight / self.unit * value;
                        }
                    }
                }
            });
            all.push(PartScores { part, rows, n_items });
        }
        let mass = |user: &u32| matrix.row(*user as usize).1.iter().sum::<f32>() / self.unit;
        let rows = users.iter().flat_map(|user| self.popularity.iter().map(move |count| mass(user) * count)).collect();
        all.push(PartScores { part: Part::Popularity, rows, n_items });
        Ok(all)
    }

    /// Each part's weight divided by the scale of its scores: the standard deviation over the items, averaged over users.
    pub fn on_one_scale(&self, matrix: &Csr, blend: &BlendConfig) -> Result<BlendConfig> {
        let with_history = (0..matrix.n_rows() as u32).filter(|user| !matrix.row(*user as usize).0.is_empty());
        let users = evenly(&with_history.collect::<Vec<_>>(), SCALE_USERS);
        let mut sums = [0.0f64; Part::ALL.len()];
        for users in users.chunks(self.block()) {
            for scores in self.scores(matrix, users)? {
                let total: f64 = (0..users.len()).map(|place| deviation(scores.of(place))).sum();
                for (sum, _) in sums.iter_mut().zip(Part::ALL).filter(|(_, part)| *part == scores.part) {
                    *sum += total;
                }
            }
        }
        let mut scaled = blend.clone();
        for (part, sum) in Part::ALL.into_iter().zip(sums) {
            let mean = sum / users.len().max(1) as f64;
            // A part that says the same of all items says nothing.
            let weight = if mean > 0.0 { part.weight(blend) / mean } else { 0.0 };
            scaled = part.with_weight(scaled, weight);
        }
        Ok(scaled)
    }
}

/// At most `count` of `users`, evenly spaced.
pub fn evenly(users: &[u32], count: usize) -> Vec<u32> {
    let count = count.min(users.len());
    (0..count).filter_map(|place| users.get(place * users.len() / count)).copied().collect()
}

fn deviation(values: &[f32]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
    (values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / n).sqrt()
}
