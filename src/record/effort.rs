//! How much an answer may cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much may be spent on an answer: the ladder that a server goes down when more is asked than it can answer. Each step costs less
/// than the one before. An answer that is less than it would have been says so in `degraded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// All that the model, the ranker and the policy say.
    #[default]
    Full,
    /// In the order of retrieval: no ranker is asked.
    Unranked,
    /// An answer to the same question that was kept from before, though something else may be best by now; else as `Unranked`.
    Kept,
    /// An answer that was kept, else what is popular among what the question lets through.
    Popular,
}

impl Effort {
    /// All steps, the dearest first.
    pub const ALL: [Self; 4] = [Self::Full, Self::Unranked, Self::Kept, Self::Popular];

    /// The word for it, as metrics have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Unranked => "unranked",
            Self::Kept => "kept",
            Self::Popular => "popular",
        }
    }
}
