//! `savor restore FROM`: a data directory from a backup.

use crate::cli::args::RestoreArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::stats;
use crate::engine::{Engine, Until};

pub fn run(context: &Context, args: RestoreArgs) -> Result<(), Failure> {
    context.only_here()?;
    let config = context.config()?;
    let until = match (args.generation, args.sequence, args.time) {
        (Some(number), ..) => Until::Generation(number),
        (_, Some(sequence), _) => Until::Sequence(sequence),
        (.., Some(time)) => Until::Time(time),
        _ => Until::Newest,
    };
    Engine::restore_until(&args.from, &context.data, until)?;
    context.output.show(&Engine::open(&context.data, config)?.stats()?, stats::table)
}
