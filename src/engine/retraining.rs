//! The loop without a hand: when the policy says so a snapshot is trained in the background, must prove itself, answers, is watched
//! (`watching.rs`), and stays or goes. The state of the loop is the jobs, which are on disk: what a crash cuts off is taken up at the next
//! look. The clock is the caller's.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::jobs::{RETRAIN, TRAIN};
use super::spaces::stand_back;
use super::{Activate, Engine, Job, JobState, Tended, TrainOptions, lock};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::monitor::{ClickRate, Decision, DecisionKind, Facts, Reason, reason, retry_after};
use crate::progress::Progress;
use crate::record::{SnapshotId, Span, Timestamp};
use crate::snapshot::{Manifest, Snapshot, SnapshotState};
use crate::store::Records;

use super::freshness::Seen;

/// Before a training that failed is tried again.
const RETRY: Span = Span::seconds(600);

impl Engine {
    /// A look at everything that goes on by itself, as of `now`: drift and its alarms, if a look is due (`monitor.every`); and, if
    /// `retrain.enabled`, the watch of a new snapshot, and whether a training is due, which is then begun in the background. `savor
    /// serve` calls this every few seconds; who embeds the engine does so as often as he likes. Nothing is trained while a
    /// training runs or a new snapshot is watched.
    pub fn tend(&self, now: Timestamp) -> Result<Tended> {
        self.inner.store.probe();
        // Whatever keeps it from looking, a watch goes on.
        let (report, alerts) = self.look(now).unwrap_or_else(|error| {
            tracing::error!(%error, "drift is not looked at");
            (None, Vec::new())
        });
        let untold = std::mem::take(&mut lock(&self.inner.monitoring).untold);
        let mut tended = Tended { report, alerts, decisions: untold };
        if self.inner.config.retrain.enabled
            && let Err(error) = self.tend_policy(now, tended.report.is_some(), &mut tended.decisions)
        {
            // What has been decided by now is told all the same.
            tracing::error!(%error, "the policy of retraining cannot go on");
        }
        for Decision { kind, snapshot, reason, .. } in &tended.decisions {
            tracing::info!(?kind, snapshot = snapshot.map(|id| id.0), reason, "decision");
        }
        Ok(tended)
    }

    fn tend_policy(&self, now: Timestamp, has_looked: bool, decisions: &mut Vec<Decision>) -> Result<()> {
        self.tend_watch(now, decisions)?;
        if self.is_training() || self.running_watch()?.is_some() {
            return Ok(());
        }
        self.tend_training(now, has_looked, decisions)
    }

    /// All decisions that are kept, the newest first: those of the last hundred jobs, and older ones for `retrain.history`.
    pub fn decisions(&self) -> Result<Vec<Decision>> {
        let jobs = self.inner.store.records::<Job>(Records::Jobs)?;
        let mut decisions = Vec::new();
        for (id, job) in jobs {
            // Of one that has ended and could not be written down the last ones are in memory.
            let job = if job.state == JobState::Running { self.job(id)? } else { job };
            decisions.extend(job.decisions);
        }
        decisions.sort_by_key(|decision| decision.time);
        decisions.reverse();
        Ok(decisions)
    }

    fn tend_training(&self, now: Timestamp, has_looked: bool, decisions: &mut Vec<Decision>) -> Result<()> {
        let config = &self.inner.config.retrain;
        let last = self.last_job(RETRAIN)?;
        if let Some(stopped) = last.as_ref().filter(|job| job.state == JobState::Interrupted) {
            let why = format!("job {} was stopped as its engine was closed", stopped.id);
            let again = Decision::new(now, DecisionKind::Retry, None, why);
            return self.begin(stopped.reason.clone().unwrap_or(Reason::Asked), stopped.attempt, again, decisions);
        }
        if let Some(mut failed) = last.filter(|job| job.state == JobState::Failed) {
            let ended = failed.finished.unwrap_or(failed.created);
            let why = failed.message.clone().unwrap_or_default();
            if failed.attempt < config.attempts {
                if now.is_after(ended, retry_after(RETRY, failed.attempt)) {
                    let again =
                        Decision::new(now, DecisionKind::Retry, None, format!("job {} failed: {why}", failed.id));
                    let reason = failed.reason.unwrap_or(Reason::Asked);
                    self.begin(reason, failed.attempt + 1, again, decisions)?;
                }
                return Ok(());
            }
            if failed.decisions.iter().all(|decision| decision.kind != DecisionKind::GiveUp) {
                let times = failed.attempt;
                let end = Decision::new(now, DecisionKind::GiveUp, None, format!("failed {times} times: {why}"));
                failed.decisions.push(end.clone());
                self.keep_job(&failed)?;
                decisions.push(end);
                return Ok(());
            }
        }
        let live = self.inner.live.load_full();
        // What was rejected has seen as much as there was: the same again would be rejected again.
        let tried = self.last_job(RETRAIN)?.and_then(|job| job.snapshot).and_then(|id| self.snapshot(id).ok());
        let seen = live.as_ref().map_or(0, |live| live.snapshot.manifest().stored());
        let seen = tried.map_or(seen, |tried| seen.max(tried.stored()));
        let new_events = self.inner.store.counts().stored.saturating_sub(seen);
        let is_training = |job: &Job| job.kind == RETRAIN || job.kind == TRAIN;
        let attempted = self.inner.store.newest_record(Records::Jobs, is_training)?;
        let facts = Facts {
            now,
            trained: live.as_ref().map(|live| live.snapshot.manifest().created),
            attempted: attempted.map(|job| job.created),
            new_events,
            drifted: lock(&self.inner.monitoring).drifted.clone(),
            // Two passes over exposures: only for a policy that asks, and as seldom as drift is looked at.
            clicks: if config.click_fall > 0.0 && new_events > 0 && has_looked {
                self.recent_clicks(now)?
            } else {
                None
            },
        };
        if let Some(reason) = reason(config, &facts) {
            let first = Decision::new(now, DecisionKind::Train, None, reason.to_string());
            self.begin(reason, 1, first, decisions)?;
        }
        Ok(())
    }

    /// Begins a training of the policy.
    fn begin(&self, reason: Reason, attempt: u32, decision: Decision, decisions: &mut Vec<Decision>) -> Result<()> {
        let now = decision.time;
        let job = Job {
            kind: RETRAIN.into(),
            reason: Some(reason),
            attempt,
            decisions: vec![decision.clone()],
            ..self.new_job(now)
        };
        let engine = self.clone();
        let threads = self.inner.config.retrain.threads;
        self.start(job, move |progress, job| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|number| format!("savor-train-{number}"))
                .start_handler(|_| stand_back())
                .build()
                .map_err(|error| Error::invalid("retrain.threads", error.to_string()))?;
            pool.install(|| engine.retrain(now, progress, job))
        })?;
        decisions.push(decision);
        Ok(())
    }

    /// Trains, proves, and lets the snapshot answer. All on the threads of the pool that it is called in.
    fn retrain(&self, now: Timestamp, progress: &dyn Progress, job: &mut Job) -> Result<()> {
        let began = Instant::now();
        // No pool of its own: it would not stand back.
        let train = TrainConfig { threads: 0, ..self.inner.config.train.clone() };
        let options = TrainOptions { train: Some(train), activate: Activate::Never, ..TrainOptions::default() };
        let id = self.train_with(&options, progress)?;
        job.snapshot = Some(id);
        // It is watched from when it answers, not from when its training began.
        let passed = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = Timestamp::from_millis(now.millis().saturating_add(passed)).unwrap_or(now);
        let decision = self.admit(id, now, progress)?;
        job.message = (decision.kind == DecisionKind::Reject).then(|| decision.reason.clone());
        lock(&self.inner.monitoring).untold.push(decision.clone());
        job.decisions.push(decision);
        Ok(())
    }

    /// Lets a snapshot prove itself ([`Engine::prove`]). If it does, it answers, everybody or the share of users that
    /// `retrain.canary` names, and is watched from then on; else it is rejected. Errors: those of [`Engine::prove`] and [`Engine::activate`];
    /// [`Error::Conflict`] if another snapshot has come to answer than the one that it was held against.
    pub fn admit(&self, id: SnapshotId, now: Timestamp, progress: &dyn Progress) -> Result<Decision> {
        let against = self.active_snapshot();
        let checks = self.prove(id, progress)?;
        let failed: Vec<&str> = checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
        if !failed.is_empty() {
            let reason = format!("did not pass: {}", failed.join(", "));
            self.reject(id, &reason)?;
            return Ok(Decision { checks, ..Decision::new(now, DecisionKind::Reject, Some(id), reason) });
        }
        let config = &self.inner.config.retrain;
        let is_tried = config.canary > 0.0 && config.canary < 1.0 && against.is_some();
        let (kind, share) = if is_tried { (DecisionKind::Canary, config.canary) } else { (DecisionKind::Swap, 1.0) };
        let _tending = lock(&self.inner.tending);
        if self.active_snapshot() != against {
            return Err(Error::Conflict(format!(
                "another snapshot answers than the one that snapshot {id} was held against"
            )));
        }
        // First, so that no crash leaves a new snapshot unwatched.
        if let Some(against) = against {
            self.begin_watch(id, against, share, now)?;
        }
        if is_tried {
            self.try_on(id, share)?;
        } else {
            let _switching = lock(&self.inner.switching);
            self.switch(self.snapshot(id)?, Some(format!("passed {} checks", checks.len())))?;
            self.note_answering();
        }
        let reason = format!("passed all {} checks", checks.len());
        Ok(Decision { checks, ..Decision::new(now, kind, Some(id), reason) })
    }

    /// A snapshot may not answer.
    pub(super) fn reject(&self, id: SnapshotId, reason: &str) -> Result<()> {
        let _switching = lock(&self.inner.switching);
        let rejected = Manifest { state: SnapshotState::Rejected, note: Some(reason.to_owned()), ..self.snapshot(id)? };
        self.inner.store.put_record(Records::Snapshots, id.0, &rejected)?;
        self.retain()
    }

    /// Lets a snapshot answer this share of the users.
    pub(super) fn try_on(&self, id: SnapshotId, share: f64) -> Result<()> {
        let _switching = lock(&self.inner.switching);
        let snapshot = Snapshot::load(&self.inner.dir, self.snapshot(id)?)?;
        let seen = self.inner.jobs.seen(id).map_or(Seen::Nothing, Seen::Until);
        self.inner.canary_share.store((share * 10_000.0).round() as u32, Ordering::Relaxed);
        self.answer_from(snapshot, seen, &self.inner.canary);
        Ok(())
    }

    /// Click-through of the span before the last one, and of the last one.
    fn recent_clicks(&self, now: Timestamp) -> Result<Option<(ClickRate, ClickRate)>> {
        let Some(outcomes) = self.outcomes() else { return Ok(None) };
        let span = self.inner.config.monitor.window;
        let middle = now.before(span);
        let before = outcomes.click_rate(None, middle.before(span), middle)?;
        Ok(before.zip(outcomes.click_rate(None, middle, now)?))
    }

    /// The newest job of a kind.
    pub(super) fn last_job(&self, kind: &str) -> Result<Option<Job>> {
        self.inner.store.newest_record(Records::Jobs, |job: &Job| job.kind == kind)
    }
}

#[cfg(test)]
mod tests;
