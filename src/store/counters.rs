//! The counters of events (see [`crate::counters`]) on disk and, of items, in memory. A write reads nothing: it puts what it
//! changes into a journal, one entry for the whole batch, beside the events themselves; in memory the same is added to what
//! is pending. When enough is pending, one write folds it into the counters as merge operands and empties the journal. RocksDB adds
//! operands up when it reads or compacts. Since counters are sums, order and grouping do not matter.
//!
//! An entry of the journal is, for each counter: length of its key u8 | key | length of its bytes u16, little-endian | bytes.

use std::convert::Infallible;
use std::ops::{Deref, Range};
use std::sync::RwLockReadGuard;

use rocksdb::{DB, Direction, IteratorMode, MergeOperands, Options, ReadOptions, WriteBatch, WriteOptions};

use super::commit::{self, Turn};
use super::events::for_each_of_user_before;
use super::families::Family;
use super::key::{self, EventKey};
use super::stored::StoredEvent;
use super::{Store, codec, storage};
use crate::counters::{Changes, CountedEvent, CounterSet, EventCounter, Owner};
use crate::error::{Error, Result};
use crate::record::{ItemId, Timestamp, UserId};

/// Users and items that may have something pending: more are folded, in some ten milliseconds.
#[cfg(not(test))]
const MOST_PENDING: usize = 1 << 14;
/// Tests come by here often.
#[cfg(test)]
const MOST_PENDING: usize = 8;
/// A large batch may leave so many times what it changes itself: folding each batch of an import would touch the same
/// counters again and again.
#[cfg(not(test))]
const TIMES_PENDING: usize = 16;
#[cfg(test)]
const TIMES_PENDING: usize = 2;
/// But not more than this, some hundred megabytes.
const MOST_OF_IMPORTS: usize = 1 << 18;
/// Entries that the journal may have.
const MOST_ENTRIES: u64 = 1 << 16;
/// Owners of a batch while counters are built.
const OWNERS: usize = 1 << 18;

/// The counters in memory. Only who writes changes them.
pub struct Kept {
    /// Those of all items: asked for by the hundred for one answer.
    items: CounterSet,
    /// What the journal holds, of users and items.
    pending: CounterSet,
    /// The numbers of the journal's entries; the next one is at the end.
    journal: Range<u64>,
}

impl Kept {
    /// Reads the counters of all items, and the journal.
    pub fn load(db: &DB) -> Result<Self> {
        let mut items = CounterSet::default();
        for_each_of(db, &key::ITEM_COUNTERS, ReadOptions::default(), &mut |owner, kind, counter| {
            items.merge(owner, kind, &counter);
            Ok(())
        })?;
        let mut kept = Self { items, pending: CounterSet::default(), journal: 0..0 };
        kept.journal = for_each_journaled(db, ReadOptions::default(), &mut |owner, kind, counter| {
            kept.pending.merge(owner, kind, &counter);
            if owner.item().is_some() {
                kept.items.merge(owner, kind, &counter);
            }
            Ok(())
        })?;
        Ok(kept)
    }

    /// The types of the events with items, again and again.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|(_, kind, _)| kind)
    }
}

/// The counters of all items, while writers wait.
pub struct ItemCounters<'a>(RwLockReadGuard<'a, Kept>);

impl Deref for ItemCounters<'_> {
    type Target = CounterSet;

    fn deref(&self) -> &CounterSet {
        &self.0.items
    }
}

/// What a write does to the counters.
pub struct Counting {
    counted: Changes,
    forgotten: Vec<Owner>,
    /// Whether it is an entry of the journal.
    journals: bool,
    /// Whether what is pending goes into the family; readers must not look between the write and [`Counting::apply`].
    pub folds: bool,
}

impl Counting {
    /// Adds it to the batch. Whoever is forgotten takes along what is pending, so that no trace stays in the journal; nothing
    /// is to be pending after the last write of an import.
    pub fn stage(
        db: &DB,
        kept: &Kept,
        mut counted: Changes,
        forgotten: Vec<Owner>,
        is_last: bool,
        batch: &mut WriteBatch,
    ) -> Result<Self> {
        let family = Family::EventCounters.of(db)?;
        counted.sort();
        let owners = counted.owners();
        let most = MOST_PENDING.max((TIMES_PENDING * owners).min(MOST_OF_IMPORTS));
        let is_full = kept.journal.end - kept.journal.start >= MOST_ENTRIES || kept.pending.len() + owners > most;
        let folds = is_full || is_last || !forgotten.is_empty();
        let mut journals = false;
        if folds {
            put(db, &kept.pending, &forgotten, batch)?;
            put_changes(db, &counted, &forgotten, batch)?;
            // One by one: a range that is deleted stays in memory, and every iterator would take all of them apart again.
            kept.journal.clone().for_each(|number| batch.delete_cf(family, key::journal(number)));
        } else {
            let entry = journal_entry(&counted);
            journals = !entry.is_empty();
            if journals {
                batch.put_cf(family, key::journal(kept.journal.end), entry);
            }
        }
        Ok(Self { counted, forgotten, journals, folds })
    }

    /// Makes it known, when it is written.
    pub fn apply(self, kept: &mut Kept) {
        if self.folds {
            kept.pending = CounterSet::default();
            kept.journal.start = kept.journal.end;
        }
        kept.journal.end += u64::from(self.journals);
        self.counted.apply(&mut kept.items, |owner| owner.item().is_some());
        if !self.folds {
            self.counted.apply(&mut kept.pending, |_| true);
        }
        self.forgotten.iter().for_each(|owner| kept.items.forget(*owner));
    }
}

impl Store {
    /// The counters of a user, in the order of their event types; none for a user without events.
    pub fn user_counters(&self, user: UserId) -> Result<Vec<(Box<str>, EventCounter)>> {
        let owner = Owner::User(user);
        let kept = commit::read(&self.kept);
        let mut counters: Vec<(Box<str>, EventCounter)> = Vec::new();
        for_each_of(&self.db, &key::owner(owner), ReadOptions::default(), &mut |_, kind, counter| {
            counters.push((kind.into(), counter));
            Ok(())
        })?;
        for (kind, pending) in kept.pending.of(owner) {
            match counters.iter_mut().find(|(known, _)| known == kind) {
                Some((_, counter)) => counter.merge(pending),
                None => counters.push((kind.clone(), pending.clone())),
            }
        }
        counters.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(counters)
    }

    /// The same of the events from before a time, each of which is read.
    pub fn user_counters_before(&self, user: UserId, before: Timestamp) -> Result<Vec<(Box<str>, EventCounter)>> {
        let (log, owner) = (Family::Events.of(&self.db)?, Owner::User(user));
        let mut counted = CounterSet::default();
        let mut log_key = Vec::new();
        let mut count = |key: EventKey<'_>, _: &[u8], _: &[u8]| {
            log_key.clear();
            key.write_log(&mut log_key);
            // Gone since the iterator was made if it is not there.
            if let Some(value) = self.db.get_pinned_cf(log, &log_key).map_err(storage("read an event"))? {
                let stored: StoredEvent = codec::decode("an event", &value)?;
                counted.counter(owner, key.kind).add(stored.counted(key.time));
            }
            Ok(())
        };
        for_each_of_user_before(&self.db, user, Some(before), &mut count, usize::MAX)?;
        let mut counters = counted.of(owner).to_vec();
        counters.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(counters)
    }

    /// Counts an event that is not in the log: what a fault would do.
    #[cfg(test)]
    pub fn miscount(&self, owner: Owner, kind: &str, event: CountedEvent) -> Result<()> {
        self.commit(crate::config::Durability::Async, |turn| {
            turn.counted.count(owner, kind, event);
            Ok(())
        })
    }

    /// Puts into the counters whatever is pending: what an import has left would otherwise be the next write's to fold.
    pub fn fold_counters(&self) -> Result<()> {
        self.commit(crate::config::Durability::Async, |turn| {
            turn.folds = true;
            Ok(())
        })
    }

    /// The counters of all items. Writers wait while this is held.
    pub fn item_counters(&self) -> ItemCounters<'_> {
        ItemCounters(commit::read(&self.kept))
    }
}

impl Turn<'_> {
    /// Adds a stored event to the counters of its user and its item, or takes it out. A deleted item has none.
    pub fn recount(
        &mut self,
        key: &EventKey<'_>,
        event: CountedEvent,
        change: fn(&mut Changes, Owner, &str, CountedEvent),
    ) -> Result<()> {
        change(&mut self.counted, Owner::User(key.user), key.kind, event);
        if self.holds(Family::ItemIds, &key::dense(key.item.get()))? {
            change(&mut self.counted, Owner::Item(key.item), key.kind, event);
        }
        Ok(())
    }

    /// Removes all counters of an owner, also what this write has added to them.
    pub fn forget_counters(&mut self, owner: Owner) -> Result<()> {
        self.forgotten.push(owner);
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

/// Adds changes to a batch, in the order of their keys, without those of some owners.
fn put(db: &DB, counted: &CounterSet, without: &[Owner], batch: &mut WriteBatch) -> Result<()> {
    let family = Family::EventCounters.of(db)?;
    let mut sorted: Vec<_> = counted.changes().filter(|(owner, ..)| !without.contains(owner)).collect();
    sorted.sort_unstable_by_key(|(owner, kind, _)| (*owner, *kind));
    let mut bytes = Vec::new();
    for (owner, kind, counter) in sorted {
        bytes.clear();
        counter.write(&mut bytes);
        batch.merge_cf(family, counter_key(owner, kind), &bytes);
    }
    Ok(())
}

/// The same of a write.
fn put_changes(db: &DB, counted: &Changes, without: &[Owner], batch: &mut WriteBatch) -> Result<()> {
    let family = Family::EventCounters.of(db)?;
    let mut bytes = Vec::new();
    counted.for_each(&mut |owner, kind, counter| {
        if !without.contains(&owner) {
            bytes.clear();
            counter.write(&mut bytes);
            batch.merge_cf(family, counter_key(owner, kind), &bytes);
        }
        Ok(())
    })
}

fn journal_entry(counted: &Changes) -> Vec<u8> {
    let (mut entry, mut bytes) = (Vec::new(), Vec::new());
    let write = counted.for_each(&mut |owner, kind, counter| {
        bytes.clear();
        counter.write(&mut bytes);
        entry.push(5 + kind.len() as u8);
        entry.extend_from_slice(&key::owner(owner));
        entry.extend_from_slice(kind.as_bytes());
        entry.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
        entry.extend_from_slice(&bytes);
        Ok::<(), Infallible>(())
    });
    let Ok(()) = write;
    entry
}

/// The first counter of a part of an entry, and the rest.
pub fn read_journaled(entry: &[u8]) -> Option<(Owner, &str, EventCounter, &[u8])> {
    let (length, rest) = entry.split_first()?;
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, rest) = rest.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let (owner, kind) = key::read_counter(key)?;
    Some((owner, kind, EventCounter::read(bytes)?, rest))
}

/// Passes on what the journal holds, and tells the numbers of its entries.
pub fn for_each_journaled(db: &DB, options: ReadOptions, f: OfCounter<'_>) -> Result<Range<u64>> {
    let damaged = || Error::corrupt("event_counters", "holds a journal that is none; restore a backup");
    let mode = IteratorMode::From(&key::journal(0), Direction::Forward);
    let mut numbers = 0..0;
    for entry in db.iterator_cf_opt(Family::EventCounters.of(db)?, options, mode) {
        let (raw, entry) = entry.map_err(storage("read the counters of events"))?;
        let number = key::read_journal(&raw).ok_or_else(damaged)?;
        numbers = if numbers.is_empty() { number..number + 1 } else { numbers.start..number + 1 };
        let mut rest = &*entry;
        while !rest.is_empty() {
            let (owner, kind, counter, after) = read_journaled(rest).ok_or_else(damaged)?;
            f(owner, kind, counter)?;
            rest = after;
        }
    }
    Ok(numbers)
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
    put(db, counted, &[], batch)?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Timestamp;

    proptest! {
        #[test]
        fn a_journal_is_read_as_written(events in proptest::collection::vec((0u32..4, 0u32..4, "[a-z]{1,64}", 0i64..1 << 40), 0..20)) {
            let (mut changes, mut counted) = (Changes::default(), CounterSet::default());
            for (user, item, kind, time) in &events {
                let time = Timestamp::from_millis(*time).unwrap();
                let event = CountedEvent { time, value: Some(1.5), dwell_ms: Some(3) };
                changes.add(UserId::new(*user), ItemId::new(*item), kind, event);
                counted.add(UserId::new(*user), ItemId::new(*item), kind, event);
            }
            changes.sort();
            let entry = journal_entry(&changes);
            let (mut rest, mut read) = (&entry[..], CounterSet::default());
            while let Some((owner, kind, counter, after)) = read_journaled(rest) {
                read.merge(owner, kind, &counter);
                rest = after;
            }
            prop_assert!(rest.is_empty() && read.agrees(&counted));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = read_journaled(&bytes);
        }
    }
}
