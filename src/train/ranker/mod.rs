//! The ranker: puts in order what retrieval has found, by scores and features together. It is learned from questions of
//! the past (`gather`: windows of time, each asked of a model that knows only what was before; answers that were shown where there
//! are any), judged on
//! windows after those that it learned from, and kept out unless it orders them better ([`learn()`]). Serving applies the frozen
//! weights ([`LearnedRanker::score`]).

mod descent;
mod found;
mod gather;
mod importance;
mod inputs;
mod join;
mod judge;
mod learned;
mod network;
mod question;
mod scorer;

pub use gather::{Past, ShownAnswer, Window};
pub use inputs::{Candidates, NEXT, following};
pub use join::joined;
pub use judge::{Judged, learn};
pub use learned::{FeatureImportance, LearnedRanker, RankerReport};
pub use scorer::RankedScorer;
