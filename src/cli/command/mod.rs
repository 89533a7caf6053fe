//! The commands, one file each: ask the engine or the server, hand the result to a renderer.

mod audit;
mod backup;
mod config;
mod doctor;
mod drift;
mod evaluate;
mod experiment;
mod expire;
mod explain;
mod export;
mod features;
mod import;
mod item;
mod key;
mod list;
mod purge;
mod rank;
mod recommend;
mod restore;
mod scenario;
mod serve;
mod similar;
mod snapshot;
mod stats;
mod tenant;
mod train;
mod tune;
mod user;

use super::args::{Args, Command};
use super::context::Context;
use super::failure::Failure;

/// Carries out a command.
pub fn run(args: Args) -> Result<(), Failure> {
    let context = Context::new(args.common);
    if context.files.is_some() && !matches!(args.command, Command::Import(_) | Command::Evaluate(_)) {
        return Err(Failure::Usage("--format: expected table or json; this command reads no files".into()));
    }
    match args.command {
        Command::Import(args) => import::run(&context, args),
        Command::Export(args) => export::run(&context, args),
        Command::Train(args) => train::run(context, args),
        Command::Tune(args) => tune::run(&context, args),
        Command::Evaluate(args) => evaluate::run(context, args),
        Command::Recommend(args) => recommend::run(&context, args),
        Command::Similar(args) => similar::run(&context, args),
        Command::List(args) => list::run(&context, args),
        Command::Rank(args) => rank::run(&context, args),
        Command::Explain(args) => explain::run(&context, args),
        Command::Serve(args) => serve::run(&context, args),
        Command::Snapshot(command) => snapshot::run(&context, command),
        Command::Scenario(command) => scenario::run(&context, command),
        Command::Experiment(command) => experiment::run(&context, command),
        Command::User(command) => user::run(&context, command),
        Command::Item(command) => item::run(&context, command),
        Command::Features(command) => features::run(&context, command),
        Command::Tenant(command) => tenant::run(&context, command),
        Command::Key(command) => key::run(&context, command),
        Command::Audit(args) => audit::run(&context, args),
        Command::Expire => expire::run(&context),
        Command::Purge => purge::run(&context),
        Command::Backup(args) => backup::run(&context, args),
        Command::Restore(args) => restore::run(&context, args),
        Command::Drift(args) => drift::run(&context, &args),
        Command::Stats => stats::run(&context),
        Command::Doctor(args) => doctor::run(&context, &args),
        Command::Config(command) => config::run(&context, command),
    }
}
