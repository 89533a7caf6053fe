//! A share of the rows that the learned ranker saw, on their way to the store: an answer leaves them here, and whoever
//! writes next takes them along.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Context;
use super::visitor::Visitor;
use crate::counters::{CounterSet, EventCounter, Owner};
use crate::features::table::{FactTable, Facts, UserState};
use crate::linalg::Matrix;
use crate::record::ItemId;
use crate::store::{ServedAnswer, ServedRow};

/// Candidates of an answer that are logged, evenly spaced.
const ROWS: usize = 4;
/// Answers that may wait; of more, the oldest are lost.
const MOST_WAITING: usize = 256;

/// What waits to be written, and which answers are logged.
pub struct ServedLog {
    /// Every so-many-th answer; 0: none.
    every: u64,
    asked: AtomicU64,
    waiting: Mutex<VecDeque<ServedAnswer>>,
}

impl ServedLog {
    /// Of a share of the answers.
    pub fn new(share: f64) -> Self {
        let every = if share > 0.0 { (1.0 / share).round() as u64 } else { 0 };
        Self { every, asked: AtomicU64::new(0), waiting: Mutex::default() }
    }

    /// Counts an answer, and tells whether it is to be logged.
    pub(super) fn is_wanted(&self) -> bool {
        self.every > 0 && self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.every)
    }

    fn keep(&self, answer: ServedAnswer) {
        let mut waiting = self.waiting();
        if waiting.len() == MOST_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(answer);
    }

    /// Takes what waits, if it is so many or more.
    pub fn take(&self, least: usize) -> Vec<ServedAnswer> {
        let mut waiting = self.waiting();
        if waiting.len() < least { Vec::new() } else { waiting.drain(..).collect() }
    }

    /// Each answer is put in whole: a panic elsewhere leaves nothing half done.
    fn waiting(&self) -> MutexGuard<'_, VecDeque<ServedAnswer>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the ranker was given.
pub(super) struct Seen<'a> {
    pub candidates: &'a [ItemId],
    /// `[candidates, columns]`.
    pub rows: &'a Matrix,
    pub state: &'a UserState,
    pub facts: &'a FactTable,
    pub counters: &'a CounterSet,
}

impl Seen<'_> {
    /// Logs some of it, but nothing of those who have events that are dated later: means over all events know them already, and
    /// training will not.
    pub fn log(&self, context: &Context<'_>, visitor: &Visitor) {
        let Some(snapshot) = context.snapshot else { return };
        let is_ahead = |counters: &[(Box<str>, EventCounter)]| {
            counters.iter().any(|(_, counter)| counter.buckets.dated_after(context.now) > 0)
        };
        if is_ahead(self.state.counters()) {
            return;
        }
        let step = self.candidates.len().div_ceil(ROWS).max(1);
        let row = |(place, item): (usize, &ItemId)| ServedRow {
            item: item.get(),
            item_events: self.counters.of(Owner::Item(*item)).iter().map(|(_, counter)| counter.events).sum(),
            values: self.rows.row(place).to_vec(),
        };
        let sampled = self.candidates.iter().enumerate().step_by(step);
        let rows: Vec<ServedRow> =
            sampled.filter(|(_, item)| !is_ahead(self.counters.of(Owner::Item(**item)))).map(row).collect();
        let mut items: Vec<ItemId> = rows.iter().map(|row| ItemId::new(row.item)).collect();
        items.extend(self.state.past().iter().map(|event| event.item));
        items.sort_unstable();
        items.dedup();
        context.served.keep(ServedAnswer {
            at: context.moment().millis(),
            snapshot: snapshot.manifest().id.0,
            user: visitor.user.map(|user| user.get()),
            user_events: self.state.counters().iter().map(|(_, counter)| counter.events).sum(),
            profile: self.state.facts().map_or(0, Facts::fingerprint),
            context: visitor.context.clone(),
            visits: visitor.session.iter().map(|(item, kind)| (item.get(), kind.clone())).collect(),
            metadata: items
                .into_iter()
                .map(|item| (item.get(), self.facts.get(item).map_or(0, Facts::fingerprint)))
                .collect(),
            rows,
        });
    }
}
