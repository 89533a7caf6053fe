//! Keeps the delta segment of the snapshot that answers in step with the catalogue. Whoever changes an item holds the lock
//! of the catalogue meanwhile, so the segment and the catalogue never tell different stories.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Engine, Live, read, write};
use crate::record::{Item, ItemId};

impl Engine {
    /// An item has changed, or is gone. The caller holds the lock of the catalogue.
    pub(super) fn follow(&self, id: ItemId, item: Option<&Item>) {
        let Some(live) = self.inner.live.load_full() else { return };
        match item {
            Some(item) => write(&live.fresh).set(&live.snapshot, id, item),
            None => write(&live.fresh).remove(id),
        }
    }

    /// Places all items that a snapshot does not know as they are, and lets it answer. Writers wait for what they changed
    /// meanwhile to be taken up, not for the whole.
    pub(super) fn place_all(&self, live: &Arc<Live>) {
        let before: FxHashMap<ItemId, Arc<Item>> =
            read(&self.inner.catalog).iter().map(|(id, item)| (id, Arc::clone(item))).collect();
        before.iter().for_each(|(id, item)| self.place(live, *id, item));
        let catalog = write(&self.inner.catalog);
        for (id, item) in catalog.iter() {
            if before.get(&id).is_none_or(|before| !Arc::ptr_eq(before, item)) {
                self.place(live, id, item);
            }
        }
        before.keys().filter(|id| catalog.get(**id).is_none()).for_each(|id| write(&live.fresh).remove(*id));
        self.inner.live.store(Some(Arc::clone(live)));
    }

    fn place(&self, live: &Live, id: ItemId, item: &Item) {
        let needs_vectors = live.snapshot.cold().items.as_ref().is_some_and(|map| map.encoder().needs_vectors());
        if !needs_vectors {
            return write(&live.fresh).set(&live.snapshot, id, item);
        }
        // The catalogue leaves vectors out.
        match self.inner.store.item(&item.id) {
            Ok(Some(item)) => write(&live.fresh).set(&live.snapshot, id, &item),
            Ok(None) => write(&live.fresh).remove(id),
            Err(error) => tracing::warn!(item = item.id, %error, "cannot place the item before the next training"),
        }
    }
}
