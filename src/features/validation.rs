//! Hold-outs inside the data that is learned from, for what is chosen by measuring: where there are times the latter half of
//! what each user did last, else pairs, those of half of the users in blocks.

use super::block_fold::BlockFolds;
use super::holdout::{Draw, Holdout, LatterHalf, TimeSplit};
use super::log::Log;
use crate::error::Result;
use crate::progress::Progress;
use crate::record::Timestamp;

/// A single hold-out with fewer users than this says too little: weights found on 250 users of Gowalla ranked others worse
/// than weights that nobody had fitted. Then there are several.
const ENOUGH_USERS: usize = 1_000;
/// With fewer, all hold-outs together, there is nothing to measure by.
const FEWEST_USERS: usize = 50;
/// The training part of a single hold-out by time.
const LATEST: f64 = 0.85;
/// Where the first of several windows of time begins, how wide they are, and how many.
const FIRST_WINDOW: f64 = 0.6;
const WINDOW: f64 = 0.08;
const WINDOWS: usize = 5;
/// One pair of so many is for validation where there are no times.
const FOLDS: u64 = 10;
/// Of these folds so many are measured where one has too few users.
const MOST_FOLDS: u64 = 5;

impl Log<'_> {
    /// Hold-outs of this log, each measured by what its users did before it, or by what is beside it: one where that has enough users, else
    /// several, the latest first. None where there is too little to measure anything by.
    ///
    /// # Errors
    /// Those of [`Log::block_folds`].
    pub fn validation(&self, progress: &dyn Progress) -> Result<Vec<Holdout>> {
        let holdouts = if self.has_times() { self.by_time() } else { self.by_pairs(progress)? };
        let users: usize = holdouts.iter().map(|holdout| holdout.test.len()).sum();
        Ok(if users >= FEWEST_USERS { holdouts } else { Vec::new() })
    }

    fn by_time(&self) -> Vec<Holdout> {
        let latest = self.holdout(&LatterHalf { before: LATEST }).ok();
        latest.filter(has_enough).map_or_else(|| self.windows(), |holdout| vec![holdout])
    }

    /// The latter halves of what users did in windows of time one after another, the latest first: it is
    /// nearest to what comes next.
    pub fn windows(&self) -> Vec<Holdout> {
        let window = |window: usize| {
            let begin = FIRST_WINDOW + window as f64 * WINDOW;
            let (before, _) = self.split(&TimeSplit { train: begin + WINDOW });
            before.holdout(&LatterHalf { before: begin / (begin + WINDOW) }).ok()
        };
        (0..WINDOWS).rev().filter_map(window).collect()
    }

    /// Whole windows, each with the time at which it begins, measured by what was before it.
    pub fn timed_windows(&self) -> Vec<(Timestamp, Holdout)> {
        let window = |window: usize| {
            let begin = FIRST_WINDOW + window as f64 * WINDOW;
            let (before, _) = self.split(&TimeSplit { train: begin + WINDOW });
            let split = TimeSplit { train: begin / (begin + WINDOW) };
            Some((before.split(&split).1.oldest(), before.holdout(&split).ok()?))
        };
        (0..WINDOWS).rev().filter_map(window).collect()
    }

    /// The folds of this log where it has no times.
    ///
    /// # Errors
    /// Those of [`BlockFolds::new`].
    pub fn block_folds(&self, draw: Draw, folds: u64, progress: &dyn Progress) -> Result<BlockFolds> {
        BlockFolds::new(&self.interactions(self.newest()), draw, folds, progress)
    }

    fn by_pairs(&self, progress: &dyn Progress) -> Result<Vec<Holdout>> {
        let folds = self.block_folds(Draw::Validation, FOLDS, progress)?;
        let fold = |fold| self.holdout(&folds.fold(fold)).ok();
        let first = fold(0);
        if first.as_ref().is_some_and(has_enough) {
            return Ok(first.into_iter().collect());
        }
        Ok(first.into_iter().chain((1..MOST_FOLDS).filter_map(fold)).collect())
    }
}

fn has_enough(holdout: &Holdout) -> bool {
    holdout.test.len() >= ENOUGH_USERS
}
