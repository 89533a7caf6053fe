//! Small records of other rooms, by number, and the single values in `meta`. All are synced: they are few, and others
//! build on them.

use rocksdb::IteratorMode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::families::Family;
use super::limits::Purpose;
use super::{Store, codec, key, storage};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::{Experiment, SnapshotId};

/// In `meta`: how many there are, and the next dense ids.
pub const COUNTERS: &str = "counters";
const ACTIVE_SNAPSHOT: &str = "active_snapshot";
const NEXT_SNAPSHOT: &str = "next_snapshot";

/// A family of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// Manifests of snapshots.
    Snapshots,
    /// Background jobs.
    Jobs,
    /// Finished trials of searches for settings.
    Trials,
}

impl Records {
    fn family(self) -> Family {
        match self {
            Self::Snapshots => Family::Snapshots,
            Self::Jobs => Family::Jobs,
            Self::Trials => Family::Trials,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Snapshots => "a snapshot's manifest",
            Self::Jobs => "a job",
            Self::Trials => "a trial",
        }
    }
}

impl Store {
    /// Inserts or replaces a record.
    pub fn put_record<T: Serialize>(&self, records: Records, number: u64, record: &T) -> Result<()> {
        let bytes = codec::encode_json(record)?;
        self.commit(Durability::Sync, |turn| turn.put(records.family(), key::number(number), bytes))
    }

    /// A record.
    pub fn record<T: DeserializeOwned>(&self, records: Records, number: u64) -> Result<Option<T>> {
        let family = records.family().of(&self.db)?;
        let bytes = self.db.get_pinned_cf(family, key::number(number)).map_err(storage("read a record"))?;
        bytes.map(|bytes| codec::decode_json(records.what(), &bytes)).transpose()
    }

    /// All records of a family, in the order of their numbers.
    pub fn records<T: DeserializeOwned>(&self, records: Records) -> Result<Vec<(u64, T)>> {
        let mut found = Vec::new();
        for entry in self.db.iterator_cf(records.family().of(&self.db)?, IteratorMode::Start) {
            let (number, bytes) = entry.map_err(storage("list records"))?;
            let damaged = || Error::corrupt(records.what(), "has a key that is no number");
            found.push((key::read_number(&number).ok_or_else(damaged)?, codec::decode_json(records.what(), &bytes)?));
        }
        Ok(found)
    }

    /// The record with the greatest number of those that are wanted. Reads back to it and no further.
    pub fn newest_record<T: DeserializeOwned>(
        &self,
        records: Records,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Result<Option<T>> {
        for entry in self.db.iterator_cf(records.family().of(&self.db)?, IteratorMode::End) {
            let (_, bytes) = entry.map_err(storage("list records"))?;
            let record = codec::decode_json(records.what(), &bytes)?;
            if is_wanted(&record) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Removes a record.
    pub fn delete_record(&self, records: Records, number: u64) -> Result<()> {
        self.commit(Durability::Sync, |turn| turn.delete(records.family(), key::number(number)))
    }

    /// Inserts or replaces an experiment.
    pub fn put_experiment(&self, experiment: &Experiment) -> Result<()> {
        let bytes = codec::encode_json(experiment)?;
        self.commit(Durability::Sync, |turn| {
            turn.charged = Some(Purpose::Write);
            turn.put(Family::Experiments, &experiment.id, bytes)
        })
    }

    /// All experiments, in the order of their names.
    pub fn experiments(&self) -> Result<Vec<Experiment>> {
        let entries = self.db.iterator_cf(Family::Experiments.of(&self.db)?, IteratorMode::Start);
        let decode = |bytes: &[u8]| codec::decode_json("an experiment", bytes);
        entries.map(|entry| decode(&entry.map_err(storage("list the experiments"))?.1)).collect()
    }

    /// Removes an experiment.
    pub fn delete_experiment(&self, id: &str) -> Result<()> {
        self.commit(Durability::Sync, |turn| turn.delete(Family::Experiments, id))
    }

    /// A number for a new snapshot, never given before.
    pub fn next_snapshot_id(&self) -> Result<SnapshotId> {
        self.commit(Durability::Sync, |turn| {
            let bytes = turn.get(Family::Meta, NEXT_SNAPSHOT)?;
            let next: u64 = bytes.map_or(Ok(1), |bytes| codec::decode("the next snapshot", &bytes))?;
            turn.put(Family::Meta, NEXT_SNAPSHOT, codec::encode(&(next + 1))?)?;
            Ok(SnapshotId(next))
        })
    }

    /// The snapshot that answers.
    pub fn active_snapshot(&self) -> Result<Option<SnapshotId>> {
        let meta = Family::Meta.of(&self.db)?;
        let bytes = self.db.get_cf(meta, ACTIVE_SNAPSHOT).map_err(storage("read the active snapshot"))?;
        bytes.map(|bytes| codec::decode("the active snapshot", &bytes).map(SnapshotId)).transpose()
    }

    /// Lets another snapshot answer, together with the records that say so, as one step.
    pub fn set_active_snapshot<T: Serialize>(&self, id: SnapshotId, manifests: &[(u64, T)]) -> Result<()> {
        self.commit(Durability::Sync, |turn| {
            for (number, manifest) in manifests {
                turn.put(Family::Snapshots, key::number(*number), codec::encode_json(manifest)?)?;
            }
            turn.put(Family::Meta, ACTIVE_SNAPSHOT, codec::encode(&id.0)?)
        })
    }
}
