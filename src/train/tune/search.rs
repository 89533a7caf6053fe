//! The search: the default of the configured model, those of the others, then batches of climbs and new candidates until
//! the budget is used, then whoever leads a rung climbs to the top.
//!
//! A batch has one size whatever the machine, and is settled before any of it is measured; so what is tried depends on the
//! data, the space, the seed and what earlier batches found, and not on threads, lanes or speed. Going on after a crash is
//! therefore the same search again with the records in place of the work: nothing finished is repeated, and the end
//! is the same. Only a budget in time makes the end depend on the machine: nothing is begun after it, what is under way is
//! finished.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::course::Course;
use super::halving::{next_to_climb, next_to_finish};
use super::lanes::side_by_side;
use super::measure::measure;
use super::memory;
use super::propose::propose;
use super::space::{MODELS, Space};
use super::trial::{Measured, Record, Trial};
use crate::config::ModelKind;
use crate::error::{Error, Result};
use crate::eval::MetricAt;
use crate::progress::{Progress, Step};
use crate::train::settle::settle;

/// Trials that are settled together, and so the most that can run side by side.
const BATCH: usize = 4;
/// When so much of the time is used, no new candidate is tried: the rest is for climbing.
const TIME_FOR_NEW: f64 = 0.85;

/// What is searched for and how long.
pub struct Plan {
    /// Identifies the records of this search.
    pub study: u64,
    /// The models among which is searched.
    pub models: Vec<ModelKind>,
    /// The configured model: its default is measured first, whether it is one of them or is only what they are compared
    /// with.
    pub configured: ModelKind,
    /// The metric.
    pub metric: MetricAt,
    /// Candidates, the defaults included.
    pub trials: usize,
    /// Seconds.
    pub seconds: Option<f64>,
    /// Seed of the candidates.
    pub seed: u64,
    /// Threads for all lanes together.
    pub threads: usize,
    /// Bytes for all lanes together.
    pub memory: u64,
}

/// Searches, and gives all trials in the order in which they were proposed. `records` is what an earlier run finished;
/// `keep` is handed each newly measured rung as soon as it is there.
///
/// # Errors
/// [`Error::Cancelled`], with all that was finished kept; what `keep` and training give. A candidate that cannot be trained is
/// a failed trial and no error.
pub fn search(
    space: &Space,
    course: &Course,
    plan: &Plan,
    records: Vec<Record>,
    keep: &(dyn Fn(&Record) -> Result<()> + Sync),
    progress: &dyn Progress,
) -> Result<Vec<Trial>> {
    let mut search = Search {
        space,
        course,
        plan,
        records,
        keep,
        progress,
        began: Instant::now(),
        replayed: 0.0,
        finished: AtomicUsize::new(0),
        of_batch: AtomicUsize::new(0),
        trials: Vec::new(),
    };
    search.measure_defaults()?;
    loop {
        let batch = search.next_batch();
        if batch.is_empty() {
            return Ok(search.trials);
        }
        search.run(&batch)?;
    }
}

/// One rung of one trial.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Job {
    place: usize,
    rung: usize,
}

struct Search<'a> {
    space: &'a Space,
    course: &'a Course,
    plan: &'a Plan,
    records: Vec<Record>,
    keep: &'a (dyn Fn(&Record) -> Result<()> + Sync),
    progress: &'a dyn Progress,
    began: Instant,
    /// Seconds that the records took.
    replayed: f64,
    /// Rungs measured in this run.
    finished: AtomicUsize,
    /// First rungs measured in the batch under way.
    of_batch: AtomicUsize,
    trials: Vec<Trial>,
}

impl Search<'_> {
    /// On every rung: they are what others are compared with there. The configured model climbs to the top alone, so that
    /// a short time ends with something to decide on.
    fn measure_defaults(&mut self) -> Result<()> {
        let rungs = self.course.top() + 1;
        let configured = self.plan.configured;
        let others = self.plan.models.iter().copied().filter(|model| *model != configured);
        // A model of ratings ranks nothing that others could be compared with.
        let first = Some(configured).filter(|model| MODELS.contains(model));
        let models = first.into_iter().chain(others);
        self.trials = models.map(|model| Trial::new(self.space.default_of(model), true, rungs)).collect();
        for places in [0..1, 1..self.trials.len()] {
            for rung in 0..rungs {
                let standing = |place: &usize| self.trials.get(*place).is_some_and(|trial| !trial.has_failed());
                let jobs: Vec<Job> = places.clone().filter(standing).map(|place| Job { place, rung }).collect();
                self.run(&jobs)?;
            }
        }
        Ok(())
    }

    /// Climbs first, then new candidates; when neither is left, the leaders of the rungs. Empty when the search is over.
    fn next_batch(&mut self) -> Vec<Job> {
        let mut batch = Vec::new();
        if self.is_time_up() {
            return batch;
        }
        let is_time_for_new = self.plan.seconds.is_none_or(|seconds| self.seconds() < TIME_FOR_NEW * seconds);
        while batch.len() < BATCH
            && let Some(job) = self.climb(&batch, next_to_climb)
        {
            batch.push(job);
        }
        while batch.len() < BATCH
            && is_time_for_new
            && self.trials.len() < self.plan.trials
            && let Some(candidate) = propose(self.space, &self.plan.models, self.plan.seed, &self.trials)
        {
            batch.push(Job { place: self.trials.len(), rung: 0 });
            self.trials.push(Trial::new(candidate, false, self.course.top() + 1));
        }
        let is_over = batch.is_empty();
        while is_over
            && batch.len() < BATCH
            && let Some(job) = self.climb(&batch, next_to_finish)
        {
            batch.push(job);
        }
        batch
    }

    fn climb(
        &self,
        batch: &[Job],
        next: impl Fn(&[&Trial], &dyn Fn(usize, usize) -> bool) -> Option<(usize, usize)>,
    ) -> Option<Job> {
        self.plan.models.iter().find_map(|model| {
            let own = self.trials.iter().enumerate().filter(|(_, trial)| trial.candidate.model == *model);
            let (places, own): (Vec<usize>, Vec<&Trial>) = own.unzip();
            let is_pending = |place: usize, rung: usize| {
                places.get(place).is_some_and(|place| batch.contains(&Job { place: *place, rung }))
            };
            let (place, rung) = next(&own, &is_pending)?;
            Some(Job { place: *places.get(place)?, rung })
        })
    }

    /// Measures a batch as far as the time goes, or takes what was measured before.
    fn run(&mut self, batch: &[Job]) -> Result<()> {
        let lanes = self.lanes(batch);
        self.of_batch.store(0, Ordering::Relaxed);
        let mut fresh = Vec::new();
        for job in batch {
            match self.recorded(*job) {
                Some(measured) => {
                    self.replayed += measured.seconds / lanes as f64;
                    self.settle(*job, measured);
                }
                None => fresh.push(*job),
            }
        }
        let in_time = |job: &Job| if self.is_time_up() { Ok(None) } else { self.work(*job).map(Some) };
        let measured = side_by_side(&fresh, lanes, self.plan.threads, &in_time)?;
        self.of_batch.store(0, Ordering::Relaxed);
        for (job, measured) in fresh.into_iter().zip(measured) {
            measured.into_iter().for_each(|measured| self.settle(job, measured));
        }
        self.report();
        Ok(())
    }

    fn recorded(&self, job: Job) -> Option<Measured> {
        let candidate = &self.trials.get(job.place)?.candidate;
        let is_it = |record: &&Record| {
            record.rung as usize == job.rung
                && record.model == candidate.model
                && same(&record.values, &candidate.values)
        };
        self.records.iter().find(is_it).map(|record| record.measured.clone())
    }

    fn settle(&mut self, job: Job, measured: Measured) {
        if let Some(slot) = self.trials.get_mut(job.place).and_then(|trial| trial.rungs.get_mut(job.rung)) {
            *slot = Some(measured);
        }
    }

    fn work(&self, job: Job) -> Result<Measured> {
        let trial = self.trials.get(job.place).ok_or(Error::Cancelled("tuning"))?;
        let below = job.rung.checked_sub(1).and_then(|below| trial.rungs.get(below)?.as_ref());
        let measured =
            measure(self.space, self.course, self.plan.metric, &trial.candidate, job.rung, below, self.progress)?;
        let record = Record {
            study: self.plan.study,
            model: trial.candidate.model,
            values: trial.candidate.values.clone(),
            rung: job.rung as u32,
            measured: measured.clone(),
        };
        (self.keep)(&record)?;
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.of_batch.fetch_add(usize::from(job.rung == 0), Ordering::Relaxed);
        self.report();
        Ok(measured)
    }

    /// So many trials of a batch fit beside each other.
    fn lanes(&self, batch: &[Job]) -> usize {
        let Some(largest) = self.course.largest() else { return 1 };
        let needed = batch.iter().filter_map(|job| {
            let config = self.space.config(&self.trials.get(job.place)?.candidate, &largest.matrix);
            let (users, items) = (largest.users.len(), largest.items.len());
            let settled = settle(&config, &largest.matrix);
            Some(memory::needed(&settled, users, items, largest.matrix.nnz(), self.plan.threads))
        });
        let fit = self.plan.memory / needed.max().unwrap_or(1).max(1);
        (fit as usize).min(self.plan.threads).clamp(1, BATCH)
    }

    fn is_time_up(&self) -> bool {
        self.plan.seconds.is_some_and(|seconds| self.seconds() >= seconds)
    }

    /// Seconds spent, those of an interrupted run included.
    fn seconds(&self) -> f64 {
        self.replayed + self.began.elapsed().as_secs_f64()
    }

    fn report(&self) {
        let top = self.course.top();
        let settled = self.trials.iter().filter(|trial| trial.standing().is_some() || trial.has_failed()).count();
        let trial = settled + self.of_batch.load(Ordering::Relaxed);
        let finished = self.finished.load(Ordering::Relaxed);
        // A candidate costs its first rung and, one time in three, the next.
        let of_a_rung = self.began.elapsed().as_secs_f64() / finished.max(1) as f64;
        let by_trials = of_a_rung * 1.5 * self.plan.trials.saturating_sub(trial) as f64;
        let by_time = self.plan.seconds.map_or(f64::INFINITY, |seconds| (seconds - self.seconds()).max(0.0));
        self.progress.report(&Step::Tuning {
            trial,
            trials: self.plan.trials.max(self.trials.len()),
            best: self.trials.iter().filter_map(|trial| trial.score(top)).reduce(f64::max),
            seconds_left: (finished > 0).then(|| by_trials.min(by_time)),
        });
    }
}

/// Whether values are the same, but for what a text of them may lose.
fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * a.abs())
}
