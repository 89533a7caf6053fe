//! The search for settings, beside serving: on a consistent view of the events, every finished rung recorded in the store,
//! so that a search which was cut off goes on where it was.

use std::collections::BTreeMap;
use std::sync::TryLockError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::evaluation::splitter;
use super::tuned::ranks_nothing;
use super::{Engine, TuneOptions, Tuned, TunedTrial};
use crate::config::{ModelKind, TrainConfig};
use crate::error::{Error, Result};
use crate::eval::MetricAt;
use crate::features::{Csr, Log};
use crate::progress::Progress;
use crate::record::Timestamp;
use crate::store::Records;
use crate::train::tune::{self, Course, MODELS, Plan, Record, Space, Trial};

/// Records of so many studies are kept: a search has one, and one for each half-life, and may be cut off while another
/// is asked for.
const STUDIES: usize = 16;

impl Engine {
    /// Searches how fast events are to fade, then models and settings. Nothing is changed but the records of the search; the
    /// caller opens the engine with the half-life that is found ([`crate::EventsConfig::half_life`]) and trains with the settings. The same data, options and configuration find the same, whatever the threads and whether the search
    /// was interrupted, unless `minutes` end it.
    ///
    /// Errors: [`Error::NoData`] when there is too little to measure, [`Error::Conflict`] while another search runs,
    /// [`Error::Cancelled`]: what is finished is kept, and the same call goes on from there.
    pub fn tune(&self, options: &TuneOptions, progress: &dyn Progress) -> Result<Tuned> {
        let _tuning = match self.inner.tuning.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Error::Conflict("a search is already running".into())),
        };
        let began = Instant::now();
        let inner = &*self.inner;
        options.validate()?;
        let base = options.train.as_ref().unwrap_or(&inner.config.train);
        base.validate().map_err(|error| error.within("train"))?;
        if options.models.is_empty() && base.model == ModelKind::Ratings {
            return Err(ranks_nothing("is empty and train.model is ratings"));
        }
        let metric = options.metric.as_ref().unwrap_or(&inner.config.snapshot.gate_metric);
        let view = inner.store.view();
        let mut log = Log::read(&view, &inner.weights, progress)?;
        log.order_ties(&view)?;
        drop(view);
        let mut log = match options.inside {
            Some(split) => log.split(&*splitter(&log, split, 0)).0,
            None => log,
        };
        let plan_for = |course: &Course| plan(options, base, metric, course);
        let (fading, spent) = self.fading(&mut log, base, options, &plan_for, progress)?;
        let course = Course::new(&log, progress)?;
        // What the chosen settings are written for: all that may be seen.
        let whole = log.interactions(log.newest().min(Timestamp::now())).matrix;
        drop(log);

        let space = Space::new(base, &whole);
        let has_trend = course.largest().is_some_and(|largest| !largest.trend.is_empty());
        let space = if has_trend { space } else { space.without_trend() };
        let plan =
            Plan { seconds: options.minutes.map(|minutes| (minutes * 60.0 - spent).max(0.0)), ..plan_for(&course)? };
        let (records, last) = self.records_of(plan.study, options.fresh)?;
        let resumed = records.len() as u64;
        let next = AtomicU64::new(last + 1);
        let keep =
            |record: &Record| inner.store.put_record(Records::Trials, next.fetch_add(1, Ordering::Relaxed), record);
        tracing::info!(study = plan.study, trials = plan.trials, metric, course = %course, resumed, "tuning");
        let trials = tune::search(&space, &course, &plan, records, &keep, progress)?;
        let users = course.users();
        let decision = tune::decide(&trials, &plan.models, plan.configured, &users)
            .ok_or_else(|| nothing_to_choose(&trials, &plan, options.minutes))?;
        let chosen = trials.get(decision.chosen).map(|trial| space.config(&trial.candidate, &whole));
        Ok(Tuned {
            train: chosen.unwrap_or_else(|| base.clone()),
            fading,
            chosen: decision.chosen as u64 + 1,
            reason: decision.reason,
            metric: metric.clone(),
            split: course.split.clone(),
            rungs: course.labels(),
            users: users.len() as u64,
            resumed,
            seconds: began.elapsed().as_secs_f64(),
            trials: reported(&trials, &space, &course, base, &whole),
        })
    }

    /// The records of a search, and the number of the last of any. Those of long past searches are removed, and with
    /// `fresh` its own.
    pub(super) fn records_of(&self, study: u64, fresh: bool) -> Result<(Vec<Record>, u64)> {
        let store = &self.inner.store;
        let all = store.records::<Record>(Records::Trials)?;
        let last = all.last().map_or(0, |(number, _)| *number);
        let mut studies: Vec<u64> = Vec::new();
        for (_, record) in all.iter().rev() {
            if !studies.contains(&record.study) {
                studies.push(record.study);
            }
        }
        studies.truncate(STUDIES);
        let mut own = Vec::new();
        for (number, record) in all {
            if record.study == study && !fresh {
                own.push(record);
            } else if record.study == study || !studies.contains(&record.study) {
                store.delete_record(Records::Trials, number)?;
            }
        }
        Ok((own, last))
    }
}

fn plan(options: &TuneOptions, base: &TrainConfig, metric: &str, course: &Course) -> Result<Plan> {
    let mut models: Vec<ModelKind> = Vec::new();
    let named: &[ModelKind] = if options.models.is_empty() { &MODELS } else { &options.models };
    // What is configured is what the others must beat, where it is one of them.
    let first = named.iter().find(|model| **model == base.model);
    for model in first.into_iter().chain(named) {
        if !models.contains(model) {
            models.push(*model);
        }
    }
    // Everything by which records differ; not how many are wanted or how fast they come.
    let settings = TrainConfig { threads: 0, ..base.clone() };
    let identity = format!("{} {settings:?} {metric} {models:?} {}", course.fingerprint(), options.seed);
    let threads =
        if base.threads > 0 { base.threads } else { std::thread::available_parallelism().map_or(1, usize::from) };
    Ok(Plan {
        study: xxh3_64(identity.as_bytes()),
        models,
        configured: base.model,
        metric: MetricAt::named(metric)?,
        trials: options.trials,
        seconds: options.minutes.map(|minutes| minutes * 60.0),
        seed: options.seed,
        threads,
        memory: options.memory_mib.map_or_else(tune::available, |mib| mib << 20),
    })
}

fn reported(trials: &[Trial], space: &Space, course: &Course, base: &TrainConfig, whole: &Csr) -> Vec<TunedTrial> {
    let (top, users) = (course.top(), course.users());
    let configured = trials.iter().find(|trial| trial.is_default && trial.candidate.model == space.configured());
    let mut order: Vec<&Trial> = tune::by_standing(trials.iter());
    order.extend(trials.iter().filter(|trial| trial.standing().is_none()));
    let number =
        |trial: &Trial| trials.iter().position(|other| std::ptr::eq(other, trial)).map_or(0, |place| place + 1);
    let report = |trial: &Trial| {
        let is_measured = trial.score(top).is_some();
        let ahead =
            configured.filter(|other| is_measured && other.score(top).is_some() && !std::ptr::eq(*other, trial));
        let ahead = ahead.map(|other| tune::difference(trial, other, top, &users));
        let config = space.config(&trial.candidate, whole);
        TunedTrial {
            number: number(trial) as u64,
            model: trial.candidate.model,
            is_default: trial.is_default,
            settings: changes(base, &TrainConfig { model: base.model, ..config }),
            parameters: space.settled(&trial.candidate, whole),
            scores: (0..=top).map(|rung| trial.score(rung)).collect(),
            ahead: ahead.map(|ahead| ahead.mean),
            error: ahead.map(|ahead| ahead.error).filter(|error| error.is_finite()),
            seconds: trial.seconds(),
            failure: trial.rungs.iter().flatten().find_map(|measured| measured.failure.clone()),
        }
    };
    order.into_iter().map(report).collect()
}

/// The settings by path, with their values, in which `to` differs from `from`.
pub fn changes(from: &TrainConfig, to: &TrainConfig) -> BTreeMap<String, Value> {
    let (from, mut to) = (leaves(from), leaves(to));
    to.retain(|path, value| from.get(path) != Some(value));
    to
}

fn leaves(config: &TrainConfig) -> BTreeMap<String, Value> {
    fn gather(path: &str, value: Value, out: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                    gather(&path, value, out);
                }
            }
            value => {
                out.insert(path.to_owned(), value);
            }
        }
    }
    let mut out = BTreeMap::new();
    // A configuration is plain data, which serde turns into a value without fail.
    gather("", serde_json::to_value(config).unwrap_or_default(), &mut out);
    out
}

fn nothing_to_choose(trials: &[Trial], plan: &Plan, minutes: Option<f64>) -> Error {
    let to_choose = || trials.iter().filter(|trial| plan.models.contains(&trial.candidate.model));
    let failure = to_choose().flat_map(|trial| trial.rungs.iter().flatten()).find_map(|rung| rung.failure.as_ref());
    let is_unmeasured = to_choose().any(|trial| !trial.has_failed());
    match (minutes, failure) {
        (Some(minutes), _) if is_unmeasured => Error::no_data(
            format!("no model was measured on the whole in {minutes} minutes"),
            "give more of them: the same command goes on from what was measured",
        ),
        (_, failure) => Error::no_data(
            format!("no model could be trained and measured ({})", failure.map_or("", String::as_str)),
            "import more events, or name other models",
        ),
    }
}
