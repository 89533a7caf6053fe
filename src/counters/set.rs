//! Many counters at once: what a write changes, and what a replay of the log makes.

use rustc_hash::FxHashMap;

use super::counter::{CountedEvent, EventCounter};
use crate::record::{ItemId, UserId};

/// Whose events are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// Those of a user.
    User(UserId),
    /// Those with an item.
    Item(ItemId),
}

impl Owner {
    /// The item, of an item.
    pub fn item(self) -> Option<ItemId> {
        match self {
            Self::Item(item) => Some(item),
            Self::User(_) => None,
        }
    }
}

/// Counters by owner and event type.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CounterSet {
    counters: FxHashMap<Owner, Vec<(Box<str>, EventCounter)>>,
}

impl CounterSet {
    /// Counts an event for its user and its item.
    pub fn add(&mut self, user: UserId, item: ItemId, kind: &str, event: CountedEvent) {
        self.counter(Owner::User(user), kind).add(event);
        self.counter(Owner::Item(item), kind).add(event);
    }

    /// Adds all of one counter.
    pub fn merge(&mut self, owner: Owner, kind: &str, counter: &EventCounter) {
        self.counter(owner, kind).merge(counter);
    }

    /// Forgets an owner.
    pub fn forget(&mut self, owner: Owner) {
        self.counters.remove(&owner);
    }

    /// The counters of an owner by event type; empty for one without events.
    pub fn of(&self, owner: Owner) -> &[(Box<str>, EventCounter)] {
        self.counters.get(&owner).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether both have counted the same in all; a counter of nothing is as good as none.
    pub fn agrees(&self, other: &Self) -> bool {
        let has = |set: &Self, owner, kind: &str, counter: &EventCounter| {
            let found = set.of(owner).iter().find(|(known, _)| **known == *kind).map(|(_, counter)| counter);
            found.map_or(counter.is_empty(), |found| found.agrees(counter))
        };
        let is_in = |a: &Self, b: &Self| a.iter().all(|(owner, kind, counter)| has(b, owner, kind, counter));
        is_in(self, other) && is_in(other, self)
    }

    /// All counters, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Owner, &str, &EventCounter)> {
        self.counters.iter().flat_map(|(owner, of_owner)| of_owner.iter().map(|(kind, c)| (*owner, &**kind, c)))
    }

    /// The counters that hold something: what is left of events that were counted and taken out again is left out.
    pub fn changes(&self) -> impl Iterator<Item = (Owner, &str, &EventCounter)> {
        self.iter().filter(|(.., counter)| **counter != EventCounter::default())
    }

    /// Owners with a counter.
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// The counter of an owner for an event type; a new one if need be.
    pub fn counter(&mut self, owner: Owner, kind: &str) -> &mut EventCounter {
        // Most have events of one type.
        let of_owner = self.counters.entry(owner).or_insert_with(|| Vec::with_capacity(1));
        let place = match of_owner.iter().position(|(known, _)| **known == *kind) {
            Some(place) => place,
            None => {
                of_owner.push((kind.into(), EventCounter::default()));
                of_owner.len() - 1
            }
        };
        &mut of_owner[place].1
    }
}
