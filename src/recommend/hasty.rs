//! Answers for those who have no time for a better one: what is popular, from a list that is at most a second old, and the look at
//! an answer that was kept. Both obey the question: what is gone, hidden, excluded, seen or kept out by a filter or a rule does
//! not come in.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;

use super::Context;
use super::allowed::Allowed;
use super::plan::Plan;
use super::visitor::Visitor;
use crate::error::Result;
use crate::record::{Answer, Degraded, Item, ItemId, Query, RecommendedItem, Source, Timestamp};

/// So many of the most popular items are looked at.
const LENGTH: usize = 1_000;
/// The list is made anew after so long, when somebody asks.
const LIFETIME_MS: i64 = 1_000;

/// The most popular items that are shown, with their scores, as of a moment ago: to look for them anew is a pass over all items.
pub struct HotList {
    list: ArcSwap<Hot>,
    /// Held by who makes it anew: the others take the old one meanwhile.
    making: Mutex<()>,
}

#[derive(Default)]
struct Hot {
    made: Option<Timestamp>,
    items: Vec<(ItemId, f64)>,
}

impl Default for HotList {
    fn default() -> Self {
        Self { list: ArcSwap::from_pointee(Hot::default()), making: Mutex::new(()) }
    }
}

impl HotList {
    fn get(&self, context: &Context<'_>) -> Result<Arc<Hot>> {
        let hot = self.list.load_full();
        let age = hot.made.map(|made| context.now.millis() - made.millis());
        // A clock that was put back makes it anew, too.
        if age.is_some_and(|age| (0..LIFETIME_MS).contains(&age)) {
            return Ok(hot);
        }
        // The first of all has to be waited for.
        let _making = match self.making.try_lock() {
            Some(making) => making,
            None if hot.made.is_some() => return Ok(hot),
            None => self.making.lock(),
        };
        let items = context.popular.top(LENGTH, context.now, &Allowed::new(context, None, None)?);
        let hot = Arc::new(Hot { made: Some(context.now), items });
        self.list.store(Arc::clone(&hot));
        Ok(hot)
    }
}

/// Answers with the most popular items that the question and its rules let through, as far as they are among the thousand most popular: there may be
/// fewer than were asked for. Costs a read of the user's history and a look at as many items as it takes.
pub fn popular(context: &Context<'_>, plan: &Plan<'_>, hot: &HotList) -> Result<Answer> {
    let query = &*plan.query;
    let mut out: FxHashSet<ItemId> = plan.left_out().collect();
    out.extend(Visitor::seen(context, query.user.as_deref(), &query.session, &query.exclude_seen)?);
    let named: FxHashSet<&str> = query.exclude_items.iter().map(String::as_str).collect();
    let hot = hot.get(context)?;
    let mut items: Vec<RecommendedItem> = Vec::with_capacity(query.limit.min(hot.items.len()));
    for (id, score) in &hot.items {
        if items.len() == query.limit {
            break;
        }
        let Some(item) = context.catalog.get(*id) else { continue };
        if passes(query, item) && !out.contains(id) && !named.contains(item.id.as_str()) {
            items.extend(context.entry(*id, *score, Source::Popular));
        }
    }
    let scenario = plan.applied().cloned();
    Ok(Answer { scenario, ..context.answer(items, Some(Degraded::OverloadedPopular)) })
}

/// Whether an item of an answer that was made before is still there, shown, and what the question asks for.
pub fn is_still_fit(context: &Context<'_>, plan: &Plan<'_>, name: &str) -> Result<bool> {
    let item = context.store.item_id(name)?.and_then(|id| context.catalog.get(id));
    Ok(item.is_some_and(|item| passes(&plan.query, item)))
}

fn passes(query: &Query, item: &Item) -> bool {
    !item.hidden
        && query.category.as_ref().is_none_or(|category| item.categories.contains(category))
        && query.filter.as_ref().is_none_or(|filter| filter.matches(item))
}
