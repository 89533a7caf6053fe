//! Answers for those who have no time for a better one: what is popular, from a list that is at most a second old, and the look at
//! an answer that was kept. Both obey the question: what is gone, hidden, excluded, seen or kept out by a filter or a rule does
//! not come in. What is popular obeys all rules.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;

use super::Context;
use super::allowed::Allowed;
use super::arrange::Bounded;
use super::places::Placed;
use super::plan::Plan;
use super::rules::shift;
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

/// Answers with the most popular items that the question lets through, under all rules, as far as they are among the thousand most
/// popular: there may be fewer than were asked for. What rules place stands in its place; the others are moved and bounded as
/// where popular items are a source of their own. Costs a read of the user's history and a look at as many items as it takes;
/// where rules move, at as many as are candidates, each by the filters of these.
pub fn popular(context: &Context<'_>, plan: &Plan<'_>, hot: &HotList) -> Result<Answer> {
    let query = &*plan.query;
    let mut out: FxHashSet<ItemId> = plan.left_out().collect();
    out.extend(Visitor::seen(context, query.user.as_deref(), &query.session, &query.exclude_seen)?);
    for name in &query.exclude_items {
        out.extend(context.store.item_id(name)?);
    }
    let allows =
        |item: ItemId| !out.contains(&item) && context.catalog.get(item).is_some_and(|item| passes(query, item));
    let mut bounded = Bounded::new(context.catalog, plan.bounds());
    let placed = Placed::new(context, plan, &allows, &mut bounded)?;
    let settled: FxHashSet<ItemId> = placed.items().collect();
    let missing = query.limit.saturating_sub(placed.len());

    let hot = hot.get(context)?;
    let passing = |(item, _): &(ItemId, f64)| !settled.contains(item) && allows(*item);
    let mut passing = hot.items.iter().copied().filter(passing);
    let factor = |item: ItemId| {
        let factors = plan.moving(context.catalog.get(item)?).map(|(_, factor)| factor);
        factors.reduce(|product, factor| product * factor)
    };
    // Where no rule moves anything no more are looked at than are taken.
    let first = if plan.moves() { plan.candidates(missing) } else { 0 };
    let first = passing.by_ref().take(first).map(|of| (of, of.1)).collect();
    let first = shift(first, |(item, _)| factor(*item)).into_iter().map(|moved| moved.of);
    let fits = first.chain(passing).filter(|(item, _)| bounded.take(*item));
    let mut chosen: Vec<(ItemId, f64)> = fits.take(missing).collect();
    chosen.sort_by_cached_key(|(item, _)| factor(*item) == Some(0.0));

    let chosen = chosen.into_iter().map(|(item, score)| (item, score, Source::Popular, None)).collect();
    let page = placed.page(chosen, |place| (place.item, 0.0, place.source(), Some(place.rule)));
    let mut items: Vec<RecommendedItem> = Vec::with_capacity(page.len());
    for (id, score, source, rule) in page {
        let (Some(item), Some(mut entry)) = (context.catalog.get(id), context.entry(id, score, source)) else {
            continue;
        };
        let moving = plan.moving(item).map(|(number, _)| number);
        entry.rules.extend(rule.into_iter().chain(moving).filter_map(|number| plan.label(number)));
        items.push(entry);
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
