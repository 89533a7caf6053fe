//! What was taken of what was shown: at which positions, and how often by snapshot, which is what the watch of a new snapshot
//! and the retraining policy go by where nobody else tells them.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Engine, read};
use crate::error::Result;
use crate::experiment::{Moments, UserFigure};
use crate::features::Signal;
use crate::monitor::{ClickRate, Outcomes};
use crate::record::{Exposure, ItemId, Shown, SnapshotId, Timestamp, UserId};
use crate::store::LoggedOutcome;

/// What outcomes say was taken, by the answer that they name.
pub(super) struct Takes(FxHashMap<Box<str>, Vec<Take>>);

struct Take {
    user: UserId,
    item: ItemId,
    position: Option<u32>,
}

impl Engine {
    /// Who knows what was shown and taken: whom the caller named, else the exposures that are kept.
    pub(super) fn outcomes(&self) -> Option<Arc<dyn Outcomes>> {
        let named = read(&self.inner.outcomes).clone();
        named.or_else(|| self.inner.exposures.is_kept().then(|| Arc::new(Kept(self.clone())) as Arc<dyn Outcomes>))
    }

    /// How often known users took what a snapshot (or any) showed them, of the answers given from a time on until another: by
    /// events that are positive and name their answer. `None` where fewer than two users were shown anything. One pass over
    /// exposures and one over events; memory: a figure for each user, and what was taken.
    pub fn click_rate(
        &self,
        snapshot: Option<SnapshotId>,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Option<ClickRate>> {
        let mut users: FxHashMap<String, UserFigure> = FxHashMap::default();
        self.for_each_shown(from, until, &|event| self.is_positive(event), &mut |exposure, taken| {
            if snapshot.is_none() || exposure.snapshot == snapshot {
                let figure = users.entry(exposure.user.clone().unwrap_or_default()).or_default();
                figure.of += taken.len() as f64;
                figure.over += exposure.items.len() as f64;
            }
            Ok(())
        })?;
        // In one order, so that the same log gives the same sums.
        let mut users: Vec<(String, UserFigure)> = users.into_iter().collect();
        users.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut moments = Moments::default();
        users.iter().for_each(|(_, figure)| moments.add(*figure));
        let shown = users.iter().map(|(_, figure)| figure.over).sum::<f64>() as u64;
        // Users, not the items shown to them, are what varies independently: the delta method.
        let rate = moments.value_and_error();
        Ok(rate.map(|(rate, error)| ClickRate { shown, rate, variance: error * error }))
    }

    /// Whether an event says that its user likes the item.
    pub(super) fn is_positive(&self, event: &LoggedOutcome<'_>) -> bool {
        matches!(self.inner.weights.signal(event.kind, event.counted.value), Signal::Positive(_))
    }

    /// Passes the answers to known users on that were given from a time on until another, in the order of time, each with the
    /// positions that came to something, by the outcomes that count. Of an interleaved answer the propensities
    /// are those of its two sides, not its own: it is left out.
    pub(super) fn for_each_shown(
        &self,
        from: Timestamp,
        until: Timestamp,
        counts: &dyn Fn(&LoggedOutcome<'_>) -> bool,
        f: &mut dyn FnMut(Exposure, FxHashSet<u32>) -> Result<()>,
    ) -> Result<()> {
        self.flush_exposures();
        let view = self.inner.store.view();
        let mut takes = Takes(FxHashMap::default());
        view.for_each_outcome(from, &mut |event| {
            if let Some(answer) = event.recommendation_id.as_deref().filter(|_| counts(&event)) {
                let take = Take { user: event.user, item: event.item, position: event.position };
                takes.0.entry(answer.into()).or_default().push(take);
            }
            Ok(())
        })?;
        view.for_each_exposure(from, until, &mut |exposure| {
            let is_drafted = exposure.items.iter().any(|shown| shown.team.is_some());
            if exposure.user.is_none() || exposure.items.is_empty() || is_drafted {
                return Ok(());
            }
            let taken = self.taken_of(&takes, &exposure)?;
            f(exposure, taken)
        })
    }

    /// The positions of an answer that its user took; the same one twice counts once. What somebody else says of it does not
    /// count.
    fn taken_of(&self, takes: &Takes, exposure: &Exposure) -> Result<FxHashSet<u32>> {
        let mut taken = FxHashSet::default();
        let Some(named) = takes.0.get(exposure.recommendation_id.as_str()) else { return Ok(taken) };
        let user = exposure.user.as_deref().map(|name| self.inner.store.user_id(name)).transpose()?.flatten();
        for take in named.iter().filter(|take| Some(take.user) == user) {
            // As in experiments: where it says, if that is where the item was; else where the item was.
            let name = self.inner.store.item_name(take.item)?;
            let fits = |shown: &Shown| name.as_ref().is_none_or(|name| *name == shown.item);
            taken.extend(match take.position {
                Some(position) => exposure.items.get(position as usize).filter(|shown| fits(shown)).map(|_| position),
                None if name.is_none() => None,
                None => exposure.items.iter().position(fits).map(|place| place as u32),
            });
        }
        Ok(taken)
    }
}

/// The exposures of an engine.
struct Kept(Engine);

impl Outcomes for Kept {
    fn click_rate(&self, snapshot: Option<SnapshotId>, from: Timestamp, until: Timestamp) -> Result<Option<ClickRate>> {
        self.0.click_rate(snapshot, from, until)
    }

    fn foretold(&self, snapshot: SnapshotId, from: Timestamp, until: Timestamp) -> Result<Vec<(f64, bool)>> {
        self.0.foretold(snapshot, from, until)
    }
}
