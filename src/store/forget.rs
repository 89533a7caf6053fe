//! Exposures that go: those that are too old, and the oldest of all where they take more than they may. They are removed some at
//! a time, so that writers wait for milliseconds.

use rocksdb::{DB, ReadOptions};

use super::commit::{self, Turn};
use super::exposures::entry_bytes;
use super::families::Family;
use super::{Store, codec, key, storage};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::Timestamp;

/// So many answers are removed in one turn.
const FORGOTTEN: u64 = 1_024;

/// What a turn has removed.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// Answers that are gone.
    pub answers: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where the next turn begins; without one there is nothing left to remove.
    pub next: Option<Vec<u8>>,
}

/// In `meta`: bytes of the entries of exposures. It is changed by the writes that change these.
pub const EXPOSED: &str = "exposed";

/// Bytes of the entries of exposures. Where it is not noted, as in directories of earlier builds, they are counted once.
pub fn exposed_bytes(db: &DB) -> Result<u64> {
    let meta = Family::Meta.of(db)?;
    if let Some(noted) = db.get_cf(meta, EXPOSED).map_err(storage("open"))? {
        return codec::decode("the bytes of exposures", &noted);
    }
    let bytes = counted_bytes(db)?;
    if bytes > 0 {
        db.put_cf(meta, EXPOSED, codec::encode(&bytes)?).map_err(storage("open"))?;
    }
    Ok(bytes)
}

/// Rows that a ranker saw lie behind them in the same family, and are not of them.
fn counted_bytes(db: &DB) -> Result<u64> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_iterate_upper_bound(key::SERVED);
    let mut entries = db.raw_iterator_cf_opt(Family::Exposures.of(db)?, options);
    entries.seek_to_first();
    let mut bytes = 0;
    while let Some((raw, value)) = entries.item() {
        bytes += (raw.len() + value.len()) as u64;
        entries.next();
    }
    entries.status().map_err(storage("count the exposures"))?;
    Ok(bytes)
}

impl Store {
    /// Bytes of the entries of exposures, as they were written: on disk they take less.
    pub fn exposed_bytes(&self) -> u64 {
        commit::lock(&self.writer).exposed
    }

    /// Removes answers that are older than a time, from a key on, one turn's worth of them.
    pub fn forget_exposures(&self, before: Timestamp, from: Option<&[u8]>) -> Result<Forgotten> {
        self.commit(Durability::Async, |turn| turn.forget_exposures(&key::exposures_from(before), from, u64::MAX))
    }

    /// Removes the oldest answers, from a key on, until so many bytes are gone or a turn's worth.
    pub fn forget_oldest_exposures(&self, bytes: u64, from: Option<&[u8]>) -> Result<Forgotten> {
        self.commit(Durability::Async, |turn| {
            let forgotten = turn.forget_exposures(&key::EXPOSURES_END, from, bytes)?;
            // There are none, whatever was noted: a build that knows nothing of the note has removed some.
            if forgotten.answers == 0 && from.is_none() {
                turn.exposed = i64::MIN;
            }
            Ok(forgotten)
        })
    }
}

impl Turn<'_> {
    fn forget_exposures(&mut self, end: &[u8], from: Option<&[u8]>, bytes: u64) -> Result<Forgotten> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_iterate_upper_bound(end);
        let mut entries = self.db.raw_iterator_cf_opt(Family::Exposures.of(self.db)?, options);
        entries.seek(from.unwrap_or(&[0]));
        let mut forgotten = Forgotten::default();
        while let Some((raw, value)) = entries.item() {
            if forgotten.answers >= FORGOTTEN || forgotten.bytes >= bytes {
                forgotten.next = Some(raw.to_vec());
                break;
            }
            let damaged = || Error::corrupt("exposures", "holds a key that is none");
            let (time, answer) = key::read_exposure(raw).ok_or_else(damaged)?;
            // One that is damaged keeps no others from going; doctor removes what its user has of it.
            // Writers wait meanwhile: of the record only what is needed is read.
            let user: Option<String> = codec::decode_first("an exposure", value).unwrap_or_default();
            let taken = entry_bytes(answer, user.as_deref(), value.len());
            self.delete(Family::Exposures, raw)?;
            self.delete(Family::Exposures, key::exposure_by_answer(answer))?;
            if let Some(user) = &user {
                self.delete(Family::Exposures, key::exposure_of(user, time, answer))?;
            }
            self.exposed -= taken.cast_signed();
            forgotten.answers += 1;
            forgotten.bytes += taken;
            entries.next();
        }
        entries.status().map_err(storage("read the exposures"))?;
        Ok(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;
    use crate::record::Exposure;
    use rocksdb::IteratorMode;

    fn store(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path(), &StoreConfig::default()).unwrap()
    }

    /// The entries of the family, and their bytes.
    fn entries(store: &Store) -> (usize, u64) {
        let family = Family::Exposures.of(&store.db).unwrap();
        let sizes = store.db.iterator_cf(family, IteratorMode::Start).map(|entry| {
            let (key, value) = entry.unwrap();
            (key.len() + value.len()) as u64
        });
        sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn exposure(answer: String, user: Option<&str>, time: i64) -> Exposure {
        Exposure {
            recommendation_id: answer,
            time: at(time),
            user: user.map(str::to_owned),
            scenario: None,
            snapshot: None,
            experiment: None,
            question: None,
            before: 0,
            items: Vec::new(),
        }
    }

    fn fill(store: &Store, count: i64) {
        let all: Vec<Exposure> =
            (0..count).map(|n| exposure(format!("a{n:04}"), (n % 2 == 0).then_some("u"), 1_000 + n)).collect();
        store.put_exposures(&all).unwrap();
    }

    #[test]
    fn what_is_too_old_or_of_a_deleted_user_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let all = [("a", Some("u"), 1_000), ("b", None, 1_500), ("c", Some("u2"), 2_000)];
        store.put_exposures(&all.map(|(answer, user, time)| exposure(answer.into(), user, time))).unwrap();
        assert_eq!(store.forget_exposures(at(2_000), None).unwrap().answers, 2);
        assert_eq!(entries(&store).0, 3);
        // Who has never had an event is known from what was shown alone.
        assert!(store.delete_user("u2").unwrap());
        assert_eq!(entries(&store).0, 0);
        assert_eq!(store.exposed_bytes(), 0);
    }

    #[test]
    fn many_that_are_too_old_go_turn_by_turn() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        fill(&store, 2_500);
        let (mut turns, mut next) = (Vec::new(), None);
        loop {
            let turn = store.forget_exposures(at(3_200), next.as_deref()).unwrap();
            turns.push(turn.answers);
            next = turn.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(turns, [1_024, 1_024, 152]);
        assert_eq!(store.user_exposures("u", 9_999).unwrap().len(), 150);
        assert_eq!(entries(&store).0, 750);
    }

    #[test]
    fn users_who_are_merged_between_two_turns_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let all: Vec<Exposure> = (0..2_500).map(|n| exposure(format!("a{n:04}"), Some("from"), 1_000 + n)).collect();
        store.put_exposures(&all).unwrap();
        let first = store.forget_exposures(at(3_200), None).unwrap();
        store.merge_users("into", "from").unwrap();
        let second = store.forget_exposures(at(3_200), first.next.as_deref()).unwrap();
        store.merge_users("again", "into").unwrap();
        let third = store.forget_exposures(at(3_200), second.next.as_deref()).unwrap();
        assert_eq!((third.answers, third.next), (152, None));
        let left = store.user_exposures("again", 9_999).unwrap();
        assert!(left.len() == 300 && left.iter().all(|of| of.user.as_deref() == Some("again")));
        assert_eq!(entries(&store).0, 900, "each by its time, by its name and by its user");
    }

    #[test]
    fn a_damaged_one_keeps_no_others_from_going() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        fill(&store, 10);
        let family = Family::Exposures.of(&store.db).unwrap();
        store.db.put_cf(family, key::exposure(at(1_003), "a0003"), b"no record").unwrap();
        assert_eq!(store.forget_exposures(at(1_008), None).unwrap().answers, 8);
        assert!(store.exposure("a0009").unwrap().is_some() && store.exposure("a0004").unwrap().is_none());
    }

    #[test]
    fn what_exposures_take_is_counted_to_the_byte_whatever_becomes_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        fill(&store, 600);
        assert_eq!(store.exposed_bytes(), entries(&store).1);
        store.move_exposures("u", "another").unwrap();
        assert_eq!(store.exposed_bytes(), entries(&store).1);
        store.forget_exposures(at(1_100), None).unwrap();
        assert_eq!(store.exposed_bytes(), entries(&store).1);
        store.delete_exposures("another").unwrap();
        assert_eq!((store.exposed_bytes(), entries(&store).0), (entries(&store).1, 500));
    }

    #[test]
    fn the_oldest_go_until_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        fill(&store, 1_000);
        let before = store.exposed_bytes();
        let gone = store.forget_oldest_exposures(before / 2, None).unwrap();
        assert!(gone.bytes >= before / 2 && gone.bytes < before / 2 + 200, "{gone:?}");
        assert_eq!(store.exposed_bytes(), before - gone.bytes);
        assert!(store.exposure("a0000").unwrap().is_none() && store.exposure("a0999").unwrap().is_some());
        // From where the last turn ended.
        let again = store.forget_oldest_exposures(1, gone.next.as_deref()).unwrap();
        assert_eq!(again.answers, 1);
        assert!(store.exposure(&format!("a{:04}", gone.answers)).unwrap().is_none());
        store.forget_oldest_exposures(u64::MAX, None).unwrap();
        assert_eq!((store.exposed_bytes(), entries(&store).0), (0, 0));
    }

    #[test]
    fn they_count_the_same_after_a_restart_and_rows_beside_them_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let opened = store(&dir);
        fill(&opened, 1_000);
        opened.forget_exposures(at(1_100), None).unwrap();
        let written = opened.exposed_bytes();
        assert_eq!(written, entries(&opened).1);
        opened.db.put_cf(Family::Exposures.of(&opened.db).unwrap(), key::served(1), [0; 9_999]).unwrap();
        drop(opened);
        let opened = store(&dir);
        assert_eq!(opened.exposed_bytes(), written);
        // As an earlier build leaves it.
        opened.db.delete_cf(Family::Meta.of(&opened.db).unwrap(), EXPOSED).unwrap();
        drop(opened);
        for _ in 0..2 {
            assert_eq!(store(&dir).exposed_bytes(), written);
        }
    }

    #[test]
    fn a_wrong_note_holds_no_longer_than_there_is_something() {
        let dir = tempfile::tempdir().unwrap();
        let opened = store(&dir);
        fill(&opened, 1_000);
        opened.db.put_cf(Family::Meta.of(&opened.db).unwrap(), EXPOSED, codec::encode(&(1u64 << 40)).unwrap()).unwrap();
        drop(opened);
        let opened = store(&dir);
        assert_eq!(opened.exposed_bytes(), 1 << 40);
        while opened.forget_oldest_exposures(u64::MAX, None).unwrap().answers > 0 {}
        assert_eq!(entries(&opened).0, 0);
        drop(opened);
        assert_eq!(store(&dir).exposed_bytes(), 0);
    }
}
