//! The main question. The hot path: read the visitor's history, take or solve the user's vector, add up the lists of past
//! items, find the best of both with the policy inside, fill up with what is popular. Cost for a known user: one prefix
//! read of the history, one point read of the vector (or one d × d solve), an addition for each entry of the lists, one
//! index search or two.

use super::Context;
use super::allowed::Allowed;
use super::best;
use super::listed::ListScores;
use super::visitor::Visitor;
use crate::error::Result;
use crate::linalg::dot;
use crate::record::{Answer, Because, Degraded, Query, RecommendedItem, Source};
use crate::snapshot::Snapshot;
use crate::store::Side;

/// Answers with the visitor's best items. Never fails for want of a model, of history or of a known id: it falls back to
/// popular items and says why.
pub fn recommend(context: &Context<'_>, query: &Query) -> Result<Answer> {
    query.validate()?;
    let user = query.user.as_deref();
    let visitor = Visitor::gather(context, user, &query.session, &query.exclude_seen, query.explain)?;
    let allowed = Allowed::new(context, query.filter.as_ref(), query.category.as_deref())?
        .without(visitor.seen.iter().copied())
        .without_named(&query.exclude_items)?;
    let (mut items, mut degraded) = match Taste::of(context, &visitor)? {
        Ok(taste) => (taste.best(context, &visitor, query, &allowed)?, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    if items.len() < query.limit {
        degraded = degraded.or(Some(Degraded::FewCandidates));
        fill(context, query, allowed, &mut items)?;
    }
    Ok(context.answer(items, degraded))
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
    snapshot: &'a Snapshot,
    vector: Vec<f32>,
    lists: ListScores,
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

    fn best(
        &self,
        context: &Context<'_>,
        visitor: &Visitor,
        query: &Query,
        allowed: &Allowed<'_>,
    ) -> Result<Vec<RecommendedItem>> {
        let allow = |row| allowed.allows_row(row);
        let best = best::best(self.snapshot.index(), &self.vector, &self.lists, query.limit, &allow);
        let mut items = Vec::with_capacity(query.limit);
        for (row, score) in best {
            let item = self.snapshot.item(row).and_then(|item| context.entry(item, f64::from(score), self.source));
            let Some(mut item) = item else { continue };
            if query.explain {
                item.because = Some(self.because(context, visitor, row)?);
            }
            items.push(item);
        }
        Ok(items)
    }
}
