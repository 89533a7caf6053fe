//! `/v1/scenarios`: serving configurations, changed without a restart; each change is a version.

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::record::{Scenario, ScenarioVersion};
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{MANAGE, Parameter, ParameterKind, Route};

/// Scenarios.
#[derive(Serialize, JsonSchema)]
struct Scenarios {
    /// As they answer now, in the order of their names.
    scenarios: Vec<ScenarioVersion>,
}

/// The past of a scenario.
#[derive(Serialize, JsonSchema)]
struct ScenarioVersions {
    /// The newest first; a deletion is a version without a scenario.
    versions: Vec<ScenarioVersion>,
}

const EXPECTED: Parameter = Parameter {
    name: "expected_version",
    about: "Only if this is still the version; 0 if there is none yet",
    kind: ParameterKind::Text,
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/scenarios", "listScenarios", MANAGE, list)
            .summary("Lists the scenarios as they answer now")
            .answers::<Scenarios>(200, "The scenarios"),
        Route::new(Method::GET, "/v1/scenarios/{name}", "getScenario", MANAGE, get)
            .summary("Reads a scenario as it answers now")
            .answers::<ScenarioVersion>(200, "The scenario")
            .problems(&[404]),
        Route::new(Method::GET, "/v1/scenarios/{name}/versions", "listScenarioVersions", MANAGE, versions)
            .summary("Lists the last hundred versions of a scenario")
            .answers::<ScenarioVersions>(200, "The versions, the newest first")
            .problems(&[404]),
        Route::new(Method::PUT, "/v1/scenarios/{name}", "putScenario", MANAGE, put)
            .summary("Puts a scenario as a new version, which answers from the next question on")
            .query(&[EXPECTED])
            .takes::<Scenario>()
            .answers::<ScenarioVersion>(200, "The scenario was there")
            .answers::<ScenarioVersion>(201, "The scenario is new")
            .problems(&[409]),
        Route::new(Method::DELETE, "/v1/scenarios/{name}", "deleteScenario", MANAGE, delete)
            .summary("Deletes a scenario; its versions stay to be looked up")
            .query(&[EXPECTED])
            .answers_nothing(204, "It answers no more")
            .problems(&[404, 409]),
    ]
}

fn list(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&Scenarios { scenarios: context.engine.scenarios() })
}

fn get(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.scenario(call.path("name")?)?)
}

fn versions(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&ScenarioVersions { versions: context.engine.scenario_versions(call.path("name")?)? })
}

fn put(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let name = call.path("name")?;
    let is_new = context.engine.scenario(name).is_err();
    let version = context.engine.put_scenario(name, call.body()?, expected(call)?)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Reply::json_with(status, &version)?.at(&format!("/v1/scenarios/{name}")))
}

fn delete(context: &Context, call: &Call) -> Result<Reply, Problem> {
    context.engine.delete_scenario(call.path("name")?, expected(call)?)?;
    Ok(Reply::nothing())
}

fn expected(call: &Call) -> Result<Option<u64>, Problem> {
    let parse = |text: &str| {
        text.parse().map_err(|_| Error::invalid(EXPECTED.name, format!("is \"{text}\", expected a whole number")))
    };
    Ok(call.text(EXPECTED.name).map(parse).transpose()?)
}
