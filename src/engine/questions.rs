//! The questions. Each takes the active snapshot once, so that an answer never mixes two.

use super::{Engine, read};
use crate::error::Result;
use crate::recommend::{self, Context};
use crate::record::{Answer, ListQuery, Neighbour, Query, RankQuery, SimilarQuery, Timestamp};

impl Engine {
    /// What should this user see next? Falls back to popular items, and says why, rather than fail for want of a model,
    /// of history or of a known id. Errors: [`crate::Error::Invalid`] for a malformed question.
    pub fn recommend(&self, query: &Query) -> Result<Answer> {
        self.ask(|context| recommend::recommend(context, query))
    }

    /// The answers to many questions, in their order, as [`recommend`](Self::recommend) gives each; all by one snapshot, on
    /// all processors, sharing their way through the index. Errors: [`crate::Error::Invalid`] for the first malformed question.
    pub fn recommend_many(&self, queries: &[Query]) -> Result<Vec<Answer>> {
        self.ask(|context| recommend::recommend_many(context, queries))
    }

    /// The caller's own candidates in the model's order; all come back. Errors: [`crate::Error::Invalid`].
    pub fn rank(&self, query: &RankQuery) -> Result<Answer> {
        self.ask(|context| recommend::rank(context, query))
    }

    /// Items near to a given one. Errors: [`crate::Error::NotFound`] for an id that was never seen.
    pub fn similar_items(&self, query: &SimilarQuery) -> Result<Answer> {
        self.ask(|context| recommend::similar_items(context, query))
    }

    /// Users near to a given one; none if the snapshot has no vector of the user. Errors: [`crate::Error::NotFound`] for an id that was
    /// never seen.
    pub fn similar_users(&self, query: &SimilarQuery) -> Result<Vec<Neighbour>> {
        // A pass over all users: no lock that a writer may wait for is held meanwhile.
        let live = self.inner.live.load_full();
        recommend::similar_users(&self.inner.store, live.as_ref().map(|live| &live.snapshot), query)
    }

    /// The first items of a list that is the same for everybody.
    pub fn list(&self, query: &ListQuery) -> Result<Answer> {
        self.ask(|context| recommend::list(context, query))
    }

    pub(super) fn ask<T>(&self, question: impl FnOnce(&Context<'_>) -> Result<T>) -> Result<T> {
        let inner = &*self.inner;
        let live = inner.live.load();
        let catalog = read(&inner.catalog);
        let popular = read(&inner.popular);
        question(&Context {
            store: &inner.store,
            config: &inner.config,
            weights: &inner.weights,
            snapshot: live.as_ref().map(|live| &live.snapshot),
            is_stale: &|user| live.as_ref().is_none_or(|live| inner.freshness.is_stale(user, live.seen)),
            catalog: &catalog,
            popular: &popular,
            now: Timestamp::now(),
        })
    }
}
