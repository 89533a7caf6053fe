//! Questions of the past: the log once more, and at given times what was known then of given users. Where a ranker's
//! training rows come from.

use super::replay::{Pending, State};
use super::rows::{FeatureRequest, Known};
use super::{FactTable, FeatureTable};
use crate::counters::Owner;
use crate::error::Result;
use crate::record::{Attributes, Timestamp, UserId};
use crate::store::View;

/// A question that a user might have asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// When. Only what is earlier is known.
    pub at: Timestamp,
    /// Who.
    pub user: UserId,
    /// Under which circumstances.
    pub context: Attributes,
}

/// Passes questions, given in the order of time, on by number, each with what was known before it. There are no scores of
/// sources in it. Reads the log up to the last question. Memory: as [`replay`](super::replay()).
pub fn replay_asked(
    view: &View<'_>,
    table: &FeatureTable,
    items: &FactTable,
    users: &FactTable,
    asked: &[Asked],
    f: &mut dyn FnMut(usize, &FeatureRequest<'_>, Known<'_>) -> Result<()>,
) -> Result<()> {
    let mut state = State::default();
    let mut pending: Vec<Pending> = Vec::new();
    let mut next = 0;
    let mut show = |state: &State, next: &mut usize, until: Option<Timestamp>| -> Result<()> {
        while let Some(question) = asked.get(*next).filter(|of| until.is_none_or(|until| of.at <= until)) {
            let request = FeatureRequest {
                at: question.at,
                user: users.at(question.user.index()),
                counters: state.counters.of(Owner::User(question.user)),
                past: state.pasts.get(&question.user).map(Vec::as_slice).unwrap_or_default(),
                context: &question.context,
                scores: &[],
            };
            f(*next, &request, Known { items, counters: &state.counters })?;
            *next += 1;
        }
        Ok(())
    };
    view.for_each_counted(None, &mut |event| {
        if next == asked.len() {
            return Ok(());
        }
        let time = event.counted.time;
        if pending.first().is_some_and(|first| first.event.counted.time < time) {
            state.apply(&mut pending, table);
        }
        show(&state, &mut next, Some(time))?;
        pending.push(Pending::new(&event));
        Ok(())
    })?;
    state.apply(&mut pending, table);
    show(&state, &mut next, None)
}
