//! The caller's own candidates in the model's order.

use rustc_hash::FxHashMap;

use super::Context;
use super::order::Ordered;
use super::personal::Taste;
use super::visitor::Visitor;
use crate::error::Result;
use crate::record::{Answer, Degraded, ExcludeSeen, RankQuery, RecommendedItem, Source};

/// Answers with all candidates: first those the model can score, the best first; then the others, the more popular
/// first; unknown ids at the end, in the caller's order.
pub fn rank(context: &Context<'_>, query: &RankQuery) -> Result<Answer> {
    query.validate()?;
    let user = query.user.as_deref();
    let visitor = Visitor::gather(context, user, &query.session, &ExcludeSeen::All(false), query.explain)?;
    let taste = Taste::of(context, &visitor)?;
    let mut scored = Vec::with_capacity(query.items.len());
    let mut unscored = Vec::new();
    for (place, name) in query.items.iter().enumerate() {
        let (item, row) = context.resolve(name)?.map_or((None, None), |(item, row)| (Some(item), row));
        let mut entry =
            RecommendedItem { item: name.clone(), score: 0.0, rank: None, source: Source::Unscored, because: None };
        match (&taste, row) {
            (Ok(taste), Some(row)) => {
                entry.score = f64::from(taste.score(row));
                entry.source = taste.source();
                if query.explain {
                    entry.because = Some(taste.because(context, &visitor, row)?);
                }
                scored.push((entry, item, row));
            }
            _ => {
                let popularity = item.map_or(-1.0, |item| context.popular.score(item, context.now));
                unscored.push((popularity, place, entry));
            }
        }
    }
    scored.sort_by(|(a, a_id, _), (b, b_id, _)| b.score.total_cmp(&a.score).then(a_id.cmp(b_id)));
    let mut ordered = Vec::with_capacity(scored.len());
    if let Ok(taste) = &taste {
        // Rows name the entries again; a candidate that was named twice has two.
        let mut entries: FxHashMap<u32, Vec<RecommendedItem>> = FxHashMap::default();
        let found = scored.iter().map(|(entry, _, row)| (*row, entry.score as f32)).collect();
        scored.into_iter().rev().for_each(|(entry, _, row)| entries.entry(row).or_default().push(entry));
        for Ordered { row, rank, .. } in taste.order(context, user, &visitor, found)? {
            let entry = entries.get_mut(&row).and_then(Vec::pop);
            ordered.extend(entry.map(|entry| RecommendedItem { rank: rank.map(f64::from), ..entry }));
        }
    }
    unscored.sort_by(|(a, a_place, _), (b, b_place, _)| b.total_cmp(a).then(a_place.cmp(b_place)));
    let degraded = taste.err().or((!unscored.is_empty()).then_some(Degraded::UnknownItem));
    let items = ordered.into_iter().chain(unscored.into_iter().map(|(.., entry)| entry));
    Ok(context.answer(items.collect(), degraded))
}
