//! What is popular now: a running score per item that each event raises and time lowers.

use crate::config::Config;
use crate::error::Result;
use crate::features::{EventWeights, Popularity, Signal};
use crate::record::{ItemId, Timestamp};
use crate::store::View;

use super::allowed::Allowed;

/// Time-decayed popularity of all items, kept current by every positive event.
pub struct Popular {
    popularity: Popularity,
}

impl Popular {
    /// Reads the whole event log.
    pub fn load(view: &View<'_>, config: &Config, weights: &EventWeights) -> Result<Self> {
        let mut popular = Self { popularity: Popularity::new(config.recommend.popular_half_life) };
        view.for_each_event(None, &mut |event| {
            popular.add(weights, event.item, event.kind, event.value, event.time);
            Ok(())
        })?;
        Ok(popular)
    }

    /// Counts one event; one dated in the future counts as of now.
    pub fn add(&mut self, weights: &EventWeights, item: ItemId, kind: &str, value: Option<f64>, time: Timestamp) {
        if let Signal::Positive(weight) = weights.signal(kind, value) {
            self.popularity.add(item, time.min(Timestamp::now()), f64::from(weight));
        }
    }

    /// The `limit` most popular allowed items, the best first, ties by dense id.
    pub fn top(&self, limit: usize, now: Timestamp, allowed: &Allowed<'_>) -> Vec<(ItemId, f64)> {
        match allowed.items() {
            Some(items) => self.popularity.top_of(limit, now, items),
            None => self.popularity.top(limit, now, |item| allowed.allows_item(item)),
        }
    }

    /// The score of an item now: its events, each halved with every half-life that has passed.
    pub fn score(&self, item: ItemId, now: Timestamp) -> f64 {
        self.popularity.score(item, now)
    }
}
