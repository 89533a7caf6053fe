//! From a question to an answer: gather what is known of the visitor, find candidates, score them exactly, apply the
//! policy, explain. Everything here reads; one [`Context`] holds one snapshot, so no answer mixes two. Writing, training
//! and which snapshot is active belong to the engine.

mod allowed;
mod arrange;
mod arranged;
mod assemble;
mod best;
mod cache;
mod catalog;
mod diversity;
mod explore;
mod expression;
mod filters;
mod fresh;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod hasty;
mod identity;
mod kept;
mod listed;
mod lists;
mod matches;
mod order;
mod personal;
mod places;
mod plan;
mod popular;
mod rank;
mod rules;
mod served;
mod similar;
mod source;
mod spaces;
mod taste;
#[cfg(test)]
mod tests;
mod turns;
mod visitor;

pub use arrange::Bounded;
pub use arranged::{ArrangedScorer, ItemValues};
pub use cache::{AnswerCache, Asked};
pub use catalog::Catalog;
pub use expression::Expression;
pub use fresh::Fresh;
pub use hasty::{HotList, is_still_fit, popular};
pub use identity::{NAME_BYTES, recommendation_id};
pub use kept::Kept;
pub use lists::list;
pub use order::{Ranker, RankerQuestion};
pub use personal::{recommend, recommend_many};
pub use plan::{Plan, Policy, rules_of};
pub use popular::Popular;
pub use rank::rank;
pub use rules::{LeftOut, Rule, RulePlace, RuleQuestion, Shown, ShownItem};
pub use served::ServedLog;
pub use similar::{similar_items, similar_users};
pub use spaces::{Spaces, search_vectors};

use crate::config::Config;
use crate::features::EventWeights;
use crate::features::table::FactTable;
use crate::record::{Answer, Degraded, ItemId, RecommendedItem, Source, Timestamp, UserId};
use crate::snapshot::Snapshot;
use crate::store::Store;

/// All that one question may look at.
pub struct Context<'a> {
    /// The data.
    pub store: &'a Store,
    /// The settings.
    pub config: &'a Config,
    /// How events become preferences: the same code as in training.
    pub weights: &'a EventWeights,
    /// The snapshot that answers; none before the first training.
    pub snapshot: Option<&'a Snapshot>,
    /// Items that the snapshot does not know as they are.
    pub fresh: &'a Fresh,
    /// Whether the snapshot has not seen all of this user's events.
    pub is_stale: &'a (dyn Fn(UserId) -> bool + Sync),
    /// The metadata of all items.
    pub catalog: &'a Catalog,
    /// What the snapshot's ranker takes from all items; none without a ranker.
    pub facts: Option<&'a FactTable>,
    /// Where some of the rows go that the snapshot's ranker sees.
    pub served: &'a ServedLog,
    /// A ranker of the caller's own.
    pub ranker: Option<&'a dyn Ranker>,
    /// The running popularity of all items.
    pub popular: &'a Popular,
    /// The time of the question.
    pub now: Timestamp,
    /// For a question that is asked in hindsight: of what users did from then on nothing is known.
    pub known_until: Option<Timestamp>,
}

impl Context<'_> {
    /// As of when the ranker's features are taken.
    fn moment(&self) -> Timestamp {
        self.popular.moment(self.now)
    }

    /// An answer made of these items, with a fresh id.
    fn answer(&self, items: Vec<RecommendedItem>, degraded: Option<Degraded>) -> Answer {
        let snapshot = self.snapshot.map(|snapshot| snapshot.manifest().id);
        Answer {
            recommendation_id: recommendation_id(self.now),
            snapshot,
            scenario: None,
            degraded,
            evidence: None,
            items,
            next: None,
            before: None,
            experiment: None,
            search: None,
        }
    }

    /// Whether an item is there and in no answer.
    fn is_hidden(&self, item: ItemId) -> bool {
        self.catalog.get(item).is_some_and(|item| item.hidden)
    }

    /// One item of an answer; `None` if the item has been deleted meanwhile.
    fn entry(&self, item: ItemId, score: f64, source: Source) -> Option<RecommendedItem> {
        let item = self.catalog.get(item)?.id.clone();
        Some(RecommendedItem { item, score, rank: None, source, propensity: None, rules: Vec::new(), because: None })
    }
}
