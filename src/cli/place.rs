//! The questions and changes that an engine here and a server elsewhere both take: one method each, so that commands do
//! not care where they are carried out.

use serde::{Deserialize, Serialize};

use super::args::Narrow;
use super::context::Place;
use super::failure::Failure;
use super::remote::segment;
use crate::engine::{
    AuditQuery, Expired, FeatureColumn, FeatureValues, Merged, Page, Purged, ReplayOptions, SnapshotComparison, Stats,
    UserExport,
};
use crate::error::Error;
use crate::experiment::{ExperimentForecast, ExperimentReport, OffPolicy};
use crate::monitor::{Decision, DriftReport};
use crate::progress::Progress;
use crate::record::{
    Answer, ApiKey, AuditEntry, Event, Experiment, ExperimentDesign, Item, KeyDesign, Likeness, ListKind, ListQuery,
    Neighbour, NewKey, Query, RankQuery, Scenario, ScenarioVersion, SimilarQuery, SnapshotId, Span, Timestamp, User,
};
use crate::snapshot::Manifest;

/// The most entries that a server gives at once.
pub const LARGEST_PAGE: usize = 1_000;

/// The snapshot that answers from now on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Active {
    /// Its number.
    pub active: SnapshotId,
}

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

    /// The same for many, in their order: up to [`LARGEST_PAGE`] at once.
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

    /// An item's record.
    pub fn item(&self, id: &str) -> Result<Option<Item>, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.item(id)?),
            Self::There(remote) => found(remote.get(&format!("/v1/items/{}", segment(id)))),
        }
    }

    /// A page of items, in the order of their ids.
    pub fn items(&self, cursor: Option<&str>, limit: usize) -> Result<Page<Item>, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.items(cursor, limit)?),
            Self::There(remote) => remote.get(&format!("/v1/items?{}", page(cursor, limit))),
        }
    }

    /// Removes an item and its events; whether there was one.
    pub fn delete_item(&self, id: &str) -> Result<bool, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.delete_item(id)?),
            Self::There(remote) => existed(remote.delete(&format!("/v1/items/{}", segment(id)))),
        }
    }

    /// A user's profile.
    pub fn user(&self, id: &str) -> Result<Option<User>, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.user(id)?),
            Self::There(remote) => found(remote.get(&format!("/v1/users/{}", segment(id)))),
        }
    }

    /// A page of users, in the order of their ids.
    pub fn users(&self, cursor: Option<&str>, limit: usize) -> Result<Page<User>, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.users(cursor, limit)?),
            Self::There(remote) => remote.get(&format!("/v1/users?{}", page(cursor, limit))),
        }
    }

    /// A user's events, the newest first; a server gives at most [`LARGEST_PAGE`] of them.
    pub fn user_events(&self, id: &str, limit: usize) -> Result<Vec<Event>, Failure> {
        #[derive(Deserialize)]
        struct UserEvents {
            events: Vec<Event>,
        }
        match self {
            Self::Here(engine) => Ok(engine.user_events(id, limit)?),
            Self::There(remote) => {
                let path = format!("/v1/users/{}/events?limit={}", segment(id), limit.min(LARGEST_PAGE));
                Ok(remote.get::<UserEvents>(&path)?.events)
            }
        }
    }

    /// Removes every trace of a user; whether there was any.
    pub fn delete_user(&self, id: &str) -> Result<bool, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.delete_user(id)?),
            Self::There(remote) => existed(remote.delete(&format!("/v1/users/{}", segment(id)))),
        }
    }

    /// All that is known about a user.
    pub fn export_user(&self, id: &str, vectors: bool) -> Result<UserExport, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.export_user(id, vectors)?),
            Self::There(remote) => remote.get(&format!("/v1/users/{}/export?vectors={vectors}", segment(id))),
        }
    }

    /// Removes what has been deleted from the files.
    pub fn purge(&self) -> Result<Purged, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.purge()?),
            Self::There(remote) => remote.post_nothing("/v1/purges"),
        }
    }

    /// Removes events that are older than the retention of their type.
    pub fn expire(&self) -> Result<Expired, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.expire_events(Timestamp::now())?),
            Self::There(remote) => remote.post_nothing("/v1/expirations"),
        }
    }

    /// The events of `from` become events of `into`.
    pub fn merge_users(&self, into: &str, from: &str) -> Result<Merged, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.merge_users(into, from)?),
            Self::There(remote) => remote.put_nothing(&format!("/v1/users/{}/merge/{}", segment(into), segment(from))),
        }
    }

    /// All scenarios as they answer now.
    pub fn scenarios(&self) -> Result<Vec<ScenarioVersion>, Failure> {
        #[derive(Deserialize)]
        struct Scenarios {
            scenarios: Vec<ScenarioVersion>,
        }
        match self {
            Self::Here(engine) => Ok(engine.scenarios()),
            Self::There(remote) => Ok(remote.get::<Scenarios>("/v1/scenarios")?.scenarios),
        }
    }

    /// A scenario as it answers now.
    pub fn scenario(&self, name: &str) -> Result<ScenarioVersion, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.scenario(name)?),
            Self::There(remote) => remote.get(&format!("/v1/scenarios/{}", segment(name))),
        }
    }

    /// The versions of a scenario, the newest first.
    pub fn scenario_versions(&self, name: &str) -> Result<Vec<ScenarioVersion>, Failure> {
        #[derive(Deserialize)]
        struct Versions {
            versions: Vec<ScenarioVersion>,
        }
        match self {
            Self::Here(engine) => Ok(engine.scenario_versions(name)?),
            Self::There(remote) => {
                Ok(remote.get::<Versions>(&format!("/v1/scenarios/{}/versions", segment(name)))?.versions)
            }
        }
    }

    /// Puts a scenario as a new version.
    pub fn put_scenario(
        &self,
        name: &str,
        scenario: Scenario,
        expected: Option<u64>,
    ) -> Result<ScenarioVersion, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.put_scenario(name, scenario, expected)?),
            Self::There(remote) => remote.put(&scenario_path(name, expected), &scenario),
        }
    }

    /// Deletes a scenario.
    pub fn delete_scenario(&self, name: &str, expected: Option<u64>) -> Result<(), Failure> {
        match self {
            Self::Here(engine) => Ok(engine.delete_scenario(name, expected)?),
            Self::There(remote) => remote.delete(&scenario_path(name, expected)),
        }
    }

    /// Makes a key.
    pub fn create_key(&self, design: &KeyDesign) -> Result<NewKey, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.create_key(design)?),
            Self::There(remote) => remote.post("/v1/keys", design),
        }
    }

    /// All keys, the oldest first.
    pub fn keys(&self) -> Result<Vec<ApiKey>, Failure> {
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<ApiKey>,
        }
        match self {
            Self::Here(engine) => Ok(engine.keys()),
            Self::There(remote) => Ok(remote.get::<Keys>("/v1/keys")?.keys),
        }
    }

    /// Gives a key a new secret; the one before is taken for `overlap` longer.
    pub fn rotate_key(&self, id: &str, overlap: Span) -> Result<NewKey, Failure> {
        #[derive(Serialize)]
        struct Rotation {
            overlap: Span,
        }
        match self {
            Self::Here(engine) => Ok(engine.rotate_key(id, overlap)?),
            Self::There(remote) => remote.post(&format!("/v1/keys/{}:rotate", segment(id)), &Rotation { overlap }),
        }
    }

    /// From now on a key lets nobody in.
    pub fn revoke_key(&self, id: &str) -> Result<(), Failure> {
        match self {
            Self::Here(engine) => Ok(engine.revoke_key(id).map(drop)?),
            Self::There(remote) => remote.delete(&format!("/v1/keys/{}", segment(id))),
        }
    }

    /// Entries of the audit log, the newest first.
    pub fn audit_log(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, Failure> {
        #[derive(Deserialize)]
        struct Audit {
            entries: Vec<AuditEntry>,
        }
        match self {
            Self::Here(engine) => Ok(engine.audit_log(query)?),
            Self::There(remote) => {
                let mut path = format!("/v1/audit?limit={}", query.limit.clamp(1, LARGEST_PAGE));
                let before = query.before.map(|time| time.to_string());
                for (name, value) in [("before", &before), ("key", &query.key), ("user", &query.user)] {
                    if let Some(value) = value {
                        path += &format!("&{name}={}", segment(value));
                    }
                }
                Ok(remote.get::<Audit>(&path)?.entries)
            }
        }
    }

    /// All snapshots.
    pub fn snapshots(&self) -> Result<Vec<Manifest>, Failure> {
        #[derive(Deserialize)]
        struct Snapshots {
            snapshots: Vec<Manifest>,
        }
        match self {
            Self::Here(engine) => Ok(engine.snapshots()?),
            Self::There(remote) => Ok(remote.get::<Snapshots>("/v1/snapshots")?.snapshots),
        }
    }

    /// One snapshot.
    pub fn snapshot(&self, id: SnapshotId) -> Result<Manifest, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.snapshot(id)?),
            Self::There(remote) => remote.get(&format!("/v1/snapshots/{id}")),
        }
    }

    /// Holds two snapshots side by side on events that neither has seen.
    pub fn compare(
        &self,
        a: SnapshotId,
        b: SnapshotId,
        progress: &dyn Progress,
    ) -> Result<SnapshotComparison, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.compare_snapshots(a, b, progress)?),
            Self::There(remote) => remote.get(&format!("/v1/snapshots/{a}/compare/{b}")),
        }
    }

    /// Puts a snapshot live.
    pub fn activate(&self, id: SnapshotId) -> Result<(), Failure> {
        match self {
            Self::Here(engine) => Ok(engine.activate(id)?),
            Self::There(remote) => remote.post_nothing::<Active>(&format!("/v1/snapshots/{id}:activate")).map(drop),
        }
    }

    /// Goes back to the snapshot that was live before, and tells which that is.
    pub fn rollback(&self) -> Result<SnapshotId, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.rollback()?),
            Self::There(remote) => Ok(remote.post_nothing::<Active>("/v1/snapshots:rollback")?.active),
        }
    }

    /// All experiments.
    pub fn experiments(&self) -> Result<Vec<Experiment>, Failure> {
        #[derive(Deserialize)]
        struct Experiments {
            experiments: Vec<Experiment>,
        }
        match self {
            Self::Here(engine) => Ok(engine.experiments()?),
            Self::There(remote) => Ok(remote.get::<Experiments>("/v1/experiments")?.experiments),
        }
    }

    /// One experiment.
    pub fn experiment(&self, id: &str) -> Result<Experiment, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.experiment(id)?),
            Self::There(remote) => remote.get(&format!("/v1/experiments/{}", segment(id))),
        }
    }

    /// Plans or changes an experiment.
    pub fn put_experiment(&self, id: &str, design: &ExperimentDesign) -> Result<Experiment, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.put_experiment(id, design)?),
            Self::There(remote) => remote.put(&format!("/v1/experiments/{}", segment(id)), design),
        }
    }

    /// Users take part from now on.
    pub fn start_experiment(&self, id: &str) -> Result<Experiment, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.start_experiment(id)?),
            Self::There(remote) => remote.post_nothing(&format!("/v1/experiments/{}:start", segment(id))),
        }
    }

    /// Nobody takes part any more.
    pub fn stop_experiment(&self, id: &str) -> Result<Experiment, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.stop_experiment(id)?),
            Self::There(remote) => remote.post_nothing(&format!("/v1/experiments/{}:stop", segment(id))),
        }
    }

    /// Removes an experiment.
    pub fn delete_experiment(&self, id: &str) -> Result<(), Failure> {
        match self {
            Self::Here(engine) => Ok(engine.delete_experiment(id)?),
            Self::There(remote) => remote.delete(&format!("/v1/experiments/{}", segment(id))),
        }
    }

    /// What may be concluded of an experiment.
    pub fn experiment_report(&self, id: &str) -> Result<ExperimentReport, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.experiment_report(id)?),
            Self::There(remote) => remote.get(&format!("/v1/experiments/{}/report", segment(id))),
        }
    }

    /// How long an experiment would take.
    pub fn experiment_forecast(&self, id: &str) -> Result<ExperimentForecast, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.experiment_forecast(id)?),
            Self::There(remote) => remote.get(&format!("/v1/experiments/{}/forecast", segment(id))),
        }
    }

    /// What a policy would have earned.
    pub fn replay(&self, options: &ReplayOptions) -> Result<OffPolicy, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.replay(options)?),
            Self::There(remote) => remote.post("/v1/experiments:replay", options),
        }
    }

    /// The columns of the feature table.
    pub fn feature_columns(&self) -> Result<Vec<FeatureColumn>, Failure> {
        #[derive(Deserialize)]
        struct Features {
            columns: Vec<FeatureColumn>,
        }
        match self {
            Self::Here(engine) => Ok(engine.feature_columns()?),
            Self::There(remote) => Ok(remote.get::<Features>("/v1/features")?.columns),
        }
    }

    /// The features of a user, of an item, or of both.
    pub fn feature_values(&self, user: Option<&str>, item: Option<&str>) -> Result<FeatureValues, Failure> {
        match (self, user, item) {
            (Self::There(remote), Some(user), item) => {
                let item = item.map(|item| format!("?item={}", segment(item))).unwrap_or_default();
                remote.get(&format!("/v1/users/{}/features{item}", segment(user)))
            }
            (Self::There(remote), None, Some(item)) => remote.get(&format!("/v1/items/{}/features", segment(item))),
            (Self::Here(engine), user, item) => Ok(engine.feature_values(user, item)?),
            (Self::There(_), None, None) => {
                Err(Error::invalid("user", "is missing; name a user, an item, or both").into())
            }
        }
    }

    /// What has changed since the snapshot that answers was trained.
    pub fn drift(&self) -> Result<DriftReport, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.drift(Timestamp::now())?),
            Self::There(remote) => remote.get("/v1/drift"),
        }
    }

    /// So many of the latest decisions about snapshots, the newest first.
    pub fn decisions(&self, limit: usize) -> Result<Vec<Decision>, Failure> {
        #[derive(Deserialize)]
        struct Decisions {
            decisions: Vec<Decision>,
        }
        match self {
            Self::Here(engine) => Ok(engine.decisions()?.into_iter().take(limit).collect()),
            Self::There(_) if limit == 0 => Ok(Vec::new()),
            Self::There(remote) => {
                let path = format!("/v1/decisions?limit={}", limit.min(LARGEST_PAGE));
                Ok(remote.get::<Decisions>(&path)?.decisions)
            }
        }
    }

    /// How much there is, and what serves.
    pub fn stats(&self) -> Result<Stats, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.stats()?),
            Self::There(remote) => remote.get("/v1/stats"),
        }
    }
}

/// Every entry of a listing, page by page.
pub fn each<T>(
    page: impl Fn(Option<&str>) -> Result<Page<T>, Failure>,
    mut entry: impl FnMut(&T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut cursor: Option<String> = None;
    loop {
        let page = page(cursor.as_deref())?;
        page.entries.iter().try_for_each(&mut entry)?;
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

/// What one does not find is no failure.
fn found<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(record) => Ok(Some(record)),
        Err(Failure::Server { code, .. }) if code == "not_found" => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn existed(answer: Result<(), Failure>) -> Result<bool, Failure> {
    found(answer).map(|found| found.is_some())
}

fn scenario_path(name: &str, expected: Option<u64>) -> String {
    let expected = expected.map(|version| format!("?expected_version={version}")).unwrap_or_default();
    format!("/v1/scenarios/{}{expected}", segment(name))
}

fn page(cursor: Option<&str>, limit: usize) -> String {
    match cursor {
        Some(cursor) => format!("limit={limit}&cursor={}", segment(cursor)),
        None => format!("limit={limit}"),
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
