//! The caller's own candidates in the model's order.

use super::Context;
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
        let item = context.store.item_id(name)?;
        let score = taste.as_ref().ok().zip(item).and_then(|(taste, item)| taste.score(context, item));
        let mut entry = RecommendedItem {
            item: name.clone(),
            score: 0.0,
            source: Source::Unscored,
            propensity: None,
            because: None,
        };
        match (&taste, item, score) {
            (Ok(taste), Some(item), Some((score, source))) => {
                entry.score = f64::from(score);
                entry.source = source;
                if query.explain {
                    entry.because = Some(taste.because(context, &visitor, item)?);
                }
                scored.push((entry, Some(item)));
            }
            _ => {
                let popularity = item.map_or(-1.0, |item| context.popular.score(item, context.now));
                unscored.push((popularity, place, entry));
            }
        }
    }
    scored.sort_by(|(a, a_id), (b, b_id)| b.score.total_cmp(&a.score).then(a_id.cmp(b_id)));
    unscored.sort_by(|(a, a_place, _), (b, b_place, _)| b.total_cmp(a).then(a_place.cmp(b_place)));
    let degraded = taste.err().or((!unscored.is_empty()).then_some(Degraded::UnknownItem));
    let items = scored.into_iter().map(|(entry, _)| entry).chain(unscored.into_iter().map(|(.., entry)| entry));
    Ok(context.answer(items.collect(), degraded))
}
