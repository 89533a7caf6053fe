//! The main question. The hot path: read the visitor's history, take or solve the user's vector, add up the lists of past
//! items, find the best of both with the policy inside, and among the items that are newer than the index; put them in
//! order; fill up with what is popular. Cost for a known user: one prefix
//! read of the history, one point read of the vector (or one d × d solve), an addition for each entry of the lists, one
//! index search or two.

use std::time::Instant;

use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::Context;
use super::allowed::Allowed;
use super::arrange::Bounded;
use super::best;
use super::explore::{self, Candidate, Drawn};
use super::fresh::FreshItem;
use super::listed::ListScores;
use super::order::Ordered;
use super::source::{CandidateSource, Next};
use super::visitor::Visitor;
use crate::error::Result;
use crate::index::{Ask, Hit, Top};
use crate::linalg::{Matrix, dot};
use crate::record::{Answer, Because, Degraded, ItemId, Query, RecommendedItem, Source};
use crate::snapshot::Snapshot;
use crate::store::Side;

/// Answers with the visitor's best items. Never fails for want of a model, of history or of a known id: it falls back to
/// popular items and says why.
pub fn recommend(context: &Context<'_>, query: &Query) -> Result<Answer> {
    let asked = Asked::new(context, query)?;
    let Ok(taste) = &asked.taste else { return asked.answer(Vec::new()) };
    let (begun, index) = (Instant::now(), taste.snapshot.index());
    let (best, searched) = best::best(index, &taste.vector, &taste.lists, asked.ask());
    let trace = query.explain.then(|| {
        let us = begun.elapsed().as_secs_f64() * 1e6;
        searched.trace(index.plan(), index.vectors().len(), asked.ask().within.map(RoaringBitmap::len), us)
    });
    Ok(Answer { search: trace, ..asked.answer(best)? })
}

/// Answers many questions, in their order, each as [`recommend`] would. All processors take part, and the questions share
/// their way through the index.
pub fn recommend_many(context: &Context<'_>, queries: &[Query]) -> Result<Vec<Answer>> {
    let asked = queries.par_iter().map(|query| Asked::new(context, query)).collect::<Result<Vec<_>>>()?;
    let tastes: Vec<_> = asked.iter().filter_map(|asked| Some((asked, asked.taste.as_ref().ok()?))).collect();
    let best = match context.snapshot {
        Some(snapshot) => {
            let mut vectors = Matrix::zeros(tastes.len(), snapshot.vectors().dim());
            for (at, (_, taste)) in tastes.iter().enumerate() {
                vectors.row_mut(at).copy_from_slice(&taste.vector);
            }
            let of = |at: usize| (&tastes[at].1.lists, tastes[at].0.ask());
            best::best_of_many(snapshot.index(), vectors.as_rows(), of)
        }
        None => Vec::new(),
    };
    let mut best = best.into_iter();
    let best: Vec<_> = asked.iter().map(|asked| asked.taste.as_ref().ok().and_then(|_| best.next())).collect();
    asked.into_par_iter().zip(best).map(|(asked, best)| asked.answer(best.unwrap_or_default())).collect()
}

/// A question, with all that is known before the index is searched.
struct Asked<'a> {
    context: &'a Context<'a>,
    query: &'a Query,
    visitor: Visitor,
    allowed: Allowed<'a>,
    taste: std::result::Result<Taste<'a>, Degraded>,
}

impl<'a> Asked<'a> {
    fn new(context: &'a Context<'a>, query: &'a Query) -> Result<Self> {
        query.validate()?;
        let user = query.user.as_deref();
        let visitor = Visitor::gather(context, user, &query.session, &query.exclude_seen, query.explain)?;
        let allowed = Allowed::new(context, query.filter.as_ref(), query.category.as_deref())?
            .without(visitor.seen.iter().copied())
            .without_named(&query.exclude_items)?;
        let taste = Taste::of(context, &visitor)?;
        Ok(Self { context, query, visitor, allowed, taste })
    }

    fn ask(&self) -> Ask<'_> {
        let candidates = self.context.candidates(self.query.candidates());
        Ask::best(candidates).allow(&self.allowed).within(self.allowed.matching_rows())
    }

    /// The answer with the best rows, filled up with what is popular.
    fn answer(self, best: Vec<(u32, f32)>) -> Result<Answer> {
        let Self { context, query, visitor, allowed, taste } = self;
        let mut bounded = Bounded::new(context, query.diversity.as_ref());
        let (mut items, mut degraded) = match taste {
            Ok(taste) => {
                let wanted = context.candidates(query.candidates());
                let best = match taste.source {
                    Source::Profile => taste.by_profile(wanted, &allowed),
                    _ => taste.with_fresh(context, best, wanted, &allowed),
                };
                let mut ordered = taste.order(context, query.user.as_deref(), &visitor, best)?;
                ordered.truncate(query.candidates());
                let places = (context.config.recommend.next_share * query.limit as f64).round() as usize;
                let next = Next.candidates(context, &visitor, places, &allowed);
                let drawn = taste.drawn(context, &visitor, query, &allowed);
                let degraded = (taste.source == Source::Profile).then_some(Degraded::NoHistory);
                let found = Found { best: ordered, next, drawn };
                (taste.items(context, &visitor, query, found, &mut bounded)?, degraded)
            }
            Err(reason) => (Vec::new(), Some(reason)),
        };
        if items.len() < query.limit {
            degraded = degraded.or(Some(Degraded::FewCandidates));
            fill(context, query, allowed, &mut bounded, &mut items)?;
        }
        Ok(context.answer(items, degraded))
    }
}

/// Appends popular items, and after them the latest, that are not in the answer yet.
fn fill(
    context: &Context<'_>,
    query: &Query,
    allowed: Allowed<'_>,
    bounded: &mut Bounded<'_>,
    items: &mut Vec<RecommendedItem>,
) -> Result<()> {
    let named = |items: &[RecommendedItem]| items.iter().map(|item| item.item.clone()).collect::<Vec<_>>();
    let allowed = allowed.without_named(&named(items))?;
    // Where values are bounded some will not fit.
    let is_bounded = bounded.is_bounded();
    let wanted = |items: &[RecommendedItem]| match query.limit - items.len() {
        0 => 0,
        missing if is_bounded => missing.max(query.candidates()),
        missing => missing,
    };
    let popular = context.popular.top(wanted(items), context.now, &allowed);
    let allowed = allowed.without(popular.iter().map(|(item, _)| *item));
    for (item, score) in popular {
        if items.len() < query.limit && bounded.take(item) {
            items.extend(context.entry(item, score, Source::Popular));
        }
    }
    for (item, time) in super::lists::latest(context, wanted(items), &allowed) {
        if items.len() < query.limit && bounded.take(item) {
            items.extend(context.entry(item, time, Source::Latest));
        }
    }
    Ok(())
}

/// What an answer is put together from.
struct Found {
    /// In the order of the answer.
    best: Vec<Ordered>,
    /// What people take next.
    next: Vec<(ItemId, f32)>,
    /// New items.
    drawn: Vec<Drawn>,
}

/// What a visitor likes, for this question: a vector, what the lists of past items say, and where the vector comes from.
pub struct Taste<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) vector: Vec<f32>,
    /// What vector and lists come from: the visitor's history, then what is foretold.
    past: Vec<(u32, f32)>,
    pub(super) lists: ListScores,
    /// What those like the visitor have, where a profile is all that is known: rows and shares, the largest first.
    foretold: Vec<(u32, f32)>,
    /// Where the visitor is among new items.
    among_new: Vec<f32>,
    source: Source,
}

impl<'a> Taste<'a> {
    /// With the vector of the snapshot if it has seen all there is to see, else with one folded in from the history. An
    /// explained answer is always folded in: its parts sum to the score exactly.
    pub fn of(context: &Context<'a>, visitor: &Visitor) -> Result<std::result::Result<Self, Degraded>> {
        let Some(snapshot) = context.snapshot else { return Ok(Err(Degraded::NoSnapshot)) };
        let (vectors, fold_in) = (snapshot.vectors(), snapshot.fold_in());
        let mut vector = Vec::with_capacity(vectors.dim());
        let mut past = visitor.history.clone();
        let mut source = Source::Personal;
        let stored = visitor.user.filter(|_| !visitor.is_folded_in);
        let is_there = stored.map_or(Ok(false), |user| {
            context.store.factor(Side::Users, snapshot.manifest().id, user.get(), &mut vector)
        })?;
        if !is_there || vector.len() != vectors.dim() {
            if visitor.history.is_empty() {
                if let Some(taste) = Self::of_profile(context, snapshot, visitor)? {
                    return Ok(Ok(taste));
                }
                let unknown = visitor.user.is_none() && !visitor.is_fresh;
                return Ok(Err(if unknown { Degraded::UnknownUser } else { Degraded::NoHistory }));
            }
            // Whom the snapshot knows has a vector from events alone, and keeps it when more come.
            if !visitor.is_known {
                past.extend(snapshot.cold().prior_history(&visitor.profile, 0.0, fold_in.mix().unit));
            }
            vector.clear();
            vector.resize(vectors.dim(), 0.0);
            fold_in.solve(vectors, &past, &mut vector)?;
            if visitor.is_fresh {
                source = Source::FoldIn;
            }
        }
        Ok(Ok(Self::new(context, snapshot, vector, past, source)))
    }

    /// From the profile alone; `None` where it says nothing.
    fn of_profile(context: &Context<'_>, snapshot: &'a Snapshot, visitor: &Visitor) -> Result<Option<Self>> {
        let (vectors, fold_in) = (snapshot.vectors(), snapshot.fold_in());
        if visitor.profile.is_empty() {
            return Ok(None);
        }
        let past = snapshot.cold().prior_history(&visitor.profile, 1.0, fold_in.mix().unit);
        let mut vector = vec![0.0; vectors.dim()];
        fold_in.solve(vectors, &past, &mut vector)?;
        let foretold = snapshot.cold().foretold(&visitor.profile);
        let taste = Self::new(context, snapshot, vector, past, Source::Profile);
        Ok(Some(Self { foretold, ..taste }).filter(|taste| !taste.foretold.is_empty()))
    }

    fn new(
        context: &Context<'_>,
        snapshot: &'a Snapshot,
        vector: Vec<f32>,
        past: Vec<(u32, f32)>,
        source: Source,
    ) -> Self {
        let fold_in = snapshot.fold_in();
        let lists = ListScores::sum(snapshot.vectors().len(), fold_in.listed(&past));
        let among_new = match context.fresh.is_empty() {
            true => Vec::new(),
            false => snapshot.cold().visitor(&vector, &past, fold_in.mix().unit),
        };
        Self { snapshot, vector, past, lists, among_new, foretold: Vec::new(), source }
    }

    /// Where its vector comes from.
    pub(super) fn source(&self) -> Source {
        self.source
    }

    /// The score of an item, the inner product and what the lists say, and where it comes from; `None` for an item that the
    /// model cannot place.
    pub fn score(&self, context: &Context<'_>, item: ItemId) -> Option<(f32, Source)> {
        if let Some(fresh) = context.fresh.get(item) {
            return Some((self.fresh_score(fresh), self.source_of(fresh)));
        }
        Some((self.known_score(self.snapshot.row(item)?), self.source))
    }

    fn known_score(&self, row: u32) -> f32 {
        best::score(dot(&self.vector, self.snapshot.vectors().row(row as usize)), self.lists.get(row))
    }

    fn fresh_score(&self, fresh: FreshItem<'_>) -> f32 {
        fresh.row.map_or(0.0, |row| self.known_score(row)) + dot(&self.among_new, fresh.vector)
    }

    fn source_of(&self, fresh: FreshItem<'_>) -> Source {
        if fresh.row.is_some() { self.source } else { Source::New }
    }

    /// The best of the index together with those of the delta segment. Costs one inner product for each item in it.
    fn with_fresh(
        &self,
        context: &Context<'_>,
        best: Vec<(u32, f32)>,
        limit: usize,
        allowed: &Allowed<'_>,
    ) -> Vec<(ItemId, f32)> {
        let indexed = best.into_iter().filter_map(|(row, score)| Some((self.snapshot.item(row)?, score)));
        if context.fresh.is_empty() {
            return indexed.collect();
        }
        let mut best = Top::new(limit, limit);
        indexed.for_each(|(item, score)| best.offer(Hit { row: item.get(), score }, |_| true));
        // A vector that says nothing leaves the word to the lists.
        let is_silent = self.vector.iter().all(|value| *value == 0.0);
        for fresh in context.fresh.iter() {
            let score = self.fresh_score(fresh);
            if !is_silent || score > 0.0 {
                best.offer(Hit { row: fresh.item.get(), score }, |_| allowed.allows_item(fresh.item));
            }
        }
        best.into_hits().into_iter().map(|hit| (ItemId::new(hit.row), hit.score)).collect()
    }

    /// The score's parts by past item, the largest first.
    pub fn because(&self, context: &Context<'_>, visitor: &Visitor, item: ItemId) -> Result<Vec<Because>> {
        let (fold_in, vectors) = (self.snapshot.fold_in(), self.snapshot.vectors());
        let history = &self.past;
        let row = self.snapshot.row(item);
        let of_row = || match row {
            Some(row) => fold_in.explain(vectors, history, row),
            None => Ok(history.iter().map(|(row, _)| (*row, 0.0)).collect()),
        };
        let mut parts = match context.fresh.get(item) {
            None => of_row()?,
            Some(fresh) => match self.snapshot.cold().parts(fresh.vector, history, fold_in.mix().unit) {
                None => fold_in.explain_vector(vectors, history, &fresh.now(self.snapshot), row)?,
                Some(moved) => {
                    of_row()?.into_iter().zip(moved).map(|(part, moved)| (part.0, part.1 + moved.1)).collect()
                }
            },
        };
        // What is owed to what was foretold is shared alike by the visitor's own items.
        let foretold: f64 = parts.drain(visitor.history.len().min(parts.len())..).map(|(_, part)| part).sum();
        let share = foretold / parts.len().max(1) as f64;
        let mut because: Vec<_> = parts
            .into_iter()
            .map(|(row, weight)| (row, weight + share))
            .filter_map(|(row, weight)| {
                let item = context.catalog.get(self.snapshot.item(row)?)?.id.clone();
                Some(Because { item, weight })
            })
            .collect();
        because.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        Ok(because)
    }

    /// What those like the visitor have most, where a profile is all that is known: which items they have is surer than what
    /// the model makes of that.
    fn by_profile(&self, limit: usize, allowed: &Allowed<'_>) -> Vec<(ItemId, f32)> {
        let items = self.foretold.iter().filter_map(|(row, share)| Some((self.snapshot.item(*row)?, *share)));
        items.filter(|(item, _)| allowed.allows_item(*item)).take(limit).collect()
    }

    /// New items for the places that are for them.
    fn drawn(&self, context: &Context<'_>, visitor: &Visitor, query: &Query, allowed: &Allowed<'_>) -> Vec<Drawn> {
        let config = &context.config.recommend.explore;
        let places = explore::places(config, query.limit);
        if places == 0 {
            return Vec::new();
        }
        let is_new = |fresh: &FreshItem<'_>| fresh.row.is_none() && fresh.events < config.events;
        let new = context.fresh.iter().filter(|fresh| is_new(fresh) && allowed.allows_item(fresh.item));
        let candidates = new.map(|fresh| Candidate {
            item: fresh.item,
            mean: self.fresh_score(fresh),
            deviation: self.snapshot.cold().score_variance(&self.among_new, fresh.events).max(0.0).sqrt(),
        });
        explore::draw(candidates.collect(), places, config.seed, visitor.request(query))
    }

    /// The entries of these items, the drawn ones in the last places.
    fn items(
        &self,
        context: &Context<'_>,
        visitor: &Visitor,
        query: &Query,
        found: Found,
        bounded: &mut Bounded<'_>,
    ) -> Result<Vec<RecommendedItem>> {
        let Found { mut best, mut next, mut drawn } = found;
        let is_explored = explore::places(&context.config.recommend.explore, query.limit) > 0;
        drawn.retain(|drawn| bounded.take(drawn.item));
        best.retain(|best| drawn.iter().all(|drawn| drawn.item != best.item));
        let places = query.limit.saturating_sub(drawn.len() + next.len());
        match &query.diversity {
            Some(diversity) => best = bounded.arrange(diversity, self.snapshot, visitor, best, places),
            None => best.truncate(places),
        }
        next.retain(|(item, _)| {
            drawn.iter().all(|drawn| drawn.item != *item)
                && best.iter().all(|best| best.item != *item)
                && bounded.take(*item)
        });
        let best = best.into_iter().map(|Ordered { item, score, rank }| {
            let source = context.fresh.get(item).map_or(self.source, |fresh| self.source_of(fresh));
            (item, score, rank, source, is_explored.then_some(1.0))
        });
        let drawn =
            drawn.into_iter().map(|drawn| (drawn.item, drawn.score, None, Source::Explore, Some(drawn.propensity)));
        let next = next.into_iter().map(|(item, score)| (item, score, None, Next.source(), is_explored.then_some(1.0)));
        let mut items = Vec::with_capacity(query.limit);
        for (item, score, rank, source, propensity) in best.chain(next).chain(drawn) {
            let Some(mut entry) = context.entry(item, f64::from(score), source) else { continue };
            entry.rank = rank.map(f64::from);
            entry.propensity = propensity;
            if query.explain && source != Next.source() {
                entry.because = Some(self.because(context, visitor, item)?);
            }
            items.push(entry);
        }
        Ok(items)
    }
}
