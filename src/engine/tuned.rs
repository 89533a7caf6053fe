//! What a search for settings takes and gives back.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fading::Fading;
use crate::config::{ModelKind, Split, TrainConfig};
use crate::error::{Error, Result};
use crate::train::tune::MODELS;

/// What is searched, on which part of the data, and how long. The default tries forty candidates around the engine's
/// configuration on everything stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TuneOptions {
    /// Replaces the configuration's training settings, around which is searched.
    pub train: Option<TrainConfig>,
    /// The models to choose from; empty for all that rank. The configured one is measured in any case, so that the others
    /// can be compared with it, and is taken only if it is one of them.
    pub models: Vec<ModelKind>,
    /// The metric to be made large: `ndcg@10`, `recall@20`, …; that of the configured gate if absent.
    pub metric: Option<String>,
    /// Candidates to be tried, each model's default among them. The defaults are measured even if they are more.
    pub trials: usize,
    /// After so many minutes no measurement is begun any more, one under way is finished; those of an interrupted search
    /// count. The configured model is measured first, then the defaults of the others.
    pub minutes: Option<f64>,
    /// Searches inside the training part of this split only, so that its test part stays unseen: what
    /// [`crate::Engine::evaluate`] then finds on the same split is honest.
    pub inside: Option<Split>,
    /// Seed of the candidates.
    pub seed: u64,
    /// Forgets what an interrupted search has found.
    pub fresh: bool,
    /// Memory for trials side by side, in MiB; half of what is free if absent.
    pub memory_mib: Option<u64>,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            train: None,
            models: Vec::new(),
            metric: None,
            trials: 40,
            minutes: None,
            inside: None,
            seed: 42,
            fresh: false,
            memory_mib: None,
        }
    }
}

impl TuneOptions {
    /// Checks every value; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        if !(1..=100_000).contains(&self.trials) {
            return Err(Error::invalid("trials", format!("is {}, expected 1 to 100000", self.trials)));
        }
        if self.models.contains(&ModelKind::Ratings) {
            return Err(ranks_nothing("names ratings"));
        }
        if matches!(self.inside, Some(Split::Folds { .. })) {
            let reason = "is by folds, which leave no event unseen; give a split by time or leave-last-out";
            return Err(Error::invalid("inside", reason));
        }
        match self.minutes {
            Some(minutes) if !(minutes >= 0.0 && minutes.is_finite()) => {
                Err(Error::invalid("minutes", format!("is {minutes}, expected a number from 0")))
            }
            _ => Ok(()),
        }
    }
}

/// A model of ratings cannot be held against the others: there is no list to measure.
pub(super) fn ranks_nothing(what: &str) -> Error {
    let others = MODELS.map(ModelKind::name).join(", ");
    Error::invalid("models", format!("{what}, which foretells ratings and ranks nothing; choose among {others}"))
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tuned {
    /// The settings to train with.
    pub train: TrainConfig,
    /// How fast events are to fade; absent where they have no times, or too few users to measure by them, and in a search that
    /// has no time for it.
    pub fading: Option<Fading>,
    /// The number of their trial.
    pub chosen: u64,
    /// Why they were taken.
    pub reason: String,
    /// The metric that was compared.
    pub metric: String,
    /// How the data was split for it.
    pub split: String,
    /// What each rung measured on, from the cheapest to the whole.
    pub rungs: Vec<String>,
    /// Users that were measured on the whole.
    pub users: u64,
    /// Rungs that an earlier, interrupted run had measured.
    pub resumed: u64,
    /// Seconds of this run.
    pub seconds: f64,
    /// All trials, the best first.
    pub trials: Vec<TunedTrial>,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TunedTrial {
    /// Its number, from 1 in the order of trial.
    pub number: u64,
    /// The model.
    pub model: ModelKind,
    /// Whether it is the model as configured.
    pub is_default: bool,
    /// The settings of `[train]` that are not the configured ones, by path.
    pub settings: BTreeMap<String, Value>,
    /// All parameters that are searched for this model, as numbers, none left to the data.
    pub parameters: BTreeMap<String, f64>,
    /// The mean metric on each rung; absent where it was not measured.
    pub scores: Vec<Option<f64>>,
    /// On the whole: how far ahead of the configured model's default, paired by user.
    pub ahead: Option<f64>,
    /// The standard error of that.
    pub error: Option<f64>,
    /// What it took.
    pub seconds: f64,
    /// Why it could not be trained.
    pub failure: Option<String>,
}
