//! Retention: events that are older than their type may be are removed from the log, from the histories and from the
//! counters, some thousand in a turn, so that writers wait for milliseconds.

use rocksdb::ReadOptions;

use super::commit::Turn;
use super::families::Family;
use super::key::{self, EventKey};
use super::stored::StoredEvent;
use super::{Store, codec, storage};
use crate::config::Durability;
use crate::counters::Changes;
use crate::error::{Error, Result};
use crate::record::{Timestamp, UserId};

/// So many events are removed in one turn,
const REMOVED: usize = 4_096;
/// and so many are looked at.
const LOOKED_AT: usize = 65_536;

/// What a turn of an expiry did.
#[derive(Debug, Default)]
pub struct Expired {
    /// Events that are gone.
    pub events: u64,
    /// Whose they were, each once or more.
    pub users: Vec<UserId>,
    /// Where the next turn begins; nothing is left to look at without one.
    pub next: Option<Vec<u8>>,
}

impl Store {
    /// Removes events that happened before what `oldest` says of their type, from a key on, one turn's worth of them. `until` is
    /// the latest time that it says of any.
    pub fn expire_events(
        &self,
        oldest: &dyn Fn(&str) -> Option<Timestamp>,
        from: Option<Vec<u8>>,
        until: Timestamp,
    ) -> Result<Expired> {
        self.commit(Durability::Sync, |turn| turn.expire(oldest, from.as_deref().unwrap_or_default(), until))
    }
}

impl Turn<'_> {
    fn expire(&mut self, oldest: &dyn Fn(&str) -> Option<Timestamp>, from: &[u8], until: Timestamp) -> Result<Expired> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_iterate_upper_bound(key::log_from(until));
        let mut entries = self.db.raw_iterator_cf_opt(Family::Events.of(self.db)?, options);
        entries.seek(from);
        let mut expired = Expired::default();
        let (mut looked_at, mut of_user) = (0, Vec::new());
        while let Some((raw, value)) = entries.item() {
            if expired.users.len() >= REMOVED || looked_at >= LOOKED_AT {
                expired.next = Some(raw.to_vec());
                break;
            }
            looked_at += 1;
            let key = EventKey::read_log(raw).ok_or_else(|| Error::corrupt("events", "holds a key that is none"))?;
            if oldest(key.kind).is_some_and(|oldest| key.time < oldest) {
                let stored: StoredEvent = codec::decode("an event", value)?;
                self.recount(&key, stored.counted(key.time), Changes::remove)?;
                of_user.clear();
                key.write_user(&mut of_user);
                self.delete(Family::Events, raw)?;
                self.delete(Family::UserEvents, &of_user)?;
                self.counters.events -= 1;
                self.counters.log_changes += 1;
                expired.users.push(key.user);
            }
            entries.next();
        }
        entries.status().map_err(storage("read the event log"))?;
        expired.events = expired.users.len() as u64;
        if expired.events > 0 {
            self.erase()?;
        }
        Ok(expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;
    use crate::record::Event;

    #[test]
    fn what_is_too_old_for_its_type_goes_from_log_history_and_counters() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let mut events = Vec::new();
        for n in 0..9_000i64 {
            let kind = if n % 3 == 0 { "buy" } else { "view" };
            events.push(Event::new(format!("u{}", n % 7), format!("i{}", n % 11), kind).at(at(n)));
        }
        store.append_events(&events, Durability::Async).unwrap();
        store.delete_item("i4").unwrap();
        let oldest = |kind: &str| (kind == "view").then(|| at(8_500));
        let (mut from, mut removed, mut turns) = (None, 0, 0);
        loop {
            let expired = store.expire_events(&oldest, from, at(8_500)).unwrap();
            assert!(expired.events <= REMOVED as u64);
            removed += expired.events;
            turns += 1;
            from = expired.next;
            if from.is_none() {
                break;
            }
        }
        let expected = (0..8_500).filter(|n| n % 3 != 0).count() as u64;
        assert_eq!((removed, turns), (expected, 2));
        let counts = store.counts();
        assert_eq!((counts.events, counts.stored), (9_000 - expected, 9_000));
        let mut left = 0;
        let mut count = |event: crate::store::LoggedEvent<'_>| {
            assert!(event.kind == "buy" || event.time >= at(8_500));
            left += 1;
            Ok(())
        };
        store.view().for_each_event(None, &mut count).unwrap();
        assert_eq!(left, counts.events);
        let mut of_users = 0;
        for user in 0..7 {
            store
                .user_history(store.user_id(&format!("u{user}")).unwrap().unwrap(), usize::MAX, &mut |_| of_users += 1)
                .unwrap();
        }
        assert_eq!(of_users, left);
        let view = store.view();
        assert!(view.event_counters(&|_| true).unwrap().agrees(&view.recount(&|_| true).unwrap()));
        assert_eq!(store.pending_purge().unwrap().unwrap().deletions, 2);
    }
}
