//! `savor experiment …`: plan, foretell, start, look, stop, replay.

use std::io::Read;

use crate::cli::args::{ExperimentCommand, ReplayArgs};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::files::{try_page, write_page};
use crate::cli::output::tell;
use crate::cli::render::experiment;
use crate::engine::ReplayOptions;
use crate::error::Error;
use crate::record::{Experiment, ExperimentDesign, Variant};
use crate::report::experiment_page;

pub fn run(context: &Context, command: ExperimentCommand) -> Result<(), Failure> {
    let place = context.place()?;
    match command {
        ExperimentCommand::List => context.output.show(&place.experiments()?, |all| experiment::list(all)),
        ExperimentCommand::Show { id } => context.output.show(&place.experiment(&id)?, experiment::one),
        ExperimentCommand::Put { id, file } => changed(context, &place.put_experiment(&id, &design(&file)?)?),
        ExperimentCommand::Forecast { id } => {
            context.output.show(&place.experiment_forecast(&id)?, experiment::forecast)
        }
        ExperimentCommand::Start { id } => changed(context, &place.start_experiment(&id)?),
        ExperimentCommand::Stop { id } => changed(context, &place.stop_experiment(&id)?),
        ExperimentCommand::Delete { id } => {
            place.delete_experiment(&id)?;
            let value = serde_json::json!({"experiment": id, "deleted": true});
            context.output.done(&value, format!("experiment {id} is deleted"))
        }
        ExperimentCommand::Report { id, report: page } => {
            page.as_deref().map(try_page).transpose()?;
            let report = place.experiment_report(&id)?;
            let shown = context.output.show(&report, experiment::report);
            if let Some(file) = &page {
                write_page(file, &experiment_page(&report))?;
            }
            shown
        }
        ExperimentCommand::Replay(args) => {
            let found = place.replay(&options(args)?)?;
            found.note.as_deref().into_iter().for_each(tell);
            context.output.show(&found, experiment::replay)
        }
    }
}

fn changed(context: &Context, experiment: &Experiment) -> Result<(), Failure> {
    let (state, version) = (experiment.state.word(), experiment.version);
    context.output.done(experiment, format!("experiment {} is {state}, version {version}", experiment.id))
}

fn design(file: &std::path::Path) -> Result<ExperimentDesign, Failure> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        std::fs::read_to_string(file).map_err(Error::io(file))?
    };
    let refused = |error: serde_json::Error| Error::invalid(file.display().to_string(), error.to_string());
    Ok(serde_json::from_str(&text).map_err(refused)?)
}

fn options(args: ReplayArgs) -> Result<ReplayOptions, Failure> {
    let refused = |error: serde_json::Error| Failure::Usage(format!("--query: {error}"));
    let query = args.query.as_deref().map_or(Ok(serde_json::Map::new()), serde_json::from_str).map_err(refused)?;
    let name = args.scenario.clone().unwrap_or_else(|| "replay".into());
    let policy = Variant { scenario: args.scenario, snapshot: args.snapshot, query, ..Variant::new(name) };
    Ok(ReplayOptions { policy, from: args.from, types: args.types, limit: args.limit })
}
