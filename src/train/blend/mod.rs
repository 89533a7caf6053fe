//! The blend: factors, graph filter, linear item model and popularity on one scale, weighed, and put together into what
//! serving needs: one vector for each user and item, and one short list for each item.

mod assemble;

pub use assemble::{Parts, assemble};
