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
    fn shown(&self, user: &str, since: Timestamp, times: u32) -> Result<Vec<ShownItem>> {
        let mut showings: FxHashMap<ItemId, Vec<Timestamp>> = FxHashMap::default();
        for (item, time) in self.showings.of(user, since) {
            showings.entry(item).or_default().push(time);
        }
        showings.retain(|_, shown| shown.len() as u64 >= u64::from(times));
        let mut last: FxHashMap<ItemId, Timestamp> = FxHashMap::default();
        // Most questions come by here without a look at the store.
        if times > 0
            && !showings.is_empty()
            && let Some(user) = self.store.user_id(user)?
        {
            self.store.user_history(user, ANSWERS, &mut |event| {
                last.entry(event.item).or_insert(event.time);
            })?;
        }
        let unanswered = |(item, shown): (ItemId, Vec<Timestamp>)| {
            let since_last = shown.iter().filter(|time| last.get(&item).is_none_or(|last| last < *time));
            ShownItem { item, unanswered: since_last.count() as u32 }
        };
        Ok(showings.into_iter().map(unanswered).collect())
    }
}
