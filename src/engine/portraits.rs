//! Portraits of the log: of the newest events when a snapshot is trained, and of what came since when drift is looked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::features::Surveyed;
use super::{Engine, Live, lock};
use crate::error::{Error, Result};
use crate::features::table::{Scope, replay};
use crate::features::{Interactions, Painter, Portrait, Spread};
use crate::linalg::Matrix;
use crate::monitor::probe;
use crate::record::{SnapshotId, Timestamp, UserId};
use crate::store::View;
use crate::train::Model;

/// So many people are asked about, at most, and so many items in all their lists.
const PROBES: usize = 128;
const PROBED: usize = 20_000_000;
/// Events that features are taken from, about.
const MOMENTS: u64 = 5_000;

/// A portrait, and whose events it is of.
pub(super) struct Painted {
    pub portrait: Portrait,
    /// Dense ids of the users of these events.
    pub active: RoaringBitmap,
    /// Positive events of each item, by dense id.
    pub taken: BTreeMap<u32, u64>,
}

impl Painted {
    /// Adds what a model makes of some of the people.
    pub fn ask(&mut self, model: &Model, interactions: &Interactions) -> Result<()> {
        if model.fold_in.mix().ratings.is_some() {
            return Ok(());
        }
        let rows = self.active.iter().filter_map(|user| interactions.row_of(UserId::new(user)));
        let history = |row: u32| {
            let (items, weights) = interactions.matrix.row(row as usize);
            items.iter().copied().zip(weights.iter().copied()).collect::<Vec<_>>()
        };
        let histories: Vec<_> = rows.map(history).filter(|history| !history.is_empty()).collect();
        let some = spaced(histories, model.items.rows());
        self.portrait.spreads.extend(probe(model.items.as_rows(), &model.fold_in, &some)?);
        Ok(())
    }
}

/// Evenly spaced ones, fewer where each costs more.
fn spaced<T>(all: Vec<T>, items: usize) -> Vec<T> {
    let most = (PROBED / items.max(1)).clamp(32, PROBES);
    let step = all.len().div_ceil(most).max(1);
    all.into_iter().step_by(step).collect()
}

impl Engine {
    /// Of the newest events of a view that a snapshot is trained on: those of a window, and as many as are held beside others at least,
    /// as a few that came long after all others are no portrait. One pass over the log, and one more for features where a ranker
    /// is learned from them.
    pub(super) fn paint_trained(&self, view: &View<'_>) -> Result<Painted> {
        let inner = &*self.inner;
        let (config, now) = (&inner.config.monitor, Timestamp::now());
        let newest = |number| Ok::<_, Error>(view.one_of_the_newest(number, now)?.unwrap_or(Timestamp::MIN));
        let from = newest(1)?.before(config.window).min(newest(config.min_events)?);
        let mut painter = Painter::new(&inner.weights, RoaringBitmap::new(), RoaringBitmap::new());
        view.for_each_counted(None, &mut |event| {
            if event.counted.time < from {
                painter.know(event.user, event.item)
            } else {
                painter.add(&event)
            }
            Ok(())
        })?;
        let mut painted = finished(painter, view)?;
        if inner.config.ranker.enabled {
            painted.portrait.spreads.extend(self.feature_spreads(view, from)?);
        }
        Ok(painted)
    }

    /// Of the newest events that the snapshot has not seen.
    pub(super) fn paint_current(&self, view: &View<'_>, live: &Live, now: Timestamp) -> Result<Painted> {
        let inner = &*self.inner;
        let trained = live.snapshot.manifest().newest_event.unwrap_or(Timestamp::MIN);
        let end = view.newest_event()?.unwrap_or(Timestamp::MIN).min(now);
        let unseen = Timestamp::from_millis(trained.millis() + 1).unwrap_or(trained);
        let from = end.before(inner.config.monitor.window).max(unseen);
        let known = self.known_until(view, live.snapshot.manifest().id, trained)?;
        let mut painter = Painter::new(&inner.weights, known.0.clone(), known.1.clone());
        view.for_each_counted(Some(unseen), &mut |event| {
            match event.counted.time {
                time if time > now => {}
                time if time < from => painter.know(event.user, event.item),
                _ => painter.add(&event),
            }
            Ok(())
        })?;
        let mut painted = finished(painter, view)?;
        let has_features = |portrait: &Portrait| portrait.spreads.keys().any(|name| name.starts_with("feature."));
        if live.snapshot.portrait().is_some_and(has_features) {
            painted.portrait.spreads.extend(self.feature_spreads(view, from)?);
        }
        if live.snapshot.fold_in().mix().ratings.is_none() {
            let histories = self.histories(live, painted.active.iter().map(UserId::new))?;
            let some = spaced(histories, live.snapshot.vectors().len());
            painted.portrait.spreads.extend(probe(live.snapshot.vectors(), live.snapshot.fold_in(), &some)?);
        }
        Ok(painted)
    }

    /// What a snapshot knows of the histories of some of these users as they are now, empty ones left out.
    pub(super) fn histories(&self, live: &Live, users: impl Iterator<Item = UserId>) -> Result<Vec<Vec<(u32, f32)>>> {
        let users = spaced(users.collect(), live.snapshot.vectors().len());
        let mut histories = Vec::with_capacity(users.len());
        for user in users {
            histories.push(self.known_history(live, user)?);
        }
        histories.retain(|history| !history.is_empty());
        Ok(histories)
    }

    /// A user's history as it is now, in rows of the snapshot.
    pub(super) fn known_history(&self, live: &Live, user: UserId) -> Result<Vec<(u32, f32)>> {
        let newest = live.snapshot.manifest().newest_event.unwrap_or_else(Timestamp::now);
        let mut history = live.weights.history(newest);
        self.inner.store.user_history(user, self.inner.config.recommend.history, &mut |event| {
            history.add(event.item, event.kind, event.value, event.time);
        })?;
        let preferences = history.finish().into_iter();
        Ok(preferences.filter_map(|known| Some((live.snapshot.row(known.item)?, known.weight))).collect())
    }

    /// Users and items with events up to a moment; read once for each snapshot.
    fn known_until(
        &self,
        view: &View<'_>,
        snapshot: SnapshotId,
        until: Timestamp,
    ) -> Result<Arc<(RoaringBitmap, RoaringBitmap)>> {
        if let Some((of, known)) = &lock(&self.inner.monitoring).known
            && *of == snapshot
        {
            return Ok(Arc::clone(known));
        }
        let mut known = (RoaringBitmap::new(), RoaringBitmap::new());
        view.for_each_event(None, &mut |event| {
            if event.time <= until {
                known.0.insert(event.user.get());
                known.1.insert(event.item.get());
            }
            Ok(())
        })?;
        let known = Arc::new(known);
        lock(&self.inner.monitoring).known = Some((snapshot, Arc::clone(&known)));
        Ok(known)
    }

    /// The feature table's columns over events from a moment on: a replay of the log. Without those that only tell how much there has been
    /// and when: counts grow with the log, and part of a week has other days than all of it. Volume and hours are watched by themselves.
    fn feature_spreads(&self, view: &View<'_>, from: Timestamp) -> Result<BTreeMap<String, Spread>> {
        let Surveyed { table, items, users, .. } = self.survey(view)?;
        let fitted = table.clone().fit().finish();
        let stride = view.event_count()?.div_ceil(MOMENTS).max(1);
        let mut spreads: BTreeMap<String, Spread> = BTreeMap::new();
        let (mut seen, mut out) = (0u64, Matrix::zeros(0, 1));
        replay(view, &table, &items, &users, &mut |moment| {
            if moment.request.at < from {
                return Ok(());
            }
            seen += 1;
            if seen % stride == 0 {
                fitted.raw_rows(&moment.request, moment.known, &[moment.item], &mut out);
                for (column, value) in fitted.columns().iter().zip(out.row(0)) {
                    if column.scope == Scope::Request || is_counted(&column.name) {
                        continue;
                    }
                    spreads.entry(format!("feature.{}", column.name)).or_default().add(Some(*value));
                }
            }
            Ok(())
        })?;
        Ok(spreads)
    }
}

/// Whether a column only tells how many events there have been, or when.
fn is_counted(column: &str) -> bool {
    let last = column.rsplit('.').next().unwrap_or(column);
    ["events", "decayed", "trend", "recency"].iter().any(|word| last.starts_with(word))
}

fn finished(painter: Painter<'_>, view: &View<'_>) -> Result<Painted> {
    let (active, taken) = (painter.active().clone(), painter.taken().clone());
    Ok(Painted { portrait: painter.finish(|item| view.item_name(item))?, active, taken })
}
