//! What was taken of what was shown, apart from experiments: how often, by snapshot, and at which positions.

use rustc_hash::{FxHashMap, FxHashSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::error::Result;
use crate::experiment::{Moments, UserFigure};
use crate::record::{Exposure, SnapshotId, Timestamp};

/// How often what was shown was taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Taken {
    /// Users whom it was shown to.
    pub users: u64,
    /// Items shown.
    pub shown: u64,
    /// The share of them that was taken.
    pub rate: f64,
    /// The variance of this share as an estimate; users are what varies (delta method).
    pub variance: f64,
}

impl Engine {
    /// How often what a snapshot (or any) showed to known users was taken by events of these types, of the answers given from a
    /// time on until another; `None` where fewer than two users were shown anything. One pass over exposures and events.
    pub fn taken(
        &self,
        snapshot: Option<SnapshotId>,
        from: Timestamp,
        until: Timestamp,
        types: &[String],
    ) -> Result<Option<Taken>> {
        let mut logged = self.shown_since(from)?;
        let is_meant = |of: &Exposure| of.time < until && (snapshot.is_none() || of.snapshot == snapshot);
        logged.retain(is_meant);
        let taken = self.taken_positions(&logged, types)?;
        let mut users: FxHashMap<&str, UserFigure> = FxHashMap::default();
        for (exposure, taken) in logged.iter().zip(&taken) {
            let figure = users.entry(exposure.user.as_deref().unwrap_or_default()).or_default();
            figure.of += taken.len() as f64;
            figure.over += exposure.items.len() as f64;
        }
        let mut moments = Moments::default();
        // In one order, so that the same log gives the same sums.
        let mut users: Vec<(&str, UserFigure)> = users.into_iter().collect();
        users.sort_unstable_by(|a, b| a.0.cmp(b.0));
        users.iter().for_each(|(_, figure)| moments.add(*figure));
        let shown = users.iter().map(|(_, figure)| figure.over).sum::<f64>() as u64;
        Ok(moments.value_and_error().map(|(rate, error)| Taken {
            users: moments.users() as u64,
            shown,
            rate,
            variance: error * error,
        }))
    }

    /// Answers of known users, in the order of time. Of an interleaved answer the propensities are those of its two sides, not
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

    /// The positions of each answer that came to something; the same outcome sent twice is one.
    pub(super) fn taken_positions(&self, shown: &[Exposure], types: &[String]) -> Result<Vec<FxHashSet<u32>>> {
        let by_answer: FxHashMap<&str, usize> =
            shown.iter().enumerate().map(|(place, of)| (of.recommendation_id.as_str(), place)).collect();
        let mut taken = vec![FxHashSet::default(); shown.len()];
        let Some(first) = shown.first() else { return Ok(taken) };
        self.inner.store.view().for_each_outcome(first.time, &mut |event| {
            if !types.iter().any(|kind| kind == event.kind) {
                return Ok(());
            }
            let answer = event.recommendation_id.as_deref().and_then(|id| by_answer.get(id).copied());
            let Some((exposure, taken)) = answer.and_then(|place| shown.get(place).zip(taken.get_mut(place))) else {
                return Ok(());
            };
            let position = match event.position {
                Some(position) => Some(position),
                None => {
                    let name = self.inner.store.item_name(event.item)?;
                    exposure.items.iter().position(|shown| Some(&shown.item) == name.as_ref()).map(|place| place as u32)
                }
            };
            taken.extend(position.filter(|position| (*position as usize) < exposure.items.len()));
            Ok(())
        })?;
        Ok(taken)
    }
}
