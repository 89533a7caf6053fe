//! Identifiers: external ids are any non-empty string; inside the engine each stands behind a dense `u32` that is given
//! at first sight and never reused.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Item, User};
use crate::error::{Error, Result};

/// The longest external id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 512;

/// Checks an external id: 1 to [`MAX_ID_BYTES`] bytes. `field` is named in the error.
pub fn validate_id(field: &str, id: &str) -> Result<()> {
    match id.len() {
        0 => Err(Error::invalid(field, "is empty, expected an id")),
        n if n > MAX_ID_BYTES => Err(Error::invalid(field, format!("has {n} bytes, expected at most {MAX_ID_BYTES}"))),
        _ => Ok(()),
    }
}

/// The `u32` that stands for an external id of a `T` (a [`User`] or an [`Item`]). Ids of users and items do not mix.
pub struct DenseId<T>(u32, PhantomData<fn() -> T>);

/// The dense id of a user.
pub type UserId = DenseId<User>;
/// The dense id of an item.
pub type ItemId = DenseId<Item>;

impl<T> DenseId<T> {
    /// Wraps a number that the store has given.
    pub const fn new(id: u32) -> Self {
        Self(id, PhantomData)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as an array index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl<T> Clone for DenseId<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for DenseId<T> {}
impl<T> PartialEq for DenseId<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for DenseId<T> {}
impl<T> PartialOrd for DenseId<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for DenseId<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> Hash for DenseId<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<T> fmt::Debug for DenseId<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The number of a snapshot: grows by one with each build, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SnapshotId(pub u64);

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
