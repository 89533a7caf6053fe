//! `/v1/audit`: what was done, by which key, and who was not let in.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::{PAGE, PAGE_LIMIT};
use crate::engine::AuditQuery;
use crate::error::Error;
use crate::record::{AuditEntry, Timestamp};
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{OPERATE, Parameter, ParameterKind, Route};

pub const BEFORE: Parameter = Parameter {
    name: "before",
    about: "Only entries before this time, RFC 3339: the last one of the page before",
    kind: ParameterKind::Text,
};
const KEY: Parameter =
    Parameter { name: "key", about: "Only what was done with the key of this id", kind: ParameterKind::Text };
const USER: Parameter = Parameter { name: "user", about: "Only what was done to this user", kind: ParameterKind::Text };

/// Entries of the audit log.
#[derive(Serialize, JsonSchema)]
struct Audit {
    /// The newest first.
    entries: Vec<AuditEntry>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/audit", "getAudit", OPERATE, audit)
            .of_caller()
            .group("operations")
            .summary("What was done, by which key, and who was not let in")
            .class(Class::Bulk)
            .query(&[PAGE_LIMIT, BEFORE, KEY, USER])
            .answers::<Audit>(200, "The newest first"),
    ]
}

fn audit(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let own = call.caller().tenant();
    // Who had the name before is somebody else.
    let since = own.map(|own| context.tenants.created(own)).transpose()?.flatten();
    let query = AuditQuery {
        limit: call.value("limit").unwrap_or(PAGE),
        before: before(call)?,
        key: call.text("key").map(str::to_owned),
        user: call.text("user").map(str::to_owned),
        since,
        tenant: own.map(str::to_owned),
    };
    Reply::json(&Audit { entries: context.engine.audit_log(&query)? })
}

/// The parameter [`BEFORE`].
pub fn before(call: &Call) -> Result<Option<Timestamp>, Error> {
    call.text("before").map(str::parse).transpose().map_err(|error: Error| match error {
        Error::Invalid { reason, .. } => Error::invalid("before", reason),
        other => other,
    })
}
