//! What a walk works with, so that no search allocates it anew; and which places it has been to, without clearing a bit
//! between walks: each walk has a number, and a place is visited when it bears it.

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

/// Two bytes a place.
#[derive(Default)]
pub(super) struct Visited {
    walk: u16,
    stamps: Vec<u16>,
}

impl Visited {
    /// Begins a walk over `places` places, none of them visited.
    pub fn next_walk(&mut self, places: usize) {
        match self.walk.checked_add(1) {
            Some(walk) if self.stamps.len() == places => self.walk = walk,
            _ => {
                self.stamps.clear();
                self.stamps.resize(places, 0);
                self.walk = 1;
            }
        }
    }

    /// Marks a place; whether that is news.
    #[inline]
    pub fn enter(&mut self, place: u32) -> bool {
        let stamp = &mut self.stamps[place as usize];
        let fresh = *stamp != self.walk;
        *stamp = self.walk;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_sees_nothing_of_the_walks_before_it() {
        let mut visited = Visited::default();
        for walk in 0..=u32::from(u16::MAX) + 2 {
            visited.next_walk(2);
            assert!(visited.enter(1), "walk {walk}");
            assert!(!visited.enter(1), "walk {walk}");
            assert_eq!(visited.stamps[0], 0, "walk {walk}");
        }
        visited.next_walk(5);
        assert!(visited.enter(4));
    }
}
