//! Learning: from who preferred what to a vector for each user and each item, and short item-item lists, such that
//! their scores rank; and from a history to a user's vector at any later moment (fold-in). Training and fold-in solve the
//! same equations, so a user folded in has the scores that training would have given. The same data, configuration and
//! seed give the same model bit for bit, whatever the number of threads.

mod blend;
mod cold;
mod early_stop;
mod filter;
mod fold_in;
mod gram_row;
mod ials;
mod linear;
mod model;
mod pool;
pub mod ranker;
mod ratings;
mod refresh;
mod settle;
mod sgd;
#[cfg(test)]
mod tests;
mod trainer;
pub mod tune;

pub use cold::{ColdStart, Fit, MapQuality, Moments, ProfileMap, Profiles};
pub use fold_in::{FoldIn, ItemParts, Mix};
pub use ials::Warm;
pub use model::{Model, ModelScorer, TrainingData};
pub use pool::in_pool;
pub use ratings::ModelPredictor;
pub use refresh::{Base, ItemRefresh, NewEvent};
pub use trainer::{is_measured, train, trainer};
