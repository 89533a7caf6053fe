//! The counters of events (see [`crate::counters`]) on disk and, of items, in memory. A write adds what it changes as a
//! merge operand, in the batch of the events themselves, and reads nothing; RocksDB adds operands up when it reads or
//! compacts. Since counters are sums, the order and the grouping in which it does so do not matter.

use std::sync::RwLockReadGuard;

use rocksdb::{DB, Direction, IteratorMode, MergeOperands, Options, ReadOptions, WriteBatch, WriteOptions};

use super::commit::{self, Turn};
use super::families::Family;
use super::key::{self, EventKey};
use super::stored::StoredEvent;
use super::{Store, codec, storage};
use crate::counters::{CountedEvent, CounterSet, EventCounter, Owner};
use crate::error::{Error, Result};
use crate::record::{ItemId, UserId};

/// Operands of one counter that wait in memory before they are added up: what a read must do at most.
const WAITING: usize = 64;
/// Owners of a batch while counters are built.
const OWNERS: usize = 1 << 18;

impl Store {
    /// The counters of a user, by event type; none for a user without events.
    pub fn user_counters(&self, user: UserId) -> Result<Vec<(Box<str>, EventCounter)>> {
        let mut counters = Vec::new();
        for_each_of(&self.db, &key::owner(Owner::User(user)), ReadOptions::default(), &mut |_, kind, counter| {
            counters.push((kind.into(), counter));
            Ok(())
        })?;
        Ok(counters)
    }

    /// Counts an event that is not in the log: what a fault would do.
    #[cfg(test)]
    pub fn miscount(&self, owner: Owner, kind: &str, event: CountedEvent) -> Result<()> {
        self.commit(crate::config::Durability::Async, |turn| {
            turn.counted.counter(owner, kind).add(event);
            turn.delete(Family::Meta, "no such entry")
        })
    }

    /// The counters of all items. Writers wait while this is held.
    pub fn item_counters(&self) -> RwLockReadGuard<'_, CounterSet> {
        commit::read(&self.item_counters)
    }
}

impl Turn<'_> {
    /// Adds a stored event to the counters of its user and its item, or takes it out. A deleted item has none.
    pub fn recount(
        &mut self,
        key: &EventKey<'_>,
        event: CountedEvent,
        change: fn(&mut EventCounter, CountedEvent),
    ) -> Result<()> {
        change(self.counted.counter(Owner::User(key.user), key.kind), event);
        if self.holds(Family::ItemIds, &key::dense(key.item.get()))? {
            change(self.counted.counter(Owner::Item(key.item), key.kind), event);
        }
        Ok(())
    }

    /// Removes all counters of an owner, also what this write has added to them.
    pub fn forget_counters(&mut self, owner: Owner) -> Result<()> {
        self.counted.forget(owner);
        if let Owner::Item(item) = owner {
            self.uncounted.push(item);
        }
        let mut kinds: Vec<Box<str>> = Vec::new();
        for_each_of(self.db, &key::owner(owner), ReadOptions::default(), &mut |_, kind, _| {
            kinds.push(kind.into());
            Ok(())
        })?;
        kinds.iter().try_for_each(|kind| self.delete(Family::EventCounters, counter_key(owner, kind)))
    }
}

/// Lets a family add up its values.
pub fn merged(options: &mut Options) {
    options.set_merge_operator_associative("savor.event_counters", add_up);
    options.set_max_successive_merges(WAITING);
}

/// `None`, for bytes that are no counter, makes the read fail that needs them.
fn add_up(_: &[u8], existing: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    let mut sum = existing.map_or(Some(EventCounter::default()), EventCounter::read)?;
    for operand in operands {
        sum.merge(&EventCounter::read(operand)?);
    }
    let mut bytes = Vec::new();
    sum.write(&mut bytes);
    Some(bytes)
}

/// Adds changes to a batch, in the order of their keys.
pub fn put(db: &DB, counted: &CounterSet, batch: &mut WriteBatch) -> Result<()> {
    let family = Family::EventCounters.of(db)?;
    let mut sorted: Vec<_> = counted.changes().collect();
    sorted.sort_unstable_by_key(|(owner, kind, _)| (*owner, *kind));
    let (mut key, mut bytes) = (Vec::new(), Vec::new());
    for (owner, kind, counter) in sorted {
        key.clear();
        key.extend_from_slice(&key::owner(owner));
        key.extend_from_slice(kind.as_bytes());
        bytes.clear();
        counter.write(&mut bytes);
        batch.merge_cf(family, &key, &bytes);
    }
    Ok(())
}

/// Makes changes that have been written known in memory.
pub fn apply(items: &mut CounterSet, counted: &CounterSet, uncounted: &[ItemId]) {
    for (owner, kind, counter) in counted.changes() {
        if matches!(owner, Owner::Item(_)) {
            items.merge(owner, kind, counter);
        }
    }
    for item in uncounted {
        items.forget(Owner::Item(*item));
    }
}

/// Reads the counters of all items.
pub fn of_items(db: &DB) -> Result<CounterSet> {
    let mut counters = CounterSet::default();
    for_each_of(db, &key::ITEM_COUNTERS, ReadOptions::default(), &mut |owner, kind, counter| {
        counters.merge(owner, kind, &counter);
        Ok(())
    })?;
    Ok(counters)
}

/// Counts the log of a directory that has no counters, in several batches; tells how many events there were. One that is
/// interrupted begins anew.
pub fn build(db: &DB) -> Result<u64> {
    let family = Family::EventCounters.of(db)?;
    let mut batch = WriteBatch::default();
    for entry in db.iterator_cf(family, IteratorMode::Start) {
        batch.delete_cf(family, entry.map_err(storage("count the events"))?.0);
    }
    let mut counted = CounterSet::default();
    let mut count = 0;
    let has_item = |item: ItemId| {
        let name = db.get_pinned_cf(Family::ItemIds.of(db)?, key::dense(item.get()));
        Ok::<_, Error>(name.map_err(storage("count the events"))?.is_some())
    };
    for entry in db.iterator_cf(Family::Events.of(db)?, IteratorMode::Start) {
        let (raw, value) = entry.map_err(storage("count the events"))?;
        let event = EventKey::read_log(&raw).ok_or_else(|| Error::corrupt("events", "holds a key that is none"))?;
        let stored: StoredEvent = codec::decode("an event", &value)?;
        counted.add(event.user, event.item, event.kind, stored.counted(event.time));
        count += 1;
        if counted.len() >= OWNERS {
            flush(db, &mut counted, &mut batch, &has_item)?;
        }
    }
    flush(db, &mut counted, &mut batch, &has_item)?;
    Ok(count)
}

/// A deleted item has no counters, although its events are in the log.
fn flush(
    db: &DB,
    counted: &mut CounterSet,
    batch: &mut WriteBatch,
    has_item: &dyn Fn(ItemId) -> Result<bool>,
) -> Result<()> {
    let items: Vec<ItemId> = counted.iter().filter_map(|(owner, ..)| owner.item()).collect();
    for item in items {
        if !has_item(item)? {
            counted.forget(Owner::Item(item));
        }
    }
    put(db, counted, batch)?;
    *counted = CounterSet::default();
    db.write_opt(std::mem::take(batch), &WriteOptions::default()).map_err(storage("count the events"))
}

/// Is given the owner, the event type and the counter.
pub type OfCounter<'a> = &'a mut dyn FnMut(Owner, &str, EventCounter) -> Result<()>;

/// Passes the counters on whose keys begin with a prefix.
pub fn for_each_of(db: &DB, prefix: &[u8], mut options: ReadOptions, f: OfCounter<'_>) -> Result<()> {
    if let Some(end) = key::after_prefix(prefix) {
        options.set_iterate_upper_bound(end);
    }
    let mode = IteratorMode::From(prefix, Direction::Forward);
    for entry in db.iterator_cf_opt(Family::EventCounters.of(db)?, options, mode) {
        let (raw, bytes) = entry.map_err(storage("read the counters of events"))?;
        let damaged = || Error::corrupt("event_counters", "holds an entry that is none; restore a backup");
        let (owner, kind) = key::read_counter(&raw).ok_or_else(damaged)?;
        f(owner, kind, EventCounter::read(&bytes).ok_or_else(damaged)?)?;
    }
    Ok(())
}

fn counter_key(owner: Owner, kind: &str) -> Vec<u8> {
    [&key::owner(owner)[..], kind.as_bytes()].concat()
}
