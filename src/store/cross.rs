//! Whether everything in the database agrees with everything else, entry by entry, and the repair of what can be worked out from
//! the rest. The records that people wrote are the truth: users and items, the event log, the answers that were shown. What is
//! worked out from them (histories, ids by number, indexes, counters) is made anew where it differs. Where a record itself is
//! missing nothing is invented: that is said, and only a backup has it.

use std::collections::{BTreeMap, BTreeSet};

use rocksdb::{DB, IteratorMode, ReadOptions, WriteBatch, WriteOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::families::{self, Family};
use super::key::{self, EventKey};
use super::stored::{Counters, StoredEvent, StoredItem, StoredUser};
use super::{Store, codec, counters, exposures, item_index, records, storage};
use crate::error::{Error, Result};
use crate::record::{Event, Item, Timestamp, User};

/// Entries of a batch of repairs.
const BATCH: usize = 10_000;

/// Something that does not agree with the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// What was compared.
    pub check: String,
    /// How many entries are not as they should be.
    pub entries: u64,
    /// The first of them, and what is wrong with it.
    pub example: String,
    /// What a repair does; absent where only a backup helps.
    pub repair: Option<String>,
}

/// A kind of fault, with what mends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Unreadable,
    HistoryLacks,
    LogLacks,
    UserWithoutNumber,
    NumberWithoutUser,
    ItemWithoutNumber,
    NumberWithoutItem,
    TwoOfANumber,
    EventOfNobody,
    Counts,
    ItemIndex,
    Counters,
    ExposureByAnswer,
    ExposureByUser,
    DanglingExposure,
    FactorOfNothing,
    VectorOfNothing,
}

impl Kind {
    fn check(self) -> &'static str {
        match self {
            Self::Unreadable => "entries that can be read",
            Self::HistoryLacks => "events of the log in the histories",
            Self::LogLacks => "events of the histories in the log",
            Self::UserWithoutNumber | Self::NumberWithoutUser => "users by id and by number",
            Self::ItemWithoutNumber | Self::NumberWithoutItem => "items by id and by number",
            Self::TwoOfANumber => "numbers that stand for one id",
            Self::EventOfNobody => "events of known users",
            Self::Counts => "how many there are",
            Self::ItemIndex => "the item index",
            Self::Counters => "the counters of events",
            Self::ExposureByAnswer => "exposures by answer",
            Self::ExposureByUser => "exposures by user",
            Self::DanglingExposure => "answers that exposures exist of",
            Self::FactorOfNothing => "vectors of known users and snapshots",
            Self::VectorOfNothing => "vectors of known items",
        }
    }

    fn repair(self) -> Option<&'static str> {
        Some(match self {
            Self::Unreadable | Self::TwoOfANumber | Self::EventOfNobody => return None,
            Self::HistoryLacks => "puts them into the histories, from the log",
            Self::LogLacks => {
                "puts them into the log, from the histories; session, dwell time, context and the answer that they name are lost"
            }
            Self::UserWithoutNumber | Self::ItemWithoutNumber => "enters their numbers, which their records hold",
            Self::NumberWithoutUser => "makes users of them whose events stay theirs; their attributes are lost",
            Self::NumberWithoutItem => {
                "makes items of them that keep their events; their metadata are lost: put them again"
            }
            Self::Counts => "counts anew",
            Self::ItemIndex => "builds it anew from the items",
            Self::Counters => "counts the log anew",
            Self::ExposureByAnswer | Self::ExposureByUser => "enters them, from the exposures",
            Self::DanglingExposure => "removes the entries: what they point at is not there",
            Self::FactorOfNothing => "removes them: nobody can ask for them",
            Self::VectorOfNothing => "removes them: the items that they were of are not there",
        })
    }
}

/// Everything that was found, and how to mend it.
#[derive(Default)]
struct Findings {
    faults: BTreeMap<Kind, (u64, String)>,
    puts: Vec<(Family, Vec<u8>, Vec<u8>)>,
    deletes: Vec<(Family, Vec<u8>)>,
    counts: Option<Counters>,
    rebuilds_index: bool,
    rebuilds_counters: bool,
}

impl Findings {
    fn note(&mut self, kind: Kind, example: impl FnOnce() -> String) {
        let entry = self.faults.entry(kind).or_insert_with(|| (0, example()));
        entry.0 += 1;
    }

    fn put(&mut self, family: Family, key: &[u8], value: impl Into<Vec<u8>>) {
        self.puts.push((family, key.to_vec(), value.into()));
    }

    fn delete(&mut self, family: Family, key: &[u8]) {
        self.deletes.push((family, key.to_vec()));
    }

    fn faults(&self) -> Vec<Fault> {
        let fault = |(kind, (entries, example)): (&Kind, &(u64, String))| Fault {
            check: kind.check().into(),
            entries: *entries,
            example: example.clone(),
            repair: kind.repair().map(str::to_owned),
        };
        self.faults.iter().map(fault).collect()
    }
}

/// The ids of one side, as its records and its numbers say.
#[derive(Default)]
struct Ids {
    by_number: BTreeMap<u32, String>,
}

impl Store {
    /// Compares everything with everything else, and reads every block of every table, whose checksums RocksDB compares. Several
    /// passes over all of it, while nobody writes. Nothing is changed.
    pub fn cross_check(&self) -> Result<Vec<Fault>> {
        Ok(examine(self)?.faults())
    }

    /// Mends what [`Store::cross_check`] finds and can be mended; tells what was found. What is in memory is that of before: open
    /// the directory anew.
    pub fn repair(self) -> Result<Vec<Fault>> {
        let findings = examine(&self)?;
        let faults = findings.faults();
        let db = &self.db;
        let mut batch = WriteBatch::default();
        let flush = |batch: &mut WriteBatch, least: usize| match batch.len() >= least {
            true => db.write_opt(std::mem::take(batch), &WriteOptions::default()).map_err(storage("repair")),
            false => Ok(()),
        };
        for (family, key, value) in findings.puts {
            batch.put_cf(family.of(db)?, key, value);
            flush(&mut batch, BATCH)?;
        }
        for (family, key) in findings.deletes {
            batch.delete_cf(family.of(db)?, key);
            flush(&mut batch, BATCH)?;
        }
        flush(&mut batch, 1)?;
        if findings.rebuilds_index {
            let family = Family::ItemIndex.of(db)?;
            for entry in db.iterator_cf(family, IteratorMode::Start) {
                batch.delete_cf(family, entry.map_err(storage("repair"))?.0);
                flush(&mut batch, BATCH)?;
            }
            flush(&mut batch, 1)?;
            item_index::build(db)?;
        }
        if findings.rebuilds_counters {
            counters::build(db)?;
        }
        if let Some(counts) = findings.counts {
            db.put_cf(Family::Meta.of(db)?, records::COUNTERS, codec::encode(&counts)?).map_err(storage("repair"))?;
        }
        db.flush_wal(true).map_err(storage("sync"))?;
        Ok(faults)
    }
}

fn examine(store: &Store) -> Result<Findings> {
    let db = &store.db;
    let mut findings = Findings::default();
    if !read_all(db, &mut findings)? {
        // What cannot be read cannot be compared, and nothing is to be worked out from a part of it.
        return Ok(findings);
    }
    let users = ids(db, &mut findings, Family::Users, Family::UserIds)?;
    let items = ids(db, &mut findings, Family::Items, Family::ItemIds)?;
    let (events, newest) = events(db, &mut findings, &users)?;
    exposures_agree(db, &mut findings)?;
    factors(db, &mut findings, &users)?;
    vectors(db, &mut findings, &items)?;
    let counters = db.get_cf(Family::Meta.of(db)?, records::COUNTERS).map_err(storage("check"))?;
    let counters: Counters = counters.map_or(Ok(Counters::default()), |bytes| codec::decode("the counters", &bytes))?;
    let after = |ids: &Ids| ids.by_number.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
    let counted = Counters {
        next_user: counters.next_user.max(after(&users)),
        next_item: counters.next_item.max(after(&items)),
        users: users.by_number.len() as u64,
        items: items.by_number.len() as u64,
        events,
        // Of the events that have gone nobody knows any more; but no fewer were stored than there are.
        log_changes: counters.log_changes.max(events),
        newest_event: counters.newest_event.max(newest.map(Timestamp::millis)),
    };
    if counted != counters {
        findings.note(Kind::Counts, || format!("{counters:?} is kept, {counted:?} is counted"));
        findings.counts = Some(counted);
    }
    let (entries, ok) = store.view().check_item_index()?;
    if !ok {
        findings.note(Kind::ItemIndex, || format!("{entries} entries are not those of the items"));
    }
    // What is entered anew is not in them either.
    let items_change = findings.faults.contains_key(&Kind::NumberWithoutItem);
    findings.rebuilds_index = !ok || items_change;
    let view = store.view();
    let (kept, recounted) = (view.event_counters(&|_| true)?, view.recount(&|_| true)?);
    if !kept.agrees(&recounted) {
        findings.note(Kind::Counters, || format!("{} are kept, the log gives {}", kept.len(), recounted.len()));
    }
    findings.rebuilds_counters =
        findings.faults.contains_key(&Kind::Counters) || findings.faults.contains_key(&Kind::LogLacks) || items_change;
    Ok(findings)
}

/// Takes key and value of an entry.
type Taker<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Every entry of a family, with checksums and past the cache.
fn each(db: &DB, family: Family, f: &mut Taker<'_>) -> Result<()> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_verify_checksums(true);
    options.set_readahead_size(2 << 20);
    let mut entries = db.raw_iterator_cf_opt(family.of(db)?, options);
    entries.seek_to_first();
    while let Some((key, value)) = entries.item() {
        f(key, value)?;
        entries.next();
    }
    entries.status().map_err(storage("check"))
}

/// Reads every block, and every record of events, users, items and exposures. Whether all of it can be.
fn read_all(db: &DB, findings: &mut Findings) -> Result<bool> {
    for family in families::ALL {
        let note = |findings: &mut Findings, error: &Error| {
            findings.note(Kind::Unreadable, || format!("{}: {error}; restore a backup", family.name()));
        };
        let mut bad = Vec::new();
        let read = each(db, family, &mut |raw, value| {
            let sound = match family {
                Family::Users => codec::decode::<StoredUser>("a user", value).map(drop),
                Family::Items => codec::decode::<StoredItem>("an item", value).map(drop),
                Family::UserIds | Family::ItemIds => match key::read_dense(raw).zip(std::str::from_utf8(value).ok()) {
                    Some(_) => Ok(()),
                    None => Err(Error::corrupt("an id", "is none")),
                },
                Family::Events => match EventKey::read_log(raw) {
                    Some(_) => codec::decode::<StoredEvent>("an event", value).map(drop),
                    None => Err(Error::corrupt("a key", "is none")),
                },
                Family::UserEvents => match EventKey::read_user(raw) {
                    Some(_) => codec::decode::<Option<f64>>("an event of a user", value).map(drop),
                    None => Err(Error::corrupt("a key", "is none")),
                },
                Family::Exposures if raw.first() == Some(&0) => exposures::read(raw, value).map(drop),
                _ => Ok(()),
            };
            sound.unwrap_or_else(|error| bad.push(error));
            Ok(())
        });
        bad.iter().chain(read.as_ref().err()).for_each(|error| note(findings, error));
    }
    Ok(findings.faults.is_empty())
}

/// Records of one side beside its numbers, both ways.
fn ids(db: &DB, findings: &mut Findings, records: Family, numbers: Family) -> Result<Ids> {
    let is_users = records == Family::Users;
    let (lacks_number, lacks_record) = match is_users {
        true => (Kind::UserWithoutNumber, Kind::NumberWithoutUser),
        false => (Kind::ItemWithoutNumber, Kind::NumberWithoutItem),
    };
    let mut ids = Ids::default();
    each(db, numbers, &mut |raw, name| {
        if let Some(number) = key::read_dense(raw) {
            ids.by_number.insert(number, String::from_utf8_lossy(name).into_owned());
        }
        Ok(())
    })?;
    let mut recorded: BTreeMap<u32, String> = BTreeMap::new();
    each(db, records, &mut |name, value| {
        let number: u32 = codec::decode_first(records.name(), value)?;
        let name = String::from_utf8_lossy(name).into_owned();
        if let Some(other) = recorded.get(&number).or(ids.by_number.get(&number)).filter(|other| **other != name) {
            findings.note(Kind::TwoOfANumber, || format!("{number} is \"{other}\" and \"{name}\"; restore a backup"));
        } else if !ids.by_number.contains_key(&number) {
            findings.note(lacks_number, || format!("\"{name}\" is {number}, and {number} is nobody"));
            findings.put(numbers, &key::dense(number), name.as_bytes());
        }
        recorded.entry(number).or_insert(name);
        Ok(())
    })?;
    for (number, name) in ids.by_number.iter().filter(|(number, _)| !recorded.contains_key(number)) {
        let known = db.get_pinned_cf(records.of(db)?, name).map_err(storage("check"))?;
        if known.is_some() {
            // The id has another number by its record.
            findings
                .note(Kind::TwoOfANumber, || format!("\"{name}\" is {number} and another number; restore a backup"));
            continue;
        }
        findings.note(lacks_record, || format!("{number} is \"{name}\", of whom there is no record"));
        let record = match is_users {
            true => codec::encode(&StoredUser::new(*number, &User::default()))?,
            false => codec::encode(&StoredItem::new(*number, &Item::default()))?,
        };
        findings.put(records, name.as_bytes(), record);
    }
    for (number, name) in recorded {
        ids.by_number.entry(number).or_insert(name);
    }
    Ok(ids)
}

/// The log beside the histories, both ways, and beside the users. Tells how many events there will be after a repair, and when
/// the newest was.
fn events(db: &DB, findings: &mut Findings, users: &Ids) -> Result<(u64, Option<Timestamp>)> {
    let (mut count, mut newest) = (0, None);
    let mut other = Vec::new();
    each(db, Family::Events, &mut |raw, value| {
        let Some(key) = EventKey::read_log(raw) else { return Ok(()) };
        count += 1;
        newest = newest.max(Some(key.time));
        if !users.by_number.contains_key(&key.user.get()) {
            findings.note(Kind::EventOfNobody, || {
                format!("an event of {} is of user {}, who is nobody; restore a backup", key.time, key.user.get())
            });
        }
        other.clear();
        key.write_user(&mut other);
        let expected = codec::encode(&codec::decode::<StoredEvent>("an event", value)?.value)?;
        let history = db.get_pinned_cf(Family::UserEvents.of(db)?, &other).map_err(storage("check"))?;
        if history.as_deref() != Some(&expected[..]) {
            findings.note(Kind::HistoryLacks, || format!("one of {} is not in its history as it is", key.time));
            findings.put(Family::UserEvents, &other, expected);
        }
        Ok(())
    })?;
    each(db, Family::UserEvents, &mut |raw, value| {
        let Some(key) = EventKey::read_user(raw) else { return Ok(()) };
        other.clear();
        key.write_log(&mut other);
        if db.get_pinned_cf(Family::Events.of(db)?, &other).map_err(storage("check"))?.is_none() {
            findings.note(Kind::LogLacks, || format!("one of {} is not in the log", key.time));
            let value: Option<f64> = codec::decode("an event of a user", value)?;
            let event = Event { value, ..Event::new("", "", key.kind) };
            findings.put(Family::Events, &other, codec::encode(&StoredEvent::new(&event))?);
            count += 1;
            newest = newest.max(Some(key.time));
        }
        Ok(())
    })?;
    Ok((count, newest))
}

/// Exposures beside their entries by answer and by user, both ways.
fn exposures_agree(db: &DB, findings: &mut Findings) -> Result<()> {
    let family = Family::Exposures.of(db)?;
    let holds = |key: &[u8]| -> Result<bool> { Ok(db.get_pinned_cf(family, key).map_err(storage("check"))?.is_some()) };
    each(db, Family::Exposures, &mut |raw, value| {
        match raw.first() {
            Some(0) => {
                let exposure = exposures::read(raw, value)?;
                let (answer, time) = (exposure.recommendation_id.as_str(), exposure.time);
                let by_answer = key::exposure_by_answer(answer);
                if !holds(&by_answer)? {
                    findings.note(Kind::ExposureByAnswer, || format!("\"{answer}\" is not found by its name"));
                    findings.put(Family::Exposures, &by_answer, key::number(time.millis() as u64));
                }
                if let Some(user) = &exposure.user {
                    let by_user = key::exposure_of(user, time, answer);
                    if !holds(&by_user)? {
                        findings.note(Kind::ExposureByUser, || format!("\"{answer}\" is not found by its user"));
                        findings.put(Family::Exposures, &by_user, Vec::new());
                    }
                }
            }
            Some(1) => {
                let answer = std::str::from_utf8(raw.get(1..).unwrap_or_default()).unwrap_or_default();
                let time = key::read_number(value).and_then(|millis| Timestamp::from_millis(millis as i64).ok());
                let is_there = time.map_or(Ok(false), |time| holds(&key::exposure(time, answer)))?;
                if !is_there {
                    findings.note(Kind::DanglingExposure, || format!("\"{answer}\" has a name and no exposure"));
                    findings.delete(Family::Exposures, raw);
                }
            }
            Some(2) => {
                let found = key::read_exposure_user(raw);
                let is_there = found.map_or(Ok(false), |(_, time, answer)| holds(&key::exposure(time, answer)))?;
                if !is_there {
                    findings.note(Kind::DanglingExposure, || "a user was shown an answer without an exposure".into());
                    findings.delete(Family::Exposures, raw);
                }
            }
            _ => {}
        }
        Ok(())
    })
}

/// Users' vectors beside users and snapshots. Items that were deleted keep their rows.
fn factors(db: &DB, findings: &mut Findings, users: &Ids) -> Result<()> {
    let mut snapshots = BTreeSet::new();
    each(db, Family::Snapshots, &mut |raw, _| {
        snapshots.extend(key::read_number(raw));
        Ok(())
    })?;
    for family in [Family::UserFactors, Family::ItemFactors] {
        each(db, family, &mut |raw, _| {
            let snapshot = raw.first_chunk().map(|number| u64::from_be_bytes(*number));
            let id = key::read_factor(raw);
            let is_known = snapshot.is_some_and(|snapshot| snapshots.contains(&snapshot));
            let is_of_somebody =
                family == Family::ItemFactors || id.is_some_and(|id| users.by_number.contains_key(&id));
            if !is_known || !is_of_somebody {
                findings.note(Kind::FactorOfNothing, || format!("of snapshot {snapshot:?}, number {id:?}"));
                findings.delete(family, raw);
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn vectors(db: &DB, findings: &mut Findings, items: &Ids) -> Result<()> {
    each(db, Family::ItemVectors, &mut |raw, _| {
        let item = key::read_vector(raw);
        if item.is_none_or(|item| !items.by_number.contains_key(&item.get())) {
            findings.note(Kind::VectorOfNothing, || format!("of item {item:?}"));
            findings.delete(Family::ItemVectors, raw);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Durability, StoreConfig};
    use crate::linalg::Rows;
    use crate::record::{Exposure, Shown, SnapshotId, Source};
    use crate::store::{Records, Side};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    /// Three users, four items with vectors, twelve events, two exposures, a snapshot.
    fn filled(dir: &std::path::Path) -> Store {
        let store = Store::open(dir, &StoreConfig { cache_mib: 8, ..StoreConfig::default() }).unwrap();
        let items: Vec<Item> = (0..4)
            .map(|n| {
                let mut item = Item::new(format!("i{n}"));
                item.categories.push("c".into());
                item.vectors.insert("space".into(), vec![n as f32, 1.0]);
                item
            })
            .collect();
        store.put_items(&items, Durability::Async).unwrap();
        let mut user = User::new("u1");
        user.attributes.insert("town".into(), "x".into());
        store.put_users(&[user], Durability::Async).unwrap();
        let event =
            |n: i64| Event::new(format!("u{}", n % 3), format!("i{}", n % 4), "view").at(at(n)).with_value(n as f64);
        store.append_events(&(0..12).map(event).collect::<Vec<_>>(), Durability::Async).unwrap();
        let exposure = |answer: &str, user: Option<&str>| Exposure {
            recommendation_id: answer.into(),
            time: at(5),
            user: user.map(str::to_owned),
            scenario: None,
            snapshot: None,
            experiment: None,
            question: None,
            before: 0,
            items: vec![Shown {
                item: "i1".into(),
                score: 1.0,
                rank: None,
                source: Source::Popular,
                propensity: 1.0,
                team: None,
            }],
        };
        store.put_exposures(&[exposure("a", Some("u1")), exposure("b", None)]).unwrap();
        store.put_record(Records::Snapshots, 1, &"a manifest").unwrap();
        store.put_factors(Side::Users, SnapshotId(1), &[0, 1], Rows::new(1, &[1.0, 2.0]).unwrap()).unwrap();
        store.fold_counters().unwrap();
        store
    }

    fn first(store: &Store, family: Family) -> Vec<u8> {
        store.db.iterator_cf(family.of(&store.db).unwrap(), IteratorMode::Start).next().unwrap().unwrap().0.into_vec()
    }

    fn remove(store: &Store, family: Family, key: &[u8]) {
        assert!(store.db.get_cf(family.of(&store.db).unwrap(), key).unwrap().is_some(), "{family:?}");
        store.db.delete_cf(family.of(&store.db).unwrap(), key).unwrap();
    }

    fn put(store: &Store, family: Family, key: &[u8], value: &[u8]) {
        store.db.put_cf(family.of(&store.db).unwrap(), key, value).unwrap();
    }

    fn all(store: &Store) -> Vec<(Family, Vec<u8>, Vec<u8>)> {
        let mut entries = Vec::new();
        for family in families::ALL {
            each(&store.db, family, &mut |key, value| {
                entries.push((family, key.to_vec(), value.to_vec()));
                Ok(())
            })
            .unwrap();
        }
        entries
    }

    #[test]
    fn a_store_that_was_only_written_to_agrees_with_itself() {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path());
        assert_eq!(store.cross_check().unwrap(), []);
        store.delete_item("i2").unwrap();
        store.merge_users("u0", "u1").unwrap();
        store.delete_user("u2").unwrap();
        store.expire_events(&|_| Some(at(4)), None, at(4)).unwrap();
        assert_eq!(store.cross_check().unwrap(), []);
    }

    #[test]
    fn what_is_worked_out_from_the_records_is_found_damaged_and_made_as_it_was() {
        type Damage = fn(&Store);
        let damages: [(&str, Damage); 12] = [
            ("histories", |store| remove(store, Family::UserEvents, &first(store, Family::UserEvents))),
            ("histories", |store| {
                put(store, Family::UserEvents, &first(store, Family::UserEvents), &codec::encode(&Some(7.5)).unwrap());
            }),
            ("users by id and by number", |store| remove(store, Family::UserIds, &key::dense(2))),
            ("items by id and by number", |store| remove(store, Family::ItemIds, &key::dense(3))),
            ("item index", |store| remove(store, Family::ItemIndex, &first(store, Family::ItemIndex))),
            ("item index", |store| put(store, Family::ItemIndex, b"\x01p\x01\x01\0\0\0\x07", &[])),
            ("counters", |store| remove(store, Family::EventCounters, &first(store, Family::EventCounters))),
            ("exposures by answer", |store| remove(store, Family::Exposures, &key::exposure_by_answer("a"))),
            ("exposures by user", |store| remove(store, Family::Exposures, &key::exposure_of("u1", at(5), "a"))),
            ("exposures exist", |store| put(store, Family::Exposures, &key::exposure_by_answer("z"), &key::number(5))),
            ("exposures exist", |store| put(store, Family::Exposures, &key::exposure_of("u9", at(5), "z"), &[])),
            ("known users and snapshots", |store| {
                put(store, Family::UserFactors, &key::factor(SnapshotId(9), 0), &[0, 0, 0, 0]);
            }),
        ];
        for (place, (check, damage)) in damages.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let store = filled(dir.path());
            let before = all(&store);
            damage(&store);
            assert!(all(&store) != before);
            let found = store.cross_check().unwrap();
            assert!(found.iter().any(|fault| fault.check.contains(check)), "{place}: {found:?}");
            assert!(found.iter().all(|fault| fault.repair.is_some()), "{place}: {found:?}");
            store.repair().unwrap();
            let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
            assert_eq!(store.cross_check().unwrap(), [], "{place}");
            assert!(all(&store) == before, "{place}: {check} is not as it was");
        }
    }

    #[test]
    fn how_many_there_are_is_counted_anew_and_no_number_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path());
        put(&store, Family::Meta, records::COUNTERS.as_bytes(), &codec::encode(&Counters::default()).unwrap());
        assert_eq!(store.cross_check().unwrap()[0].check, Kind::Counts.check());
        store.repair().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        let counts = store.counts();
        assert_eq!((counts.users, counts.items, counts.events), (3, 4, 12));
        store.append_events(&[Event::new("new", "new", "view")], Durability::Async).unwrap();
        assert_eq!(store.user_id("new").unwrap().unwrap().get(), 3);
        assert_eq!(store.cross_check().unwrap(), []);
    }

    #[test]
    fn a_lost_record_is_put_back_as_far_as_the_rest_knows_it_and_what_is_lost_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path());
        remove(&store, Family::Users, b"u1");
        remove(&store, Family::Items, b"i1");
        remove(&store, Family::Events, &first(&store, Family::Events));
        let found = store.cross_check().unwrap();
        for (check, lost) in [("users", "attributes are lost"), ("items", "metadata are lost"), ("log", "context")] {
            let said = |fault: &Fault| {
                fault.check.contains(check) && fault.repair.as_ref().is_some_and(|of| of.contains(lost))
            };
            assert!(found.iter().any(said), "{found:?}");
        }
        store.repair().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        assert_eq!(store.cross_check().unwrap(), []);
        let event = store.user_events(store.user_id("u0").unwrap().unwrap(), 99).unwrap().pop().unwrap();
        assert_eq!((event.item.as_str(), event.time, event.value), ("i0", Some(at(0)), Some(0.0)));
        assert!(store.user("u1").unwrap().unwrap().attributes.is_empty());
    }

    #[test]
    fn what_only_a_backup_has_is_said_and_left_as_it_is() {
        type Damage = fn(&Store);
        let damages: [(&str, Damage); 4] = [
            ("events of known users", |store| {
                remove(store, Family::Users, b"u1");
                let id = store.user_id("u1").unwrap().unwrap().get();
                remove(store, Family::UserIds, &key::dense(id));
            }),
            ("numbers that stand for one id", |store| put(store, Family::UserIds, &key::dense(0), b"somebody else")),
            ("can be read", |store| put(store, Family::Events, &first(store, Family::Events), &[9, 9])),
            ("can be read", |store| put(store, Family::Users, b"u0", &[])),
        ];
        for (check, damage) in damages {
            let dir = tempfile::tempdir().unwrap();
            let store = filled(dir.path());
            damage(&store);
            let found = store.cross_check().unwrap();
            let is_said = |fault: &Fault| {
                fault.check.contains(check) && fault.repair.is_none() && fault.example.contains("restore a backup")
            };
            assert!(found.iter().any(is_said), "{check}: {found:?}");
            let events = all(&store).into_iter().filter(|(family, ..)| *family == Family::Events).collect::<Vec<_>>();
            store.repair().unwrap();
            let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
            let after = all(&store).into_iter().filter(|(family, ..)| *family == Family::Events).collect::<Vec<_>>();
            assert!(after == events, "{check}: no event is removed");
        }
    }
}
