//! Drawing items that stand for all that a user did not take.

use rand::Rng;
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;

use crate::error::{Error, Result};

/// Draws items in proportion to (their users)^α, each in constant time (the alias method, Walker 1977; Vose 1991).
#[derive(Debug)]
pub struct Sampler {
    alias: WeightedAliasIndex<f64>,
    probabilities: Vec<f64>,
}

impl Sampler {
    /// For items with so many users each. An item without any is drawn like one with one: it must be told from the others,
    /// too.
    ///
    /// # Errors
    /// [`Error::NoData`] when there is no item.
    pub fn new(counts: impl Iterator<Item = u32>, exponent: f64) -> Result<Self> {
        let weights: Vec<f64> = counts.map(|count| f64::from(count.max(1)).powf(exponent)).collect();
        let total: f64 = weights.iter().sum();
        let probabilities = weights.iter().map(|weight| weight / total).collect();
        let alias = WeightedAliasIndex::new(weights)
            .map_err(|_| Error::no_data("there is no item to draw", "import events of more items"))?;
        Ok(Self { alias, probabilities })
    }

    /// The place of an item.
    pub fn draw(&self, random: &mut impl Rng) -> u32 {
        self.alias.sample(random) as u32
    }

    /// How likely a draw gives this item.
    pub fn probability(&self, place: u32) -> f64 {
        self.probabilities.get(place as usize).copied().unwrap_or(0.0)
    }
}
