//! Vectors that change while they are searched. Most are frozen in an index; what came or changed since waits beside it and
//! is scanned; rows of the index that were replaced or removed are dead and never found. A vector that was set is found by
//! the next search, one that was removed by none. Every so often all of it is frozen anew, from a copy, while searches and
//! changes go on.

use roaring::RoaringBitmap;
use rustc_hash::{FxHashMap, FxHashSet};

use super::ask::Ask;
use super::space;
use super::top::{Hit, Top};
use super::{Metric, VectorIndex};
use crate::config::{IndexChoice, IndexConfig};
use crate::error::Result;
use crate::linalg::Matrix;
use crate::progress::{Progress, Silent};

/// So many changes are waited for before anything is frozen again, and one in so many of what is frozen.
const FEWEST: usize = 2_048;
const SHARE: usize = 16;
/// A filter that fewer than one in so many match has few matches.
const FEW_MATCHES: usize = 8;

/// Vectors of one length under one metric, by the number that a caller knows them by.
pub struct Segments {
    frozen: Frozen,
    /// Rows of the frozen index that are no longer what they were.
    dead: RoaringBitmap,
    waiting: Waiting,
    /// What changed since the last copy was taken, until it is frozen.
    changed: Option<FxHashSet<u32>>,
}

/// An index, and what its rows stand for.
pub struct Frozen {
    index: VectorIndex,
    /// `[n]`, rising.
    ids: Vec<u32>,
}

/// What is to be frozen: `[n]` ids, rising, and their vectors, `[n, dim]`.
pub struct Copied {
    metric: Metric,
    dim: usize,
    ids: Vec<u32>,
    data: Vec<f32>,
}

impl Segments {
    /// No vectors yet.
    pub fn new(metric: Metric, dim: usize) -> Result<Self> {
        let frozen = Copied { metric, dim, ids: Vec::new(), data: Vec::new() }.freeze(&exactly(), &Silent)?;
        let waiting = Waiting { dim, ids: Vec::new(), places: FxHashMap::default(), data: Vec::new() };
        Ok(Self { frozen, dead: RoaringBitmap::new(), waiting, changed: None })
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        self.waiting.dim
    }

    /// How vectors are compared.
    pub fn metric(&self) -> Metric {
        self.frozen.index.metric()
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.frozen.ids.len() - self.dead.len() as usize + self.waiting.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index that most of them are frozen in.
    pub fn index(&self) -> &VectorIndex {
        &self.frozen.index
    }

    /// Whether a vector can be set: it has the length of the others, and no value that no index takes.
    pub fn takes(&self, vector: &[f32]) -> bool {
        self.frozen.index.check(vector).is_ok()
    }

    /// Inserts or replaces a vector. Errors: [`crate::Error::Invalid`] for one of another length or with a value that no
    /// index takes; nothing has changed then.
    pub fn set(&mut self, id: u32, vector: &[f32]) -> Result<()> {
        self.frozen.index.check(vector)?;
        self.forget(id);
        self.waiting.set(id, vector);
        Ok(())
    }

    /// Removes a vector, if it is there.
    pub fn remove(&mut self, id: u32) {
        self.forget(id);
        self.waiting.remove(id);
    }

    fn forget(&mut self, id: u32) {
        if let Ok(row) = self.frozen.ids.binary_search(&id) {
            self.dead.insert(row as u32);
        }
        if let Some(changed) = &mut self.changed {
            changed.insert(id);
        }
    }

    /// The nearest that `ask` wants, by id instead of row, best first, equal scores by id. A query that
    /// [`VectorIndex::check`] refuses finds nothing; scores from elsewhere are not added.
    pub fn search(&self, query: &[f32], ask: Ask<'_>) -> Vec<Hit> {
        let k = ask.k;
        if k == 0 || self.frozen.index.check(query).is_err() {
            return Vec::new();
        }
        let ids = &self.frozen.ids;
        let living = |row: u32| !self.dead.contains(row) && ids.get(row as usize).is_some_and(|id| ask.allows(*id));
        // Many matches are asked about as they are met; of a few the rows are found first.
        let few = ask.within.filter(|matches| matches.len() < (ids.len() / FEW_MATCHES) as u64);
        let rows: Option<RoaringBitmap> = few
            .map(|matches| matches.iter().filter_map(|id| ids.binary_search(&id).ok()).map(|row| row as u32).collect());
        let found = self.frozen.index.answer(query, Ask::best(k).allow(&living).within(rows.as_ref()));
        let mut top = Top::new(k, self.len());
        for hit in found {
            // Ids rise with rows, so equal scores keep their order.
            if let Some(id) = self.frozen.ids.get(hit.row as usize) {
                top.push(Hit { row: *id, score: hit.score });
            }
        }
        let scorer = space::Scorer::new(self.metric(), query);
        for (id, vector) in self.waiting.each() {
            top.offer(Hit { row: id, score: scorer.score(vector, None) }, |id| ask.allows(id));
        }
        top.into_hits()
    }

    /// Whether enough has changed for all of it to be frozen anew, and nobody is at it.
    pub fn is_due(&self) -> bool {
        let changes = self.waiting.ids.len() + self.dead.len() as usize;
        self.changed.is_none() && changes > FEWEST.max(self.frozen.ids.len() / SHARE)
    }

    /// Whether somebody is freezing a copy.
    pub fn is_copied(&self) -> bool {
        self.changed.is_some()
    }

    /// Takes a copy of all vectors, to be frozen elsewhere and brought back by [`replace`](Self::replace). From now on
    /// changes are remembered.
    pub fn copy(&mut self) -> Copied {
        self.changed = Some(FxHashSet::default());
        let mut ids: Vec<(u32, Option<usize>)> = Vec::with_capacity(self.len());
        let living = self.frozen.ids.iter().enumerate().filter(|(row, _)| !self.dead.contains(*row as u32));
        ids.extend(living.map(|(row, id)| (*id, Some(row))));
        ids.extend(self.waiting.ids.iter().map(|id| (*id, None)));
        ids.sort_unstable_by_key(|(id, _)| *id);
        let vectors = self.frozen.index.vectors();
        let mut data = Vec::with_capacity(ids.len() * self.dim());
        for (id, row) in &ids {
            data.extend_from_slice(match row {
                Some(row) => vectors.row(*row),
                None => self.waiting.get(*id).unwrap_or_default(),
            });
        }
        Copied { metric: self.metric(), dim: self.dim(), ids: ids.into_iter().map(|(id, _)| id).collect(), data }
    }

    /// Remembers changes from now on, for vectors that are read from elsewhere and brought by [`replace`](Self::replace).
    pub fn expect(&mut self) {
        self.changed = Some(FxHashSet::default());
    }

    /// Takes in what was frozen from the last copy. Changes since then stay as they are.
    pub fn replace(&mut self, frozen: Frozen) {
        let changed = self.changed.take().unwrap_or_default();
        self.frozen = frozen;
        self.dead =
            changed.iter().filter_map(|id| self.frozen.ids.binary_search(id).ok()).map(|row| row as u32).collect();
        self.waiting.keep(&changed);
    }

    /// Gives up what was to come from the last copy.
    pub fn give_up(&mut self) {
        self.changed = None;
    }
}

impl Copied {
    /// Vectors read from elsewhere, `[n, dim]`, with rising ids.
    pub fn new(metric: Metric, dim: usize) -> Self {
        Self { metric, dim, ids: Vec::new(), data: Vec::new() }
    }

    /// Takes one more vector; its id is larger than all before.
    pub fn push(&mut self, id: u32, vector: &[f32]) {
        self.ids.push(id);
        self.data.extend_from_slice(vector);
    }

    /// Whether a graph would be built for as many as these, if the configuration leaves it open.
    pub fn is_large(&self, config: &IndexConfig) -> bool {
        config.kind == IndexChoice::Hnsw || (config.kind == IndexChoice::Auto && self.ids.len() >= config.graph_from)
    }

    /// Indexes the vectors. Errors: as [`VectorIndex::build`].
    pub fn freeze(self, config: &IndexConfig, progress: &dyn Progress) -> Result<Frozen> {
        let index = VectorIndex::of(Matrix::new(self.dim, self.data)?, self.metric, config, None, progress)?;
        Ok(Frozen { index, ids: self.ids })
    }
}

fn exactly() -> IndexConfig {
    IndexConfig { kind: IndexChoice::Exact, ..IndexConfig::default() }
}

/// The vectors that are not frozen yet, `[n, dim]`, in no order.
struct Waiting {
    dim: usize,
    ids: Vec<u32>,
    places: FxHashMap<u32, usize>,
    data: Vec<f32>,
}

impl Waiting {
    fn each(&self) -> impl Iterator<Item = (u32, &[f32])> {
        self.ids.iter().copied().zip(self.data.chunks_exact(self.dim.max(1)))
    }

    fn get(&self, id: u32) -> Option<&[f32]> {
        let place = *self.places.get(&id)?;
        self.data.get(place * self.dim..(place + 1) * self.dim)
    }

    fn set(&mut self, id: u32, vector: &[f32]) {
        let place = *self.places.entry(id).or_insert(self.ids.len());
        if place == self.ids.len() {
            self.ids.push(id);
            self.data.extend_from_slice(vector);
        } else {
            self.data[place * self.dim..(place + 1) * self.dim].copy_from_slice(vector);
        }
    }

    /// Removes by moving the last vector into the gap.
    fn remove(&mut self, id: u32) {
        let Some(place) = self.places.remove(&id) else { return };
        let last = self.ids.len() - 1;
        self.ids.swap_remove(place);
        if let Some(moved) = self.ids.get(place) {
            self.places.insert(*moved, place);
        }
        self.data.copy_within(last * self.dim.., place * self.dim);
        self.data.truncate(last * self.dim);
    }

    /// Removes all but these.
    fn keep(&mut self, ids: &FxHashSet<u32>) {
        let gone: Vec<u32> = self.ids.iter().copied().filter(|id| !ids.contains(id)).collect();
        gone.into_iter().for_each(|id| self.remove(id));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Set(u32, Vec<f32>),
        Remove(u32),
        Copy,
        Replace,
        GiveUp,
        Search(Vec<f32>, usize, u32),
    }

    fn change() -> impl Strategy<Value = Change> {
        let vector = || prop::collection::vec(prop_oneof![(-2i8..3).prop_map(f32::from), -2.0f32..2.0], 3);
        prop_oneof![
            6 => (0u32..40, vector()).prop_map(|(id, vector)| Change::Set(id, vector)),
            3 => (0u32..40).prop_map(Change::Remove),
            1 => Just(Change::Copy),
            1 => Just(Change::Replace),
            1 => Just(Change::GiveUp),
            4 => (vector(), 1usize..12, 1u32..4).prop_map(|(query, k, every)| Change::Search(query, k, every)),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_the_living_are_found_and_no_others(
            changes in prop::collection::vec(change(), 1..120),
            metric in prop_oneof![Just(Metric::Dot), Just(Metric::Cosine), Just(Metric::L2)],
        ) {
            let mut segments = Segments::new(metric, 3).unwrap();
            let mut truth: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
            let mut copied = None;
            for change in changes {
                match change {
                    Change::Set(id, vector) => {
                        segments.set(id, &vector).unwrap();
                        truth.insert(id, vector);
                    }
                    Change::Remove(id) => {
                        segments.remove(id);
                        truth.remove(&id);
                    }
                    Change::Copy => copied = Some(segments.copy()),
                    Change::Replace => {
                        if let Some(copied) = copied.take() {
                            segments.replace(copied.freeze(&exactly(), &Silent).unwrap());
                        }
                    }
                    Change::GiveUp => {
                        copied = None;
                        segments.give_up();
                    }
                    Change::Search(query, k, every) => {
                        let scorer = space::Scorer::new(metric, &query);
                        let allowed = truth.iter().filter(|(id, _)| id.is_multiple_of(every));
                        let mut expected: Vec<(u32, f32)> =
                            allowed.map(|(id, vector)| (*id, scorer.score(vector, None))).collect();
                        expected.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
                        expected.truncate(k);
                        let allow = |id: u32| id.is_multiple_of(every);
                        let matches: RoaringBitmap = (0..40).filter(|id| allow(*id)).collect();
                        for ask in [Ask::best(k).allow(&allow), Ask::best(k).within(Some(&matches))] {
                            let found = segments.search(&query, ask);
                            let found: Vec<_> = found.iter().map(|hit| (hit.row, hit.score)).collect();
                            prop_assert_eq!(found, expected.clone());
                        }
                    }
                }
                prop_assert_eq!(segments.len(), truth.len());
            }
        }
    }

    #[test]
    fn a_vector_that_no_index_takes_changes_nothing() {
        let mut segments = Segments::new(Metric::Dot, 2).unwrap();
        segments.set(7, &[1.0, 2.0]).unwrap();
        assert!(segments.set(7, &[f32::NAN, 0.0]).is_err() && segments.set(7, &[1.0]).is_err());
        assert_eq!(segments.search(&[1.0, 0.0], Ask::best(5)), [Hit { row: 7, score: 1.0 }]);
    }
}
