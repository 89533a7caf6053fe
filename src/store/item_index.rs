//! The item index: which items have which terms (see [`term`](super::term)). It is written in the batch that writes the
//! item, so it says at every moment what the items say.
//!
//! An entry of `item_index` is a term, the item's dense id as u32, and no value.

use roaring::RoaringBitmap;
use rocksdb::{DB, IteratorMode, ReadOptions, WriteBatch, WriteOptions};

use super::commit::Turn;
use super::families::Family;
use super::key;
use super::stored::StoredItem;
use super::term::{TermRange, Terms};
use super::{Store, codec, storage};
use crate::error::{Error, Result};
use crate::record::Item;

/// Entries of a batch while the index is built.
const BATCH: usize = 50_000;

impl Store {
    /// The dense ids of the items that have a term in a range. Costs a step of an iterator for each.
    pub fn items_in(&self, range: &TermRange) -> Result<RoaringBitmap> {
        let (start, end) = range.bounds();
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(end);
        // What is found is kept as a bitmap: the blocks are not wanted again.
        options.fill_cache(false);
        let mut entries = self.db.raw_iterator_cf_opt(Family::ItemIndex.of(&self.db)?, options);
        entries.seek(start);
        let mut ids = Vec::new();
        while let Some(entry) = entries.key() {
            ids.push(read_item(entry)?);
            entries.next();
        }
        entries.status().map_err(storage("read the item index"))?;
        Ok(bitmap(ids))
    }
}

/// The bitmap of some numbers. Sorting first is quicker than finding each one's place; what is sorted takes one pass.
pub fn bitmap(mut numbers: Vec<u32>) -> RoaringBitmap {
    numbers.sort_unstable();
    numbers.dedup();
    let mut bitmap = RoaringBitmap::new();
    bitmap.extend(numbers);
    bitmap
}

impl Turn<'_> {
    /// Makes the index say of an item what is new; `before` is what it said.
    pub fn index_item(&mut self, id: u32, before: &Terms, after: &Terms) -> Result<()> {
        for term in before.without(after) {
            self.delete(Family::ItemIndex, entry(term, id))?;
        }
        for term in after.without(before) {
            self.put(Family::ItemIndex, entry(term, id), [])?;
        }
        Ok(())
    }
}

/// What the index says of an item with this record; nothing of one without.
pub fn terms_in(name: &str, record: Option<&[u8]>) -> Result<Terms> {
    let stored = record.map(|record| codec::decode::<StoredItem>("an item", record)).transpose()?;
    Ok(stored.map_or_else(Terms::default, |stored| Terms::of(&stored.into_item(name.to_owned()))))
}

/// Builds the index of a directory that has none, in several batches. One that is interrupted is built again.
pub fn build(db: &DB) -> Result<usize> {
    let family = Family::ItemIndex.of(db)?;
    let mut batch = WriteBatch::default();
    let mut count = 0;
    for record in db.iterator_cf(Family::Items.of(db)?, IteratorMode::Start) {
        let (name, bytes) = record.map_err(storage("read the items"))?;
        let stored: StoredItem = codec::decode("an item", &bytes)?;
        let id = stored.dense;
        let item: Item = stored.into_item(String::from_utf8_lossy(&name).into_owned());
        for term in Terms::of(&item).iter() {
            batch.put_cf(family, entry(term, id), []);
            count += 1;
        }
        if batch.len() >= BATCH {
            db.write_opt(std::mem::take(&mut batch), &WriteOptions::default())
                .map_err(storage("build the item index"))?;
        }
    }
    db.write_opt(batch, &WriteOptions::default()).map_err(storage("build the item index"))?;
    Ok(count)
}

/// The key of an entry.
pub fn entry(term: &[u8], id: u32) -> Vec<u8> {
    [term, &key::dense(id)].concat()
}

fn read_item(entry: &[u8]) -> Result<u32> {
    let item = entry.split_last_chunk::<4>().map(|(_, item)| u32::from_be_bytes(*item));
    item.ok_or_else(|| Error::corrupt("item_index", "holds a key that is none; restore a backup"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Durability, StoreConfig};
    use crate::record::Value;

    fn store(dir: &std::path::Path) -> Store {
        Store::open(dir, &StoreConfig { cache_mib: 8, ..StoreConfig::default() }).unwrap()
    }

    fn priced(name: &str, price: f64) -> Item {
        let mut item = Item::new(name);
        item.attributes.insert("price".into(), price.into());
        item
    }

    #[test]
    fn a_batch_that_names_an_item_twice_leaves_what_it_said_last() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let items = [priced("a", 1.0), priced("a", 2.0), priced("b", 2.0), priced("a", 1.0)];
        store.put_items(&items, Durability::Async).unwrap();
        let at = |price: f64| {
            let found = store.items_in(&TermRange::equal("price", &Value::from(price)).unwrap()).unwrap();
            found.iter().collect::<Vec<_>>()
        };
        assert_eq!((at(1.0), at(2.0)), (vec![0], vec![1]));
        assert_eq!(store.view().check_item_index().unwrap(), (4, true));
    }

    #[test]
    fn a_missing_or_an_additional_entry_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        store.put_items(&[priced("a", 1.0), priced("b", 2.0)], Durability::Async).unwrap();
        let family = Family::ItemIndex.of(&store.db).unwrap();
        let entry = store.db.iterator_cf(family, IteratorMode::Start).next().unwrap().unwrap().0;
        store.db.delete_cf(family, &entry).unwrap();
        assert_eq!(store.view().check_item_index().unwrap(), (3, false));
        store.db.put_cf(family, &entry, []).unwrap();
        assert_eq!(store.view().check_item_index().unwrap(), (4, true));
        store.db.put_cf(family, b"\x01p\x01\x01\0\0\0\x07", []).unwrap();
        assert_eq!(store.view().check_item_index().unwrap(), (5, false));
    }
}
