//! What a new snapshot must show before it answers without anybody's hand. Beside the comparison of metrics that each training took on its
//! own hold-out (`Engine::activate_if`): both snapshots on the same users and the same events, whether anything of the data was lost,
//! whether its index finds what it should and as quickly, and whether its lists have left what people take.

use std::collections::BTreeMap;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::snapshots::verdict;
use super::{Engine, Gate, Live};
use crate::config::EvaluateConfig;
use crate::error::{Error, Result};
use crate::eval::{Evaluator, PopularityScorer, Report};
use crate::features::{Holdout, Interactions, Log, Splitter, TimePoint};
use crate::index::Ask;
use crate::monitor::{Check, judge_lists};
use crate::progress::Progress;
use crate::record::{ItemId, SnapshotId, Timestamp, UserId};
use crate::snapshot::{Snapshot, SnapshotScorer};
use crate::train::{self, ModelScorer, TrainingData};

/// With fewer new events nothing is held out of them.
const FEWEST: usize = 100;
/// With fewer users who took something that no answer led to, or with a smaller part of all users, all events are looked at.
const FEWEST_USERS: usize = 20;
const FEWEST_OF: usize = 10;
/// The share of the new events that a training may learn from while it is compared.
const LEARNED: f64 = 0.5;
/// The share of the whole log that stays when there are too few new events.
const WHOLE: f64 = 0.9;
/// So many users ask for lists, and for so many items.
const USERS: usize = 200;
const LIST: usize = 10;
/// A difference that chance shows so often is none.
const DOUBT: f64 = 0.1;
/// Searches that are quicker than this, in microseconds, are quick enough.
const QUICK: f64 = 500.0;

impl Engine {
    /// Holds a snapshot against the one that answers: a check for each thing that it must show, in a fixed order. It may answer if all
    /// have passed. Trains once more, on all but the newest events, so that both can be asked for events that neither has
    /// seen. Errors: [`Error::NotFound`]; [`Error::Conflict`] while it is being built; [`Error::Cancelled`].
    pub fn prove(&self, id: SnapshotId, progress: &dyn Progress) -> Result<Vec<Check>> {
        let candidate = self.load(id)?;
        let mut checks = vec![self.check_recall(&candidate)];
        let Some(live) = self.inner.live.load_full().filter(|live| live.snapshot.manifest().id != id) else {
            return Ok(checks);
        };
        checks.extend(self.check_data(&candidate, &live.snapshot));
        let view = self.inner.store.view();
        let mut log = Log::read(&view, &self.inner.weights, progress)?;
        log.order_ties(&view)?;
        let gate = Gate::from_config(&self.inner.config);
        checks.extend(self.check_metrics(&log, &candidate, &live.snapshot, &gate, progress)?);
        checks.extend(self.check_lists(&mut log, &candidate, &live)?);
        Ok(checks)
    }

    /// The gate's checks on events that came after the active snapshot was trained; none where those are too few to tell
    /// anything.
    pub(super) fn check_new_events(&self, id: SnapshotId, gate: &Gate, progress: &dyn Progress) -> Result<Vec<Check>> {
        let Some(live) = self.inner.live.load_full() else { return Ok(Vec::new()) };
        let Some(newest) = live.snapshot.manifest().newest_event else { return Ok(Vec::new()) };
        let view = self.inner.store.view();
        let mut log = Log::read(&view, &self.inner.weights, progress)?;
        if log.after(newest, 0.0).is_none_or(|(count, _)| count < FEWEST) {
            return Ok(Vec::new());
        }
        log.order_ties(&view)?;
        self.check_metrics(&log, &self.load(id)?, &live.snapshot, gate, progress)
    }

    fn check_recall(&self, candidate: &Snapshot) -> Check {
        let plan = candidate.index().plan();
        Check::at_least("index recall", plan.recall, plan.wanted.min(self.inner.config.index.recall), &plan.why)
    }

    /// Whether the snapshot has seen as much as the one that answers, and as late. One that was made from vectors says nothing of that.
    fn check_data(&self, candidate: &Snapshot, active: &Snapshot) -> Vec<Check> {
        let (new, old) = (candidate.manifest(), active.manifest());
        let (Some(newest), Some(before)) = (new.newest_event, old.newest_event) else { return Vec::new() };
        let share = new.events as f64 / old.events.max(1) as f64;
        let counts = format!("trained on {} events, snapshot {} on {}", new.events, old.id, old.events);
        let times = format!("its newest event is of {newest}, that of snapshot {} of {before}", old.id);
        let days = (newest.millis() - before.millis()) as f64 / 86_400_000.0;
        vec![
            Check::at_least("events", share, self.inner.config.retrain.least_events, counts),
            Check::at_least("newest event", days, 0.0, times),
        ]
    }

    /// Both on the same users, who are folded in from what they did up to a moment, and on what they did later.
    fn check_metrics(
        &self,
        log: &Log<'_>,
        candidate: &Snapshot,
        active: &Snapshot,
        gate: &Gate,
        progress: &dyn Progress,
    ) -> Result<Vec<Check>> {
        let by_manifest = || {
            let said = verdict(candidate.manifest(), Some(active.manifest()), gate);
            let metric = |snapshot: &Snapshot| snapshot.manifest().metric(&gate.metric).unwrap_or(0.0);
            let (value, limit) = (metric(candidate), metric(active) - gate.tolerance);
            let passed = said.is_ok();
            let said = said.unwrap_or_else(|reason| reason);
            let detail = format!("{said}, each as measured at its own training: the log cannot be parted to ask both");
            vec![Check { name: format!("offline {}", gate.metric), value, limit, passed, detail }]
        };
        let newest = |snapshot: &Snapshot| snapshot.manifest().newest_event;
        let (Some(of_candidate), Some(of_active)) = (newest(candidate), newest(active)) else {
            return Ok(by_manifest());
        };
        let both = of_candidate.max(of_active);
        let unseen = log.after(both, 0.0).filter(|(count, _)| *count >= FEWEST).map(|_| both);
        let fresh = log.after(of_active, LEARNED).filter(|(count, _)| *count >= FEWEST);
        let at = unseen.or(fresh.map(|(_, at)| at)).or(log.after(Timestamp::MIN, WHOLE).map(|(_, at)| at));
        // Only where the candidate has seen what is asked for does a training that has not stand in for it.
        let stand_in = (unseen.is_none() && fresh.is_some()).then_some(candidate);
        let measured = at.map(|at| self.side_by_side(log, at, [active, candidate], stand_in, progress));
        let report = match measured {
            Some(Ok(report)) => report,
            Some(Err(Error::NoData { .. })) | None => return Ok(by_manifest()),
            Some(Err(error)) => return Err(error),
        };
        let mean = |place: usize| {
            let model = report.models.get(place);
            model.and_then(|model| model.metric(&gate.metric)).map_or(0.0, |estimate| estimate.mean)
        };
        let (old, own, other) = (mean(1), mean(2), mean(3));
        let p = |a: &str, b: &str| {
            let pair = report.comparison(a, b).and_then(|pair| pair.metric(&gate.metric));
            pair.and_then(|difference| difference.p)
        };
        let written = |p: Option<f64>| p.map_or_else(String::new, |p| format!(", p = {p:.4}"));
        // What chance alone shows often is no reason to refuse.
        let offline = |value: f64, p: Option<f64>, detail: String| {
            let check = Check::at_least(&format!("offline {}", gate.metric), value, old - gate.tolerance, detail);
            Check { passed: check.passed || p.is_some_and(|p| p > DOUBT), ..check }
        };
        let name = |place: usize| report.models.get(place).map_or("", |model| model.name.as_str());
        let users = report.users;
        let mut checks = Vec::new();
        if stand_in.is_some() {
            let p = p(name(1), name(3));
            let detail = format!(
                "{} {other:.4} by the same settings trained on all but the newest events, {old:.4} by {}, {users} users{}; {}",
                gate.metric,
                name(1),
                written(p),
                report.split
            );
            checks.push(offline(other, p, detail));
            let detail =
                format!("{} {own:.4} by {}, which has seen these events; {}", gate.metric, name(2), report.split);
            checks.push(Check::at_least("sound", own, old.min(other) - gate.tolerance, detail));
        } else {
            let seen = if unseen.is_some() { "which neither has seen" } else { "which it has seen" };
            let p = p(name(1), name(2));
            let detail = format!(
                "{} {own:.4}, {old:.4} by {}, on events {seen}, {users} users{}; {}",
                gate.metric,
                name(1),
                written(p),
                report.split
            );
            checks.push(offline(own, p, detail));
        }
        Ok(checks)
    }

    /// Leaves out what names an answer. People take only what they are shown, so that what they took from an answer speaks for whoever gave
    /// it, which mostly is the active snapshot. Not where too few users are left to tell anything.
    fn leave_out_prompted(&self, holdout: &mut Holdout, at: Timestamp) -> Result<()> {
        let mut prompted: FxHashMap<UserId, Vec<ItemId>> = FxHashMap::default();
        self.inner.store.view().for_each_outcome(at, &mut |event| {
            if event.recommendation_id.is_some() {
                prompted.entry(event.user).or_default().push(event.item);
            }
            Ok(())
        })?;
        let of = |user: UserId| prompted.get(&user).cloned().unwrap_or_default();
        let Interactions { users, items, .. } = &holdout.train;
        let finds_others = |(row, held): &&(u32, Vec<u32>)| {
            let led = users.get(*row as usize).map(|user| of(*user)).unwrap_or_default();
            held.iter().any(|column| items.get(*column as usize).is_some_and(|item| !led.contains(item)))
        };
        let left = holdout.test.iter().filter(finds_others).count();
        if !prompted.is_empty() && left >= FEWEST_USERS.max(holdout.test.len() / FEWEST_OF) {
            holdout.leave_out(of);
            holdout.split.push_str("; what answers led to is left out");
        }
        Ok(())
    }

    /// Popularity, the two snapshots, and what these settings make of the part up to the moment.
    fn side_by_side(
        &self,
        log: &Log<'_>,
        at: Timestamp,
        snapshots: [&Snapshot; 2],
        stand_in: Option<&Snapshot>,
        progress: &dyn Progress,
    ) -> Result<Report> {
        let splitter = TimePoint(at);
        let (mut past, later) = log.split(&splitter);
        let mut holdout = past.measured_by(&later, splitter.describe())?;
        self.leave_out_prompted(&mut holdout, at)?;
        let config = EvaluateConfig { bootstrap: 0, permutations: 2_000, ..self.inner.config.evaluate.clone() };
        let mut evaluator = Evaluator::new(&config);
        let ground = evaluator.begin(&holdout);
        let matrix = &holdout.train.matrix;
        evaluator.measure(&ground, None, &PopularityScorer::new(matrix), progress)?;
        let ratings = past.ratings().matrix(&holdout.train);
        // To each as events fade there.
        let mut faded = |snapshot: &Snapshot| {
            past.fade(self.half_life_of(snapshot.manifest()));
            past.interactions(past.newest())
        };
        for snapshot in snapshots {
            let history = faded(snapshot);
            let scorer = SnapshotScorer::new(snapshot, &history, ratings.as_ref());
            evaluator.measure(&ground, None, &scorer, progress)?;
        }
        if let Some(snapshot) = stand_in {
            let Interactions { matrix, trend, .. } = &faded(snapshot);
            let data = TrainingData { matrix, trend, validation: &[], ratings: ratings.as_ref(), warm: None };
            let (model, _) = train::train(&data, &snapshot.manifest().train, progress)?;
            evaluator.measure(&ground, None, &ModelScorer::new("stand-in", &model, matrix), progress)?;
        }
        Ok(evaluator.report())
    }

    /// How long searches take, and what is found, for people who were there lately.
    fn check_lists(&self, log: &mut Log<'_>, candidate: &Snapshot, live: &Live) -> Result<Vec<Check>> {
        let config = &self.inner.config.retrain;
        let painted = self.paint_trained(&self.inner.store.view())?;
        let mut shown = |snapshot: &Snapshot| {
            log.fade(self.half_life_of(snapshot.manifest()));
            let everything = log.interactions(log.newest().min(Timestamp::now()));
            lists(snapshot, &everything.of_users(|user: UserId| painted.active.contains(user.get())))
        };
        let (new, new_us) = shown(candidate)?;
        let (old, old_us) = shown(&live.snapshot)?;
        let times = format!("half of the searches took {new_us:.0} µs, by the snapshot before {old_us:.0} µs");
        let limit = (config.slower * old_us).max(QUICK);
        let mut named = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
        let taken = painted.taken.iter().map(|(item, count)| (*item, *count)).collect();
        for (names, counts) in named.iter_mut().zip([old, new, taken]) {
            for (item, count) in counts {
                names.insert(item.to_string(), count);
            }
        }
        let [old, new, taken] = &named;
        Ok(vec![Check::at_most("search time", new_us, limit, times), judge_lists(old, new, taken, config.list_drift)])
    }
}

/// What some users would be shown first, their own items aside: lists for each dense id of an item; and the median time of a search, in
/// microseconds.
fn lists(snapshot: &Snapshot, people: &Interactions) -> Result<(BTreeMap<u32, u64>, f64)> {
    let (vectors, fold_in) = (snapshot.vectors(), snapshot.fold_in());
    let rows: Vec<Option<u32>> = people.items.iter().map(|item| snapshot.row(*item)).collect();
    let step = people.matrix.n_rows().div_ceil(USERS).max(1);
    let (mut counts, mut times) = (BTreeMap::new(), Vec::new());
    for user in (0..people.matrix.n_rows()).step_by(step) {
        let (items, weights) = people.matrix.row(user);
        let known = |(item, weight): (&u32, &f32)| Some((rows.get(*item as usize).copied().flatten()?, *weight));
        let history: Vec<(u32, f32)> = items.iter().zip(weights).filter_map(known).collect();
        if history.is_empty() {
            continue;
        }
        let mut vector = vec![0.0; vectors.dim()];
        fold_in.solve(vectors, &history, &mut vector)?;
        let began = Instant::now();
        let found = snapshot.index().answer(&vector, Ask::best(LIST + history.len()));
        times.push(began.elapsed().as_secs_f64() * 1e6);
        let is_new = |row: &u32| !history.iter().any(|(past, _)| past == row);
        for row in found.into_iter().map(|hit| hit.row).filter(is_new).take(LIST) {
            if let Some(item) = snapshot.item(row) {
                *counts.entry(item.get()).or_default() += 1;
            }
        }
    }
    times.sort_by(f64::total_cmp);
    Ok((counts, times.get(times.len() / 2).copied().unwrap_or(0.0)))
}
