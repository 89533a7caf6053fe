//! The log once more, in the order of time, with everything as it was known before each event: where training rows come
//! from. Events of one millisecond do not know each other.

use rustc_hash::FxHashMap;

use super::past::PastEvent;
use super::rows::{FeatureRequest, Known};
use super::{FactTable, FeatureTable};
use crate::counters::{CounterSet, Owner};
use crate::error::Result;
use crate::record::{Attributes, ItemId, Timestamp, UserId};
use crate::store::{LoggedCount, View};

/// An event, and what was known before it.
pub struct Moment<'a> {
    /// Who.
    pub user: UserId,
    /// With which item.
    pub item: ItemId,
    /// What a question at that moment would have known of the user. There are no scores of sources in it.
    pub request: FeatureRequest<'a>,
    /// What it would have known of items.
    pub known: Known<'a>,
}

/// Passes each event of the log on with what was known before it. `items` and `users` are metadata as they are now: of
/// metadata the log has no past. Memory: counters of all, and the latest events of each user.
pub fn replay(
    view: &View<'_>,
    table: &FeatureTable,
    items: &FactTable,
    users: &FactTable,
    f: &mut dyn FnMut(&Moment<'_>) -> Result<()>,
) -> Result<()> {
    let mut state = State::default();
    let mut pending: Vec<Pending> = Vec::new();
    view.for_each_counted(None, &mut |event| {
        if pending.first().is_some_and(|first| first.event.counted.time < event.counted.time) {
            state.apply(&mut pending, table);
        }
        state.show(&event, items, users, f)?;
        pending.push(Pending::new(&event));
        Ok(())
    })
}

/// Everything that events have told until now.
#[derive(Default)]
pub(super) struct State {
    pub counters: CounterSet,
    pub pasts: FxHashMap<UserId, Vec<PastEvent>>,
}

/// An event that the next moment will know.
pub(super) struct Pending {
    kind: Box<str>,
    pub event: LoggedCount<'static>,
}

impl Pending {
    pub fn new(event: &LoggedCount<'_>) -> Self {
        let kind = event.kind.into();
        Self { kind, event: LoggedCount { kind: "", context: Attributes::new(), ..event.clone() } }
    }
}

impl State {
    pub fn show(
        &self,
        event: &LoggedCount<'_>,
        items: &FactTable,
        users: &FactTable,
        f: &mut dyn FnMut(&Moment<'_>) -> Result<()>,
    ) -> Result<()> {
        let request = FeatureRequest {
            at: event.counted.time,
            user: users.at(event.user.index()),
            counters: self.counters.of(Owner::User(event.user)),
            past: self.pasts.get(&event.user).map(Vec::as_slice).unwrap_or_default(),
            context: &event.context,
            scores: &[],
        };
        let known = Known { items, counters: &self.counters };
        f(&Moment { user: event.user, item: event.item, request, known })
    }

    /// Serving reads a user's events from the newest on, in the order of items within a millisecond; so the past keeps
    /// them the other way round.
    pub fn apply(&mut self, pending: &mut Vec<Pending>, table: &FeatureTable) {
        for Pending { kind, event } in pending.drain(..).rev() {
            self.counters.add(event.user, event.item, &kind, event.counted);
            let past = self.pasts.entry(event.user).or_default();
            past.push(table.past_event(event.item, &kind, event.counted.time, event.session));
            if past.len() > table.history() {
                past.remove(0);
            }
        }
    }
}

/// The latest `history` of some events before a time, as serving has them: the oldest first.
pub fn latest(mut past: Vec<PastEvent>, history: usize, at: Timestamp) -> Vec<PastEvent> {
    past.retain(|event| event.time < at);
    past.drain(..past.len().saturating_sub(history));
    past
}
