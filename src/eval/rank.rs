//! Every test user's list, over the whole catalogue. Lists are kept as column numbers, scores are not.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::{Scorer, top};
use crate::error::{Error, Result};
use crate::features::Holdout;
use crate::progress::{Progress, Step};

/// The best `k` unseen columns of every test user, the best first. Memory: `[users, k]` u32, and one catalogue of scores
/// for each thread. Errors: [`Error::Cancelled`].
pub fn rank(holdout: &Holdout, scorer: &dyn Scorer, k: usize, progress: &dyn Progress) -> Result<Vec<Vec<u32>>> {
    const REPORT_EVERY: usize = 256;
    let matrix = &holdout.train.matrix;
    let (done, total) = (AtomicUsize::new(0), holdout.test.len());
    let rank = |buffers: &mut (Vec<f32>, Vec<u32>), (row, _): &(u32, Vec<u32>)| {
        if progress.cancelled() {
            return Err(Error::Cancelled("evaluation"));
        }
        let (scores, order) = buffers;
        scores.resize(matrix.n_cols(), 0.0);
        scorer.score(*row as usize, scores);
        let ranked = top::unseen(scores, matrix.row(*row as usize).0, k, order);
        let finished = done.fetch_add(1, Ordering::Relaxed) + 1;
        if finished.is_multiple_of(REPORT_EVERY) || finished == total {
            progress.report(&Step::Evaluating { done: finished, total });
        }
        Ok(ranked)
    };
    holdout.test.par_iter().map_init(|| (Vec::new(), Vec::new()), rank).collect()
}
