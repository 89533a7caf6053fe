//! Vectors that are not frozen yet.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::index::space::euclidean;

/// Vectors by id, `[n, dim]`, in no order.
pub struct Waiting {
    dim: usize,
    ids: Vec<u32>,
    places: FxHashMap<u32, usize>,
    data: Vec<f32>,
    /// `[n]`: Euclidean norms.
    norms: Vec<f32>,
}

impl Waiting {
    /// None.
    pub fn new(dim: usize) -> Self {
        Self { dim, ids: Vec::new(), places: FxHashMap::default(), data: Vec::new(), norms: Vec::new() }
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        (4 * self.data.len() + 28 * self.ids.len()) as u64
    }

    /// All of them, with their ids.
    pub fn each(&self) -> impl Iterator<Item = (u32, &[f32])> {
        self.ids.iter().copied().zip(self.data.chunks_exact(self.dim.max(1)))
    }

    /// Their Euclidean norms, in the same order.
    pub fn norms(&self) -> &[f32] {
        &self.norms
    }

    /// Inserts or replaces a vector of the right length.
    pub fn set(&mut self, id: u32, vector: &[f32]) {
        let norm = euclidean(vector) as f32;
        let place = *self.places.entry(id).or_insert(self.ids.len());
        if place == self.ids.len() {
            self.ids.push(id);
            self.data.extend_from_slice(vector);
            self.norms.push(norm);
        } else {
            self.norms[place] = norm;
            self.data[place * self.dim..(place + 1) * self.dim].copy_from_slice(vector);
        }
    }

    /// Removes by moving the last vector into the gap.
    pub fn remove(&mut self, id: u32) {
        let Some(place) = self.places.remove(&id) else { return };
        let last = self.ids.len() - 1;
        self.ids.swap_remove(place);
        self.norms.swap_remove(place);
        if let Some(moved) = self.ids.get(place) {
            self.places.insert(*moved, place);
        }
        self.data.copy_within(last * self.dim.., place * self.dim);
        self.data.truncate(last * self.dim);
    }

    /// Removes all but these.
    pub fn keep(&mut self, ids: &FxHashSet<u32>) {
        let gone: Vec<u32> = self.ids.iter().copied().filter(|id| !ids.contains(id)).collect();
        gone.into_iter().for_each(|id| self.remove(id));
    }
}
