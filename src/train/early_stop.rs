//! When to stop: factors are judged after each epoch on a validation part, and training ends when they have not become
//! better for a while. They are judged by themselves: neither debiasing nor trends are looked at.

use rayon::prelude::*;

use super::ials::{Observer, Verdict};
use crate::eval::{Metric, Ndcg, unseen};
use crate::features::Holdout;
use crate::linalg::{Matrix, dot};

/// So many validation users are ranked after each epoch.
const USERS: usize = 500;
/// The metric is NDCG at this length of the list.
const CUTOFF: usize = 20;

/// Judges factors by the NDCG of some validation users.
pub struct EarlyStop<'a> {
    holdout: &'a Holdout,
    patience: usize,
    best: f64,
    best_epoch: usize,
}

impl<'a> EarlyStop<'a> {
    /// Stops after `patience` epochs without a better metric; the factors are those of the holdout's training part.
    pub fn new(holdout: &'a Holdout, patience: usize) -> Self {
        Self { holdout, patience, best: f64::NEG_INFINITY, best_epoch: 0 }
    }

    /// The epoch with the best metric; 0 before the first.
    pub fn best_epoch(&self) -> usize {
        self.best_epoch
    }

    /// The rows of the users that are ranked, ascending.
    pub fn rows(&self) -> Vec<usize> {
        self.sampled().map(|(row, _)| *row as usize).collect()
    }

    fn sampled(&self) -> impl Iterator<Item = &'a (u32, Vec<u32>)> {
        let tested = &self.holdout.test;
        tested.iter().step_by(tested.len().div_ceil(USERS).max(1))
    }

    fn ndcg(&self, users: &Matrix, items: &Matrix) -> f64 {
        let of_user = |order: &mut Vec<u32>, (row, held): &(u32, Vec<u32>)| {
            let user = users.row(*row as usize);
            let scores: Vec<f32> = (0..items.rows()).map(|item| dot(user, items.row(item))).collect();
            let seen = self.holdout.train.matrix.row(*row as usize).0;
            Ndcg.value(&unseen(&scores, seen, CUTOFF, order), held, CUTOFF)
        };
        let each: Vec<f64> = self.sampled().collect::<Vec<_>>().into_par_iter().map_init(Vec::new, of_user).collect();
        each.iter().sum::<f64>() / each.len().max(1) as f64
    }
}

impl Observer for EarlyStop<'_> {
    fn epoch(&mut self, epoch: usize, users: &Matrix, items: &Matrix) -> Verdict {
        let ndcg = self.ndcg(users, items);
        tracing::debug!(epoch, ndcg, "judged on the validation part");
        if ndcg > self.best {
            (self.best, self.best_epoch) = (ndcg, epoch);
            Verdict::Best
        } else if epoch >= self.best_epoch + self.patience {
            Verdict::Stop
        } else {
            Verdict::GoOn
        }
    }
}
