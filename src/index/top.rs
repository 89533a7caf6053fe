//! The best k of what a search comes across, in the one order that every answer has: larger scores first, equal scores
//! by row. Leaves scoring to its callers; a score that is not a number never enters.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// One answer of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The row of the vector, as given to the build.
    pub row: u32,
    /// Its score under the index's metric; larger is nearer.
    pub score: f32,
}

/// A hit with the order of answers: the greater is the better one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked(pub Hit);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.score.total_cmp(&other.0.score).then(other.0.row.cmp(&self.0.row))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

/// The best `k` hits until now.
pub struct Top {
    k: usize,
    heap: BinaryHeap<Reverse<Ranked>>,
}

impl Top {
    /// Keeps up to `k` hits; `expected` bounds what is allocated at once, as `k` may be anything.
    pub fn new(k: usize, expected: usize) -> Self {
        Self { k, heap: BinaryHeap::with_capacity(k.min(expected) + 1) }
    }

    /// The last of the best, once there are `k`: what a further hit must beat.
    pub fn worst(&self) -> Option<Hit> {
        if self.heap.len() < self.k { None } else { self.heap.peek().map(|Reverse(worst)| worst.0) }
    }

    /// The score that a further hit must reach, once there are `k`.
    pub fn threshold(&self) -> Option<f32> {
        self.worst().map(|worst| worst.score)
    }

    /// Whether `hit` belongs to the best `k` of those offered so far.
    pub fn accepts(&self, hit: Hit) -> bool {
        if hit.score.is_nan() || self.k == 0 {
            return false;
        }
        match self.heap.peek() {
            Some(Reverse(worst)) if self.heap.len() >= self.k => Ranked(hit) > *worst,
            _ => true,
        }
    }

    /// Takes a hit that [`accepts`](Self::accepts) let through.
    pub fn push(&mut self, hit: Hit) {
        self.heap.push(Reverse(Ranked(hit)));
        if self.heap.len() > self.k {
            self.heap.pop();
        }
    }

    /// Takes a hit if it is among the best; only then is it asked whether its row is allowed.
    pub fn offer(&mut self, hit: Hit, allows: impl FnOnce(u32) -> bool) {
        if self.accepts(hit) && allows(hit.row) {
            self.push(hit);
        }
    }

    /// The hits, best first.
    pub fn into_hits(self) -> Vec<Hit> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_stand_in_the_order_of_rows() {
        let mut top = Top::new(3, 8);
        for row in [5, 1, 4, 0, 2, 3] {
            top.offer(Hit { row, score: 1.0 }, |row| row > 0);
        }
        assert_eq!(top.into_hits().iter().map(|hit| hit.row).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn a_score_that_is_not_a_number_never_enters() {
        let top = Top::new(3, 8);
        assert!(!top.accepts(Hit { row: 0, score: f32::NAN }));
        assert!(top.accepts(Hit { row: 0, score: f32::NEG_INFINITY }));
    }
}
