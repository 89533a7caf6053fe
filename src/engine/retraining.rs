//! The loop without a hand: when the policy says so a snapshot is trained in the background, must prove itself, answers, is watched, and
//! stays or goes. The state of the loop is the jobs, which are on disk: what a crash cuts off is taken up at the next
//! look. The clock is the caller's.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::jobs::{RETRAIN, TRAIN, WATCH};
use super::spaces::stand_back;
use super::{Activate, Engine, Job, JobState, Tended, TrainOptions, lock};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::monitor::{Check, ClickRate, Decision, DecisionKind, Facts, Reason, Watch, judge, reason, retry_after};
use crate::progress::Progress;
use crate::record::{SnapshotId, Span, Timestamp};
use crate::snapshot::{Manifest, Snapshot, SnapshotState};
use crate::store::Records;

use super::freshness::Seen;

/// So long people have to take what they are shown before it counts.
const SETTLING: Span = Span::seconds(600);
/// A watch looks at what was shown so many times.
const LOOKS: i64 = 100;
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
            let why = format!("job {} was stopped as the process ended", stopped.id);
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
        let seen = live.as_ref().map_or(0, |live| live.snapshot.manifest().stored());
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
    /// `retrain.canary` names, and is watched from then on; else it is rejected. Errors: those of [`Engine::prove`] and [`Engine::activate`].
    pub fn admit(&self, id: SnapshotId, now: Timestamp, progress: &dyn Progress) -> Result<Decision> {
        let checks = self.prove(id, progress)?;
        let failed: Vec<&str> = checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
        if !failed.is_empty() {
            let reason = format!("did not pass: {}", failed.join(", "));
            self.reject(id, &reason)?;
            return Ok(Decision { checks, ..Decision::new(now, DecisionKind::Reject, Some(id), reason) });
        }
        let config = &self.inner.config.retrain;
        let against = self.active_snapshot();
        let is_tried = config.canary > 0.0 && config.canary < 1.0 && against.is_some();
        let (kind, share) = if is_tried { (DecisionKind::Canary, config.canary) } else { (DecisionKind::Swap, 1.0) };
        let _tending = lock(&self.inner.tending);
        // First, so that no crash leaves a new snapshot unwatched.
        if let Some(against) = against {
            self.begin_watch(id, against, share, now)?;
        }
        if is_tried {
            self.try_on(id, share)?;
        } else {
            let _switching = lock(&self.inner.switching);
            self.switch(self.snapshot(id)?, Some(format!("passed {} checks", checks.len())))?;
        }
        lock(&self.inner.monitoring).answering = self.active_snapshot();
        let reason = format!("passed all {} checks", checks.len());
        Ok(Decision { checks, ..Decision::new(now, kind, Some(id), reason) })
    }

    fn reject(&self, id: SnapshotId, reason: &str) -> Result<()> {
        let _switching = lock(&self.inner.switching);
        let rejected = Manifest { state: SnapshotState::Rejected, note: Some(reason.to_owned()), ..self.snapshot(id)? };
        self.inner.store.put_record(Records::Snapshots, id.0, &rejected)?;
        self.retain()
    }

    /// Lets a snapshot answer this share of the users.
    fn try_on(&self, id: SnapshotId, share: f64) -> Result<()> {
        let _switching = lock(&self.inner.switching);
        let snapshot = Snapshot::load(&self.inner.dir, self.snapshot(id)?)?;
        let seen = self.inner.jobs.seen(id).map_or(Seen::Nothing, Seen::Until);
        self.inner.canary_share.store((share * 10_000.0).round() as u32, Ordering::Relaxed);
        self.answer_from(snapshot, seen, &self.inner.canary);
        Ok(())
    }

    fn begin_watch(&self, snapshot: SnapshotId, against: SnapshotId, share: f64, now: Timestamp) -> Result<()> {
        for (_, job) in self.inner.store.records::<Job>(Records::Jobs)? {
            if job.kind == WATCH && job.state == JobState::Running {
                let message = Some("a newer snapshot answers: not watched any longer".into());
                self.keep_job(&Job { state: JobState::Done, finished: Some(now), message, ..job })?;
            }
        }
        let span = self.inner.config.retrain.watch.millis();
        let until = Timestamp::from_millis(now.millis().saturating_add(span)).unwrap_or(now);
        let watch = Some(Watch { snapshot, against, since: now, until, share });
        self.keep_job(&Job { kind: WATCH.into(), snapshot: Some(snapshot), watch, ..self.new_job(now) })
    }

    fn tend_watch(&self, now: Timestamp, decisions: &mut Vec<Decision>) -> Result<()> {
        let _tending = lock(&self.inner.tending);
        let active = self.active_snapshot();
        let before = lock(&self.inner.monitoring).answering;
        self.watch_on(now, (before, active), decisions)?;
        // Last: what could not be begun is begun at the next look.
        lock(&self.inner.monitoring).answering = self.active_snapshot();
        Ok(())
    }

    /// A look at what is watched, if anything is. `before` answered at the last look, `active` does now.
    fn watch_on(
        &self,
        now: Timestamp,
        (before, active): (Option<SnapshotId>, Option<SnapshotId>),
        decisions: &mut Vec<Decision>,
    ) -> Result<()> {
        let Some((mut job, watch)) = self.running_watch()? else {
            // A canary whose watch was cancelled does not answer on.
            self.inner.canary.store(None);
            // Somebody has let another snapshot answer: that is watched as well.
            // Who goes back to an older one knows why.
            if let (Some(before), Some(active)) = (before, active)
                && before < active
                && self.snapshot(before).is_ok()
            {
                self.begin_watch(active, before, 1.0, now)?;
            }
            return Ok(());
        };
        let is_canary = watch.share < 1.0;
        if active != Some(if is_canary { watch.against } else { watch.snapshot }) {
            self.inner.canary.store(None);
            (job.state, job.finished) = (JobState::Done, Some(now));
            job.message = Some("another snapshot answers: not watched any longer".into());
            self.keep_job(&job)?;
            if let (Some(before), Some(active)) = (before, active)
                && before < active
                && !is_canary
                && active != watch.against
            {
                self.begin_watch(active, before, 1.0, now)?;
            }
            return Ok(());
        }
        match self.go_on(&watch, now) {
            Ok(None) => return Ok(()),
            Ok(Some(decision)) => {
                (job.state, job.finished) = (JobState::Done, Some(now));
                job.decisions.push(decision.clone());
                decisions.push(decision);
            }
            // A snapshot that is gone or damaged will not be there at the next look either.
            Err(error @ (Error::NotFound { .. } | Error::Corrupt { .. })) => {
                tracing::error!(snapshot = watch.snapshot.0, %error, "the watch of a snapshot ends");
                self.inner.canary.store(None);
                (job.state, job.finished, job.message) = (JobState::Failed, Some(now), Some(error.to_string()));
            }
            Err(error) => return Err(error),
        }
        self.keep_job(&job)
    }

    /// A look of a watch; gives what it has decided, and done, if it is over.
    fn go_on(&self, watch: &Watch, now: Timestamp) -> Result<Option<Decision>> {
        if watch.share < 1.0 && self.inner.canary.load().is_none() {
            self.try_on(watch.snapshot, watch.share)?;
        }
        let decision = self.judge_watch(watch, now)?;
        if let Some(decision) = &decision {
            self.carry_out(watch, decision)?;
        }
        Ok(decision)
    }

    /// Does what a watch has decided.
    fn carry_out(&self, watch: &Watch, decision: &Decision) -> Result<()> {
        let is_canary = watch.share < 1.0;
        let is_back = decision.kind == DecisionKind::RollBack;
        let target = match (is_back, is_canary) {
            (true, true) | (false, false) => None,
            (true, false) => {
                let note = format!("came back from snapshot {}: {}", watch.snapshot, decision.reason);
                Some((watch.against, note))
            }
            (false, true) => Some((watch.snapshot, decision.reason.clone())),
        };
        if let Some((id, note)) = target {
            let _switching = lock(&self.inner.switching);
            self.switch(self.snapshot(id)?, Some(note))?;
        }
        if is_back {
            self.inner.canary.store(None);
            self.reject(watch.snapshot, &decision.reason)?;
        }
        Ok(())
    }

    /// The watch that goes on, if one does.
    fn running_watch(&self) -> Result<Option<(Job, Watch)>> {
        let running = self.last_job(WATCH)?.filter(|job| job.state == JobState::Running);
        Ok(running.and_then(|job| job.watch.clone().map(|watch| (job, watch))))
    }

    /// Whether a running watch needs a snapshot: the new one, or the one that may come back.
    pub(super) fn is_watched(&self, id: SnapshotId) -> Result<bool> {
        Ok(self.running_watch()?.is_some_and(|(_, watch)| watch.snapshot == id || watch.against == id))
    }

    /// Whether a watch ends now, and how. Looks at what was shown a hundred times in its span, as that takes a pass over it.
    fn judge_watch(&self, watch: &Watch, now: Timestamp) -> Result<Option<Decision>> {
        let config = &self.inner.config.retrain;
        let is_over = now >= watch.until;
        let pace = (watch.until.millis() - watch.since.millis()) / LOOKS;
        let judged = lock(&self.inner.monitoring).judged.filter(|judged| *judged >= watch.since);
        if !is_over && !judged.is_none_or(|judged| now.is_after(judged, pace)) {
            return Ok(None);
        }
        lock(&self.inner.monitoring).judged = Some(now);
        let keep = |reason: String| Decision::new(now, DecisionKind::Keep, Some(watch.snapshot), reason);
        let Some(outcomes) = self.outcomes() else {
            return Ok(is_over.then(|| keep("nothing is known of what was shown: not judged by clicks".into())));
        };
        // What was shown a moment ago nobody has had the time to take.
        let settling = SETTLING.millis().min((now.millis() - watch.since.millis()) / 2);
        let settled = Timestamp::from_millis(now.millis() - settling.max(0)).unwrap_or(now);
        // Beside a canary the old one answers at the same time; else what was shown at the same hours, days earlier.
        let passed = (settled.millis() - watch.since.millis()).max(0) / Span::days(1).millis();
        let days = Span::days(if watch.share < 1.0 { 0 } else { passed as u32 + 1 });
        let (from, until) = (watch.since.before(days), settled.before(days));
        let old = match outcomes.click_rate(Some(watch.against), from, until)? {
            // It may have come to answer later than that.
            None if watch.share == 1.0 => outcomes.click_rate(None, from, until)?,
            old => old,
        };
        let new = outcomes.click_rate(Some(watch.snapshot), watch.since, settled)?;
        let (Some(old), Some(new)) = (old, new) else {
            return Ok(is_over.then(|| keep("nothing was shown: not judged by clicks".into())));
        };
        let verdict = judge(old, new, config.alpha);
        let detail = format!(
            "click-through {:.4} of {} shown, by snapshot {} {:.4} of {}",
            new.rate, new.shown, watch.against, old.rate, old.shown
        );
        let Some(verdict) = verdict else {
            return Ok(is_over.then(|| keep(format!("too little was shown to judge: {detail}"))));
        };
        // Without a canary the two answer at different hours, which differ a little by themselves.
        let is_worse = verdict.is_worse && (watch.share < 1.0 || -verdict.difference >= config.click_fall * old.rate);
        let check = Check {
            name: "click-through".into(),
            value: verdict.ratio,
            limit: config.alpha.recip(),
            passed: !is_worse,
            detail: detail.clone(),
        };
        if is_worse {
            let reason = format!("worse: {detail}");
            let decision = Decision::new(now, DecisionKind::RollBack, Some(watch.snapshot), reason);
            return Ok(Some(Decision { checks: vec![check], ..decision }));
        }
        Ok(is_over.then(|| Decision { checks: vec![check], ..keep(format!("not worse: {detail}")) }))
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
