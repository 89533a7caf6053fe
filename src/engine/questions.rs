//! The questions. Each takes the active snapshot once, so that an answer never mixes two.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::again::{Given, next_path};
use super::departed::Moment;
use super::pages::Page;
use super::shown::Answered;
use super::treatment::Treated;
use super::{Engine, Live, read};
use crate::error::{Error, Result};
use crate::recommend::{self, Asked, Context, Expression, Fresh, Plan};
use crate::record::{
    Answer, BeforeItem, Effort, Filter, ItemId, ListQuery, Neighbour, Query, RankQuery, SimilarQuery, Timestamp,
};
use crate::snapshot::Snapshot;

/// Questions of a batch that are in work at once: each holds some bytes for every item of the catalogue.
const AT_ONCE: usize = 64;

impl Engine {
    /// What should this user see next? Falls back to popular items, and says why, rather than fail for want of a model,
    /// of history or of a known id. Errors: [`Error::Invalid`] for a malformed question, or a scenario that is not there.
    pub fn recommend(&self, query: &Query) -> Result<Answer> {
        self.recommend_at(query, Effort::Full)
    }

    /// The same for so much effort: what a server asks when more is asked of it than it can answer in full. The answer says in
    /// `degraded` when it is less than it would have been; it belongs to no experiment then, and is not kept for others.
    /// Errors: those of [`recommend`](Self::recommend).
    pub fn recommend_at(&self, query: &Query, effort: Effort) -> Result<Answer> {
        self.give(query, effort).map(Given::into_answer)
    }

    /// The answers to many questions, in their order, as [`recommend`](Self::recommend) gives each, on all processors. While no
    /// experiment runs and no new snapshot is tried they share their way through the index, are all by one snapshot, and have no next page. Errors: [`Error::Invalid`] for the first malformed
    /// question.
    pub fn recommend_many(&self, queries: &[Query]) -> Result<Vec<Answer>> {
        queries.iter().try_for_each(Query::validate)?;
        // Variants ask each question in their own way, and a snapshot that is tried answers some.
        if !self.inner.experiments.active.load().is_empty() || self.inner.canary.load().is_some() {
            let alone = |query| self.recommend(query).map(|answer| Answer { next: None, ..answer });
            return self.apart(|| queries.par_iter().map(alone).collect());
        }
        let asked = self.inner.departed.now();
        let now = Timestamp::now();
        let plans = queries.iter().map(|query| self.plan(query, now)).collect::<Result<Vec<_>>>()?;
        let answers = self.ask(plans.iter().flat_map(Plan::filters), |context| {
            let mut answers = Vec::with_capacity(plans.len());
            for part in plans.chunks(AT_ONCE) {
                // The locks are this thread's: one of the pool that waits for others takes up other work, which may want them.
                answers.extend(self.apart(|| recommend::recommend_many(context, part))?);
            }
            Ok(answers)
        })?;
        for (plan, answer) in plans.iter().zip(&answers).filter(|(plan, _)| plan.looks_at_shown()) {
            self.note_shown(&plan.query, &self.ids(answer)?, now);
        }
        for (query, answer) in queries.iter().zip(&answers) {
            self.settle(query.user.as_deref(), &asked);
            self.expose(query, 0, answer, &[], &asked);
        }
        Ok(answers)
    }

    /// The next page of an answer: the same question, by what is known now, without what the pages before have shown. It may hold
    /// another number of items. Errors: [`Error::NotFound`] for an answer that was not given, that was short, or that is forgotten:
    /// after half an hour, after many others, and at a restart; ask the question anew then.
    pub fn next_page(&self, recommendation_id: &str, limit: Option<usize>) -> Result<Answer> {
        self.next_page_at(recommendation_id, limit, Effort::Full)
    }

    /// The same for so much effort; see [`recommend_at`](Self::recommend_at).
    pub fn next_page_at(&self, recommendation_id: &str, limit: Option<usize>, effort: Effort) -> Result<Answer> {
        let asked = self.inner.departed.now();
        let page = self.inner.pages.get(recommendation_id, Timestamp::now());
        let page = page.ok_or_else(|| Error::not_found("next page of the answer", recommendation_id))?;
        match limit.filter(|limit| *limit != page.query.limit) {
            Some(limit) => {
                let query = Query { limit, ..(*page.query).clone() };
                query.validate()?;
                self.page(&query, &page.shown, effort, &asked)
            }
            None => self.page(&page.query, &page.shown, effort, &asked),
        }
    }

    /// What is shown after the items of the pages before, by experiments and scenarios; it is noted for the next page, for rules
    /// and for outcomes.
    pub(super) fn page(&self, query: &Query, before: &[ItemId], effort: Effort, asked: &Arc<Moment>) -> Result<Answer> {
        let Treated { mut answer, teams, is_noted, limit, .. } = match effort {
            Effort::Full => {
                let experiments = self.inner.experiments.active.load();
                self.treated(query, before, self.treatment(&experiments, query)?)?
            }
            effort => self.hasty(query, before, effort)?,
        };
        let now = Timestamp::now();
        let shown = self.ids(&answer)?;
        if is_noted {
            self.note_shown(query, &shown, now);
        }
        if answer.items.len() == limit {
            let page = Page::new(Arc::new(query.clone()), [before, &shown].concat().into());
            self.inner.pages.keep(&answer.recommendation_id, page, now);
            answer.next = Some(next_path(&answer.recommendation_id));
        }
        self.settle(query.user.as_deref(), asked);
        self.expose(query, before.len(), &answer, &teams, asked);
        Ok(answer)
    }

    /// An answer by the active snapshot or by another one, below full effort without the ranker.
    pub(super) fn answer_at(
        &self,
        query: &Query,
        before: &[ItemId],
        by: Option<&Live>,
        effort: Effort,
    ) -> Result<Treated> {
        let now = Timestamp::now();
        // Before anything is looked at, the scenario too.
        let asked = if before.is_empty() && by.is_none() { self.inner.answers.ask(query) } else { None };
        let plan = self.plan(query, now)?.after(before).at(effort);
        let asked = asked.filter(|_| plan.lasts());
        let kept = asked.as_ref().and_then(|asked| self.inner.answers.answer(asked, now));
        let mut answer = match kept {
            Some(answer) => answer,
            None => self.made(&plan, by, asked)?,
        };
        if query.explain && plan.has_rules() {
            answer.before = Some(self.before_rules(query, &plan, by, now)?);
        }
        let bounds = plan.bounds().cloned().collect();
        Ok(Treated { is_noted: plan.looks_at_shown(), bounds, ..Treated::new(answer, query.limit) })
    }

    /// A question with all that it is to be answered by.
    pub(super) fn plan<'a>(&self, query: &'a Query, now: Timestamp) -> Result<Plan<'a>> {
        self.plan_by(query, &self.answered(), now)
    }

    /// The same by what has been shown.
    pub(super) fn plan_by<'a>(&self, query: &'a Query, shown: &Answered<'_>, now: Timestamp) -> Result<Plan<'a>> {
        let policy = self.inner.scenarios.policy(query)?;
        let rules = recommend::rules_of(query, policy.as_deref(), &self.inner.scenarios.rules());
        Plan::new(query, policy, rules, shown, now)
    }

    /// What has been shown until now.
    pub(super) fn answered(&self) -> Answered<'_> {
        let inner = &*self.inner;
        let exposures = inner.exposures.is_kept();
        Answered { showings: &inner.showings, store: &inner.store, exposures, until: None }
    }

    /// An answer made anew, and kept if that is asked for.
    fn made(&self, plan: &Plan<'_>, by: Option<&Live>, asked: Option<Asked>) -> Result<Answer> {
        let question = |context: &Context<'_>| {
            let answer = recommend::recommend(context, plan)?;
            if let Some(asked) = asked {
                self.inner.answers.keep(context, asked, &answer);
            }
            Ok(answer)
        };
        match by {
            Some(live) => self.ask_of(Some(live), plan.filters(), question),
            None => self.ask(plan.filters(), question),
        }
    }

    /// The list as it would be without rules, with those that concern each item.
    fn before_rules(
        &self,
        query: &Query,
        plan: &Plan<'_>,
        by: Option<&Live>,
        now: Timestamp,
    ) -> Result<Vec<BeforeItem>> {
        let plain = Query { explain: false, ..query.clone() };
        let policy = self.inner.scenarios.policy(query)?;
        let without = Plan::new(&plain, policy, Vec::new(), &self.answered(), now)?.after(plan.before);
        let without = if plan.is_hasty() { without.at(Effort::Unranked) } else { without };
        let answer = self.made(&without, by, None)?;
        let ids = self.ids(&answer)?;
        self.ask([], |context| {
            let items = answer.items.into_iter().zip(ids);
            Ok(items.map(|(item, id)| BeforeItem { item: item.item, rules: plan.concerning(context, id) }).collect())
        })
    }

    fn note_shown(&self, query: &Query, shown: &[ItemId], now: Timestamp) {
        if let Some(user) = &query.user {
            self.inner.showings.note(user, shown.iter().copied(), now);
        }
    }

    /// The dense ids of an answer's items; one that has been deleted a moment ago has none.
    pub(super) fn ids(&self, answer: &Answer) -> Result<Vec<ItemId>> {
        let ids = answer.items.iter().map(|item| self.inner.store.item_id(&item.item));
        ids.filter_map(Result::transpose).collect()
    }

    /// The caller's own candidates in the model's order; all come back. Errors: [`crate::Error::Invalid`].
    pub fn rank(&self, query: &RankQuery) -> Result<Answer> {
        self.rank_at(query, Effort::Full)
    }

    /// The same for so much effort: below [`Effort::Full`] without a ranker. Errors: [`crate::Error::Invalid`].
    pub fn rank_at(&self, query: &RankQuery, effort: Effort) -> Result<Answer> {
        let question = |context: &Context<'_>| recommend::rank(context, query, effort);
        match self.canary(query.user.as_deref()) {
            Some(canary) => self.ask_of(Some(&canary), [], question),
            None => self.ask([], question),
        }
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

    /// The snapshot that is tried on some users, if this is one of them; always the same for the same user.
    pub(super) fn canary(&self, user: Option<&str>) -> Option<Arc<Live>> {
        let (user, canary) = user.and_then(|user| Some((user, self.inner.canary.load_full()?)))?;
        let drawn = xxh3_64_with_seed(user.as_bytes(), canary.snapshot.manifest().id.0) % 10_000;
        (drawn < u64::from(self.inner.canary_share.load(Ordering::Relaxed))).then_some(canary)
    }

    /// A question to the active snapshot.
    pub(super) fn ask<'q, T>(
        &self,
        filters: impl IntoIterator<Item = (Option<&'q Filter>, Option<&'q str>)>,
        question: impl FnOnce(&Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let live = self.inner.live.load();
        self.ask_of(live.as_deref(), filters, question)
    }

    /// The same of one snapshot, or of none.
    pub(super) fn ask_of<'q, T>(
        &self,
        live: Option<&Live>,
        filters: impl IntoIterator<Item = (Option<&'q Filter>, Option<&'q str>)>,
        question: impl FnOnce(&Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let inner = &*self.inner;
        let snapshot = live.map(|live| &live.snapshot);
        let compiled = Arc::clone(read(&inner.catalog).filters());
        for (filter, category) in filters {
            compiled.prepare(&inner.store, Expression::of(filter, category).as_ref(), snapshot.map(Snapshot::rows))?;
        }
        let catalog = read(&inner.catalog);
        let popular = read(&inner.popular);
        let none = Fresh::default();
        let fresh = live.map(|live| read(&live.fresh));
        let facts = live.and_then(|live| live.facts.as_ref()).map(read);
        let ranker = read(&inner.ranker).clone();
        question(&Context {
            store: &inner.store,
            config: &inner.config,
            weights: live.map_or(&inner.weights, |live| &live.weights),
            snapshot,
            fresh: fresh.as_deref().unwrap_or(&none),
            is_stale: &|user| live.is_none_or(|live| inner.freshness.is_stale(user, live.seen)),
            catalog: &catalog,
            facts: facts.as_deref(),
            served: &inner.served,
            ranker: ranker.as_deref(),
            popular: &popular,
            now: Timestamp::now(),
            known_until: None,
        })
    }
}
