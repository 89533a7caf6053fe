//! Experiments: planned, foretold, started, looked at, stopped; and what another policy would have earned.

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::ReplayOptions;
use crate::experiment::{ExperimentForecast, ExperimentReport, OffPolicy};
use crate::record::{Experiment, ExperimentDesign, Exposure};
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{MANAGE, Route};

use super::PAGE_LIMIT;

/// All experiments.
#[derive(Serialize, JsonSchema)]
struct Experiments {
    /// In the order of their names.
    experiments: Vec<Experiment>,
}

/// What a user was shown.
#[derive(Serialize, JsonSchema)]
struct Exposures {
    /// The newest first.
    exposures: Vec<Exposure>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/experiments", "listExperiments", MANAGE, list)
            .summary("All experiments")
            .answers::<Experiments>(200, "In the order of their names"),
        Route::new(Method::GET, "/v1/experiments/{id}", "getExperiment", MANAGE, get)
            .summary("An experiment, and where it stands")
            .answers::<Experiment>(200, "The experiment")
            .problems(&[404]),
        Route::new(Method::PUT, "/v1/experiments/{id}", "putExperiment", MANAGE, put)
            .summary("Plans an experiment, or changes one; a running one in its traffic, which may grow, about and stop alone")
            .takes::<ExperimentDesign>()
            .answers::<Experiment>(200, "As it is now")
            .problems(&[409]),
        Route::new(Method::DELETE, "/v1/experiments/{id}", "deleteExperiment", MANAGE, delete)
            .summary("Removes an experiment that does not run")
            .answers_nothing(204, "Removed")
            .problems(&[404, 409]),
        Route::new(Method::POST, "/v1/experiments/{id}:start", "startExperiment", MANAGE, start)
            .summary("Users take part from now on")
            .answers::<Experiment>(200, "As it is now")
            .problems(&[404, 409]),
        Route::new(Method::POST, "/v1/experiments/{id}:stop", "stopExperiment", MANAGE, stop)
            .summary("Nobody takes part any more; outcomes of what was shown still count")
            .answers::<Experiment>(200, "As it is now")
            .problems(&[404, 409]),
        Route::new(Method::GET, "/v1/experiments/{id}/report", "getExperimentReport", MANAGE, report)
            .class(Class::Long)
            .summary("What may be concluded so far, as often as one likes to look")
            .answers::<ExperimentReport>(200, "Figures, intervals and a verdict")
            .problems(&[404, 409]),
        Route::new(Method::GET, "/v1/experiments/{id}/forecast", "getExperimentForecast", MANAGE, forecast)
            .class(Class::Long)
            .summary("How many users and days it would take, by what was shown in the last four weeks")
            .answers::<ExperimentForecast>(200, "By each metric")
            .problems(&[404, 409]),
        Route::new(Method::POST, "/v1/experiments:replay", "replay", MANAGE, replay)
            .class(Class::Long)
            .data()
            .summary("What a policy would have earned, from what was shown and what came of it")
            .takes::<ReplayOptions>()
            .answers::<OffPolicy>(200, "Estimates with intervals")
            .problems(&[404, 409]),
        Route::new(Method::GET, "/v1/users/{id}/exposures", "listUserExposures", MANAGE, exposures)
            .group("users")
            .summary("What a user was shown")
            .query(&[PAGE_LIMIT])
            .answers::<Exposures>(200, "The newest first"),
    ]
}

fn list(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&Experiments { experiments: context.engine.experiments()? })
}

fn get(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.experiment(call.path("id")?)?)
}

fn put(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let design: ExperimentDesign = call.body()?;
    Reply::json_with(StatusCode::OK, &context.engine.put_experiment(call.path("id")?, &design)?)
}

fn delete(context: &Context, call: &Call) -> Result<Reply, Problem> {
    context.engine.delete_experiment(call.path("id")?)?;
    Ok(Reply::nothing())
}

fn start(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.start_experiment(call.path("id")?)?)
}

fn stop(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.stop_experiment(call.path("id")?)?)
}

fn report(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.experiment_report(call.path("id")?)?)
}

fn forecast(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.experiment_forecast(call.path("id")?)?)
}

fn replay(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let options: ReplayOptions = call.body()?;
    Reply::json(&context.engine.replay(&options)?)
}

fn exposures(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let limit = call.value("limit").unwrap_or(super::PAGE);
    Reply::json(&Exposures { exposures: context.engine.user_exposures(call.path("id")?, limit)? })
}
