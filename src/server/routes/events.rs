//! `POST /v1/events`. Each event is judged on its own: good ones are stored, in one batch, though others are refused, so
//! that one bad row does not cost a client its whole batch. When nothing could be stored because every event is bad, the
//! answer is a 400 whose `rejected` says why.

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Durability;
use crate::engine::Refusal;
use crate::error::Error;
use crate::record::Event;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::{Problem, Rejected};
use crate::server::records::Fault;
use crate::server::reply::Reply;
use crate::server::route::{Parameter, ParameterKind, Route, WRITE};

/// So many refused events are described; the rest are only counted.
const MAX_DESCRIBED: usize = 1_000;

const DURABILITY: Parameter = Parameter {
    name: "durability",
    about: "`sync`: acknowledged when on disk; `async`: when the operating system has it. The configuration's if absent",
    kind: ParameterKind::Word(&["sync", "async"]),
};

/// What became of the events.
#[derive(Serialize, JsonSchema)]
struct Accepted {
    /// Stored now; to publishable keys, with those known already.
    accepted: u64,
    /// Known already: the same user, item, type, time and id. Publishable keys are told of none.
    duplicates: u64,
    /// How many were refused.
    rejected_count: u64,
    /// The refused ones, up to 1,000 of them.
    rejected: Vec<Rejected>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/v1/events", "appendEvents", WRITE, append)
            .summary("Appends one or many events; good ones are stored though others are refused")
            .query(&[DURABILITY])
            .takes_many::<Event>()
            .answers::<Accepted>(200, "What became of the events"),
    ]
}

fn append(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let durability = match call.text("durability") {
        Some("async") => Durability::Async,
        Some(_) => Durability::Sync,
        None => context.engine.config().store.durability,
    };
    let (mut events, mut places) = (Vec::new(), Vec::new());
    let mut rejected = Vec::new();
    let mut rejected_count = 0;
    for (index, record) in call.each_record::<Event>()?.into_iter().enumerate() {
        let checked = record.and_then(|event| {
            event.validate().and_then(|()| known(context, call, &event)).map(|()| event).map_err(Fault::from)
        });
        match checked {
            Ok(event) => {
                events.push(event);
                places.push(index);
            }
            Err(fault) => {
                rejected_count += 1;
                if rejected.len() < MAX_DESCRIBED {
                    rejected.push(fault.into_rejected(index));
                }
            }
        }
    }
    if events.is_empty() && rejected_count > 0 {
        return Err(all_bad(rejected));
    }
    let (appended, refused) = context.engine.append_fitting(&events, durability)?;
    let is_none = !events.is_empty() && refused.len() == events.len();
    if let [Refusal { error: error @ Error::Quota { .. }, .. }, ..] = &refused[..]
        && is_none
        && rejected_count == 0
    {
        // There is room for none: that is not for one of them.
        return Err(Problem::new(StatusCode::FORBIDDEN, error.code(), error.to_string()));
    }
    rejected_count += refused.len() as u64;
    let of_request = |refusal: Refusal| {
        let index = places.get(refusal.place).copied().unwrap_or_default();
        Fault::from(refusal.error).into_rejected(index)
    };
    rejected.extend(refused.into_iter().map(of_request));
    rejected.sort_by_key(|rejected: &Rejected| rejected.index);
    rejected.truncate(MAX_DESCRIBED);
    if is_none && rejected.iter().all(|rejected| rejected.code == "invalid") {
        return Err(all_bad(rejected));
    }
    let (mut accepted, mut duplicates) = (appended.stored, appended.known);
    if call.caller().is_publishable() {
        // Which events were there already tells what people have done.
        (accepted, duplicates) = (accepted + duplicates, 0);
    }
    Reply::json(&Accepted { accepted, duplicates, rejected_count, rejected })
}

/// What everybody can send puts nothing into the catalogue.
fn known(context: &Context, call: &Call, event: &Event) -> Result<(), Error> {
    if call.caller().is_publishable() && !context.engine.has_item(&event.item)? {
        return Err(Error::invalid("item", "is not in the catalogue; only a secret key sends events with new items"));
    }
    Ok(())
}

fn all_bad(rejected: Vec<Rejected>) -> Problem {
    let first = rejected.first();
    let reason = first.map_or_else(String::new, |first| match &first.field {
        Some(field) => format!("{field}: {}", first.reason),
        None => first.reason.clone(),
    });
    let field = first.and_then(|first| first.field.clone());
    let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid", format!("no event is acceptable; {reason}"));
    let problem = problem.with_rejected(rejected);
    match field {
        Some(field) => problem.in_field(field),
        None => problem,
    }
}
