//! Lists that are not personal: what is near to an item, a user or a vector, what is popular and what is new.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::{CATEGORY, LIMIT};
use crate::error::Error;
use crate::record::{Answer, Filter, Likeness, ListKind, ListQuery, Neighbour, SimilarQuery, VectorQuery};
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{Lane, Parameter, ParameterKind, READ, READ_SECRET, Route};

const BY: Parameter = Parameter {
    name: "by",
    about: "`taste`, the default: the same people like both; `next`: people take it after this one",
    kind: ParameterKind::Word(&["taste", "next"]),
};

/// Users with a similar taste.
#[derive(Serialize, JsonSchema)]
struct Neighbours {
    /// The nearest first.
    users: Vec<Neighbour>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/items/{id}/similar", "similarItems", READ, similar_items)
            .group("lists")
            .summary("Items like this one, or those that people take next")
            .query(&[LIMIT, CATEGORY, BY])
            .lane(Lane::Quick)
            .answers::<Answer>(200, "Items, the most similar first")
            .problems(&[404]),
        Route::new(Method::GET, "/v1/users/{id}/similar", "similarUsers", READ_SECRET, similar_users)
            .class(Class::Bulk)
            .group("lists")
            .summary("Users with a similar taste")
            .query(&[LIMIT])
            .answers::<Neighbours>(200, "Users, the most similar first")
            .problems(&[404]),
        Route::new(Method::GET, "/v1/lists/{name}", "list", READ, list)
            .summary("A list that is the same for everybody: `popular` or `latest`")
            .query(&[LIMIT, CATEGORY])
            .lane(Lane::Quick)
            .answers::<Answer>(200, "Items, the first of the list first")
            .problems(&[404]),
        Route::new(Method::POST, "/v1/vectors/search", "searchVectors", READ, search)
            .class(Class::Read)
            .summary("The nearest items to a vector in a space of vectors that you brought")
            .takes::<VectorQuery>()
            .answers::<Answer>(200, "Items, the nearest first")
            .problems(&[404]),
    ]
}

fn category(call: &Call) -> Option<Filter> {
    call.text("category").map(Filter::category)
}

fn similar_items(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let mut query = SimilarQuery::new(call.path("id")?);
    query.limit = call.value("limit").unwrap_or(query.limit);
    query.filter = category(call);
    query.by = match call.text("by") {
        Some("next") => Likeness::Next,
        _ => Likeness::Taste,
    };
    query.shown_only = call.caller().is_publishable();
    Reply::json(&context.note(context.engine.similar_items(&query)?))
}

fn similar_users(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let mut query = SimilarQuery::new(call.path("id")?);
    query.limit = call.value("limit").unwrap_or(query.limit);
    Reply::json(&Neighbours { users: context.engine.similar_users(&query)? })
}

fn list(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let list = match call.path("name")? {
        "popular" => ListKind::Popular,
        "latest" => ListKind::Latest,
        other => return Err(Error::not_found("list", other).into()),
    };
    let mut query = ListQuery::new(list);
    query.limit = call.value("limit").unwrap_or(query.limit);
    query.filter = category(call);
    Reply::json(&context.note(context.engine.list(&query)?))
}

fn search(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let query: VectorQuery = call.body()?;
    let answer = context.engine.search_vectors(&query)?;
    Reply::json(&context.note(call.caller().shown(answer)))
}
