//! Snapshots: what there is, and which of them answers.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Manifest;
use crate::record::SnapshotId;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::Route;

/// The snapshots that are kept.
#[derive(Serialize, JsonSchema)]
struct Snapshots {
    /// The one that answers.
    active: Option<SnapshotId>,
    /// All of them.
    snapshots: Vec<Manifest>,
}

/// The snapshot that answers from now on.
#[derive(Serialize, JsonSchema)]
struct Active {
    /// Its number.
    active: SnapshotId,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/snapshots", "listSnapshots", list)
            .summary("Lists the snapshots that are kept")
            .answers::<Snapshots>(200, "The snapshots"),
        Route::new(Method::GET, "/v1/snapshots/{id}", "getSnapshot", get)
            .summary("What a snapshot is made of and how good it is")
            .answers::<Manifest>(200, "The snapshot")
            .problems(&[404]),
        Route::new(Method::POST, "/v1/snapshots/{id}:activate", "activateSnapshot", activate)
            .summary("Lets a snapshot answer from now on")
            .answers::<Active>(200, "It answers")
            .problems(&[404, 409]),
        Route::new(Method::POST, "/v1/snapshots:rollback", "rollBack", roll_back)
            .summary("Goes back to the snapshot that answered before")
            .answers::<Active>(200, "It answers again")
            .problems(&[404, 409]),
    ]
}

fn list(context: &Context, _: &Call) -> Result<Reply, Problem> {
    let snapshots = context.engine.snapshots()?;
    Reply::json(&Snapshots { active: context.engine.active_snapshot(), snapshots })
}

fn get(context: &Context, call: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.snapshot(SnapshotId(call.path_number("id")?))?)
}

fn activate(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let active = SnapshotId(call.path_number("id")?);
    context.engine.activate(active)?;
    Reply::json(&Active { active })
}

fn roll_back(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&Active { active: context.engine.rollback()? })
}
