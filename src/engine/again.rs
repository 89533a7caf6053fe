//! The quick way of an answer that was given before and still is the answer: its text, its record in the log and its next page
//! are there, and only the name is new. Experiments, canaries and rules that look at what was shown go the long way.

use std::sync::Arc;

use super::Engine;
use super::departed::Moment;
use super::pages::Page;
use crate::error::{Error, Result};
use crate::recommend::{Kept, recommendation_id};
use crate::record::{Answer, Degraded, Effort, Query, Timestamp};

/// The answer to a question.
pub(super) enum Given {
    /// Made for it.
    New(Box<Answer>),
    /// Given before.
    Again(Again),
}

/// An answer that is given again.
pub(super) struct Again {
    kept: Arc<Kept>,
    name: String,
    has_next: bool,
}

impl Given {
    /// The answer itself.
    pub fn into_answer(self) -> Answer {
        match self {
            Self::New(answer) => *answer,
            Self::Again(Again { kept, name, has_next }) => {
                let next = has_next.then(|| next_path(&name));
                Answer { recommendation_id: name, next, ..kept.answer().clone() }
            }
        }
    }

    /// Its text, and whether it is less than what was asked for.
    fn into_json(self) -> Result<(Vec<u8>, Option<Degraded>)> {
        if let Self::Again(Again { kept, name, has_next }) = &self
            && let Some(json) = kept.text(name, has_next.then_some(&next_path as &dyn Fn(&str) -> String))
        {
            // Only full answers are kept.
            return Ok((json, None));
        }
        let answer = self.into_answer();
        let json = serde_json::to_vec(&answer);
        let json = json.map_err(|error| Error::Storage { operation: "encode", reason: error.to_string() })?;
        Ok((json, answer.degraded))
    }
}

/// Where the next page of an answer is, over HTTP.
pub(super) fn next_path(name: &str) -> String {
    format!("/v1/recommendations/{name}/next")
}

impl Engine {
    /// [`recommend_at`](Self::recommend_at) as JSON, and whether it is less than what was asked for: what a server sends.
    /// Errors: those of [`recommend`](Self::recommend).
    pub fn recommend_json(&self, query: &Query, effort: Effort) -> Result<(Vec<u8>, Option<Degraded>)> {
        self.give(query, effort)?.into_json()
    }

    /// The answer, in whichever way is the quickest.
    pub(super) fn give(&self, query: &Query, effort: Effort) -> Result<Given> {
        query.validate()?;
        let asked = self.inner.departed.now();
        let again = if effort == Effort::Full { self.again(query, &asked)? } else { None };
        match again {
            Some(again) => Ok(Given::Again(again)),
            None => self.page(query, &[], effort, &asked).map(|answer| Given::New(Box::new(answer))),
        }
    }

    /// The answer that was given to the same question before, if it still is the answer.
    fn again(&self, query: &Query, asked: &Arc<Moment>) -> Result<Option<Again>> {
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
