//! Whether people take to a new snapshot: its click-through beside the old one's, looked at as often as one likes. The test is
//! the mixture sequential probability ratio test for a difference of two means (Johari, Koomen, Pekelis & Walsh, KDD 2017, eq. 7): the
//! ratio of a normal mixture of differences to none is a martingale when there is none, so that it ever exceeds 1/α has at most
//! the probability α (Ville's inequality), however often it is looked at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::record::{SnapshotId, Timestamp};

/// Standard deviation of the mixture: the differences of click-through that are looked for, as a share of the old one's.
const MIXTURE: f64 = 0.2;
/// Fewer impressions on either side are not judged: the normal approximation does not hold yet.
const FEWEST: u64 = 200;
/// Nor are fewer items taken on both sides together.
const FEWEST_TAKEN: f64 = 30.0;

/// How often what was shown was taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClickRate {
    /// Items shown.
    pub shown: u64,
    /// The share of them that was taken.
    pub rate: f64,
    /// The variance of that share as an estimate.
    pub variance: f64,
}

impl ClickRate {
    /// Of impressions that are independent of each other. Where users see many each, the variance over users is larger: give that.
    pub fn of(shown: u64, taken: u64) -> Self {
        let rate = taken as f64 / shown.max(1) as f64;
        Self { shown, rate, variance: rate * (1.0 - rate) / shown.max(1) as f64 }
    }
}

/// What was shown and taken: kept by whoever keeps exposures.
pub trait Outcomes: Send + Sync {
    /// Click-through of answers by this snapshot, or of all answers, within a span of time (the end is not part of it); `None` where
    /// nothing is known.
    ///
    /// # Errors
    /// Those of the store.
    fn click_rate(&self, snapshot: Option<SnapshotId>, from: Timestamp, until: Timestamp) -> Result<Option<ClickRate>>;

    /// Probabilities that an item is taken, as the ranker of a snapshot foretells them, beside what happened, of some items shown
    /// within a span of time; empty where none are foretold.
    ///
    /// # Errors
    /// Those of the store.
    fn foretold(&self, _snapshot: SnapshotId, _from: Timestamp, _until: Timestamp) -> Result<Vec<(f64, bool)>> {
        Ok(Vec::new())
    }
}

/// A snapshot that is being watched: a new one, or one that somebody has let answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Watch {
    /// The one that has come to answer.
    pub snapshot: SnapshotId,
    /// The one before, which comes back if that one is worse.
    pub against: SnapshotId,
    /// Since when it is watched.
    pub since: Timestamp,
    /// When it stays if nothing speaks against it.
    pub until: Timestamp,
    /// The share of users whom it answers; 1 for all.
    pub share: f64,
}

/// What a look at two click-through rates says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// New minus old.
    pub difference: f64,
    /// The likelihood ratio against no difference.
    pub ratio: f64,
    /// The new one is worse, certain to 1 − α.
    pub is_worse: bool,
    /// The new one is better, certain to 1 − α.
    pub is_better: bool,
}

/// Holds two rates beside each other at the level α of both sides together; `None` with too few impressions.
pub fn judge(old: ClickRate, new: ClickRate, alpha: f64) -> Option<Verdict> {
    let taken = old.rate * old.shown as f64 + new.rate * new.shown as f64;
    if old.shown.min(new.shown) < FEWEST || taken < FEWEST_TAKEN {
        return None;
    }
    let difference = new.rate - old.rate;
    // A side without a take would have no variance at all: neither has less than the rate of both gives it.
    let (of_old, of_new) = (old.shown as f64, new.shown as f64);
    let pooled = (old.rate * of_old + new.rate * of_new) / (of_old + of_new);
    let least = (pooled * (1.0 - pooled)).max(0.0);
    let variance = old.variance.max(least / of_old) + new.variance.max(least / of_new);
    let variance = variance.max(f64::MIN_POSITIVE);
    let mixture = (MIXTURE * f64::midpoint(old.rate, new.rate)).powi(2).max(f64::MIN_POSITIVE);
    let exponent = mixture * difference.powi(2) / (2.0 * variance * (variance + mixture));
    let ratio = (variance / (variance + mixture)).sqrt() * exponent.min(700.0).exp();
    let is_certain = ratio >= alpha.recip();
    Some(Verdict {
        difference,
        ratio,
        is_worse: is_certain && difference < 0.0,
        is_better: is_certain && difference > 0.0,
    })
}

/// Whether click-through has certainly fallen, and by at least this share of what it was.
pub fn fell(before: ClickRate, now: ClickRate, share: f64, alpha: f64) -> bool {
    let verdict = judge(before, now, alpha);
    verdict.is_some_and(|verdict| verdict.is_worse && -verdict.difference >= share * before.rate)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// How many of so many watches end with a verdict when both are looked at after every hundred impressions.
    fn verdicts(old: f64, new: f64, watches: u64, looks: u64) -> (usize, usize) {
        let ends = (0..watches).map(|seed| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let (mut of_old, mut of_new) = (0, 0);
            for look in 1..=looks {
                let mut clicks = |rate: f64| (0..100).filter(|_| random.random::<f64>() < rate).count() as u64;
                of_old += clicks(old);
                of_new += clicks(new);
                let rates = (ClickRate::of(look * 100, of_old), ClickRate::of(look * 100, of_new));
                match judge(rates.0, rates.1, 0.05) {
                    Some(Verdict { is_worse: true, .. }) => return (1, 0),
                    Some(Verdict { is_better: true, .. }) => return (0, 1),
                    _ => {}
                }
            }
            (0, 0)
        });
        ends.fold((0, 0), |sum, end| (sum.0 + end.0, sum.1 + end.1))
    }

    #[test]
    fn equals_are_told_apart_in_at_most_one_of_twenty_watches_however_often_one_looks() {
        let (worse, better) = verdicts(0.1, 0.1, 400, 100);
        assert!(worse + better <= 20, "{worse} {better}");
    }

    #[test]
    fn a_snapshot_that_loses_a_third_of_the_clicks_is_found_out() {
        let (worse, better) = verdicts(0.1, 0.067, 100, 100);
        assert!(worse >= 95 && better == 0, "{worse} {better}");
    }

    #[test]
    fn a_few_impressions_are_not_judged_and_a_small_fall_is_none() {
        assert_eq!(judge(ClickRate::of(100, 50), ClickRate::of(100, 0), 0.05), None);
        let (before, now) = (ClickRate::of(1_000_000, 100_000), ClickRate::of(1_000_000, 96_000));
        assert!(fell(before, now, 0.01, 0.05) && !fell(before, now, 0.1, 0.05));
    }
}
