//! What was taken of what was shown: at which positions, and how often by snapshot, which is what the watch of a new snapshot
//! and the retraining policy go by where nobody else tells them.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Engine, read};
use crate::error::Result;
use crate::experiment::{Moments, UserFigure};
use crate::features::Signal;
use crate::monitor::{ClickRate, Outcomes};
use crate::record::{Exposure, Shown, SnapshotId, Timestamp};

impl Engine {
    /// Who knows what was shown and taken: whom the caller named, else the exposures that are kept.
    pub(super) fn outcomes(&self) -> Option<Arc<dyn Outcomes>> {
        let named = read(&self.inner.outcomes).clone();
        named.or_else(|| self.inner.exposures.is_kept().then(|| Arc::new(Kept(self.clone())) as Arc<dyn Outcomes>))
    }

    /// How often known users took what a snapshot (or any) showed them, of the answers given from a time on until another: by
    /// events that are positive and name their answer. `None` where fewer than two users were shown anything. One pass over
    /// exposures and events.
    pub fn click_rate(
        &self,
        snapshot: Option<SnapshotId>,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Option<ClickRate>> {
        let mut shown = self.shown_since(from)?;
        shown.retain(|of| of.time < until && (snapshot.is_none() || of.snapshot == snapshot));
        let weights = &self.inner.weights;
        let taken =
            self.taken_positions(&shown, |kind, value| matches!(weights.signal(kind, value), Signal::Positive(_)))?;
        let mut users: FxHashMap<&str, UserFigure> = FxHashMap::default();
        for (exposure, taken) in shown.iter().zip(&taken) {
            let figure = users.entry(exposure.user.as_deref().unwrap_or_default()).or_default();
            figure.of += taken.len() as f64;
            figure.over += exposure.items.len() as f64;
        }
        // In one order, so that the same log gives the same sums.
        let mut users: Vec<(&str, UserFigure)> = users.into_iter().collect();
        users.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let mut moments = Moments::default();
        users.iter().for_each(|(_, figure)| moments.add(*figure));
        let shown = users.iter().map(|(_, figure)| figure.over).sum::<f64>() as u64;
        // Users, not the items shown to them, are what varies independently: the delta method.
        let rate = moments.value_and_error();
        Ok(rate.map(|(rate, error)| ClickRate { shown, rate, variance: error * error }))
    }

    /// Answers to known users, in the order of time. Of an interleaved answer the propensities are those of its two sides, not
    /// its own: it is left out.
    pub(super) fn shown_since(&self, from: Timestamp) -> Result<Vec<Exposure>> {
        self.flush_exposures();
        let mut shown = Vec::new();
        self.inner.store.view().for_each_exposure(from, &mut |exposure| {
            let is_drafted = exposure.items.iter().any(|shown| shown.team.is_some());
            if exposure.user.is_some() && !exposure.items.is_empty() && !is_drafted {
                shown.push(exposure);
            }
            Ok(())
        })?;
        Ok(shown)
    }

    /// The positions of each answer that came to something, by the type and the value of an outcome; the same one sent twice counts
    /// once.
    pub(super) fn taken_positions(
        &self,
        shown: &[Exposure],
        counts: impl Fn(&str, Option<f64>) -> bool,
    ) -> Result<Vec<FxHashSet<u32>>> {
        let by_answer: FxHashMap<&str, usize> =
            shown.iter().enumerate().map(|(place, of)| (of.recommendation_id.as_str(), place)).collect();
        let mut taken = vec![FxHashSet::default(); shown.len()];
        let Some(first) = shown.first() else { return Ok(taken) };
        self.inner.store.view().for_each_outcome(first.time, &mut |event| {
            if !counts(event.kind, event.counted.value) {
                return Ok(());
            }
            let answer = event.recommendation_id.as_deref().and_then(|id| by_answer.get(id).copied());
            let Some((exposure, taken)) = answer.and_then(|place| shown.get(place).zip(taken.get_mut(place))) else {
                return Ok(());
            };
            // As in experiments: where it says, if that is where the item was; else where the item was.
            let name = self.inner.store.item_name(event.item)?;
            let fits = |shown: &Shown| name.as_ref().is_none_or(|name| *name == shown.item);
            let position = match event.position {
                Some(position) => exposure.items.get(position as usize).filter(|shown| fits(shown)).map(|_| position),
                None if name.is_none() => None,
                None => exposure.items.iter().position(fits).map(|place| place as u32),
            };
            taken.extend(position);
            Ok(())
        })?;
        Ok(taken)
    }
}

/// The exposures of an engine.
struct Kept(Engine);

impl Outcomes for Kept {
    fn click_rate(&self, snapshot: Option<SnapshotId>, from: Timestamp, until: Timestamp) -> Result<Option<ClickRate>> {
        self.0.click_rate(snapshot, from, until)
    }
}
