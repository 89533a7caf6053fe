//! Answers that are kept for those who ask the same again. Exact: whatever was acknowledged before a question is in its
//! answer. A question notes the ticks of all that an answer may come from before it looks at anything; a write moves the
//! ticks of what it changed before it is acknowledged; and an answer is given again only while no tick has moved. Only
//! answers that time alone does not change are given so: not those of rankers, whose features are windows, nor popular lists,
//! nor drawn items.
//!
//! Under pressure another promise holds ([`AnswerCache::stale`]): the answer may be some minutes old and may be a ranker's, but
//! never from before something was written for its user.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Context;
use super::identity::recommendation_id;
use super::kept::Kept;
use crate::record::{Answer, Query, RecommendedItem, Source, Timestamp};

/// Users who share a tick: a write for one of them forgets the answers to all.
const TICKS: usize = 1 << 14;
/// Bytes of an answer that is expected, to size the table.
const EXPECTED: u64 = 3 << 10;

/// Kept answers, bounded in bytes; those asked for seldom make place (S3-FIFO, Yang et al., SOSP 2023).
pub struct AnswerCache {
    answers: Option<Cache<Box<[u8]>, Arc<Kept>, Bytes>>,
    /// Moved by changes that may touch any answer: of items, scenarios, the snapshot.
    shared: AtomicU64,
    /// Moved by changes of a user, `[TICKS]`.
    users: Box<[AtomicU64]>,
    places: RandomState,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// A question that may have been answered before, and when it was asked.
pub struct Asked {
    user: String,
    key: Box<[u8]>,
    ticks: Ticks,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Ticks {
    shared: u64,
    user: u64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Box<[u8]>, Arc<Kept>> for Bytes {
    fn weight(&self, key: &Box<[u8]>, kept: &Arc<Kept>) -> u64 {
        (key.len() + kept.bytes()) as u64
    }
}

impl AnswerCache {
    /// Keeps up to so many MiB of answers; none at all if 0.
    pub fn new(mib: usize) -> Self {
        let bytes = (mib as u64).saturating_mul(1 << 20);
        Self {
            answers: (bytes > 0).then(|| Cache::with_weighter((bytes / EXPECTED) as usize, bytes, Bytes)),
            shared: AtomicU64::new(0),
            users: (0..TICKS).map(|_| AtomicU64::new(0)).collect(),
            places: RandomState::new(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// To be called before a question looks at anything; `None` if its answer is not to be kept.
    pub fn ask(&self, query: &Query) -> Option<Asked> {
        let user = query.user.as_deref()?;
        if self.answers.is_none() || !query.session.is_empty() || query.explain {
            return None;
        }
        let ticks = self.ticks(user);
        Some(Asked { user: user.to_owned(), key: serde_json::to_vec(query).ok()?.into(), ticks })
    }

    /// The answer given before, if nothing has changed since.
    pub fn again(&self, asked: &Asked) -> Option<Arc<Kept>> {
        let kept = self.answers.as_ref()?.get(&asked.key).filter(|kept| kept.lasts && kept.ticks == asked.ticks)?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(kept)
    }

    /// The same under a new name, for who makes a new one else.
    pub fn answer(&self, asked: &Asked, now: Timestamp) -> Option<Answer> {
        let Some(kept) = self.again(asked) else {
            self.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        Some(Answer { recommendation_id: recommendation_id(now), ..kept.answer().clone() })
    }

    /// The answer given before, and whether it is as good as new; for those who have no time for another. It is not older than
    /// `oldest`, and nothing has been written for its user since. What else has changed, items among it, is for the caller to look at.
    pub fn stale(&self, asked: &Asked, oldest: Timestamp) -> Option<(Answer, bool)> {
        let kept = self.answers.as_ref()?.get(&asked.key)?;
        let is_new = kept.lasts && kept.ticks == asked.ticks;
        let fits = kept.ticks.user == asked.ticks.user && kept.at >= oldest;
        (is_new || fits).then(|| (kept.answer().clone(), is_new))
    }

    /// Keeps a full answer.
    pub fn keep(&self, context: &Context<'_>, asked: Asked, answer: &Answer) {
        let is_ranked = context.ranker.is_some() || context.snapshot.is_some_and(|live| live.ranker().is_some());
        let lasts = |item: &RecommendedItem| {
            matches!(item.source, Source::Personal | Source::FoldIn | Source::New | Source::Next)
        };
        if let Some(answers) = &self.answers
            && context.config.recommend.explore.share == 0.0
            && answer.degraded.is_none()
            && self.ticks(&asked.user) == asked.ticks
            && answer.items.iter().all(lasts)
        {
            let Asked { user, key, ticks } = asked;
            let kept = Kept::new(user, ticks, context.now, !is_ranked, answer.clone());
            answers.insert(key, Arc::new(kept));
        }
    }

    /// Questions that were answered by a kept answer, and those that could have been and were not.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// Something changed that may be in anybody's answer.
    pub fn all_changed(&self) {
        self.shared.fetch_add(1, Ordering::SeqCst);
    }

    /// A user's events or profile changed.
    pub fn user_changed(&self, user: &str) {
        if let Some(tick) = self.tick(user) {
            tick.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A user is gone, and what was kept of the user too.
    pub fn forget(&self, user: &str) {
        self.user_changed(user);
        if let Some(answers) = &self.answers {
            answers.retain(|_, kept| kept.user != user);
        }
    }

    fn tick(&self, user: &str) -> Option<&AtomicU64> {
        self.users.get(self.places.hash_one(user) as usize % TICKS)
    }

    fn ticks(&self, user: &str) -> Ticks {
        let user = self.tick(user).map_or(0, |tick| tick.load(Ordering::SeqCst));
        Ticks { shared: self.shared.load(Ordering::SeqCst), user }
    }
}
