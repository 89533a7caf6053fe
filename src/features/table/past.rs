//! A user's past: the latest events, and what several features make of them.

use std::num::NonZeroU32;

use rustc_hash::FxHashMap;

use super::facts::FactTable;
use crate::record::{ItemId, Span, Timestamp};

/// An event of the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PastEvent {
    /// With which item.
    pub item: ItemId,
    /// What, by place among the types that the table tells apart.
    pub kind: u16,
    /// When.
    pub time: Timestamp,
    /// Stands for the session that it names, if it does. Serving knows it of the visit that is going on.
    pub session: Option<NonZeroU32>,
}

impl PastEvent {
    /// A type that no feature asks for.
    pub const OTHER: u16 = u16::MAX;

    fn is_of(&self, kinds: &[u16]) -> bool {
        kinds.is_empty() || kinds.contains(&self.kind)
    }
}

/// For each item, how many events there were and when the latest was.
pub fn by_item(past: &[PastEvent], kinds: &[u16]) -> FxHashMap<ItemId, (u32, Timestamp)> {
    let mut items = FxHashMap::default();
    for event in past.iter().filter(|event| event.is_of(kinds)) {
        let (count, latest) = items.entry(event.item).or_insert((0, event.time));
        *count += 1;
        *latest = event.time.max(*latest);
    }
    items
}

/// A visit, looked at from its end: who asks at a time does not say in which session.
pub struct Visit {
    gap: i64,
    next: Timestamp,
    session: Option<NonZeroU32>,
}

impl Visit {
    /// That of a time. It ends with a pause of more than `gap`.
    pub fn at(at: Timestamp, gap: Span) -> Self {
        Self { gap: gap.millis(), next: at, session: None }
    }

    /// Whether an event, the one before the last that belongs to it, belongs to it, too. Where both name their session, that decides.
    pub fn holds(&mut self, time: Timestamp, session: Option<NonZeroU32>) -> bool {
        let is_held = match (session, self.session) {
            (Some(own), Some(next)) => own == next,
            _ => self.next.millis() - time.millis() <= self.gap,
        };
        (self.next, self.session) = (time, session);
        is_held
    }
}

/// Events of the visit that is going on at a time.
pub fn in_session(past: &[PastEvent], kinds: &[u16], at: Timestamp, gap: Span) -> u32 {
    let mut visit = Visit::at(at, gap);
    let of_visit = past.iter().rev().take_while(|event| visit.holds(event.time, event.session));
    of_visit.filter(|event| event.is_of(kinds)).count() as u32
}

/// The share of each value of an attribute in the decayed past.
pub struct Affinity {
    weights: FxHashMap<u32, f64>,
    total: f64,
}

impl Affinity {
    /// Of past events, each halved with every half-life (milliseconds) that has passed.
    pub fn new(
        past: &[PastEvent],
        kinds: &[u16],
        place: usize,
        half_life: f64,
        at: Timestamp,
        items: &FactTable,
    ) -> Self {
        let mut affinity = Self { weights: FxHashMap::default(), total: 0.0 };
        for event in past.iter().filter(|event| event.is_of(kinds)) {
            let values = items.get(event.item).map(|facts| facts.values(place)).unwrap_or_default();
            if values.is_empty() {
                continue;
            }
            let weight = (-((at.millis() - event.time.millis()).max(0) as f64) / half_life).exp2();
            affinity.total += weight;
            values.iter().for_each(|value| *affinity.weights.entry(*value).or_default() += weight);
        }
        affinity
    }

    /// The mean share of some values; `None` without values or without a past.
    pub fn to(&self, values: &[u32]) -> Option<f64> {
        let sum: f64 = values.iter().map(|value| self.weights.get(value).copied().unwrap_or(0.0)).sum();
        (self.total > 0.0 && !values.is_empty()).then(|| sum / self.total / values.len() as f64)
    }
}

/// Mean and deviation of a number of the items of the past.
pub struct Habit {
    mean: f64,
    deviation: f64,
}

impl Habit {
    /// `usual` is how far items usually are apart: the prior, as strong as one event.
    pub fn new(past: &[PastEvent], kinds: &[u16], place: usize, usual: f64, items: &FactTable) -> Option<Self> {
        let of_event = |event: &PastEvent| items.get(event.item)?.number(place).map(f64::from);
        let numbers: Vec<f64> = past.iter().filter(|event| event.is_of(kinds)).filter_map(of_event).collect();
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
        let deviation = ((squares + usual * usual) / (count + 1.0)).sqrt();
        (count > 0.0 && deviation > 0.0).then_some(Self { mean, deviation })
    }

    /// How many deviations a number is from the mean.
    pub fn distance(&self, number: f32) -> f64 {
        (f64::from(number) - self.mean) / self.deviation
    }
}
