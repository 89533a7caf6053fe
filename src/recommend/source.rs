//! Where candidates come from beside the model's own search.

use super::Context;
use super::allowed::Allowed;
use super::visitor::Visitor;
use crate::features::followers;
use crate::index::{Allow, Hit, Top};
use crate::record::{ItemId, Source};

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
        after(context, visitor.latest.iter().copied(), limit, allowed)
    }
}

/// The items that follow these rows, given from the newest on.
pub fn after(
    context: &Context<'_>,
    past: impl Iterator<Item = u32>,
    limit: usize,
    allowed: &Allowed<'_>,
) -> Vec<(ItemId, f32)> {
    let Some(snapshot) = context.snapshot.filter(|_| limit > 0) else { return Vec::new() };
    let mut best = Top::new(limit, limit);
    for (row, score) in followers(snapshot.next(), past) {
        let Some(item) = snapshot.item(row) else { continue };
        let is_allowed = |_| if context.fresh.replaces(row) { allowed.allows_item(item) } else { allowed.allows(row) };
        best.offer(Hit { row: item.get(), score }, is_allowed);
    }
    best.into_hits().into_iter().map(|hit| (ItemId::new(hit.row), hit.score)).collect()
}
