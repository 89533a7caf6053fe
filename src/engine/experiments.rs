//! Experiments: planned, started, looked at, ended. What runs is kept in memory for the questions; everything else is read
//! when it is asked for. A report reads the exposures and the events of its experiment anew: seconds for a million answers,
//! and what came late, was deleted or was merged meanwhile is as it should be, which running sums could not promise.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustc_hash::FxHashMap;

use super::{Engine, Inner, Live, lock};
use crate::error::{Error, Result};
use crate::experiment::{self, ExperimentReport, Outcome, Period, Tally, Totals, Verdict, allot, layer_of};
use crate::fault::{self, Point};
use crate::record::{
    Ending, Experiment, ExperimentDesign, ExperimentState, Exposure, ItemId, SnapshotId, Timestamp, validate_id,
};
use crate::snapshot::SnapshotState;
use crate::store::View;

/// So often running experiments are looked at.
const LOOK: Duration = Duration::from_secs(3_600);
/// So many there may be.
const MOST: usize = 1_000;

/// What questions need of the experiments.
#[derive(Default)]
pub(super) struct Experiments {
    /// Those that run or whose winner is shown, in the order of their names.
    pub active: ArcSwap<Vec<Experiment>>,
    /// Snapshots that variants answer with, beside the active one.
    pub beside: ArcSwap<FxHashMap<SnapshotId, Arc<Live>>>,
    /// Held while experiments change.
    changing: Mutex<()>,
    /// Ends the thread that looks at them when it is dropped.
    watch: Mutex<Option<Sender<()>>>,
}

impl Engine {
    /// All experiments, in the order of their names.
    pub fn experiments(&self) -> Result<Vec<Experiment>> {
        self.inner.store.experiments()
    }

    /// An experiment. Errors: [`Error::NotFound`].
    pub fn experiment(&self, id: &str) -> Result<Experiment> {
        let found = self.experiments()?.into_iter().find(|experiment| experiment.id == id);
        found.ok_or_else(|| Error::not_found("experiment", id))
    }

    /// Plans an experiment, or changes one. While it runs only `about`, `stop` and `traffic`, which may grow, can change.
    /// Errors: [`Error::Invalid`] names the field; [`Error::Conflict`] for a change that would spoil what runs or has ended.
    pub fn put_experiment(&self, id: &str, design: &ExperimentDesign) -> Result<Experiment> {
        validate_id("id", id)?;
        design.validate()?;
        let _changing = lock(&self.inner.experiments.changing);
        let all = self.experiments()?;
        let count = all.len();
        let known = all.into_iter().find(|experiment| experiment.id == id);
        if known.is_none() && count >= MOST {
            return Err(Error::Conflict(format!("there are {count} experiments, as many as may be; delete some")));
        }
        let experiment = match known {
            None => Experiment {
                id: id.to_owned(),
                version: 1,
                state: ExperimentState::Draft,
                design: design.clone(),
                created: Timestamp::now(),
                started: None,
                stopped: None,
                slots: Vec::new(),
                decision: None,
            },
            Some(known) => {
                let slots = match known.state {
                    ExperimentState::Draft => Vec::new(),
                    ExperimentState::Running => {
                        check_change(&known, design)?;
                        self.slots(&known, design)?
                    }
                    ExperimentState::Stopped | ExperimentState::Promoted => {
                        return Err(Error::Conflict(format!("experiment \"{id}\" is over; plan a new one")));
                    }
                };
                Experiment { version: known.version + 1, design: design.clone(), slots, ..known }
            }
        };
        self.keep_experiment(experiment)
    }

    /// From now on users take part. Errors: [`Error::NotFound`] for it or a scenario that it names; [`Error::Conflict`] if it runs or is over, its layer is full,
    /// or another experiment on the same scenario runs in another layer.
    pub fn start_experiment(&self, id: &str) -> Result<Experiment> {
        let _changing = lock(&self.inner.experiments.changing);
        let started = self.begin_experiment(id);
        // What was loaded for it goes.
        if started.is_err()
            && let Err(error) = self.load_experiments()
        {
            tracing::warn!(%error, "snapshots of an experiment that did not start stay loaded");
        }
        started
    }

    fn begin_experiment(&self, id: &str) -> Result<Experiment> {
        let known = self.experiment(id)?;
        if known.state != ExperimentState::Draft {
            return Err(Error::Conflict(format!("experiment \"{id}\" is {}", known.state.word())));
        }
        for snapshot in known.design.variants.iter().filter_map(|variant| variant.snapshot) {
            if self.snapshot(snapshot)?.state == SnapshotState::Building {
                return Err(Error::Conflict(format!("snapshot {snapshot} is still being built")));
            }
            // What cannot be loaded is told now, not when somebody is to be shown it.
            self.load_beside(snapshot)?;
        }
        known.design.scenarios().try_for_each(|name| self.scenario(name).map(drop))?;
        let slots = self.slots(&known, &known.design)?;
        let started = Some(Timestamp::now());
        let version = known.version + 1;
        self.keep_experiment(Experiment { version, slots, started, state: ExperimentState::Running, ..known })
    }

    /// From now on nobody takes part; outcomes of what was shown still count when they come. Errors: [`Error::NotFound`];
    /// [`Error::Conflict`] if it has not begun or is over.
    pub fn stop_experiment(&self, id: &str) -> Result<Experiment> {
        let known = self.experiment(id)?;
        match known.state {
            ExperimentState::Running => {
                self.end_experiment(&known, Ending { reason: "stopped by hand".into(), winner: None })
            }
            // What was promoted is shown no more.
            ExperimentState::Promoted => {
                let _changing = lock(&self.inner.experiments.changing);
                let version = known.version + 1;
                self.keep_experiment(Experiment { version, state: ExperimentState::Stopped, ..known })
            }
            state => Err(Error::Conflict(format!("experiment \"{id}\" is {}", state.word()))),
        }
    }

    /// Removes an experiment that does not run; what was shown stays. Errors: [`Error::NotFound`]; [`Error::Conflict`].
    pub fn delete_experiment(&self, id: &str) -> Result<()> {
        let _changing = lock(&self.inner.experiments.changing);
        let known = self.experiment(id)?;
        if matches!(known.state, ExperimentState::Running | ExperimentState::Promoted) {
            return Err(Error::Conflict(format!("experiment \"{id}\" is {}; stop it first", known.state.word())));
        }
        self.inner.store.delete_experiment(id)
    }

    /// What may be concluded so far, as often as one likes to look. Reads the exposures and events since it began. Errors:
    /// [`Error::NotFound`]; [`Error::NoData`] for one that has not begun.
    pub fn experiment_report(&self, id: &str) -> Result<ExperimentReport> {
        let experiment = self.experiment(id)?;
        let not_begun = || Error::no_data(format!("experiment \"{id}\" has not begun"), "start it");
        let started = experiment.started.ok_or_else(not_begun)?;
        let until = experiment.stopped.unwrap_or_else(Timestamp::now);
        let is_of = |exposure: &Exposure| exposure.experiment.as_ref().is_some_and(|of| of.id == id);
        let totals =
            self.tally(&experiment.design, (started, until), &mut |exposure| Ok(Some(exposure).filter(is_of)))?;
        Ok(experiment::report(&experiment, started, until, &totals))
    }

    /// Figures of the users to whom something was shown in a span of time, of the answers that `chosen` gives back.
    fn tally(
        &self,
        design: &ExperimentDesign,
        (started, until): (Timestamp, Timestamp),
        chosen: &mut dyn FnMut(Exposure) -> Result<Option<Exposure>>,
    ) -> Result<Totals> {
        self.flush_exposures();
        let view = self.inner.store.view();
        let mut tally = Tally::new(design, self.period(started, until));
        self.show_to(&view, &mut tally, chosen)?;
        hear(&view, design, started, &mut tally)?;
        Ok(tally.finish())
    }

    /// A span of time, with the window of attribution of the configuration.
    pub(super) fn period(&self, started: Timestamp, until: Timestamp) -> Period {
        Period { started, until, window: self.inner.config.exposures.attribution_window }
    }

    /// Adds what was shown since the start of a tally, before anything has come of it.
    pub(super) fn show_to(
        &self,
        view: &View<'_>,
        tally: &mut Tally<'_>,
        chosen: &mut dyn FnMut(Exposure) -> Result<Option<Exposure>>,
    ) -> Result<()> {
        let store = &self.inner.store;
        view.for_each_exposure(tally.started(), Timestamp::MAX, &mut |exposure| {
            if let Some(exposure) = chosen(exposure)? {
                let user = exposure.user.as_deref().map_or(Ok(None), |user| store.user_id(user))?;
                let items = exposure.items.iter().map(|shown| store.item_id(&shown.item));
                tally.show(&exposure, user, &items.collect::<Result<Vec<Option<ItemId>>>>()?);
            }
            Ok(())
        })
    }

    /// Looks at all running experiments and ends those whose plan says so: what the watch of
    /// [`keep_exposures`](Self::keep_exposures) does every hour. Gives those that ended.
    pub fn look_at_experiments(&self) -> Result<Vec<Experiment>> {
        let mut ended = Vec::new();
        let running = |experiment: &Experiment| experiment.state == ExperimentState::Running;
        for experiment in self.experiments()?.into_iter().filter(running) {
            let decision = self.experiment_report(&experiment.id).map(|report| decide(&experiment, &report));
            let one = match decision {
                Ok(Some(decision)) => {
                    tracing::info!(experiment = experiment.id, reason = decision.reason, "experiment ended");
                    self.end_experiment(&experiment, decision).map(Some)
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            match one {
                Ok(one) => ended.extend(one),
                // The others are looked at all the same.
                Err(error) => tracing::error!(experiment = experiment.id, %error, "an experiment cannot be looked at"),
            }
        }
        Ok(ended)
    }

    /// The loaded snapshot that a variant answers with; the active one, or one beside it.
    pub(super) fn live_of(&self, id: SnapshotId) -> Option<Arc<Live>> {
        let active = self.inner.live.load_full().filter(|live| live.snapshot.manifest().id == id);
        active.or_else(|| self.inner.experiments.beside.load().get(&id).map(Arc::clone))
    }

    /// Every loaded snapshot.
    pub(super) fn lives(&self) -> Vec<Arc<Live>> {
        let beside = self.inner.experiments.beside.load();
        let own = [&self.inner.live, &self.inner.canary].into_iter().filter_map(ArcSwapOption::load_full);
        own.chain(beside.values().map(Arc::clone)).collect()
    }

    /// Whether an experiment answers with a snapshot.
    pub(super) fn is_tested(&self, id: SnapshotId) -> bool {
        let active = self.inner.experiments.active.load();
        let running = active.iter().filter(|of| of.state == ExperimentState::Running);
        running.flat_map(|experiment| &experiment.design.variants).any(|variant| variant.snapshot == Some(id))
    }

    /// Reads which experiments are active, and loads the snapshots that they need.
    pub(super) fn load_experiments(&self) -> Result<()> {
        let is_active = |of: &Experiment| matches!(of.state, ExperimentState::Running | ExperimentState::Promoted);
        let active: Vec<Experiment> = self.experiments()?.into_iter().filter(is_active).collect();
        let running = active.iter().filter(|of| of.state == ExperimentState::Running);
        let needed = running.flat_map(|of| &of.design.variants).filter_map(|variant| variant.snapshot);
        let mut beside = FxHashMap::default();
        for id in needed {
            let loaded = self.inner.experiments.beside.load().get(&id).map(Arc::clone);
            let loaded = loaded.map_or_else(|| self.load_beside(id), Ok);
            match loaded {
                Ok(live) => drop(beside.insert(id, live)),
                Err(error) => tracing::error!(snapshot = id.0, %error, "an experiment's snapshot cannot be loaded"),
            }
        }
        // Loading has put new ones in; those that no experiment needs any more go.
        self.inner.experiments.beside.store(Arc::new(beside));
        self.inner.experiments.active.store(Arc::new(active));
        Ok(())
    }

    /// Lets go of snapshots that were loaded for something else than an experiment.
    pub(super) fn forget_beside(&self) -> Result<()> {
        let _changing = lock(&self.inner.experiments.changing);
        self.load_experiments()
    }

    /// Looks at running experiments every hour, until the engine is gone.
    pub(super) fn watch_experiments(&self) -> Result<()> {
        let mut watch = lock(&self.inner.experiments.watch);
        if watch.is_some() {
            return Ok(());
        }
        let (stop, stopped) = channel::<()>();
        let inner: Weak<Inner> = Arc::downgrade(&self.inner);
        let look = move || {
            while matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
                let Some(inner) = inner.upgrade() else { return };
                if let Err(error) = (Engine { inner }).look_at_experiments() {
                    tracing::warn!(%error, "running experiments are not looked at");
                }
            }
        };
        std::thread::Builder::new().name("savor-experiments".into()).spawn(look).map_err(Error::io("thread"))?;
        *watch = Some(stop);
        Ok(())
    }

    /// The slots that an experiment is to have, after those it has. Refuses one that would meet another on the same scenario.
    fn slots(&self, experiment: &Experiment, design: &ExperimentDesign) -> Result<Vec<crate::record::Slots>> {
        let layer = layer_of(&experiment.id, design);
        let others = self.experiments()?;
        let others = others.iter().filter(|of| of.state == ExperimentState::Running && of.id != experiment.id);
        let mut neighbours = Vec::new();
        for other in others {
            if layer_of(&other.id, &other.design) == layer {
                neighbours.push(other);
                continue;
            }
            let (own, theirs) = (&design.scenario, &other.design.scenario);
            if own.is_none() || theirs.is_none() || own == theirs {
                return Err(Error::Conflict(format!(
                    "experiment \"{}\" runs on the same answers in layer \"{}\"; give both the same layer",
                    other.id,
                    layer_of(&other.id, &other.design)
                )));
            }
        }
        allot(&experiment.slots, neighbours.into_iter().flat_map(|other| &other.slots), design.traffic, layer)
    }

    fn end_experiment(&self, experiment: &Experiment, decision: Ending) -> Result<Experiment> {
        let winner = experiment.design.variants.iter().find(|variant| Some(&variant.name) == decision.winner.as_ref());
        let promoted = winner.filter(|_| experiment.design.stop.promote);
        let state = if promoted.is_some() { ExperimentState::Promoted } else { ExperimentState::Stopped };
        let _changing = lock(&self.inner.experiments.changing);
        let known = self.experiment(&experiment.id)?;
        if known.state != ExperimentState::Running {
            return Ok(known);
        }
        // A snapshot that won becomes the active one; what else its variant says is shown by the experiment. People were
        // asked at the same time, so that no watch could know better.
        if let Some(snapshot) = promoted.and_then(|variant| variant.snapshot)
            && Some(snapshot) != self.active_snapshot()
        {
            let _switching = lock(&self.inner.switching);
            self.switch(self.snapshot(snapshot)?, None)?;
            self.note_answering();
        }
        let (version, stopped) = (known.version + 1, Some(Timestamp::now()));
        let ended = Experiment { version, state, stopped, slots: Vec::new(), decision: Some(decision), ..known };
        self.keep_experiment(ended)
    }

    /// Writes an experiment and lets questions know. The caller holds the lock of changes.
    fn keep_experiment(&self, experiment: Experiment) -> Result<Experiment> {
        self.inner.store.put_experiment(&experiment)?;
        fault::reach(Point::ExperimentStored);
        self.load_experiments()?;
        Ok(experiment)
    }
}

/// Takes the events since a start into account, and those before it that tell what to expect of users.
pub(super) fn hear(
    view: &View<'_>,
    design: &ExperimentDesign,
    started: Timestamp,
    tally: &mut Tally<'_>,
) -> Result<()> {
    let from = design.covariate.map_or(started, |span| started.before(span));
    view.for_each_outcome(from, &mut |event| {
        tally.hear(Outcome {
            time: event.counted.time,
            user: event.user,
            item: event.item,
            kind: event.kind,
            id: event.id,
            value: event.counted.value,
            dwell_ms: event.counted.dwell_ms,
            session: event.session.as_deref(),
            recommendation_id: event.recommendation_id.as_deref(),
            position: event.position,
        });
        Ok(())
    })
}

/// Whether a running experiment may be changed so.
fn check_change(known: &Experiment, design: &ExperimentDesign) -> Result<()> {
    let mut allowed = known.design.clone();
    allowed.about.clone_from(&design.about);
    allowed.stop = design.stop.clone();
    if design.traffic >= allowed.traffic {
        allowed.traffic = design.traffic;
    }
    if allowed == *design {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "experiment \"{}\" runs: only about, stop and traffic, which may grow, can be changed; stop it and plan another",
        known.id
    )))
}

/// Why a running experiment ends now, if it does.
fn decide(experiment: &Experiment, report: &ExperimentReport) -> Option<Ending> {
    let stop = &experiment.design.stop;
    let ends = match report.verdict {
        Verdict::Won | Verdict::Lost => stop.on_decision,
        Verdict::Harm | Verdict::Mismatch => stop.on_harm,
        Verdict::TooEarly | Verdict::Undecided => false,
    };
    let age = report.until.millis() - report.started.millis();
    let is_over = stop.after.is_some_and(|after| age >= after.millis());
    (ends || is_over).then(|| Ending { reason: report.words.clone(), winner: report.winner.clone() })
}
