//! The audit log, in `meta`, in the order of time. Entries are written without a sync each: the next write that is synced takes
//! them along, and a power cut may lose the last of them.

use rocksdb::{Direction, IteratorMode, WriteBatch, WriteOptions};
use rustc_hash::FxHashMap;

use super::families::Family;
use super::{Store, codec, key, storage};
use crate::config::Durability;
use crate::error::Result;
use crate::record::{AuditEntry, Timestamp};

/// What the keys begin with: time and a number follow.
const AUDIT: &[u8] = b"audit/";
/// The outcome of a request that showed no good key.
const UNAUTHORIZED: u16 = 401;
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

    /// Removes the entries that are older than a time, and of the others the oldest, until `most` are left: of the tenants that
    /// have most, so that none can push the others out.
    pub fn forget_audit(&self, before: Timestamp, most: usize) -> Result<()> {
        let family = Family::Meta.of(&self.db)?;
        let cut = [AUDIT, &key::log_from(before)].concat();
        self.db.delete_range_cf(family, AUDIT, &cut[..]).map_err(storage("forget audit entries"))?;
        let end = key::after_prefix(AUDIT).unwrap_or_default();
        // The keys of each, the newest first. Who had no key is nobody's: strangers push out one another alone.
        let mut by_party: FxHashMap<(bool, Option<String>), Vec<_>> = FxHashMap::default();
        for entry in self.db.iterator_cf(family, IteratorMode::From(&end, Direction::Reverse)) {
            let (key, bytes) = entry.map_err(storage("read the audit log"))?;
            if *key == *end {
                continue;
            }
            if !key.starts_with(AUDIT) {
                break;
            }
            let entry: AuditEntry = codec::decode_json("an audit entry", &bytes)?;
            let is_stranger = entry.key.is_none() && entry.outcome == UNAUTHORIZED;
            by_party.entry((is_stranger, entry.tenant)).or_default().push(key);
        }
        let share = even_share(by_party.values().map(Vec::len).collect(), most);
        let mut batch = WriteBatch::default();
        by_party.values().flat_map(|keys| keys.iter().skip(share)).for_each(|key| batch.delete_cf(family, key));
        self.db.write_opt(batch, &WriteOptions::default()).map_err(storage("forget audit entries"))
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

/// The most that each may keep, so that `most` are kept together by those who have so many.
fn even_share(mut counts: Vec<usize>, most: usize) -> usize {
    counts.sort_unstable();
    let (mut room, mut left) = (most, counts.len());
    for count in counts {
        let share = room / left;
        if count > share {
            return share;
        }
        (room, left) = (room - count, left - 1);
    }
    usize::MAX
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
            target_tenant: None,
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
    fn who_has_most_makes_room_and_nobody_else() {
        assert_eq!(even_share(vec![3, 900, 5], 100), 92);
        assert_eq!(even_share(vec![50, 60, 2], 100), 49);
        assert_eq!(even_share(vec![3, 4], 100), usize::MAX);
        assert_eq!(even_share(Vec::new(), 0), usize::MAX);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        for number in 0..20 {
            let tenant = (number > 1).then(|| "noisy".to_owned());
            store.put_audit(&AuditEntry { tenant, ..entry(number) }, number as u32).unwrap();
        }
        store.forget_audit(Timestamp::from_millis(0).unwrap(), 6).unwrap();
        assert_eq!(times(&store), [19, 18, 17, 16, 1, 0]);
        for number in 20..40 {
            store.put_audit(&AuditEntry { outcome: 401, ..entry(number) }, number as u32).unwrap();
        }
        store.forget_audit(Timestamp::from_millis(0).unwrap(), 6).unwrap();
        assert_eq!(times(&store), [39, 38, 19, 18, 1, 0], "nor does who has no key");
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
