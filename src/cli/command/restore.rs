//! `savor restore FROM`: a data directory from a backup.

use crate::cli::args::RestoreArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::stats;
use crate::engine::Engine;

pub fn run(context: &Context, args: RestoreArgs) -> Result<(), Failure> {
    context.only_here()?;
    let config = context.config()?;
    Engine::restore(&args.from, &context.data)?;
    context.output.show(&Engine::open(&context.data, config)?.stats()?, stats::table)
}
