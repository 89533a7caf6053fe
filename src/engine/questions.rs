//! The questions. Each takes the active snapshot once, so that an answer never mixes two.

use std::sync::Arc;

use super::{Engine, read};
use crate::error::Result;
use crate::recommend::{self, Context, Expression, Fresh};
use crate::record::{Answer, Filter, ListQuery, Neighbour, Query, RankQuery, SimilarQuery, Timestamp};
use crate::snapshot::Snapshot;

impl Engine {
    /// What should this user see next? Falls back to popular items, and says why, rather than fail for want of a model,
    /// of history or of a known id. Errors: [`crate::Error::Invalid`] for a malformed question.
    pub fn recommend(&self, query: &Query) -> Result<Answer> {
        query.validate()?;
        self.ask([(query.filter.as_ref(), query.category.as_deref())], |context| recommend::recommend(context, query))
    }

    /// The answers to many questions, in their order, as [`recommend`](Self::recommend) gives each; all by one snapshot, on
    /// all processors, sharing their way through the index. Errors: [`crate::Error::Invalid`] for the first malformed question.
    pub fn recommend_many(&self, queries: &[Query]) -> Result<Vec<Answer>> {
        queries.iter().try_for_each(Query::validate)?;
        let filters = queries.iter().map(|query| (query.filter.as_ref(), query.category.as_deref()));
        self.ask(filters, |context| recommend::recommend_many(context, queries))
    }

    /// The caller's own candidates in the model's order; all come back. Errors: [`crate::Error::Invalid`].
    pub fn rank(&self, query: &RankQuery) -> Result<Answer> {
        self.ask([], |context| recommend::rank(context, query))
    }

    /// Items near to a given one. Errors: [`crate::Error::NotFound`] for an id that was never seen.
    pub fn similar_items(&self, query: &SimilarQuery) -> Result<Answer> {
        query.validate()?;
        self.ask([(query.filter.as_ref(), None)], |context| recommend::similar_items(context, query))
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
        query.validate()?;
        self.ask([(query.filter.as_ref(), None)], |context| recommend::list(context, query))
    }

    /// How many items there are, hidden ones aside, that pass a filter.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?; let engine = savor::Engine::open(dir.path(), savor::Config::default())?;
    /// let mut shoe = savor::Item::new("shoe-7");
    /// shoe.categories.push("shoes".into());
    /// engine.put_items(&[shoe, savor::Item::new("hat-1")])?;
    /// assert_eq!(engine.count(&savor::Filter::category("shoes"))?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count(&self, filter: &Filter) -> Result<u64> {
        filter.validate()?;
        let filters = Arc::clone(read(&self.inner.catalog).filters());
        match Expression::of(Some(filter), None) {
            Some(expression) => Ok(filters.evaluate(&self.inner.store, &expression, None)?.ids.len()),
            None => Ok(filters.shown(None).ids.len()),
        }
    }

    /// What the filters of a question need is read before anything is locked.
    pub(super) fn ask<'q, T>(
        &self,
        filters: impl IntoIterator<Item = (Option<&'q Filter>, Option<&'q str>)>,
        question: impl FnOnce(&Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let inner = &*self.inner;
        let live = inner.live.load();
        let snapshot = live.as_ref().map(|live| &live.snapshot);
        let compiled = Arc::clone(read(&inner.catalog).filters());
        for (filter, category) in filters {
            compiled.prepare(&inner.store, Expression::of(filter, category).as_ref(), snapshot.map(Snapshot::rows))?;
        }
        let catalog = read(&inner.catalog);
        let popular = read(&inner.popular);
        let none = Fresh::default();
        let fresh = live.as_ref().map(|live| read(&live.fresh));
        let facts = live.as_ref().and_then(|live| live.facts.as_ref()).map(read);
        let ranker = read(&inner.ranker).clone();
        question(&Context {
            store: &inner.store,
            config: &inner.config,
            weights: &inner.weights,
            snapshot,
            fresh: fresh.as_deref().unwrap_or(&none),
            is_stale: &|user| live.as_ref().is_none_or(|live| inner.freshness.is_stale(user, live.seen)),
            catalog: &catalog,
            facts: facts.as_deref(),
            served: &inner.served,
            ranker: ranker.as_deref(),
            popular: &popular,
            now: Timestamp::now(),
        })
    }
}
