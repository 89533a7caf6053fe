//! Events: appended once each, read back by user. Both families and new ids go into one batch.

use std::cmp::Reverse;
use std::num::NonZeroU32;

use rocksdb::{DB, ReadOptions};

use super::commit::{Turn, next_id};
use super::families::Family;
use super::key::{self, EventKey};
use super::kinds;
use super::limits::{Purpose, Refused};
use super::stored::{StoredEvent, StoredItem, StoredUser};
use super::view::session_number;
use super::{Store, codec, storage};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::{Event, Item, ItemId, Timestamp, User, UserId};

/// What an append did.
#[derive(Debug, Default)]
pub struct Appended {
    /// The events that were not stored before.
    pub new: Vec<NewEvent>,
    /// Events that were stored already.
    pub known: u64,
    /// Events that there was no room for, with [`Store::append_fitting`].
    pub refused: Vec<Refused>,
}

/// What becomes of events where a limit leaves room for some of them.
#[derive(Clone, Copy)]
enum Fit {
    /// None is stored.
    All,
    /// Those are stored that there is room for, in the order given.
    Each,
}

/// An event that has just been stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NewEvent {
    /// Its place among the events given.
    pub place: usize,
    /// Who.
    pub user: UserId,
    /// With which item.
    pub item: ItemId,
    /// When: as given, or the time of receipt.
    pub time: Timestamp,
}

/// A user's event as serving reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistoryEvent<'a> {
    /// With which item.
    pub item: ItemId,
    /// What happened.
    pub kind: &'a str,
    /// The number that belongs to it.
    pub value: Option<f64>,
    /// When.
    pub time: Timestamp,
}

/// Looks up the session of an event.
pub type SessionOf<'a> = &'a dyn Fn() -> Result<Option<NonZeroU32>>;

/// An event of an append, with its key's place in a shared buffer.
struct Pending {
    place: usize,
    user: UserId,
    item: ItemId,
    time: Timestamp,
    key: std::ops::Range<usize>,
}

impl Store {
    /// Appends valid events in one batch. Users and items that are new get their dense ids; an event without a time gets
    /// the clock's. An event that is stored already, or twice among these, is counted as known.
    /// Errors: [`Error::Quota`] where there is not room for all of them.
    pub fn append_events(&self, events: &[Event], durability: Durability) -> Result<Appended> {
        self.append(events, Fit::All, durability)
    }

    /// The same for those that there is room for, in the order given; the others are told apart.
    pub fn append_fitting(&self, events: &[Event], durability: Durability) -> Result<Appended> {
        self.append(events, Fit::Each, durability)
    }

    fn append(&self, events: &[Event], fit: Fit, durability: Durability) -> Result<Appended> {
        let now = Timestamp::now();
        self.commit(durability, |turn| {
            turn.charged = Some(Purpose::Write);
            let strange = self.kinds.admit(events, matches!(fit, Fit::All));
            let of_strange = |place: &usize| Some((*place, kinds::one_too_many(events.get(*place)?)));
            let (places, refused) = match fit {
                Fit::All => match strange.iter().find_map(of_strange) {
                    Some((place, error)) => return Err(error.within(&format!("events[{place}]"))),
                    None => ((0..events.len()).collect(), Vec::new()),
                },
                Fit::Each => {
                    let is_known = |place: &usize| strange.binary_search(place).is_err();
                    let (mut places, mut refused) =
                        turn.fitting(&self.limits, events, |turn, event| turn.has_event(event, now))?;
                    places.retain(is_known);
                    refused.retain(|refused| is_known(&refused.place));
                    refused
                        .extend(strange.iter().filter_map(of_strange).map(|(place, error)| Refused { place, error }));
                    (places, refused)
                }
            };
            let mut keys = Vec::with_capacity(events.len() * 28);
            let mut pending = Vec::with_capacity(events.len());
            for place in places {
                let Some(event) = events.get(place) else { continue };
                let user = UserId::new(turn.user(&event.user)?);
                let item = ItemId::new(turn.item(&event.item)?);
                let time = event.time.unwrap_or(now);
                let start = keys.len();
                event_key(event, user, item, time).write_log(&mut keys);
                pending.push(Pending { place, user, item, time, key: start..keys.len() });
            }
            let bytes = |entry: &Pending| keys.get(entry.key.clone()).unwrap_or_default();
            // In the order of the log: duplicates lie side by side, and the memtable is filled from left to right.
            pending.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| bytes(a).cmp(bytes(b))));
            let newest_before = turn.counters.newest_event;
            let mut last: &[u8] = &[];
            let mut appended = Appended { refused, ..Appended::default() };
            for entry in &pending {
                let key = bytes(entry);
                let Some(event) = events.get(entry.place) else { continue };
                let may_exist = newest_before.is_some_and(|newest| entry.time.millis() <= newest);
                if key == last || (may_exist && turn.holds(Family::Events, key)?) {
                    appended.known += 1;
                    continue;
                }
                last = key;
                let stored = StoredEvent::new(event);
                turn.put(Family::Events, key, codec::encode(&stored)?)?;
                turn.counted.add(entry.user, entry.item, &event.kind, stored.counted(entry.time));
                turn.counters.events += 1;
                turn.counters.log_changes += 1;
                turn.counters.newest_event = turn.counters.newest_event.max(Some(entry.time.millis()));
                let Pending { place, user, item, time, .. } = *entry;
                appended.new.push(NewEvent { place, user, item, time });
            }
            turn.put_user_events(events, &appended.new)?;
            Ok(appended)
        })
    }

    /// Passes a user's latest events on, the newest first, `limit` at most. Only small values are read.
    pub fn user_history(&self, user: UserId, limit: usize, f: &mut dyn FnMut(HistoryEvent<'_>)) -> Result<()> {
        self.user_history_before(user, None, limit, f)
    }

    /// The same of those from before a time, if there is one.
    pub fn user_history_before(
        &self,
        user: UserId,
        before: Option<Timestamp>,
        limit: usize,
        f: &mut dyn FnMut(HistoryEvent<'_>),
    ) -> Result<()> {
        for_each_of_user_before(
            &self.db,
            user,
            before,
            &mut |key, _, value| {
                f(HistoryEvent {
                    item: key.item,
                    kind: key.kind,
                    value: codec::decode("an event of a user", value)?,
                    time: key.time,
                });
                Ok(())
            },
            limit,
        )
    }

    /// The same, each with what looks up in the log which session it names: one more read, of those that it is called of.
    pub fn user_past(
        &self,
        user: UserId,
        before: Option<Timestamp>,
        limit: usize,
        f: &mut dyn FnMut(HistoryEvent<'_>, SessionOf<'_>) -> Result<()>,
    ) -> Result<()> {
        let log = Family::Events.of(&self.db)?;
        let mut take = |key: EventKey<'_>, _: &[u8], value: &[u8]| {
            let session = || -> Result<Option<NonZeroU32>> {
                let mut log_key = Vec::with_capacity(64);
                key.write_log(&mut log_key);
                let stored = self.db.get_pinned_cf(log, &log_key).map_err(storage("read an event"))?;
                // Gone with its user since the iterator was made.
                let Some(stored) = stored else { return Ok(None) };
                let (_, session): (Option<f64>, Option<String>) = codec::decode_first("an event", &stored)?;
                Ok(session.as_deref().map(session_number))
            };
            let value = codec::decode("an event of a user", value)?;
            f(HistoryEvent { item: key.item, kind: key.kind, value, time: key.time }, &session)
        };
        for_each_of_user_before(&self.db, user, before, &mut take, limit)
    }

    /// A user's latest events with all their fields, the newest first, `limit` at most. Events with items that have been
    /// deleted are left out.
    pub fn user_events(&self, user: UserId, limit: usize) -> Result<Vec<Event>> {
        self.events_with(user, limit, &|item| self.item_name(item))
    }

    /// All of a user's events, the newest first; those with items that have been deleted name them by their number: `#17`.
    pub fn all_user_events(&self, user: UserId) -> Result<Vec<Event>> {
        self.events_with(user, usize::MAX, &|item| {
            Ok(self.item_name(item)?.or_else(|| Some(format!("#{}", item.get()))))
        })
    }

    fn events_with(
        &self,
        user: UserId,
        limit: usize,
        name: &dyn Fn(ItemId) -> Result<Option<String>>,
    ) -> Result<Vec<Event>> {
        let Some(user_name) = self.user_name(user)? else { return Ok(Vec::new()) };
        let log = Family::Events.of(&self.db)?;
        let mut events = Vec::new();
        let mut log_key = Vec::new();
        for_each_of_user(
            &self.db,
            user,
            &mut |key, _, _| {
                let Some(item_name) = name(key.item)? else { return Ok(()) };
                log_key.clear();
                key.write_log(&mut log_key);
                let value = self.db.get_pinned_cf(log, &log_key).map_err(storage("read an event"))?;
                // Gone with its user since the iterator was made.
                let Some(value) = value else { return Ok(()) };
                let event: StoredEvent = codec::decode("an event", &value)?;
                events.push(event.into_event(user_name.clone(), item_name, key));
                Ok(())
            },
            limit,
        )?;
        Ok(events)
    }
}

fn event_key<'a>(event: &'a Event, user: UserId, item: ItemId, time: Timestamp) -> EventKey<'a> {
    EventKey { time, user, item, kind: &event.kind, id: event.id.as_deref().unwrap_or_default() }
}

/// Is given the parsed key, the raw key and the value of an entry of `user_events`.
pub type OfEvent<'a> = &'a mut dyn FnMut(EventKey<'_>, &[u8], &[u8]) -> Result<()>;

/// Passes the entries of a user in `user_events` on, the newest first.
pub fn for_each_of_user(db: &DB, user: UserId, f: OfEvent<'_>, limit: usize) -> Result<()> {
    for_each_of_user_before(db, user, None, f, limit)
}

/// The same of those from before a time, if there is one.
pub fn for_each_of_user_before(
    db: &DB,
    user: UserId,
    before: Option<Timestamp>,
    f: OfEvent<'_>,
    limit: usize,
) -> Result<()> {
    let prefix = key::dense(user.get());
    let mut options = ReadOptions::default();
    if let Some(end) = key::after_prefix(&prefix) {
        options.set_iterate_upper_bound(end);
    }
    let family = Family::UserEvents.of(db)?;
    let mut entries = db.raw_iterator_cf_opt(family, options);
    match before {
        Some(time) => entries.seek(key::user_events_before(user, time)),
        None => entries.seek(prefix),
    }
    let mut left = limit;
    while let Some((raw, value)) = entries.item().filter(|_| left > 0) {
        let key = EventKey::read_user(raw).ok_or_else(|| Error::corrupt("user_events", "holds a key that is none"))?;
        f(key, raw, value)?;
        entries.next();
        left -= 1;
    }
    entries.status().map_err(storage("read the events of a user"))
}

impl Turn<'_> {
    /// Puts new events into the family that serving reads, in its order: inserting side by side is what a memtable is
    /// quick at.
    fn put_user_events(&mut self, events: &[Event], new: &[NewEvent]) -> Result<()> {
        let mut new: Vec<&NewEvent> = new.iter().collect();
        new.sort_unstable_by_key(|event| (event.user, Reverse(event.time), event.item));
        let mut key = Vec::with_capacity(64);
        for NewEvent { place, user, item, time } in new.into_iter().copied() {
            let Some(event) = events.get(place) else { continue };
            key.clear();
            event_key(event, user, item, time).write_user(&mut key);
            self.put(Family::UserEvents, &key, codec::encode(&event.value)?)?;
        }
        Ok(())
    }

    /// Whether an event is stored already; `now` stands for the time of one that has none.
    fn has_event(&self, event: &Event, now: Timestamp) -> Result<bool> {
        let (Some(user), Some(item)) = (self.ids.user(&event.user), self.ids.item(&event.item)) else {
            return Ok(false);
        };
        let mut key = Vec::with_capacity(64);
        let time = event.time.unwrap_or(now);
        event_key(event, UserId::new(user), ItemId::new(item), time).write_log(&mut key);
        self.holds(Family::Events, &key)
    }

    /// The dense id of a user, a new one if need be.
    pub fn user(&mut self, name: &str) -> Result<u32> {
        if let Some(id) = self.ids.user(name) {
            return Ok(id);
        }
        let id = next_id(&mut self.counters.next_user, "users")?;
        self.counters.users += 1;
        self.ids.set_user(name, Some(id));
        self.put(Family::UserIds, key::dense(id), name)?;
        self.put(Family::Users, name, codec::encode(&StoredUser::new(id, &User::default()))?)?;
        Ok(id)
    }

    /// The dense id of an item, a new one if need be.
    pub fn item(&mut self, name: &str) -> Result<u32> {
        if let Some(id) = self.ids.item(name) {
            return Ok(id);
        }
        let id = next_id(&mut self.counters.next_item, "items")?;
        self.counters.items += 1;
        self.ids.set_item(name, Some(id));
        self.put(Family::ItemIds, key::dense(id), name)?;
        self.put(Family::Items, name, codec::encode(&StoredItem::new(id, &Item::default()))?)?;
        Ok(id)
    }

    /// Whether an entry was there before this write.
    pub fn holds(&self, family: Family, key: &[u8]) -> Result<bool> {
        let family = family.of(self.db)?;
        Ok(self.db.key_may_exist_cf(family, key)
            && self.db.get_pinned_cf(family, key).map_err(storage("look for a duplicate"))?.is_some())
    }
}
