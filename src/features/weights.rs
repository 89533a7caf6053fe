//! What an event says about a preference, and what several events of one pair say together.

use rustc_hash::FxHashMap;

use crate::config::{EventsConfig, Repeats};
use crate::record::{ItemId, Span, Timestamp};

/// What is left of a weight however old its event is.
const LEAST_LEFT: f64 = 1e-6;

/// What one event says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    /// Yes, with this weight (before time decay).
    Positive(f32),
    /// No: earlier events of the pair do not count.
    Negative,
    /// Nothing.
    Ignored,
}

/// The configured meaning of event types, ready for use.
#[derive(Clone)]
pub struct EventWeights {
    kinds: FxHashMap<String, Kind>,
    default: Signal,
    rating_threshold: f64,
    repeats: Repeats,
    half_life: Option<f64>,
    trend_half_life: Span,
}

#[derive(Clone, Copy)]
enum Kind {
    Says(Signal),
    Rating(f32),
}

impl EventWeights {
    /// Prepares a configuration that has been checked.
    pub fn new(config: &EventsConfig) -> Self {
        let weight = |weight: f64| if weight > 0.0 { Signal::Positive(weight as f32) } else { Signal::Ignored };
        let mut kinds: FxHashMap<_, _> =
            config.weights.iter().map(|(kind, value)| (kind.clone(), Kind::Says(weight(*value)))).collect();
        for kind in &config.rating {
            let weight = config.weights.get(kind).copied().unwrap_or(config.default_weight);
            kinds.insert(kind.clone(), Kind::Rating(weight as f32));
        }
        for kind in &config.negative {
            kinds.insert(kind.clone(), Kind::Says(Signal::Negative));
        }
        Self {
            kinds,
            default: weight(config.default_weight),
            rating_threshold: config.rating_threshold,
            repeats: config.repeats,
            half_life: config.half_life.span().map(|span| span.millis() as f64),
            trend_half_life: config.trend_half_life,
        }
    }

    /// From now on an event weighs half after this span.
    pub fn fade(&mut self, half_life: Option<Span>) {
        self.half_life = half_life.map(|span| span.millis() as f64);
    }

    /// The same, under another half-life.
    pub fn faded(&self, half_life: Option<Span>) -> Self {
        let mut weights = self.clone();
        weights.fade(half_life);
        weights
    }

    /// After which span an event counts half for what people turn to of late.
    pub fn trend_half_life(&self) -> Span {
        self.trend_half_life
    }

    /// What an event of this type with this value says. A rating without a value says nothing.
    pub fn signal(&self, kind: &str, value: Option<f64>) -> Signal {
        match self.kinds.get(kind) {
            None => self.default,
            Some(Kind::Says(signal)) => *signal,
            Some(Kind::Rating(weight)) => match value {
                Some(value) if value < self.rating_threshold => Signal::Negative,
                Some(_) if *weight > 0.0 => Signal::Positive(*weight),
                _ => Signal::Ignored,
            },
        }
    }

    /// The rating that an event gives, whether it is over the threshold or not.
    pub fn rating(&self, kind: &str, value: Option<f64>) -> Option<f32> {
        let rating = value.filter(|_| matches!(self.kinds.get(kind), Some(Kind::Rating(_))))? as f32;
        rating.is_finite().then_some(rating)
    }

    /// The signal with its weight halved for every half-life between `time` and `now`, down to a millionth of it: products
    /// of what has faded further are lost in single precision, and with them what the items have in common.
    pub fn decayed(&self, signal: Signal, time: Timestamp, now: Timestamp) -> Signal {
        match (signal, self.half_life) {
            (Signal::Positive(weight), Some(half_life)) => {
                let age = (now.millis() - time.millis()).max(0) as f64;
                Signal::Positive((f64::from(weight) * (-age / half_life).exp2().max(LEAST_LEFT)) as f32)
            }
            _ => signal,
        }
    }

    /// What signals of one pair say together, the oldest first: the largest weight or the sum, from the last negative one
    /// on. `None` if nothing positive is left.
    pub fn combine(&self, signals: impl Iterator<Item = Signal>) -> Option<f32> {
        let total = signals.fold(None, |total: Option<f32>, signal| match signal {
            Signal::Positive(weight) => Some(total.map_or(weight, |total| match self.repeats {
                Repeats::Max => total.max(weight),
                Repeats::Sum => total + weight,
            })),
            Signal::Negative => None,
            Signal::Ignored => total,
        });
        total.filter(|weight| *weight > 0.0)
    }

    /// Begins to collect one user's history, as seen at a time.
    pub fn history(&self, now: Timestamp) -> History<'_> {
        History { weights: self, now, signals: Vec::new() }
    }

    /// Begins to collect one user's ratings.
    pub fn ratings(&self) -> RatingHistory<'_> {
        RatingHistory { weights: self, ratings: Vec::new() }
    }
}

/// A preference of a user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preference {
    /// For this item.
    pub item: ItemId,
    /// This strong.
    pub weight: f32,
}

/// One user's history, collected from the newest event to the oldest.
pub struct History<'a> {
    weights: &'a EventWeights,
    now: Timestamp,
    signals: Vec<(ItemId, Signal)>,
}

impl History<'_> {
    /// Adds an event that is not newer than those before.
    pub fn add(&mut self, item: ItemId, kind: &str, value: Option<f64>, time: Timestamp) {
        let signal = self.weights.signal(kind, value);
        if signal != Signal::Ignored {
            self.signals.push((item, self.weights.decayed(signal, time, self.now)));
        }
    }

    /// Adds an event of the session, newer than those before in time, that weighs `factor` times a stored one.
    pub fn add_weighed(&mut self, item: ItemId, kind: &str, value: Option<f64>, factor: f32) {
        match self.weights.signal(kind, value) {
            Signal::Ignored => {}
            Signal::Positive(weight) => self.signals.push((item, Signal::Positive(weight * factor))),
            Signal::Negative => self.signals.push((item, Signal::Negative)),
        }
    }

    /// The preferences, in the order of dense ids.
    pub fn finish(mut self) -> Vec<Preference> {
        self.signals.reverse();
        self.signals.sort_by_key(|(item, _)| *item);
        let pairs = self.signals.chunk_by(|a, b| a.0 == b.0);
        pairs
            .filter_map(|pair| {
                let item = pair.first()?.0;
                let weight = self.weights.combine(pair.iter().map(|(_, signal)| *signal))?;
                Some(Preference { item, weight })
            })
            .collect()
    }
}

/// One user's ratings, collected from the newest event to the oldest.
pub struct RatingHistory<'a> {
    weights: &'a EventWeights,
    ratings: Vec<(ItemId, f32)>,
}

impl RatingHistory<'_> {
    /// Adds an event that is not newer than those before.
    pub fn add(&mut self, item: ItemId, kind: &str, value: Option<f64>) {
        self.ratings.extend(self.weights.rating(kind, value).map(|rating| (item, rating)));
    }

    /// The newest rating of each item, in the order of dense ids.
    pub fn finish(mut self) -> Vec<(ItemId, f32)> {
        // Stable: the newest rating of an item stays the first.
        self.ratings.sort_by_key(|(item, _)| *item);
        self.ratings.dedup_by_key(|(item, _)| *item);
        self.ratings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(config: &EventsConfig, events: &[(u32, &str, Option<f64>, i64)]) -> Vec<(u32, f32)> {
        let weights = EventWeights::new(config);
        let mut history = weights.history(Timestamp::from_millis(1000).unwrap());
        for (item, kind, value, time) in events.iter().rev() {
            history.add(ItemId::new(*item), kind, *value, Timestamp::from_millis(*time).unwrap());
        }
        history.finish().into_iter().map(|preference| (preference.item.get(), preference.weight)).collect()
    }

    #[test]
    fn a_negative_event_cancels_what_came_before_it() {
        let config = EventsConfig::default();
        let liked = [(1, "view", None, 1), (2, "view", None, 2), (1, "dislike", None, 3)];
        assert_eq!(history(&config, &liked), [(2, 1.0)]);
        let again = [(1, "view", None, 1), (1, "dislike", None, 2), (1, "view", None, 3)];
        assert_eq!(history(&config, &again), [(1, 1.0)]);
    }

    #[test]
    fn a_rating_is_positive_from_the_threshold_on() {
        let ratings = [(1, "rating", Some(4.0), 1), (2, "rating", Some(3.5), 1), (3, "rating", None, 1)];
        assert_eq!(history(&EventsConfig::default(), &ratings), [(1, 1.0)]);
    }

    #[test]
    fn the_newest_rating_of_an_item_counts_also_below_the_threshold() {
        let weights = EventWeights::new(&EventsConfig::default());
        let mut ratings = weights.ratings();
        ratings.add(ItemId::new(2), "rating", Some(1.5));
        ratings.add(ItemId::new(1), "view", Some(9.0));
        ratings.add(ItemId::new(2), "rating", Some(5.0));
        ratings.add(ItemId::new(0), "rating", None);
        ratings.add(ItemId::new(1), "rating", Some(4.0));
        assert_eq!(ratings.finish(), [(ItemId::new(1), 4.0), (ItemId::new(2), 1.5)]);
    }

    #[test]
    fn repeated_events_weigh_as_configured() {
        let mut config = EventsConfig { repeats: Repeats::Sum, ..EventsConfig::default() };
        config.weights.insert("buy".into(), 4.0);
        config.weights.insert("ping".into(), 0.0);
        let events = [(1, "view", None, 1), (1, "buy", None, 2), (1, "ping", None, 3)];
        assert_eq!(history(&config, &events), [(1, 5.0)]);
        config.repeats = Repeats::Max;
        assert_eq!(history(&config, &events), [(1, 4.0)]);
    }

    #[test]
    fn an_event_halves_with_every_half_life() {
        let config = EventsConfig { half_life: "500ms".parse().unwrap(), ..EventsConfig::default() };
        assert_eq!(
            history(&config, &[(1, "view", None, 0), (2, "view", None, 500), (3, "view", None, 2000)]),
            [(1, 0.25), (2, 0.5), (3, 1.0)]
        );
    }
}
