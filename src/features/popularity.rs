//! Time-decayed popularity with forward decay (Cormode, Shkapenyuk, Srivastava & Xu, ICDE 2009): an event at time t adds
//! 2^((t − t₀) / half-life) to its item's score, so that scores keep their order while time passes and an event of any
//! age can be added at any time. The landmark t₀ moves on before the numbers grow too large.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::record::{ItemId, Span, Timestamp};

/// The landmark moves when an event is so many half-lives after it.
const MOVE_AFTER: f64 = 256.0;

/// The decayed popularity of items.
pub struct Popularity {
    half_life: f64,
    landmark: Option<i64>,
    newest: i64,
    scores: Vec<f64>,
}

impl Popularity {
    /// No event yet; an event counts half after `half_life`.
    pub fn new(half_life: Span) -> Self {
        Self { half_life: half_life.millis().max(1) as f64, landmark: None, newest: i64::MIN, scores: Vec::new() }
    }

    /// Counts an event.
    pub fn add(&mut self, item: ItemId, time: Timestamp, weight: f64) {
        self.newest = self.newest.max(time.millis());
        let landmark = *self.landmark.get_or_insert(time.millis());
        let mut exponent = (time.millis() - landmark) as f64 / self.half_life;
        if exponent > MOVE_AFTER {
            let shrink = (-exponent).exp2();
            self.scores.iter_mut().for_each(|score| *score *= shrink);
            self.landmark = Some(time.millis());
            exponent = 0.0;
        }
        if self.scores.len() <= item.index() {
            self.scores.resize(item.index() + 1, 0.0);
        }
        if let Some(score) = self.scores.get_mut(item.index()) {
            *score += weight * exponent.exp2();
        }
    }

    /// The score of an item at a time, at most that of the newest event: its events, each halved with every half-life
    /// that has passed until then. So the scores of a log that ended years ago are still numbers to read.
    pub fn score(&self, item: ItemId, now: Timestamp) -> f64 {
        self.scores.get(item.index()).copied().unwrap_or(0.0) * self.scale(now)
    }

    /// The most popular items for which `allows` holds, the best first, ties by dense id. `allows` is asked only about
    /// items that would enter the list. One pass over all items.
    pub fn top(&self, limit: usize, now: Timestamp, allows: impl Fn(ItemId) -> bool) -> Vec<(ItemId, f64)> {
        self.best(limit, now, (0..self.scores.len() as u32).map(ItemId::new), allows)
    }

    /// The most popular of these items, the best first, ties by dense id.
    pub fn top_of(&self, limit: usize, now: Timestamp, items: impl Iterator<Item = ItemId>) -> Vec<(ItemId, f64)> {
        self.best(limit, now, items, |_| true)
    }

    fn best(
        &self,
        limit: usize,
        now: Timestamp,
        items: impl Iterator<Item = ItemId>,
        allows: impl Fn(ItemId) -> bool,
    ) -> Vec<(ItemId, f64)> {
        if limit == 0 {
            return Vec::new();
        }
        let mut best: BinaryHeap<Reverse<(Ordered, Reverse<u32>)>> = BinaryHeap::with_capacity(limit + 1);
        for item in items {
            let score = self.scores.get(item.index()).copied().unwrap_or(0.0);
            let entry = Reverse((Ordered(score), Reverse(item.get())));
            let is_full = best.len() == limit;
            let is_beaten = is_full && best.peek().is_some_and(|worst| *worst <= entry);
            if score <= 0.0 || is_beaten || !allows(item) {
                continue;
            }
            if is_full {
                best.pop();
            }
            best.push(entry);
        }
        let scale = self.scale(now);
        let sorted = best.into_sorted_vec().into_iter();
        sorted.map(|Reverse((Ordered(score), Reverse(id)))| (ItemId::new(id), score * scale)).collect()
    }

    fn scale(&self, now: Timestamp) -> f64 {
        let at = now.millis().min(self.newest);
        self.landmark.map_or(0.0, |landmark| (-((at - landmark) as f64) / self.half_life).exp2())
    }
}

#[derive(PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}
impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    #[test]
    fn an_event_counts_half_after_each_half_life() {
        let mut popularity = Popularity::new(Span::days(1));
        popularity.add(ItemId::new(0), at(0), 1.0);
        popularity.add(ItemId::new(0), at(86_400_000), 1.0);
        popularity.add(ItemId::new(1), at(2 * 86_400_000), 1.0);
        assert!((popularity.score(ItemId::new(0), at(2 * 86_400_000)) - 0.75).abs() < 1e-12);
        assert!((popularity.score(ItemId::new(1), at(9 * 86_400_000)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn ties_are_in_the_order_of_dense_ids_and_the_disallowed_are_left_out() {
        let mut popularity = Popularity::new(Span::days(1));
        for (item, weight) in [(3, 1.0), (1, 1.0), (2, 5.0), (0, 1.0), (4, 9.0)] {
            popularity.add(ItemId::new(item), at(0), weight);
        }
        let top = popularity.top(3, at(0), |item| item.get() != 4);
        assert_eq!(top.iter().map(|(item, _)| item.get()).collect::<Vec<_>>(), [2, 0, 1]);
    }

    proptest! {
        #[test]
        fn scores_are_the_decayed_sums_in_any_order(
            mut events in proptest::collection::vec((0u32..4, -900i64..900, 0.1f64..3.0), 1..40),
            seed: u64,
        ) {
            let half_life = 86_400_000.0;
            let expected = |item: u32, now: i64| -> f64 {
                let of_item = events.iter().filter(|event| event.0 == item);
                of_item.map(|(_, day, weight)| weight * (-((now - day) as f64)).exp2()).sum()
            };
            let newest = events.iter().map(|event| event.1).max().unwrap_or_default();
            let expected: Vec<f64> = (0..4).map(|item| expected(item, newest)).collect();
            events.sort_by_key(|event| (event.1 as u64).wrapping_mul(seed | 1));
            let mut popularity = Popularity::new(Span::days(1));
            for (item, day, weight) in &events {
                popularity.add(ItemId::new(*item), at(day * half_life as i64), *weight);
            }
            for (item, expected) in expected.iter().enumerate() {
                let score = popularity.score(ItemId::new(item as u32), at(900 * half_life as i64));
                prop_assert!((score - expected).abs() <= 1e-9 * expected.max(1e-200), "{score} {expected}");
            }
        }
    }
}
