//! What is taken of somebody of whom little is known: which items the like of them have, foretold from the profile, counts
//! as a history of some pairs beside the pairs that there are (empirical Bayes). So every part of a blend knows what to
//! make of it. Where nothing is known of a user, it is what everybody has. How many pairs it counts is chosen on known
//! users of whom a few pairs are shown.

use rayon::prelude::*;

use super::ColdStart;
use super::map::ProfileMap;
use super::ridge::Sparse;
use crate::error::Result;
use crate::features::Csr;
use crate::linalg::{Matrix, dot};
use crate::train::model::Model;

/// Items of which it is foretold whether users have them: those with the most users.
const ITEMS: usize = 512;
/// So many of them, the likeliest, make a history.
const HISTORY: usize = 64;
/// Numbers of pairs that are tried.
const PRIORS: [f32; 8] = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];
/// So many users tell, at most.
const USERS: usize = 256;
/// So many of a user's pairs are shown.
const SHOWN: [usize; 3] = [1, 2, 5];
/// The list whose hits are counted.
const LIST: usize = 20;

/// The items that the most users have, ascending.
pub fn items(by_item: &Csr) -> Vec<u32> {
    let users = |item: &u32| by_item.row(*item as usize).0.len();
    let mut items: Vec<u32> = (0..by_item.n_rows() as u32).filter(|item| users(item) > 0).collect();
    items.sort_by_key(|item| (std::cmp::Reverse(users(item)), *item));
    items.truncate(ITEMS);
    items.sort_unstable();
    items
}

/// The share of each of `items` in each user's confidences, `[n_users, items]`.
pub fn shares(matrix: &Csr, items: &[u32]) -> Matrix {
    let mut shares = Matrix::zeros(matrix.n_rows(), items.len());
    for user in 0..matrix.n_rows() {
        let (ids, weights) = matrix.row(user);
        let mass: f32 = weights.iter().sum();
        for (id, weight) in ids.iter().zip(weights) {
            if let Ok(place) = items.binary_search(id) {
                shares.row_mut(user)[place] = weight / mass;
            }
        }
    }
    shares
}

/// For how many pairs the foretold history of a user should count, by the mean recall@20 of the pairs that are not shown.
///
/// # Errors
/// Those of fold-in.
pub fn prior_pairs(model: &Model, matrix: &Csr, cold: &ColdStart, rows: &[Sparse]) -> Result<f32> {
    let enough = SHOWN.iter().max().copied().unwrap_or(0) * 2;
    let able: Vec<usize> = (0..matrix.n_rows()).filter(|row| matrix.row(*row).0.len() >= enough).collect();
    let count = able.len().min(USERS);
    let users: Vec<usize> = (0..count).filter_map(|at| able.get(at * able.len() / count)).copied().collect();
    let (items, unit) = (model.items.as_rows(), model.fold_in.mix().unit);
    let of_user = |user: &usize| -> Result<[f64; PRIORS.len()]> {
        let (ids, weights) = matrix.row(*user);
        let foretold = cold.foretold(rows.get(*user).map_or(&[], Vec::as_slice));
        let mut recalls = [0.0; PRIORS.len()];
        for shown in SHOWN {
            // Evenly spaced over the user's pairs, which are in the order of ids: as good as drawn.
            let places: Vec<usize> = (0..shown).map(|at| at * ids.len() / shown).collect();
            let own: Vec<(u32, f32)> = places.iter().map(|place| (ids[*place], weights[*place])).collect();
            for (recall, pairs) in recalls.iter_mut().zip(PRIORS) {
                let mut history = own.clone();
                if pairs > 0.0 {
                    history.extend(as_history(&foretold, pairs * unit));
                }
                let mut vector = vec![0.0; items.dim()];
                model.fold_in.solve(items, &history, &mut vector)?;
                let mut scores: Vec<f32> = (0..items.len()).map(|item| dot(&vector, items.row(item))).collect();
                model.fold_in.add_lists(&history, &mut scores);
                own.iter().for_each(|(item, _)| scores[*item as usize] = f32::NEG_INFINITY);
                *recall += hits(&scores, ids) / (ids.len() - shown) as f64;
            }
        }
        Ok(recalls)
    };
    let all = users.par_iter().map(of_user).collect::<Result<Vec<_>>>()?;
    let mut sums = [0.0; PRIORS.len()];
    all.iter().for_each(|of| sums.iter_mut().zip(of).for_each(|(sum, recall)| *sum += recall));
    let best = sums.into_iter().zip(PRIORS).reduce(|best, other| if other.0 > best.0 { other } else { best });
    Ok(best.map_or(0.0, |(_, pairs)| pairs))
}

/// How many of these items are among the best.
fn hits(scores: &[f32], wanted: &[u32]) -> f64 {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    let by_score = |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
    if order.len() > LIST {
        order.select_nth_unstable_by(LIST - 1, by_score);
        order.truncate(LIST);
    }
    order.iter().filter(|item| wanted.binary_search(item).is_ok()).count() as f64
}

/// The likeliest as a history whose confidences sum to about `mass`.
fn as_history(foretold: &[(u32, f32)], mass: f32) -> impl Iterator<Item = (u32, f32)> {
    let likeliest = foretold.get(..HISTORY.min(foretold.len())).unwrap_or_default();
    likeliest.iter().map(move |(item, share)| (*item, mass * share))
}

impl ColdStart {
    /// Rows of items with the shares that they have for the like of a user with this encoded profile, the largest first.
    pub fn foretold(&self, profile: &[(u32, f32)]) -> Vec<(u32, f32)> {
        let Some(map) = &self.users else { return Vec::new() };
        let shares = map.vector_of(profile);
        let mut foretold: Vec<(u32, f32)> =
            self.prior_items.iter().copied().zip(shares).filter(|(_, share)| *share > 0.0).collect();
        foretold.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        foretold
    }

    /// What stands for a history of a user with this encoded profile, of (row, confidence): `pairs` at least; `unit` is the
    /// mean confidence. Empty where no map was learned or it counts for nothing.
    pub fn prior_history(&self, profile: &[(u32, f32)], pairs: f32, unit: f32) -> Vec<(u32, f32)> {
        let pairs = self.prior_pairs.max(pairs);
        if pairs > 0.0 { as_history(&self.foretold(profile), pairs * unit).collect() } else { Vec::new() }
    }
}

/// Unit vectors, `[n, n]`: items by which a map of shares is judged.
pub fn axes(n: usize) -> Matrix {
    let mut axes = Matrix::zeros(n, n);
    axes.data_mut().iter_mut().step_by(n + 1).for_each(|value| *value = 1.0);
    axes
}

/// Learns which items users of a profile have; `None` when there is too little to learn from.
///
/// # Errors
/// Those of [`ProfileMap::learn`].
pub fn learn(
    encoder: crate::features::ProfileEncoder,
    rows: &[Sparse],
    evidence: Vec<f32>,
    shares: &Matrix,
    ridge: f64,
    seed: u64,
) -> Result<Option<ProfileMap>> {
    let probes = axes(shares.dim());
    let examples = super::Examples {
        encoder,
        rows,
        evidence,
        vectors: shares.as_rows(),
        listed: None,
        gramian: Vec::new(),
        probes: &probes,
    };
    ProfileMap::learn(examples, ridge, seed)
}
