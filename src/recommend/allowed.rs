//! Which items may be in an answer: not deleted, not hidden, not seen, not excluded, and passing the filter.

use rustc_hash::FxHashSet;

use super::Context;
use crate::error::Result;
use crate::index::Allow;
use crate::record::{Filter, ItemId};

/// The policy of one question. Cheap tests come first; the filter reads the item's metadata.
pub struct Allowed<'a> {
    context: &'a Context<'a>,
    excluded: FxHashSet<u32>,
    category: Option<&'a str>,
    filter: Option<&'a Filter>,
}

impl<'a> Allowed<'a> {
    /// All items that are neither deleted nor hidden and pass the filter.
    pub fn new(context: &'a Context<'a>, filter: Option<&'a Filter>) -> Self {
        Self { context, excluded: FxHashSet::default(), category: None, filter: filter.filter(|f| !f.is_empty()) }
    }

    /// Only items of a category.
    pub fn in_category(mut self, category: Option<&'a str>) -> Self {
        self.category = category;
        self
    }

    /// Not these items.
    pub fn without(mut self, items: impl IntoIterator<Item = ItemId>) -> Self {
        self.excluded.extend(items.into_iter().map(ItemId::get));
        self
    }

    /// Not the items with these external ids; unknown ids exclude nothing.
    pub fn without_named(mut self, items: &[String]) -> Result<Self> {
        for item in items {
            self.excluded.extend(self.context.store.item_id(item)?.map(ItemId::get));
        }
        Ok(self)
    }

    /// Whether this item may be in the answer.
    pub fn allows_item(&self, item: ItemId) -> bool {
        if self.excluded.contains(&item.get()) {
            return false;
        }
        let Some(item) = self.context.catalog.get(item) else { return false };
        !item.hidden
            && self.category.is_none_or(|wanted| item.categories.iter().any(|category| category == wanted))
            && self.filter.is_none_or(|filter| filter.matches(item))
    }
}

/// By the rows of the snapshot.
impl Allow for Allowed<'_> {
    fn allows(&self, row: u32) -> bool {
        let item = self.context.snapshot.and_then(|snapshot| snapshot.item(row));
        item.is_some_and(|item| self.allows_item(item))
    }
}
