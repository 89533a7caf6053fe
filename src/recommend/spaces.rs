//! Vectors that the user brought, by space, in memory and searched exactly. A space is read at its first question and
//! kept current by every write after that.

use rustc_hash::FxHashMap;

use super::Context;
use super::allowed::Allowed;
use super::nearest::Nearest;
use crate::config::Metric;
use crate::error::{Error, Result};
use crate::linalg::dot;
use crate::record::{Answer, Item, ItemId, Source, VectorQuery};
use crate::store::Store;

/// The spaces that have been asked for.
#[derive(Default)]
pub struct Spaces {
    loaded: FxHashMap<String, Space>,
}

impl Spaces {
    /// Whether a space is in memory.
    pub fn has(&self, space: &str) -> bool {
        self.loaded.contains_key(space)
    }

    /// Reads a space from the store. Errors: [`Error::NotFound`] when no item has a vector in it.
    pub fn load(&mut self, store: &Store, name: &str, metric: Metric) -> Result<()> {
        let dimension = store.spaces()?.into_iter().find(|(space, _)| space == name).map(|(_, dimension)| dimension);
        let dimension = dimension.ok_or_else(|| Error::not_found("space", name))?;
        let mut space = Space { metric, dimension, ids: Vec::new(), rows: FxHashMap::default(), data: Vec::new() };
        store.for_each_vector(name, &mut |item, vector| {
            space.set(item, vector);
            Ok(())
        })?;
        self.loaded.insert(name.to_owned(), space);
        Ok(())
    }

    /// Follows a change of an item.
    pub fn set(&mut self, id: ItemId, item: &Item) {
        for (name, space) in &mut self.loaded {
            match item.vectors.get(name) {
                Some(vector) => space.set(id, vector),
                None => space.remove(id),
            }
        }
    }

    /// Follows the deletion of an item.
    pub fn remove(&mut self, id: ItemId) {
        self.loaded.values_mut().for_each(|space| space.remove(id));
    }
}

/// The nearest items to a raw vector: one pass over the space, or over the vectors
/// of the items that pass the filter. Errors: [`Error::NotFound`] for a space that is not
/// loaded, [`Error::Invalid`] for a vector of another length or a zero vector where angles are compared.
pub fn search_vectors(context: &Context<'_>, spaces: &Spaces, query: &VectorQuery) -> Result<Answer> {
    query.validate()?;
    let space = spaces.loaded.get(&query.space).ok_or_else(|| Error::not_found("space", &query.space))?;
    if query.vector.len() != space.dimension {
        let reason = format!("has {} numbers, space \"{}\" has {}", query.vector.len(), query.space, space.dimension);
        return Err(Error::invalid("vector", reason));
    }
    let length = dot(&query.vector, &query.vector).sqrt();
    if space.metric == Metric::Cosine && length == 0.0 {
        return Err(Error::invalid("vector", "is all zeros and has no direction"));
    }
    let allowed = Allowed::new(context, query.filter.as_ref(), None)?;
    let mut best = Nearest::new(query.limit);
    let score = |vector: &[f32]| space.score(&query.vector, length, vector);
    match allowed.items() {
        Some(items) => items.filter_map(|id| Some((id, space.vector(id)?))).for_each(|(id, vector)| {
            best.offer(id.get(), score(vector), |_| true);
        }),
        None => space.ids.iter().zip(space.data.chunks_exact(space.dimension)).for_each(|(id, vector)| {
            best.offer(id.get(), score(vector), |id| allowed.allows(ItemId::new(id)));
        }),
    }
    let items = best
        .finish()
        .into_iter()
        .filter_map(|(id, score)| context.entry(ItemId::new(id), f64::from(score), Source::Vector));
    Ok(context.answer(items.collect(), None))
}

/// The vectors of one space, `[items, dimension]`, in no order.
struct Space {
    metric: Metric,
    dimension: usize,
    ids: Vec<ItemId>,
    rows: FxHashMap<u32, usize>,
    data: Vec<f32>,
}

impl Space {
    /// Inserts or replaces; under the cosine metric the vector is kept at length 1.
    fn set(&mut self, id: ItemId, vector: &[f32]) {
        let row = *self.rows.entry(id.get()).or_insert(self.ids.len());
        if row == self.ids.len() {
            self.ids.push(id);
            self.data.extend_from_slice(vector);
        }
        let length = dot(vector, vector).sqrt();
        let scale = if self.metric == Metric::Cosine && length > 0.0 { 1.0 / length } else { 1.0 };
        let place = self.data.chunks_exact_mut(self.dimension).nth(row).into_iter().flatten();
        place.zip(vector).for_each(|(kept, number)| *kept = number * scale);
    }

    /// Removes by moving the last vector into the gap.
    fn remove(&mut self, id: ItemId) {
        let Some(row) = self.rows.remove(&id.get()) else { return };
        let last = self.ids.len() - 1;
        self.ids.swap_remove(row);
        if let Some(moved) = self.ids.get(row) {
            self.rows.insert(moved.get(), row);
        }
        self.data.copy_within(last * self.dimension.., row * self.dimension);
        self.data.truncate(last * self.dimension);
    }

    fn vector(&self, id: ItemId) -> Option<&[f32]> {
        let start = *self.rows.get(&id.get())? * self.dimension;
        self.data.get(start..start + self.dimension)
    }

    fn score(&self, query: &[f32], length: f32, vector: &[f32]) -> f32 {
        match self.metric {
            Metric::Dot => dot(query, vector),
            Metric::Cosine => dot(query, vector) / length,
            Metric::L2 => -query.iter().zip(vector).map(|(a, b)| (a - b) * (a - b)).sum::<f32>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_vector_leaves_the_others_in_place() {
        let mut space =
            Space { metric: Metric::Dot, dimension: 2, ids: vec![], rows: FxHashMap::default(), data: vec![] };
        for id in 0..4 {
            space.set(ItemId::new(id), &[id as f32, 1.0]);
        }
        space.remove(ItemId::new(1));
        space.remove(ItemId::new(3));
        space.set(ItemId::new(2), &[9.0, 9.0]);
        let mut found: Vec<_> = space.ids.iter().map(|id| id.get()).zip(space.data.chunks(2)).collect();
        found.sort_by_key(|(id, _)| *id);
        assert_eq!(found, [(0, &[0.0, 1.0][..]), (2, &[9.0, 9.0][..])]);
    }
}
