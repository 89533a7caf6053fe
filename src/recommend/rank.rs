//! The caller's own candidates in the model's order.

use rustc_hash::FxHashMap;

use super::Context;
use super::order::Ordered;
use super::taste::Taste;
use super::visitor::Visitor;
use crate::error::Result;
use crate::record::{Answer, Degraded, Effort, ExcludeSeen, ItemId, RankQuery, RecommendedItem, Source};

/// Answers with all candidates: first those the model can score, the best first; then the others, the more popular
/// first; unknown ids at the end, in the caller's order. Below full effort no ranker is asked.
pub fn rank(context: &Context<'_>, query: &RankQuery, effort: Effort) -> Result<Answer> {
    query.validate()?;
    let user = query.user.as_deref();
    let visit = (&query.session[..], &query.context);
    let visitor = Visitor::gather(context, user, visit, &ExcludeSeen::All(false), query.explain)?;
    let taste = Taste::of(context, &visitor)?;
    let mut scored = Vec::with_capacity(query.items.len());
    let mut unscored = Vec::new();
    for (place, name) in query.items.iter().enumerate() {
        let item = context.store.item_id(name)?.filter(|item| !query.shown_only || !context.is_hidden(*item));
        let score = taste.as_ref().ok().zip(item).and_then(|(taste, item)| taste.score(context, item));
        let mut entry = RecommendedItem {
            item: name.clone(),
            score: 0.0,
            rank: None,
            source: Source::Unscored,
            propensity: None,
            rules: Vec::new(),
            because: None,
        };
        match (&taste, item, score) {
            (Ok(taste), Some(item), Some((score, source))) => {
                entry.score = f64::from(score);
                entry.source = source;
                if query.explain {
                    entry.because = Some(taste.because(context, &visitor, item)?);
                }
                scored.push((entry, item));
            }
            _ => {
                let popularity = item.map_or(-1.0, |item| context.popular.score(item, context.now));
                unscored.push((popularity, place, entry));
            }
        }
    }
    scored.sort_by(|(a, a_id), (b, b_id)| b.score.total_cmp(&a.score).then(a_id.cmp(b_id)));
    let mut ordered = Vec::with_capacity(scored.len());
    if let Ok(taste) = &taste {
        // Items name the entries again; a candidate that was named twice has two.
        let mut entries: FxHashMap<ItemId, Vec<RecommendedItem>> = FxHashMap::default();
        let found = scored.iter().map(|(entry, item)| (*item, entry.score as f32)).collect();
        scored.into_iter().rev().for_each(|(entry, item)| entries.entry(item).or_default().push(entry));
        let order = match effort {
            Effort::Full => taste.order(context, user, &visitor, found)?,
            _ => found.into_iter().map(Ordered::retrieved).collect(),
        };
        for Ordered { item, rank, .. } in order {
            let entry = entries.get_mut(&item).and_then(Vec::pop);
            ordered.extend(entry.map(|entry| RecommendedItem { rank: rank.map(f64::from), ..entry }));
        }
    }
    unscored.sort_by(|(a, a_place, _), (b, b_place, _)| b.total_cmp(a).then(a_place.cmp(b_place)));
    let is_hasty = effort != Effort::Full && context.has_ranker() && taste.is_ok();
    let overloaded = is_hasty.then_some(Degraded::OverloadedUnranked);
    let degraded = taste.err().or(overloaded).or((!unscored.is_empty()).then_some(Degraded::UnknownItem));
    let items = ordered.into_iter().chain(unscored.into_iter().map(|(.., entry)| entry));
    Ok(context.answer(items.collect(), degraded))
}
