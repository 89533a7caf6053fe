//! The audit log, in `meta`, in the order of time. Entries are written without a sync each: the next write that is synced takes
//! them along, and a power cut may lose the last of them.

use rocksdb::{Direction, IteratorMode};

use super::families::Family;
use super::{Store, codec, key, storage};
use crate::config::Durability;
use crate::error::Result;
use crate::record::{AuditEntry, Timestamp};

/// What the keys begin with: time and a number follow.
const AUDIT: &[u8] = b"audit/";
/// The key that makes pseudonyms.
const PSEUDONYMS: &str = "audit_pseudonyms";

impl Store {
    /// Adds an entry; `number` tells entries of one millisecond apart.
    pub fn put_audit(&self, entry: &AuditEntry, number: u32) -> Result<()> {
        let place = [AUDIT, &key::log_from(entry.time), &number.to_be_bytes()].concat();
        self.commit(Durability::Async, |turn| turn.put(Family::Meta, place, codec::encode_json(entry)?))
    }

    /// Passes entries on, those before a time or all, the newest first, until `f` says that it has enough.
    pub fn for_each_audit(&self, before: Option<Timestamp>, f: &mut dyn FnMut(AuditEntry) -> bool) -> Result<()> {
        let end = match before {
            Some(time) => [AUDIT, &key::log_from(time)].concat(),
            None => key::after_prefix(AUDIT).unwrap_or_default(),
        };
        for entry in self.db.iterator_cf(Family::Meta.of(&self.db)?, IteratorMode::From(&end, Direction::Reverse)) {
            let (key, bytes) = entry.map_err(storage("read the audit log"))?;
            // What comes after the log may stand exactly at its end.
            if *key == *end {
                continue;
            }
            if !key.starts_with(AUDIT) || !f(codec::decode_json("an audit entry", &bytes)?) {
                break;
            }
        }
        Ok(())
    }

    /// Removes the entries that are older than a time, and of the others all but the newest `most`.
    pub fn forget_audit(&self, before: Timestamp, most: usize) -> Result<()> {
        let family = Family::Meta.of(&self.db)?;
        let end = key::after_prefix(AUDIT).unwrap_or_default();
        let mut cut = [AUDIT, &key::log_from(before)].concat();
        let newest = self.db.iterator_cf(family, IteratorMode::From(&end, Direction::Reverse));
        let within = |key: &[u8]| key.starts_with(AUDIT);
        if let Some(first) =
            newest.flatten().map(|(key, _)| key).filter(|key| **key != *end).take_while(|key| within(key)).nth(most)
        {
            // The one after it stays.
            let after = [&first[..], &[0]].concat();
            cut = cut.max(after);
        }
        self.db.delete_range_cf(family, AUDIT, &cut[..]).map_err(storage("forget audit entries"))
    }

    /// The key that makes pseudonyms; `fresh` becomes it where there is none yet.
    pub fn pseudonym_key(&self, fresh: [u8; 32]) -> Result<[u8; 32]> {
        self.commit(Durability::Sync, |turn| match turn.get(Family::Meta, PSEUDONYMS)? {
            Some(bytes) => codec::decode("the key of pseudonyms", &bytes),
            None => {
                turn.put(Family::Meta, PSEUDONYMS, codec::encode(&fresh)?)?;
                Ok(fresh)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;

    fn entry(millis: i64) -> AuditEntry {
        AuditEntry {
            time: Timestamp::from_millis(millis).unwrap(),
            key: None,
            tenant: None,
            from: "command line".into(),
            action: "train".into(),
            target: "/v1/train".into(),
            outcome: 202,
            code: None,
            omitted: 0,
        }
    }

    fn times(store: &Store) -> Vec<i64> {
        let mut times = Vec::new();
        let mut note = |entry: AuditEntry| {
            times.push(entry.time.millis());
            true
        };
        store.for_each_audit(None, &mut note).unwrap();
        times
    }

    #[test]
    fn entries_are_read_newest_first_and_forgotten_by_age_and_number() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        // What stands before and after the log in the family is left alone.
        let pseudonyms = store.pseudonym_key([7; 32]).unwrap();
        assert_eq!(store.pseudonym_key([8; 32]).unwrap(), pseudonyms);
        for (number, millis) in [-5, 10, 20, 20, 30, 40].into_iter().enumerate() {
            store.put_audit(&entry(millis), number as u32).unwrap();
        }
        assert_eq!(times(&store), [40, 30, 20, 20, 10, -5]);
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        store.forget_audit(at(10), 100).unwrap();
        assert_eq!(times(&store), [40, 30, 20, 20, 10]);
        store.forget_audit(at(0), 3).unwrap();
        assert_eq!(times(&store), [40, 30, 20]);
        store.forget_audit(at(0), 3).unwrap();
        assert_eq!(times(&store), [40, 30, 20]);
        store.forget_audit(at(50), 3).unwrap();
        assert!(times(&store).is_empty());
        assert_eq!(store.pseudonym_key([8; 32]).unwrap(), pseudonyms);
    }
}
