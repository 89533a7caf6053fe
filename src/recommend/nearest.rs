//! The best few of many candidates: a bounded heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The `limit` largest scores; equal ones by the smaller id.
pub struct Nearest {
    limit: usize,
    heap: BinaryHeap<Reverse<(Score, Reverse<u32>)>>,
}

impl Nearest {
    /// Keeps this many.
    pub fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::with_capacity(limit + 1) }
    }

    /// Takes a candidate in if it is among the best; only then is it asked whether it is allowed.
    pub fn offer(&mut self, id: u32, score: f32, allowed: impl FnOnce(u32) -> bool) {
        let entry = Reverse((Score(score), Reverse(id)));
        let is_full = self.heap.len() >= self.limit;
        if (is_full && self.heap.peek().is_some_and(|worst| *worst <= entry)) || !allowed(id) {
            return;
        }
        if is_full {
            self.heap.pop();
        }
        self.heap.push(entry);
    }

    /// The ids and scores, the best first.
    pub fn finish(self) -> Vec<(u32, f32)> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse((Score(score), Reverse(id)))| (id, score)).collect()
    }
}

#[derive(PartialEq)]
struct Score(f32);

impl Eq for Score {}
impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_the_largest_with_ties_by_id() {
        let mut best = Nearest::new(3);
        for (id, score) in [(5, 0.5), (1, 0.9), (4, 0.5), (2, 0.1), (3, 0.5), (6, 1.0)] {
            best.offer(id, score, |id| id != 6);
        }
        assert_eq!(best.finish(), [(1, 0.9), (3, 0.5), (4, 0.5)]);
    }
}
