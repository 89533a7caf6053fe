//! `/v1/users`: upsert, read, change, list, delete. What is known of a user can be read, joined with what is
//! known of an anonymous visitor, and deleted without a trace.

use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Serialize;

use super::{CURSOR, Listing, PAGE, PAGE_LIMIT};
use crate::engine::{Merged, Put, UserExport};
use crate::error::Error;
use crate::record::{Event, User, UserPatch};
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{MANAGE, Parameter, ParameterKind, Route};

const VECTORS: Parameter = Parameter {
    name: "vectors",
    about: "Whether the user's vectors of all snapshots are wanted, too",
    kind: ParameterKind::Flag { default: false },
};

/// What is known of a user.
#[derive(Serialize, JsonSchema)]
struct UserEvents {
    /// The user's events, the newest first.
    events: Vec<Event>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/v1/users", "putUsers", MANAGE, put_many)
            .data()
            .summary("Upserts one or many users, all or none; each replaces the whole record")
            .takes_many::<User>()
            .answers::<Put>(200, "How many were new, changed and unchanged"),
        Route::new(Method::GET, "/v1/users", "listUsers", MANAGE, list)
            .class(Class::Bulk)
            .summary("Lists users in the order of their ids")
            .query(&[PAGE_LIMIT, CURSOR])
            .answers::<Listing<User>>(200, "A page of users"),
        Route::new(Method::PUT, "/v1/users/{id}", "putUser", MANAGE, put)
            .data()
            .summary("Upserts a user, replacing the whole record")
            .takes::<User>()
            .answers::<Put>(200, "The user was known")
            .answers::<Put>(201, "The user is new"),
        Route::new(Method::PATCH, "/v1/users/{id}", "patchUser", MANAGE, patch)
            .data()
            .summary("Changes some fields of a user; an attribute given as null is removed")
            .takes::<UserPatch>()
            .answers::<User>(200, "The user after the change")
            .problems(&[404]),
        Route::new(Method::GET, "/v1/users/{id}", "getUser", MANAGE, get)
            .summary("Reads a user")
            .answers::<User>(200, "The user")
            .problems(&[404]),
        Route::new(Method::DELETE, "/v1/users/{id}", "deleteUser", MANAGE, delete)
            .summary(
                "Deletes a user: profile, events, what was shown, factors, every trace. It can be read no more at once, and is gone \
                 from the files after `privacy.purge_after`, or by `POST /v1/purges`",
            )
            .answers_nothing(204, "Nothing of it can be read any more")
            .problems(&[404]),
        Route::new(Method::GET, "/v1/users/{id}/events", "listUserEvents", MANAGE, events)
            .summary("Lists a user's events, the newest first")
            .query(&[PAGE_LIMIT])
            .answers::<UserEvents>(200, "The events")
            .problems(&[404]),
        Route::new(Method::GET, "/v1/users/{id}/export", "exportUser", MANAGE, export)
            .class(Class::Bulk)
            .summary("All that is known about a user: profile, events, what was shown, counters, features, experiments")
            .query(&[VECTORS])
            .answers::<UserExport>(200, "All of it")
            .problems(&[404]),
        Route::new(Method::PUT, "/v1/users/{id}/merge/{from}", "mergeUsers", MANAGE, merge)
            .summary("Gives this user the events and the profile of another, who turns out to be the same person and is deleted")
            .answers::<Merged>(200, "How many events moved, and how many attributes are new")
            .problems(&[404]),
    ]
}

fn put_many(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let users: Vec<User> = call.records("users")?;
    Reply::json(&context.engine.put_users(&users)?)
}

fn list(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let limit = call.value("limit").unwrap_or(PAGE);
    let page = context.engine.users(call.text("cursor"), limit)?;
    Reply::json(&Listing::from(page))
}

fn put(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let id = call.path("id")?;
    let mut user: User = call.body()?;
    if user.id.is_empty() {
        user.id = id.to_owned();
    } else if user.id != id {
        return Err(Problem::invalid("id", format!("is \"{}\" in the body and \"{id}\" in the path", user.id)));
    }
    user.validate()?;
    let put = context.engine.put_users(&[user])?;
    if put.created == 0 {
        return Reply::json(&put);
    }
    let place = format!("/v1/users/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
    Ok(Reply::json_with(StatusCode::CREATED, &put)?.at(&place))
}

fn patch(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let patch: UserPatch = call.body()?;
    Reply::json(&context.engine.patch_user(call.path("id")?, patch)?)
}

fn get(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let id = call.path("id")?;
    let user = context.engine.user(id)?.ok_or_else(|| Error::not_found("user", id))?;
    Reply::json(&user)
}

fn delete(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let id = call.path("id")?;
    if context.engine.delete_user(id)? { Ok(Reply::nothing()) } else { Err(Error::not_found("user", id).into()) }
}

fn events(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let limit = call.value("limit").unwrap_or(PAGE);
    let events = context.engine.user_events(call.path("id")?, limit)?;
    Reply::json(&UserEvents { events })
}

fn export(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.export_user(call.path("id")?, call.value("vectors").unwrap_or(false))?)
}

fn merge(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let merged = context.engine.merge_users(call.path("id")?, call.path("from")?)?;
    Reply::json(&merged)
}
