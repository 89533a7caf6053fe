//! Where candidates come from beside the model's own search.

use super::Context;
use super::allowed::Allowed;
use super::visitor::Visitor;
use crate::index::{Allow, Hit, Top};
use crate::record::{ItemId, Source};

/// Each past item counts this share of the one after it.
const FADING: f32 = 0.5;

/// Gives candidates for a visitor: items with scores in a unit of its own, the best first.
pub trait CandidateSource: Sync {
    /// What an answer calls it.
    fn source(&self) -> Source;

    /// At most `limit` allowed items; none where it has nothing to say.
    fn candidates(
        &self,
        context: &Context<'_>,
        visitor: &Visitor,
        limit: usize,
        allowed: &Allowed<'_>,
    ) -> Vec<(ItemId, f32)>;
}

/// After what the visitor did last, people next …
pub struct Next;

impl CandidateSource for Next {
    fn source(&self) -> Source {
        Source::Next
    }

    fn candidates(
        &self,
        context: &Context<'_>,
        visitor: &Visitor,
        limit: usize,
        allowed: &Allowed<'_>,
    ) -> Vec<(ItemId, f32)> {
        let mut weight = 1.0;
        let weighed = visitor.latest.iter().map(|row| {
            let this = (*row, weight);
            weight *= FADING;
            this
        });
        after(context, weighed, limit, allowed)
    }
}

/// The items that follow these rows, each with its weight.
pub fn after(
    context: &Context<'_>,
    past: impl Iterator<Item = (u32, f32)>,
    limit: usize,
    allowed: &Allowed<'_>,
) -> Vec<(ItemId, f32)> {
    let Some(snapshot) = context.snapshot.filter(|_| limit > 0) else { return Vec::new() };
    let mut scores: Vec<(u32, f32)> = Vec::new();
    for (row, weight) in past.filter(|(row, _)| (*row as usize) < snapshot.next().n_rows()) {
        let (items, values) = snapshot.next().row(row as usize);
        scores.extend(items.iter().zip(values).map(|(item, value)| (*item, weight * value)));
    }
    scores.sort_by_key(|(row, _)| *row);
    let mut best = Top::new(limit, limit);
    for of_item in scores.chunk_by(|a, b| a.0 == b.0) {
        let Some((row, _)) = of_item.first() else { continue };
        let Some(item) = snapshot.item(*row) else { continue };
        let is_allowed =
            |_| if context.fresh.replaces(*row) { allowed.allows_item(item) } else { allowed.allows(*row) };
        let score = of_item.iter().map(|(_, score)| score).sum();
        best.offer(Hit { row: item.get(), score }, is_allowed);
    }
    best.into_hits().into_iter().map(|hit| (ItemId::new(hit.row), hit.score)).collect()
}
