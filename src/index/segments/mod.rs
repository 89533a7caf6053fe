//! Vectors that change while they are searched. Most are frozen in one index, the base; what came or changed since is in a
//! few smaller ones that are scanned, and the last of it waits beside them, not frozen at all. A vector lives in one place;
//! where it was before, it is dead and never found. One that was set is found by the next search, one that was removed by
//! none.
//!
//! Two things are done meanwhile, each on a copy while searches and changes go on: what waits is frozen as it becomes long
//! to scan, together with smaller indexes than that of its kind (the logarithmic method of Bentley & Saxe 1980), and now and
//! then everything becomes a new base. The second may take as long as a graph takes to grow: what waits stays short all
//! the same. A copy names the indexes that it is made of; vectors are gathered where nobody waits for it.

mod copied;
mod waiting;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use roaring::RoaringBitmap;
use rustc_hash::FxHashSet;

use super::ask::Ask;
use super::plan::IndexKind;
use super::space;
use super::top::{Hit, Top};
use super::{IndexPlan, Metric, Searched, VectorIndex};
use crate::config::{IndexChoice, IndexConfig};
use crate::error::Result;
use crate::progress::Silent;
pub use copied::{Copied, Extent, Frozen};
use waiting::Waiting;

/// So many changes wait before any are frozen.
const FEWEST: usize = 1_024;
/// A smaller index is frozen anew together with what waits, if it has up to so many times as many vectors.
const TOGETHER: usize = 4;
/// One in so many of the base has changed before all is frozen anew; a graph takes longer and is worth more.
const SHARE: usize = 8;
const SHARE_OF_GRAPH: usize = 4;
/// A filter that fewer than one in so many match has few matches.
const FEW_MATCHES: usize = 8;

/// Vectors of one length under one metric, by the number that a caller knows them by.
pub struct Segments {
    base: Layer,
    /// What changed since the base was copied and is frozen: smaller, and smaller ones behind.
    recent: Vec<Layer>,
    waiting: Waiting,
    /// What changed since the copy of everything was taken, until it is the base.
    whole: Option<FxHashSet<u32>>,
    /// The same for the copy of what waited.
    part: Option<Part>,
}

/// A frozen index, and its rows that are no longer what they were.
struct Layer {
    frozen: Arc<Frozen>,
    dead: RoaringBitmap,
}

/// What is being frozen beside the base.
struct Part {
    changed: FxHashSet<u32>,
    /// The indexes that it will stand for.
    sources: Vec<Arc<Frozen>>,
}

/// How vectors are kept at the moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// How the base answers.
    pub plan: IndexPlan,
    /// Vectors that live in the base.
    pub base: u64,
    /// Vectors in smaller indexes, and how many these are.
    pub recent: u64,
    /// See `recent`.
    pub layers: u64,
    /// Vectors that are not frozen yet.
    pub waiting: u64,
    /// Rows that were replaced or removed and are still passed over.
    pub dead: u64,
    /// Bytes of all of it.
    pub bytes: u64,
    /// Whether a new base is in the making.
    pub is_freezing: bool,
}

impl Segments {
    /// No vectors yet.
    pub fn new(metric: Metric, dim: usize) -> Result<Self> {
        let base = Copied::new(metric, dim).freeze(&exactly(), &Silent)?;
        let base = Layer { frozen: Arc::new(base), dead: RoaringBitmap::new() };
        Ok(Self { base, recent: Vec::new(), waiting: Waiting::new(dim), whole: None, part: None })
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        self.waiting.dim()
    }

    /// How vectors are compared.
    pub fn metric(&self) -> Metric {
        self.base.frozen.index.metric()
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.layers().map(Layer::len).sum::<usize>() + self.waiting.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index that most of them are frozen in.
    pub fn index(&self) -> &VectorIndex {
        &self.base.frozen.index
    }

    /// How they are kept.
    pub fn layout(&self) -> Layout {
        let bytes: u64 = self.layers().map(|layer| layer.frozen.bytes()).sum();
        Layout {
            plan: self.index().plan().clone(),
            base: self.base.len() as u64,
            recent: self.recent.iter().map(|layer| layer.len() as u64).sum(),
            layers: self.recent.len() as u64,
            waiting: self.waiting.len() as u64,
            dead: self.layers().map(|layer| layer.dead.len()).sum(),
            bytes: bytes + self.waiting.bytes(),
            is_freezing: self.is_freezing(),
        }
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.base).chain(&self.recent)
    }

    /// Whether a vector can be set: it has the length of the others, and no value that no index takes.
    pub fn takes(&self, vector: &[f32]) -> bool {
        self.index().check(vector).is_ok()
    }

    /// Inserts or replaces a vector. Errors: [`crate::Error::Invalid`] for one of another length or with a value that no
    /// index takes; nothing has changed then.
    pub fn set(&mut self, id: u32, vector: &[f32]) -> Result<()> {
        self.index().check(vector)?;
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
        for layer in std::iter::once(&mut self.base).chain(&mut self.recent) {
            if let Some(row) = layer.frozen.row(id) {
                layer.dead.insert(row);
            }
        }
        let part = self.part.as_mut().map(|part| &mut part.changed);
        for changed in self.whole.as_mut().into_iter().chain(part) {
            changed.insert(id);
        }
    }

    /// The nearest that `ask` wants, by id instead of row, best first, equal scores by id. A query that
    /// [`VectorIndex::check`] refuses finds nothing; scores from elsewhere are not added.
    pub fn search(&self, query: &[f32], ask: Ask<'_>) -> Vec<Hit> {
        self.traced(query, ask).0
    }

    /// The same, and how it came about.
    pub fn traced(&self, query: &[f32], ask: Ask<'_>) -> (Vec<Hit>, Searched) {
        if ask.k == 0 || self.index().check(query).is_err() {
            return (Vec::new(), Searched::nothing());
        }
        let mut top = Top::new(ask.k, self.len());
        // Ids rise with rows, so equal scores keep their order.
        let (hits, mut searched) = self.base.search(query, ask);
        hits.into_iter().for_each(|hit| top.offer(hit, |_| true));
        // What the base has found, smaller ones must beat: of most they see that at once.
        for layer in &self.recent {
            let (hits, beside) = layer.search(query, ask.reaching(top.threshold()));
            hits.into_iter().for_each(|hit| top.offer(hit, |_| true));
            searched = searched.and(beside);
        }
        (searched.layers, searched.waiting) = (self.recent.len(), self.waiting.len());
        let scorer = space::Scorer::new(self.metric(), query);
        let mut least = top.threshold().unwrap_or(f32::NEG_INFINITY);
        for ((id, vector), norm) in self.waiting.each().zip(self.waiting.norms()) {
            if scorer.score_bound(*norm) < least {
                continue;
            }
            let score = scorer.score(vector, *norm);
            if score >= least {
                top.offer(Hit { row: id, score }, |id| ask.allows(id));
                least = top.threshold().unwrap_or(least);
            }
        }
        (top.into_hits(), searched)
    }

    /// What should be frozen anew, if anything, and nobody is at it.
    pub fn due(&self) -> Option<Extent> {
        let base = self.base.frozen.len();
        let share = if self.index().plan().kind == IndexKind::Hnsw { SHARE_OF_GRAPH } else { SHARE };
        let changes = self.len() - self.base.len() + self.base.dead.len() as usize;
        if self.whole.is_none() && changes > FEWEST.max(base / share) {
            return Some(Extent::Whole);
        }
        // What was there when the whole was copied will be in the base.
        let fresh = self.whole.as_ref().map_or(usize::MAX, FxHashSet::len).min(self.waiting.len());
        (self.part.is_none() && fresh > FEWEST).then_some(Extent::Recent)
    }

    /// Whether a new base is in the making.
    pub fn is_freezing(&self) -> bool {
        self.whole.is_some()
    }

    /// Takes a copy to be frozen elsewhere and brought back by [`replace`](Self::replace). From now on changes are
    /// remembered. Costs what waits and a few bitmaps.
    pub fn copy(&mut self, extent: Extent) -> Copied {
        let mut copied = Copied::new(self.metric(), self.dim());
        copied.extent = extent;
        let layers = match extent {
            Extent::Whole => {
                self.whole = Some(FxHashSet::default());
                self.layers().map(Layer::share).collect()
            }
            Extent::Recent => {
                let mut rows = self.waiting.len();
                let small = self.recent.iter().rev().take_while(|layer| {
                    let is_small = layer.len() <= TOGETHER * rows;
                    rows += layer.len();
                    is_small
                });
                let layers: Vec<_> = small.map(Layer::share).collect();
                let sources = layers.iter().map(|(frozen, _)| Arc::clone(frozen)).collect();
                self.part = Some(Part { changed: FxHashSet::default(), sources });
                layers
            }
        };
        copied.layers = layers;
        self.waiting.each().for_each(|(id, vector)| copied.push(id, vector));
        copied
    }

    /// Remembers changes from now on, for vectors that are read from elsewhere and brought by [`replace`](Self::replace).
    pub fn expect(&mut self) {
        self.whole = Some(FxHashSet::default());
    }

    /// Takes in what was frozen from a copy, unless that was given up. Changes since then stay as they are. What it replaces
    /// comes back, to be dropped where nobody waits.
    pub fn replace(&mut self, frozen: Frozen) -> Vec<Arc<Frozen>> {
        match frozen.extent {
            Extent::Whole => self.replace_base(frozen),
            Extent::Recent => self.replace_recent(frozen),
        }
    }

    fn replace_base(&mut self, frozen: Frozen) -> Vec<Arc<Frozen>> {
        let Some(changed) = self.whole.take() else { return vec![Arc::new(frozen)] };
        let dead = changed.iter().filter_map(|id| frozen.row(*id)).collect();
        let mut old = vec![std::mem::replace(&mut self.base, Layer { frozen: Arc::new(frozen), dead }).frozen];
        // What has not changed since the copy is in the base now.
        for layer in &mut self.recent {
            let rows = layer.frozen.ids.iter().zip(0..).filter(|(id, _)| !changed.contains(id));
            layer.dead.extend(rows.map(|(_, row)| row));
        }
        old.extend(self.recent.extract_if(.., |layer| layer.len() == 0).map(|layer| layer.frozen));
        self.waiting.keep(&changed);
        old
    }

    fn replace_recent(&mut self, frozen: Frozen) -> Vec<Arc<Frozen>> {
        let Some(Part { changed, sources }) = self.part.take() else { return vec![Arc::new(frozen)] };
        // A base that came meanwhile has some of it.
        let is_dead = |id: &u32| changed.contains(id) || self.base.holds(*id);
        let dead = frozen.ids.iter().zip(0..).filter(|(id, _)| is_dead(id)).map(|(_, row)| row).collect();
        self.recent.retain(|layer| !sources.iter().any(|source| Arc::ptr_eq(source, &layer.frozen)));
        self.waiting.keep(&changed);
        let layer = Layer { frozen: Arc::new(frozen), dead };
        if layer.len() > 0 {
            self.recent.push(layer);
            self.recent.sort_by_key(|layer| std::cmp::Reverse(layer.len()));
        }
        sources
    }

    /// Gives up what was to come from the last copy.
    pub fn give_up(&mut self, extent: Extent) {
        match extent {
            Extent::Whole => self.whole = None,
            Extent::Recent => self.part = None,
        }
    }
}

impl Layer {
    /// Vectors that live in it.
    fn len(&self) -> usize {
        self.frozen.len() - self.dead.len() as usize
    }

    fn holds(&self, id: u32) -> bool {
        self.frozen.row(id).is_some_and(|row| !self.dead.contains(row))
    }

    fn share(&self) -> (Arc<Frozen>, RoaringBitmap) {
        (Arc::clone(&self.frozen), self.dead.clone())
    }

    /// The nearest that `ask` wants of those that live here, by id.
    fn search(&self, query: &[f32], ask: Ask<'_>) -> (Vec<Hit>, Searched) {
        let ids = &self.frozen.ids;
        let living = |row: u32| !self.dead.contains(row) && ids.get(row as usize).is_some_and(|id| ask.allows(*id));
        // Many matches are asked about as they are met; of a few the rows are found first.
        let few = ask.within.filter(|matches| matches.len() < (ids.len() / FEW_MATCHES) as u64);
        let rows: Option<RoaringBitmap> =
            few.map(|matches| matches.iter().filter_map(|id| self.frozen.row(id)).collect());
        let all = Ask::best(ask.k).within(rows.as_ref()).reaching(ask.least);
        let ask = if ask.allows_all() && self.dead.is_empty() { all } else { all.allow(&living) };
        let (found, searched) = self.frozen.index.traced(query, ask);
        let by_id = |hit: Hit| Some(Hit { row: *ids.get(hit.row as usize)?, ..hit });
        (found.into_iter().filter_map(by_id).collect(), searched)
    }
}

/// How what changes is frozen: it is soon frozen again.
fn exactly() -> IndexConfig {
    IndexConfig { kind: IndexChoice::Exact, ..IndexConfig::default() }
}
