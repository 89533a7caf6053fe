//! Running counters of events: what the store keeps current for every user and every item, and what a replay of the log
//! makes anew, by the same code. A counter holds sums only, so it is the same in whatever order its events come, counters
//! add up, and an event can be taken out again. What is asked of a counter (windows, decay, recency) is worked out when
//! it is asked, from counts by absolute time: spans and half-lives may change without touching what is stored.

mod buckets;
mod changes;
mod codec;
mod counter;
mod set;
mod span;

pub use changes::Changes;
pub use counter::{CountedEvent, EventCounter};
pub use set::{CounterSet, Owner};
pub use span::{Fading, Window};
