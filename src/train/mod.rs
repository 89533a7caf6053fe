//! Learning: from who preferred what to a vector of factors for each user and each item, such that their inner product
//! ranks (implicit alternating least squares), and from a history to a user's factors at any later moment (fold-in).
//! Both solve the same equations, so a user folded in has the factors that training would have given. The same data,
//! configuration and seed give the same factors bit for bit, whatever the number of threads.

mod fold_in;
mod ials;
mod settle;

pub use fold_in::FoldIn;
pub use ials::{Model, ials};
pub use settle::settle;
