//! Memory for bodies, shared by those who send them. One party holds at most so many times what is left free: it may take most of
//! all while it is alone, and whatever it sends there is something left for the next (dynamic thresholds, Choudhury and Hahne 1998).

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// A party holds at most so many times what is left free: three quarters alone, three sevenths each beside another.
const TIMES_FREE: usize = 3;

/// So much memory, and who holds how much of it.
#[derive(Debug)]
pub struct Budget {
    kib: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    kib: usize,
    by: FxHashMap<Arc<str>, usize>,
}

/// What a body holds; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    who: Arc<str>,
    kib: usize,
}

impl Budget {
    /// Of which nobody holds anything.
    pub fn new(kib: usize) -> Arc<Self> {
        Arc::new(Self { kib, held: Mutex::default() })
    }

    /// An empty share for a party.
    pub fn share(self: &Arc<Self>, who: &Arc<str>) -> Share {
        Share { budget: Arc::clone(self), who: Arc::clone(who), kib: 0 }
    }
}

impl Share {
    /// How much it is.
    pub fn kib(&self) -> usize {
        self.kib
    }

    /// Takes so much more; `false` if its party may not have it.
    pub fn grow(&mut self, kib: usize) -> bool {
        let mut held = self.budget.held.lock();
        let of_party = held.by.get(&self.who).copied().unwrap_or_default() + kib;
        let free = self.budget.kib.saturating_sub(held.kib + kib);
        if of_party > TIMES_FREE * free {
            return false;
        }
        held.kib += kib;
        held.by.insert(Arc::clone(&self.who), of_party);
        self.kib += kib;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.budget.held.lock();
        held.kib -= self.kib;
        if let Some(of_party) = held.by.get_mut(&self.who) {
            *of_party -= self.kib;
            if *of_party == 0 {
                held.by.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as much as there is for a party; tells how much.
    fn fill(budget: &Arc<Budget>, who: &str) -> (Share, usize) {
        let mut share = budget.share(&Arc::from(who));
        while share.grow(1) {}
        let kib = share.kib();
        (share, kib)
    }

    #[test]
    fn one_party_never_takes_all_and_several_take_like_parts() {
        let budget = Budget::new(1600);
        let (a, kib) = fill(&budget, "a");
        assert_eq!(kib, 1200);
        let (b, kib) = fill(&budget, "b");
        assert_eq!(kib, 300);
        assert_eq!(fill(&budget, "c").1, 75);
        // Beside another it gets less than alone.
        drop(a);
        let (_a, kib) = fill(&budget, "a");
        assert_eq!(kib, 975);
        assert!(!budget.share(&"a".into()).grow(1), "a party is one, however many bodies it sends");
        drop(b);
        assert_eq!(fill(&budget, "b").1, 468);
    }

    #[test]
    fn what_is_given_back_is_as_if_it_had_never_been_taken() {
        let budget = Budget::new(1600);
        let shares: Vec<Share> = ["a", "b", "c"].iter().map(|who| fill(&budget, who).0).collect();
        assert!(!shares.iter().any(|share| share.kib() == 0));
        drop(shares);
        let held = budget.held.lock();
        assert!(held.kib == 0 && held.by.is_empty(), "{held:?}");
    }
}
