//! Filters as bitmaps. The parts of filters that have been asked for, ranges of terms, are kept in memory, and so is what whole
//! filters came to; what is not is read from the item index. When an item changes, its bit in everything that is kept is set or
//! cleared, so that it is exact at every moment.

mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roaring::RoaringBitmap;

use super::expression::{Expression, Leaf};
use super::matches::{Matches, rows_of};
use crate::error::Result;
use crate::record::{Item, ItemId};
use crate::snapshot::RowMap;
use crate::store::{Store, TermRange};
use state::{Reading, State, What};

/// So many ranges are kept at most: a change of an item looks at all that are about the same key.
const MAX_RANGES: usize = 4_096;
/// So many whole filters are kept at most: a change of an item is held against all of them.
const MAX_SETS: usize = 256;
/// Filters of more conditions are made anew each time.
const MAX_LEAVES: usize = 32;
/// Snapshots whose rows are kept at a time: the active one, the one before, and those of experiments.
const MAX_SNAPSHOTS: usize = 4;
/// What something kept costs beside its bitmaps, about.
const OVERHEAD_BYTES: usize = 256;

/// What is kept, and the items that may be shown at all.
pub struct Filters {
    state: Mutex<State>,
    max_bytes: usize,
}

impl Filters {
    /// Keeps up to about so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { state: Mutex::default(), max_bytes }
    }

    /// Follows a change of an item, after it is in the store; `None` when it is gone. Changes of one item come one after
    /// another, each with what the store says then.
    ///
    /// All that is kept is looked at: what was read a moment ago may have seen a state of the item that was gone
    /// again before anybody was told.
    pub fn change(&self, id: ItemId, item: Option<&Item>) {
        self.lock().change(id, item);
    }

    /// Items that are there and not hidden.
    pub fn shown(&self, rows: Option<&RowMap>) -> Matches {
        self.kept(What::Shown, rows).unwrap_or_default()
    }

    /// Reads and makes what a question needs and is not kept. To be called before it takes its locks: reading a range of a million
    /// items takes some tenths of a second.
    pub fn prepare(&self, store: &Store, expression: Option<&Expression<'_>>, rows: Option<&RowMap>) -> Result<()> {
        match expression {
            None => drop(self.shown(rows)),
            Some(expression) => drop(self.fulfilling(store, expression, rows)?),
        }
        Ok(())
    }

    /// The items of an expression that may be shown. Of one that has been asked for lately nothing is made anew.
    pub fn evaluate(&self, store: &Store, expression: &Expression<'_>, rows: Option<&RowMap>) -> Result<Matches> {
        match expression.owned().filter(|_| expression.leaves() <= MAX_LEAVES) {
            Some(set) => self.set(store, &set, rows),
            None => self.made(store, expression, rows),
        }
    }

    /// The items of an expression, hidden ones among them where it is about one thing alone: nothing is copied then.
    pub fn fulfilling(&self, store: &Store, expression: &Expression<'_>, rows: Option<&RowMap>) -> Result<Matches> {
        match expression {
            Expression::Terms(range) => self.range(store, range, rows),
            _ => self.evaluate(store, expression, rows),
        }
    }

    /// An expression by set algebra. Those of its parts that can be kept are: what a question adds to the filter of a scenario does
    /// not have that made anew.
    fn made(&self, store: &Store, expression: &Expression<'_>, rows: Option<&RowMap>) -> Result<Matches> {
        expression.combine(&mut |part| match part.leaves() {
            0 | 1 => self.simple(store, part, rows),
            _ => self.evaluate(store, part, rows),
        })
    }

    /// An expression about one thing.
    fn simple(&self, store: &Store, expression: &Expression<'_>, rows: Option<&RowMap>) -> Result<Matches> {
        let shown = self.shown(rows);
        let found = expression.evaluate(&shown, &mut |leaf| match leaf {
            Leaf::Terms(range) => self.range(store, range, rows),
            Leaf::Ids(names) => {
                let mut ids = RoaringBitmap::new();
                for name in names {
                    ids.extend(store.item_id(name)?.map(ItemId::get));
                }
                Ok(Matches::new(Arc::new(ids), rows))
            }
        })?;
        Ok(found.and(&shown))
    }

    fn set(&self, store: &Store, set: &Expression<'static>, rows: Option<&RowMap>) -> Result<Matches> {
        if let Some(kept) = self.kept(What::Set(set), rows) {
            return Ok(kept);
        }
        let number = self.begin(Reading::Set(set.clone()));
        let found = self.made(store, set, rows);
        self.finish_set(number, set, found, rows)
    }

    /// Makes the noted changes in what was made, and keeps it.
    fn finish_set(
        &self,
        number: u64,
        set: &Expression<'static>,
        found: Result<Matches>,
        rows: Option<&RowMap>,
    ) -> Result<Matches> {
        let mut state = self.lock();
        let changes = state.end(number);
        let mut found = found?;
        for (id, holds) in changes {
            state::set(&mut found.ids, id, holds);
            if let Some(row) = rows.and_then(|rows| rows.get(ItemId::new(id))) {
                state::set(&mut found.rows, row, holds);
            }
        }
        state.keep_set(set, &found, rows);
        state.fit(self.max_bytes);
        Ok(found)
    }

    fn range(&self, store: &Store, range: &TermRange, rows: Option<&RowMap>) -> Result<Matches> {
        if let Some(kept) = self.kept(What::Range(range), rows) {
            return Ok(kept);
        }
        let ids = self.read(store, range)?;
        Ok(self.kept(What::Range(range), rows).unwrap_or_else(|| Matches::new(ids, rows)))
    }

    /// What is kept, if it is. Rows are mapped at the first question to a snapshot.
    fn kept(&self, what: What<'_>, rows: Option<&RowMap>) -> Option<Matches> {
        let ids = {
            let mut state = self.lock();
            let place = rows.map(|rows| state.place_of(rows));
            let kept = state.find(what)?;
            let ids = Arc::clone(&kept.ids);
            let Some(place) = place else { return Some(Matches { ids, ..Matches::default() }) };
            match kept.rows.get(place).and_then(Option::as_ref) {
                Some(rows) => return Some(Matches { ids, rows: Arc::clone(rows) }),
                None => ids,
            }
        };
        let map = rows?;
        let rows = Arc::new(rows_of(&ids, map));
        let mut state = self.lock();
        if let Some(place) = state.known_place(map) {
            // Of an item that has changed meanwhile the rows would say what was.
            let kept = state.find(what).filter(|kept| Arc::ptr_eq(&kept.ids, &ids));
            if let Some(kept) = kept.and_then(|kept| kept.rows.get_mut(place)) {
                *kept = Some(Arc::clone(&rows));
                state.bytes += rows.serialized_size();
                state.fit(self.max_bytes);
            }
        }
        Some(Matches { ids, rows })
    }

    /// Reads a range from the index and keeps it.
    fn read(&self, store: &Store, range: &TermRange) -> Result<Arc<RoaringBitmap>> {
        let number = self.begin(Reading::Range(range.clone()));
        let ids = store.items_in(range);
        self.finish(number, range, ids)
    }

    /// From now on what changes is noted for this read.
    fn begin(&self, of: Reading) -> u64 {
        self.lock().begin(of)
    }

    /// Makes the noted changes in what was read, and keeps it.
    fn finish(&self, number: u64, range: &TermRange, ids: Result<RoaringBitmap>) -> Result<Arc<RoaringBitmap>> {
        let mut state = self.lock();
        let changes = state.end(number);
        let mut ids = Arc::new(ids?);
        changes.into_iter().for_each(|(id, holds)| state::set(&mut ids, id, holds));
        state.keep_range(range, Arc::clone(&ids));
        state.fit(self.max_bytes);
        Ok(ids)
    }

    // Each change behind this lock is one of a bit or of an entry; after a panic the next one goes on from there.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
