//! What lies near to an item or a user: cosine of the factors, so that popularity (the length of a factor) does not
//! decide.

use super::Context;
use super::allowed::Allowed;
use super::nearest::Nearest;
use crate::error::{Error, Result};
use crate::linalg::dot;
use crate::record::{Answer, Condition, Degraded, Filter, Neighbour, SimilarQuery, SnapshotId, Source, UserId};
use crate::snapshot::Snapshot;
use crate::store::{Side, Store};

/// Answers with the items nearest to a given one. An item that the model does not know yet is answered with what is
/// popular in its categories. Errors: [`Error::NotFound`] for an id that was never seen.
pub fn similar_items(context: &Context<'_>, query: &SimilarQuery) -> Result<Answer> {
    query.validate()?;
    let (item, row) = context.resolve(&query.id)?.ok_or_else(|| Error::not_found("item", &query.id))?;
    let allowed = Allowed::new(context, query.filter.as_ref()).without([item]);
    let Some((snapshot, row)) = context.snapshot.zip(row) else {
        let degraded = if context.snapshot.is_some() { Degraded::UnknownItem } else { Degraded::NoSnapshot };
        let categories = context.catalog.get(item).map(|item| item.categories.clone()).unwrap_or_default();
        let mut shared = Filter {
            should: categories.into_iter().flat_map(|name| Filter::category(name).must).collect(),
            ..Filter::default()
        };
        shared.must.extend(query.filter.clone().map(Condition::Nested));
        let narrow = Allowed::new(context, Some(&shared)).without([item]);
        let popular = context.popular.top(query.limit, context.now, &narrow);
        let items = popular.into_iter().filter_map(|(item, score)| context.entry(item, score, Source::Popular));
        return Ok(context.answer(items.collect(), Some(degraded)));
    };
    let items = nearest_rows(snapshot, row, query.limit, &allowed)
        .into_iter()
        .filter_map(|(row, cosine)| context.entry(snapshot.item(row)?, f64::from(cosine), Source::Similar));
    Ok(context.answer(items.collect(), None))
}

/// All rows by cosine with a given row: one pass over the item matrix.
fn nearest_rows(snapshot: &Snapshot, row: u32, limit: usize, allowed: &Allowed<'_>) -> Vec<(u32, f32)> {
    let vectors = snapshot.vectors();
    let (query, query_norm) = (vectors.row(row as usize), snapshot.norm(row));
    let mut best = Nearest::new(limit);
    for candidate in 0..vectors.len() as u32 {
        let scale = query_norm * snapshot.norm(candidate);
        let cosine = if scale > 0.0 { dot(query, vectors.row(candidate as usize)) / scale } else { 0.0 };
        best.offer(candidate, cosine, |row| allowed.allows_row(row));
    }
    best.finish()
}

/// The users nearest to a given one, the nearest first. Errors: [`Error::NotFound`] for an id that was never seen; a
/// user without a factor has no neighbours.
pub fn similar_users(store: &Store, snapshot: Option<SnapshotId>, query: &SimilarQuery) -> Result<Vec<Neighbour>> {
    query.validate()?;
    let user = store.user_id(&query.id)?.ok_or_else(|| Error::not_found("user", &query.id))?;
    let Some(snapshot) = snapshot else { return Ok(Vec::new()) };
    let mut factor = Vec::new();
    if !store.factor(Side::Users, snapshot, user.get(), &mut factor)? {
        return Ok(Vec::new());
    }
    let norm = dot(&factor, &factor).sqrt();
    let mut best = Nearest::new(query.limit);
    store.for_each_factor(Side::Users, snapshot, &mut |id, other| {
        let scale = norm * dot(other, other).sqrt();
        let cosine = if scale > 0.0 && other.len() == factor.len() { dot(&factor, other) / scale } else { 0.0 };
        best.offer(id, cosine, |id| id != user.get());
        Ok(())
    })?;
    let mut neighbours = Vec::new();
    for (id, cosine) in best.finish() {
        let name = store.user_name(UserId::new(id))?;
        neighbours.extend(name.map(|id| Neighbour { id, score: f64::from(cosine) }));
    }
    Ok(neighbours)
}
