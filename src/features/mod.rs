//! From the event log to what models learn from: preferences, the sparse interaction matrix at a point in time, splits
//! into training and test part, and popularity. How an event weighs is decided here and nowhere else, for training and
//! for the history of a user who asks now alike. What is done with the matrix is for `train` and `eval`.

mod block_fold;
mod csr;
mod holdout;
mod interactions;
mod log;
mod mix;
mod popularity;
mod portrait;
mod profile;
mod ratings;
mod svd;
pub mod table;
mod touches;
mod transitions;
mod trend;
mod validation;
mod weights;
mod words;

pub use csr::Csr;
pub use holdout::{Draw, Holdout, LatterHalf, LeaveLastOut, PairFold, Splitter, TimePoint, TimeSplit};
pub use interactions::Interactions;
pub use log::Log;
pub use mix::ValueMix;
pub use popularity::Popularity;
pub use portrait::{Painter, Portrait, Spread};
pub use profile::{Profile, ProfileEncoder};
pub use ratings::RatedSplit;
#[cfg(test)]
pub use ratings::TestRating;
pub use svd::{Svd, truncated_svd};
pub use touches::Touches;
pub use transitions::{followers, likeliest, note_latest};
pub use weights::{EventWeights, History, Preference, RatingHistory, Signal};
