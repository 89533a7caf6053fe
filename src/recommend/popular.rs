//! What is popular now: a running score per item that each event raises and time lowers.

use crate::config::Config;
use crate::error::Result;
use crate::features::{EventWeights, Popularity, Signal};
use crate::record::{ItemId, Span, Timestamp};
use crate::store::View;

use super::allowed::Allowed;

/// Where no event has come in for longer than this, it is as of then that features are taken.
const QUIET: Span = Span::seconds(3_600);

/// Time-decayed popularity of all items, kept current by every positive event.
pub struct Popular {
    popularity: Popularity,
    newest: Option<Timestamp>,
}

impl Popular {
    /// Reads the whole event log.
    pub fn load(view: &View<'_>, config: &Config, weights: &EventWeights) -> Result<Self> {
        let mut popular = Self { popularity: Popularity::new(config.recommend.popular_half_life), newest: None };
        view.for_each_event(None, &mut |event| {
            popular.add(weights, event.item, event.kind, event.value, event.time);
            Ok(())
        })?;
        Ok(popular)
    }

    /// Counts one event; one dated in the future counts as of now.
    pub fn add(&mut self, weights: &EventWeights, item: ItemId, kind: &str, value: Option<f64>, time: Timestamp) {
        self.newest = self.newest.max(Some(time));
        if let Signal::Positive(weight) = weights.signal(kind, value) {
            self.popularity.add(item, time.min(Timestamp::now()), f64::from(weight));
        }
    }

    /// As of when a ranker's features are taken: now, or an hour after the newest event where none has come in for longer, as in an old dump or
    /// between imports. All windows would be empty then, and that is no moment which a ranker has learned from.
    pub fn moment(&self, now: Timestamp) -> Timestamp {
        self.newest.map_or(now, |newest| now.min(newest.after(QUIET)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_of_now_and_of_the_newest_event_when_nothing_comes_in() {
        let weights = EventWeights::new(&Config::default().events);
        let at = |hours: i64| Timestamp::from_millis(hours * 3_600_000).unwrap();
        let mut popular = Popular { popularity: Popularity::new(Span::days(1)), newest: None };
        assert_eq!(popular.moment(at(100)), at(100));
        popular.add(&weights, ItemId::new(0), "view", None, at(50));
        popular.add(&weights, ItemId::new(0), "no such type", None, at(40));
        assert_eq!([at(50), at(51), at(52), at(900)].map(|now| popular.moment(now)), [at(50), at(51), at(51), at(51)]);
        popular.add(&weights, ItemId::new(0), "view", None, at(5_000_000));
        assert_eq!(popular.moment(at(900)), at(900));
    }
}
