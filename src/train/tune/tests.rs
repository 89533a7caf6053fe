//! Whole searches on a small world with taste.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::course::Course;
use super::search::{Plan, search};
use super::space::Space;
use super::trial::{Record, Trial};
use crate::config::{ModelKind, TrainConfig};
use crate::error::{Error, Result};
use crate::eval::MetricAt;
use crate::features::{Csr, Holdout, Interactions};
use crate::progress::{Progress, Silent, Step};
use crate::record::{ItemId, UserId};

const USERS: u32 = 60;
const ITEMS: u32 = 40;

/// Users of two tastes; every fold leaves out another tenth of each user's pairs.
fn course() -> Course {
    let likes = |user: u32, step: u32| (user % 2) * 20 + (user * 7 + step * step * 3) % 20;
    let fold = |fold: u32| {
        let is_test = |user: u32, step: u32| (user + step) % 10 == fold;
        let row = |user: u32| {
            let steps = (0..10).filter(|step| !is_test(user, *step));
            steps.map(|step| (likes(user, step), 1.0)).collect()
        };
        let train = Interactions {
            users: (0..USERS).map(UserId::new).collect(),
            items: (0..ITEMS).map(ItemId::new).collect(),
            matrix: Csr::from_rows(ITEMS as usize, (0..USERS).map(row).collect()),
            trend: Vec::new(),
        };
        let pairs = (0..USERS).flat_map(|user| (0..10).map(move |step| (user, step)));
        let test = pairs.filter(|(user, step)| is_test(*user, *step));
        let test = test.map(|(user, step)| Some((UserId::new(user), ItemId::new(likes(user, step))))).collect();
        Holdout::from_pairs(train, test, String::new()).unwrap()
    };
    Course::folded((0..5).map(fold).collect(), "folds".into())
}

fn plan(trials: usize, threads: usize) -> Plan {
    Plan {
        study: 1,
        models: vec![ModelKind::Ials, ModelKind::Popularity],
        configured: ModelKind::Ials,
        metric: MetricAt::named("ndcg@10").unwrap(),
        trials,
        seconds: None,
        seed: 42,
        threads,
        memory: 1 << 30,
    }
}

fn space() -> Space {
    let base = TrainConfig { model: ModelKind::Ials, epochs: 3, ..TrainConfig::default() };
    Space::new(&base, &course().holdouts(0)[0].train.matrix)
}

/// All trials, and the records that were newly made.
fn run(plan: &Plan, records: Vec<Record>, progress: &dyn Progress) -> (Result<Vec<Trial>>, Vec<Record>) {
    let kept = Mutex::new(Vec::new());
    let keep = |record: &Record| {
        kept.lock().unwrap().push(record.clone());
        Ok(())
    };
    let trials = search(&space(), &course(), plan, records, &keep, progress);
    (trials, kept.into_inner().unwrap())
}

/// Of each rung, where it was measured.
type Values = Vec<Option<Vec<f32>>>;

/// What was found, without how long it took.
fn found(trials: &[Trial]) -> Vec<(ModelKind, Vec<f64>, Values)> {
    let values = |trial: &Trial| trial.rungs.iter().map(|rung| rung.as_ref().map(|of| of.values.clone())).collect();
    trials.iter().map(|trial| (trial.candidate.model, trial.candidate.values.clone(), values(trial))).collect()
}

#[test]
fn the_defaults_come_first_and_are_measured_to_the_top() {
    let (trials, _) = run(&plan(10, 2), Vec::new(), &Silent);
    let trials = trials.unwrap();
    assert_eq!(trials.len(), 10);
    let defaults: Vec<_> = trials.iter().take_while(|trial| trial.is_default).collect();
    assert_eq!(defaults.len(), 2);
    assert!(defaults.iter().all(|trial| trial.rungs.iter().all(Option::is_some)));
    let best = trials.iter().filter_map(|trial| trial.score(1)).reduce(f64::max).unwrap();
    assert!(defaults.iter().all(|trial| trial.score(1).unwrap() <= best));
    assert!(trials.iter().filter(|trial| trial.score(1).is_some()).count() < 8, "most stay on the first rung");
}

#[test]
fn going_on_after_a_stop_repeats_nothing_and_ends_the_same() {
    let (whole, records) = run(&plan(14, 2), Vec::new(), &Silent);
    let whole = whole.unwrap();
    for done in [1, 5, 9, records.len() - 1, records.len()] {
        let (again, fresh) = run(&plan(14, 2), records[..done].to_vec(), &Silent);
        assert_eq!(found(&again.unwrap()), found(&whole), "after {done} records");
        assert_eq!(fresh.len(), records.len() - done);
        let is_known = |record: &Record| {
            records[..done]
                .iter()
                .any(|known| (&known.values, known.rung, known.model) == (&record.values, record.rung, record.model))
        };
        assert!(!fresh.iter().any(is_known));
    }
}

#[test]
fn a_larger_budget_goes_on_from_a_smaller_one() {
    let (_, records) = run(&plan(8, 2), Vec::new(), &Silent);
    let (whole, from_nothing) = run(&plan(14, 2), Vec::new(), &Silent);
    let (again, fresh) = run(&plan(14, 2), records, &Silent);
    assert_eq!(found(&again.unwrap()), found(&whole.unwrap()));
    assert!(fresh.len() < from_nothing.len() - 6, "{} of {}", fresh.len(), from_nothing.len());
}

#[test]
fn neither_threads_nor_lanes_change_what_is_found() {
    let (one, _) = run(&plan(12, 1), Vec::new(), &Silent);
    let one = found(&one.unwrap());
    let (side_by_side, _) = run(&plan(12, 4), Vec::new(), &Silent);
    assert_eq!(found(&side_by_side.unwrap()), one);
    let (alone, _) = run(&Plan { memory: 1, ..plan(12, 4) }, Vec::new(), &Silent);
    assert_eq!(found(&alone.unwrap()), one);
}

#[test]
fn a_model_that_cannot_be_trained_is_a_failed_trial() {
    let mut plan = plan(8, 2);
    plan.models.insert(0, ModelKind::Ratings);
    let (trials, _) = run(&plan, Vec::new(), &Silent);
    let trials = trials.unwrap();
    assert!(trials[1].has_failed() && trials[1].standing().is_none());
    assert_eq!(trials.iter().filter(|trial| trial.candidate.model == ModelKind::Ratings).count(), 1, "not tried again");
    assert_eq!(trials.len(), 8);
}

#[test]
fn a_configured_model_that_is_not_named_is_measured_and_not_searched() {
    let plan = Plan { models: vec![ModelKind::Linear, ModelKind::Popularity], ..plan(12, 2) };
    let trials = run(&plan, Vec::new(), &Silent).0.unwrap();
    let configured: Vec<&Trial> = trials.iter().filter(|trial| trial.candidate.model == ModelKind::Ials).collect();
    assert_eq!(configured.len(), 1);
    assert!(configured[0].is_default && configured[0].score(1).is_some());
    assert_eq!(trials.len(), 12);
}

#[test]
fn without_time_nothing_is_begun() {
    let plan = Plan { seconds: Some(0.0), ..plan(50, 2) };
    let (trials, records) = run(&plan, Vec::new(), &Silent);
    assert!(records.is_empty() && trials.unwrap().iter().all(|trial| trial.standing().is_none()));
}

#[test]
fn when_the_time_is_up_no_further_rung_is_begun_and_more_time_goes_on_from_there() {
    let whole = run(&plan(10, 2), Vec::new(), &Silent).0.unwrap();
    for wanted in 1..=3 {
        let kept = Mutex::new(Vec::new());
        let keep = |record: &Record| {
            let mut kept = kept.lock().unwrap();
            kept.push(record.clone());
            // So long that the rest of the search cannot begin.
            std::thread::sleep(Duration::from_secs(if kept.len() == wanted { 3 } else { 0 }));
            Ok(())
        };
        let plan = Plan { seconds: Some(2.0), ..plan(10, 1) };
        let trials = search(&space(), &course(), &plan, Vec::new(), &keep, &Silent).unwrap();
        let records = kept.into_inner().unwrap();
        assert_eq!(records.len(), wanted);
        // The configured model gets to the top before others are begun.
        let models: Vec<ModelKind> = records.iter().map(|record| record.model).collect();
        assert_eq!(models, [ModelKind::Ials, ModelKind::Ials, ModelKind::Popularity][..wanted]);
        assert_eq!(trials[0].score(1).is_some(), wanted >= 2);
        let (again, fresh) = run(&Plan { seconds: None, ..plan }, records, &Silent);
        assert_eq!(found(&again.unwrap()), found(&whole));
        assert!(!fresh.is_empty());
    }
}

#[test]
fn a_search_is_cancelled_and_keeps_what_is_finished() {
    struct StopAt(usize, AtomicBool, Mutex<Vec<Option<f64>>>);
    impl Progress for StopAt {
        fn report(&self, step: &Step) {
            if let Step::Tuning { trial, trials, seconds_left, .. } = step {
                assert!(trial <= trials);
                self.2.lock().unwrap().push(*seconds_left);
                self.1.fetch_or(*trial >= self.0, Ordering::Relaxed);
            }
        }
        fn cancelled(&self) -> bool {
            self.1.load(Ordering::Relaxed)
        }
    }
    let stop = StopAt(6, AtomicBool::default(), Mutex::default());
    let (trials, records) = run(&plan(30, 1), Vec::new(), &stop);
    assert!(matches!(trials, Err(Error::Cancelled(_))));
    assert!((6..12).contains(&records.len()), "{} records", records.len());
    assert!(stop.2.into_inner().unwrap().iter().flatten().all(|seconds| seconds.is_finite()));
}
