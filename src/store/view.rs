//! A consistent view at a point in time: training reads from it while writes go on.

use std::num::NonZeroU32;

use rocksdb::{DB, Direction, IteratorMode, ReadOptions, SnapshotWithThreadMode};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::families::Family;
use super::key::{self, EventKey};
use super::stored::{Counters, StoredEvent, StoredItem, StoredUser};
use super::term::Terms;
use super::{Store, codec, counters, exposures, item_index, records, storage};
use crate::counters::{CountedEvent, CounterSet, EventCounter, Owner};
use crate::error::{Error, Result};
use crate::record::{Attributes, Event, Exposure, Item, ItemId, Timestamp, User, UserId};

/// An event of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoggedEvent<'a> {
    /// When it happened.
    pub time: Timestamp,
    /// Who.
    pub user: UserId,
    /// With which item.
    pub item: ItemId,
    /// What.
    pub kind: &'a str,
    /// The number that belongs to it.
    pub value: Option<f64>,
    /// Stands for the session it belongs to; `None` where it names none.
    pub session: Option<NonZeroU32>,
}

/// An event of the log with what counters and features take from it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedCount<'a> {
    /// Who.
    pub user: UserId,
    /// With which item.
    pub item: ItemId,
    /// What.
    pub kind: &'a str,
    /// When, with its value and dwell time.
    pub counted: CountedEvent,
    /// Its circumstances.
    pub context: Attributes,
    /// The place in the answer at which it was shown, from 0, if an answer showed it.
    pub position: Option<u32>,
    /// Stands for the session it belongs to; `None` where it names none.
    pub session: Option<NonZeroU32>,
}

/// An event of the log with what an experiment takes from it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedOutcome<'a> {
    /// Who.
    pub user: UserId,
    /// With which item.
    pub item: ItemId,
    /// What.
    pub kind: &'a str,
    /// The caller's distinction of events that agree in all else; empty if there is none.
    pub id: &'a str,
    /// When, with its value and dwell time.
    pub counted: CountedEvent,
    /// The visit it belongs to.
    pub session: Option<String>,
    /// The answer that showed the item.
    pub recommendation_id: Option<String>,
    /// The place in that answer.
    pub position: Option<u32>,
}

/// Sessions are told apart within the events of one user: a number is enough.
pub(super) fn session_number(name: &str) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(xxh3_64(name.as_bytes()) as u32 >> 1)
}

/// The store as it was when the view was taken.
pub struct View<'a> {
    db: &'a DB,
    snapshot: SnapshotWithThreadMode<'a, DB>,
}

impl Store {
    /// Takes a view.
    pub fn view(&self) -> View<'_> {
        View { db: &self.db, snapshot: self.db.snapshot() }
    }
}

impl View<'_> {
    /// Passes the events on in the order of time, user, item; from a time on, or all.
    pub fn for_each_event(
        &self,
        from: Option<Timestamp>,
        f: &mut dyn FnMut(LoggedEvent<'_>) -> Result<()>,
    ) -> Result<()> {
        self.for_each_entry(from, &mut |key, value| {
            let EventKey { time, user, item, kind, .. } = key;
            let (value, session): (Option<f64>, Option<String>) = codec::decode_first("an event", value)?;
            f(LoggedEvent { time, user, item, kind, value, session: session.as_deref().map(session_number) })
        })
    }

    /// Passes the events on with all their fields, in the order of time, user, item. Events with items that have been
    /// deleted are left out, as in a user's own listing.
    pub fn for_each_whole_event(&self, f: &mut dyn FnMut(&Event) -> Result<()>) -> Result<()> {
        self.for_each_entry(None, &mut |key, value| {
            if let (Some(user), Some(item)) = (self.user_name(key.user)?, self.item_name(key.item)?) {
                let stored: StoredEvent = codec::decode("an event", value)?;
                f(&stored.into_event(user, item, key))?;
            }
            Ok(())
        })
    }

    fn for_each_entry(
        &self,
        from: Option<Timestamp>,
        f: &mut dyn FnMut(EventKey<'_>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(2 << 20);
        let mut events = self.snapshot.raw_iterator_cf_opt(Family::Events.of(self.db)?, options);
        match from {
            Some(time) => events.seek(key::log_from(time)),
            None => events.seek_to_first(),
        }
        while let Some((raw, value)) = events.item() {
            let key = EventKey::read_log(raw).ok_or_else(|| Error::corrupt("events", "holds a key that is none"))?;
            f(key, value)?;
            events.next();
        }
        events.status().map_err(storage("read the event log"))
    }

    /// Passes all items on, without vectors, in the order of their external ids.
    pub fn for_each_item(&self, f: &mut dyn FnMut(ItemId, Item) -> Result<()>) -> Result<()> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mode = IteratorMode::From(&[], Direction::Forward);
        for entry in self.snapshot.iterator_cf_opt(Family::Items.of(self.db)?, options, mode) {
            let (name, bytes) = entry.map_err(storage("read the items"))?;
            let name = String::from_utf8(name.into_vec())
                .map_err(|_| Error::corrupt("items", "holds a key that is not UTF-8"))?;
            let stored: StoredItem = codec::decode("an item", &bytes)?;
            f(ItemId::new(stored.dense), stored.into_item(name))?;
        }
        Ok(())
    }

    /// Passes all users on, in the order of their external ids.
    pub fn for_each_user(&self, f: &mut dyn FnMut(UserId, User) -> Result<()>) -> Result<()> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mode = IteratorMode::From(&[], Direction::Forward);
        for entry in self.snapshot.iterator_cf_opt(Family::Users.of(self.db)?, options, mode) {
            let (name, bytes) = entry.map_err(storage("read the users"))?;
            let name = String::from_utf8(name.into_vec())
                .map_err(|_| Error::corrupt("users", "holds a key that is not UTF-8"))?;
            let stored: StoredUser = codec::decode("a user", &bytes)?;
            f(UserId::new(stored.dense), stored.into_user(name))?;
        }
        Ok(())
    }

    /// How many entries the item index has, and whether they are those that the items should have: counted, and with
    /// their hashes added up, in whatever order.
    pub fn check_item_index(&self) -> Result<(u64, bool)> {
        let mut expected = Tally::default();
        self.for_each_item(&mut |id, item| {
            Terms::of(&item).iter().for_each(|term| expected.add(&item_index::entry(term, id.get())));
            Ok(())
        })?;
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mut found = Tally::default();
        let family = Family::ItemIndex.of(self.db)?;
        for entry in self.snapshot.iterator_cf_opt(family, options, IteratorMode::Start) {
            found.add(&entry.map_err(storage("read the item index"))?.0);
        }
        Ok((found.entries, found == expected))
    }

    /// The counters of events as they are kept, of the owners that are wanted.
    pub fn event_counters(&self, wanted: &dyn Fn(Owner) -> bool) -> Result<CounterSet> {
        let options = || {
            let mut options = ReadOptions::default();
            options.fill_cache(false);
            options.set_snapshot(&self.snapshot);
            options
        };
        let mut found = CounterSet::default();
        let mut take = |owner: Owner, kind: &str, counter: EventCounter| {
            if wanted(owner) {
                found.merge(owner, kind, &counter);
            }
            Ok(())
        };
        counters::for_each_of(self.db, &key::USER_COUNTERS, options(), &mut take)?;
        counters::for_each_of(self.db, &key::ITEM_COUNTERS, options(), &mut take)?;
        counters::for_each_journaled(self.db, options(), &mut take)?;
        Ok(found)
    }

    /// The counters of events as a replay of the log makes them, of the owners that are wanted. One pass over the log.
    pub fn recount(&self, wanted: &dyn Fn(Owner) -> bool) -> Result<CounterSet> {
        let mut counters = CounterSet::default();
        self.for_each_counted(None, &mut |event| {
            for owner in [Owner::User(event.user), Owner::Item(event.item)].into_iter().filter(|owner| wanted(*owner)) {
                counters.counter(owner, event.kind).add(event.counted);
            }
            Ok(())
        })?;
        let items: Vec<ItemId> = counters.iter().filter_map(|(owner, ..)| owner.item()).collect();
        for item in items {
            if self.item_name(item)?.is_none() {
                counters.forget(Owner::Item(item));
            }
        }
        Ok(counters)
    }

    /// Passes the events on with what counters take from them, in the order of time, user, item. Those with deleted items
    /// are among them: they are part of what their users did. From a time on, or all.
    pub fn for_each_counted(
        &self,
        from: Option<Timestamp>,
        f: &mut dyn FnMut(LoggedCount<'_>) -> Result<()>,
    ) -> Result<()> {
        self.for_each_entry(from, &mut |key, value| {
            let stored: StoredEvent = codec::decode("an event", value)?;
            let EventKey { time, user, item, kind, .. } = key;
            let (counted, position, session) = (stored.counted(time), stored.position(), stored.session());
            f(LoggedCount { user, item, kind, counted, context: stored.context(), position, session })
        })
    }

    /// Passes the events on with what experiments take from them, in the order of time, user, item; from a time on.
    pub fn for_each_outcome(&self, from: Timestamp, f: &mut dyn FnMut(LoggedOutcome<'_>) -> Result<()>) -> Result<()> {
        self.for_each_entry(Some(from), &mut |key, value| {
            let stored: StoredEvent = codec::decode("an event", value)?;
            let EventKey { time, user, item, kind, id } = key;
            let (counted, position) = (stored.counted(time), stored.position());
            let (recommendation_id, session) = stored.answer_and_session();
            f(LoggedOutcome { user, item, kind, id, counted, session, recommendation_id, position })
        })
    }

    /// Passes the answers that were shown on, in the order of time, from a time on until another, which is not part of it.
    pub fn for_each_exposure(
        &self,
        from: Timestamp,
        until: Timestamp,
        f: &mut dyn FnMut(Exposure) -> Result<()>,
    ) -> Result<()> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(2 << 20);
        options.set_iterate_upper_bound(key::exposures_from(until));
        let mut entries = self.snapshot.raw_iterator_cf_opt(Family::Exposures.of(self.db)?, options);
        entries.seek(key::exposures_from(from));
        while let Some((raw, value)) = entries.item() {
            f(exposures::read(raw, value)?)?;
            entries.next();
        }
        entries.status().map_err(storage("read the exposures"))
    }

    /// The external id of a user.
    pub fn user_name(&self, id: UserId) -> Result<Option<String>> {
        self.name(Family::UserIds, id.get())
    }

    /// The external id of an item.
    pub fn item_name(&self, id: ItemId) -> Result<Option<String>> {
        self.name(Family::ItemIds, id.get())
    }

    /// The dense id of a user.
    pub fn user_id(&self, name: &str) -> Result<Option<UserId>> {
        Ok(self.dense(Family::Users, name)?.map(UserId::new))
    }

    /// The dense id of an item.
    pub fn item_id(&self, name: &str) -> Result<Option<ItemId>> {
        Ok(self.dense(Family::Items, name)?.map(ItemId::new))
    }

    /// Events in the log.
    pub fn event_count(&self) -> Result<u64> {
        Ok(self.counters()?.events)
    }

    /// Events ever stored plus events ever removed.
    pub fn log_changes(&self) -> Result<u64> {
        Ok(self.counters()?.log_changes)
    }

    /// The time of the newest event that is there.
    pub fn newest_event(&self) -> Result<Option<Timestamp>> {
        self.one_of_the_newest(1, Timestamp::MAX)
    }

    /// The time of the `number`-th newest event that is not later than a time, or of the oldest, where there are fewer.
    pub fn one_of_the_newest(&self, number: u64, until: Timestamp) -> Result<Option<Timestamp>> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let mut events = self.snapshot.raw_iterator_cf_opt(Family::Events.of(self.db)?, options);
        match until.millis().checked_add(1).map(Timestamp::from_millis) {
            Some(Ok(after)) => events.seek_for_prev(key::log_from(after)),
            _ => events.seek_to_last(),
        }
        let (mut seen, mut time) = (0, None);
        while let Some(raw) = events.key().filter(|_| seen < number) {
            let key = EventKey::read_log(raw).ok_or_else(|| Error::corrupt("events", "holds a key that is none"))?;
            (seen, time) = (seen + 1, Some(key.time));
            events.prev();
        }
        events.status().map_err(storage("read the event log"))?;
        Ok(time)
    }

    fn counters(&self) -> Result<Counters> {
        let bytes = self.snapshot.get_cf(Family::Meta.of(self.db)?, records::COUNTERS).map_err(storage("read"))?;
        bytes.map_or(Ok(Counters::default()), |bytes| codec::decode("the counters", &bytes))
    }

    fn name(&self, family: Family, id: u32) -> Result<Option<String>> {
        let name = self.snapshot.get_cf(family.of(self.db)?, key::dense(id)).map_err(storage("read an id"))?;
        name.map(|name| String::from_utf8(name).map_err(|_| Error::corrupt("an id", "is not UTF-8"))).transpose()
    }

    /// Records of users and items begin with the dense id.
    fn dense(&self, family: Family, name: &str) -> Result<Option<u32>> {
        let bytes = self.snapshot.get_cf(family.of(self.db)?, name).map_err(storage("read an id"))?;
        bytes.map(|bytes| codec::decode_first(family.name(), &bytes)).transpose()
    }
}

/// A set of byte strings, summed up.
#[derive(PartialEq, Default)]
struct Tally {
    entries: u64,
    hashes: u128,
}

impl Tally {
    fn add(&mut self, entry: &[u8]) {
        self.entries += 1;
        self.hashes = self.hashes.wrapping_add(xxh3_128(entry));
    }
}
