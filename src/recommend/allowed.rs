//! Which items may be in an answer: not deleted, not hidden, not seen, not excluded, and passing the filter.

use roaring::RoaringBitmap;
use rustc_hash::FxHashSet;

use super::Context;
use super::expression::Expression;
use super::matches::Matches;
use crate::error::Result;
use crate::index::Allow;
use crate::record::{Filter, ItemId};
use crate::snapshot::Snapshot;

/// The policy of one question. The filter is made a bitmap once.
pub struct Allowed<'a> {
    context: &'a Context<'a>,
    excluded: FxHashSet<u32>,
    /// Items that may be shown and pass the filter.
    matches: Matches,
    is_filtered: bool,
}

impl<'a> Allowed<'a> {
    /// All items that are neither deleted nor hidden, pass the filter and belong to the category.
    pub fn new(context: &'a Context<'a>, filter: Option<&Filter>, category: Option<&str>) -> Result<Self> {
        let (filters, rows) = (context.catalog.filters(), context.snapshot.map(Snapshot::rows));
        let expression = Expression::of(filter, category);
        let matches = match &expression {
            Some(expression) => filters.evaluate(context.store, expression, rows)?,
            None => filters.shown(rows),
        };
        Ok(Self { context, excluded: FxHashSet::default(), matches, is_filtered: expression.is_some() })
    }

    /// Not these items.
    pub fn without(mut self, items: impl IntoIterator<Item = ItemId>) -> Self {
        self.exclude(items);
        self
    }

    /// From now on not these items either.
    pub fn exclude(&mut self, items: impl IntoIterator<Item = ItemId>) {
        self.excluded.extend(items.into_iter().map(ItemId::get));
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
        self.matches.ids.contains(item.get()) && !self.excluded.contains(&item.get())
    }

    /// Where there is a filter: the items that may be in the answer.
    pub fn items(&self) -> Option<impl Iterator<Item = ItemId>> {
        let allowed = self.matches.ids.iter().filter(|id| !self.excluded.contains(id));
        self.is_filtered.then(|| allowed.map(ItemId::new))
    }

    /// Where there is a filter: the items that pass it, excluded ones among them.
    pub fn matching_items(&self) -> Option<&RoaringBitmap> {
        self.is_filtered.then_some(&*self.matches.ids)
    }

    /// The same by the rows of the snapshot.
    pub fn matching_rows(&self) -> Option<&RoaringBitmap> {
        self.is_filtered.then_some(&*self.matches.rows)
    }
}

/// By the rows of the snapshot.
impl Allow for Allowed<'_> {
    fn allows(&self, row: u32) -> bool {
        let item = self.context.snapshot.and_then(|snapshot| snapshot.item(row));
        let is_current = self.matches.rows.contains(row) && !self.context.fresh.replaces(row);
        is_current && item.is_some_and(|item| !self.excluded.contains(&item.get()))
    }
}
