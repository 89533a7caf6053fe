//! Filters as bitmaps. The parts of filters that have been asked for, ranges of terms, are kept in memory; what is not is
//! read from the item index. When an item changes, its bit in every kept range is set or cleared, so what is kept is exact
//! at every moment.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::expression::{Expression, Leaf};
use super::matches::{Matches, rows_of};
use crate::error::Result;
use crate::record::{Item, ItemId};
use crate::snapshot::RowMap;
use crate::store::{Store, TermRange, Terms, term_kind};

/// So many ranges are kept at most: a change of an item looks at all that are about the same key.
const MAX_RANGES: usize = 4_096;
/// Snapshots whose rows are kept at a time: the active one, the one before, and those of experiments.
const MAX_SNAPSHOTS: usize = 4;
/// What a kept range costs beside its bitmaps, about.
const OVERHEAD_BYTES: usize = 256;

/// The kept ranges, and the items that may be shown at all.
pub struct Filters {
    state: Mutex<State>,
    max_bytes: usize,
}

struct State {
    /// Items that are there and not hidden.
    shown: Kept,
    /// By what their terms begin with, then by range.
    kinds: FxHashMap<Box<[u8]>, FxHashMap<TermRange, Kept>>,
    /// Ranges that are being read.
    reads: Vec<Read>,
    /// The snapshots that kept rows belong to, in the order of the rows.
    maps: Vec<RowMap>,
    /// The place of the snapshot that goes next.
    oldest: usize,
    count: usize,
    bytes: usize,
    clock: u64,
}

#[derive(Default)]
struct Kept {
    ids: Arc<RoaringBitmap>,
    rows: [Option<Arc<RoaringBitmap>>; MAX_SNAPSHOTS],
    used: u64,
}

/// What has changed while a range was read.
struct Read {
    number: u64,
    range: TermRange,
    changes: Vec<(u32, bool)>,
}

impl Filters {
    /// Keeps up to about so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        let state = State {
            shown: Kept::default(),
            kinds: FxHashMap::default(),
            reads: Vec::new(),
            maps: Vec::new(),
            oldest: 0,
            count: 0,
            bytes: 0,
            clock: 0,
        };
        Self { state: Mutex::new(state), max_bytes }
    }

    /// Follows a change of an item, after it is in the store; `None` when it is gone. Changes of one item come one after
    /// another, each with what the store says then.
    ///
    /// All kept ranges are looked at: one that was read a moment ago may have seen a state of the item that was gone
    /// again before anybody was told.
    pub fn change(&self, id: ItemId, item: Option<&Item>) {
        let mut state = self.lock();
        let State { shown, kinds, reads, maps, .. } = &mut *state;
        let rows: Vec<Option<u32>> = maps.iter().map(|map| map.get(id)).collect();
        shown.set(id.get(), &rows, item.is_some_and(|item| !item.hidden));
        if kinds.is_empty() && reads.is_empty() {
            return;
        }
        let terms = item.map(Terms::of).unwrap_or_default();
        let mut by_kind: FxHashMap<&[u8], Vec<&[u8]>> = FxHashMap::default();
        terms.iter().for_each(|term| by_kind.entry(term_kind(term)).or_default().push(term));
        for (kind, ranges) in kinds {
            let terms = by_kind.get(&**kind).map_or(&[][..], Vec::as_slice);
            for (range, kept) in ranges {
                kept.set(id.get(), &rows, terms.iter().any(|term| range.contains(term)));
            }
        }
        for read in reads {
            read.changes.push((id.get(), terms.meet(&read.range)));
        }
    }

    /// Items that are there and not hidden.
    pub fn shown(&self, rows: Option<&RowMap>) -> Matches {
        self.kept(None, rows).unwrap_or_default()
    }

    /// Reads what a question needs and is not kept. To be called before it takes its locks: reading a range of a million
    /// items takes some tenths of a second.
    pub fn prepare(&self, store: &Store, expression: Option<&Expression<'_>>, rows: Option<&RowMap>) -> Result<()> {
        self.shown(rows);
        let Some(expression) = expression else { return Ok(()) };
        expression.for_each_range(&mut |range| self.range(store, range, rows).map(drop))
    }

    /// The items of an expression that may be shown.
    pub fn evaluate(&self, store: &Store, expression: &Expression<'_>, rows: Option<&RowMap>) -> Result<Matches> {
        let shown = self.shown(rows);
        Ok(self.fulfilling(store, expression, rows)?.and(&shown))
    }

    /// The items of an expression, hidden ones among them where it is about one thing alone: nothing is copied then.
    pub fn fulfilling(&self, store: &Store, expression: &Expression<'_>, rows: Option<&RowMap>) -> Result<Matches> {
        let shown = self.shown(rows);
        expression.evaluate(&shown, &mut |leaf| match leaf {
            Leaf::Terms(range) => self.range(store, range, rows),
            Leaf::Ids(names) => {
                let mut ids = RoaringBitmap::new();
                for name in names {
                    ids.extend(store.item_id(name)?.map(ItemId::get));
                }
                Ok(Matches::new(Arc::new(ids), rows))
            }
        })
    }

    fn range(&self, store: &Store, range: &TermRange, rows: Option<&RowMap>) -> Result<Matches> {
        if let Some(kept) = self.kept(Some(range), rows) {
            return Ok(kept);
        }
        let ids = self.read(store, range)?;
        Ok(self.kept(Some(range), rows).unwrap_or_else(|| Matches::new(ids, rows)))
    }

    /// A kept range, or with `None` the items that may be shown. Rows are mapped at the first question to a snapshot.
    fn kept(&self, range: Option<&TermRange>, rows: Option<&RowMap>) -> Option<Matches> {
        let ids = {
            let mut state = self.lock();
            state.clock += 1;
            let now = state.clock;
            let place = rows.map(|rows| state.place_of(rows));
            let kept = state.find(range)?;
            kept.used = now;
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
        if let Some(place) = state.maps.iter().position(|known| known == map) {
            let kept = state.find(range);
            // Of an item that has changed meanwhile the rows would say what was.
            let kept = kept.filter(|kept| Arc::ptr_eq(&kept.ids, &ids));
            if let Some(kept) = kept.and_then(|kept| kept.rows.get_mut(place)) {
                *kept = Some(Arc::clone(&rows));
                state.bytes += rows.serialized_size();
            }
        }
        Some(Matches { ids, rows })
    }

    /// Reads a range from the index and keeps it.
    fn read(&self, store: &Store, range: &TermRange) -> Result<Arc<RoaringBitmap>> {
        let number = self.begin(range);
        let ids = store.items_in(range);
        self.finish(number, range, ids)
    }

    /// From now on what changes is noted for this read.
    fn begin(&self, range: &TermRange) -> u64 {
        let mut state = self.lock();
        state.clock += 1;
        let number = state.clock;
        state.reads.push(Read { number, range: range.clone(), changes: Vec::new() });
        number
    }

    /// Makes the noted changes in what was read, and keeps it.
    fn finish(&self, number: u64, range: &TermRange, ids: Result<RoaringBitmap>) -> Result<Arc<RoaringBitmap>> {
        let mut state = self.lock();
        let place = state.reads.iter().position(|read| read.number == number);
        let changes = place.map(|place| state.reads.swap_remove(place).changes).unwrap_or_default();
        let mut ids = ids?;
        for (id, holds) in changes {
            if holds {
                ids.insert(id)
            } else {
                ids.remove(id)
            };
        }
        let ids = Arc::new(ids);
        state.keep(range, Arc::clone(&ids));
        if state.count > MAX_RANGES || state.bytes > self.max_bytes {
            state.forget_unused(self.max_bytes);
        }
        Ok(ids)
    }

    // Each change behind this lock is one of a bit or of an entry; after a panic the next one goes on from there.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&mut self, range: Option<&TermRange>) -> Option<&mut Kept> {
        match range {
            None => Some(&mut self.shown),
            Some(range) => self.kinds.get_mut(range.kind())?.get_mut(range),
        }
    }

    fn keep(&mut self, range: &TermRange, ids: Arc<RoaringBitmap>) {
        let kept = Kept { ids, used: self.clock, ..Kept::default() };
        self.bytes += kept.bytes();
        let kind = self.kinds.entry(range.kind().into()).or_default();
        match kind.insert(range.clone(), kept) {
            // Somebody else has read the same meanwhile.
            Some(other) => self.bytes = self.bytes.saturating_sub(other.bytes()),
            None => self.count += 1,
        }
    }

    /// Where the rows of a snapshot are kept; those of the one that was first asked about longest ago make room.
    fn place_of(&mut self, map: &RowMap) -> usize {
        if let Some(place) = self.maps.iter().position(|known| known == map) {
            return place;
        }
        if self.maps.len() < MAX_SNAPSHOTS {
            self.maps.push(map.clone());
            return self.maps.len() - 1;
        }
        let place = self.oldest;
        self.oldest = (place + 1) % MAX_SNAPSHOTS;
        if let Some(old) = self.maps.get_mut(place) {
            *old = map.clone();
        }
        let kept = std::iter::once(&mut self.shown).chain(self.kinds.values_mut().flat_map(FxHashMap::values_mut));
        kept.filter_map(|kept| kept.rows.get_mut(place)).for_each(|rows| *rows = None);
        self.measure();
        place
    }

    /// Goes back to half of what may be kept; what was used last stays. Half, so that it is seldom done.
    fn forget_unused(&mut self, max_bytes: usize) {
        let mut uses: Vec<_> = self.kinds.values().flatten().map(|(_, kept)| (kept.used, kept.bytes())).collect();
        uses.sort_unstable_by(|a, b| b.cmp(a));
        let (mut bytes, mut oldest) = (0, u64::MAX);
        for (used, size) in uses.into_iter().take(MAX_RANGES / 2) {
            bytes += size;
            if bytes > max_bytes / 2 {
                break;
            }
            oldest = used;
        }
        for kind in self.kinds.values_mut() {
            kind.retain(|_, kept| kept.used >= oldest);
        }
        self.kinds.retain(|_, kind| !kind.is_empty());
        self.measure();
    }

    fn measure(&mut self) {
        self.count = self.kinds.values().map(FxHashMap::len).sum();
        self.bytes = self.kinds.values().flatten().map(|(_, kept)| kept.bytes()).sum();
    }
}

impl Kept {
    /// `rows` has the item's row in each snapshot that has it.
    fn set(&mut self, id: u32, rows: &[Option<u32>], holds: bool) {
        set(&mut self.ids, id, holds);
        for (kept, row) in self.rows.iter_mut().zip(rows) {
            if let Some((kept, row)) = kept.as_mut().zip(*row) {
                set(kept, row, holds);
            }
        }
    }

    fn bytes(&self) -> usize {
        let rows: usize = self.rows.iter().flatten().map(|rows| rows.serialized_size()).sum();
        self.ids.serialized_size() + rows + OVERHEAD_BYTES
    }
}

/// Copies the bitmap if a question holds it, and only if the bit changes.
fn set(bitmap: &mut Arc<RoaringBitmap>, bit: u32, holds: bool) {
    if bitmap.contains(bit) != holds {
        let bitmap = Arc::make_mut(bitmap);
        if holds {
            bitmap.insert(bit)
        } else {
            bitmap.remove(bit)
        };
    }
}
