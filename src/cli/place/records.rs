//! Items, users and events, and what is known of somebody.

use serde::Deserialize;

use super::LARGEST_PAGE;
use crate::cli::context::Place;
use crate::cli::failure::Failure;
use crate::cli::remote::segment;
use crate::engine::{Expired, Merged, Page, Purged, UserExport};
use crate::record::{Event, Item, Timestamp, User};

impl Place {
    /// An item's record.
    pub fn item(&self, id: &str) -> Result<Option<Item>, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.item(id)?),
            Self::There(remote) => found(remote.get(&format!("/v1/items/{}", segment(id)))),
        }
    }

    /// A page of items, in the order of their ids.
    pub fn items(&self, cursor: Option<&str>, limit: usize) -> Result<Page<Item>, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.items(cursor, limit)?),
            Self::There(remote) => remote.get(&format!("/v1/items?{}", page(cursor, limit))),
        }
    }

    /// Removes an item and its events; whether there was one.
    pub fn delete_item(&self, id: &str) -> Result<bool, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.delete_item(id)?),
            Self::There(remote) => existed(remote.delete(&format!("/v1/items/{}", segment(id)))),
        }
    }

    /// A user's profile.
    pub fn user(&self, id: &str) -> Result<Option<User>, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.user(id)?),
            Self::There(remote) => found(remote.get(&format!("/v1/users/{}", segment(id)))),
        }
    }

    /// A page of users, in the order of their ids.
    pub fn users(&self, cursor: Option<&str>, limit: usize) -> Result<Page<User>, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.users(cursor, limit)?),
            Self::There(remote) => remote.get(&format!("/v1/users?{}", page(cursor, limit))),
        }
    }

    /// A user's events, the newest first; a server gives at most [`LARGEST_PAGE`] of them.
    pub fn user_events(&self, id: &str, limit: usize) -> Result<Vec<Event>, Failure> {
        #[derive(Deserialize)]
        struct UserEvents {
            events: Vec<Event>,
        }
        match self {
            Self::Here(engine) => Ok(engine.user_events(id, limit)?),
            Self::There(remote) => {
                let path = format!("/v1/users/{}/events?limit={}", segment(id), limit.min(LARGEST_PAGE));
                Ok(remote.get::<UserEvents>(&path)?.events)
            }
        }
    }

    /// Removes every trace of a user; whether there was any.
    pub fn delete_user(&self, id: &str) -> Result<bool, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.delete_user(id)?),
            Self::There(remote) => existed(remote.delete(&format!("/v1/users/{}", segment(id)))),
        }
    }

    /// All that is known about a user.
    pub fn export_user(&self, id: &str, vectors: bool) -> Result<UserExport, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.export_user(id, vectors)?),
            Self::There(remote) => remote.get(&format!("/v1/users/{}/export?vectors={vectors}", segment(id))),
        }
    }

    /// The events of `from` become events of `into`.
    pub fn merge_users(&self, into: &str, from: &str) -> Result<Merged, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.merge_users(into, from)?),
            Self::There(remote) => remote.put_nothing(&format!("/v1/users/{}/merge/{}", segment(into), segment(from))),
        }
    }

    /// Removes what has been deleted from the files.
    pub fn purge(&self) -> Result<Purged, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.purge()?),
            Self::There(remote) => remote.post_nothing("/v1/purges"),
        }
    }

    /// Removes events that are older than the retention of their type.
    pub fn expire(&self) -> Result<Expired, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.expire_events(Timestamp::now())?),
            Self::There(remote) => remote.post_nothing("/v1/expirations"),
        }
    }
}

/// What one does not find is no failure.
fn found<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(record) => Ok(Some(record)),
        Err(Failure::Server { code, .. }) if code == "not_found" => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn existed(answer: Result<(), Failure>) -> Result<bool, Failure> {
    found(answer).map(|found| found.is_some())
}

fn page(cursor: Option<&str>, limit: usize) -> String {
    match cursor {
        Some(cursor) => format!("limit={limit}&cursor={}", segment(cursor)),
        None => format!("limit={limit}"),
    }
}
