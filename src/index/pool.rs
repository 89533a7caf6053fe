//! What searches use again, so that none allocates it anew. A few of a kind wait in a pool, one for each search under way.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Those that no search uses now.
pub(super) struct Pool<T>(Mutex<Vec<T>>);

/// As many are kept; more searches at a time allocate their own.
const KEPT: usize = 32;

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Pool<T> {
    /// One that was given back; `None` if all are in use.
    pub fn take(&self) -> Option<T> {
        self.lock().pop()
    }

    /// Gives one back.
    pub fn give(&self, one: T) {
        let mut kept = self.lock();
        if kept.len() < KEPT {
            kept.push(one);
        }
    }

    /// Lends one for the time of `work`.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R
    where
        T: Default,
    {
        let mut one = self.take().unwrap_or_default();
        let answer = work(&mut one);
        self.give(one);
        answer
    }

    /// The list is whole at every moment, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
