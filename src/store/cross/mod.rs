//! Whether everything in the database agrees with everything else, entry by entry, and the repair of what can be worked out from
//! the rest. The records that people wrote are the truth: users and items, the event log, the answers that were shown. What is
//! worked out from them (histories, ids by number, indexes, counters) is made anew where it differs. Where a record itself is
//! missing nothing is invented: that is said, and only a backup has it.

mod compare;
mod findings;
#[cfg(test)]
mod tests;

use rocksdb::{IteratorMode, WriteBatch, WriteOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::families::Family;
use super::stored::Counters;
use super::{Store, codec, counters, forget, item_index, records, storage};
use crate::error::Result;
use crate::record::Timestamp;
use compare::{Ids, events, exposures_agree, factors, ids, read_all, vectors};
use findings::{Findings, Kind};

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
        // They are counted anew when the directory is opened.
        db.delete_cf(Family::Meta.of(db)?, forget::EXPOSED).map_err(storage("repair"))?;
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
