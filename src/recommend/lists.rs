//! The lists that are the same for everybody.

use std::cmp::Reverse;

use super::Context;
use super::allowed::Allowed;
use crate::error::Result;
use crate::record::{Answer, ItemId, ListKind, ListQuery, Source};

/// Answers with the first items of a list.
pub fn list(context: &Context<'_>, query: &ListQuery) -> Result<Answer> {
    query.validate()?;
    let allowed = Allowed::new(context, query.filter.as_ref(), None)?;
    let items = match query.list {
        ListKind::Latest => latest(context, query.limit, &allowed)
            .into_iter()
            .filter_map(|(item, time)| context.entry(item, time, Source::Latest))
            .collect(),
        ListKind::Popular => context
            .popular
            .top(query.limit, context.now, &allowed)
            .into_iter()
            .filter_map(|(item, score)| context.entry(item, score, Source::Popular))
            .collect(),
    };
    Ok(context.answer(items, None))
}

/// The items that were published last, with their times in milliseconds; those without a publishing time come after all
/// others, newest id first.
pub fn latest(context: &Context<'_>, limit: usize, allowed: &Allowed<'_>) -> Vec<(ItemId, f64)> {
    if limit == 0 {
        return Vec::new();
    }
    let catalog = context.catalog;
    let mut newest: Vec<_> = match allowed.items() {
        Some(items) => items.filter_map(|id| Some(Reverse((catalog.get(id)?.time, id)))).collect(),
        None => {
            let allowed = catalog.iter().filter(|(id, _)| allowed.allows_item(*id));
            allowed.map(|(id, item)| Reverse((item.time, id))).collect()
        }
    };
    if newest.len() > limit {
        newest.select_nth_unstable(limit - 1);
        newest.truncate(limit);
    }
    newest.sort_unstable();
    newest.into_iter().map(|Reverse((time, id))| (id, time.map_or(0.0, |time| time.millis() as f64))).collect()
}
