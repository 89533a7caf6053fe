//! Snapshots: what there is, and which of them answers.

use std::sync::TryLockError;
use std::time::Instant;

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Manifest;
use crate::engine::SnapshotComparison;
use crate::error::Error;
use crate::progress::{Progress, Step};
use crate::record::SnapshotId;
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{OBSERVE, OPERATE, Route};
use crate::server::wait;

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
        Route::new(Method::GET, "/v1/snapshots", "listSnapshots", OBSERVE, list)
            .class(Class::Operate)
            .summary("Lists the snapshots that are kept")
            .answers::<Snapshots>(200, "The snapshots"),
        Route::new(Method::GET, "/v1/snapshots/{id}", "getSnapshot", OBSERVE, get)
            .class(Class::Operate)
            .numbered()
            .summary("What a snapshot is made of and how good it is")
            .answers::<Manifest>(200, "The snapshot")
            .problems(&[404]),
        Route::new(Method::GET, "/v1/snapshots/{id}/compare/{other}", "compareSnapshots", OPERATE, compare)
            .class(Class::Long)
            .numbered()
            .summary("Ranks users by two snapshots and looks for the events that came after both were trained")
            .answers::<SnapshotComparison>(200, "The comparison; one is made at a time, within the time of a request")
            .problems(&[404, 409]),
        Route::new(Method::POST, "/v1/snapshots/{id}:activate", "activateSnapshot", OPERATE, activate)
            .class(Class::Operate)
            .numbered()
            .summary("Lets a snapshot answer from now on")
            .answers::<Active>(200, "It answers")
            .problems(&[404, 409]),
        Route::new(Method::POST, "/v1/snapshots:rollback", "rollBack", OPERATE, roll_back)
            .class(Class::Operate)
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

fn compare(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let (a, b) = (SnapshotId(call.path_number("id")?), SnapshotId(call.path_number("other")?));
    let _comparing = match context.comparing.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            return Err(Error::Conflict("another comparison of snapshots is in work; ask again".into()).into());
        }
    };
    let until = Instant::now() + wait(context.engine.config().server.request_timeout);
    Reply::json(&context.engine.compare_snapshots(a, b, &Awaited { context, until })?)
}

/// Work that is worth going on with as long as somebody waits for its answer.
struct Awaited<'a> {
    context: &'a Context,
    until: Instant,
}

impl Progress for Awaited<'_> {
    fn report(&self, _: &Step) {}

    fn cancelled(&self) -> bool {
        self.context.is_stopping() || Instant::now() > self.until
    }
}

fn activate(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let active = SnapshotId(call.path_number("id")?);
    context.engine.activate(active)?;
    Reply::json(&Active { active })
}

fn roll_back(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&Active { active: context.engine.rollback()? })
}
