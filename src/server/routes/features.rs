//! `/v1/features`: the columns of the feature table, and what serving knows of a user and an item.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::{FeatureColumn, FeatureValues};
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{MANAGE, OBSERVE, Parameter, ParameterKind, Route};

/// The feature table.
#[derive(Serialize, JsonSchema)]
struct Features {
    /// Its columns, in order; their distributions are left out.
    columns: Vec<FeatureColumn>,
}

const ITEM: Parameter = Parameter {
    name: "item",
    about: "Id of an item: its own features and those of the user with it are added",
    kind: ParameterKind::Text,
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/features", "listFeatures", OBSERVE, list)
            .class(Class::Bulk)
            .group("features")
            .summary("Lists the columns of the feature table; looks at all users and items")
            .answers::<Features>(200, "The columns"),
        Route::new(Method::GET, "/v1/users/{id}/features", "getUserFeatures", MANAGE, values)
            .group("features")
            .summary("Reads the features of a user, with an item or without, as serving knows them now")
            .query(&[ITEM])
            .answers::<FeatureValues>(200, "The values")
            .problems(&[404]),
        Route::new(Method::GET, "/v1/items/{id}/features", "getItemFeatures", MANAGE, of_item)
            .group("features")
            .summary("Reads the features of an item as serving knows them now")
            .answers::<FeatureValues>(200, "The values")
            .problems(&[404]),
    ]
}

fn list(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&Features { columns: context.engine.feature_columns()? })
}

fn values(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.feature_values(Some(call.path("id")?), call.text("item"))?)
}

fn of_item(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.feature_values(None, Some(call.path("id")?))?)
}
