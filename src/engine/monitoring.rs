//! Looking at drift: what came in since the snapshot that answers was trained, beside what it was trained on.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::spaces::stand_back;
use super::{Engine, lock};
use crate::error::Result;
use crate::features::Portrait;
use crate::monitor::{
    Alarms, Alert, Beside, Calibration, Decision, DriftReport, calibration_error, differences, silence, top_correlation,
};
use crate::record::{ItemId, SnapshotId, Timestamp};

/// Fewer foretold takes say nothing of a ranker's calibration.
const LEAST_TAKES: f64 = 50.0;

/// What a snapshot's scores foretell.
#[derive(Clone, Copy)]
pub(super) struct Calibrated {
    /// Whose.
    pub of: SnapshotId,
    /// What was learned, and of answers until when; `None` where there were too few.
    pub known: Option<(Calibration, Timestamp)>,
    /// When it is tried again, in that case.
    pub next: Timestamp,
}

/// What was seen at the last look.
#[derive(Default)]
pub(super) struct Monitoring {
    pub alarms: Alarms,
    /// Which snapshot the alarms are of.
    pub of: Option<SnapshotId>,
    /// When was looked last.
    pub looked: Option<Timestamp>,
    /// What drifted so much that a training should answer it.
    pub drifted: Vec<String>,
    /// Which snapshot answered at the last look, or has come to answer since in a way that needs no watch.
    pub answering: Option<SnapshotId>,
    /// What was decided in the background since the last look, and is to be told.
    pub untold: Vec<Decision>,
    /// When a watch was judged last.
    pub judged: Option<Timestamp>,
    /// What a snapshot's ranker foretells.
    pub calibration: Option<Calibrated>,
    /// Users and items that a snapshot has seen.
    pub known: Option<(SnapshotId, Arc<(RoaringBitmap, RoaringBitmap)>)>,
}

impl Engine {
    /// What has changed since the snapshot that answers was trained. Reads the events that it has not seen, and looks at alarms
    /// without changing them.
    pub fn drift(&self, now: Timestamp) -> Result<DriftReport> {
        self.apart(|| self.drift_until(now))
    }

    fn drift_until(&self, now: Timestamp) -> Result<DriftReport> {
        let mut report = DriftReport {
            time: now,
            snapshot: self.active_snapshot(),
            reference_events: 0,
            events: 0,
            top_correlation: None,
            differences: Vec::new(),
            note: None,
        };
        let Some(live) = self.inner.live.load_full() else {
            report.note = Some("no snapshot answers: run `savor train`".into());
            return Ok(report);
        };
        let Some(reference) = live.snapshot.portrait() else {
            report.note = Some("the snapshot was made without figures of its events: train again".into());
            return Ok(report);
        };
        let config = &self.inner.config.monitor;
        let painted = self.paint_current(&self.inner.store.view(), &live, now)?;
        (report.reference_events, report.events) = (reference.events, painted.portrait.events);
        let newest = self.inner.store.view().newest_event()?.unwrap_or(now).min(now);
        report.differences.extend(silence(reference, newest, now, config));
        if report.events < config.min_events || report.reference_events < config.min_events {
            let least = config.min_events;
            report.note = Some(format!("fewer than {least} events to hold beside each other (monitor.min_events)"));
            self.mark_raised(&mut report);
            return Ok(report);
        }
        let positive: u64 = painted.taken.values().sum();
        let is_known = |item: &u32| live.snapshot.row(ItemId::new(*item)).is_some();
        let covered: u64 = painted.taken.iter().filter(|(item, _)| is_known(item)).map(|(_, count)| count).sum();
        let foretold = match self.outcomes() {
            Some(outcomes) => outcomes.foretold(live.snapshot.manifest().id, now.before(config.window), now)?,
            None => Vec::new(),
        };
        // With few takes foretold, chance is all that is seen.
        let takes: f64 = foretold.iter().map(|(probability, _)| probability).sum();
        let is_enough = foretold.len() as u64 >= config.min_events && takes >= LEAST_TAKES;
        let beside = Beside {
            coverage: (positive > 0).then(|| covered as f64 / positive as f64),
            // An alarm that is up falls when there is nothing to tell any more.
            calibration: is_enough.then(|| calibration_error(&foretold)).or(self.is_uncalibrated().then_some(0.0)),
        };
        let portrait: &Portrait = &painted.portrait;
        report.top_correlation = Some(top_correlation(reference, portrait));
        report.differences.extend(differences(reference, portrait, &beside, config));
        self.mark_raised(&mut report);
        Ok(report)
    }

    fn is_uncalibrated(&self) -> bool {
        lock(&self.inner.monitoring).alarms.is_raised("calibration")
    }

    fn mark_raised(&self, report: &mut DriftReport) {
        let state = lock(&self.inner.monitoring);
        if state.of == report.snapshot {
            for difference in &mut report.differences {
                difference.is_raised = state.alarms.is_raised(&difference.name);
            }
        }
    }

    /// A look that counts, if one is due: alarms rise and fall.
    pub(super) fn look(&self, now: Timestamp) -> Result<(Option<DriftReport>, Vec<Alert>)> {
        let config = &self.inner.config.monitor;
        let is_due = |looked: Timestamp| now.is_after(looked, config.every.millis());
        if !lock(&self.inner.monitoring).looked.is_none_or(is_due) {
            return Ok((None, Vec::new()));
        }
        // Before anything can fail: what does is not tried again at once.
        lock(&self.inner.monitoring).looked = Some(now);
        // A look has time; who asks has not.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).start_handler(|_| stand_back()).build();
        let report = pool.map_or_else(|_| self.drift(now), |pool| pool.install(|| self.drift(now)))?;
        let mut state = lock(&self.inner.monitoring);
        let mut alerts = Vec::new();
        if state.of != report.snapshot {
            alerts = state.alarms.reset(now);
            state.of = report.snapshot;
        }
        alerts.extend(state.alarms.look(&report.differences, config.clear, config.looks, now));
        let causes = report.differences.iter().filter(|of| of.is_cause && state.alarms.is_raised(&of.name));
        let drifted = causes.map(|of| of.name.clone()).collect();
        state.drifted = drifted;
        drop(state);
        for Alert { name, raised, value, level, .. } in &alerts {
            match raised {
                true => tracing::warn!(alarm = name, value, level, "alarm"),
                false => tracing::info!(alarm = name, value, level, "alarm over"),
            }
        }
        Ok((Some(report), alerts))
    }
}
