//! What lies near to an item or a user: cosine of the columns that say what kind it is, so that popularity (the length of
//! a vector, and a column of its own in a blend) does not decide. A model of lists alone has no such columns; there the
//! list of an item holds what lies near to it.

use super::Context;
use super::allowed::Allowed;
use crate::error::{Error, Result};
use crate::index::{Allow, Hit, Top};
use crate::linalg::dot;
use crate::record::{Answer, Condition, Degraded, Filter, Neighbour, SimilarQuery, Source, UserId};
use crate::snapshot::Snapshot;
use crate::store::{Side, Store};

/// Answers with the items nearest to a given one. An item that the model does not know yet, or a model that knows of no
/// nearness, is answered with what is popular in its categories. Errors: [`Error::NotFound`] for an id that was never seen.
pub fn similar_items(context: &Context<'_>, query: &SimilarQuery) -> Result<Answer> {
    query.validate()?;
    let (item, row) = context.resolve(&query.id)?.ok_or_else(|| Error::not_found("item", &query.id))?;
    let allowed = Allowed::new(context, query.filter.as_ref(), None)?.without([item]);
    let known = context.snapshot.zip(row);
    let near = known.and_then(|(snapshot, row)| Some((snapshot, nearest(snapshot, row, query.limit, &allowed)?)));
    let Some((snapshot, near)) = near else {
        let degraded = if context.snapshot.is_some() { Degraded::UnknownItem } else { Degraded::NoSnapshot };
        let categories = context.catalog.get(item).map(|item| item.categories.clone()).unwrap_or_default();
        let mut shared = Filter {
            should: categories.into_iter().flat_map(|name| Filter::category(name).must).collect(),
            ..Filter::default()
        };
        shared.must.extend(query.filter.clone().map(Condition::Nested));
        let narrow = Allowed::new(context, Some(&shared), None)?.without([item]);
        let popular = context.popular.top(query.limit, context.now, &narrow);
        let items = popular.into_iter().filter_map(|(item, score)| context.entry(item, score, Source::Popular));
        return Ok(context.answer(items.collect(), Some(degraded)));
    };
    let items = near
        .into_iter()
        .filter_map(|hit| context.entry(snapshot.item(hit.row)?, f64::from(hit.score), Source::Similar));
    Ok(context.answer(items.collect(), None))
}

/// The rows nearest to a given one, with how near they are; `None` when the model cannot tell.
fn nearest(snapshot: &Snapshot, row: u32, limit: usize, allowed: &Allowed<'_>) -> Option<Vec<Hit>> {
    let mut best = Top::new(limit, snapshot.vectors().len());
    let allows = |row| allowed.allows(row);
    if snapshot.fold_in().mix().traits() > 0 {
        match allowed.matching_rows() {
            Some(rows) => by_cosine(snapshot, row, rows.iter(), &mut best, allows),
            None => by_cosine(snapshot, row, 0..snapshot.vectors().len() as u32, &mut best, allows),
        }
        return Some(best.into_hits());
    }
    let (listed, values) = snapshot.fold_in().parts().lists.row(row as usize);
    let favoured = listed.iter().zip(values).filter(|(_, value)| **value > 0.0);
    favoured.for_each(|(row, value)| best.offer(Hit { row: *row, score: *value }, allows));
    (!listed.is_empty()).then(|| best.into_hits())
}

/// One pass over the vectors of the candidates.
fn by_cosine(
    snapshot: &Snapshot,
    row: u32,
    candidates: impl Iterator<Item = u32>,
    best: &mut Top,
    allows: impl Fn(u32) -> bool,
) {
    let vectors = snapshot.vectors();
    let traits = |row: u32| snapshot.traits(vectors.row(row as usize));
    let (query, query_norm) = (traits(row), snapshot.norm(row));
    for candidate in candidates {
        let scale = query_norm * snapshot.norm(candidate);
        let cosine = if scale > 0.0 { dot(query, traits(candidate)) / scale } else { 0.0 };
        best.offer(Hit { row: candidate, score: cosine }, &allows);
    }
}

/// The users nearest to a given one, the nearest first. Errors: [`Error::NotFound`] for an id that was never seen; a
/// user without a vector in the snapshot has no neighbours, and under a model that says nothing of users nobody has.
pub fn similar_users(store: &Store, snapshot: Option<&Snapshot>, query: &SimilarQuery) -> Result<Vec<Neighbour>> {
    query.validate()?;
    let user = store.user_id(&query.id)?.ok_or_else(|| Error::not_found("user", &query.id))?;
    let Some(snapshot) = snapshot else { return Ok(Vec::new()) };
    let id = snapshot.manifest().id;
    let mut vector = Vec::new();
    if !store.factor(Side::Users, id, user.get(), &mut vector)? {
        return Ok(Vec::new());
    }
    let traits = snapshot.traits(&vector);
    if traits.is_empty() {
        return Ok(Vec::new());
    }
    let norm = dot(traits, traits).sqrt();
    let mut best = Top::new(query.limit, query.limit);
    store.for_each_factor(Side::Users, id, &mut |other_id, other| {
        let other = snapshot.traits(other);
        let scale = norm * dot(other, other).sqrt();
        let cosine = if scale > 0.0 && other.len() == traits.len() { dot(traits, other) / scale } else { 0.0 };
        best.offer(Hit { row: other_id, score: cosine }, |id| id != user.get());
        Ok(())
    })?;
    let mut neighbours = Vec::new();
    for hit in best.into_hits() {
        let name = store.user_name(UserId::new(hit.row))?;
        neighbours.extend(name.map(|id| Neighbour { id, score: f64::from(hit.score) }));
    }
    Ok(neighbours)
}
