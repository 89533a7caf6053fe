//! What has been shown to whom, as far as rules ask for it: frequency caps, and no repeats within a window. Kept in memory, the
//! newest million showings at most, in two generations: when the younger is full, the older is forgotten. Lost at a restart.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::recommend::{Shown, ShownItem};
use crate::record::{ItemId, Timestamp};
use crate::store::Store;

/// Showings of a generation; twice as many are kept at most.
const GENERATION: usize = 1 << 19;
/// So many of a user's events are looked at for answers to what was shown.
const ANSWERS: usize = 1_000;

/// Showings by user.
#[derive(Default)]
pub(super) struct Showings(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: FxHashMap<Box<str>, Vec<(ItemId, Timestamp)>>,
    old: FxHashMap<Box<str>, Vec<(ItemId, Timestamp)>>,
    count: usize,
}

impl Showings {
    /// Notes what was shown.
    pub fn note(&self, user: &str, items: impl Iterator<Item = ItemId>, now: Timestamp) {
        let mut generations = self.0.lock();
        let Generations { young, old, count } = &mut *generations;
        let of_user = young.entry(user.into()).or_default();
        let before = of_user.len();
        of_user.extend(items.map(|item| (item, now)));
        *count += of_user.len() - before;
        if *count >= GENERATION {
            *old = std::mem::take(young);
            *count = 0;
        }
    }

    /// What was shown to one user was shown to another; or, without another, is forgotten.
    pub fn hand_over(&self, from: &str, into: Option<&str>) {
        let mut generations = self.0.lock();
        let Generations { young, old, .. } = &mut *generations;
        for generation in [young, old] {
            if let (Some(showings), Some(into)) = (generation.remove(from), into) {
                generation.entry(into.into()).or_default().extend(showings);
            }
        }
    }

    fn of(&self, user: &str, since: Timestamp) -> Vec<(ItemId, Timestamp)> {
        let generations = self.0.lock();
        let both = [&generations.old, &generations.young].into_iter().filter_map(|generation| generation.get(user));
        both.flatten().filter(|(_, time)| *time >= since).copied().collect()
    }
}

/// Showings beside the events that may have answered them.
pub(super) struct Answered<'a> {
    pub showings: &'a Showings,
    pub store: &'a Store,
}

impl Shown for Answered<'_> {
    fn shown(&self, user: &str, since: Timestamp) -> Result<Vec<ShownItem>> {
        let showings = self.showings.of(user, since);
        if showings.is_empty() {
            return Ok(Vec::new());
        }
        let mut last: FxHashMap<ItemId, Timestamp> = FxHashMap::default();
        if let Some(user) = self.store.user_id(user)? {
            self.store.user_history(user, ANSWERS, &mut |event| {
                last.entry(event.item).or_insert(event.time);
            })?;
        }
        let mut shown: FxHashMap<ItemId, u32> = FxHashMap::default();
        for (item, time) in showings {
            let is_answered = last.get(&item).is_some_and(|last| *last >= time);
            *shown.entry(item).or_default() += u32::from(!is_answered);
        }
        Ok(shown.into_iter().map(|(item, unanswered)| ShownItem { item, unanswered }).collect())
    }
}
