//! Items that rules put at positions, settled before anything is searched.

use super::Context;
use super::arrange::Bounded;
use super::plan::Plan;
use crate::error::Result;
use crate::record::{ItemId, Source};

/// What stands where, in one page.
#[derive(Default)]
pub struct Placed {
    placed: Vec<Place>,
    /// Items that are pinned to a later page, and are not to come sooner.
    later: Vec<ItemId>,
}

/// A position in a page.
#[derive(Clone, Copy)]
pub struct Place {
    position: usize,
    /// What stands there.
    pub item: ItemId,
    /// The number of the rule.
    pub rule: usize,
    is_pin: bool,
}

impl Place {
    /// How an answer calls where it comes from.
    pub fn source(&self) -> Source {
        if self.is_pin { Source::Pin } else { Source::List }
    }
}

impl Placed {
    /// Places what the rules of a plan want, if it is allowed, and counts it.
    pub fn new(
        context: &Context<'_>,
        plan: &Plan<'_>,
        allows: &dyn Fn(ItemId) -> bool,
        bounded: &mut Bounded<'_>,
    ) -> Result<Self> {
        let mut placed = Self::default();
        let (first, limit) = (plan.before.len(), plan.query.limit);
        for (rule, place) in plan.places(context.now) {
            let Some(position) = place.position.checked_sub(first) else { continue };
            for name in place.items.iter() {
                let Some(item) = context.store.item_id(name)? else { continue };
                if !allows(item) || placed.items().any(|other| other == item) {
                    continue;
                }
                if place.is_pin {
                    placed.pin(position, item, rule, limit, bounded);
                    break;
                }
                if position >= limit || placed.is_taken(position) {
                    break;
                }
                if bounded.take(item) {
                    placed.placed.push(Place { position, item, rule, is_pin: false });
                    break;
                }
            }
        }
        placed.placed.sort_unstable_by_key(|place| place.position);
        Ok(placed)
    }

    /// At its position, or at the next that is free.
    fn pin(&mut self, position: usize, item: ItemId, rule: usize, limit: usize, bounded: &mut Bounded<'_>) {
        if position >= limit {
            self.later.push(item);
        } else if let Some(position) = (position..limit).find(|position| !self.is_taken(*position)) {
            self.placed.push(Place { position, item, rule, is_pin: true });
            bounded.count(item);
        }
    }

    fn is_taken(&self, position: usize) -> bool {
        self.placed.iter().any(|place| place.position == position)
    }

    /// All items that are no candidates any more.
    pub fn items(&self) -> impl Iterator<Item = ItemId> {
        self.placed.iter().map(|place| place.item).chain(self.later.iter().copied())
    }

    /// How many there are in this page.
    pub fn len(&self) -> usize {
        self.placed.len()
    }

    /// The page with these items between the placed ones, which `of` makes entries of. A page that is too short ends with
    /// those that have their positions further on.
    pub fn page<T>(&self, others: Vec<T>, of: impl Fn(&Place) -> T) -> Vec<T> {
        let mut page = Vec::with_capacity(others.len() + self.placed.len());
        let mut others = others.into_iter();
        for place in &self.placed {
            let before = place.position.saturating_sub(page.len());
            page.extend(others.by_ref().take(before));
            page.push(of(place));
        }
        page.extend(others);
        page
    }
}
