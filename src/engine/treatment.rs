//! Which variant answers a question: a hash or two for each running experiment, and nothing where none runs.

use std::borrow::Cow;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::{Engine, Live};
use crate::error::Result;
use crate::experiment::{Team, assign, is_target, team_draft};
use crate::recommend;
use crate::record::{Answer, Assignment, Experiment, ExperimentState, Query, Timestamp, Variant};

/// How a question is answered.
pub(super) enum Treatment<'e> {
    /// As it is asked, by the active snapshot.
    Usual,
    /// As a variant asks it; without an assignment where a winner is shown to all.
    Variant(&'e Variant, Option<Assignment>),
    /// By two variants in turns.
    Interleaved(&'e Experiment),
}

impl Engine {
    /// How a question is answered under these experiments.
    pub(super) fn treatment<'e>(&self, experiments: &'e [Experiment], query: &Query) -> Result<Treatment<'e>> {
        let Some(user) = query.user.as_deref().filter(|_| !experiments.is_empty()) else { return Ok(Treatment::Usual) };
        let profile = || self.inner.store.user(user);
        let now = Timestamp::now();
        let mut usual = Treatment::Usual;
        for experiment in experiments {
            let design = &experiment.design;
            if design.scenario.is_some() && design.scenario != query.scenario {
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

    /// The answer under a treatment, and whose item each is if it is interleaved.
    pub(super) fn treated(&self, query: &Query, treatment: Treatment<'_>) -> Result<(Answer, Vec<String>)> {
        match treatment {
            Treatment::Usual => Ok((self.answer(query)?, Vec::new())),
            Treatment::Variant(variant, assignment) => match self.answer_as(query, variant)? {
                Some(answer) => Ok((Answer { experiment: assignment, ..answer }, Vec::new())),
                None => Ok((self.answer(query)?, Vec::new())),
            },
            Treatment::Interleaved(experiment) => self.interleaved(query, experiment),
        }
    }

    fn answer(&self, query: &Query) -> Result<Answer> {
        self.ask([(query.filter.as_ref(), query.category.as_deref())], |context| recommend::recommend(context, query))
    }

    /// The answer of a variant; `None` if its snapshot cannot be loaded: then nobody is said to have been shown it.
    pub(super) fn answer_as(&self, query: &Query, variant: &Variant) -> Result<Option<Answer>> {
        let live = match variant.snapshot {
            Some(id) => match self.live_of(id) {
                Some(live) => Some(live),
                None => return Ok(None),
            },
            None => self.inner.live.load_full(),
        };
        let changed = !variant.query.is_empty() || variant.scenario.is_some();
        let query = if changed { Cow::Owned(variant.apply(query)?) } else { Cow::Borrowed(query) };
        self.answer_by(live, &query).map(Some)
    }

    /// The answer by one snapshot.
    pub(super) fn answer_by(&self, live: Option<Arc<Live>>, query: &Query) -> Result<Answer> {
        let filters = [(query.filter.as_ref(), query.category.as_deref())];
        self.ask_of(live.as_deref(), filters, |context| recommend::recommend(context, query))
    }

    /// Items of two variants in turns. What the answer says beside its items is the control's.
    fn interleaved(&self, query: &Query, experiment: &Experiment) -> Result<(Answer, Vec<String>)> {
        let [first, second] = experiment.design.variants.as_slice() else {
            return Ok((self.answer(query)?, Vec::new()));
        };
        let (Some(mut answer), Some(other)) = (self.answer_as(query, first)?, self.answer_as(query, second)?) else {
            return Ok((self.answer(query)?, Vec::new()));
        };
        let names = |answer: &Answer| answer.items.iter().map(|item| item.item.clone()).collect::<Vec<_>>();
        let coin = xxh3_64(answer.recommendation_id.as_bytes());
        let drafted = team_draft(&names(&answer), &names(&other), query.limit, coin);
        let mut teams = Vec::with_capacity(drafted.len());
        let mut items = Vec::with_capacity(drafted.len());
        for (team, place) in drafted {
            let (list, variant) = match team {
                Team::First => (&answer, first),
                Team::Second => (&other, second),
            };
            if let Some(item) = list.items.get(place) {
                items.push(item.clone());
                teams.push(variant.name.clone());
            }
        }
        answer.items = items;
        answer.experiment = Some(Assignment { id: experiment.id.clone(), variant: None });
        Ok((answer, teams))
    }
}
