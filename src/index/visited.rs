//! Which rows a walk has been to, without clearing a bit between walks: each walk has a number, and a row is visited when it
//! bears it. A few of these arrays wait in a pool, one for each search under way.

use std::sync::{Mutex, PoisonError};

/// Two bytes a row.
#[derive(Default)]
pub(super) struct Visited {
    walk: u16,
    stamps: Vec<u16>,
}

impl Visited {
    /// Begins a walk over `rows` rows, none of them visited.
    pub fn next_walk(&mut self, rows: usize) {
        match self.walk.checked_add(1) {
            Some(walk) if self.stamps.len() == rows => self.walk = walk,
            _ => {
                self.stamps.clear();
                self.stamps.resize(rows, 0);
                self.walk = 1;
            }
        }
    }

    /// Marks a row; whether that is news.
    #[inline]
    pub fn enter(&mut self, row: u32) -> bool {
        let stamp = &mut self.stamps[row as usize];
        let fresh = *stamp != self.walk;
        *stamp = self.walk;
        fresh
    }
}

/// Arrays that no walk uses now.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Visited>>);

/// As many arrays are kept; searches beyond that allocate their own.
const KEPT: usize = 64;

impl Pool {
    /// Lends an array for the time of `walk`.
    pub fn with<T>(&self, walk: impl FnOnce(&mut Visited) -> T) -> T {
        let mut visited = self.lock().pop().unwrap_or_default();
        let answer = walk(&mut visited);
        let mut kept = self.lock();
        if kept.len() < KEPT {
            kept.push(visited);
        }
        answer
    }

    /// The list is whole at every moment, so a panic elsewhere does not spoil it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Visited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
