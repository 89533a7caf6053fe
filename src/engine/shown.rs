//! What has been shown to whom, as far as rules ask for it: frequency caps, and no repeats within a window. Kept in memory, the
//! newest million showings at most, in two generations: when the younger is full, the older is forgotten. What is older than
//! memory, after a restart too, is read from the exposures, where they are kept.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::recommend::{Shown, ShownItem};
use crate::record::{ItemId, Timestamp};
use crate::store::Store;

/// Showings of a generation; twice as many are kept at most.
const GENERATION: usize = 1 << 19;
/// So many of the answers to a user are looked at, the newest, where memory does not reach.
const EXPOSURES: usize = 500;
/// So many of a user's events are looked at for answers to what was shown.
const ANSWERS: usize = 1_000;

/// Showings by user.
pub(super) struct Showings(Mutex<Generations>);

struct Generations {
    /// Memory has all that was shown since then under rules that ask for it.
    since: Timestamp,
    /// The time of the first showing of the younger.
    young_since: Timestamp,
    young: FxHashMap<Box<str>, Vec<(ItemId, Timestamp)>>,
    old: FxHashMap<Box<str>, Vec<(ItemId, Timestamp)>>,
    count: usize,
}

impl Default for Showings {
    fn default() -> Self {
        let (young, old, now) = (FxHashMap::default(), FxHashMap::default(), Timestamp::now());
        Self(Mutex::new(Generations { since: now, young_since: now, young, old, count: 0 }))
    }
}

impl Showings {
    /// Notes what was shown.
    pub fn note(&self, user: &str, items: impl Iterator<Item = ItemId>, now: Timestamp) {
        let mut generations = self.0.lock();
        let Generations { since, young_since, young, old, count } = &mut *generations;
        let of_user = young.entry(user.into()).or_default();
        let before = of_user.len();
        of_user.extend(items.map(|item| (item, now)));
        *count += of_user.len() - before;
        if *count >= GENERATION {
            *old = std::mem::take(young);
            *count = 0;
            (*since, *young_since) = (*young_since, now);
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

    /// What was shown to a user since a time, and since when that is all.
    fn of(&self, user: &str, since: Timestamp) -> (Vec<(ItemId, Timestamp)>, Timestamp) {
        let generations = self.0.lock();
        let both = [&generations.old, &generations.young].into_iter().filter_map(|generation| generation.get(user));
        (both.flatten().filter(|(_, time)| *time >= since).copied().collect(), generations.since)
    }
}

/// Showings beside the events that may have answered them.
pub(super) struct Answered<'a> {
    pub showings: &'a Showings,
    pub store: &'a Store,
    /// Whether exposures are kept.
    pub exposures: bool,
    /// In hindsight: nothing from then on is known, and memory is not asked.
    pub until: Option<Timestamp>,
}

impl Answered<'_> {
    /// What memory has forgotten, from the exposures.
    fn forgotten(&self, user: &str, since: Timestamp, until: Timestamp) -> Result<Vec<(ItemId, Timestamp)>> {
        let mut shown = Vec::new();
        if self.exposures && since < until {
            let exposures = self.store.user_exposures_before(user, self.until, EXPOSURES)?;
            for exposure in exposures.into_iter().filter(|of| (since..until).contains(&of.time)) {
                for item in &exposure.items {
                    shown.extend(self.store.item_id(&item.item)?.map(|item| (item, exposure.time)));
                }
            }
        }
        Ok(shown)
    }
}

impl Shown for Answered<'_> {
    fn shown(&self, user: &str, since: Timestamp, times: u32) -> Result<Vec<ShownItem>> {
        let (remembered, known) = match self.until {
            Some(until) => (Vec::new(), until),
            None => self.showings.of(user, since),
        };
        let mut all = self.forgotten(user, since, known)?;
        all.extend(remembered);
        all.sort_unstable();
        let is_often = |shown: &&[(ItemId, Timestamp)]| shown.len() as u64 >= u64::from(times);
        let showings: Vec<&[(ItemId, Timestamp)]> = all.chunk_by(|a, b| a.0 == b.0).filter(is_often).collect();
        let mut last: FxHashMap<ItemId, Timestamp> = FxHashMap::default();
        // Most questions come by here without a look at the store.
        if times > 0
            && !showings.is_empty()
            && let Some(user) = self.store.user_id(user)?
        {
            self.store.user_history_before(user, self.until, ANSWERS, &mut |event| {
                last.entry(event.item).or_insert(event.time);
            })?;
        }
        let unanswered = |shown: &[(ItemId, Timestamp)]| {
            let (item, _) = *shown.first()?;
            let since_last = shown.iter().filter(|(_, time)| last.get(&item).is_none_or(|last| last < time));
            Some(ShownItem { item, unanswered: since_last.count() as u32 })
        };
        Ok(showings.into_iter().filter_map(unanswered).collect())
    }
}
