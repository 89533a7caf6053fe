//! Cold start: where those stand of whom no event is known. Maps from profiles to vectors are learned beside each model, for
//! items and for users, in the space in which both meet in one inner product. What a blend's item-item lists say is part of
//! the score of warm items alone; their projection on the users' vectors (least squares) is added to what the map of items
//! learns, so that a cold item competes for its whole score.

mod map;
mod ridge;
#[cfg(test)]
mod tests;

pub use map::{Examples, MapQuality, ProfileMap};
pub use ridge::{Fit, Sparse};

use crate::config::ColdConfig;
use crate::error::Result;
use crate::features::{Csr, Profile, ProfileEncoder};
use crate::linalg::{Matrix, Rows, axpy, dot, gramian};
use crate::record::{Item, User};

use super::model::Model;

/// So many vectors of the other side tell how good a map is.
const PROBES: usize = 128;
/// What is added to the diagonal of a Gramian, as a share of its mean: directions that nobody has are not inverted.
const DAMPING: f32 = 1e-3;

/// What is known of items and users beside their events, by row of the model; `None` where nothing is.
pub struct Profiles {
    /// `[n_items]`.
    pub items: Vec<Option<Item>>,
    /// `[n_users]`.
    pub users: Vec<Option<User>>,
}

/// Everything for those without events.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ColdStart {
    /// From an item's metadata to its vector; `None` where metadata is missing.
    pub items: Option<ProfileMap>,
    /// From a user's profile to the vector of a history whose confidences sum to one mean pair.
    pub users: Option<ProfileMap>,
    /// The metadata of known items as the map sees it, `[n_items, columns]`: a change of it moves the item.
    pub known: Csr,
    /// Pairs of each known item, `[n_items]`.
    pub evidence: Vec<f32>,
}

impl ColdStart {
    /// Learns the maps beside a model that was trained on `matrix`, `[n_users, n_items]`.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] when numbers run out of range.
    pub fn learn(
        model: &Model,
        matrix: &Csr,
        profiles: &Profiles,
        config: &ColdConfig,
        seed: u64,
    ) -> Result<ColdStart> {
        if config.terms == 0 {
            return Ok(Self::default());
        }
        let lengths: Vec<f32> = (0..model.users.rows()).map(|row| length(model.users.row(row))).collect();
        let pairs: Vec<f32> = (0..matrix.n_rows()).map(|row| matrix.row(row).0.len() as f32).collect();
        let by_item = matrix.transpose();
        let evidence: Vec<f32> = (0..by_item.n_rows()).map(|row| by_item.row(row).0.len() as f32).collect();
        let (encoder, known) = encoded(profiles.items.iter().map(|item| item.as_ref().map(Profile::from)), config);
        let items = if encoder.columns() > 0 {
            let inverse: Vec<f32> = lengths.iter().map(|l| if *l > 0.0 { l.recip() } else { 0.0 }).collect();
            let users = scaled(model.users.as_rows(), &inverse);
            let probes = probes(&users);
            let listed = Some(listed_items(model, &by_item, &users, &inverse)).filter(|_| has_lists(model));
            ProfileMap::learn(
                Examples {
                    encoder,
                    rows: &known,
                    evidence: evidence.clone(),
                    vectors: model.items.as_rows(),
                    listed,
                    gramian: damped(users.as_rows()),
                    probes: &probes,
                },
                config.ridge,
                seed,
            )?
        } else {
            None
        };
        let (encoder, rows) = encoded(profiles.users.iter().map(|user| user.as_ref().map(Profile::from)), config);
        let users = if encoder.columns() > 0 && model.fold_in.mix().ratings.is_none() {
            let unit = model.fold_in.mix().unit;
            let mass = |row: usize| matrix.row(row).1.iter().sum::<f32>() / unit;
            let inverse: Vec<f32> =
                (0..matrix.n_rows()).map(|row| if mass(row) > 0.0 { mass(row).recip() } else { 0.0 }).collect();
            let vectors = scaled(model.users.as_rows(), &inverse);
            let listed = Some(listed_users(model, matrix, &inverse)).filter(|_| has_lists(model));
            ProfileMap::learn(
                Examples {
                    encoder,
                    rows: &rows,
                    evidence: pairs,
                    vectors: vectors.as_rows(),
                    listed,
                    gramian: damped(model.items.as_rows()),
                    probes: &probes(&model.items),
                },
                config.ridge,
                seed,
            )?
        } else {
            None
        };
        for (side, map) in [("items", &items), ("users", &users)] {
            if let Some(map) = map {
                let MapQuality { ridge, slope, explained } = map.quality();
                tracing::info!(side, columns = map.encoder().columns(), ridge, slope, explained, "cold-start map");
            }
        }
        let (known, evidence) = match &items {
            Some(map) => (Csr::from_rows(map.encoder().columns(), known), evidence),
            None => Default::default(),
        };
        Ok(Self { items, users, known, evidence })
    }
}

impl ColdStart {
    /// How much of the vector of a known item is owed to its metadata, 0 to 1: with n pairs, mean n / (n + mean n), as the
    /// map weighs the item.
    pub fn prior_share(&self, row: u32) -> f32 {
        let mean = self.evidence.iter().sum::<f32>() / self.evidence.len().max(1) as f32;
        let pairs = self.evidence.get(row as usize).copied().unwrap_or(0.0);
        if mean + pairs > 0.0 { mean / (mean + pairs) } else { 1.0 }
    }
}

/// An encoder of these profiles, and what it makes of them.
fn encoded<'a>(
    profiles: impl Iterator<Item = Option<Profile<'a>>> + Clone,
    config: &ColdConfig,
) -> (ProfileEncoder, Vec<Sparse>) {
    let encoder = ProfileEncoder::learn(profiles.clone().flatten(), config.terms);
    let rows = profiles.map(|profile| profile.map_or_else(Vec::new, |profile| encoder.encode(profile))).collect();
    (encoder, rows)
}

fn has_lists(model: &Model) -> bool {
    model.fold_in.parts().lists.nnz() > 0
}

/// Σ_u x_u · (what the lists say of item i to u), `[n_items, dim]`, of users whose vectors and scores are scaled alike.
fn listed_items(model: &Model, by_item: &Csr, users: &Matrix, scales: &[f32]) -> Matrix {
    let unit = model.fold_in.mix().unit;
    let mut past = Matrix::zeros(by_item.n_rows(), users.dim());
    for item in 0..by_item.n_rows() {
        let (of, weights) = by_item.row(item);
        for (user, weight) in of.iter().zip(weights) {
            let scale = scales.get(*user as usize).copied().unwrap_or(0.0);
            axpy(weight * scale / unit, users.row(*user as usize), past.row_mut(item));
        }
    }
    let lists = model.fold_in.parts().lists.transpose();
    let mut listed = Matrix::zeros(by_item.n_rows(), users.dim());
    for item in 0..lists.n_rows() {
        let (from, values) = lists.row(item);
        from.iter().zip(values).for_each(|(past_item, value)| {
            axpy(*value, past.row(*past_item as usize), listed.row_mut(item));
        });
    }
    listed
}

/// Σ_i y_i · (what the lists say of item i to u), `[n_users, dim]`, the scores scaled.
fn listed_users(model: &Model, matrix: &Csr, scales: &[f32]) -> Matrix {
    let (unit, lists) = (model.fold_in.mix().unit, &model.fold_in.parts().lists);
    let mut said = Matrix::zeros(matrix.n_cols(), model.items.dim());
    for past in 0..lists.n_rows() {
        let (items, values) = lists.row(past);
        items.iter().zip(values).for_each(|(item, value)| {
            axpy(*value, model.items.row(*item as usize), said.row_mut(past));
        });
    }
    let mut listed = Matrix::zeros(matrix.n_rows(), model.items.dim());
    for (user, scale) in scales.iter().enumerate() {
        let (items, weights) = matrix.row(user);
        for (item, weight) in items.iter().zip(weights) {
            axpy(weight * scale / unit, said.row(*item as usize), listed.row_mut(user));
        }
    }
    listed
}

fn length(row: &[f32]) -> f32 {
    dot(row, row).sqrt()
}

fn scaled(rows: Rows<'_>, scales: &[f32]) -> Matrix {
    let mut scaled = Matrix::zeros(rows.len(), rows.dim());
    for (row, scale) in scales.iter().enumerate().take(rows.len()) {
        axpy(*scale, rows.row(row), scaled.row_mut(row));
    }
    scaled
}

/// Evenly spaced rows of those that say anything.
fn probes(rows: &Matrix) -> Matrix {
    let places: Vec<usize> = (0..rows.rows()).filter(|row| rows.row(*row).iter().any(|value| *value != 0.0)).collect();
    let count = places.len().min(PROBES);
    let mut probes = Matrix::zeros(count, rows.dim());
    for at in 0..count {
        if let Some(place) = places.get(at * places.len() / count) {
            probes.row_mut(at).copy_from_slice(rows.row(*place));
        }
    }
    probes
}

fn damped(rows: Rows<'_>) -> Vec<f32> {
    let dim = rows.dim();
    let mut gramian = gramian(rows);
    let mean = gramian.iter().step_by(dim + 1).sum::<f32>() / dim.max(1) as f32;
    gramian.iter_mut().step_by(dim + 1).for_each(|value| *value += (DAMPING * mean).max(f32::MIN_POSITIVE));
    gramian
}
