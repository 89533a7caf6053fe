//! A trial: one candidate, and what each rung found for it.

use serde::{Deserialize, Serialize};

use crate::config::ModelKind;

/// A point of the space: a model and the values of its parameters, in the space's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The model.
    pub model: ModelKind,
    /// `[parameters of the model]`; multiples where the data settles the unit.
    pub values: Vec<f64>,
}

/// One candidate under trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What is tried.
    pub candidate: Candidate,
    /// Whether it is a model as configured.
    pub is_default: bool,
    /// What each rung found, from the cheapest to the whole; `None` where it was not measured.
    pub rungs: Vec<Option<Measured>>,
}

/// What one rung found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The metric of each measured user, fold after fold. Empty when the candidate failed.
    pub values: Vec<f32>,
    /// Why it failed.
    pub failure: Option<String>,
    /// What it took.
    pub seconds: f64,
}

/// A measured rung as it is kept: finished work that a crash must not undo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The search that it belongs to.
    pub study: u64,
    /// The candidate's model.
    pub model: ModelKind,
    /// The candidate's values.
    pub values: Vec<f64>,
    /// The rung.
    pub rung: u32,
    /// What was found.
    pub measured: Measured,
}

impl Trial {
    /// A candidate that is yet to be measured.
    pub fn new(candidate: Candidate, is_default: bool, rungs: usize) -> Self {
        Self { candidate, is_default, rungs: vec![None; rungs] }
    }

    /// The mean over users on a rung; `None` where it was not measured or failed.
    pub fn score(&self, rung: usize) -> Option<f64> {
        self.rungs.get(rung)?.as_ref()?.mean()
    }

    /// The highest rung that was measured, and the mean there: a trial that got further is the better one.
    pub fn standing(&self) -> Option<(usize, f64)> {
        (0..self.rungs.len()).rev().find_map(|rung| Some((rung, self.score(rung)?)))
    }

    /// Whether a rung found that the candidate cannot be trained.
    pub fn has_failed(&self) -> bool {
        self.rungs.iter().flatten().any(|measured| measured.failure.is_some())
    }

    /// What it took until now.
    pub fn seconds(&self) -> f64 {
        self.rungs.iter().flatten().map(|measured| measured.seconds).sum()
    }
}

impl Measured {
    fn mean(&self) -> Option<f64> {
        let sum: f64 = self.values.iter().map(|value| f64::from(*value)).sum();
        (self.failure.is_none() && !self.values.is_empty()).then(|| sum / self.values.len() as f64)
    }
}

/// Trials by their standing, the best first; those that failed or wait are left out. Equal ones in the order of trial.
pub fn by_standing<'a>(trials: impl Iterator<Item = &'a Trial>) -> Vec<&'a Trial> {
    let mut standing: Vec<_> = trials.filter_map(|trial| Some((trial.standing()?, trial))).collect();
    standing.sort_by(|(a, _), (b, _)| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    standing.into_iter().map(|(_, trial)| trial).collect()
}
