//! What comes out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SnapshotId;

/// An answer: items, the best first, and how they came about. Equal scores are ordered by dense id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// Names this answer in later events, so that outcomes join what was shown.
    pub recommendation_id: String,
    /// The snapshot that all personal scores come from; absent when there is none yet.
    pub snapshot: Option<SnapshotId>,
    /// Why the answer is not (wholly) what was asked for.
    pub degraded: Option<Degraded>,
    /// The items.
    pub items: Vec<RecommendedItem>,
}

/// One item of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecommendedItem {
    /// External id.
    pub item: String,
    /// The score, in the unit of its source: a predicted preference (an inner product and what item-item lists add to
    /// it), decayed events, or milliseconds.
    pub score: f64,
    /// The score of the ranker, by which the answer is in order; absent where it is in the order of `score`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<f64>,
    /// Where it comes from.
    pub source: Source,
    /// The score's parts by past item, largest first; they sum to the score. Only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Vec<Because>>,
}

/// One past item's part in a score (of factors: Hu, Koren & Volinsky 2008, section 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Because {
    /// External id of the past item.
    pub item: String,
    /// Its part in the score.
    pub weight: f64,
}

/// Where an item of an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The model, by the user's vector in the snapshot.
    Personal,
    /// The model, by a vector solved now, from events newer than the snapshot or from session items.
    FoldIn,
    /// Near to the given item.
    Similar,
    /// Popular now.
    Popular,
    /// Published last.
    Latest,
    /// Near to the given vector.
    Vector,
    /// The caller's own candidate that the model does not know.
    Unscored,
}

/// Why an answer fell back to something less than what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Degraded {
    /// Nothing is trained yet.
    NoSnapshot,
    /// The user is unknown and there is no session.
    UnknownUser,
    /// The user (or session) has no event that the model can learn from.
    NoHistory,
    /// The item is unknown to the model.
    UnknownItem,
    /// Fewer personal items passed the filters than were wanted; popular ones fill the rest.
    FewCandidates,
}

/// The lists that are the same for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListKind {
    /// Most events, older ones counting less.
    Popular,
    /// Published last.
    Latest,
}

/// A user or item near to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbour {
    /// External id.
    pub id: String,
    /// Cosine of the angle between the vectors, their popularity left out.
    pub score: f64,
}
