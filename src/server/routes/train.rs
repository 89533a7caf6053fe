//! Training as a background job: start, follow, cancel. One at a time; a second is a 409.

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::{Job, TrainOptions};
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{OBSERVE, OPERATE, Route};

/// All jobs that are remembered.
#[derive(Serialize, JsonSchema)]
struct Jobs {
    /// The jobs.
    jobs: Vec<Job>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/v1/train", "train", OPERATE, train)
            .class(Class::Operate)
            .group("jobs")
            .summary("Starts training a new snapshot in the background; it goes live as `activate` says")
            .may_take::<TrainOptions>()
            .answers::<Job>(202, "Started; `Location` names the job")
            .problems(&[409]),
        Route::new(Method::GET, "/v1/jobs", "listJobs", OBSERVE, list)
            .class(Class::Operate)
            .summary("Lists background jobs")
            .answers::<Jobs>(200, "The jobs"),
        Route::new(Method::GET, "/v1/jobs/{id}", "getJob", OBSERVE, get)
            .class(Class::Operate)
            .numbered()
            .summary("Where a job stands")
            .answers::<Job>(200, "The job")
            .problems(&[404]),
        Route::new(Method::DELETE, "/v1/jobs/{id}", "cancelJob", OPERATE, cancel)
            .class(Class::Operate)
            .numbered()
            .summary("Cancels a job")
            .answers::<Job>(200, "The job; it ends at its next step")
            .problems(&[404, 409]),
    ]
}

fn train(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let options: TrainOptions = call.body_or_default()?;
    let job = context.engine.start_training(&options)?;
    Ok(Reply::json_with(StatusCode::ACCEPTED, &job)?.at(&format!("/v1/jobs/{}", job.id)))
}

fn list(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&Jobs { jobs: context.engine.jobs()? })
}

fn get(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.job(call.path_number("id")?)?)
}

fn cancel(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.cancel_job(call.path_number("id")?)?)
}
