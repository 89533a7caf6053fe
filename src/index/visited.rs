//! What a walk works with, so that no search allocates it anew; and which places it has been to: a bit for each, few enough
//! to stay in the processor's nearest cache, of which a new walk clears those words that the last one wrote to.

use super::frontier::Frontier;
use super::pool;

/// Walkers that no search uses now.
pub(super) type Pool = pool::Pool<Walker>;

/// The belongings of one walk.
#[derive(Default)]
pub(super) struct Walker {
    pub visited: Visited,
    pub frontier: Frontier,
    /// Places that are to be scored next, their products and their scores.
    pub fresh: Vec<u32>,
    pub products: Vec<i32>,
    pub scores: Vec<f32>,
}

/// One bit a place.
#[derive(Default)]
pub(super) struct Visited {
    words: Vec<u64>,
    /// The words that are not zero.
    written: Vec<u32>,
}

/// Where more than one word in so many was written to, all are cleared: that is a stream, the others are misses.
const MANY: usize = 8;

impl Visited {
    /// Begins a walk over `places` places, none of them visited.
    pub fn next_walk(&mut self, places: usize) {
        let words = places.div_ceil(64);
        if self.words.len() != words {
            self.words.clear();
            self.words.resize(words, 0);
        } else if self.written.len() > words / MANY {
            self.words.fill(0);
        } else {
            self.written.iter().for_each(|at| self.words[*at as usize] = 0);
        }
        self.written.clear();
    }

    /// Marks a place; whether that is news.
    #[inline]
    pub fn enter(&mut self, place: u32) -> bool {
        let (at, bit) = (place / 64, 1 << (place % 64));
        let word = &mut self.words[at as usize];
        let fresh = *word & bit == 0;
        if *word == 0 {
            self.written.push(at);
        }
        *word |= bit;
        fresh
    }

    /// Whether a place was entered.
    #[inline]
    pub fn contains(&self, place: u32) -> bool {
        self.words[(place / 64) as usize] & (1 << (place % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_walk_sees_nothing_of_the_walks_before_it(
            walks in prop::collection::vec((500u32..700, prop::collection::vec(0u32..500, 0..60)), 1..9),
        ) {
            let mut visited = Visited::default();
            for (places, entered) in walks {
                // Lengths repeat, so that words are used again.
                visited.next_walk((places / 100 * 100) as usize);
                let mut due = BTreeSet::new();
                for place in entered {
                    prop_assert_eq!(visited.contains(place), due.contains(&place));
                    prop_assert_eq!(visited.enter(place), due.insert(place));
                    prop_assert!(visited.contains(place));
                }
                prop_assert_eq!((0..500).filter(|place| visited.contains(*place)).count(), due.len());
            }
        }
    }
}
