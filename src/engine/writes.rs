//! Writing: the store first, then what is in memory. A record in memory is always re-read from the store by one writer at a
//! time, so that two cannot leave an older state behind; questions wait only while what was read is put in its place.

use rustc_hash::FxHashSet;

use super::{Appended, Engine, Merged, Page, Put, Refusal, lock, read, write};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::features::Signal;
use crate::ingest::{self, ImportOptions, Kind, Sink, Source, Summary, Written};
use crate::progress::Progress;
use crate::recommend::Catalog;
use crate::record::{Event, Item, ItemId, ItemPatch, User, UserPatch};
use crate::store;

/// Logged answers that are worth a write of their own.
const WORTH_A_WRITE: usize = 32;
/// Items that writers put into memory or take out of it before questions have a turn.
const AT_ONCE: usize = 16;
/// The longest page of a listing.
const MAX_PAGE: usize = 10_000;

impl Engine {
    /// Appends events, all or none. An event that is stored already is counted as known and changes nothing. When this
    /// returns the events are on disk, unless the configuration asks for less. Errors: [`Error::Invalid`] names the first
    /// bad event and its field.
    pub fn append_events(&self, events: &[Event]) -> Result<Appended> {
        self.append_events_with(events, self.inner.config.store.durability)
    }

    /// The same with a durability of the caller's choice.
    pub fn append_events_with(&self, events: &[Event], durability: Durability) -> Result<Appended> {
        validate(events)?;
        self.take_events(events.len())?;
        let appended = self.inner.store.append_events(events, durability)?;
        self.know_appended(events, &appended);
        Ok(Appended { stored: appended.new.len() as u64, known: appended.known })
    }

    /// The same for those that the quotas of a tenant leave room for, in the order given: the others are told apart and can be
    /// sent again when there is room. Errors: [`Error::Invalid`], and [`Error::Quota`] where none can be taken: more than the
    /// rate, or no room on disk.
    pub fn append_fitting(&self, events: &[Event], durability: Durability) -> Result<(Appended, Vec<Refusal>)> {
        validate(events)?;
        self.take_events(events.len())?;
        let appended = self.inner.store.append_fitting(events, durability)?;
        self.know_appended(events, &appended);
        let refused =
            appended.refused.into_iter().map(|refused| Refusal { place: refused.place, error: refused.error });
        Ok((Appended { stored: appended.new.len() as u64, known: appended.known }, refused.collect()))
    }

    /// Counts events against the rate of events.
    fn take_events(&self, count: usize) -> Result<()> {
        self.inner.allowance.get().map_or(Ok(()), |allowance| allowance.take_events(count))
    }

    /// Brings what is in memory in step with what has just been stored. The events are durable by now: to fail would have them
    /// sent again.
    fn know_appended(&self, events: &[Event], appended: &store::Appended) {
        let inner = &*self.inner;
        inner.freshness.mark(appended.new.iter().map(|event| event.user));
        let stored = appended.new.iter().filter_map(|new| events.get(new.place));
        stored.for_each(|event| inner.answers.user_changed(&event.user));
        if let Err(error) = self.know_items(appended.new.iter().map(|event| event.item)) {
            tracing::error!(%error, "new items are not shown before the next start");
        }
        for live in self.lives() {
            let signal = |place: usize| events.get(place).map(|event| inner.weights.signal(&event.kind, event.value));
            let liked = appended.new.iter().filter(|new| matches!(signal(new.place), Some(Signal::Positive(_))));
            if let Err(error) = self.hear(&live, liked.map(|new| (new.user, new.item))) {
                tracing::warn!(%error, "new events do not move vectors until the next training");
            }
        }
        if let Err(error) = inner.keep_served(WORTH_A_WRITE) {
            tracing::warn!(%error, "rows that the ranker has seen are not kept");
        }
        let mut popular = write(&inner.popular);
        for new in &appended.new {
            if let Some(event) = events.get(new.place) {
                popular.add(&inner.weights, new.item, &event.kind, event.value, new.time);
            }
        }
    }

    /// A user's events with all their fields, the newest first. Errors: [`Error::NotFound`] for an unknown user.
    pub fn user_events(&self, id: &str, limit: usize) -> Result<Vec<Event>> {
        let user = self.inner.store.user_id(id)?.ok_or_else(|| Error::not_found("user", id))?;
        self.inner.store.user_events(user, limit.min(MAX_PAGE))
    }

    /// Passes all events on with all their fields, in the order of time: what `savor export` writes. Reads from a view;
    /// writes go on meanwhile. An error of `f` ends it.
    pub fn for_each_event(&self, f: &mut dyn FnMut(&Event) -> Result<()>) -> Result<()> {
        self.inner.store.view().for_each_whole_event(f)
    }

    /// Inserts or replaces items, all or none. Errors: [`Error::Invalid`] names the first bad item and its field.
    pub fn put_items(&self, items: &[Item]) -> Result<Put> {
        for (place, item) in items.iter().enumerate() {
            item.validate().map_err(|error| error.within(&format!("items[{place}]")))?;
        }
        let put = self.inner.store.put_items(items, self.inner.config.store.durability)?;
        self.refresh_items(put.ids.iter().map(|id| ItemId::new(*id)))?;
        Ok(Put { created: put.created, changed: put.changed, unchanged: put.unchanged })
    }

    /// Changes some fields of an item. Errors: [`Error::NotFound`]; [`Error::Invalid`] if the result is not acceptable.
    pub fn patch_item(&self, id: &str, patch: ItemPatch) -> Result<Item> {
        let changed = self.inner.store.update_item(id, |item| {
            let item = patch.apply(item);
            item.validate()?;
            Ok(item)
        })?;
        let item = changed.ok_or_else(|| Error::not_found("item", id))?;
        if let Some(id) = self.inner.store.item_id(id)? {
            self.refresh_items([id])?;
        }
        Ok(item)
    }

    /// An item; `None` if it is unknown. An item known only from events has nothing but its id.
    pub fn item(&self, id: &str) -> Result<Option<Item>> {
        self.inner.store.item(id)
    }

    /// Whether there is an item of this id.
    pub fn has_item(&self, id: &str) -> Result<bool> {
        Ok(self.inner.store.item_id(id)?.is_some())
    }

    /// Up to `limit` items in the order of their ids, after the cursor of the page before.
    pub fn items(&self, cursor: Option<&str>, limit: usize) -> Result<Page<Item>> {
        let limit = limit.clamp(1, MAX_PAGE);
        let entries = self.inner.store.items(cursor, limit)?;
        let cursor = entries.last().filter(|_| entries.len() == limit).map(|last| last.id.clone());
        Ok(Page { entries, cursor })
    }

    /// Deletes an item: it is never recommended again, and the next snapshot has not seen it. Tells whether it was there.
    pub fn delete_item(&self, id: &str) -> Result<bool> {
        let deleted = self.inner.store.delete_item(id)?;
        if let Some(id) = deleted {
            self.leave(id);
            self.inner.answers.all_changed();
            self.tend_spaces();
        }
        Ok(deleted.is_some())
    }

    /// Inserts or replaces users, all or none. Errors: [`Error::Invalid`] names the first bad user and its field.
    pub fn put_users(&self, users: &[User]) -> Result<Put> {
        for (place, user) in users.iter().enumerate() {
            user.validate().map_err(|error| error.within(&format!("users[{place}]")))?;
        }
        let put = self.inner.store.put_users(users, self.inner.config.store.durability)?;
        users.iter().for_each(|user| self.inner.answers.user_changed(&user.id));
        Ok(Put { created: put.created, changed: put.changed, unchanged: put.unchanged })
    }

    /// Changes some fields of a user. Errors: [`Error::NotFound`]; [`Error::Invalid`] if the result is not acceptable.
    pub fn patch_user(&self, id: &str, patch: UserPatch) -> Result<User> {
        let changed = self.inner.store.update_user(id, |user| {
            let user = patch.apply(user);
            user.validate()?;
            Ok(user)
        })?;
        self.inner.answers.user_changed(id);
        changed.ok_or_else(|| Error::not_found("user", id))
    }

    /// A user; `None` if unknown.
    pub fn user(&self, id: &str) -> Result<Option<User>> {
        self.inner.store.user(id)
    }

    /// Up to `limit` users in the order of their ids, after the cursor of the page before.
    pub fn users(&self, cursor: Option<&str>, limit: usize) -> Result<Page<User>> {
        let limit = limit.clamp(1, MAX_PAGE);
        let entries = self.inner.store.users(cursor, limit)?;
        let cursor = entries.last().filter(|_| entries.len() == limit).map(|last| last.id.clone());
        Ok(Page { entries, cursor })
    }

    /// Deletes a user: profile, events, what was shown, and factors of every snapshot, also of one in the making; what a question
    /// in flight is about to leave goes, too. The next snapshot has never seen the user. Tells whether there was any of it. When
    /// this returns nothing of it can be read; it is gone from the files after the next [`Engine::purge`].
    pub fn delete_user(&self, id: &str) -> Result<bool> {
        // What waits to be written would come back after the deletion.
        self.flush_exposures();
        let deleted = self.inner.store.delete_user(id)?;
        let left = self.departed(id, None)?;
        Ok(deleted || left)
    }

    /// An anonymous visitor turns out to be a user: all events of `from` become events of `into`, who gets the attributes that
    /// are not there yet, too, and `from` is deleted; all of it or, after a crash, nothing. The next answer knows it.
    /// A visitor of whom nothing is known but what was shown can be merged, too. Errors: [`Error::NotFound`] if nothing is known of
    /// `from`; [`Error::Invalid`] if both are the same.
    pub fn merge_users(&self, into: &str, from: &str) -> Result<Merged> {
        crate::record::validate_id("into", into)?;
        if into == from {
            return Err(Error::invalid("from", "is the user itself"));
        }
        self.flush_exposures();
        let merged = self.inner.store.merge_users(into, from)?;
        self.inner.freshness.mark(self.inner.store.user_id(into)?);
        self.inner.answers.user_changed(into);
        self.departed(from, Some(into))?;
        Ok(Merged { moved: merged.moved, known: merged.known, attributes: merged.attributes })
    }

    /// Reads a file (or standard input) of items, users or events into the store: streaming, in large batches, synced at
    /// the end. Bad rows go to the rejects file while the rest proceeds, or stop everything before anything is stored if
    /// the options are strict.
    pub fn import(
        &self,
        kind: Kind,
        source: &Source,
        options: &ImportOptions,
        progress: &dyn Progress,
    ) -> Result<Summary> {
        ingest::import(source, kind, options, &mut EngineSink { engine: self }, progress)
    }

    /// Puts items that events have brought into the catalogue.
    fn know_items(&self, items: impl Iterator<Item = ItemId>) -> Result<()> {
        let unknown: FxHashSet<ItemId> = {
            let catalog = read(&self.inner.catalog);
            items.filter(|item| catalog.get(*item).is_none()).collect()
        };
        if unknown.is_empty() { Ok(()) } else { self.refresh_items(unknown) }
    }

    /// Takes a deleted item out of memory. Those that are deleted at the same time leave together: each turn of a writer is a
    /// wait for whoever asks.
    fn leave(&self, id: ItemId) {
        lock(&self.inner.leaving).push(id);
        let _refreshing = lock(&self.inner.refreshing);
        // Empty if whoever had the turn before has taken all along.
        let together = std::mem::take(&mut *lock(&self.inner.leaving));
        for ids in together.chunks(AT_ONCE) {
            let mut catalog = write(&self.inner.catalog);
            let mut spaces = write(&self.inner.spaces);
            for id in ids {
                catalog.remove(*id);
                spaces.remove(*id);
                self.follow(*id, None);
            }
        }
    }

    /// Reads items from the store into memory, some at a time, so that questions wait for microseconds only.
    fn refresh_items(&self, ids: impl IntoIterator<Item = ItemId>) -> Result<()> {
        let ids = Vec::from_iter(ids);
        for ids in ids.chunks(AT_ONCE) {
            let _refreshing = lock(&self.inner.refreshing);
            let stored = |id: &ItemId| {
                let name = self.inner.store.item_name(*id)?;
                Ok((*id, name.map_or(Ok(None), |name| self.inner.store.item(&name))?))
            };
            let items = ids.iter().map(stored).collect::<Result<Vec<_>>>()?;
            let mut catalog = write(&self.inner.catalog);
            let mut spaces = write(&self.inner.spaces);
            let lives = self.lives();
            for (id, item) in items {
                match item {
                    Some(item) => {
                        for live in &lives {
                            if let Some((ranker, facts)) = live.snapshot.ranker().zip(live.facts.as_ref()) {
                                let of_item = ranker.table().table().item_facts(&item);
                                write(facts).set(id.get(), Some(of_item));
                            }
                        }
                        spaces.set(id, &item);
                        self.follow(id, Some(&item));
                        catalog.set(id, item);
                    }
                    None => {
                        spaces.remove(id);
                        self.follow(id, None);
                        catalog.remove(id);
                    }
                }
            }
        }
        self.inner.answers.all_changed();
        self.tend_spaces();
        Ok(())
    }

    pub(super) fn reload_catalog(&self) -> Result<()> {
        let refreshing = lock(&self.inner.refreshing);
        *write(&self.inner.catalog) = Catalog::load(&self.inner.store.view(), &self.inner.config.recommend)?;
        drop(refreshing);
        self.inner.answers.all_changed();
        for live in self.lives() {
            // It answers already: there is nothing to publish.
            self.place_all(&live, || {});
        }
        Ok(())
    }
}

fn validate(events: &[Event]) -> Result<()> {
    let check =
        |(place, event): (usize, &Event)| event.validate().map_err(|error| error.within(&format!("events[{place}]")));
    events.iter().enumerate().try_for_each(check)
}

/// Where an import goes: batches without a sync each, one sync at the end.
struct EngineSink<'a> {
    engine: &'a Engine,
}

impl Sink for EngineSink<'_> {
    fn write_events(&mut self, events: &[Event]) -> Result<Written> {
        validate(events)?;
        // The rate is for those who share a server; an import is the operator's.
        let appended = self.engine.inner.store.append_events(events, Durability::Async)?;
        self.engine.know_appended(events, &appended);
        fault::reach(Point::ImportBatch);
        Ok(Written { stored: appended.new.len() as u64, known: appended.known })
    }

    fn write_items(&mut self, items: &[Item]) -> Result<Written> {
        let put = self.engine.inner.store.put_items(items, Durability::Async)?;
        self.engine.refresh_items(put.ids.iter().map(|id| ItemId::new(*id)))?;
        Ok(Written { stored: put.created + put.changed, known: put.unchanged })
    }

    fn write_users(&mut self, users: &[User]) -> Result<Written> {
        let put = self.engine.inner.store.put_users(users, Durability::Async)?;
        users.iter().for_each(|user| self.engine.inner.answers.user_changed(&user.id));
        Ok(Written { stored: put.created + put.changed, known: put.unchanged })
    }

    fn finish(&mut self) -> Result<()> {
        fault::reach(Point::ImportEnd);
        self.engine.inner.store.fold_counters()?;
        self.engine.inner.store.sync()
    }
}
