//! What has drifted, and what was decided about snapshots without anybody's hand.

use super::audit::{self, BEFORE};
use super::{PAGE, PAGE_LIMIT};
use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::monitor::{Decision, DriftReport};
use crate::record::Timestamp;
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{OBSERVE, Route};

/// Decisions with their numbers.
#[derive(Serialize, JsonSchema)]
struct Decisions {
    /// The newest first.
    decisions: Vec<Decision>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/drift", "getDrift", OBSERVE, drift)
            .group("operations")
            .summary(
                "What has changed in the events since the snapshot that answers was trained, and which alarms are up",
            )
            .class(Class::Long)
            .answers::<DriftReport>(200, "Each statistic and its level"),
        Route::new(Method::GET, "/v1/decisions", "listDecisions", OBSERVE, decisions)
            .class(Class::Operate)
            .group("operations")
            .summary("What the retraining policy decided, and by which numbers, as long as `retrain.history` keeps it")
            .query(&[PAGE_LIMIT, BEFORE])
            .answers::<Decisions>(200, "The newest first"),
    ]
}

fn drift(context: &Context, _: &Call) -> Result<Reply, Problem> {
    Reply::json(&context.engine.drift(Timestamp::now())?)
}

fn decisions(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let mut decisions = context.engine.decisions()?;
    if let Some(before) = audit::before(call)? {
        decisions.retain(|decision| decision.time < before);
    }
    decisions.truncate(call.value("limit").unwrap_or(PAGE));
    Reply::json(&Decisions { decisions })
}
