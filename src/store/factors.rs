//! Learned factors by snapshot and dense id: written in bulk, read one by one.

use rocksdb::{Direction, IteratorMode, ReadOptions, WriteBatch};

use super::families::Family;
use super::{Store, codec, key, storage};
use crate::error::{Error, Result};
use crate::linalg::Rows;
use crate::record::SnapshotId;

/// Users or items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// User factors.
    Users,
    /// Item factors.
    Items,
}

/// So many factors go into one batch.
const BATCH: usize = 4096;

impl Side {
    pub(super) fn family(self) -> Family {
        match self {
            Self::Users => Family::UserFactors,
            Self::Items => Family::ItemFactors,
        }
    }
}

impl Store {
    /// Writes the factors of a snapshot: row `i` belongs to `ids[i]`. They are on disk after the next synced write.
    pub fn put_factors(&self, side: Side, snapshot: SnapshotId, ids: &[u32], rows: Rows<'_>) -> Result<()> {
        let family = side.family().of(&self.db)?;
        for (chunk, ids) in ids.chunks(BATCH).enumerate() {
            let mut batch = WriteBatch::default();
            for (place, id) in ids.iter().enumerate() {
                batch.put_cf(family, key::factor(snapshot, *id), codec::encode_floats(rows.row(chunk * BATCH + place)));
            }
            self.health.write(self.db.write(batch))?;
        }
        Ok(())
    }

    /// Reads a factor into `out`; tells whether there is one.
    pub fn factor(&self, side: Side, snapshot: SnapshotId, id: u32, out: &mut Vec<f32>) -> Result<bool> {
        let family = side.family().of(&self.db)?;
        match self.db.get_pinned_cf(family, key::factor(snapshot, id)).map_err(storage("read a factor"))? {
            Some(bytes) => codec::decode_floats(&bytes, out).map(|()| true),
            None => Ok(false),
        }
    }

    /// Whether there is a factor.
    pub fn has_factor(&self, side: Side, snapshot: SnapshotId, id: u32) -> Result<bool> {
        let family = side.family().of(&self.db)?;
        let found = self.db.get_pinned_cf(family, key::factor(snapshot, id)).map_err(storage("read a factor"))?;
        Ok(found.is_some())
    }

    /// Passes all factors of a snapshot on, in the order of their dense ids.
    pub fn for_each_factor(
        &self,
        side: Side,
        snapshot: SnapshotId,
        f: &mut dyn FnMut(u32, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(key::number(snapshot.0 + 1));
        let start = key::number(snapshot.0);
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut factor = Vec::new();
        for entry in self.db.iterator_cf_opt(side.family().of(&self.db)?, options, mode) {
            let (key, bytes) = entry.map_err(storage("read factors"))?;
            let id = key::read_factor(&key).ok_or_else(|| Error::corrupt("the factors", "hold a key that is none"))?;
            codec::decode_floats(&bytes, &mut factor)?;
            f(id, &factor)?;
        }
        Ok(())
    }

    /// Removes all factors of a snapshot.
    pub fn delete_factors(&self, snapshot: SnapshotId) -> Result<()> {
        for side in [Side::Users, Side::Items] {
            let (from, to) = (key::number(snapshot.0), key::number(snapshot.0 + 1));
            let family = side.family().of(&self.db)?;
            self.db.delete_range_cf(family, from, to).map_err(storage("remove factors"))?;
        }
        Ok(())
    }
}
