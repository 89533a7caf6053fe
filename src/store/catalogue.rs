//! Items and users: upsert, change, read, list; and the vectors that items bring.

use rocksdb::{Direction, IteratorMode};

use super::commit::Turn;
use super::families::Family;
use super::item_index::terms_in;
use super::limits::Purpose;
use super::stored::{StoredItem, StoredUser};
use super::term::Terms;
use super::{Store, codec, key, storage};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::{Item, ItemId, User};

/// What an upsert did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Put {
    /// Records that were not there before.
    pub created: u64,
    /// Records that were replaced by different ones.
    pub changed: u64,
    /// Records that were the same already.
    pub unchanged: u64,
    /// The dense id of each record given.
    pub ids: Vec<u32>,
}

/// In `meta`, the dimension of each space is kept under this and the space's name.
const SPACE: &str = "space/";

impl Store {
    /// Inserts or replaces items with their vectors, in one batch. Errors: [`Error::Invalid`] for a vector of another
    /// length than the others of its space.
    pub fn put_items(&self, items: &[Item], durability: Durability) -> Result<Put> {
        self.commit(durability, |turn| {
            turn.charged = Some(Purpose::Write);
            let mut put = Put::default();
            for (place, item) in items.iter().enumerate() {
                turn.put_item(item, &mut put).map_err(|error| error.within(&format!("items[{place}]")))?;
            }
            Ok(put)
        })
    }

    /// Inserts or replaces users, in one batch.
    pub fn put_users(&self, users: &[User], durability: Durability) -> Result<Put> {
        self.commit(durability, |turn| {
            turn.charged = Some(Purpose::Write);
            let mut put = Put::default();
            for user in users {
                turn.put_user(user, &mut put)?;
            }
            Ok(put)
        })
    }

    /// Reads an item, changes it and writes it back, as one step. `None` if it is unknown.
    pub fn update_item(&self, id: &str, change: impl FnOnce(Item) -> Result<Item>) -> Result<Option<Item>> {
        self.commit(Durability::Sync, |turn| {
            if turn.ids.item(id).is_none() {
                return Ok(None);
            }
            let Some(item) = self.item(id)? else { return Ok(None) };
            let item = change(item)?;
            turn.charged = Some(Purpose::Write);
            turn.put_item(&item, &mut Put::default())?;
            Ok(Some(item))
        })
    }

    /// Reads a user, changes it and writes it back, as one step. `None` if unknown.
    pub fn update_user(&self, id: &str, change: impl FnOnce(User) -> Result<User>) -> Result<Option<User>> {
        self.commit(Durability::Sync, |turn| {
            let Some(user) = self.user(id)? else { return Ok(None) };
            let user = change(user)?;
            turn.charged = Some(Purpose::Write);
            turn.put_user(&user, &mut Put::default())?;
            Ok(Some(user))
        })
    }

    /// An item with its vectors.
    pub fn item(&self, id: &str) -> Result<Option<Item>> {
        let bytes = self.db.get_pinned_cf(Family::Items.of(&self.db)?, id).map_err(storage("read an item"))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let stored: StoredItem = codec::decode("an item", &bytes)?;
        let dense = ItemId::new(stored.dense);
        let mut item = stored.into_item(id.to_owned());
        for (space, _) in self.spaces()? {
            let family = Family::ItemVectors.of(&self.db)?;
            let bytes = self.db.get_pinned_cf(family, key::vector(&space, dense)).map_err(storage("read a vector"))?;
            if let Some(bytes) = bytes {
                let mut vector = Vec::new();
                codec::decode_floats(&bytes, &mut vector)?;
                item.vectors.insert(space, vector);
            }
        }
        Ok(Some(item))
    }

    /// A user.
    pub fn user(&self, id: &str) -> Result<Option<User>> {
        let bytes = self.db.get_pinned_cf(Family::Users.of(&self.db)?, id).map_err(storage("read a user"))?;
        let stored = bytes.map(|bytes| codec::decode::<StoredUser>("a user", &bytes)).transpose()?;
        Ok(stored.map(|stored| stored.into_user(id.to_owned())))
    }

    /// Up to `limit` items in the order of their ids, after a given one.
    pub fn items(&self, after: Option<&str>, limit: usize) -> Result<Vec<Item>> {
        let names = self.names_after(Family::Items, after, limit)?;
        names.iter().filter_map(|name| self.item(name).transpose()).collect()
    }

    /// Up to `limit` users in the order of their ids, after a given one.
    pub fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>> {
        let names = self.names_after(Family::Users, after, limit)?;
        names.iter().filter_map(|name| self.user(name).transpose()).collect()
    }

    fn names_after(&self, family: Family, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let mode = after.map_or(IteratorMode::Start, |after| IteratorMode::From(after.as_bytes(), Direction::Forward));
        let mut names = Vec::new();
        for entry in self.db.iterator_cf(family.of(&self.db)?, mode) {
            let (name, _) = entry.map_err(storage("list"))?;
            let name = String::from_utf8(name.into_vec());
            let name = name.map_err(|_| Error::corrupt(family.name(), "holds a key that is not UTF-8"))?;
            if after != Some(name.as_str()) {
                names.push(name);
            }
            if names.len() == limit {
                break;
            }
        }
        Ok(names)
    }

    /// The spaces of vectors, with their dimensions.
    pub fn spaces(&self) -> Result<Vec<(String, usize)>> {
        let mode = IteratorMode::From(SPACE.as_bytes(), Direction::Forward);
        let mut spaces = Vec::new();
        for entry in self.db.iterator_cf(Family::Meta.of(&self.db)?, mode) {
            let (name, dimension) = entry.map_err(storage("list the spaces"))?;
            let Some(name) = name.strip_prefix(SPACE.as_bytes()) else { break };
            let name = String::from_utf8_lossy(name).into_owned();
            spaces.push((name, codec::decode::<u64>("a space", &dimension)? as usize));
        }
        Ok(spaces)
    }

    /// Passes all vectors of a space on.
    pub fn for_each_vector(&self, space: &str, f: &mut dyn FnMut(ItemId, &[f32]) -> Result<()>) -> Result<()> {
        let prefix = key::space(space);
        let mut options = rocksdb::ReadOptions::default();
        if let Some(end) = key::after_prefix(&prefix) {
            options.set_iterate_upper_bound(end);
        }
        let mode = IteratorMode::From(&prefix, Direction::Forward);
        let mut vector = Vec::new();
        for entry in self.db.iterator_cf_opt(Family::ItemVectors.of(&self.db)?, options, mode) {
            let (key, bytes) = entry.map_err(storage("read vectors"))?;
            let item =
                key::read_vector(&key).ok_or_else(|| Error::corrupt("item_vectors", "holds a key that is none"))?;
            codec::decode_floats(&bytes, &mut vector)?;
            f(item, &vector)?;
        }
        Ok(())
    }
}

impl Turn<'_> {
    fn put_item(&mut self, item: &Item, put: &mut Put) -> Result<()> {
        let is_new = self.ids.item(&item.id).is_none();
        let dense = self.item(&item.id)?;
        let record = codec::encode(&StoredItem::new(dense, item))?;
        let before = self.get(Family::Items, &item.id)?;
        let is_other = before.as_deref() != Some(&record[..]);
        if is_other {
            let before = terms_in(&item.id, before.as_deref())?;
            self.index_item(dense, &before, &Terms::of(item))?;
            self.put(Family::Items, &item.id, record)?;
        }
        let mut is_changed = is_new || is_other;
        for (space, vector) in &item.vectors {
            self.check_space(space, vector.len())?;
            let (key, bytes) = (key::vector(space, ItemId::new(dense)), codec::encode_floats(vector));
            is_changed = is_changed || self.get(Family::ItemVectors, &key)?.as_deref() != Some(&bytes[..]);
            self.put(Family::ItemVectors, key, bytes)?;
        }
        for space in self.other_spaces(item)? {
            let key = key::vector(&space, ItemId::new(dense));
            is_changed = is_changed || self.get(Family::ItemVectors, &key)?.is_some();
            self.delete(Family::ItemVectors, key)?;
        }
        put.ids.push(dense);
        *(if is_new {
            &mut put.created
        } else if is_changed {
            &mut put.changed
        } else {
            &mut put.unchanged
        }) += 1;
        Ok(())
    }

    pub fn put_user(&mut self, user: &User, put: &mut Put) -> Result<()> {
        let is_new = self.ids.user(&user.id).is_none();
        let dense = self.user(&user.id)?;
        let record = codec::encode(&StoredUser::new(dense, user))?;
        let is_changed = self.get(Family::Users, &user.id)?.as_deref() != Some(&record[..]);
        self.put(Family::Users, &user.id, record)?;
        put.ids.push(dense);
        *(if is_new {
            &mut put.created
        } else if is_changed {
            &mut put.changed
        } else {
            &mut put.unchanged
        }) += 1;
        Ok(())
    }

    /// The first vector of a space decides its dimension.
    fn check_space(&mut self, space: &str, dimension: usize) -> Result<()> {
        let bytes = self.get(Family::Meta, format!("{SPACE}{space}"))?;
        match bytes.map(|bytes| codec::decode::<u64>("a space", &bytes)).transpose()? {
            Some(known) if known != dimension as u64 => {
                let reason = format!("has {dimension} numbers, the vectors of this space have {known}");
                Err(Error::invalid(format!("vectors.{space}"), reason))
            }
            Some(_) => Ok(()),
            None => {
                self.spaces.push(space.to_owned());
                self.put(Family::Meta, format!("{SPACE}{space}"), codec::encode(&(dimension as u64))?)
            }
        }
    }

    /// Spaces in which the item may have had a vector and has none now.
    fn other_spaces(&self, item: &Item) -> Result<Vec<String>> {
        let mode = IteratorMode::From(SPACE.as_bytes(), Direction::Forward);
        let mut others = self.spaces.clone();
        for entry in self.db.iterator_cf(Family::Meta.of(self.db)?, mode) {
            let (name, _) = entry.map_err(storage("list the spaces"))?;
            let Some(name) = name.strip_prefix(SPACE.as_bytes()) else { break };
            let name = String::from_utf8_lossy(name).into_owned();
            others.push(name);
        }
        others.retain(|name| !item.vectors.contains_key(name));
        Ok(others)
    }
}
