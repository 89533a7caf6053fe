//! The routes, one file for each group. A handler reads a [`super::call::Call`], asks the engine and gives a
//! [`super::reply::Reply`]; it neither knows HTTP nor waits for anything but the engine.

mod audit;
mod events;
mod experiments;
mod features;
mod items;
mod keys;
mod lists;
mod monitor;
mod operations;
mod recommendations;
mod scenarios;
mod snapshots;
mod tenants;
mod train;
mod users;

use schemars::JsonSchema;
use serde::Serialize;

use super::route::{Parameter, ParameterKind, Route};

/// Every route of the API.
pub fn all() -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(events::routes());
    routes.extend(items::routes());
    routes.extend(users::routes());
    routes.extend(recommendations::routes());
    routes.extend(lists::routes());
    routes.extend(scenarios::routes());
    routes.extend(experiments::routes());
    routes.extend(features::routes());
    routes.extend(train::routes());
    routes.extend(snapshots::routes());
    routes.extend(monitor::routes());
    routes.extend(tenants::routes());
    routes.extend(operations::routes());
    routes.extend(keys::routes());
    routes.extend(audit::routes());
    routes
}

/// How many entries a listing gives.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

const PAGE_LIMIT: Parameter = Parameter {
    name: "limit",
    about: "How many entries are wanted",
    kind: ParameterKind::Count { max: LARGEST_PAGE, default: PAGE },
};
const CURSOR: Parameter =
    Parameter { name: "cursor", about: "Where to go on: the `cursor` of the page before", kind: ParameterKind::Text };
const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "How many items are wanted",
    kind: ParameterKind::Count { max: LARGEST_PAGE, default: 10 },
};
const CATEGORY: Parameter =
    Parameter { name: "category", about: "Only items of this category", kind: ParameterKind::Text };

/// A page of a listing, in the order of ids.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
struct Listing<T> {
    /// The entries.
    entries: Vec<T>,
    /// What to give as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

impl<T> From<crate::engine::Page<T>> for Listing<T> {
    fn from(page: crate::engine::Page<T>) -> Self {
        Self { entries: page.entries, cursor: page.cursor }
    }
}
