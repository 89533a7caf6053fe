//! The quick way of an answer that was given before and still is the answer: its text, its record in the log and its next page
//! are there, and only the name is new. Experiments, canaries and rules that look at what was shown go the long way.

use std::sync::Arc;

use super::Engine;
use super::departed::Moment;
use super::pages::Page;
use crate::error::{Error, Result};
use crate::recommend::{Kept, recommendation_id};
use crate::record::{Answer, Degraded, Effort, Query, Timestamp};

/// An answer that is given again.
pub(super) struct Again {
    kept: Arc<Kept>,
    name: String,
    has_next: bool,
}

impl Again {
    /// The answer itself.
    pub fn into_answer(self) -> Answer {
        let next = self.has_next.then(|| next_path(&self.name));
        Answer { recommendation_id: self.name, next, ..self.kept.answer().clone() }
    }

    fn into_json(self) -> Result<Vec<u8>> {
        let next = self.has_next.then_some(&next_path as &dyn Fn(&str) -> String);
        match self.kept.text(&self.name, next) {
            Some(json) => Ok(json),
            None => json(&self.into_answer()),
        }
    }
}

/// Where the next page of an answer is, over HTTP.
pub(super) fn next_path(name: &str) -> String {
    format!("/v1/recommendations/{name}/next")
}

fn json(answer: &Answer) -> Result<Vec<u8>> {
    serde_json::to_vec(answer).map_err(|error| Error::Storage { operation: "encode", reason: error.to_string() })
}

impl Engine {
    /// [`recommend_at`](Self::recommend_at) as JSON, and whether it is less than what was asked for: what a server sends.
    /// Errors: those of [`recommend`](Self::recommend).
    pub fn recommend_json(&self, query: &Query, effort: Effort) -> Result<(Vec<u8>, Option<Degraded>)> {
        query.validate()?;
        let asked = self.inner.departed.now();
        if effort == Effort::Full
            && let Some(again) = self.again(query, &asked)?
        {
            // Only full answers are kept.
            return Ok((again.into_json()?, None));
        }
        let answer = self.page(query, &[], effort, &asked)?;
        Ok((json(&answer)?, answer.degraded))
    }

    /// The answer that was given to the same question before, if it still is the answer.
    pub(super) fn again(&self, query: &Query, asked: &Arc<Moment>) -> Result<Option<Again>> {
        let inner = &*self.inner;
        if inner.canary.load().is_some() || !inner.experiments.active.load().is_empty() {
            return Ok(None);
        }
        // Before anything is looked at.
        let Some(question) = inner.answers.ask(query) else { return Ok(None) };
        let now = Timestamp::now();
        let plan = self.plan(query, now)?;
        if !plan.lasts() || plan.looks_at_shown() {
            return Ok(None);
        }
        let Some(kept) = inner.answers.again(&question) else { return Ok(None) };
        let name = recommendation_id(now);
        let has_next = kept.answer().items.len() == query.limit;
        if has_next {
            let page = kept.page(|answer| Ok::<_, Error>((Arc::new(query.clone()), self.ids(answer)?.into())))?;
            inner.pages.keep(&name, Page::new(Arc::clone(&page.0), Arc::clone(&page.1)), now);
        }
        self.settle(query.user.as_deref(), asked);
        self.expose_again(query, &kept, &name, asked);
        Ok(Some(Again { kept, name, has_next }))
    }
}
