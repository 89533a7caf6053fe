//! What one write changes: events, counted and taken out again. Most counters that a write touches it touches once, so a
//! list that is sorted is a fraction of the work of a counter for each.

use super::counter::{CountedEvent, EventCounter};
use super::set::{CounterSet, Owner};
use crate::record::{ItemId, UserId};

/// Events by owner and event type.
#[derive(Default)]
pub struct Changes {
    kinds: Vec<Box<str>>,
    changes: Vec<Change>,
}

struct Change {
    owner: Owner,
    /// By place among the kinds.
    kind: u32,
    is_removed: bool,
    event: CountedEvent,
}

impl Changes {
    /// Counts an event for its user and its item.
    pub fn add(&mut self, user: UserId, item: ItemId, kind: &str, event: CountedEvent) {
        self.count(Owner::User(user), kind, event);
        self.count(Owner::Item(item), kind, event);
    }

    /// Counts an event for an owner.
    pub fn count(&mut self, owner: Owner, kind: &str, event: CountedEvent) {
        let kind = self.kind(kind);
        self.changes.push(Change { owner, kind, is_removed: false, event });
    }

    /// Takes an event of an owner out again.
    pub fn remove(&mut self, owner: Owner, kind: &str, event: CountedEvent) {
        let kind = self.kind(kind);
        self.changes.push(Change { owner, kind, is_removed: true, event });
    }

    /// Puts them in order, which [`Changes::owners`] and [`Changes::for_each`] ask for.
    pub fn sort(&mut self) {
        // Stable: sums of values are those of the order of events.
        self.changes.sort_by_key(|change| (change.owner, change.kind));
    }

    /// How many owners there are.
    pub fn owners(&self) -> usize {
        self.changes.chunk_by(|a, b| a.owner == b.owner).count()
    }

    /// Passes on what each counter is to be changed by, in the order of owners, unless that is nothing. An error ends it.
    pub fn for_each<E>(&self, f: &mut dyn FnMut(Owner, &str, &EventCounter) -> Result<(), E>) -> Result<(), E> {
        let (mut counter, nothing) = (EventCounter::default(), EventCounter::default());
        for group in self.changes.chunk_by(|a, b| (a.owner, a.kind) == (b.owner, b.kind)) {
            let Some((first, kind)) =
                group.first().and_then(|first| Some((first, self.kinds.get(first.kind as usize)?)))
            else {
                continue;
            };
            counter.clear();
            group.iter().for_each(|change| change.apply(&mut counter));
            if counter != nothing {
                f(first.owner, kind, &counter)?;
            }
        }
        Ok(())
    }

    /// Makes the changes in a set, those of some owners.
    pub fn apply(&self, set: &mut CounterSet, is_wanted: impl Fn(Owner) -> bool) {
        for change in self.changes.iter().filter(|change| is_wanted(change.owner)) {
            if let Some(kind) = self.kinds.get(change.kind as usize) {
                change.apply(set.counter(change.owner, kind));
            }
        }
    }

    fn kind(&mut self, kind: &str) -> u32 {
        let place = self.kinds.iter().position(|known| **known == *kind).unwrap_or_else(|| {
            self.kinds.push(kind.into());
            self.kinds.len() - 1
        });
        place as u32
    }
}

impl Change {
    fn apply(&self, counter: &mut EventCounter) {
        if self.is_removed { counter.remove(self.event) } else { counter.add(self.event) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Timestamp;

    proptest! {
        #[test]
        fn a_list_of_changes_is_as_good_as_counters(
            events in proptest::collection::vec((0u32..5, 0u32..5, "[ab]", 0i64..1 << 36, any::<bool>()), 0..40),
        ) {
            let (mut expected, mut changes) = (CounterSet::default(), Changes::default());
            for (user, item, kind, time, is_removed) in &events {
                let (user, item) = (UserId::new(*user), ItemId::new(*item));
                let event = CountedEvent { time: Timestamp::from_millis(*time).unwrap(), value: Some(0.5), dwell_ms: None };
                if *is_removed {
                    changes.remove(Owner::User(user), kind, event);
                    expected.counter(Owner::User(user), kind).remove(event);
                } else {
                    changes.add(user, item, kind, event);
                    expected.add(user, item, kind, event);
                }
            }
            changes.sort();
            prop_assert_eq!(changes.owners(), expected.len());
            let mut passed = CounterSet::default();
            changes.for_each(&mut |owner, kind, counter| {
                passed.merge(owner, kind, counter);
                Ok::<(), ()>(())
            }).unwrap();
            let mut applied = CounterSet::default();
            changes.apply(&mut applied, |_| true);
            let filled = |set: &CounterSet| {
                let mut all: Vec<_> = set.changes().map(|(owner, kind, counter)| (owner, kind.to_owned(), counter.clone())).collect();
                all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
                all
            };
            prop_assert_eq!(filled(&passed), filled(&expected));
            prop_assert_eq!(filled(&applied), filled(&expected));
        }
    }
}
