//! What the data hold: which attributes there are and what their values look like, and which events there are. The
//! features that nobody declared come from it, and the vocabularies of those that were.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::facts::{hash, number};
use crate::config::FeatureOf;
use crate::counters::{CounterSet, Owner};
use crate::record::{Attributes, CATEGORIES, Item, Value};

/// Distinct values of an attribute that are told apart at most.
const MOST_VALUES: usize = 20_000;
/// A value that fewer users have makes no column: its name would tell of them, in every snapshot, and outlive them.
const FEWEST_USERS: usize = 5;

/// What was seen.
#[derive(Default)]
pub struct Survey {
    pub(super) items: Side,
    pub(super) users: Side,
    pub(super) contexts: Side,
    pub(super) kinds: BTreeMap<String, KindSeen>,
    spaces: BTreeMap<String, usize>,
    texts: BTreeMap<String, Vec<String>>,
    pub(super) published: usize,
}

/// Attributes of items, of users, or of the contexts of events.
#[derive(Default)]
pub(super) struct Side {
    pub count: usize,
    pub attributes: BTreeMap<String, Seen>,
}

/// Values of one attribute.
#[derive(Default)]
pub(super) struct Seen {
    pub owners: usize,
    pub numbers: usize,
    sum: f64,
    squares: f64,
    /// Each number, in no order that matters.
    each: Vec<f32>,
    pub values: FxHashMap<String, usize>,
    pub letters: usize,
    pub words: usize,
}

/// Events of one type.
#[derive(Clone, Copy, Default)]
pub(super) struct KindSeen {
    pub events: i64,
    pub dwells: i64,
    pub values: i64,
}

impl Survey {
    /// Looks at an item that is learned from.
    pub fn item(&mut self, item: &Item) {
        self.items.count += 1;
        self.published += usize::from(item.time.is_some());
        if !item.categories.is_empty() {
            let categories = Value::List(item.categories.iter().map(|category| category.as_str().into()).collect());
            self.items.see(CATEGORIES, &categories);
        }
        for (name, value) in &item.attributes {
            self.items.see(name, value);
            if let Value::Text(text) = value {
                self.texts.entry(name.clone()).or_default().push(text.clone());
            }
        }
    }

    /// Looks at a user who is learned from.
    pub fn user(&mut self, attributes: &Attributes) {
        self.users.count += 1;
        attributes.iter().for_each(|(name, value)| self.users.see(name, value));
    }

    /// Looks at the circumstances of an event.
    pub fn context(&mut self, attributes: &Attributes) {
        if !attributes.is_empty() {
            self.contexts.count += 1;
            attributes.iter().for_each(|(name, value)| self.contexts.see(name, value));
        }
    }

    /// Looks at the counters of items.
    pub fn events(&mut self, counters: &CounterSet) {
        for (owner, kind, counter) in counters.iter() {
            if matches!(owner, Owner::Item(_)) {
                let seen = self.kinds.entry(kind.to_owned()).or_default();
                seen.events += counter.events;
                seen.dwells += counter.dwells;
                seen.values += counter.values;
            }
        }
    }

    /// Takes note of a space of vectors.
    pub fn space(&mut self, name: &str, dimension: usize) {
        self.spaces.insert(name.to_owned(), dimension);
    }

    pub(super) fn dimension(&self, space: &str) -> usize {
        self.spaces.get(space).copied().unwrap_or(0)
    }

    pub(super) fn texts(&self, attribute: &str) -> &[String] {
        self.texts.get(attribute).map(Vec::as_slice).unwrap_or_default()
    }

    /// The most frequent values with their hashes, ties in alphabetical order; of users' attributes none that few have.
    pub(super) fn frequent_values(&self, of: Option<FeatureOf>, attribute: &str, most: usize) -> Vec<(String, u32)> {
        let side = match of {
            Some(FeatureOf::User) => &self.users,
            Some(FeatureOf::Context) => &self.contexts,
            _ => &self.items,
        };
        let Some(seen) = side.attributes.get(attribute) else { return Vec::new() };
        let fewest = if of == Some(FeatureOf::User) { FEWEST_USERS } else { 1 };
        let mut values: Vec<_> = seen.values.iter().filter(|(_, count)| **count >= fewest).collect();
        values.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        values.into_iter().take(most).map(|(value, _)| (value.clone(), hash(value))).collect()
    }

    /// Events of some types for each of others, over all items.
    pub(super) fn rate(&self, types: &[String], per: &[String]) -> f64 {
        let sum = |types: &[String]| -> i64 {
            let wanted = self.kinds.iter().filter(|(kind, _)| types.is_empty() || types.contains(kind));
            wanted.map(|(_, seen)| seen.events).sum()
        };
        let per = sum(per);
        if per > 0 { sum(types) as f64 / per as f64 } else { 0.0 }
    }

    /// How far a number of an item usually is from that of most: see [`Seen::usual_deviation`].
    pub(super) fn deviation(&self, attribute: &str) -> f64 {
        self.items.attributes.get(attribute).map_or(0.0, Seen::usual_deviation)
    }
}

impl Side {
    fn see(&mut self, name: &str, value: &Value) {
        let seen = self.attributes.entry(name.to_owned()).or_default();
        seen.owners += 1;
        let as_number = number(Some(value));
        if as_number.is_finite() {
            seen.numbers += 1;
            seen.sum += f64::from(as_number);
            seen.squares += f64::from(as_number).powi(2);
            seen.each.push(as_number);
        }
        let mut own: Vec<String> = value.each().iter().map(|value| value.display().into_owned()).collect();
        seen.letters += own.iter().map(String::len).sum::<usize>();
        seen.words += own.iter().map(|text| text.split_whitespace().count()).sum::<usize>();
        // An owner counts once for a value.
        own.sort_unstable();
        own.dedup();
        for text in own {
            let is_full = seen.values.len() >= MOST_VALUES;
            match seen.values.get_mut(&text) {
                Some(count) => *count += 1,
                None if !is_full => *seen.values.entry(text).or_default() += 1,
                None => {}
            }
        }
    }
}

impl Seen {
    fn deviation(&self) -> f64 {
        let count = self.numbers as f64;
        let mean = self.sum / count;
        (self.squares / count - mean * mean).max(0.0).sqrt()
    }

    /// The standard deviation of a normal distribution with the same median absolute deviation (Hampel 1974): one price in a
    /// wrong currency does not move it. Where more than half are alike, by those that are not.
    fn usual_deviation(&self) -> f64 {
        const OF_NORMAL: f64 = 1.482_602_218_505_602;
        let Some(middle) = median(&mut self.each.clone()) else { return 0.0 };
        let mut apart: Vec<f32> = self.each.iter().map(|number| (number - middle).abs()).collect();
        let mut usual = median(&mut apart);
        if usual == Some(0.0) {
            apart.retain(|apart| *apart > 0.0);
            usual = median(&mut apart);
        }
        usual.map_or(0.0, |usual| OF_NORMAL * f64::from(usual))
    }

    /// Numbers with more than one value.
    pub fn is_number(&self) -> bool {
        self.numbers * 2 > self.owners && self.deviation() > 0.0
    }

    /// Values that several share.
    pub fn is_categorical(&self) -> bool {
        let uses: usize = self.values.values().sum();
        !self.is_number() && self.values.len() > 1 && self.values.len() * 2 <= uses && self.values.len() < MOST_VALUES
    }

    /// Words that few share as a whole.
    pub fn is_text(&self) -> bool {
        !self.is_number() && !self.is_categorical() && self.words >= 2 * self.owners && self.owners > 20
    }
}

/// The lower of two in the middle; `None` without any.
fn median(numbers: &mut [f32]) -> Option<f32> {
    let middle = numbers.len().checked_sub(1)? / 2;
    Some(*numbers.select_nth_unstable_by(middle, f32::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_known_are_counted_on_when_there_is_no_room_for_others() {
        let mut survey = Survey::default();
        let mut see = |brand: String| {
            let mut item = Item::new("i");
            item.attributes.insert("brand".into(), brand.into());
            survey.item(&item);
        };
        (0..MOST_VALUES + 10).for_each(|number| see(format!("b{number}")));
        (0..5).for_each(|_| see("b7".into()));
        let most = survey.frequent_values(Some(FeatureOf::Item), "brand", 1);
        assert_eq!(most[0].0, "b7");
    }

    #[test]
    fn one_wild_number_does_not_change_what_is_usual() {
        let deviation = |numbers: &[f64]| {
            let mut survey = Survey::default();
            for number in numbers {
                let mut item = Item::new("i");
                item.attributes.insert("price".into(), (*number).into());
                survey.item(&item);
            }
            survey.deviation("price")
        };
        let mut prices: Vec<f64> = (0..101).map(f64::from).collect();
        let usual = deviation(&prices);
        assert!((usual - 25.0 * 1.4826).abs() < 0.01, "{usual}");
        prices[100] = 1e12;
        assert_eq!(deviation(&prices), usual);
        let mostly_free = [0.0, 0.0, 0.0, 0.0, 8.0, 10.0, 12.0];
        assert!((deviation(&mostly_free) - 10.0 * 1.4826).abs() < 0.01, "half are alike");
        assert_eq!((deviation(&[]), deviation(&[3.0, 3.0])), (0.0, 0.0));
    }
}
