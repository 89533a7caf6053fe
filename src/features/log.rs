//! The event log as learning reads it: each event reduced to what it says, in the order of time. Everything that is
//! learned from or measured on is cut out of one log, so that a hold-out and the hold-out inside its training part agree
//! on what came before what.

use super::holdout::{Holdout, PairFold, Splitter, TimeSplit};
use super::interactions::Interactions;
use super::weights::{EventWeights, Signal};
use crate::error::{Error, Result};
use crate::progress::{Progress, Step};
use crate::record::{ItemId, Timestamp, UserId};
use crate::store::View;

/// With fewer distinct times than this a log has no order worth splitting by.
const MIN_TIMES: usize = 50;
/// A validation part by time with fewer users than this says too little, and pairs are drawn instead.
const MIN_VALIDATION_USERS: usize = 50;
/// The training part of a validation by time.
const VALIDATION_TRAIN: f64 = 0.85;
/// One pair of so many is for validation where there are no times.
const VALIDATION_FOLDS: u64 = 10;

/// An event, reduced to what it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimedSignal {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub user: UserId,
    /// About which item.
    pub item: ItemId,
    /// What it says.
    pub signal: Signal,
}

/// Events in the order of time, those that say nothing included, those with deleted items left out.
pub struct Log<'a> {
    events: Vec<TimedSignal>,
    weights: &'a EventWeights,
}

impl<'a> Log<'a> {
    /// Reads all events of a view. Errors: [`Error::Cancelled`].
    pub fn read(view: &View<'_>, weights: &'a EventWeights, progress: &dyn Progress) -> Result<Self> {
        const REPORT_EVERY: usize = 1 << 16;
        let mut is_there = Vec::new();
        view.for_each_item(&mut |id, _| {
            if is_there.len() <= id.index() {
                is_there.resize(id.index() + 1, false);
            }
            if let Some(slot) = is_there.get_mut(id.index()) {
                *slot = true;
            }
            Ok(())
        })?;
        let mut events = Vec::new();
        view.for_each_event(None, &mut |event| {
            if is_there.get(event.item.index()).copied().unwrap_or(false) {
                let signal = weights.signal(event.kind, event.value);
                events.push(TimedSignal { time: event.time, user: event.user, item: event.item, signal });
            }
            if events.len() % REPORT_EVERY == 0 {
                if progress.cancelled() {
                    return Err(Error::Cancelled("reading events"));
                }
                progress.report(&Step::Reading { events: events.len() as u64 });
            }
            Ok(())
        })?;
        progress.report(&Step::Reading { events: events.len() as u64 });
        Ok(Self { events, weights })
    }

    /// The log orders events of one millisecond by dense id, which depends on what was imported first. A split must not:
    /// here they are ordered by external id, numbers by value. A log without times stays as it is.
    pub fn order_ties(&mut self, view: &View<'_>) -> Result<()> {
        if !self.has_times() {
            return Ok(());
        }
        for tied in self.events.chunk_by_mut(|a, b| a.time == b.time).filter(|tied| tied.len() > 1) {
            let mut keyed = Vec::with_capacity(tied.len());
            for event in tied.iter() {
                let user = view.user_name(event.user)?.unwrap_or_default();
                let item = view.item_name(event.item)?.unwrap_or_default();
                keyed.push(((user.parse::<u64>().ok(), user), (item.parse::<u64>().ok(), item), *event));
            }
            keyed.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
            tied.iter_mut().zip(keyed).for_each(|(slot, (.., event))| *slot = event);
        }
        Ok(())
    }

    /// Whether events differ in time enough for an order: lists of pairs that were imported without times do not.
    pub fn has_times(&self) -> bool {
        self.events.chunk_by(|a, b| a.time == b.time).nth(MIN_TIMES.min(self.events.len() / 2)).is_some()
    }

    /// The matrix of all events, their ages counted from `now`.
    pub fn interactions(&self, now: Timestamp) -> Interactions {
        let decayed =
            |event: &TimedSignal| (event.user, event.item, self.weights.decayed(event.signal, event.time, now));
        Interactions::from_signals(self.events.iter().map(decayed).collect(), self.weights)
    }

    /// The time of the newest event.
    pub fn newest(&self) -> Timestamp {
        self.events.last().map_or(Timestamp::MIN, |event| event.time)
    }

    /// The part to learn from and the part to be measured on.
    pub fn split(&self, splitter: &dyn Splitter) -> (Self, Self) {
        let is_test = splitter.is_test(&self.events);
        let part = |wanted: bool| {
            let events = self.events.iter().zip(&is_test).filter(|(_, test)| **test == wanted);
            Self { events: events.map(|(event, _)| *event).collect(), weights: self.weights }
        };
        (part(false), part(true))
    }

    /// A hold-out of this log. Errors: [`Error::NoData`] when a part is empty.
    pub fn holdout(&self, splitter: &dyn Splitter) -> Result<Holdout> {
        let (train, test) = self.split(splitter);
        let signals = test.events.iter().map(|event| (event.user, event.item, event.signal)).collect();
        let test = Interactions::from_signals(signals, self.weights);
        Holdout::new(train.interactions(train.newest()), &test, splitter.describe())
    }

    /// A hold-out for what is chosen by measuring: by time where there are times and users on both sides of them,
    /// else by pairs drawn at random. `None` when there is too little data to measure anything.
    pub fn validation(&self) -> Option<Holdout> {
        let by_time = || self.holdout(&TimeSplit { train: VALIDATION_TRAIN }).ok();
        self.has_times()
            .then(by_time)
            .flatten()
            .filter(|holdout| holdout.test.len() >= MIN_VALIDATION_USERS)
            .or_else(|| self.holdout(&PairFold { folds: VALIDATION_FOLDS, fold: 0 }).ok())
    }
}
