//! `savor restore FROM`: a data directory with its tenants from a backup, or one tenant of it.

use crate::cli::args::RestoreArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::stats;
use crate::engine::{Engine, Tenants, Until};

pub fn run(context: &Context, args: RestoreArgs) -> Result<(), Failure> {
    context.only_here()?;
    let until = match (args.generation, args.sequence, args.time) {
        (Some(number), ..) => Until::Generation(number),
        (_, Some(sequence), _) => Until::Sequence(sequence),
        (.., Some(time)) => Until::Time(time),
        _ => Until::Newest,
    };
    if let Some(name) = context.tenant() {
        let tenants = context.open_all()?;
        tenants.restore_one(name, &args.from, until)?;
        return context.output.show(&tenants.get(name)?.stats()?, stats::table);
    }
    let config = context.config()?;
    Tenants::restore_until(&args.from, &context.data, until)?;
    context.output.show(&Engine::open(&context.data, config)?.stats()?, stats::table)
}
