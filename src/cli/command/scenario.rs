//! `savor scenario …`: serving configurations, put from files.

use std::path::Path;

use crate::cli::args::ScenarioCommand;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::render::table;
use crate::error::Error;
use crate::record::{Scenario, ScenarioVersion};

pub fn run(context: &Context, command: ScenarioCommand) -> Result<(), Failure> {
    match command {
        ScenarioCommand::List => context.output.show(&context.place()?.scenarios()?, |scenarios| list(scenarios)),
        ScenarioCommand::Show { name, version } => {
            let place = context.place()?;
            let shown = match version {
                None => place.scenario(&name)?,
                Some(version) => {
                    let versions = place.scenario_versions(&name)?;
                    let of = format!("{name} version {version}");
                    let found = versions.into_iter().find(|other| other.version == version);
                    found.ok_or_else(|| Error::not_found("scenario", of))?
                }
            };
            let toml = shown.scenario.as_ref().map(Scenario::to_toml).transpose()?;
            context.output.show(&shown, |_| toml.unwrap_or_else(|| "# deleted".into()))
        }
        ScenarioCommand::Put { file, name, expected_version } => {
            let name = match name {
                Some(name) => name,
                None => file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            };
            let put = context.place()?.put_scenario(&name, read(&file)?, expected_version)?;
            let sentence = format!("scenario {name} has version {}", put.version);
            context.output.done(&put, sentence)
        }
        ScenarioCommand::Delete { name, expected_version } => {
            context.place()?.delete_scenario(&name, expected_version)?;
            let deleted = serde_json::json!({"scenario": name, "deleted": true});
            context.output.done(&deleted, format!("scenario {name} is deleted"))
        }
        ScenarioCommand::History { name } => {
            context.output.show(&context.place()?.scenario_versions(&name)?, |versions| list(versions))
        }
    }
}

fn read(file: &Path) -> Result<Scenario, Failure> {
    let text = std::fs::read_to_string(file).map_err(Error::io(file))?;
    let within = |error: Error| error.within(&file.display().to_string());
    if file.extension().is_none_or(|ending| ending != "json") {
        return Ok(Scenario::from_toml(&text).map_err(within)?);
    }
    let scenario: Scenario =
        serde_json::from_str(&text).map_err(|error| within(Error::invalid("", error.to_string())))?;
    scenario.validate().map_err(within)?;
    Ok(scenario)
}

fn list(versions: &[ScenarioVersion]) -> String {
    let mut table = table(&["name", "version", "since", "rules", "description"], &[1, 3]);
    for ScenarioVersion { name, version, created, scenario } in versions {
        let rules = scenario.as_ref().map_or_else(String::new, |scenario| scenario.rules.len().to_string());
        let description = scenario.as_ref().map_or("deleted", |scenario| scenario.description.as_str());
        table.add_row([name.clone(), version.to_string(), created.to_string(), rules, description.to_owned()]);
    }
    table.trim_fmt()
}
