//! The metadata of all items in memory, by dense id: answers read it without touching the disk. With it go the bitmaps of
//! filters, which follow every change.

use std::sync::Arc;

use super::filters::Filters;
use crate::config::RecommendConfig;
use crate::error::Result;
use crate::record::{Item, ItemId};
use crate::store::View;

/// Items by dense id; deleted ids are holes. Raw vectors are left out.
pub struct Catalog {
    items: Vec<Option<Arc<Item>>>,
    filters: Arc<Filters>,
}

impl Catalog {
    /// Reads all items.
    pub fn load(view: &View<'_>, config: &RecommendConfig) -> Result<Self> {
        let filters = Arc::new(Filters::new(config.filter_cache_mib << 20));
        let mut catalog = Self { items: Vec::new(), filters };
        view.for_each_item(&mut |id, item| {
            catalog.set(id, item);
            Ok(())
        })?;
        Ok(catalog)
    }

    /// Inserts or replaces an item.
    pub fn set(&mut self, id: ItemId, mut item: Item) {
        item.vectors.clear();
        if self.items.len() <= id.index() {
            self.items.resize(id.index() + 1, None);
        }
        if let Some(slot) = self.items.get_mut(id.index()) {
            self.filters.change(id, Some(&item));
            *slot = Some(Arc::new(item));
        }
    }

    /// Forgets an item.
    pub fn remove(&mut self, id: ItemId) {
        self.filters.change(id, None);
        if let Some(slot) = self.items.get_mut(id.index()) {
            *slot = None;
        }
    }

    /// Filters over these items.
    pub fn filters(&self) -> &Arc<Filters> {
        &self.filters
    }

    /// An item's metadata; `None` if it is deleted or was never there.
    pub fn get(&self, id: ItemId) -> Option<&Arc<Item>> {
        self.items.get(id.index())?.as_ref()
    }

    /// All items, in the order of their dense ids.
    pub fn iter(&self) -> impl Iterator<Item = (ItemId, &Arc<Item>)> {
        self.items.iter().enumerate().filter_map(|(id, item)| Some((ItemId::new(id as u32), item.as_ref()?)))
    }
}
