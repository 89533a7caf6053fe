//! The watch of a snapshot that has come to answer, by the policy or by somebody's hand: what people take of what it shows is
//! held against what they took of the one before, which comes back if that was more. The watch is a job, so that it
//! outlives the process. The clock is the caller's.

use super::jobs::WATCH;
use super::{Engine, Job, JobState, lock};
use crate::error::{Error, Result};
use crate::monitor::{Check, Decision, DecisionKind, Watch, judge};
use crate::record::{SnapshotId, Span, Timestamp};
use crate::store::Records;

/// So long people have to take what they are shown before it counts.
const SETTLING: Span = Span::seconds(600);
/// A watch looks at what was shown so many times.
const LOOKS: i64 = 100;

impl Engine {
    /// From now on a snapshot is watched, and no other one any longer.
    pub(super) fn begin_watch(
        &self,
        snapshot: SnapshotId,
        against: SnapshotId,
        share: f64,
        now: Timestamp,
    ) -> Result<()> {
        for (_, job) in self.inner.store.records::<Job>(Records::Jobs)? {
            if job.kind == WATCH && job.state == JobState::Running {
                let message = Some("another snapshot answers: not watched any longer".into());
                self.keep_job(&Job { state: JobState::Done, finished: Some(now), message, ..job })?;
            }
        }
        let span = self.inner.config.retrain.watch.millis();
        let until = Timestamp::from_millis(now.millis().saturating_add(span)).unwrap_or(now);
        let watch = Some(Watch { snapshot, against, since: now, until, share });
        self.keep_job(&Job { kind: WATCH.into(), snapshot: Some(snapshot), watch, ..self.new_job(now) })
    }

    /// A look at what is watched, and at whether somebody has let another snapshot answer.
    pub(super) fn tend_watch(&self, now: Timestamp, decisions: &mut Vec<Decision>) -> Result<()> {
        let _tending = lock(&self.inner.tending);
        let (before, active) = {
            // Not between a switch that needs no watch and the note that it does not.
            let _switching = lock(&self.inner.switching);
            (lock(&self.inner.monitoring).answering, self.active_snapshot())
        };
        self.watch_on(now, (before, active), decisions)?;
        // Last: what could not be begun is begun at the next look. What has been switched to meanwhile is as well.
        let mut state = lock(&self.inner.monitoring);
        if state.answering == before {
            state.answering = active;
        }
        Ok(())
    }

    /// Nobody has forced the snapshot that answers: it is not watched for that. Under the lock of switching.
    pub(super) fn note_answering(&self) {
        lock(&self.inner.monitoring).answering = self.active_snapshot();
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
            return self.watch_forced(before, active, now);
        };
        let is_canary = watch.share < 1.0;
        if active != Some(if is_canary { watch.against } else { watch.snapshot }) {
            self.inner.canary.store(None);
            (job.state, job.finished) = (JobState::Done, Some(now));
            job.message = Some("another snapshot answers: not watched any longer".into());
            self.keep_job(&job)?;
            // Who has forced an older one and takes that back is where he was.
            let is_taken_back = watch.snapshot < watch.against && active == Some(watch.against);
            return if is_taken_back { Ok(()) } else { self.watch_forced(before, active, now) };
        }
        match self.go_on(&job, &watch, now) {
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

    /// Watches what answers against what did at the last look, if somebody has let another snapshot answer.
    fn watch_forced(&self, before: Option<SnapshotId>, active: Option<SnapshotId>, now: Timestamp) -> Result<()> {
        match (before, active) {
            (Some(before), Some(active)) if before != active && self.snapshot(before).is_ok() => {
                self.begin_watch(active, before, 1.0, now)
            }
            _ => Ok(()),
        }
    }

    /// A look of a watch; gives what it has decided, and done, if it is over.
    fn go_on(&self, job: &Job, watch: &Watch, now: Timestamp) -> Result<Option<Decision>> {
        if watch.share < 1.0 && self.inner.canary.load().is_none() {
            self.try_on(watch.snapshot, watch.share)?;
        }
        match self.judge_watch(watch, now)? {
            Some(decision) => Ok(self.carry_out(job, watch, &decision)?.then_some(decision)),
            None => Ok(None),
        }
    }

    /// Does what a watch has decided; not if somebody has ended it, or switched, while it looked.
    fn carry_out(&self, job: &Job, watch: &Watch, decision: &Decision) -> Result<bool> {
        let is_canary = watch.share < 1.0;
        let switching = lock(&self.inner.switching);
        let answers = if is_canary { watch.against } else { watch.snapshot };
        if self.active_snapshot() != Some(answers) || self.job(job.id)?.state != JobState::Running {
            return Ok(false);
        }
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
            self.switch(self.snapshot(id)?, Some(note))?;
            self.note_answering();
        }
        drop(switching);
        if is_back {
            self.inner.canary.store(None);
            self.reject(watch.snapshot, &decision.reason)?;
        }
        Ok(true)
    }

    /// The watch that goes on, if one does.
    pub(super) fn running_watch(&self) -> Result<Option<(Job, Watch)>> {
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
            // It may have come to answer later than that. Who went back to an older one may have done so because of what it
            // did since: only what people took of itself lets it answer again.
            None if watch.share == 1.0 && watch.against < watch.snapshot => outcomes.click_rate(None, from, until)?,
            old => old,
        };
        let new = outcomes.click_rate(Some(watch.snapshot), watch.since, settled)?;
        let (Some(old), Some(new)) = (old, new) else {
            let what = "one of the two showed nothing at these hours: not judged by clicks";
            return Ok(is_over.then(|| keep(what.into())));
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
}
