//! What is kept of filters, and the changes to it. All of it is behind one lock.

use std::sync::Arc;

use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::{MAX_RANGES, MAX_SETS, MAX_SNAPSHOTS, OVERHEAD_BYTES};
use crate::recommend::expression::Expression;
use crate::recommend::matches::Matches;
use crate::record::{Item, ItemId};
use crate::snapshot::RowMap;
use crate::store::{TermRange, Terms, term_kind};

/// Sets of items that follow every change.
#[derive(Default)]
pub struct State {
    /// Items that are there and not hidden.
    shown: Kept,
    /// By what their terms begin with, then by range.
    kinds: FxHashMap<Box<[u8]>, FxHashMap<TermRange, Kept>>,
    /// What whole filters came to, of items that are shown.
    sets: FxHashMap<Expression<'static>, Kept>,
    /// What is being read or made.
    reads: Vec<Read>,
    /// The snapshots that kept rows belong to, in the order of the rows.
    maps: Vec<RowMap>,
    /// The place of the snapshot that goes next.
    oldest: usize,
    /// Ranges.
    pub count: usize,
    pub bytes: usize,
    clock: u64,
}

/// Something that is kept.
#[derive(Clone, Copy)]
pub enum What<'a> {
    /// Items that are there and not hidden.
    Shown,
    /// The items that have a term in a range.
    Range(&'a TermRange),
    /// The items of a filter that are shown.
    Set(&'a Expression<'static>),
}

#[derive(Default)]
pub struct Kept {
    pub ids: Arc<RoaringBitmap>,
    pub rows: [Option<Arc<RoaringBitmap>>; MAX_SNAPSHOTS],
    pub used: u64,
}

/// What has changed while something was read or made.
struct Read {
    number: u64,
    of: Reading,
    changes: Vec<(u32, bool)>,
}

/// What is being read or made.
pub enum Reading {
    /// The items that have a term in a range.
    Range(TermRange),
    /// The items of a filter that are shown.
    Set(Expression<'static>),
}

impl State {
    /// Follows a change of an item; `None` when it is gone.
    pub fn change(&mut self, id: ItemId, item: Option<&Item>) {
        let Self { shown, kinds, sets, reads, maps, .. } = self;
        let rows: Vec<Option<u32>> = maps.iter().map(|map| map.get(id)).collect();
        let is_shown = item.is_some_and(|item| !item.hidden);
        shown.set(id.get(), &rows, is_shown);
        if kinds.is_empty() && sets.is_empty() && reads.is_empty() {
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
        let in_set = |set: &Expression<'_>| is_shown && set.holds(&terms);
        for (set, kept) in sets {
            kept.set(id.get(), &rows, in_set(set));
        }
        for read in reads {
            let holds = match &read.of {
                Reading::Range(range) => terms.meet(range),
                Reading::Set(set) => in_set(set),
            };
            read.changes.push((id.get(), holds));
        }
    }

    /// From now on what changes is noted for what is read or made.
    pub fn begin(&mut self, of: Reading) -> u64 {
        self.clock += 1;
        self.reads.push(Read { number: self.clock, of, changes: Vec::new() });
        self.clock
    }

    /// The changes that were noted for a read, which is over.
    pub fn end(&mut self, number: u64) -> Vec<(u32, bool)> {
        let place = self.reads.iter().position(|read| read.number == number);
        place.map(|place| self.reads.swap_remove(place).changes).unwrap_or_default()
    }

    /// What is kept, which is used now.
    pub fn find(&mut self, what: What<'_>) -> Option<&mut Kept> {
        self.clock += 1;
        let kept = match what {
            What::Shown => &mut self.shown,
            What::Range(range) => self.kinds.get_mut(range.kind())?.get_mut(range)?,
            What::Set(set) => self.sets.get_mut(set)?,
        };
        kept.used = self.clock;
        Some(kept)
    }

    /// Keeps the items of a range.
    pub fn keep_range(&mut self, range: &TermRange, ids: Arc<RoaringBitmap>) {
        let kept = Kept { ids, used: self.clock, ..Kept::default() };
        self.bytes += kept.bytes();
        let kind = self.kinds.entry(range.kind().into()).or_default();
        match kind.insert(range.clone(), kept) {
            // Somebody else has read the same meanwhile.
            Some(other) => self.bytes = self.bytes.saturating_sub(other.bytes()),
            None => self.count += 1,
        }
    }

    /// Keeps the items of a filter, with their rows in a snapshot.
    pub fn keep_set(&mut self, set: &Expression<'static>, found: &Matches, map: Option<&RowMap>) {
        let mut kept = Kept { ids: Arc::clone(&found.ids), used: self.clock, ..Kept::default() };
        let place = map.map(|map| self.place_of(map));
        if let Some(rows) = place.and_then(|place| kept.rows.get_mut(place)) {
            *rows = Some(Arc::clone(&found.rows));
        }
        self.bytes += kept.bytes();
        if let Some(other) = self.sets.insert(set.clone(), kept) {
            self.bytes = self.bytes.saturating_sub(other.bytes());
        }
        if self.sets.len() > MAX_SETS {
            let mut uses: Vec<u64> = self.sets.values().map(|kept| kept.used).collect();
            uses.sort_unstable();
            let oldest = uses.get(uses.len() / 2).copied().unwrap_or_default();
            self.sets.retain(|_, kept| kept.used >= oldest);
            self.measure();
        }
    }

    /// Where the rows of a snapshot are kept; those of the one that was first asked about longest ago make room.
    pub fn place_of(&mut self, map: &RowMap) -> usize {
        if let Some(place) = self.known_place(map) {
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
        self.all_mut().filter_map(|kept| kept.rows.get_mut(place)).for_each(|rows| *rows = None);
        self.measure();
        place
    }

    /// The same, where there is a place already.
    pub fn known_place(&self, map: &RowMap) -> Option<usize> {
        self.maps.iter().position(|known| known == map)
    }

    /// Goes back to half of what may be kept, if it is more than that; what was used last stays. Half, so that it is seldom done.
    pub fn fit(&mut self, max_bytes: usize) {
        if self.count <= MAX_RANGES && self.bytes <= max_bytes {
            return;
        }
        let kept = self.kinds.values().flat_map(FxHashMap::values).chain(self.sets.values());
        let mut uses: Vec<_> = kept.map(|kept| (kept.used, kept.bytes())).collect();
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
        self.sets.retain(|_, kept| kept.used >= oldest);
        self.measure();
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Kept> {
        let ranges = self.kinds.values_mut().flat_map(FxHashMap::values_mut);
        std::iter::once(&mut self.shown).chain(ranges).chain(self.sets.values_mut())
    }

    fn measure(&mut self) {
        self.count = self.kinds.values().map(FxHashMap::len).sum();
        let kept = self.kinds.values().flat_map(FxHashMap::values).chain(self.sets.values());
        self.bytes = kept.map(Kept::bytes).sum();
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
pub fn set(bitmap: &mut Arc<RoaringBitmap>, bit: u32, holds: bool) {
    if bitmap.contains(bit) != holds {
        let bitmap = Arc::make_mut(bitmap);
        if holds {
            bitmap.insert(bit)
        } else {
            bitmap.remove(bit)
        };
    }
}
