//! Every test user's list, over the whole catalogue. Lists are kept as column numbers, scores are not.

use rayon::prelude::*;

use super::{Scorer, top};
use crate::error::{Error, Result};
use crate::features::Holdout;
use crate::progress::{Progress, Step};

/// Users scored together at most: each item that is read serves all of them.
const MOST_USERS: usize = 64;
/// Scores that are held at a time, if one user has not more.
const MOST_SCORES: usize = 1 << 23;

/// The best `k` columns of every test user that are not left out, the best first. Memory: `[users, k]` u32, and the scores of some users
/// over the whole catalogue, up to 32 MB where one user's are not more. Errors: [`Error::Cancelled`].
pub fn rank(holdout: &Holdout, scorer: &dyn Scorer, k: usize, progress: &dyn Progress) -> Result<Vec<Vec<u32>>> {
    let matrix = &holdout.train.matrix;
    let total = holdout.test.len();
    let at_once = (MOST_SCORES / matrix.n_cols().max(1)).clamp(1, MOST_USERS);
    let mut scores = vec![0.0; at_once.min(total) * matrix.n_cols()];
    let mut rankings = Vec::with_capacity(total);
    for tested in holdout.test.chunks(at_once) {
        if progress.cancelled() {
            return Err(Error::Cancelled("evaluation"));
        }
        let rows: Vec<u32> = tested.iter().map(|(row, _)| *row).collect();
        let scores = scores.get_mut(..rows.len() * matrix.n_cols()).unwrap_or_default();
        scorer.score_all(&rows, scores);
        let of_users = scores.par_chunks_exact(matrix.n_cols().max(1)).zip(&rows);
        rankings.par_extend(
            of_users.map_init(Vec::new, |order, (scores, row)| top::unseen(scores, holdout.left_out(*row), k, order)),
        );
        progress.report(&Step::Evaluating { done: rankings.len(), total });
    }
    Ok(rankings)
}
