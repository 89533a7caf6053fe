//! The main question, asked three ways: by URL for a known user, with a body for everything a [`Query`] can say, and many at
//! once. A question about an unknown user, or before anything is trained, is answered with the next best list and says so
//! in `degraded`.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CATEGORY, LIMIT};
use crate::record::{Answer, ExcludeSeen, Query, RankQuery};
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{Lane, Parameter, ParameterKind, Route};

/// The most queries in one batch.
const MAX_BATCH: usize = 1_000;

const EXPLAIN: Parameter = Parameter {
    name: "explain",
    about: "Split each score over the user's past items",
    kind: ParameterKind::Flag { default: false },
};
const EXCLUDE_SEEN: Parameter = Parameter {
    name: "exclude_seen",
    about: "Leave out items that the user had an event with",
    kind: ParameterKind::Flag { default: true },
};

const SCENARIO: Parameter =
    Parameter { name: "scenario", about: "The serving configuration that is asked for", kind: ParameterKind::Text };

/// Several questions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Batch {
    /// 1 to 1,000 queries.
    queries: Vec<Query>,
}

/// Their answers.
#[derive(Serialize, JsonSchema)]
struct Answers {
    /// One for each query, in their order.
    answers: Vec<Answer>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/v1/users/{id}/recommendations", "recommendForUser", for_user)
            .group("recommendations")
            .summary("What should this user see next?")
            .query(&[LIMIT, SCENARIO, CATEGORY, EXCLUDE_SEEN, EXPLAIN])
            .lane(Lane::Quick)
            .answers::<Answer>(200, "Items, the best first"),
        Route::new(Method::POST, "/v1/recommendations", "recommend", recommend)
            .summary("What should this user or visitor see next? With session, filters and exclusions")
            .takes::<Query>()
            .answers::<Answer>(200, "Items, the best first"),
        Route::new(Method::POST, "/v1/recommendations:batch", "recommendBatch", batch)
            .summary("Several questions in one request")
            .takes::<Batch>()
            .answers::<Answers>(200, "One answer for each query, in their order"),
        Route::new(Method::POST, "/v1/rank", "rank", rank)
            .group("recommendations")
            .summary("Ranks the caller's own candidates for a user or a session")
            .takes::<RankQuery>()
            .answers::<Answer>(200, "All candidates, the best first"),
    ]
}

fn for_user(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let mut query = Query::for_user(call.path("id")?);
    query.limit = call.value("limit").unwrap_or(query.limit);
    query.scenario = call.text("scenario").map(str::to_owned);
    query.category = call.text("category").map(str::to_owned);
    query.explain = call.value("explain").unwrap_or(query.explain);
    query.exclude_seen = call.value("exclude_seen").map_or(query.exclude_seen, ExcludeSeen::All);
    Reply::json(&context.note(context.engine.recommend(&query)?))
}

fn recommend(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let query: Query = call.body()?;
    Reply::json(&context.note(context.engine.recommend(&query)?))
}

fn batch(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let batch: Batch = call.body()?;
    if batch.queries.is_empty() || batch.queries.len() > MAX_BATCH {
        let reason = format!("lists {} queries, expected 1 to {MAX_BATCH}", batch.queries.len());
        return Err(Problem::invalid("queries", reason));
    }
    for (index, query) in batch.queries.iter().enumerate() {
        query.validate().map_err(|error| error.within(&format!("queries[{index}]")))?;
    }
    let answers = context.engine.recommend_many(&batch.queries)?;
    Reply::json(&Answers { answers: answers.into_iter().map(|answer| context.note(answer)).collect() })
}

fn rank(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let query: RankQuery = call.body()?;
    Reply::json(&context.note(context.engine.rank(&query)?))
}
