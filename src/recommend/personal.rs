//! The main question. The hot path: read the visitor's history, take or solve the user's vector, add up the lists of past
//! items, find the best of both with the policy inside, put them in order, fill up with what is popular. Cost for a known user: one prefix
//! read of the history, one point read of the vector (or one d × d solve), an addition for each entry of the lists, one
//! index search or two.

use rayon::prelude::*;

use super::Context;
use super::allowed::Allowed;
use super::best;
use super::listed::ListScores;
use super::order::Ordered;
use super::visitor::Visitor;
use crate::error::Result;
use crate::index::Ask;
use crate::linalg::{Matrix, dot};
use crate::record::{Answer, Because, Degraded, Query, RecommendedItem, Source};
use crate::snapshot::Snapshot;
use crate::store::Side;

/// Answers with the visitor's best items. Never fails for want of a model, of history or of a known id: it falls back to
/// popular items and says why.
pub fn recommend(context: &Context<'_>, query: &Query) -> Result<Answer> {
    let asked = Asked::new(context, query)?;
    let best = match &asked.taste {
        Ok(taste) => best::best(taste.snapshot.index(), &taste.vector, &taste.lists, asked.ask()),
        Err(_) => Vec::new(),
    };
    asked.answer(best)
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
        Ask::best(self.context.candidates(self.query.limit)).allow(&self.allowed).within(self.allowed.matching_rows())
    }

    /// The answer with the best rows, filled up with what is popular.
    fn answer(self, best: Vec<(u32, f32)>) -> Result<Answer> {
        let Self { context, query, visitor, allowed, taste } = self;
        let (mut items, mut degraded) = match taste {
            Ok(taste) => {
                let mut ordered = taste.order(context, query.user.as_deref(), &visitor, best)?;
                ordered.truncate(query.limit);
                (taste.items(context, &visitor, query.explain, ordered)?, None)
            }
            Err(reason) => (Vec::new(), Some(reason)),
        };
        if items.len() < query.limit {
            degraded = degraded.or(Some(Degraded::FewCandidates));
            fill(context, query, allowed, &mut items)?;
        }
        Ok(context.answer(items, degraded))
    }
}

/// Appends popular items, and after them the latest, that are not in the answer yet.
fn fill(context: &Context<'_>, query: &Query, allowed: Allowed<'_>, items: &mut Vec<RecommendedItem>) -> Result<()> {
    let named = |items: &[RecommendedItem]| items.iter().map(|item| item.item.clone()).collect::<Vec<_>>();
    let allowed = allowed.without_named(&named(items))?;
    let popular = context.popular.top(query.limit - items.len(), context.now, &allowed);
    let allowed = allowed.without(popular.iter().map(|(item, _)| *item));
    items.extend(popular.into_iter().filter_map(|(item, score)| context.entry(item, score, Source::Popular)));
    items.extend(super::lists::latest(context, query.limit - items.len(), &allowed));
    Ok(())
}

/// What a visitor likes, for this question: a vector, what the lists of past items say, and where the vector comes from.
pub struct Taste<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) vector: Vec<f32>,
    pub(super) lists: ListScores,
    source: Source,
}

impl<'a> Taste<'a> {
    /// With the vector of the snapshot if it has seen all there is to see, else with one folded in from the history. An
    /// explained answer is always folded in: its parts sum to the score exactly.
    pub fn of(context: &Context<'a>, visitor: &Visitor) -> Result<std::result::Result<Self, Degraded>> {
        let Some(snapshot) = context.snapshot else { return Ok(Err(Degraded::NoSnapshot)) };
        let (vectors, fold_in) = (snapshot.vectors(), snapshot.fold_in());
        let mut vector = Vec::with_capacity(vectors.dim());
        let mut source = Source::Personal;
        let stored = visitor.user.filter(|_| !visitor.is_folded_in);
        let is_there = stored.map_or(Ok(false), |user| {
            context.store.factor(Side::Users, snapshot.manifest().id, user.get(), &mut vector)
        })?;
        if !is_there || vector.len() != vectors.dim() {
            if visitor.history.is_empty() {
                let unknown = visitor.user.is_none() && !visitor.is_fresh;
                return Ok(Err(if unknown { Degraded::UnknownUser } else { Degraded::NoHistory }));
            }
            vector.clear();
            vector.resize(vectors.dim(), 0.0);
            fold_in.solve(vectors, &visitor.history, &mut vector)?;
            if visitor.is_fresh {
                source = Source::FoldIn;
            }
        }
        let lists = ListScores::sum(vectors.len(), fold_in.listed(&visitor.history));
        Ok(Ok(Self { snapshot, vector, lists, source }))
    }

    /// The score of a row: the inner product, and what the lists say.
    pub fn score(&self, row: u32) -> f32 {
        best::score(dot(&self.vector, self.snapshot.vectors().row(row as usize)), self.lists.get(row))
    }

    /// Where the vector comes from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The score's parts by past item, the largest first.
    pub fn because(&self, context: &Context<'_>, visitor: &Visitor, row: u32) -> Result<Vec<Because>> {
        let parts = self.snapshot.fold_in().explain(self.snapshot.vectors(), &visitor.history, row)?;
        let mut because: Vec<_> = parts
            .into_iter()
            .filter_map(|(row, weight)| {
                let item = context.catalog.get(self.snapshot.item(row)?)?.id.clone();
                Some(Because { item, weight })
            })
            .collect();
        because.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        Ok(because)
    }

    /// The entries of these rows.
    fn items(
        &self,
        context: &Context<'_>,
        visitor: &Visitor,
        explain: bool,
        best: Vec<Ordered>,
    ) -> Result<Vec<RecommendedItem>> {
        let mut items = Vec::with_capacity(best.len());
        for Ordered { row, score, rank } in best {
            let item = self.snapshot.item(row).and_then(|item| context.entry(item, f64::from(score), self.source));
            let Some(mut item) = item else { continue };
            item.rank = rank.map(f64::from);
            if explain {
                item.because = Some(self.because(context, visitor, row)?);
            }
            items.push(item);
        }
        Ok(items)
    }
}
