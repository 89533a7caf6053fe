//! Scenarios and experiments: how answers are made, and what came of it.

use serde::Deserialize;

use crate::cli::context::Place;
use crate::cli::failure::Failure;
use crate::cli::remote::segment;
use crate::engine::ReplayOptions;
use crate::experiment::{ExperimentForecast, ExperimentReport, OffPolicy};
use crate::record::{Experiment, ExperimentDesign, Scenario, ScenarioVersion};

impl Place {
    /// All scenarios as they answer now.
    pub fn scenarios(&self) -> Result<Vec<ScenarioVersion>, Failure> {
        #[derive(Deserialize)]
        struct Scenarios {
            scenarios: Vec<ScenarioVersion>,
        }
        match self {
            Self::Here(engine) => Ok(engine.scenarios()),
            Self::There(remote) => Ok(remote.get::<Scenarios>("/v1/scenarios")?.scenarios),
        }
    }

    /// A scenario as it answers now.
    pub fn scenario(&self, name: &str) -> Result<ScenarioVersion, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.scenario(name)?),
            Self::There(remote) => remote.get(&format!("/v1/scenarios/{}", segment(name))),
        }
    }

    /// The versions of a scenario, the newest first.
    pub fn scenario_versions(&self, name: &str) -> Result<Vec<ScenarioVersion>, Failure> {
        #[derive(Deserialize)]
        struct Versions {
            versions: Vec<ScenarioVersion>,
        }
        match self {
            Self::Here(engine) => Ok(engine.scenario_versions(name)?),
            Self::There(remote) => {
                Ok(remote.get::<Versions>(&format!("/v1/scenarios/{}/versions", segment(name)))?.versions)
            }
        }
    }

    /// Puts a scenario as a new version.
    pub fn put_scenario(
        &self,
        name: &str,
        scenario: Scenario,
        expected: Option<u64>,
    ) -> Result<ScenarioVersion, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.put_scenario(name, scenario, expected)?),
            Self::There(remote) => remote.put(&scenario_path(name, expected), &scenario),
        }
    }

    /// Deletes a scenario.
    pub fn delete_scenario(&self, name: &str, expected: Option<u64>) -> Result<(), Failure> {
        match self {
            Self::Here(engine) => Ok(engine.delete_scenario(name, expected)?),
            Self::There(remote) => remote.delete(&scenario_path(name, expected)),
        }
    }

    /// All experiments.
    pub fn experiments(&self) -> Result<Vec<Experiment>, Failure> {
        #[derive(Deserialize)]
        struct Experiments {
            experiments: Vec<Experiment>,
        }
        match self {
            Self::Here(engine) => Ok(engine.experiments()?),
            Self::There(remote) => Ok(remote.get::<Experiments>("/v1/experiments")?.experiments),
        }
    }

    /// One experiment.
    pub fn experiment(&self, id: &str) -> Result<Experiment, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.experiment(id)?),
            Self::There(remote) => remote.get(&format!("/v1/experiments/{}", segment(id))),
        }
    }

    /// Plans or changes an experiment.
    pub fn put_experiment(&self, id: &str, design: &ExperimentDesign) -> Result<Experiment, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.put_experiment(id, design)?),
            Self::There(remote) => remote.put(&format!("/v1/experiments/{}", segment(id)), design),
        }
    }

    /// Users take part from now on.
    pub fn start_experiment(&self, id: &str) -> Result<Experiment, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.start_experiment(id)?),
            Self::There(remote) => remote.post_nothing(&format!("/v1/experiments/{}:start", segment(id))),
        }
    }

    /// Nobody takes part any more.
    pub fn stop_experiment(&self, id: &str) -> Result<Experiment, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.stop_experiment(id)?),
            Self::There(remote) => remote.post_nothing(&format!("/v1/experiments/{}:stop", segment(id))),
        }
    }

    /// Removes an experiment.
    pub fn delete_experiment(&self, id: &str) -> Result<(), Failure> {
        match self {
            Self::Here(engine) => Ok(engine.delete_experiment(id)?),
            Self::There(remote) => remote.delete(&format!("/v1/experiments/{}", segment(id))),
        }
    }

    /// What may be concluded of an experiment.
    pub fn experiment_report(&self, id: &str) -> Result<ExperimentReport, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.experiment_report(id)?),
            Self::There(remote) => remote.get(&format!("/v1/experiments/{}/report", segment(id))),
        }
    }

    /// How long an experiment would take.
    pub fn experiment_forecast(&self, id: &str) -> Result<ExperimentForecast, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.experiment_forecast(id)?),
            Self::There(remote) => remote.get(&format!("/v1/experiments/{}/forecast", segment(id))),
        }
    }

    /// What a policy would have earned.
    pub fn replay(&self, options: &ReplayOptions) -> Result<OffPolicy, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.replay(options)?),
            Self::There(remote) => remote.post("/v1/experiments:replay", options),
        }
    }
}

fn scenario_path(name: &str, expected: Option<u64>) -> String {
    let expected = expected.map(|version| format!("?expected_version={version}")).unwrap_or_default();
    format!("/v1/scenarios/{}{expected}", segment(name))
}
