//! The main question. The hot path: read the visitor's history, take or solve the user's factor, search the index with
//! the policy inside, fill up with what is popular. Cost for a known user: one prefix read of the history, one point
//! read of the factor (or one d × d solve), one index search.

use super::Context;
use super::allowed::Allowed;
use super::visitor::Visitor;
use crate::error::Result;
use crate::index::Hit;
use crate::record::{Answer, Because, Degraded, Query, RecommendedItem, Source};
use crate::snapshot::Snapshot;
use crate::store::Side;

/// Answers with the visitor's best items. Never fails for want of a model, of history or of a known id: it falls back to
/// popular items and says why.
pub fn recommend(context: &Context<'_>, query: &Query) -> Result<Answer> {
    query.validate()?;
    let visitor = Visitor::gather(context, query.user.as_deref(), &query.session, &query.exclude_seen)?;
    let allowed = Allowed::new(context, query.filter.as_ref())
        .in_category(query.category.as_deref())
        .without(visitor.seen.iter().copied())
        .without_named(&query.exclude_items)?;
    let (mut items, mut degraded) = match Taste::of(context, &visitor, query.explain)? {
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

/// A user factor for this question, and where it comes from.
pub struct Taste<'a> {
    snapshot: &'a Snapshot,
    factor: Vec<f32>,
    source: Source,
}

impl<'a> Taste<'a> {
    /// The factor of the snapshot if it has seen all there is to see, else one folded in from the history. An explained
    /// answer is always folded in: its parts sum to the score exactly.
    pub fn of(context: &Context<'a>, visitor: &Visitor, explain: bool) -> Result<std::result::Result<Self, Degraded>> {
        let Some(snapshot) = context.snapshot else { return Ok(Err(Degraded::NoSnapshot)) };
        let mut factor = Vec::with_capacity(snapshot.vectors().dim());
        if let Some(user) = visitor.user.filter(|_| !visitor.is_fresh && !explain)
            && context.store.factor(Side::Users, snapshot.manifest().id, user.get(), &mut factor)?
            && factor.len() == snapshot.vectors().dim()
        {
            return Ok(Ok(Self { snapshot, factor, source: Source::Personal }));
        }
        if visitor.history.is_empty() {
            let unknown = visitor.user.is_none() && !visitor.is_fresh;
            return Ok(Err(if unknown { Degraded::UnknownUser } else { Degraded::NoHistory }));
        }
        factor.resize(snapshot.vectors().dim(), 0.0);
        snapshot.fold_in().solve(snapshot.vectors(), &visitor.history, &mut factor)?;
        let source = if visitor.is_fresh { Source::FoldIn } else { Source::Personal };
        Ok(Ok(Self { snapshot, factor, source }))
    }

    /// The score of a row: the inner product.
    pub fn score(&self, row: u32) -> f32 {
        crate::linalg::dot(&self.factor, self.snapshot.vectors().row(row as usize))
    }

    /// Where the factor comes from.
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
        let hits = self.snapshot.index().search(&self.factor, query.limit, &|row| allowed.allows_row(row));
        let mut items = Vec::with_capacity(query.limit);
        for Hit { row, score } in hits {
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
