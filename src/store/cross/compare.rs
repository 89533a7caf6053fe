//! One family beside another, entry by entry.

use std::collections::{BTreeMap, BTreeSet};

use rocksdb::{DB, ReadOptions};

use super::findings::{Findings, Kind};
use crate::error::{Error, Result};
use crate::record::{Event, Item, Timestamp, User};
use crate::store::families::{self, Family};
use crate::store::key::{self, EventKey};
use crate::store::stored::{StoredEvent, StoredItem, StoredUser};
use crate::store::{codec, exposures, storage};

/// The ids of one side, as its records and its numbers say.
#[derive(Default)]
pub struct Ids {
    pub by_number: BTreeMap<u32, String>,
}

/// Takes key and value of an entry.
pub type Taker<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Every entry of a family, with checksums and past the cache.
pub fn each(db: &DB, family: Family, f: &mut Taker<'_>) -> Result<()> {
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
pub fn read_all(db: &DB, findings: &mut Findings) -> Result<bool> {
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
pub fn ids(db: &DB, findings: &mut Findings, records: Family, numbers: Family) -> Result<Ids> {
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
pub fn events(db: &DB, findings: &mut Findings, users: &Ids) -> Result<(u64, Option<Timestamp>)> {
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
pub fn exposures_agree(db: &DB, findings: &mut Findings) -> Result<()> {
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
pub fn factors(db: &DB, findings: &mut Findings, users: &Ids) -> Result<()> {
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

pub fn vectors(db: &DB, findings: &mut Findings, items: &Ids) -> Result<()> {
    each(db, Family::ItemVectors, &mut |raw, _| {
        let item = key::read_vector(raw);
        if item.is_none_or(|item| !items.by_number.contains_key(&item.get())) {
            findings.note(Kind::VectorOfNothing, || format!("of item {item:?}"));
            findings.delete(Family::ItemVectors, raw);
        }
        Ok(())
    })
}
