//! Deletion, which is real: every trace goes in the batch that says so.

use super::catalogue::Put;
use super::commit::Turn;
use super::events::for_each_of_user;
use super::families::Family;
use super::item_index::terms_in;
use super::key::{self, EventKey};
use super::stored::{StoredEvent, StoredUser};
use super::term::Terms;
use super::{Store, codec, storage};
use crate::config::Durability;
use crate::counters::{Changes, Owner};
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::record::{ItemId, SnapshotId, User, UserId};
use rocksdb::IteratorMode;

/// What a merge of two users did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Events that moved.
    pub moved: u64,
    /// Events that the remaining user had already.
    pub known: u64,
    /// Attributes that the remaining user did not have and has now.
    pub attributes: u64,
}

impl Store {
    /// Deletes a user: profile, ids, events in both families, what was shown, and the factor in every snapshot, also one
    /// that is being built. Tells whether there was any of it.
    pub fn delete_user(&self, name: &str) -> Result<bool> {
        self.commit(Durability::Sync, |turn| {
            let shown = turn.delete_exposures(name)?;
            let deleted = turn.delete_user(name)?.is_some() || shown > 0;
            fault::reach(Point::EraseBuilt);
            Ok(deleted)
        })
    }

    /// Deletes an item: record, ids, vectors. Its events stay in the log, where they name nothing any more; the same
    /// external id, seen again, is a new item.
    pub fn delete_item(&self, name: &str) -> Result<Option<ItemId>> {
        self.commit(Durability::Sync, |turn| {
            let Some(id) = turn.ids.item(name) else { return Ok(None) };
            let terms = terms_in(name, turn.get(Family::Items, name)?.as_deref())?;
            turn.index_item(id, &terms, &Terms::default())?;
            turn.ids.set_item(name, None);
            turn.counters.items -= 1;
            turn.delete(Family::Items, name)?;
            turn.delete(Family::ItemIds, key::dense(id))?;
            for (space, _) in self.spaces()? {
                turn.delete(Family::ItemVectors, key::vector(&space, ItemId::new(id)))?;
            }
            turn.forget_counters(Owner::Item(ItemId::new(id)))?;
            turn.forget_served()?;
            fault::reach(Point::EraseBuilt);
            Ok(Some(ItemId::new(id)))
        })
    }

    /// Makes all events of `from` events of `into`, gives `into` the attributes that it lacks, and deletes `from`, in one batch:
    /// whole or not at all. The batch holds the events of one user, about 200 bytes each. Errors: [`Error::NotFound`] if nothing
    /// is known of `from`.
    pub fn merge_users(&self, into: &str, from: &str) -> Result<Merged> {
        self.commit(Durability::Sync, |turn| {
            let Some(source) = turn.ids.user(from) else {
                // Of a visitor who never had an event only what was shown is known.
                return match turn.move_exposures(from, into)? {
                    0 => Err(Error::not_found("user", from)),
                    _ => Ok(Merged { moved: 0, known: 0, attributes: 0 }),
                };
            };
            let target = UserId::new(turn.user(into)?);
            let attributes = turn.merge_profiles(into, from)?;
            let mut merged = Merged { moved: 0, known: 0, attributes };
            let (mut old, mut log, mut user) = (Vec::new(), Vec::new(), Vec::new());
            for_each_of_user(
                turn.db,
                UserId::new(source),
                &mut |key, _, value| {
                    old.clear();
                    log.clear();
                    user.clear();
                    key.write_log(&mut old);
                    let moved = EventKey { user: target, ..key };
                    moved.write_log(&mut log);
                    moved.write_user(&mut user);
                    if turn.holds(Family::Events, &log)? {
                        merged.known += 1;
                        return Ok(());
                    }
                    let event = turn.get(Family::Events, &old)?;
                    let event = event.ok_or_else(|| Error::corrupt("the event log", "lacks an event of a user"))?;
                    let stored: StoredEvent = codec::decode("an event", &event)?;
                    turn.recount(&moved, stored.counted(key.time), Changes::count)?;
                    turn.put(Family::Events, &log, event)?;
                    turn.put(Family::UserEvents, &user, value)?;
                    turn.counters.events += 1;
                    turn.counters.log_changes += 1;
                    merged.moved += 1;
                    Ok(())
                },
                usize::MAX,
            )?;
            turn.move_exposures(from, into)?;
            turn.delete_user(from)?;
            fault::reach(Point::MergeBuilt);
            Ok(merged)
        })
    }

    /// Removes one factor.
    pub fn delete_factor(&self, side: super::Side, snapshot: SnapshotId, id: u32) -> Result<()> {
        self.commit(Durability::Sync, |turn| {
            turn.erase()?;
            turn.delete(side.family(), key::factor(snapshot, id))
        })
    }
}

impl Turn<'_> {
    /// Gives one user the attributes of another that it does not have; tells how many.
    fn merge_profiles(&mut self, into: &str, from: &str) -> Result<u64> {
        let profile = |turn: &Self, name: &str| -> Result<User> {
            let bytes = turn.get(Family::Users, name)?;
            let bytes = bytes.ok_or_else(|| Error::corrupt("users", "lacks a user who has an id; restore a backup"))?;
            Ok(codec::decode::<StoredUser>("a user", &bytes)?.into_user(name.to_owned()))
        };
        let (mut target, source) = (profile(self, into)?, profile(self, from)?);
        let before = target.attributes.len();
        for (name, value) in source.attributes {
            target.attributes.entry(name).or_insert(value);
        }
        let added = target.attributes.len() - before;
        if added > 0 {
            self.put_user(&target, &mut Put::default())?;
        }
        Ok(added as u64)
    }

    fn delete_user(&mut self, name: &str) -> Result<Option<UserId>> {
        let Some(id) = self.ids.user(name) else { return Ok(None) };
        self.erase()?;
        self.ids.set_user(name, None);
        self.counters.users -= 1;
        self.delete(Family::Users, name)?;
        self.delete(Family::UserIds, key::dense(id))?;
        let mut log = Vec::new();
        for_each_of_user(
            self.db,
            UserId::new(id),
            &mut |key, raw, _| {
                log.clear();
                key.write_log(&mut log);
                let event = self.get(Family::Events, &log)?;
                let event = event.ok_or_else(|| Error::corrupt("the event log", "lacks an event of a user"))?;
                let stored: StoredEvent = codec::decode("an event", &event)?;
                self.recount(&key, stored.counted(key.time), Changes::remove)?;
                self.delete(Family::Events, &log)?;
                self.delete(Family::UserEvents, raw)?;
                self.counters.events -= 1;
                self.counters.log_changes += 1;
                Ok(())
            },
            usize::MAX,
        )?;
        for entry in self.db.iterator_cf(Family::Snapshots.of(self.db)?, IteratorMode::Start) {
            let (snapshot, _) = entry.map_err(storage("list the snapshots"))?;
            if let Some(snapshot) = key::read_number(&snapshot) {
                self.delete(Family::UserFactors, key::factor(SnapshotId(snapshot), id))?;
            }
        }
        self.forget_counters(Owner::User(UserId::new(id)))?;
        self.forget_served()?;
        Ok(Some(UserId::new(id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;
    use crate::linalg::Rows;
    use crate::record::{Event, Timestamp};
    use crate::store::{Records, Side};

    #[test]
    fn no_family_holds_a_byte_of_a_deleted_user() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let events =
            [Event::new("somebody-to-forget", "i", "click").at(at(1)), Event::new("other", "i", "click").at(at(2))];
        store.append_events(&events, Durability::Async).unwrap();
        let user = store.user_id("somebody-to-forget").unwrap().unwrap();
        for snapshot in [1, 2] {
            store.put_record(Records::Snapshots, snapshot, &"a manifest").unwrap();
            let factors = Rows::new(1, &[1.0, 2.0]).unwrap();
            store.put_factors(Side::Users, SnapshotId(snapshot), &[user.get(), 1], factors).unwrap();
        }
        assert!(store.delete_user("somebody-to-forget").unwrap());
        assert!(!store.delete_user("somebody-to-forget").unwrap());
        let counts = store.counts();
        assert_eq!((counts.users, counts.events), (1, 1));
        let counters = store.view().event_counters(&|owner| owner == Owner::User(user)).unwrap();
        assert_eq!(counters.len(), 0);
        for family in [Family::Users, Family::UserIds, Family::Events, Family::UserEvents] {
            assert_eq!(
                store.db.iterator_cf(family.of(&store.db).unwrap(), IteratorMode::Start).count(),
                1,
                "{family:?}"
            );
        }
        let factors = Family::UserFactors.of(&store.db).unwrap();
        assert_eq!(store.db.iterator_cf(factors, IteratorMode::Start).count(), 2);
        assert!(!store.factor(Side::Users, SnapshotId(1), user.get(), &mut Vec::new()).unwrap());
    }

    #[test]
    fn a_dense_id_is_never_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        store.append_events(&[Event::new("a", "i", "click")], Durability::Async).unwrap();
        store.delete_user("a").unwrap();
        store.delete_item("i").unwrap();
        drop(store);
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        store.append_events(&[Event::new("a", "i", "click")], Durability::Async).unwrap();
        assert_eq!(store.user_id("a").unwrap(), Some(UserId::new(1)));
        assert_eq!(store.item_id("i").unwrap(), Some(ItemId::new(1)));
    }
}
