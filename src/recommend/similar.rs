//! What lies near to an item or a user, new items among them: cosine of the columns that say what kind it is, so that
//! popularity (the length of a vector, and a column of its own in a blend) does not decide. A model of lists alone has no
//! such columns; there the list of an item holds what lies near to it.

use super::Context;
use super::allowed::Allowed;
use super::source;
use crate::error::{Error, Result};
use crate::index::{Allow, Hit, Top};
use crate::linalg::dot;
use crate::record::{Answer, Condition, Degraded, Filter, ItemId, Likeness, Neighbour, SimilarQuery, Source, UserId};
use crate::snapshot::Snapshot;
use crate::store::{Side, Store};

/// Answers with the items nearest to a given one. An item that the model does not know yet, or a model that knows of no
/// nearness, is answered with what is popular in its categories. Errors: [`Error::NotFound`] for an id that was never seen.
pub fn similar_items(context: &Context<'_>, query: &SimilarQuery) -> Result<Answer> {
    query.validate()?;
    let item = context.store.item_id(&query.id)?.filter(|item| !query.shown_only || !context.is_hidden(*item));
    let item = item.ok_or_else(|| Error::not_found("item", &query.id))?;
    let allowed = Allowed::new(context, query.filter.as_ref(), None)?.without([item]);
    if query.by == Likeness::Next
        && let Some(row) = context.snapshot.and_then(|snapshot| snapshot.row(item))
    {
        let next = source::after(context, std::iter::once(row), query.limit, &allowed);
        if !next.is_empty() {
            let entry = |(item, score): (ItemId, f32)| context.entry(item, f64::from(score), Source::Next);
            return Ok(context.answer(next.into_iter().filter_map(entry).collect(), None));
        }
    }
    let near = context.snapshot.and_then(|snapshot| nearest(context, snapshot, item, query.limit, &allowed));
    let Some(near) = near else {
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
    let items =
        near.into_iter().filter_map(|(item, nearness)| context.entry(item, f64::from(nearness), Source::Similar));
    Ok(context.answer(items.collect(), None))
}

/// The items nearest to a given one, with how near they are; `None` when the model cannot tell.
pub(super) fn nearest(
    context: &Context<'_>,
    snapshot: &Snapshot,
    item: ItemId,
    limit: usize,
    allowed: &Allowed<'_>,
) -> Option<Vec<(ItemId, f32)>> {
    let mut best = Top::new(limit, limit);
    let fresh = context.fresh.get(item);
    let row = snapshot.row(item);
    if snapshot.fold_in().mix().traits() > 0 {
        let vector = match fresh {
            Some(fresh) => fresh.now(snapshot),
            None => snapshot.vectors().row(row? as usize).to_vec(),
        };
        let query = snapshot.traits(&vector);
        match allowed.matching_rows() {
            Some(rows) => by_cosine(snapshot, query, rows.iter(), &mut best, allowed),
            None => by_cosine(snapshot, query, 0..snapshot.vectors().len() as u32, &mut best, allowed),
        }
        for other in context.fresh.iter() {
            let other_vector = other.now(snapshot);
            let traits = snapshot.traits(&other_vector);
            let cosine = cosine(query, length(query), traits, length(traits));
            best.offer(Hit { row: other.item.get(), score: cosine }, |_| allowed.allows_item(other.item));
        }
        return Some(items(best));
    }
    let (listed, values) = snapshot.fold_in().parts().lists.row(row? as usize);
    for (row, value) in listed.iter().zip(values).filter(|(_, value)| **value > 0.0) {
        if let Some(item) = snapshot.item(*row) {
            best.offer(Hit { row: item.get(), score: *value }, |_| allowed.allows_item(item));
        }
    }
    let near = items(best);
    (!listed.is_empty()).then_some(near)
}

fn items(best: Top) -> Vec<(ItemId, f32)> {
    best.into_hits().into_iter().map(|hit| (ItemId::new(hit.row), hit.score)).collect()
}

/// One pass over the vectors of the candidates.
fn by_cosine(
    snapshot: &Snapshot,
    query: &[f32],
    candidates: impl Iterator<Item = u32>,
    best: &mut Top,
    allowed: &Allowed<'_>,
) {
    let vectors = snapshot.vectors();
    let query_norm = length(query);
    for candidate in candidates {
        let traits = snapshot.traits(vectors.row(candidate as usize));
        let cosine = cosine(query, query_norm, traits, snapshot.norm(candidate));
        if let Some(item) = snapshot.item(candidate) {
            best.offer(Hit { row: item.get(), score: cosine }, |_| allowed.allows(candidate));
        }
    }
}

fn cosine(a: &[f32], a_length: f32, b: &[f32], b_length: f32) -> f32 {
    let scale = a_length * b_length;
    if scale > 0.0 { dot(a, b) / scale } else { 0.0 }
}

fn length(vector: &[f32]) -> f32 {
    dot(vector, vector).sqrt()
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
