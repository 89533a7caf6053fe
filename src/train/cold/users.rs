//! What is taken of somebody of whom little is known: the vector that the profile foretells counts like a number of pairs
//! beside those that there are, and how many is chosen on known users of whom a few pairs are shown.

use rayon::prelude::*;

use super::map::ProfileMap;
use super::ridge::Sparse;
use super::{ColdStart, damped};
use crate::error::Result;
use crate::features::Csr;
use crate::linalg::{axpy, dot, solve_spd};
use crate::train::model::Model;

/// Numbers of pairs that are tried.
const PRIORS: [f32; 9] = [0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// So many users tell, at most.
const USERS: usize = 256;
/// So many of a user's pairs are shown.
const SHOWN: [usize; 3] = [1, 2, 5];
/// The list whose hits are counted.
const LIST: usize = 20;

/// Shares of popularity in the foretold vector that are tried, in units of the deviation of its scores.
const POPULAR: [f32; 6] = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0];

/// Adds to a map of users what popularity tells in the space of vectors, as much as finds the most of known users' items, and
/// returns for how many pairs the foretold vector should count, by the mean recall@20 of pairs that are not shown.
///
/// # Errors
/// Those of fold-in.
pub fn settle(model: &Model, matrix: &Csr, map: &mut ProfileMap, rows: &[Sparse]) -> Result<f32> {
    let enough = SHOWN.iter().max().copied().unwrap_or(0) * 2;
    let able: Vec<usize> = (0..matrix.n_rows()).filter(|row| matrix.row(*row).0.len() >= enough).collect();
    let count = able.len().min(USERS);
    let users: Vec<usize> = (0..count).filter_map(|at| able.get(at * able.len() / count)).copied().collect();
    let items = model.items.as_rows();
    let scores = |vector: &[f32]| (0..items.len()).map(|item| dot(vector, items.row(item))).collect::<Vec<f32>>();
    let profiles: Vec<Vec<f32>> =
        users.iter().map(|user| scores(&map.vector_of(rows.get(*user).map_or(&[], Vec::as_slice)))).collect();
    let popular = popularity(model, matrix)?;
    let by_popularity = scores(&popular);
    let of_profiles = profiles.iter().map(|scores| deviation(scores)).sum::<f32>() / count.max(1) as f32;
    let unit = if deviation(&by_popularity) > 0.0 { of_profiles / deviation(&by_popularity) } else { 0.0 };
    let with = |profile: &[f32], share: f32| {
        let mut scores = profile.to_vec();
        axpy(share * unit, &by_popularity, &mut scores);
        scores
    };
    let unseen = |(user, profile): (&usize, &Vec<f32>)| {
        let wanted = matrix.row(*user).0;
        Ok(POPULAR.map(|share| hits(&with(profile, share), wanted) / wanted.len() as f64))
    };
    let share = best(users.par_iter().zip(&profiles).map(unseen).collect::<Result<_>>()?, POPULAR);
    let of_user = |(user, profile): (&usize, &Vec<f32>)| {
        let (ids, weights) = matrix.row(*user);
        let (mut recalls, by_profile) = ([0.0; PRIORS.len()], with(profile, share));
        for shown in SHOWN {
            // Evenly spaced over the user's pairs, which are in the order of ids: as good as drawn.
            let places: Vec<usize> = (0..shown).map(|at| at * ids.len() / shown).collect();
            let history: Vec<(u32, f32)> = places.iter().map(|place| (ids[*place], weights[*place])).collect();
            let mut vector = vec![0.0; items.dim()];
            model.fold_in.solve(items, &history, &mut vector)?;
            let mut own = scores(&vector);
            model.fold_in.add_lists(&history, &mut own);
            for (recall, prior) in recalls.iter_mut().zip(PRIORS) {
                let mut scores = own.clone();
                axpy(prior, &by_profile, &mut scores);
                history.iter().for_each(|(item, _)| scores[*item as usize] = f32::NEG_INFINITY);
                *recall += hits(&scores, ids) / (ids.len() - shown) as f64;
            }
        }
        Ok(recalls)
    };
    let pairs = best(users.par_iter().zip(&profiles).map(of_user).collect::<Result<_>>()?, PRIORS);
    tracing::info!(popular = share, pairs, "cold-start prior of users");
    map.add(share * unit, &popular);
    Ok(pairs)
}

/// The vector whose inner products are nearest to the items' numbers of pairs (least squares).
fn popularity(model: &Model, matrix: &Csr) -> Result<Vec<f32>> {
    let mut vector = vec![0.0; model.items.dim()];
    for row in 0..matrix.n_rows() {
        matrix.row(row).0.iter().for_each(|item| axpy(1.0, model.items.row(*item as usize), &mut vector));
    }
    solve_spd(&mut damped(model.items.as_rows()), &mut vector, model.items.dim())?;
    Ok(vector)
}

fn deviation(values: &[f32]) -> f32 {
    let n = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / n;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / n).sqrt()
}

/// What has the largest sum; the first of equals.
fn best<const N: usize>(each: Vec<[f64; N]>, tried: [f32; N]) -> f32 {
    let mut sums = [0.0; N];
    each.iter().for_each(|of| sums.iter_mut().zip(of).for_each(|(sum, value)| *sum += value));
    let largest = sums.into_iter().zip(tried).reduce(|best, other| if other.0 > best.0 { other } else { best });
    largest.map_or(0.0, |(_, value)| value)
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

impl ColdStart {
    /// What is taken of a user beside the history, `[dim]`: the vector of an encoded profile, as many pairs as it counts.
    /// `None` where no map was learned or it counts for nothing.
    pub fn user_prior(&self, row: &[(u32, f32)]) -> Option<Vec<f32>> {
        let map = self.users.as_ref().filter(|_| self.prior_pairs > 0.0)?;
        let mut vector = map.vector_of(row);
        vector.iter_mut().for_each(|value| *value *= self.prior_pairs);
        Some(vector)
    }
}
