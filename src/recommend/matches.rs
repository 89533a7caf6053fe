//! A set of items as bitmaps.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::record::ItemId;
use crate::snapshot::RowMap;

/// A set of items twice: by dense id, and by row of a snapshot, which has some of them. A cheap clone.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Matches {
    /// Dense ids.
    pub ids: Arc<RoaringBitmap>,
    /// Rows of the snapshot of the question; empty without one.
    pub rows: Arc<RoaringBitmap>,
}

impl Matches {
    /// The set with these dense ids.
    pub fn new(ids: Arc<RoaringBitmap>, rows: Option<&RowMap>) -> Self {
        let rows = rows.map_or_else(RoaringBitmap::new, |rows| rows_of(&ids, rows));
        Self { ids, rows: Arc::new(rows) }
    }

    /// Items of both.
    pub fn and(self, other: &Self) -> Self {
        self.with(other, |set, other| *set &= other, |set, other| set & other)
    }

    /// Items of either.
    pub fn or(self, other: &Self) -> Self {
        self.with(other, |set, other| *set |= other, |set, other| set | other)
    }

    /// Items that are not in the other.
    pub fn minus(self, other: &Self) -> Self {
        self.with(other, |set, other| *set -= other, |set, other| set - other)
    }

    fn with(mut self, other: &Self, assign: Assign, fresh: Fresh) -> Self {
        combine(&mut self.ids, &other.ids, assign, fresh);
        combine(&mut self.rows, &other.rows, assign, fresh);
        self
    }
}

type Assign = fn(&mut RoaringBitmap, &RoaringBitmap);
type Fresh = fn(&RoaringBitmap, &RoaringBitmap) -> RoaringBitmap;

/// In place where nobody else holds the left side.
fn combine(left: &mut Arc<RoaringBitmap>, right: &RoaringBitmap, assign: Assign, fresh: Fresh) {
    match Arc::get_mut(left) {
        Some(left) => assign(left, right),
        None => *left = Arc::new(fresh(left, right)),
    }
}

/// The rows of items. Linear, quick when rows are in the order of dense ids, as training makes them.
pub fn rows_of(ids: &RoaringBitmap, rows: &RowMap) -> RoaringBitmap {
    crate::store::bitmap(ids.iter().filter_map(|id| rows.get(ItemId::new(id))).collect())
}
