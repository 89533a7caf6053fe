//! API keys with the hashes of their secrets, in `meta`: they are few and small, an older build that opens the directory passes
//! over them, and so no new format is needed.

use rocksdb::{Direction, IteratorMode};
use serde::{Deserialize, Serialize};

use super::families::Family;
use super::{Store, codec, storage};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::{ApiKey, Timestamp};

/// What the keys begin with; the id follows.
const KEY: &str = "key/";

/// A key as it is stored: never with a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoredKey {
    /// The key.
    #[serde(flatten)]
    pub key: ApiKey,
    /// What its secrets are known by, the newest last.
    pub secrets: Vec<SecretHash>,
}

/// What one secret is known by: Argon2id of it, with the parameters that it was made with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretHash {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Hexadecimal.
    pub salt: String,
    /// Hexadecimal.
    pub hash: String,
    /// Two bytes of a keyed hash of the secret: a wrong one is nearly always known by them, without the work of Argon2.
    pub tag: [u8; 2],
    /// From when on it is not taken any more; absent: as long as the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Store {
    /// All keys, in the order of their ids.
    pub fn keys(&self) -> Result<Vec<StoredKey>> {
        let mut keys = Vec::new();
        let mode = IteratorMode::From(KEY.as_bytes(), Direction::Forward);
        for entry in self.db.iterator_cf(Family::Meta.of(&self.db)?, mode) {
            let (key, bytes) = entry.map_err(storage("read the keys"))?;
            if !key.starts_with(KEY.as_bytes()) {
                break;
            }
            keys.push(codec::decode_json("an API key", &bytes)?);
        }
        Ok(keys)
    }

    /// Adds a key, and removes others. Errors: [`Error::Conflict`] if its id is taken.
    pub fn add_key(&self, key: &StoredKey, removed: &[String]) -> Result<()> {
        let id = format!("{KEY}{}", key.key.id);
        self.commit(Durability::Sync, |turn| {
            if turn.get(Family::Meta, &id)?.is_some() {
                return Err(Error::Conflict(format!("there is a key \"{}\" already", key.key.id)));
            }
            removed.iter().try_for_each(|id| turn.delete(Family::Meta, format!("{KEY}{id}")))?;
            turn.put(Family::Meta, &id, codec::encode_json(key)?)
        })
    }

    /// Changes a key; an error of `change` leaves it as it is. Errors: [`Error::NotFound`].
    pub fn change_key(&self, id: &str, change: impl FnOnce(&mut StoredKey) -> Result<()>) -> Result<StoredKey> {
        let place = format!("{KEY}{id}");
        self.commit(Durability::Sync, |turn| {
            let bytes = turn.get(Family::Meta, &place)?.ok_or_else(|| Error::not_found("key", id))?;
            let mut key: StoredKey = codec::decode_json("an API key", &bytes)?;
            change(&mut key)?;
            turn.put(Family::Meta, &place, codec::encode_json(&key)?)?;
            Ok(key)
        })
    }
}
