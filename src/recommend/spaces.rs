//! Vectors that the user brought, by space: read at the first question, kept current by every write after that, frozen into
//! an index that searches them.

use std::sync::Arc;
use std::time::Instant;

use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::Context;
use super::allowed::Allowed;
use crate::config::Metric;
use crate::error::{Error, Result};
use crate::index::{Ask, Copied, Extent, Frozen, Segments};
use crate::record::{Answer, Item, ItemId, Source, VectorQuery};

/// The spaces that have been asked for.
#[derive(Default)]
pub struct Spaces {
    loaded: FxHashMap<String, Segments>,
    /// Those that are being read: they follow changes, but are not searched yet.
    awaited: FxHashMap<String, Segments>,
}

impl Spaces {
    /// A space that is in memory.
    pub fn get(&self, space: &str) -> Option<&Segments> {
        self.loaded.get(space)
    }

    /// From now on changes of this space are followed: what is read afterwards, and these, is all there is.
    pub fn await_space(&mut self, space: &str, metric: Metric, dimension: usize) -> Result<()> {
        let mut segments = Segments::new(metric, dimension)?;
        segments.expect();
        self.awaited.insert(space.to_owned(), segments);
        Ok(())
    }

    /// Whether an awaited space takes such a vector.
    pub fn takes(&self, space: &str, vector: &[f32]) -> bool {
        self.awaited.get(space).is_some_and(|segments| segments.takes(vector))
    }

    /// An awaited space has been read, or a loaded one frozen anew. What that replaces comes back, to be dropped where
    /// nobody waits.
    pub fn replace(&mut self, space: &str, frozen: Frozen) -> Vec<Arc<Frozen>> {
        if let Some(awaited) = self.awaited.remove(space) {
            self.loaded.insert(space.to_owned(), awaited);
        }
        self.loaded.get_mut(space).map(|segments| segments.replace(frozen)).unwrap_or_default()
    }

    /// An awaited space could not be read, or a loaded one not be frozen.
    pub fn give_up(&mut self, space: &str, extent: Extent) {
        self.awaited.remove(space);
        if let Some(segments) = self.loaded.get_mut(space) {
            segments.give_up(extent);
        }
    }

    /// Whether enough of some space has changed for it to be frozen anew.
    pub fn are_due(&self) -> bool {
        self.loaded.values().any(|segments| segments.due().is_some())
    }

    /// A copy of what has to be frozen anew of each space.
    pub fn copy_due(&mut self) -> Vec<(String, Copied)> {
        let copy = |(name, segments): (&String, &mut Segments)| Some((name.clone(), segments.copy(segments.due()?)));
        self.loaded.iter_mut().filter_map(copy).collect()
    }

    /// A copy of all of a space of which nobody is making a new base.
    pub fn copy(&mut self, space: &str) -> Option<Copied> {
        let segments = self.loaded.get_mut(space).filter(|segments| !segments.is_freezing());
        segments.map(|segments| segments.copy(Extent::Whole))
    }

    /// Follows a change of an item.
    pub fn set(&mut self, id: ItemId, item: &Item) {
        for (name, segments) in self.loaded.iter_mut().chain(&mut self.awaited) {
            match item.vectors.get(name).map(|vector| segments.set(id.get(), vector)) {
                Some(Ok(())) => {}
                // What cannot be compared is not found.
                Some(Err(_)) | None => segments.remove(id.get()),
            }
        }
    }

    /// Follows the deletion of an item.
    pub fn remove(&mut self, id: ItemId) {
        self.loaded.values_mut().chain(self.awaited.values_mut()).for_each(|segments| segments.remove(id.get()));
    }
}

/// The nearest items to a raw vector. Errors: [`Error::NotFound`] for a space that is not loaded, [`Error::Invalid`] for a
/// vector of another length or a zero vector where angles are compared.
pub fn search_vectors(context: &Context<'_>, spaces: &Spaces, query: &VectorQuery) -> Result<Answer> {
    query.validate()?;
    let segments = spaces.get(&query.space).ok_or_else(|| Error::not_found("space", &query.space))?;
    if query.vector.len() != segments.dim() {
        let reason = format!("has {} numbers, space \"{}\" has {}", query.vector.len(), query.space, segments.dim());
        return Err(Error::invalid("vector", reason));
    }
    segments.index().check(&query.vector)?;
    if segments.metric() == Metric::Cosine && query.vector.iter().all(|value| *value == 0.0) {
        return Err(Error::invalid("vector", "is all zeros and has no direction"));
    }
    let allowed = Allowed::new(context, query.filter.as_ref(), None)?;
    let allow = |id: u32| allowed.allows_item(ItemId::new(id));
    let (matches, begun) = (allowed.matching_items(), Instant::now());
    let (hits, searched) = segments.traced(&query.vector, Ask::best(query.limit).allow(&allow).within(matches));
    let us = begun.elapsed().as_secs_f64() * 1e6;
    let entry = |id: u32, score: f32| context.entry(ItemId::new(id), f64::from(score), Source::Vector);
    let answer = context.answer(hits.into_iter().filter_map(|hit| entry(hit.row, hit.score)).collect(), None);
    let trace = || searched.trace(segments.index().plan(), segments.len(), matches.map(RoaringBitmap::len), us);
    Ok(Answer { search: query.explain.then(trace), ..answer })
}
