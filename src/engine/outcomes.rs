//! Click-through from exposures and the events that name them: what the watch of a new snapshot and the retraining policy go
//! by where nobody else tells them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Engine, read};
use crate::error::Result;
use crate::experiment::{Moments, UserFigure};
use crate::features::Signal;
use crate::monitor::{ClickRate, Outcomes};
use crate::record::{SnapshotId, Timestamp};

impl Engine {
    /// Who knows what was shown and taken: whom the caller named, else the exposures that are kept.
    pub(super) fn outcomes(&self) -> Option<Arc<dyn Outcomes>> {
        let named = read(&self.inner.outcomes).clone();
        named.or_else(|| self.inner.exposures.is_kept().then(|| Arc::new(Kept(self.clone())) as Arc<dyn Outcomes>))
    }
}

/// The exposures of an engine.
struct Kept(Engine);

/// An answer, by whom it was shown and how many of its items.
struct Shown {
    user: usize,
    taken: Vec<u32>,
}

impl Outcomes for Kept {
    fn click_rate(&self, snapshot: Option<SnapshotId>, from: Timestamp, until: Timestamp) -> Result<Option<ClickRate>> {
        let Self(engine) = self;
        engine.flush_exposures();
        let view = engine.inner.store.view();
        let mut users: FxHashMap<String, usize> = FxHashMap::default();
        let mut figures: Vec<UserFigure> = Vec::new();
        let mut answers: FxHashMap<String, Shown> = FxHashMap::default();
        view.for_each_exposure(from, &mut |exposure| {
            let is_meant = snapshot.is_none_or(|id| exposure.snapshot == Some(id));
            if let Some(user) = exposure.user.filter(|_| is_meant && exposure.time < until) {
                let user = *users.entry(user).or_insert_with(|| {
                    figures.push(UserFigure::default());
                    figures.len() - 1
                });
                if let Some(figure) = figures.get_mut(user) {
                    figure.over += exposure.items.len() as f64;
                }
                answers.insert(exposure.recommendation_id, Shown { user, taken: Vec::new() });
            }
            Ok(())
        })?;
        view.for_each_outcome(from, &mut |event| {
            let answer = event.recommendation_id.as_deref().and_then(|id| answers.get_mut(id));
            let Some((answer, position)) = answer.zip(event.position) else { return Ok(()) };
            let signal = engine.inner.weights.signal(event.kind, event.counted.value);
            // An item counts once, however often its outcome is sent.
            if matches!(signal, Signal::Positive(_)) && !answer.taken.contains(&position) {
                answer.taken.push(position);
                if let Some(figure) = figures.get_mut(answer.user) {
                    figure.of += 1.0;
                }
            }
            Ok(())
        })?;
        let mut moments = Moments::default();
        figures.iter().for_each(|figure| moments.add(*figure));
        let shown: f64 = figures.iter().map(|figure| figure.over).sum();
        // Users, not items shown to them, are what varies independently: the delta method.
        let rate = moments.value_and_error();
        Ok(rate.map(|(rate, error)| ClickRate { shown: shown as u64, rate, variance: error * error }))
    }
}
