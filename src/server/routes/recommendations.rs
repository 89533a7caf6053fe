//! The main question, asked three ways: by URL for a known user, with a body for everything a [`Query`] can say, and many at
//! once. A question about an unknown user, or before anything is trained, is answered with the next best list and says so
//! in `degraded`.

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CATEGORY, LIMIT};
use crate::record::{Answer, ExcludeSeen, Query, RankQuery};
use crate::server::admission::Class;
use crate::server::call::Call;
use crate::server::context::Context;
use crate::server::problem::Problem;
use crate::server::reply::Reply;
use crate::server::route::{Lane, Parameter, ParameterKind, READ, READ_SECRET, Route};

/// The most queries in one batch.
const MAX_BATCH: usize = 1_000;
/// The most items that the answers of a batch may have together; explained ones count ten times.
const MAX_BATCH_ITEMS: usize = 100_000;
const EXPLAINED_WEIGHS: usize = 10;
/// The most session items and excluded items of a batch together.
const MAX_BATCH_WORDS: usize = 100_000;

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

const SCENARIO: Parameter = Parameter {
    name: "scenario",
    about: "The scenario that says how to answer; `default` if absent, where there is one",
    kind: ParameterKind::Text,
};
const NEXT_LIMIT: Parameter = Parameter {
    name: "limit",
    about: "How many items are wanted; as many as before if absent",
    kind: ParameterKind::Text,
};

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
        Route::new(Method::GET, "/v1/users/{id}/recommendations", "recommendForUser", READ, for_user)
            .group("recommendations")
            .summary("What should this user see next?")
            .query(&[LIMIT, SCENARIO, CATEGORY, EXCLUDE_SEEN, EXPLAIN])
            .lane(Lane::Quick)
            .answers::<Answer>(200, "Items, the best first"),
        Route::new(Method::POST, "/v1/recommendations", "recommend", READ, recommend)
            .class(Class::Read)
            .summary("What should this user or visitor see next? With session, filters and exclusions")
            .takes::<Query>()
            .answers::<Answer>(200, "Items, the best first"),
        Route::new(Method::POST, "/v1/recommendations:batch", "recommendBatch", READ_SECRET, batch)
            .class(Class::Bulk)
            .summary("Several questions in one request")
            .takes::<Batch>()
            .answers::<Answers>(200, "One answer for each query, in their order"),
        Route::new(Method::POST, "/v1/recommendations/{recommendation_id}/next", "nextPage", READ, next)
            .class(Class::Read)
            .summary("The next page of an answer, without repeats, by what is known now; for half an hour")
            .query(&[NEXT_LIMIT])
            .lane(Lane::Quick)
            .answers::<Answer>(200, "Items, the best first")
            .problems(&[404]),
        Route::new(Method::POST, "/v1/rank", "rank", READ, rank)
            .class(Class::Read)
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
    answer(context, call, &query)
}

fn recommend(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let query: Query = call.body()?;
    answer(context, call, &query)
}

fn answer(context: &Context, call: &Call, query: &Query) -> Result<Reply, Problem> {
    call.caller().may_ask(query)?;
    if call.caller().is_publishable() {
        // Which others there are is for secret keys.
        if let Some(name) = query.scenario.as_ref().filter(|name| !context.engine.has_scenario(name)) {
            return Err(Problem::invalid("scenario", format!("is \"{name}\", which is not there")));
        }
        // The variant of an experiment may have asked for more than may be seen.
        let answer = context.engine.recommend_at(query, call.effort())?;
        return Reply::json(&context.note(call.caller().shown(answer)));
    }
    let (json, degraded) = context.engine.recommend_json(query, call.effort())?;
    context.note_degraded(degraded);
    Ok(Reply::new(StatusCode::OK, "application/json", json))
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
    let items = |query: &Query| query.limit * if query.explain { EXPLAINED_WEIGHS } else { 1 };
    for (what, sum, most) in [
        ("items are asked for; explained ones count ten times", batch.queries.iter().map(items).sum(), MAX_BATCH_ITEMS),
        ("session and excluded items are given", batch.queries.iter().map(words).sum(), MAX_BATCH_WORDS),
    ] {
        let sum: usize = sum;
        if sum > most {
            return Err(Problem::invalid("queries", format!("{sum} {what}, expected at most {most} in a batch")));
        }
    }
    let answers = context.engine.recommend_many(&batch.queries)?;
    Reply::json(&Answers { answers: answers.into_iter().map(|answer| context.note(answer)).collect() })
}

fn words(query: &Query) -> usize {
    query.session.len() + query.exclude_items.len()
}

fn next(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let parse = |text: &str| {
        text.parse().map_err(|_| Problem::invalid("limit", format!("is \"{text}\", expected a whole number")))
    };
    let limit = call.text("limit").map(parse).transpose()?;
    let page = context.engine.next_page_at(call.path("recommendation_id")?, limit, call.effort())?;
    Reply::json(&context.note(call.caller().shown(page)))
}

fn rank(context: &Context, call: &Call) -> Result<Reply, Problem> {
    let mut query: RankQuery = call.body()?;
    call.caller().may_explain(query.explain)?;
    query.shown_only = call.caller().is_publishable();
    let answer = context.engine.rank_at(&query, call.effort())?;
    Reply::json(&context.note(call.caller().shown(answer)))
}
