//! The delta segment of a model: items that came after the snapshot, and those whose metadata has changed since. Each has
//! a vector at once, from the snapshot's map of metadata and its first events, and is scanned exactly beside the frozen
//! index; the next snapshot takes all of them in. Deleted and hidden items are left out by the policy of each question, as everywhere.

use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use crate::linalg::axpy;
use crate::record::{Item, ItemId, UserId};
use crate::snapshot::Snapshot;

/// So many users of a new item are remembered, the first; later ones are counted.
const MAX_USERS: usize = 64;
/// A new item is placed anew when its events have grown by one in so many.
const GROWTH: usize = 4;

/// Vectors by item, beside one snapshot. Memory: dim floats for each item in it.
#[derive(Default)]
pub struct Fresh {
    places: FxHashMap<u32, usize>,
    entries: Vec<Entry>,
    /// Rows of the index that are not true any more.
    replaced: RoaringBitmap,
    /// Users of items that the snapshot knows and that have too few new events to be moved.
    waiting: FxHashMap<u32, Vec<UserId>>,
}

struct Entry {
    item: ItemId,
    /// The item's row in the snapshot, where it has one.
    row: Option<u32>,
    /// Where metadata put it.
    mean: Vec<f32>,
    /// With what events say.
    vector: Vec<f32>,
    users: Vec<UserId>,
    events: usize,
    placed_at: usize,
    /// The latest users of an item that the snapshot knows, whose events have moved it.
    moved_by: Vec<UserId>,
}

/// An item of the segment.
#[derive(Clone, Copy)]
pub struct FreshItem<'a> {
    /// Which.
    pub item: ItemId,
    /// Its row in the snapshot, where its lists are; none for one that came later.
    pub row: Option<u32>,
    /// Where it is among new items; of one that the snapshot knows, by how much it has moved.
    pub vector: &'a [f32],
    /// Events since it came.
    pub events: usize,
}

impl FreshItem<'_> {
    /// Where it is now, among vectors of a model that say what kind an item is.
    pub fn now(&self, snapshot: &Snapshot) -> Vec<f32> {
        let mut vector = self.vector.to_vec();
        if let Some(row) = self.row {
            axpy(1.0, snapshot.vectors().row(row as usize), &mut vector);
        }
        vector
    }
}

/// What a new item's vector is made of, to be put together without holding anything.
pub struct Heard {
    /// Which.
    pub item: ItemId,
    /// Where metadata put it.
    pub mean: Vec<f32>,
    /// Who has it.
    pub users: Vec<UserId>,
    /// Events until now.
    pub events: usize,
}

impl Fresh {
    /// Follows an upsert. What the snapshot knows as it is leaves the segment.
    pub fn set(&mut self, snapshot: &Snapshot, id: ItemId, item: &Item) {
        match place(snapshot, id, item) {
            Some(vector) => self.put(snapshot.row(id), id, vector),
            None => match self.moved(id) {
                // What its events have moved stays where they put it.
                Some(dim) => self.put(snapshot.row(id), id, vec![0.0; dim]),
                None => self.remove(id),
            },
        }
    }

    /// Follows a deletion.
    pub fn remove(&mut self, id: ItemId) {
        let Some(place) = self.places.remove(&id.get()) else { return };
        let removed = self.entries.swap_remove(place);
        removed.row.map(|row| self.replaced.remove(row));
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.item.get(), place);
        }
    }

    /// An event of a user with an item. What is to be put together anew if that is due; `None` for items that the snapshot
    /// knows.
    pub fn hear(&mut self, snapshot: &Snapshot, item: ItemId, user: UserId) -> Option<Heard> {
        let map = snapshot.cold().items.as_ref()?;
        if !self.places.contains_key(&item.get()) && snapshot.row(item).is_none() {
            // Nothing but its events is known of it.
            self.put(None, item, map.vector((&Item::default()).into()));
        }
        let entry = self.entries.get_mut(*self.places.get(&item.get())?).filter(|entry| entry.row.is_none())?;
        entry.events += 1;
        if entry.users.len() < MAX_USERS && !entry.users.contains(&user) {
            entry.users.push(user);
        }
        if entry.events < entry.placed_at + entry.placed_at.div_ceil(GROWTH).max(1) {
            return None;
        }
        entry.placed_at = entry.events;
        Some(Heard { item, mean: entry.mean.clone(), users: entry.users.clone(), events: entry.events })
    }

    /// An event with an item that the snapshot knows, in `row`. What moves it if that is due: after `least` events, and whenever
    /// they are a quarter more.
    pub fn hear_known(&mut self, dim: usize, row: u32, item: ItemId, user: UserId, least: usize) -> Option<Heard> {
        if !self.places.contains_key(&item.get()) {
            let heard = self.waiting.entry(item.get()).or_default();
            heard.push(user);
            if heard.len() < least.max(1) {
                return None;
            }
            let users = self.waiting.remove(&item.get()).unwrap_or_default();
            self.put(Some(row), item, vec![0.0; dim]);
            let entry = self.entries.last_mut()?;
            (entry.events, entry.placed_at) = (users.len(), users.len());
            entry.moved_by = users.clone();
            entry.moved_by.dedup();
            return Some(Heard { item, mean: entry.mean.clone(), users, events: entry.events });
        }
        let entry = self.entries.get_mut(*self.places.get(&item.get())?)?;
        entry.events += 1;
        if !entry.moved_by.contains(&user) {
            if entry.moved_by.len() == MAX_USERS {
                entry.moved_by.remove(0);
            }
            entry.moved_by.push(user);
        }
        if entry.events < (entry.placed_at + entry.placed_at.div_ceil(GROWTH)).max(least) {
            return None;
        }
        entry.placed_at = entry.events;
        Some(Heard { item, mean: entry.mean.clone(), users: entry.moved_by.clone(), events: entry.events })
    }

    /// Moves an item by what its events say, unless there are later ones.
    pub fn shift(&mut self, heard: &Heard, shift: &[f32]) {
        let entry = self.places.get(&heard.item.get()).and_then(|place| self.entries.get_mut(*place));
        if let Some(entry) = entry.filter(|entry| entry.placed_at == heard.events && entry.mean.len() == shift.len()) {
            entry.vector = entry.mean.iter().zip(shift).map(|(mean, shift)| mean + shift).collect();
        }
    }

    /// The length of the vector of an item that its events have moved.
    fn moved(&self, id: ItemId) -> Option<usize> {
        let entry = self.entries.get(*self.places.get(&id.get())?)?;
        (!entry.moved_by.is_empty()).then_some(entry.mean.len())
    }

    /// Whether there is no item in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the vector of a row of the index does not count any more: the item is in here.
    pub fn replaces(&self, row: u32) -> bool {
        self.replaced.contains(row)
    }

    /// An item of the segment.
    pub fn get(&self, id: ItemId) -> Option<FreshItem<'_>> {
        self.entries.get(*self.places.get(&id.get())?).map(Entry::seen)
    }

    /// All items, in no order.
    pub fn iter(&self) -> impl Iterator<Item = FreshItem<'_>> {
        self.entries.iter().map(Entry::seen)
    }

    fn put(&mut self, row: Option<u32>, item: ItemId, mean: Vec<f32>) {
        if let Some(entry) = self.places.get(&item.get()).and_then(|place| self.entries.get_mut(*place)) {
            // What events have said stays said.
            for ((value, before), now) in entry.vector.iter_mut().zip(&entry.mean).zip(&mean) {
                *value += now - before;
            }
            entry.mean = mean;
            return;
        }
        row.map(|row| self.replaced.insert(row));
        self.places.insert(item.get(), self.entries.len());
        let vector = mean.clone();
        self.entries.push(Entry {
            item,
            row,
            mean,
            vector,
            users: Vec::new(),
            events: 0,
            placed_at: 0,
            moved_by: Vec::new(),
        });
    }
}

impl Entry {
    fn seen(&self) -> FreshItem<'_> {
        FreshItem { item: self.item, row: self.row, vector: &self.vector, events: self.events }
    }
}

/// Where an item is that the snapshot does not know, or how far one has moved that it knows otherwise; `None` for all
/// others, and where nothing is known of it.
fn place(snapshot: &Snapshot, id: ItemId, item: &Item) -> Option<Vec<f32>> {
    let cold = snapshot.cold();
    let map = cold.items.as_ref()?;
    let is_blank = item.categories.is_empty() && item.attributes.is_empty() && item.vectors.is_empty();
    if is_blank && item.time.is_none() {
        // Where only the model was brought, items stay as it knows them.
        return None;
    }
    let Some(row) = snapshot.row(id) else { return Some(map.vector(item.into())) };
    let encoded = map.encoder().encode(item.into());
    let (columns, values) = cold.known.row(row as usize);
    let known: Vec<(u32, f32)> = columns.iter().copied().zip(values.iter().copied()).collect();
    if encoded == known {
        return None;
    }
    // What the item's own pairs say stays; what its metadata said is replaced, as far as it counted.
    let share = cold.prior_share(row);
    let (before, now) = (map.vector_of(&known), map.vector_of(&encoded));
    Some(now.iter().zip(&before).map(|(now, before)| share * (now - before)).collect())
}
