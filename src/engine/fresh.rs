//! Keeps the delta segment of the snapshot that answers in step with the catalogue. Whoever changes an item holds the lock
//! of the catalogue meanwhile, so the segment and the catalogue never tell different stories.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Engine, Live, lock, read, write};
use crate::error::Result;
use crate::features::{Preference, Signal};
use crate::record::{Item, ItemId, Timestamp, UserId};
use crate::store::Side;
use crate::train::{Base, NewEvent};

impl Engine {
    /// An item has changed, or is gone. The caller holds the lock of the catalogue.
    pub(super) fn follow(&self, id: ItemId, item: Option<&Item>) {
        for live in self.lives() {
            match item {
                Some(item) => write(&live.fresh).set(&live.snapshot, id, item),
                None => write(&live.fresh).remove(id),
            }
        }
    }

    /// Places all items in a snapshot as they are, with what its ranker takes from them, and then lets it answer: `publish` puts it
    /// where writers find it. Writers wait for what they changed meanwhile to be taken up, not for the whole.
    pub(super) fn place_all(&self, live: &Arc<Live>, publish: impl FnOnce()) {
        let before: FxHashMap<ItemId, Arc<Item>> =
            read(&self.inner.catalog).iter().map(|(id, item)| (id, Arc::clone(item))).collect();
        let place = |id: ItemId, item: &Item| {
            self.place(live, id, item);
            if let Some((ranker, facts)) = live.snapshot.ranker().zip(live.facts.as_ref()) {
                let of_item = self.item_facts(ranker.table().table(), item);
                write(facts).set(id.get(), Some(of_item));
            }
        };
        before.iter().for_each(|(id, item)| place(*id, item));
        self.catch_up(live, &before, &place, publish);
        if let Err(error) = self.hear_log(live) {
            tracing::warn!(%error, "the first events of new items do not count before the next training");
        }
    }

    /// What has changed since is placed again; then the snapshot answers.
    fn catch_up(
        &self,
        live: &Live,
        before: &FxHashMap<ItemId, Arc<Item>>,
        place: &dyn Fn(ItemId, &Item),
        publish: impl FnOnce(),
    ) {
        let _refreshing = lock(&self.inner.refreshing);
        let catalog = write(&self.inner.catalog);
        for (id, item) in catalog.iter() {
            if before.get(&id).is_none_or(|before| !Arc::ptr_eq(before, item)) {
                place(id, item);
            }
        }
        before.keys().filter(|id| catalog.get(**id).is_none()).for_each(|id| write(&live.fresh).remove(*id));
        publish();
        self.inner.answers.all_changed();
    }

    /// Items with new positive events: new ones move towards those who have them, known ones by recursive least squares.
    pub(super) fn hear(&self, live: &Live, events: impl Iterator<Item = (UserId, ItemId)>) -> Result<()> {
        for (user, item) in events {
            if let Some(row) = live.snapshot.row(item) {
                self.refresh(live, row, user, item)?;
                continue;
            }
            let heard = write(&live.fresh).hear(&live.snapshot, item, user);
            let Some(heard) = heard else { continue };
            let mut vectors = Vec::with_capacity(heard.users.len());
            for user in &heard.users {
                vectors.extend(self.among_new(live, *user)?);
            }
            let shift = live.snapshot.cold().shift(&heard.mean, &vectors, heard.events)?;
            write(&live.fresh).shift(&heard, &shift);
            self.inner.answers.all_changed();
        }
        Ok(())
    }

    /// A known item with a new event: its factors are solved again, if that is due.
    fn refresh(&self, live: &Live, row: u32, user: UserId, item: ItemId) -> Result<()> {
        let (snapshot, least) = (&live.snapshot, self.inner.config.recommend.refresh_after);
        let Some(refresh) = snapshot.refresh().filter(|_| least > 0 && snapshot.cold().space.is_none()) else {
            return Ok(());
        };
        let (vectors, fold_in, manifest) = (snapshot.vectors(), snapshot.fold_in(), snapshot.manifest());
        let heard = write(&live.fresh).hear_known(vectors.dim(), row, item, user, least);
        let Some(heard) = heard else { return Ok(()) };
        let mut new = Vec::with_capacity(heard.users.len());
        for user in &heard.users {
            let mut history = self.known_history(live, *user)?;
            // What is to be explained does not explain itself.
            let place = history.iter().position(|(past, _)| *past == row);
            let Some((_, weight)) = place.map(|place| history.swap_remove(place)) else { continue };
            if !history.is_empty() {
                new.push(NewEvent { user: fold_in.factors(vectors, &history)?, weight });
            }
        }
        let pairs = manifest.pairs as f32 / manifest.items.max(1) as f32;
        let base = Base { fold_in, items: vectors, train: &manifest.train, users: manifest.users as usize, pairs };
        let shift = refresh.shift(base, row, &new, heard.events)?;
        write(&live.fresh).shift(&heard, &shift);
        self.inner.answers.all_changed();
        Ok(())
    }

    /// Where a user is among new items; `None` for one whom the snapshot does not know.
    fn among_new(&self, live: &Live, user: UserId) -> Result<Option<Vec<f32>>> {
        let (snapshot, store) = (&live.snapshot, &self.inner.store);
        let mut vector = Vec::new();
        if !store.factor(Side::Users, snapshot.manifest().id, user.get(), &mut vector)? {
            return Ok(None);
        }
        if snapshot.cold().space.is_none() {
            return Ok(Some(vector));
        }
        let mut history = live.weights.history(snapshot.manifest().newest_event.unwrap_or_else(Timestamp::now));
        store.user_history(user, self.inner.config.recommend.history, &mut |event| {
            history.add(event.item, event.kind, event.value, event.time);
        })?;
        let row = |preference: Preference| Some((snapshot.row(preference.item)?, preference.weight));
        let history: Vec<(u32, f32)> = history.finish().into_iter().filter_map(row).collect();
        Ok(Some(snapshot.cold().visitor(&vector, &history, snapshot.fold_in().mix().unit)))
    }

    /// The events that came after a snapshot.
    fn hear_log(&self, live: &Live) -> Result<()> {
        let Some(newest) = live.snapshot.manifest().newest_event else { return Ok(()) };
        let mut later = Vec::new();
        self.inner.store.view().for_each_event(Timestamp::from_millis(newest.millis() + 1).ok(), &mut |event| {
            if matches!(self.inner.weights.signal(event.kind, event.value), Signal::Positive(_)) {
                later.push((event.user, event.item));
            }
            Ok(())
        })?;
        let catalog = read(&self.inner.catalog);
        later.retain(|(_, item)| catalog.get(*item).is_some());
        drop(catalog);
        self.hear(live, later.into_iter())
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
