//! At most so many items of a list with the same value of an attribute.

use rustc_hash::FxHashMap;

/// How many of each value there are already.
#[derive(Clone, Debug, Default)]
pub struct Quota {
    most: usize,
    counts: FxHashMap<u32, usize>,
}

impl Quota {
    /// At most `most` items for each value.
    pub fn new(most: usize) -> Self {
        Self { most, counts: FxHashMap::default() }
    }

    /// Whether one more item with these values fits; one without values always does.
    pub fn fits(&self, values: &[u32]) -> bool {
        values.iter().all(|value| self.counts.get(value).is_none_or(|count| *count < self.most))
    }

    /// Counts an item by its values, each once.
    pub fn count(&mut self, values: &[u32]) {
        values.iter().for_each(|value| *self.counts.entry(*value).or_default() += 1);
    }
}
