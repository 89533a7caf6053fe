//! Which share each value of an attribute has of some items: of a past, of a list.

use rustc_hash::FxHashMap;

/// Shares of the values of an attribute, which sum to 1; empty where nothing is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValueMix(FxHashMap<u32, f64>);

impl ValueMix {
    /// Of items with their values, by weight: an item's weight is shared out evenly among its values. Items without values
    /// and weights that are not positive do not count.
    pub fn of<'a>(items: impl Iterator<Item = (&'a [u32], f64)>) -> Self {
        let mut shares: FxHashMap<u32, f64> = FxHashMap::default();
        for (values, weight) in items.filter(|(values, weight)| !values.is_empty() && *weight > 0.0) {
            for value in values {
                *shares.entry(*value).or_default() += weight / values.len() as f64;
            }
        }
        let total: f64 = shares.values().sum();
        shares.values_mut().for_each(|share| *share /= total);
        Self(shares)
    }

    /// The divergence KL(p ‖ q̃) of another mix from this one, q̃ = (1 − α) q + α p with α = 0.01, so that it is finite.
    pub fn divergence(&self, other: &Self) -> f64 {
        let part = |(value, share)| Self::part(share, other.0.get(&value).copied().unwrap_or(0.0));
        self.shares().into_iter().map(part).sum()
    }

    /// The part of a value in the divergence, with its shares here and there.
    pub fn part(p: f64, q: f64) -> f64 {
        p * (p / ((1.0 - SMOOTHING) * q + SMOOTHING * p)).ln()
    }

    /// The values with their shares, in the order of values: sums do not depend on that of the table.
    pub fn shares(&self) -> Vec<(u32, f64)> {
        let mut shares: Vec<(u32, f64)> = self.0.iter().map(|(value, share)| (*value, *share)).collect();
        shares.sort_unstable_by_key(|(value, _)| *value);
        shares
    }
}

const SMOOTHING: f64 = 0.01;
