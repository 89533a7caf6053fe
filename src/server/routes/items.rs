//! `/v1/items`: upsert, read, change, list, delete. A list of items in one request is stored whole or
//! not at all.

use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{CURSOR, Listing, PAGE, PAGE_LIMIT};
use crate::engine::Put;
use crate::error::Error;
use crate::record::{Item, ItemPatch};
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{MANAGE, Route};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/v1/items", "putItems", MANAGE, put_many)
            .data()
            .summary("Upserts one or many items, all or none; each replaces the whole record")
            .takes_many::<Item>()
            .answers::<Put>(200, "How many were new, changed and unchanged"),
        Route::new(Method::GET, "/v1/items", "listItems", MANAGE, list)
            .class(Class::Bulk)
            .summary("Lists items in the order of their ids")
            .query(&[PAGE_LIMIT, CURSOR])
            .answers::<Listing<Item>>(200, "A page of items"),
        Route::new(Method::PUT, "/v1/items/{id}", "putItem", MANAGE, put)
            .data()
            .summary("Upserts an item, replacing the whole record")
            .takes::<Item>()
            .answers::<Put>(200, "The item was known")
            .answers::<Put>(201, "The item is new"),
        Route::new(Method::PATCH, "/v1/items/{id}", "patchItem", MANAGE, patch)
            .data()
            .summary("Changes some fields of an item; an attribute given as null is removed")
            .takes::<ItemPatch>()
            .answers::<Item>(200, "The item after the change")
            .problems(&[404]),
        Route::new(Method::GET, "/v1/items/{id}", "getItem", MANAGE, get)
            .summary("Reads an item")
            .answers::<Item>(200, "The item")
            .problems(&[404]),
        Route::new(Method::DELETE, "/v1/items/{id}", "deleteItem", MANAGE, delete)
            .summary("Deletes an item with its events")
            .answers_nothing(204, "Gone")
            .problems(&[404]),
    ]
}

fn put_many(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let items: Vec<Item> = call.records("items")?;
    Reply::json(&context.engine.put_items(&items)?)
}

fn list(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let limit = call.value("limit").unwrap_or(PAGE);
    let page = context.engine.items(call.text("cursor"), limit)?;
    Reply::json(&Listing::from(page))
}

fn put(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let id = call.path("id")?;
    let mut item: Item = call.body()?;
    if item.id.is_empty() {
        item.id = id.to_owned();
    } else if item.id != id {
        return Err(Problem::invalid("id", format!("is \"{}\" in the body and \"{id}\" in the path", item.id)));
    }
    item.validate()?;
    let put = context.engine.put_items(&[item])?;
    if put.created == 0 {
        return Reply::json(&put);
    }
    let place = format!("/v1/items/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
    Ok(Reply::json_with(StatusCode::CREATED, &put)?.at(&place))
}

fn patch(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let patch: ItemPatch = call.body()?;
    Reply::json(&context.engine.patch_item(call.path("id")?, patch)?)
}

fn get(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let id = call.path("id")?;
    let item = context.engine.item(id)?.ok_or_else(|| Error::not_found("item", id))?;
    Reply::json(&item)
}

fn delete(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let id = call.path("id")?;
    if context.engine.delete_item(id)? { Ok(Reply::nothing()) } else { Err(Error::not_found("item", id).into()) }
}
