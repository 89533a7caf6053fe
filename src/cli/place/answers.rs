//! Answers: what somebody should see, what is like it, what is popular.

use serde::{Deserialize, Serialize};

use crate::cli::args::Narrow;
use crate::cli::context::Place;
use crate::cli::failure::Failure;
use crate::cli::remote::segment;
use crate::record::{Answer, Likeness, ListKind, ListQuery, Neighbour, Query, RankQuery, SimilarQuery};

#[derive(Serialize)]
struct Queries {
    queries: Vec<Query>,
}

#[derive(Deserialize)]
struct Answers {
    answers: Vec<Answer>,
}

impl Place {
    /// What should this user see next?
    pub fn recommend(&self, query: &Query) -> Result<Answer, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.recommend(query)?),
            Self::There(remote) => remote.post("/v1/recommendations", query),
        }
    }

    /// The same for many, in their order: up to [`super::LARGEST_PAGE`] at once.
    pub fn recommend_many(&self, queries: Vec<Query>) -> Result<Vec<Answer>, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.recommend_many(&queries)?),
            Self::There(remote) => {
                Ok(remote.post::<_, Answers>("/v1/recommendations:batch", &Queries { queries })?.answers)
            }
        }
    }

    /// The caller's own candidates, the best first.
    pub fn rank(&self, query: &RankQuery) -> Result<Answer, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.rank(query)?),
            Self::There(remote) => remote.post("/v1/rank", query),
        }
    }

    /// Items like this one.
    pub fn similar_items(&self, item: &str, by: Likeness, narrow: Narrow) -> Result<Answer, Failure> {
        match self {
            Self::Here(engine) => {
                let limit = narrow.limit;
                let query = SimilarQuery { by, limit, filter: narrow.into_filter(), ..SimilarQuery::new(item) };
                Ok(engine.similar_items(&query)?)
            }
            Self::There(remote) => {
                let by = if by == Likeness::Next { "next" } else { "taste" };
                remote.get(&format!("/v1/items/{}/similar?by={by}&{}", segment(item), narrowed(&narrow)?))
            }
        }
    }

    /// Users like this one.
    pub fn similar_users(&self, query: &SimilarQuery) -> Result<Vec<Neighbour>, Failure> {
        #[derive(Deserialize)]
        struct Neighbours {
            users: Vec<Neighbour>,
        }
        match self {
            Self::Here(engine) => Ok(engine.similar_users(query)?),
            Self::There(remote) => {
                let path = format!("/v1/users/{}/similar?limit={}", segment(&query.id), query.limit);
                Ok(remote.get::<Neighbours>(&path)?.users)
            }
        }
    }

    /// A list that is the same for everybody.
    pub fn list(&self, list: ListKind, narrow: Narrow) -> Result<Answer, Failure> {
        match self {
            Self::Here(engine) => {
                let limit = narrow.limit;
                Ok(engine.list(&ListQuery { list, limit, filter: narrow.into_filter() })?)
            }
            Self::There(remote) => {
                let name = match list {
                    ListKind::Popular => "popular",
                    ListKind::Latest => "latest",
                };
                remote.get(&format!("/v1/lists/{name}?{}", narrowed(&narrow)?))
            }
        }
    }
}

fn narrowed(narrow: &Narrow) -> Result<String, Failure> {
    if narrow.filter.is_some() {
        return Err(Failure::Usage("a server takes --category here, not --filter".into()));
    }
    let limit = narrow.limit;
    Ok(match &narrow.category {
        Some(category) => format!("limit={limit}&category={}", segment(category)),
        None => format!("limit={limit}"),
    })
}
