//! Answers below full effort: the ladder that a server goes down when more is asked of it than it can answer.

use super::Engine;
use super::treatment::{Treated, Treatment};
use crate::error::Result;
use crate::recommend::{self, recommendation_id};
use crate::record::{Answer, Degraded, Effort, ItemId, Query, Timestamp};

impl Engine {
    /// An answer for so much effort. One that is less than it would have been belongs to no experiment: it says nothing of the variant.
    pub(super) fn hasty(&self, query: &Query, before: &[ItemId], effort: Effort) -> Result<Treated> {
        if effort >= Effort::Kept
            && before.is_empty()
            && let Some(kept) = self.kept(query)?
        {
            return Ok(kept);
        }
        if effort == Effort::Popular {
            return self.popular(query, before);
        }
        let experiments = self.inner.experiments.active.load();
        let treatment = match self.treatment(&experiments, query)? {
            // Two answers are too many.
            Treatment::Interleaved(_) => Treatment::Usual,
            treatment => treatment,
        };
        let mut treated = self.treated_at(query, before, treatment, Effort::Unranked)?;
        if treated.answer.degraded.is_some_and(Degraded::is_overload) {
            treated.answer.experiment = None;
        }
        Ok(treated)
    }

    /// An answer that was kept, without what has been deleted, hidden or changed so that it is not asked for any more.
    fn kept(&self, query: &Query) -> Result<Option<Treated>> {
        let inner = &*self.inner;
        let now = Timestamp::now();
        let Some(asked) = inner.answers.ask(query) else { return Ok(None) };
        let plan = self.plan(query, now)?;
        if !plan.lasts() {
            return Ok(None);
        }
        let oldest = now.before(inner.config.server.overload.kept_for);
        let Some((answer, is_new)) = inner.answers.stale(&asked, oldest) else { return Ok(None) };
        let mut answer = Answer { recommendation_id: recommendation_id(now), ..answer };
        if !is_new {
            if answer.scenario.as_ref() != plan.applied() {
                return Ok(None);
            }
            let items = std::mem::take(&mut answer.items);
            answer.items = self.ask([], |context| {
                let mut fit = Vec::with_capacity(items.len());
                for item in items {
                    if recommend::is_still_fit(context, &plan, &item.item)? {
                        fit.push(item);
                    }
                }
                Ok(fit)
            })?;
            answer.degraded = Some(Degraded::OverloadedKept);
        }
        let is_noted = plan.looks_at_shown();
        Ok(Some(Treated { is_noted, ..Treated::new(answer, query.limit) }))
    }

    fn popular(&self, query: &Query, before: &[ItemId]) -> Result<Treated> {
        let plan = self.plan(query, Timestamp::now())?.after(before);
        let answer = self.ask([], |context| recommend::popular(context, &plan, &self.inner.hot))?;
        Ok(Treated { is_noted: plan.looks_at_shown(), ..Treated::new(answer, query.limit) })
    }
}
