//! `savor stats`: how much there is, and what serves.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::stats;

pub fn run(context: &Context) -> Result<(), Failure> {
    context.output.show(&context.place()?.stats()?, stats::table)
}
