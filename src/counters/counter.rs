//! The counter of the events of one type of one user or item.

use super::buckets::Buckets;
use crate::record::Timestamp;

/// What a counter takes from an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountedEvent {
    /// When it happened.
    pub time: Timestamp,
    /// The number that belongs to it.
    pub value: Option<f64>,
    /// How long the user stayed, in milliseconds.
    pub dwell_ms: Option<u64>,
}

/// How many events there were and when, how long their users stayed, and the sum of their values.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EventCounter {
    /// All events.
    pub events: i64,
    /// Counts by time.
    pub buckets: Buckets,
    /// Events with a dwell time.
    pub dwells: i64,
    /// The sum of the dwell times, in milliseconds.
    pub dwell_ms: i64,
    /// Events with a value.
    pub values: i64,
    /// The sum of the values.
    pub value: f64,
}

impl EventCounter {
    /// Counts an event. Together with [`EventCounter::merge`] this is the one place where an event changes a counter.
    pub fn add(&mut self, event: CountedEvent) {
        self.count(event, 1);
    }

    /// Takes an event out again.
    pub fn remove(&mut self, event: CountedEvent) {
        self.count(event, -1);
    }

    fn count(&mut self, event: CountedEvent, sign: i64) {
        self.events = self.events.saturating_add(sign);
        self.buckets.add(event.time, sign);
        if let Some(dwell) = event.dwell_ms {
            self.dwells = self.dwells.saturating_add(sign);
            self.dwell_ms = self.dwell_ms.saturating_add(sign * i64::try_from(dwell).unwrap_or(i64::MAX));
        }
        if let Some(value) = event.value {
            self.values = self.values.saturating_add(sign);
            self.value += sign as f64 * value;
        }
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.events = self.events.saturating_add(other.events);
        self.buckets.merge(&other.buckets);
        self.dwells = self.dwells.saturating_add(other.dwells);
        self.dwell_ms = self.dwell_ms.saturating_add(other.dwell_ms);
        self.values = self.values.saturating_add(other.values);
        self.value += other.value;
    }

    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        let mut buckets = std::mem::take(&mut self.buckets);
        buckets.clear();
        *self = Self { buckets, ..Self::default() };
    }

    /// Nothing counted, or all of it taken out again.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Whether both have counted the same in all. Sums of values depend on the order of the events in their last digits.
    pub fn agrees(&self, other: &Self) -> bool {
        let totals = |of: &Self| (of.events, of.dwells, of.dwell_ms, of.values);
        let scale = 1.0 + self.value.abs().max(other.value.abs());
        totals(self) == totals(other) && (self.value - other.value).abs() <= 1e-6 * scale
    }
}
