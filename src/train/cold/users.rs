//! What is taken of somebody of whom little is known: the vector that the profile foretells counts like a number of pairs
//! beside those that there are, and how many is chosen on known users of whom a few pairs are shown.

use rayon::prelude::*;

use super::ColdStart;
use crate::error::Result;
use crate::features::Csr;
use crate::linalg::{axpy, dot};
use crate::train::model::Model;

/// Numbers of pairs that are tried.
const PRIORS: [f32; 9] = [0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// So many users tell, at most.
const USERS: usize = 256;
/// So many of a user's pairs are shown.
const SHOWN: [usize; 3] = [1, 2, 5];
/// The list whose hits are counted.
const LIST: usize = 20;

/// How many pairs the foretold vector of a user should count for, by the mean recall@20 of the pairs that are not shown.
///
/// # Errors
/// Those of fold-in.
pub fn prior_pairs(model: &Model, matrix: &Csr, foretold: &[Vec<f32>]) -> Result<f32> {
    let enough = SHOWN.iter().max().copied().unwrap_or(0) * 2;
    let able: Vec<usize> = (0..matrix.n_rows()).filter(|row| matrix.row(*row).0.len() >= enough).collect();
    let count = able.len().min(USERS);
    let users: Vec<usize> = (0..count).filter_map(|at| able.get(at * able.len() / count)).copied().collect();
    let of_user = |user: &usize| -> Result<[f64; PRIORS.len()]> {
        let (ids, weights) = matrix.row(*user);
        let mut recalls = [0.0; PRIORS.len()];
        let Some(foretold) = foretold.get(*user) else { return Ok(recalls) };
        let items = model.items.as_rows();
        let by_profile: Vec<f32> = (0..items.len()).map(|item| dot(foretold, items.row(item))).collect();
        for shown in SHOWN {
            // Evenly spaced over the user's pairs, which are in the order of ids: as good as drawn.
            let places: Vec<usize> = (0..shown).map(|at| at * ids.len() / shown).collect();
            let history: Vec<(u32, f32)> = places.iter().map(|place| (ids[*place], weights[*place])).collect();
            let mut vector = vec![0.0; items.dim()];
            model.fold_in.solve(items, &history, &mut vector)?;
            let mut own: Vec<f32> = (0..items.len()).map(|item| dot(&vector, items.row(item))).collect();
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
    let all = users.par_iter().map(of_user).collect::<Result<Vec<_>>>()?;
    let mut sums = [0.0; PRIORS.len()];
    all.iter().for_each(|of| sums.iter_mut().zip(of).for_each(|(sum, recall)| *sum += recall));
    let mut best = (0.0, PRIORS[0]);
    for (sum, prior) in sums.into_iter().zip(PRIORS) {
        if sum > best.0 {
            best = (sum, prior);
        }
    }
    Ok(best.1)
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
