//! Dense linear algebra for factors: products of vectors, matrices by rows, Gramians, and the solution of small
//! symmetric systems. The inner loops use the widest instructions the processor has, found out at run time; results on
//! one machine are the same bit for bit whatever the number of threads. What the numbers mean is left to others.

mod dispatch;
mod eigen;
mod gramian;
mod kernels;
mod lanes;
mod matrix;
mod project;
mod solve;
mod updated;

pub use eigen::symmetric_eigen;
pub use gramian::{gramian, gramian_f64};
pub use kernels::{add_outer, axpy, combine, dot};
pub use matrix::{Matrix, Rows};
pub use project::{inner_products, project, rotate};
pub use solve::{solve_factored, solve_spd};
pub use updated::{Descent, Effort, Updated};
