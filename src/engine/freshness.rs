//! Which users have events that a snapshot has not seen: for them the factor is folded in at query time.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use super::{read, write};
use crate::record::UserId;

/// What a snapshot has seen of the writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// All that was written before this tick of [`Freshness`].
    Until(u64),
    /// Unknown: it was made elsewhere, or events older than its newest were written since. All users are folded in.
    Nothing,
}

/// A logical clock of event writes, and the tick of each user's last one since the engine was opened.
#[derive(Default)]
pub struct Freshness {
    clock: AtomicU64,
    changed: RwLock<FxHashMap<u32, u64>>,
}

impl Freshness {
    /// To be read before a training takes its view: every write marked later than this may be unknown to it.
    pub fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Marks users whose events have just been stored.
    pub fn mark(&self, users: impl IntoIterator<Item = UserId>) {
        // Under the lock: a later tick is never overwritten by an earlier one.
        let mut changed = write(&self.changed);
        let tick = self.clock.fetch_add(1, Ordering::SeqCst) + 1;
        changed.extend(users.into_iter().map(|user| (user.get(), tick)));
    }

    /// Whether a snapshot that has seen so much lacks events of this user.
    pub fn is_stale(&self, user: UserId, seen: Seen) -> bool {
        match seen {
            Seen::Nothing => true,
            Seen::Until(tick) => read(&self.changed).get(&user.get()).is_some_and(|changed| *changed > tick),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_users_marked_after_the_view_are_stale() {
        let freshness = Freshness::default();
        freshness.mark([UserId::new(1)]);
        let seen = Seen::Until(freshness.now());
        freshness.mark([UserId::new(2)]);
        assert!(!freshness.is_stale(UserId::new(1), seen));
        assert!(freshness.is_stale(UserId::new(2), seen));
        assert!(freshness.is_stale(UserId::new(3), Seen::Nothing));
    }
}
