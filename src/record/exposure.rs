//! What was shown: an answer as it is kept, so that outcomes can be joined to it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Query, SnapshotId, Source, Timestamp};

/// The experiment that an answer belongs to, and which variant gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assignment {
    /// The experiment.
    pub id: String,
    /// The variant; absent where the answer holds items of both (interleaving).
    pub variant: Option<String>,
}

/// An answer that was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// The answer's name, which outcomes carry.
    pub recommendation_id: String,
    /// When it was given.
    pub time: Timestamp,
    /// Whom it was for; absent for an anonymous visitor.
    pub user: Option<String>,
    /// The scenario that was asked for.
    pub scenario: Option<String>,
    /// The snapshot that answered.
    pub snapshot: Option<SnapshotId>,
    /// The experiment that it belongs to.
    pub experiment: Option<Assignment>,
    /// What was asked beside the user, the session, the scenario and the number of items, if anything was, and under which
    /// circumstances. More than 256
    /// `exclude_items` are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Box<Query>>,
    /// So many items were on the pages before.
    #[serde(default, skip_serializing_if = "is_first")]
    pub before: u32,
    /// The items, in the order of their positions from 0.
    pub items: Vec<Shown>,
}

fn is_first(before: &u32) -> bool {
    *before == 0
}

/// An item that was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// External id.
    pub item: String,
    /// Its score.
    pub score: f32,
    /// The ranker's score, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<f32>,
    /// Where it came from.
    pub source: Source,
    /// The probability with which the question would have had it in its answer; 1 where nothing was drawn.
    pub propensity: f32,
    /// The variant that it belongs to, in an interleaved answer.
    pub team: Option<String>,
}
