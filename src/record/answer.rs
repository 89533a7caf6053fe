//! What comes out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::Effort;
use super::{Assignment, SnapshotId};

/// An answer: items, the best first, and how they came about. Equal scores are ordered by dense id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// Names this answer in later events, so that outcomes join what was shown.
    pub recommendation_id: String,
    /// The snapshot that all personal scores come from; absent when there is none yet.
    pub snapshot: Option<SnapshotId>,
    /// The scenario that it was made by, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<AppliedScenario>,
    /// The experiment that the answer belongs to, and the variant that gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Assignment>,
    /// Why the answer is not (wholly) what was asked for.
    pub degraded: Option<Degraded>,
    /// How far the answer goes by the visitor's events and how far by what is foretold of them. Absent where it goes by events alone, or
    /// is no model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// The items.
    pub items: Vec<RecommendedItem>,
    /// Where the next page is: a path of the REST server. Absent where there is none: the answer is short, or one of a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The list as it would be without rules, with the rules that concern each of its items. Only when asked for, and where
    /// there are rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Vec<BeforeItem>>,
    /// How the index was searched. Only when asked for, of a single question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchTrace>,
}

/// What is known of somebody who has just come, by events and otherwise: with n pairs of their own, what is foretold has k / (n + k)
/// of the say; k is chosen when a model is trained, on people whom it has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// n: what the events of the visitor add up to, in pairs of the mean confidence.
    pub pairs: f64,
    /// k / (n + k), 0 to 1: how much of the order is foretold.
    pub prior: f64,
    /// What is foretold.
    pub of: Prior,
}

/// What is taken of somebody before events tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prior {
    /// What those with the like profile have.
    Profile,
    /// What everybody has.
    Everybody,
}

/// The scenario behind an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedScenario {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
}

/// An item of the list as it would be without rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BeforeItem {
    /// External id.
    pub item: String,
    /// The rules that move the item or keep it out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}

/// How an index was searched for one answer, what that took, and why this way was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchTrace {
    /// What was done.
    pub way: SearchWay,
    /// Why, for a human reader.
    pub why: String,
    /// Vectors that could have been in the answer, by the index: all that it has.
    pub vectors: u64,
    /// Vectors of those that pass the filter; absent without one.
    pub matches: Option<u64>,
    /// Vectors whose leading codes the exact scan compared with its bound.
    pub sifted: u64,
    /// Vectors that the exact scan had to score in f32, as no bound ruled them out.
    pub scored: u64,
    /// Vectors that the walk through the graph came by.
    pub visited: u64,
    /// Vectors that wait beside the index and were scored one by one.
    pub waiting: u64,
    /// Smaller indexes of late changes that were scanned too; their vectors are among those sifted and scored.
    pub layers: u64,
    /// Microseconds that the search took.
    pub us: f64,
}

/// A way to search an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchWay {
    /// The bounded exact scan of all vectors.
    Scan,
    /// The exact scan of the vectors that pass the filter, found one by one.
    Matches,
    /// A walk through the graph.
    Walk,
    /// No vector was looked at: nothing to search with, or nothing to find.
    Nothing,
}

/// One item of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecommendedItem {
    /// External id.
    pub item: String,
    /// The score, in the unit of its source: a predicted preference (an inner product and what item-item lists add to
    /// it), decayed events, the share of what the like have, or milliseconds.
    pub score: f64,
    /// The score of the ranker, by which the answer is in order; absent where it is in the order of `score`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<f64>,
    /// Where it comes from.
    pub source: Source,
    /// The probability with which this question would have had the item in its answer. Only where new items are explored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propensity: Option<f64>,
    /// The rules that touched it, such as `boost:new`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
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
    /// The model, by a vector from the item's metadata: the item is newer than the snapshot.
    New,
    /// A new item that was drawn, to learn who likes it (`recommend.explore`).
    Explore,
    /// What people with the same profile have most: nothing else is known of the user.
    Profile,
    /// What people took next after what the visitor, or who had the given item, did last.
    Next,
    /// Near to the given item.
    Similar,
    /// Popular now.
    Popular,
    /// Published last.
    Latest,
    /// An editorial list of the scenario.
    List,
    /// Pinned to its position.
    Pin,
    /// Near to the given vector.
    Vector,
    /// The caller's own candidate that the model does not know.
    Unscored,
}

impl Source {
    /// All of them.
    const ALL: [Self; 13] = [
        Self::Personal,
        Self::FoldIn,
        Self::New,
        Self::Explore,
        Self::Profile,
        Self::Next,
        Self::Similar,
        Self::Popular,
        Self::Latest,
        Self::List,
        Self::Pin,
        Self::Vector,
        Self::Unscored,
    ];

    /// Its word, as answers have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::FoldIn => "fold_in",
            Self::New => "new",
            Self::Explore => "explore",
            Self::Profile => "profile",
            Self::Next => "next",
            Self::Similar => "similar",
            Self::Popular => "popular",
            Self::Latest => "latest",
            Self::List => "list",
            Self::Pin => "pin",
            Self::Vector => "vector",
            Self::Unscored => "unscored",
        }
    }

    /// The source of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.word() == word)
    }
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
    /// More was asked than could be answered in full: in the order of retrieval, the ranker was not asked.
    OverloadedUnranked,
    /// More was asked than could be answered in full: an answer that was kept from before.
    OverloadedKept,
    /// More was asked than could be answered in full: what is popular.
    OverloadedPopular,
}

impl Degraded {
    /// The word for it, as JSON and metrics have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoSnapshot => "no_snapshot",
            Self::UnknownUser => "unknown_user",
            Self::NoHistory => "no_history",
            Self::UnknownItem => "unknown_item",
            Self::FewCandidates => "few_candidates",
            Self::OverloadedUnranked => "overloaded_unranked",
            Self::OverloadedKept => "overloaded_kept",
            Self::OverloadedPopular => "overloaded_popular",
        }
    }

    /// Whether it is for want of time ([`Effort`]), not of knowledge.
    pub fn is_overload(self) -> bool {
        matches!(self, Self::OverloadedUnranked | Self::OverloadedKept | Self::OverloadedPopular)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_sources_are_those_of_answers() {
        for source in Source::ALL {
            assert_eq!(serde_json::to_value(source).unwrap(), source.word());
            assert_eq!(Source::from_word(source.word()), Some(source));
        }
        assert_eq!(Source::from_word("nowhere"), None);
    }
}
