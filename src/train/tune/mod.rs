//! The tuner: which model, and which settings. Candidates from a space around the configuration (`space`) are proposed by
//! a sampler for each model and by changes of parts for blends (`propose`, `sampler`), measured on hold-outs inside the
//! data (`course`), and climb from cheap rungs to the whole (`halving`). The simplest trial that is not told apart from the best
//! is taken (`decide`). Nothing here knows where records are kept or what becomes of the choice.

mod course;
mod decide;
mod halving;
mod lanes;
mod measure;
mod memory;
mod parameter;
mod propose;
mod sampler;
mod search;
mod space;
#[cfg(test)]
mod tests;
mod trial;

pub use course::Course;
pub use decide::{Difference, decide, difference, largest_of};
pub use measure::measure;
pub use memory::available;
pub use search::{Plan, search};
pub use space::{MODELS, Space};
pub use trial::{Record, Trial, by_standing};
