//! Cold start: where those stand of whom no event is known. Maps from profiles to vectors are learned beside each model, for
//! items and for users, in the space in which both meet in one inner product. What a blend's item-item lists say is part of
//! the score of warm items alone; their projection on the users' vectors (least squares) is added to what the map of items
//! learns, so that a cold item competes for its whole score.

mod events;
mod map;
mod newcomers;
mod ridge;
mod space;
#[cfg(test)]
mod tests;
mod users;

pub use events::Moments;
use map::{Examples, FOLDS, fold_of};
pub use map::{MapQuality, ProfileMap};
pub use ridge::{Fit, Sparse};

use rayon::prelude::*;

use crate::config::ColdConfig;
use crate::error::Result;
use crate::features::{Csr, Profile, ProfileEncoder};
use crate::linalg::{Matrix, Rows, axpy, dot, gramian};
use crate::record::{Item, User};

use super::model::Model;

/// So many vectors of the other side tell how good a map is.
const PROBES: usize = 128;
/// So many users stand for all where an item's first events are weighed.
const SAMPLE: usize = 64;
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
#[derive(Clone, Debug, PartialEq)]
pub struct ColdStart {
    /// From an item's metadata to its vector; `None` where metadata is missing.
    pub items: Option<ProfileMap>,
    /// From a user's profile to the shares that `prior_items` have in the confidences of those like the user.
    pub users: Option<ProfileMap>,
    /// The metadata of known items as the map sees it, `[n_items, columns]`: a change of it moves the item.
    pub known: Csr,
    /// Pairs of each known item, `[n_items]`.
    pub evidence: Vec<f32>,
    /// How users score what they have seen, and everything.
    pub moments: Moments,
    /// Users of length 1 that stand for all, `[sample, dim]`.
    pub sample: Matrix,
    /// Of a model of lists alone: what a user's past items add up to where new items are placed, `[n_items, k]`; for all
    /// others, whose vectors say what kind an item is, new items are placed among those.
    pub space: Option<Matrix>,
    /// The rows of the items of which the map of users tells, ascending.
    pub prior_items: Vec<u32>,
    /// The shares that they have for everybody, `[prior_items]`; empty in snapshots of earlier versions.
    pub prior_shares: Vec<f32>,
    /// k: for how many pairs counts what is foretold of a user.
    pub prior_pairs: f32,
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
        let by_item = matrix.transpose();
        let inverse = |value: f32| if value > 0.0 { value.recip() } else { 0.0 };
        let evidence = counts(&by_item);
        let targets: Vec<f32> = evidence.iter().map(|pairs| pairs.ln_1p()).collect();
        let of_items = || profiles.items.iter().map(|item| item.as_ref().map(Profile::from));
        let (encoder, known) = encoded(of_items(), Some(&targets), config);
        let counted: Vec<(Option<Profile<'_>>, f32)> = of_items().zip(targets).collect();
        let unaware = if encoder.has_statistics() { unaware(&encoder, &counted, seed) } else { Vec::new() };
        let space = space::of(model, matrix, seed)?;
        let placed = space.as_ref().map(|space| space::users(model, matrix, space));
        let users = placed.as_ref().map_or(model.users.as_rows(), Matrix::as_rows);
        let scales: Vec<f32> = (0..users.len()).map(|row| inverse(length(users.row(row)))).collect();
        let of_length_one = scaled(users, &scales);
        let (places, item_probes) = probes(&of_length_one);
        let mut listed = has_lists(model).then(|| listed_items(model, &by_item, &of_length_one, &scales));
        let nothing = Matrix::zeros(matrix.n_cols(), users.dim());
        if let (Some(listed), Some(_)) = (&mut listed, &space) {
            space::add_products(model, &of_length_one, &scales, listed);
        }
        let items = ProfileMap::learn(
            Examples {
                encoder,
                rows: &known,
                unaware,
                evidence: evidence.clone(),
                vectors: if space.is_some() { nothing.as_rows() } else { model.items.as_rows() },
                listed,
                gramian: damped(of_length_one.as_rows()),
                probes: &item_probes,
            },
            config.ridge,
            seed,
        )?;
        drop(of_length_one);
        let (encoder, rows) = encoded(profiles.users.iter().map(|user| user.as_ref().map(Profile::from)), None, config);
        // A rating does not grow with the number of ratings: there the mean is the prior already.
        let mut cold = match model.fold_in.mix().ratings {
            None => Self::of_users(matrix, encoder, &rows, config.ridge, seed)?,
            Some(_) => Self::default(),
        };
        for (side, map) in [("items", &items), ("users", &cold.users)] {
            if let Some(map) = map {
                let MapQuality { ridge, slope, explained } = map.quality();
                tracing::info!(side, columns = map.encoder().columns(), ridge, slope, explained, "cold-start map");
            }
        }
        if let Some(map) = items {
            cold.known = Csr::from_rows(map.encoder().columns(), known);
            cold.evidence = evidence;
            cold.moments = Moments::of(model, matrix, &places, &scales);
            cold.space = space;
            cold.sample = events::sample(&item_probes, SAMPLE);
            cold.items = Some(map);
        }
        Ok(cold)
    }

    /// What profiles foretell of users, and nothing else; `rows` are the encoded profiles beside the rows of `matrix`.
    fn of_users(matrix: &Csr, encoder: ProfileEncoder, rows: &[Sparse], ridge: f64, seed: u64) -> Result<Self> {
        let prior_items = users::items(&matrix.transpose());
        if prior_items.is_empty() {
            return Ok(Self::default());
        }
        let shares = users::shares(matrix, &prior_items);
        let prior_shares = users::mean_shares(&shares, matrix);
        let users = users::learn(encoder, rows, counts(matrix), &shares, ridge, seed)?;
        Ok(Self { users, prior_items, prior_shares, ..Self::default() })
    }
}

/// Pairs of each row.
fn counts(rows: &Csr) -> Vec<f32> {
    (0..rows.n_rows()).map(|row| rows.row(row).0.len() as f32).collect()
}

impl Default for ColdStart {
    fn default() -> Self {
        Self {
            items: None,
            users: None,
            known: Csr::default(),
            evidence: Vec::new(),
            moments: Moments::default(),
            sample: Matrix::zeros(0, 1),
            space: None,
            prior_items: Vec::new(),
            prior_shares: Vec::new(),
            prior_pairs: 0.0,
        }
    }
}

impl ColdStart {
    /// How much of the vector of a known item is owed to its metadata, 0 to 1: with n pairs, mean n / (n + mean n), as the
    /// map weighs the item.
    pub fn prior_share(&self, row: u32) -> f32 {
        let (mean, pairs) = (self.mean_evidence(), self.pairs(row));
        if mean + pairs > 0.0 { mean / (mean + pairs) } else { 1.0 }
    }

    /// Pairs of a known item.
    pub fn pairs(&self, row: u32) -> f32 {
        self.evidence.get(row as usize).copied().unwrap_or(0.0)
    }

    /// The mean number of pairs of a known item.
    fn mean_evidence(&self) -> f32 {
        self.evidence.iter().sum::<f32>() / self.evidence.len().max(1) as f32
    }
}

/// An encoder of these profiles, of which there may be statistics by their numbers, and what it makes of them.
fn encoded<'a>(
    profiles: impl Iterator<Item = Option<Profile<'a>>> + Clone,
    targets: Option<&[f32]>,
    config: &ColdConfig,
) -> (ProfileEncoder, Vec<Sparse>) {
    let known: Option<Vec<f32>> = targets.map(|targets| {
        let with = profiles.clone().zip(targets).filter(|(profile, _)| profile.is_some());
        with.map(|(_, target)| *target).collect()
    });
    let encoder = ProfileEncoder::learn(profiles.clone().flatten(), known.as_deref(), config);
    let rows = profiles.map(|profile| profile.map_or_else(Vec::new, |profile| encoder.encode(profile))).collect();
    (encoder, rows)
}

/// For each fold, profiles encoded without what is known of the fold and of their own ([`Examples::unaware`]).
fn unaware(encoder: &ProfileEncoder, counted: &[(Option<Profile<'_>>, f32)], seed: u64) -> Vec<Vec<Sparse>> {
    let without = |held: u64| {
        let encoder_of = |own: u64| {
            let others = counted.iter().enumerate().filter(|(place, _)| ![held, own].contains(&fold_of(*place, seed)));
            encoder.recounted(others.filter_map(|(_, (profile, target))| Some(((*profile)?, *target))))
        };
        let encoders: Vec<ProfileEncoder> = (0..FOLDS).map(encoder_of).collect();
        let row = |(place, (profile, _)): (usize, &(Option<Profile<'_>>, f32))| {
            let encoder = encoders.get(fold_of(place, seed) as usize);
            encoder.zip(*profile).map_or_else(Vec::new, |(encoder, profile)| encoder.encode(profile))
        };
        counted.iter().enumerate().map(row).collect()
    };
    (0..FOLDS).map(without).collect()
}

fn has_lists(model: &Model) -> bool {
    model.fold_in.parts().lists.nnz() > 0
}

/// Σ_u x_u · (what the lists say of item i to u), `[n_items, dim]`, of users whose vectors and scores are scaled alike.
fn listed_items(model: &Model, by_item: &Csr, users: &Matrix, scales: &[f32]) -> Matrix {
    let (unit, dim) = (model.fold_in.mix().unit, users.dim());
    let mut past = Matrix::zeros(by_item.n_rows(), dim);
    past.data_mut().par_chunks_exact_mut(dim).enumerate().for_each(|(item, past)| {
        let (of, weights) = by_item.row(item);
        for (user, weight) in of.iter().zip(weights) {
            let scale = scales.get(*user as usize).copied().unwrap_or(0.0);
            axpy(weight * scale / unit, users.row(*user as usize), past);
        }
    });
    gathered(&model.fold_in.parts().lists.transpose(), &past, by_item.n_rows())
}

/// `weights` times `rows`, `[n, dim]`.
fn gathered(weights: &Csr, rows: &Matrix, n: usize) -> Matrix {
    let mut out = Matrix::zeros(n, rows.dim());
    out.data_mut().par_chunks_exact_mut(rows.dim()).enumerate().take(weights.n_rows()).for_each(|(row, out)| {
        let (columns, values) = weights.row(row);
        columns.iter().zip(values).for_each(|(column, value)| axpy(*value, rows.row(*column as usize), out));
    });
    out
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

/// Evenly spaced rows of those that say anything, and their places.
fn probes(rows: &Matrix) -> (Vec<usize>, Matrix) {
    let able: Vec<usize> = (0..rows.rows()).filter(|row| rows.row(*row).iter().any(|value| *value != 0.0)).collect();
    let count = able.len().min(PROBES);
    let places: Vec<usize> = (0..count).filter_map(|at| able.get(at * able.len() / count)).copied().collect();
    let mut probes = Matrix::zeros(places.len(), rows.dim());
    for (at, place) in places.iter().enumerate() {
        probes.row_mut(at).copy_from_slice(rows.row(*place));
    }
    (places, probes)
}

fn damped(rows: Rows<'_>) -> Vec<f32> {
    let dim = rows.dim();
    let mut gramian = gramian(rows);
    let mean = gramian.iter().step_by(dim + 1).sum::<f32>() / dim.max(1) as f32;
    gramian.iter_mut().step_by(dim + 1).for_each(|value| *value += (DAMPING * mean).max(f32::MIN_POSITIVE));
    gramian
}
