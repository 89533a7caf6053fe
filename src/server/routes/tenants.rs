//! `/v1/tenants`: who there is, what each may use and has used; made, changed and deleted. For operators: asked without naming a
//! tenant.

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::{TenantSettings, TenantStatus};
use crate::record::TenantName;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{OPERATE, Parameter, ParameterKind, Route};

const CONFIRM: Parameter = Parameter {
    name: "confirm",
    about: "The name of the tenant once more: everything that it has is deleted",
    kind: ParameterKind::Text,
};

/// All tenants.
#[derive(Serialize, JsonSchema)]
struct TenantList {
    /// In the order of their names.
    tenants: Vec<TenantStatus>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/tenants", "listTenants", OPERATE, list)
            .home()
            .summary("Lists all tenants, what they may use and have used")
            .answers::<TenantList>(200, "The tenants"),
        Route::new(Method::GET, "/v1/tenants/{name}", "getTenant", OPERATE, get)
            .home()
            .summary("What a tenant is, what it may use and has used")
            .answers::<TenantStatus>(200, "The tenant")
            .problems(&[404]),
        Route::new(Method::PUT, "/v1/tenants/{name}", "putTenant", OPERATE, put)
            .home()
            .summary("Makes a tenant, or says otherwise of one: all that is said of it is replaced")
            .takes::<TenantSettings>()
            .answers::<TenantStatus>(200, "The tenant was there; a broken one is tried again")
            .answers::<TenantStatus>(201, "The tenant is new")
            .problems(&[404, 409, 503]),
        Route::new(Method::DELETE, "/v1/tenants/{name}", "deleteTenant", OPERATE, delete)
            .home()
            .query(&[CONFIRM])
            .summary("Deletes a tenant with everything that it has")
            .answers_nothing(204, "Gone")
            .problems(&[404, 409]),
    ]
}

fn list(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&TenantList { tenants: context.tenants.list()? })
}

fn get(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.tenants.show(&name(call)?)?)
}

fn put(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let (name, settings): (_, TenantSettings) = (name(call)?, call.body()?);
    if context.tenants.names().contains(&name) {
        return Reply::json(&context.tenants.set(&name, settings)?);
    }
    let made = context.tenants.create(&name, settings)?;
    Ok(Reply::json_with(StatusCode::CREATED, &made)?.at(&format!("/v1/tenants/{name}")))
}

fn delete(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let name = name(call)?;
    context.tenants.delete(&name, call.text("confirm").unwrap_or_default())?;
    context.metrics.forget_tenant(&name);
    Ok(Reply::nothing())
}

fn name(call: &Call) -> Result<TenantName, Problem> {
    call.path("name")?.parse().map_err(|error: crate::error::Error| Problem::from(error).in_field("name"))
}
