//! The event log as learning reads it: each event reduced to what it says, in the order of time. Everything that is
//! learned from or measured on is cut out of one log, so that a hold-out and the hold-out inside its training part agree
//! on what came before what.

use std::borrow::Cow;
use std::num::NonZeroU32;

use super::csr::Csr;
use super::holdout::{Holdout, Splitter};
use super::interactions::Interactions;
use super::ratings::{RatedSplit, Ratings};
use super::touches::Touches;
use super::transitions::transitions;
use super::trend::trend;
use super::weights::{EventWeights, Signal};
use crate::config::TransitionsConfig;
use crate::error::{Error, Result};
use crate::progress::{Progress, Step};
use crate::record::{ItemId, Span, Timestamp, UserId};
use crate::store::{LoggedEvent, View};

/// Where more than one of so many events bear the same time, they were imported without times.
const LARGEST_TIE: usize = 10;

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
    /// In which session, where the event names one.
    pub session: Option<NonZeroU32>,
}

/// Events in the order of time, those that say nothing included, those with deleted items left out.
pub struct Log<'a> {
    events: Vec<TimedSignal>,
    /// The rating beside each event, NaN where it gives none; empty in a log without ratings.
    ratings: Vec<f32>,
    /// Whether a rating below the threshold makes its user and item known.
    knows_raters: bool,
    weights: Cow<'a, EventWeights>,
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
        let mut ratings = Vec::new();
        view.for_each_event(None, &mut |event| {
            if is_there.get(event.item.index()).copied().unwrap_or(false) {
                let signal = weights.signal(event.kind, event.value);
                if let Some(rating) = weights.rating(event.kind, event.value) {
                    ratings.resize(events.len(), f32::NAN);
                    ratings.push(rating);
                }
                let LoggedEvent { time, user, item, session, .. } = event;
                events.push(TimedSignal { time, user, item, signal, session });
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
        if !ratings.is_empty() {
            ratings.resize(events.len(), f32::NAN);
        }
        Ok(Self { events, ratings, knows_raters: false, weights: Cow::Borrowed(weights) })
    }

    /// For models of ratings: from now on the matrices have a row and a column for everybody and everything with a
    /// rating, also where no preference is.
    pub fn know_raters(&mut self) {
        self.knows_raters = true;
    }

    /// From now on an event weighs half after this span, whatever is configured.
    pub fn fade(&mut self, half_life: Option<Span>) {
        self.weights.to_mut().fade(half_life);
    }

    /// The log orders events of one millisecond by dense id, which depends on what was imported first. A split must not:
    /// here they are ordered by external id, numbers by value. A log without times stays as it is.
    pub fn order_ties(&mut self, view: &View<'_>) -> Result<()> {
        if !self.has_times() {
            return Ok(());
        }
        let mut from = 0;
        for tied in self.events.chunk_by_mut(|a, b| a.time == b.time) {
            let place = from;
            from += tied.len();
            if tied.len() == 1 {
                continue;
            }
            let ratings = self.ratings.get_mut(place..from).unwrap_or_default();
            let mut keyed = Vec::with_capacity(tied.len());
            for (place, event) in tied.iter().enumerate() {
                let rating = ratings.get(place).copied().unwrap_or(f32::NAN);
                let user = view.user_name(event.user)?.unwrap_or_default();
                let item = view.item_name(event.item)?.unwrap_or_default();
                keyed.push(((user.parse::<u64>().ok(), user), (item.parse::<u64>().ok(), item), (*event, rating)));
            }
            keyed.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
            ratings.iter_mut().zip(&keyed).for_each(|(slot, (.., (_, rating)))| *slot = *rating);
            tied.iter_mut().zip(keyed).for_each(|(slot, (.., (event, _)))| *slot = event);
        }
        Ok(())
    }

    /// Whether events have an order: lists of pairs that were imported without times do not, and a few live events among
    /// them do not give them one.
    pub fn has_times(&self) -> bool {
        let largest = self.events.chunk_by(|a, b| a.time == b.time).map(<[_]>::len).max();
        largest.is_some_and(|largest| largest == 1 || largest <= self.events.len() / LARGEST_TIE)
    }

    /// The matrix of all events, their ages counted from `now`.
    pub fn interactions(&self, now: Timestamp) -> Interactions {
        let decayed =
            |event: &TimedSignal| (event.user, event.item, self.weights.decayed(event.signal, event.time, now));
        let known = Interactions::from_signals(self.events.iter().map(decayed).collect(), &self.weights);
        let mut known = if self.knows_raters { known.widened(&self.ratings()) } else { known };
        if self.has_times() {
            known.trend = trend(&self.events, &known.items, self.weights.trend_half_life(), now);
        }
        known
    }

    /// What people take next after each of `items`, ascending, by row and column; empty in a log without times.
    pub fn transitions(&self, items: &[ItemId], config: &TransitionsConfig) -> Csr {
        let now = self.newest().min(Timestamp::now());
        if self.has_times() { transitions(&self.events, items, now, config) } else { Csr::default() }
    }

    /// Which items these users had an event with, and when. One pass.
    pub fn touches(&self, users: impl IntoIterator<Item = UserId>) -> Touches {
        Touches::of(users, self.events.iter().map(|event| (event.time, event.user, event.item)))
    }

    /// The last rating of each pair; none unless [`Log::know_raters`].
    pub fn ratings(&self) -> Ratings {
        let rated = self.events.iter().zip(&self.ratings).filter(|(_, rating)| self.knows_raters && !rating.is_nan());
        Ratings::last_of(rated.map(|(event, rating)| (event.user, event.item, *rating)).collect())
    }

    /// The ratings of this part to learn from, in the shape of its matrix, and of the part to be measured on. `None`
    /// without ratings, and unless [`Log::know_raters`].
    pub fn rated_split(&self, measured: &Self, train: &Interactions) -> Option<RatedSplit> {
        if self.knows_raters { RatedSplit::new(&self.ratings(), &measured.ratings(), train) } else { None }
    }

    /// Events after a moment, and when this share of them had come; `None` without any.
    pub fn after(&self, moment: Timestamp, share: f64) -> Option<(usize, Timestamp)> {
        let first = self.events.partition_point(|event| event.time <= moment);
        let later = self.events.get(first..).unwrap_or_default();
        let place = ((later.len() as f64 * share) as usize).min(later.len().checked_sub(1)?);
        Some((later.len(), later.get(place)?.time))
    }

    /// The time that nearly all events cover: between the hundredth part that is oldest and the one that is newest, so that
    /// a few wrong clocks say nothing.
    pub fn covered(&self) -> Span {
        let (edge, last) = (self.events.len() / 100, self.events.len().saturating_sub(1));
        let at = |place: usize| self.events.get(place).map_or(Timestamp::MIN, |event| event.time);
        Span::between(at(edge), at(last.saturating_sub(edge)))
    }

    /// The time of the newest event.
    pub fn newest(&self) -> Timestamp {
        self.events.last().map_or(Timestamp::MIN, |event| event.time)
    }

    /// The time of the oldest event.
    pub fn oldest(&self) -> Timestamp {
        self.events.first().map_or(Timestamp::MIN, |event| event.time)
    }

    /// The part to learn from and the part to be measured on.
    pub fn split(&self, splitter: &dyn Splitter) -> (Self, Self) {
        let is_test = splitter.is_test(&self.events);
        let part = |wanted: bool| {
            let events = self.events.iter().zip(&is_test).filter(|(_, test)| **test == wanted);
            let ratings = self.ratings.iter().zip(&is_test).filter(|(_, test)| **test == wanted);
            Self {
                events: events.map(|(event, _)| *event).collect(),
                ratings: ratings.map(|(rating, _)| *rating).collect(),
                knows_raters: self.knows_raters,
                weights: self.weights.clone(),
            }
        };
        (part(false), part(true))
    }

    /// A hold-out of this log. Errors: [`Error::NoData`] when a part is empty.
    pub fn holdout(&self, splitter: &dyn Splitter) -> Result<Holdout> {
        let (train, test) = self.split(splitter);
        train.measured_by(&test, splitter.describe())
    }

    /// This log as the part to learn from, and another as the part to be measured on. Errors: [`Error::NoData`] when one is
    /// empty.
    pub fn measured_by(&self, test: &Self, split: String) -> Result<Holdout> {
        let signals = test.events.iter().map(|event| (event.user, event.item, event.signal)).collect();
        let test = Interactions::from_signals(signals, &self.weights);
        Holdout::new(self.interactions(self.newest()), &test, split)
    }
}
