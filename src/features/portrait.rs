//! What a part of the event log looks like, in numbers that can be held beside those of another part: shares of types and
//! hours, spreads of values, how many users and items are new, what is taken most. Made when a snapshot is trained and kept
//! beside it, made again of what came later; which difference matters is for `monitor`. Small: some tens of kilobytes.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::weights::{EventWeights, Signal};
use crate::error::Result;
use crate::record::{ItemId, UserId};
use crate::store::LoggedCount;

/// So many values stand for a spread.
const SAMPLE: usize = 512;
/// So many names have a count of their own; the rest is counted together.
const NAMES: usize = 64;
/// So many of the most taken items are remembered.
const TOP: usize = 100;
/// Users and items are counted in blocks of so many events, whatever the length of the part.
const BLOCK: u64 = 500;

/// How often each of some names came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Names(pub BTreeMap<String, u64>);

impl Names {
    /// Counts one. Beyond [`NAMES`] names all others are one, called nothing.
    pub fn add(&mut self, name: &str) {
        if let Some(count) = self.0.get_mut(name) {
            *count += 1;
            return;
        }
        let name = if self.0.len() < NAMES { name } else { "" };
        *self.0.entry(name.to_owned()).or_default() += 1;
    }
}

/// A spread of numbers: a uniform sample (Vitter 1985, algorithm R) of those that there are, and how many are missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Numbers that there are.
    pub count: u64,
    /// Places where there was none.
    pub missing: u64,
    /// Up to [`SAMPLE`] of them, in no order.
    pub sample: Vec<f32>,
}

impl Spread {
    /// Counts one, or that there is none. The draw depends on the count alone, so the same numbers give the same sample.
    pub fn add(&mut self, value: Option<f32>) {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            self.missing += 1;
            return;
        };
        self.count += 1;
        if self.sample.len() < SAMPLE {
            self.sample.push(value);
            return;
        }
        let drawn = xxhash_rust::xxh3::xxh3_64(&self.count.to_le_bytes()) % self.count;
        if let Some(slot) = self.sample.get_mut(drawn as usize) {
            *slot = value;
        }
    }

    /// The share of places without a number.
    pub fn missing_share(&self) -> f64 {
        self.missing as f64 / (self.count + self.missing).max(1) as f64
    }
}

/// A part of the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Portrait {
    /// Its events.
    pub events: u64,
    /// Time of the first and of the last of them, in milliseconds since 1970.
    pub between: (i64, i64),
    /// Names by what they are of: `type`, `hour`.
    pub names: BTreeMap<String, Names>,
    /// Numbers by what they are of: `value`, `dwell`, `vector.norm`, `score.first`, `feature.…`.
    pub spreads: BTreeMap<String, Spread>,
    /// Events that are the first of their user, and of their item.
    pub firsts: (u64, u64),
    /// Users, and items, in a block of 500 events, on average; 0 in a part without a whole block.
    pub in_block: (f64, f64),
    /// The items with the most positive events, by external id.
    pub top: BTreeMap<String, u64>,
    /// Positive events in all.
    pub positive: u64,
}

impl Portrait {
    /// Days from its first event to its last; an instant counts as one second.
    pub fn days(&self) -> f64 {
        (self.between.1 - self.between.0).max(1_000) as f64 / 86_400_000.0
    }
}

/// Puts a portrait together, event by event, in the order of time.
pub struct Painter<'a> {
    weights: &'a EventWeights,
    portrait: Portrait,
    users: RoaringBitmap,
    items: RoaringBitmap,
    block: (RoaringBitmap, RoaringBitmap),
    blocks: (u64, u64, u64),
    taken: BTreeMap<u32, u64>,
    active: RoaringBitmap,
}

impl<'a> Painter<'a> {
    /// `users` and `items` have been there before: their next event is not their first.
    pub fn new(weights: &'a EventWeights, users: RoaringBitmap, items: RoaringBitmap) -> Self {
        Self {
            weights,
            portrait: Portrait::default(),
            users,
            items,
            block: Default::default(),
            blocks: (0, 0, 0),
            taken: BTreeMap::new(),
            active: RoaringBitmap::new(),
        }
    }

    /// Notes users and items of an event that is not part of the portrait.
    pub fn know(&mut self, user: UserId, item: ItemId) {
        self.users.insert(user.get());
        self.items.insert(item.get());
    }

    /// Counts an event.
    pub fn add(&mut self, event: &LoggedCount<'_>) {
        let portrait = &mut self.portrait;
        let at = event.counted.time.millis();
        if portrait.events == 0 {
            portrait.between.0 = at;
        }
        portrait.between.1 = at;
        portrait.events += 1;
        portrait.names.entry("type".into()).or_default().add(event.kind);
        let hour = at.div_euclid(3_600_000).rem_euclid(24);
        portrait.names.entry("hour".into()).or_default().add(&format!("{hour:02}"));
        let value = event.counted.value.map(|value| value as f32);
        portrait.spreads.entry("value".into()).or_default().add(value);
        // Orders of magnitude count.
        let dwell = event.counted.dwell_ms.map(|dwell| (dwell as f32 / 1000.0).ln_1p());
        portrait.spreads.entry("dwell".into()).or_default().add(dwell);
        portrait.firsts.0 += u64::from(self.users.insert(event.user.get()));
        portrait.firsts.1 += u64::from(self.items.insert(event.item.get()));
        if matches!(self.weights.signal(event.kind, event.counted.value), Signal::Positive(_)) {
            portrait.positive += 1;
            *self.taken.entry(event.item.get()).or_default() += 1;
        }
        self.active.insert(event.user.get());
        self.block.0.insert(event.user.get());
        self.block.1.insert(event.item.get());
        if portrait.events.is_multiple_of(BLOCK) {
            let (blocks, users, items) = self.blocks;
            self.blocks = (blocks + 1, users + self.block.0.len(), items + self.block.1.len());
            self.block = Default::default();
        }
    }

    /// The users of the part.
    pub fn active(&self) -> &RoaringBitmap {
        &self.active
    }

    /// Positive events of each item, by dense id.
    pub fn taken(&self) -> &BTreeMap<u32, u64> {
        &self.taken
    }

    /// The portrait; `name` gives the external id of an item.
    ///
    /// # Errors
    /// Those of `name`.
    pub fn finish(mut self, name: impl Fn(ItemId) -> Result<Option<String>>) -> Result<Portrait> {
        let (blocks, users, items) = self.blocks;
        if blocks > 0 {
            self.portrait.in_block = (users as f64 / blocks as f64, items as f64 / blocks as f64);
        }
        let mut taken: Vec<(u32, u64)> = self.taken.into_iter().collect();
        taken.sort_by_key(|(item, count)| (std::cmp::Reverse(*count), *item));
        for (item, count) in taken.into_iter().take(TOP) {
            if let Some(name) = name(ItemId::new(item))? {
                self.portrait.top.insert(name, count);
            }
        }
        Ok(self.portrait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_uniform_and_the_same_for_the_same_numbers() {
        let of = |n: u32| {
            let mut spread = Spread::default();
            (0..n).for_each(|value| spread.add(Some(value as f32)));
            spread
        };
        let spread = of(100_000);
        assert_eq!(spread, of(100_000));
        assert_eq!((spread.count, spread.sample.len()), (100_000, SAMPLE));
        let mean = spread.sample.iter().sum::<f32>() / SAMPLE as f32;
        // Five standard errors of the mean of a uniform sample.
        assert!((mean - 50_000.0).abs() < 5.0 * 28_868.0 / (SAMPLE as f32).sqrt(), "{mean}");
    }

    #[test]
    fn what_is_no_number_is_missing() {
        let mut spread = Spread::default();
        [Some(1.0), None, Some(f32::NAN)].into_iter().for_each(|value| spread.add(value));
        assert_eq!((spread.count, spread.missing), (1, 2));
        assert!((spread.missing_share() - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let mut names = Names::default();
        (0..1_000).for_each(|number| names.add(&number.to_string()));
        assert_eq!(names.0.len(), NAMES + 1);
        assert_eq!(names.0.values().sum::<u64>(), 1_000);
    }
}
