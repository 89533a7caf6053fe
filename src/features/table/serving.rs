//! What the store knows of a user at the moment of a question.

use super::past::{PastEvent, Visit};
use super::replay::latest;
use super::rows::{FeatureRequest, SourceScores};
use super::{Facts, FeatureTable};
use crate::counters::EventCounter;
use crate::error::Result;
use crate::record::{Attributes, Timestamp, UserId};
use crate::store::Store;

/// Events dated in the future that are read over.
const FUTURE: usize = 16;

/// A user as serving sees one.
#[derive(Default)]
pub struct UserState {
    facts: Option<Facts>,
    counters: Vec<(Box<str>, EventCounter)>,
    past: Vec<PastEvent>,
}

impl UserState {
    /// Reads profile, counters and latest events; of an unknown user, nothing. In hindsight, `before` that time.
    pub fn read(
        store: &Store,
        table: &FeatureTable,
        user: UserId,
        at: Timestamp,
        before: Option<Timestamp>,
    ) -> Result<Self> {
        let mut past = Vec::new();
        // Sessions are in the log, and are looked up as long as they may belong to the visit that is going on.
        let mut visit = Some(Visit::at(at, table.session_gap)).filter(|_| table.asks_of_session());
        store.user_past(user, before, table.history() + FUTURE, &mut |event, session| {
            let mut of_event = None;
            if let Some(going_on) = visit.as_mut().filter(|_| event.time < at) {
                of_event = session()?;
                if !going_on.holds(event.time, of_event) {
                    visit = None;
                }
            }
            past.push(table.past_event(event.item, event.kind, event.time, of_event));
            Ok(())
        })?;
        past.reverse();
        let profile = store.user_name(user)?.map_or(Ok(None), |name| store.user(&name))?;
        Ok(Self {
            facts: profile.map(|profile| table.user_facts(&profile.attributes)),
            counters: match before {
                Some(before) => store.user_counters_before(user, before)?,
                None => store.user_counters(user)?,
            },
            past: latest(past, table.history(), at),
        })
    }

    /// Adds an item of the session, later than all that is known.
    pub fn visit(&mut self, event: PastEvent) {
        self.past.push(event);
    }

    /// The profile, if there is one.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// The counters by event type.
    pub fn counters(&self) -> &[(Box<str>, EventCounter)] {
        &self.counters
    }

    /// The latest events, the oldest first.
    pub fn past(&self) -> &[PastEvent] {
        &self.past
    }

    /// The question.
    pub fn request<'a>(
        &'a self,
        at: Timestamp,
        context: &'a Attributes,
        scores: &'a [SourceScores<'a>],
    ) -> FeatureRequest<'a> {
        let Self { facts, counters, past } = self;
        FeatureRequest { at, user: facts.as_ref(), counters, past, context, scores }
    }
}
