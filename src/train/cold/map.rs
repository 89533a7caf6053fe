//! A map from profiles to vectors: where an item (or user) without any event stands. Ridge regression of the learned
//! vectors on the profiles; each known item counts by its evidence, the penalty is chosen on items that are held out, and
//! what it foretells is shrunk to what held-out items bear out, so that cold vectors have plausible lengths.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::ridge::{Fit, Sparse, Sums};
use crate::error::{Error, Result};
use crate::features::{Profile, ProfileEncoder};
use crate::linalg::{Matrix, Rows, axpy, dot, inner_products, solve_factored, solve_spd};

/// Parts of the rows that are held out in turn.
pub const FOLDS: u64 = 3;
/// Penalties that are tried, in the unit of the mean weight of a row.
const RIDGES: [f32; 8] = [0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0];
/// With fewer profiles there is nothing to hold out.
const LEAST_ROWS: usize = 20;

/// From a profile to a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileMap {
    encoder: ProfileEncoder,
    fit: Fit,
    residual: Vec<f32>,
    quality: MapQuality,
}

/// How a map was chosen, and what held-out rows say of it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapQuality {
    /// The penalty, in the unit of the mean weight of a row.
    pub ridge: f32,
    /// What coefficients were multiplied with.
    pub slope: f32,
    /// The share of the scores' variance that is foretold for held-out rows.
    pub explained: f32,
}

/// What a map is learned from.
pub struct Examples<'a> {
    /// Turns profiles into rows.
    pub encoder: ProfileEncoder,
    /// Encoded profiles, `[n]`.
    pub rows: &'a [Sparse],
    /// Where encodings have statistics of the rows' targets in them: for each fold the same without what is known of the fold and
    /// of the row's own, [`FOLDS`]` × [n]`; empty where they have none.
    pub unaware: Vec<Vec<Sparse>>,
    /// The evidence behind each: its number of pairs.
    pub evidence: Vec<f32>,
    /// Learned vectors, `[n, dim]`.
    pub vectors: Rows<'a>,
    /// What item-item lists add, as the right sides of equations in `gramian`, `[n, dim]`.
    pub listed: Option<Matrix>,
    /// Of the other side, with a little on the diagonal, `[dim, dim]`.
    pub gramian: Vec<f32>,
    /// Vectors of the other side by whose scores the map is judged, `[probes, dim]`.
    pub probes: &'a Matrix,
}

/// The part that a row belongs to.
pub fn fold_of(place: usize, seed: u64) -> u64 {
    xxh3_64_with_seed(&(place as u64).to_le_bytes(), seed) % FOLDS
}

impl ProfileMap {
    /// Learns a map; `ridge` of 0 chooses the penalty. `None` when there is too little to learn from.
    ///
    /// # Errors
    /// [`Error::Invalid`] when numbers run out of range.
    pub fn learn(examples: Examples<'_>, ridge: f64, seed: u64) -> Result<Option<Self>> {
        let Examples { encoder, rows, unaware, evidence, vectors, listed, gramian, probes } = examples;
        let (n, columns, dim) = (rows.len(), encoder.columns(), vectors.dim());
        if n < LEAST_ROWS || probes.rows() == 0 {
            return Ok(None);
        }
        let weights = weights(&evidence);
        let mut factor = gramian;
        if listed.is_some() {
            solve_spd(&mut factor, &mut vec![0.0; dim], dim)?;
        }
        // Scores of the probes: what the lists add is solved for the few probes, not for the many rows.
        let mut scores = inner_products(vectors, probes.as_rows());
        if let Some(listed) = &listed {
            let mut solved = probes.clone();
            solved.data_mut().par_chunks_exact_mut(dim).for_each(|probe| solve_factored(&factor, probe, dim));
            axpy(1.0, inner_products(listed.as_rows(), solved.as_rows()).data(), scores.data_mut());
        }
        let fold = |place: usize| fold_of(place, seed);
        // With its own fold held out, a row is without that alone.
        let own = |place: usize| unaware.get(fold(place) as usize).and_then(|rows| rows.get(place)).cloned();
        let own: Vec<Sparse> = (0..n).filter_map(own).collect();
        let rows = if unaware.is_empty() { rows } else { &own };
        let all = Sums::of(columns, rows, &weights, &scores, 0..n);
        let trained: Vec<Sums> = (0..FOLDS)
            .map(|held| match unaware.get(held as usize) {
                Some(rows) => Sums::of(columns, rows, &weights, &scores, (0..n).filter(|place| fold(*place) != held)),
                None => {
                    let held = (0..n).filter(|place| fold(*place) == held);
                    all.without(&Sums::of(columns, rows, &weights, &scores, held))
                }
            })
            .collect();
        let mean = all.mean_target();
        let tried: Vec<f32> = if columns == 0 {
            vec![1.0]
        } else if ridge > 0.0 {
            vec![ridge as f32]
        } else {
            RIDGES.to_vec()
        };
        let mut best: Option<(f32, Held)> = None;
        for ridge in tried {
            let fits = trained.iter().map(|sums| sums.solve(ridge)).collect::<Result<Vec<_>>>()?;
            let held = (0..n)
                .into_par_iter()
                .map(|place| {
                    let fit = fits.get(fold(place) as usize)?;
                    let mut foretold = vec![0.0; scores.dim()];
                    fit.predict(rows.get(place)?, &mut foretold);
                    Some(Held::of(*weights.get(place)?, scores.row(place), &foretold, &mean))
                })
                .collect::<Vec<_>>();
            let held = held.into_iter().flatten().fold(Held::default(), Held::and);
            if best.as_ref().is_none_or(|(_, so_far)| held.error < so_far.error) {
                best = Some((ridge, held));
            }
        }
        let Some((ridge, held)) = best else { return Ok(None) };
        let slope = if held.foretold > 0.0 { (held.common / held.foretold).clamp(0.0, 1.5) as f32 } else { 0.0 };
        let explained = 1.0 - held.error / held.variance.max(f64::MIN_POSITIVE);
        let mut fit = Sums::of(columns, rows, &weights, &to_matrix(vectors)?, 0..n).solve(ridge)?;
        let residual = residual(&fit, rows, &weights, vectors, probes, held.error / held.count.max(1.0));
        if let Some(listed) = &listed {
            let mut extra = Sums::of(columns, rows, &weights, listed, 0..n).solve(ridge)?;
            extra.coefficients.data_mut().par_chunks_exact_mut(dim).for_each(|row| solve_factored(&factor, row, dim));
            solve_factored(&factor, &mut extra.intercept, dim);
            axpy(1.0, extra.coefficients.data(), fit.coefficients.data_mut());
            axpy(1.0, &extra.intercept, &mut fit.intercept);
        }
        fit.shrink(slope, rows, &weights);
        let quality = MapQuality { ridge, slope, explained: explained as f32 };
        Self::new(encoder, fit, residual, quality).map(Some)
    }

    /// Fits the parts together. Errors: [`Error::Invalid`] when they do not, or hold something that is not a number.
    pub fn new(encoder: ProfileEncoder, fit: Fit, residual: Vec<f32>, quality: MapQuality) -> Result<Self> {
        let dim = fit.intercept.len();
        let fits = encoder.is_sound()
            && (fit.coefficients.rows(), fit.coefficients.dim(), residual.len()) == (encoder.columns(), dim, dim);
        let mut numbers = fit.intercept.iter().chain(fit.coefficients.data()).chain(&residual);
        if !fits || numbers.any(|value| !value.is_finite()) {
            return Err(Error::invalid("map", "of profiles does not fit together or holds what is not a number"));
        }
        Ok(Self { encoder, fit, residual, quality })
    }

    /// The vector of a profile, `[dim]`.
    pub fn vector(&self, profile: Profile<'_>) -> Vec<f32> {
        self.vector_of(&self.encoder.encode(profile))
    }

    /// The vector of an encoded profile.
    pub fn vector_of(&self, row: &[(u32, f32)]) -> Vec<f32> {
        let mut out = vec![0.0; self.dim()];
        self.fit.predict(row, &mut out);
        out
    }

    /// What turns profiles into rows.
    pub fn encoder(&self) -> &ProfileEncoder {
        &self.encoder
    }

    /// Intercept and coefficients.
    pub fn fit(&self) -> &Fit {
        &self.fit
    }

    /// The variance, by column, of what profiles do not foretell, `[dim]`.
    pub fn residual(&self) -> &[f32] {
        &self.residual
    }

    /// How it was chosen.
    pub fn quality(&self) -> MapQuality {
        self.quality
    }

    /// Length of the vectors.
    pub fn dim(&self) -> usize {
        self.fit.intercept.len()
    }
}

/// n / (n + mean n), divided by its mean: a vector learned from few pairs is less sure.
fn weights(evidence: &[f32]) -> Vec<f32> {
    let mean = evidence.iter().sum::<f32>() / evidence.len().max(1) as f32;
    let weights: Vec<f32> = evidence.iter().map(|n| n / (n + mean).max(f32::MIN_POSITIVE)).collect();
    let mean = weights.iter().sum::<f32>() / weights.len().max(1) as f32;
    weights.into_iter().map(|weight| weight / mean.max(f32::MIN_POSITIVE)).collect()
}

fn to_matrix(rows: Rows<'_>) -> Result<Matrix> {
    Matrix::new(rows.dim(), rows.data().to_vec())
}

/// Sums over held-out rows and probes.
#[derive(Default)]
struct Held {
    error: f64,
    variance: f64,
    common: f64,
    foretold: f64,
    count: f64,
}

impl Held {
    fn of(weight: f32, scores: &[f32], foretold: &[f32], mean: &[f32]) -> Self {
        let mut held = Self { count: f64::from(weight) * scores.len() as f64, ..Self::default() };
        for ((score, foretold), mean) in scores.iter().zip(foretold).zip(mean) {
            let (is, said) = (f64::from(score - mean), f64::from(foretold - mean));
            let weight = f64::from(weight);
            held.error += weight * (is - said).powi(2);
            held.variance += weight * is.powi(2);
            held.common += weight * is * said;
            held.foretold += weight * said.powi(2);
        }
        held
    }

    fn and(self, other: Self) -> Self {
        Self {
            error: self.error + other.error,
            variance: self.variance + other.variance,
            common: self.common + other.common,
            foretold: self.foretold + other.foretold,
            count: self.count + other.count,
        }
    }
}

/// The variance of each column around the fit, all multiplied alike such that the probes' scores vary as much as they do
/// around what was foretold for held-out rows.
fn residual(fit: &Fit, rows: &[Sparse], weights: &[f32], vectors: Rows<'_>, probes: &Matrix, held: f64) -> Vec<f32> {
    let dim = vectors.dim();
    let (mut sums, mut total) = (vec![0.0f64; dim], 0.0);
    let mut foretold = vec![0.0; dim];
    for (place, (row, weight)) in rows.iter().zip(weights).enumerate() {
        fit.predict(row, &mut foretold);
        total += f64::from(*weight);
        for ((sum, is), said) in sums.iter_mut().zip(vectors.row(place)).zip(&foretold) {
            *sum += f64::from(*weight) * f64::from(is - said).powi(2);
        }
    }
    let variances: Vec<f32> = sums.into_iter().map(|sum| (sum / f64::max(total, f64::MIN_POSITIVE)) as f32).collect();
    let of_probe = |probe: &[f32]| {
        let squares: Vec<f32> = probe.iter().map(|value| value * value).collect();
        f64::from(dot(&squares, &variances))
    };
    let probed = probes.data().chunks_exact(dim.max(1)).map(of_probe).sum::<f64>() / probes.rows().max(1) as f64;
    if probed <= 0.0 {
        // Vectors are found by lists alone: all directions are as open.
        return vec![held as f32; dim];
    }
    let scale = (held / probed) as f32;
    variances.into_iter().map(|variance| variance * scale).collect()
}

impl Fit {
    /// Multiplies coefficients with `slope`; what is said of the weighted mean row stays.
    fn shrink(&mut self, slope: f32, rows: &[Sparse], weights: &[f32]) {
        let total = weights.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        let mut mean = vec![0.0f32; self.coefficients.rows()];
        for (row, weight) in rows.iter().zip(weights) {
            row.iter().for_each(|(column, value)| mean[*column as usize] += weight * value / total);
        }
        for (column, mean) in mean.into_iter().enumerate() {
            axpy((1.0 - slope) * mean, self.coefficients.row(column), &mut self.intercept);
        }
        self.coefficients.data_mut().iter_mut().for_each(|value| *value *= slope);
    }
}
