//! Which variant answers a question: a hash or two for each running experiment, and nothing where none runs.

use std::borrow::Cow;

use super::Engine;
use super::scenarios::DEFAULT;
use crate::error::Result;
use crate::experiment::{assign, is_target};
use crate::record::{
    Answer, Assignment, Effort, Experiment, ExperimentState, ItemId, MaxPer, Query, SnapshotId, Timestamp, Variant,
};

/// How a question is answered.
pub(super) enum Treatment<'e> {
    /// As it is asked, by the active snapshot.
    Usual,
    /// As a variant asks it; without an assignment where a winner is shown to all.
    Variant(&'e Variant, Option<Assignment>),
    /// By two variants in turns.
    Interleaved(&'e Experiment),
}

/// An answer under a treatment.
pub(super) struct Treated {
    /// With the assignment.
    pub answer: Answer,
    /// Whose item each is, if it is interleaved; `None` for nobody's.
    pub teams: Vec<Option<String>>,
    /// Whether rules look at what is shown.
    pub is_noted: bool,
    /// How many items were wanted.
    pub limit: usize,
    /// What bounds its items.
    pub bounds: Vec<MaxPer>,
}

impl Treated {
    /// An answer of which nothing else is to be said.
    pub fn new(answer: Answer, limit: usize) -> Self {
        Self { answer, teams: Vec::new(), is_noted: false, limit, bounds: Vec::new() }
    }
}

impl Engine {
    /// How a question is answered under these experiments.
    pub(super) fn treatment<'e>(&self, experiments: &'e [Experiment], query: &Query) -> Result<Treatment<'e>> {
        let Some(user) = query.user.as_deref().filter(|_| !experiments.is_empty()) else { return Ok(Treatment::Usual) };
        let profile = || self.inner.store.user(user);
        let now = Timestamp::now();
        let mut usual = Treatment::Usual;
        let scenario = query.scenario.as_deref().unwrap_or(DEFAULT);
        let named = self.inner.scenarios.experiment_of(scenario);
        for experiment in experiments {
            let design = &experiment.design;
            let is_meant = match &named {
                Some(named) => *named == experiment.id,
                None => design.scenario.as_deref().is_none_or(|of| of == scenario),
            };
            if !is_meant {
                continue;
            }
            if experiment.state == ExperimentState::Promoted {
                let winner = experiment.decision.as_ref().and_then(|decision| decision.winner.as_ref());
                let winner = design.variants.iter().find(|variant| Some(&variant.name) == winner);
                if let Some(winner) = winner.filter(|_| matches!(usual, Treatment::Usual))
                    && is_target(design, user, &profile)?
                {
                    usual = Treatment::Variant(winner, None);
                }
                continue;
            }
            let Some(variant) = assign(experiment, user, now, &profile)? else { continue };
            if design.interleave {
                return Ok(Treatment::Interleaved(experiment));
            }
            let assignment = Assignment { id: experiment.id.clone(), variant: Some(variant.name.clone()) };
            return Ok(Treatment::Variant(variant, Some(assignment)));
        }
        Ok(usual)
    }

    /// The answer under a treatment, after the items of the pages before.
    pub(super) fn treated(&self, query: &Query, before: &[ItemId], treatment: Treatment<'_>) -> Result<Treated> {
        self.treated_at(query, before, treatment, Effort::Full)
    }

    /// The same for so much effort.
    pub(super) fn treated_at(
        &self,
        query: &Query,
        before: &[ItemId],
        treatment: Treatment<'_>,
        effort: Effort,
    ) -> Result<Treated> {
        match treatment {
            Treatment::Usual => self.usual(query, before, effort),
            Treatment::Variant(variant, assignment) => {
                // A snapshot that won has been activated: what has come after it answers.
                let snapshot = variant.snapshot.filter(|_| assignment.is_some());
                match self.answer_as(query, before, variant, snapshot, effort)? {
                    Some(treated) => {
                        let answer = Answer { experiment: assignment, ..treated.answer };
                        Ok(Treated { answer, ..treated })
                    }
                    None => self.usual(query, before, effort),
                }
            }
            Treatment::Interleaved(experiment) => self.interleaved(query, before, experiment),
        }
    }

    /// The answer without a treatment.
    pub(super) fn usual(&self, query: &Query, before: &[ItemId], effort: Effort) -> Result<Treated> {
        self.answer_at(query, before, self.canary(query.user.as_deref()).as_deref(), effort)
    }

    /// The answer of a variant; `None` if its snapshot cannot be loaded: then nobody is said to have been shown it.
    pub(super) fn answer_as(
        &self,
        query: &Query,
        before: &[ItemId],
        variant: &Variant,
        snapshot: Option<SnapshotId>,
        effort: Effort,
    ) -> Result<Option<Treated>> {
        let by = match snapshot {
            Some(id) => match self.live_of(id) {
                Some(live) => Some(live),
                None => return Ok(None),
            },
            None => self.canary(query.user.as_deref()),
        };
        let changed = !variant.query.is_empty() || variant.scenario.is_some();
        let query = if changed { Cow::Owned(variant.apply(query)?) } else { Cow::Borrowed(query) };
        self.answer_at(&query, before, by.as_deref(), effort).map(Some)
    }
}
