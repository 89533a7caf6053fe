//! Background jobs: started, followed, cancelled, and remembered across restarts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustc_hash::FxHashMap;

use super::{Activate, Engine, Gate, Job, JobState, TrainOptions, lock};
use crate::error::{Error, Result};
use crate::progress::{Progress, Step};
use crate::record::{SnapshotId, Timestamp};
use crate::store::{Records, Store};

/// The kind of a training that somebody asked for.
pub(super) const TRAIN: &str = "train";
/// The kind of a training that the policy began.
pub(super) const RETRAIN: &str = "retrain";
/// The kind of a watch.
pub(super) const WATCH: &str = "watch";
/// So many ended jobs are listed, whatever they decided.
const REMEMBERED: usize = 100;
/// Older ones that decided something are kept at most: a year of a policy that trains as often as it may.
const HISTORY: usize = 2_000;

/// The jobs of an engine.
pub(super) struct Jobs {
    next: AtomicU64,
    running: Mutex<FxHashMap<u64, Running>>,
    /// For each snapshot built since the engine was opened: the tick of the writes that it has seen.
    seen: Mutex<FxHashMap<SnapshotId, u64>>,
}

struct Running {
    state: Arc<Handle>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

#[derive(Default)]
struct Handle {
    /// Whether it is to end, and for whom: the first who says so.
    end: AtomicU8,
    ended: AtomicBool,
    step: Mutex<Option<Step>>,
    started: Mutex<Option<Timestamp>>,
    /// How it ended, if the store would not take it.
    unkept: Mutex<Option<Job>>,
}

impl Progress for Handle {
    fn report(&self, step: &Step) {
        if *step == Step::Started {
            *lock(&self.started) = Some(Timestamp::now());
        }
        *lock(&self.step) = Some(step.clone());
    }

    fn cancelled(&self) -> bool {
        self.end.load(Ordering::Relaxed) != GO_ON
    }
}

const GO_ON: u8 = 0;
/// Somebody has cancelled it.
const CANCELLED: u8 = 1;
/// The engine is about to be closed.
const INTERRUPTED: u8 = 2;

impl Handle {
    fn end(&self, why: u8) {
        // Whoever was first is right: a job that was cancelled is not begun again.
        let _ = self.end.compare_exchange(GO_ON, why, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Jobs {
    /// Reads the history; jobs that a crash interrupted are marked as failed.
    pub fn open(store: &Store) -> Result<Self> {
        let mut last = 0;
        for (id, mut job) in store.records::<Job>(Records::Jobs)? {
            last = last.max(id);
            // A watch has nothing in memory: it goes on.
            if job.state == JobState::Running && job.kind != WATCH {
                job.state = JobState::Failed;
                job.message = Some("the process ended while it ran; start it again".into());
                job.finished = Some(Timestamp::now());
                store.put_record(Records::Jobs, id, &job)?;
            }
        }
        Ok(Self { next: AtomicU64::new(last + 1), running: Mutex::default(), seen: Mutex::default() })
    }

    /// Remembers what a snapshot has seen.
    pub fn note_seen(&self, snapshot: SnapshotId, tick: u64) {
        lock(&self.seen).insert(snapshot, tick);
    }

    /// What a snapshot has seen, if it was built since the engine was opened.
    pub fn seen(&self, snapshot: SnapshotId) -> Option<u64> {
        lock(&self.seen).get(&snapshot).copied()
    }
}

impl Engine {
    /// Starts a training in the background. Errors: [`Error::Conflict`] while another one runs.
    pub fn start_training(&self, options: &TrainOptions) -> Result<Job> {
        let (engine, options) = (self.clone(), options.clone());
        let job = Job { kind: TRAIN.into(), options: Some(options.clone()), ..self.new_job(Timestamp::now()) };
        self.start(job, move |handle, job| {
            let snapshot = engine.train_with(&options, handle)?;
            job.snapshot = Some(snapshot);
            match options.activate {
                Activate::Gate => engine.activate_if_with(snapshot, &Gate::from_config(engine.config()), handle),
                Activate::Always => engine.activate(snapshot),
                Activate::Never => Ok(()),
            }
        })
    }

    /// A job with a number, of no kind yet.
    pub(super) fn new_job(&self, now: Timestamp) -> Job {
        Job {
            id: self.inner.jobs.next.fetch_add(1, Ordering::Relaxed),
            kind: String::new(),
            state: JobState::Running,
            created: now,
            started: None,
            finished: None,
            step: None,
            snapshot: None,
            message: None,
            reason: None,
            attempt: 0,
            decisions: Vec::new(),
            watch: None,
            options: None,
        }
    }

    /// Whether a job is in work.
    pub(super) fn is_training(&self) -> bool {
        lock(&self.inner.jobs.running).values().any(|job| !job.state.ended.load(Ordering::Acquire))
    }

    /// Does work on a thread of its own, as a job. Errors: [`Error::Conflict`] while another one runs.
    pub(super) fn start(
        &self,
        job: Job,
        work: impl FnOnce(&dyn Progress, &mut Job) -> Result<()> + Send + 'static,
    ) -> Result<Job> {
        let jobs = &self.inner.jobs;
        let mut running = lock(&jobs.running);
        if running.values().any(|job| !job.state.ended.load(Ordering::Acquire)) {
            return Err(Error::Conflict("a training is already running; follow or cancel it".into()));
        }
        self.keep_job(&job)?;
        let state = Arc::new(Handle::default());
        let (engine, handle, record) = (self.clone(), Arc::clone(&state), job.clone());
        let thread = std::thread::Builder::new()
            .name(format!("savor-job-{}", job.id))
            .spawn(move || engine.run(&handle, record, work))
            .map_err(Error::io("thread"))
            .inspect_err(|error| {
                let failed = Job { state: JobState::Failed, message: Some(error.to_string()), ..job.clone() };
                if let Err(error) = self.keep_job(&failed) {
                    tracing::error!(job = job.id, %error, "cannot record that the job did not begin");
                }
            })?;
        running.clear();
        running.insert(job.id, Running { state, thread: Arc::new(Mutex::new(Some(thread))) });
        drop(running);
        self.forget_old_jobs(job.created)?;
        Ok(job)
    }

    /// Writes a job down as it is.
    pub(super) fn keep_job(&self, job: &Job) -> Result<()> {
        self.inner.store.put_record(Records::Jobs, job.id, job)
    }

    /// A job, with its last step while it runs. Errors: [`Error::NotFound`].
    pub fn job(&self, id: u64) -> Result<Job> {
        let job: Option<Job> = self.inner.store.record(Records::Jobs, id)?;
        let mut job = job.ok_or_else(|| Error::not_found("job", id.to_string()))?;
        if job.state == JobState::Running
            && let Some(running) = lock(&self.inner.jobs.running).get(&id)
        {
            job.step = lock(&running.state.step).clone();
            if let Some(ended) = lock(&running.state.unkept).clone() {
                return Ok(ended);
            }
        }
        Ok(job)
    }

    /// The last hundred jobs that have ended, and those that run, the newest first.
    pub fn jobs(&self) -> Result<Vec<Job>> {
        let records = self.inner.store.records::<Job>(Records::Jobs)?;
        let mut ended = 0;
        let is_listed = |(_, job): &(u64, Job)| {
            ended += usize::from(job.state != JobState::Running);
            job.state == JobState::Running || ended <= REMEMBERED
        };
        records.into_iter().rev().filter(is_listed).map(|(id, _)| self.job(id)).collect()
    }

    /// Asks a job to stop; it does so at its next step and leaves nothing behind. Errors: [`Error::NotFound`].
    pub fn cancel_job(&self, id: u64) -> Result<Job> {
        if let Some(running) = lock(&self.inner.jobs.running).get(&id) {
            running.state.end(CANCELLED);
        }
        let job = self.job(id)?;
        if job.kind == WATCH && job.state == JobState::Running {
            let finished = Some(Timestamp::now());
            self.keep_job(&Job { state: JobState::Cancelled, finished, ..job })?;
        }
        self.job(id)
    }

    /// Waits until a job has ended.
    pub fn wait_for_job(&self, id: u64) -> Result<Job> {
        let thread = lock(&self.inner.jobs.running).get(&id).map(|running| Arc::clone(&running.thread));
        if let Some(thread) = thread {
            // Whoever waits as well waits for this lock.
            let mut thread = lock(&thread);
            if thread.take().is_some_and(|thread| thread.join().is_err()) {
                tracing::error!(job = id, "the job's thread ended by a panic");
            }
        }
        self.job(id)
    }

    /// Tells background jobs to end, as the engine is about to be closed, and does not wait for them. They are
    /// [`JobState::Interrupted`] then, and are begun again by [`resume_jobs`](Self::resume_jobs) or by the retraining policy.
    pub fn interrupt_jobs(&self) {
        lock(&self.inner.jobs.running).values().for_each(|running| running.state.end(INTERRUPTED));
    }

    /// Begins again the training that was interrupted when the engine was closed in order before; one that the policy began is
    /// for [`tend`](Self::tend). A server calls this when it starts, and when it opens a tenant anew. Errors: those of [`start_training`](Self::start_training).
    pub fn resume_jobs(&self) -> Result<Vec<Job>> {
        let mut resumed = Vec::new();
        for (id, job) in self.inner.store.records::<Job>(Records::Jobs)? {
            if job.kind == TRAIN && job.state == JobState::Interrupted {
                let again = self.start_training(&job.options.clone().unwrap_or_default())?;
                let message = Some(format!("its engine was closed while it ran; begun again as job {}", again.id));
                self.keep_job(&Job { state: JobState::Failed, message, ..job })?;
                tracing::info!(job = id, again = again.id, "a training that was interrupted is begun again");
                resumed.push(again);
            }
        }
        Ok(resumed)
    }

    /// Interrupts background jobs and waits for them, for what was shown to be written, and for all that was written to be on disk,
    /// whatever the durability. The directory is released when the last clone is dropped.
    pub fn shutdown(&self) {
        self.flush_exposures();
        self.interrupt_jobs();
        let ids: Vec<u64> = lock(&self.inner.jobs.running).keys().copied().collect();
        for id in ids {
            if let Err(error) = self.wait_for_job(id) {
                tracing::warn!(job = id, %error, "a job could not be stopped in order");
            }
        }
        if let Err(error) = self.inner.store.sync() {
            tracing::error!(%error, "what was written last is not on disk");
        }
    }

    fn run(&self, handle: &Handle, mut job: Job, work: impl FnOnce(&dyn Progress, &mut Job) -> Result<()>) {
        // A defect must not leave a job that runs for ever.
        let result = catch_unwind(AssertUnwindSafe(|| work(handle, &mut job)))
            .unwrap_or_else(|_| Err(Error::Conflict("training ended by a defect; the log has its place".into())));
        job.started = *lock(&handle.started);
        job.finished = Some(Timestamp::now());
        (job.state, job.message) = match result {
            Ok(()) => (JobState::Done, job.message.take()),
            Err(error @ Error::GateFailed { .. }) => (JobState::Done, Some(error.to_string())),
            Err(Error::Cancelled(_)) if handle.end.load(Ordering::Relaxed) == INTERRUPTED => (
                JobState::Interrupted,
                Some("its engine was to be closed; it is begun again when that is served next".into()),
            ),
            Err(Error::Cancelled(_)) => (JobState::Cancelled, None),
            Err(error) => (JobState::Failed, Some(error.to_string())),
        };
        tracing::info!(job = job.id, kind = job.kind, state = ?job.state, message = job.message, "job ended");
        if let Err(error) = self.keep_job(&job) {
            tracing::error!(job = job.id, %error, "cannot record how the job ended");
            *lock(&handle.unkept) = Some(job);
        }
        handle.ended.store(true, Ordering::Release);
    }

    /// Of the ended jobs the newest stay, and older ones that decided something for as long as `retrain.history` says.
    fn forget_old_jobs(&self, now: Timestamp) -> Result<()> {
        let records = self.inner.store.records::<Job>(Records::Jobs)?;
        let since = now.before(self.inner.config.retrain.history);
        let ended = records.iter().rev().filter(|(_, job)| job.state != JobState::Running).skip(REMEMBERED);
        let mut history = 0;
        for (id, job) in ended {
            if !job.decisions.is_empty() && job.created >= since && history < HISTORY {
                history += 1;
            } else {
                self.inner.store.delete_record(Records::Jobs, *id)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::monitor::{Check, Decision, DecisionKind};
    use crate::record::Span;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + day * 86_400_000).unwrap()
    }

    #[test]
    fn decisions_outlast_the_list_of_jobs_and_go_when_they_are_old() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.durability = crate::config::Durability::Async;
        config.retrain.history = Span::days(100);
        let engine = Engine::open(dir.path(), config).unwrap();
        for day in 0..150 {
            let check = Check::at_least("events", 1.0, 0.8, "enough");
            let decision = Decision::new(at(day), DecisionKind::Swap, None, format!("day {day}"));
            let decided = Job {
                kind: RETRAIN.into(),
                state: JobState::Done,
                decisions: vec![Decision { checks: vec![check], ..decision }],
                ..engine.new_job(at(day))
            };
            engine.keep_job(&decided).unwrap();
            let asked = Job { kind: TRAIN.into(), state: JobState::Done, ..engine.new_job(at(day)) };
            engine.keep_job(&asked).unwrap();
        }
        engine.forget_old_jobs(at(149)).unwrap();
        let decisions = engine.decisions().unwrap();
        let days: Vec<&str> = decisions.iter().map(|decision| decision.reason.as_str()).collect();
        assert_eq!((days.len(), days[0], days[100]), (101, "day 149", "day 49"));
        assert!(decisions.iter().all(|decision| decision.checks.len() == 1), "with their numbers");
        let listed = engine.jobs().unwrap();
        assert_eq!((listed.len(), listed.iter().filter(|job| job.kind == TRAIN).count()), (100, 50));
        let kept = engine.inner.store.records::<Job>(Records::Jobs).unwrap();
        assert_eq!(kept.iter().filter(|(_, job)| job.kind == TRAIN).count(), 50, "what decided nothing is forgotten");
        assert_eq!(engine.last_job(RETRAIN).unwrap().unwrap().created, at(149));
    }
}
