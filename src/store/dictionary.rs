//! External ids to dense ones, in memory. New ids are staged by the write that needs them and become known when it is
//! written; until then nobody else can see them, since writers take turns.

use rocksdb::{DB, IteratorMode};
use rustc_hash::FxHashMap;

use super::families::Family;
use super::{key, storage};
use crate::error::{Error, Result};

/// The ids of one side.
#[derive(Default)]
pub struct Dictionary {
    ids: FxHashMap<Box<str>, u32>,
}

impl Dictionary {
    /// The dense id of an external one.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    fn load(db: &DB, family: Family) -> Result<Self> {
        let mut ids = FxHashMap::default();
        for entry in db.iterator_cf(family.of(db)?, IteratorMode::Start) {
            let (id, name) = entry.map_err(storage("read ids"))?;
            let damaged = || Error::corrupt(family.name(), "holds an entry that is no id; restore a backup");
            let id = key::read_dense(&id).ok_or_else(damaged)?;
            let name = std::str::from_utf8(&name).map_err(|_| damaged())?;
            ids.insert(name.into(), id);
        }
        Ok(Self { ids })
    }
}

/// The ids of users and items.
#[derive(Default)]
pub struct Dictionaries {
    pub users: Dictionary,
    pub items: Dictionary,
}

impl Dictionaries {
    /// Reads all ids.
    pub fn load(db: &DB) -> Result<Self> {
        Ok(Self { users: Dictionary::load(db, Family::UserIds)?, items: Dictionary::load(db, Family::ItemIds)? })
    }

    /// Makes known what a write has changed.
    pub fn apply(&mut self, changes: Changes) {
        self.users.apply(changes.users);
        self.items.apply(changes.items);
    }
}

impl Dictionary {
    fn apply(&mut self, changes: FxHashMap<Box<str>, Option<u32>>) {
        for (name, id) in changes {
            match id {
                Some(id) => self.ids.insert(name, id),
                None => self.ids.remove(&name),
            };
        }
    }
}

/// The ids as a write in the making sees them.
pub struct Staged<'a> {
    known: &'a Dictionaries,
    changes: Changes,
}

/// Ids that a write adds (`Some`) or removes (`None`).
#[derive(Default)]
pub struct Changes {
    users: FxHashMap<Box<str>, Option<u32>>,
    items: FxHashMap<Box<str>, Option<u32>>,
}

impl<'a> Staged<'a> {
    pub fn new(known: &'a Dictionaries) -> Self {
        Self { known, changes: Changes::default() }
    }

    pub fn user(&self, name: &str) -> Option<u32> {
        self.changes.users.get(name).copied().unwrap_or_else(|| self.known.users.get(name))
    }

    pub fn item(&self, name: &str) -> Option<u32> {
        self.changes.items.get(name).copied().unwrap_or_else(|| self.known.items.get(name))
    }

    pub fn set_user(&mut self, name: &str, id: Option<u32>) {
        self.changes.users.insert(name.into(), id);
    }

    pub fn set_item(&mut self, name: &str, id: Option<u32>) {
        self.changes.items.insert(name.into(), id);
    }

    pub fn finish(self) -> Changes {
        self.changes
    }
}
