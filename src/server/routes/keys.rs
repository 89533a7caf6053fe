//! `/v1/keys`: making, listing, rotating and revoking API keys. Who is bound to a namespace sees and makes keys of that one alone.

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::record::{ApiKey, KeyDesign, NewKey, Span};
use crate::server::access::Caller;
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{OPERATE, Route};

/// The keys.
#[derive(Serialize, JsonSchema)]
struct Keys {
    /// The oldest first, also those that let nobody in any more.
    keys: Vec<ApiKey>,
}

/// How a key is rotated.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Rotation {
    /// The secrets before the new one are taken so long; `24h` if absent, `0s` refuses them at once.
    overlap: Span,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { overlap: Span::days(1) }
    }
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/v1/keys", "createKey", OPERATE, create)
            .of_caller()
            .class(Class::Operate)
            .summary("Makes a key; its secret is in this answer and nowhere else. From the first one on everybody needs a key")
            .takes::<KeyDesign>()
            .answers::<NewKey>(201, "The key with its token")
            .problems(&[404, 409]),
        Route::new(Method::GET, "/v1/keys", "listKeys", OPERATE, list)
            .of_caller()
            .summary("Lists the keys, without their secrets")
            .answers::<Keys>(200, "The oldest first"),
        Route::new(Method::GET, "/v1/keys/{id}", "getKey", OPERATE, get)
            .of_caller()
            .summary("Reads a key, without its secret")
            .answers::<ApiKey>(200, "The key")
            .problems(&[404]),
        Route::new(Method::POST, "/v1/keys/{id}:rotate", "rotateKey", OPERATE, rotate)
            .of_caller()
            .class(Class::Operate)
            .summary("Gives a key a new secret; the ones before are taken for a while, so that who uses them can change over")
            .may_take::<Rotation>()
            .answers::<NewKey>(200, "The key with its new token")
            .problems(&[404, 409]),
        Route::new(Method::DELETE, "/v1/keys/{id}", "revokeKey", OPERATE, revoke)
            .of_caller()
            .summary("Revokes a key: from now on it lets nobody in")
            .answers_nothing(204, "Revoked")
            .problems(&[404]),
    ]
}

fn create(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let mut design: KeyDesign = call.body()?;
    if let Some(own) = call.caller().tenant() {
        let tenant = design.tenant.get_or_insert_with(|| own.to_owned());
        if tenant != own {
            let detail = "a key that is bound to a namespace makes keys for no other";
            return Err(Problem::new(StatusCode::FORBIDDEN, "other_tenant", detail).in_field("tenant"));
        }
    }
    let made = context.tenants.create_key_by(&design, call.caller().proof())?;
    Ok(Reply::json_with(StatusCode::CREATED, &made)?.at(&format!("/v1/keys/{}", made.key.id)))
}

fn list(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let keys = context.engine.keys().into_iter().filter(|key| is_visible(key, call.caller())).collect();
    Reply::json(&Keys { keys })
}

fn get(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&named(context, call)?)
}

fn rotate(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let rotation: Rotation = call.body_or_default()?;
    let key = named(context, call)?;
    Reply::json(&context.engine.rotate_key_by(&key.id, rotation.overlap, call.caller().proof())?)
}

fn revoke(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let key = named(context, call)?;
    context.engine.revoke_key(&key.id)?;
    Ok(Reply::nothing())
}

/// The key of the path; one of another namespace is not there.
fn named(context: &Context, call: &Call) -> Result<ApiKey, Problem> {
    let id = call.path("id")?;
    let key = context.engine.key(id)?;
    if is_visible(&key, call.caller()) { Ok(key) } else { Err(Error::not_found("key", id).into()) }
}

fn is_visible(key: &ApiKey, caller: &Caller) -> bool {
    caller.tenant().is_none_or(|own| key.tenant.as_deref() == Some(own))
}
