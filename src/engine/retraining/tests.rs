use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::config::Config;
use crate::record::{Event, Query};
use crate::store::ShownAnswer;

fn config() -> Config {
    Config::from_toml("[retrain]\nenabled = true\nattempts = 3\n[store]\ndurability = \"async\"\n").unwrap()
}

#[test]
fn what_a_crash_cut_off_is_tried_again_a_few_times_and_then_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), config()).unwrap();
    let interrupted =
        Job { kind: RETRAIN.into(), reason: Some(Reason::NoSnapshot), attempt: 1, ..engine.new_job(Timestamp::now()) };
    engine.keep_job(&interrupted).unwrap();
    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    assert_eq!(engine.job(interrupted.id).unwrap().state, JobState::Failed);
    let start = Timestamp::now().millis();
    let decided = |hours: i64| {
        let now = Timestamp::from_millis(start + hours * 3_600_000).unwrap();
        let tended = engine.tend(now).unwrap();
        // There is nothing to learn from: each attempt fails.
        let last = engine.jobs().unwrap().first().unwrap().id;
        engine.wait_for_job(last).unwrap();
        tended.decisions.into_iter().map(|decision| decision.kind).collect::<Vec<_>>()
    };
    assert_eq!(decided(0), []);
    assert_eq!(decided(1), [DecisionKind::Retry]);
    assert_eq!(decided(2), [DecisionKind::Retry]);
    assert_eq!(decided(3), [DecisionKind::GiveUp]);
    assert_eq!(decided(4), []);
    assert_eq!(engine.jobs().unwrap().len(), 3);
    let kinds: Vec<_> = engine.decisions().unwrap().into_iter().map(|decision| decision.kind).collect();
    assert_eq!(kinds, [DecisionKind::GiveUp, DecisionKind::Retry, DecisionKind::Retry]);
}

#[test]
fn a_watch_goes_on_after_a_restart_and_can_be_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), config()).unwrap();
    engine.begin_watch(SnapshotId(2), SnapshotId(1), 1.0, Timestamp::now()).unwrap();
    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    let watch = engine.jobs().unwrap().remove(0);
    assert_eq!((watch.kind.as_str(), watch.state), (WATCH, JobState::Running));
    assert_eq!(engine.cancel_job(watch.id).unwrap().state, JobState::Cancelled);
}

const GROUPS: usize = 30;
const GROUP: usize = 20;
const USERS: usize = 240;
const DAY: i64 = 86_400_000;

fn at(day: f64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + (day * DAY as f64) as i64).unwrap()
}

/// Whom an item of today is for.
fn group_of(item: usize) -> usize {
    item % GROUPS
}

/// Events of forty days. Nothing is known of an item beside them. Few people take few items, so that each event counts; and since
/// the tenth day other items go together than before.
fn log() -> Vec<Event> {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut events = Vec::new();
    for user in 0..USERS {
        let group = user % GROUPS;
        for taken in 0..6 {
            let place = random.random_range(0..GROUP);
            let is_old = taken < 2;
            let item = if is_old { group * GROUP + place } else { place * GROUPS + group };
            let day = if is_old { random.random_range(0.0..10.0) } else { random.random_range(10.0..39.0) };
            events.push(Event::new(format!("u{user}"), format!("i{item}"), "click").at(at(day)));
        }
    }
    events
}

fn filled(dir: &Path, events: &[Event]) -> Engine {
    let config = Config::from_toml(
        "[train]\nmodel = \"ials\"\ndimension = 32\nepochs = 8\nunobserved_weight = 0.1\nregularization = 0.01\n\
         [store]\ndurability = \"async\"\n\
         [retrain]\nenabled = true\non_drift = false\nclick_fall = 0.1\nwatch = \"1d\"\n",
    );
    let mut config = config.unwrap();
    config.retrain.every = None;
    let engine = Engine::open(dir, config).unwrap();
    engine.append_events(events).unwrap();
    engine
}

fn trained(engine: &Engine) -> SnapshotId {
    engine.train_with(&TrainOptions { measure: false, ..TrainOptions::default() }, &crate::progress::Silent).unwrap()
}

/// Everybody asks at a time and takes every second item of those that are for them; what was shown and taken is stored as of then.
fn ask_all(engine: &Engine, time: Timestamp) {
    for user in 0..USERS {
        let query = Query::for_user(format!("u{user}")).limit(5);
        let answer = engine.recommend(&query).unwrap();
        let (name, user_name) = (answer.recommendation_id.clone(), query.user.clone().unwrap());
        let record = ShownAnswer::record(&query, 0, &answer, &[]).unwrap();
        let shown = ShownAnswer { answer: name.clone(), time, user: query.user.clone(), record };
        engine.inner.store.put_shown(&[shown]).unwrap();
        let is_meant = |item: &str| item.strip_prefix('i').unwrap().parse().map(group_of) == Ok(user % GROUPS);
        let meant = answer.items.iter().enumerate().filter(|(_, shown)| is_meant(&shown.item));
        let taken = meant.step_by(2).map(|(position, shown)| {
            let mut event = Event::new(&user_name, &shown.item, "click").at(time);
            event.recommendation_id = Some(name.clone());
            event.position = Some(position as u32);
            event
        });
        engine.append_events(&taken.collect::<Vec<_>>()).unwrap();
    }
}

/// What the watch decides of a model that was trained on these events and comes to answer, by what is shown and taken.
fn watched(events: &[Event]) -> Decision {
    let (own, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = filled(own.path(), &log());
    engine.keep_exposures().unwrap();
    let good = trained(&engine);
    engine.activate(good).unwrap();
    assert_eq!(engine.tend(at(39.0)).unwrap().decisions, []);
    ask_all(&engine, at(39.1));

    let other = filled(elsewhere.path(), events);
    let bundle = elsewhere.path().join("bundle");
    other.export_snapshot(trained(&other), &bundle).unwrap();
    let forced = engine.import_snapshot(&bundle).unwrap();
    engine.activate(forced).unwrap();
    assert_eq!(engine.tend(at(40.0)).unwrap().decisions, [], "the watch begins");
    ask_all(&engine, at(40.1));
    let mut decisions = engine.tend(at(40.5)).unwrap().decisions;
    decisions.extend(engine.tend(at(41.0)).unwrap().decisions);
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    let decision = decisions.remove(0);
    let is_back = decision.kind == DecisionKind::RollBack;
    assert_eq!(engine.active_snapshot(), Some(if is_back { good } else { forced }));
    let state = engine.snapshot(forced).unwrap().state;
    assert_eq!(state, if is_back { SnapshotState::Rejected } else { SnapshotState::Active });
    assert_eq!(engine.decisions().unwrap(), std::slice::from_ref(&decision), "it is kept with its numbers");
    decision
}

#[test]
fn a_model_of_half_of_the_events_that_is_forced_live_goes_back_by_what_people_take() {
    let half: Vec<Event> = log().into_iter().step_by(2).collect();
    let decision = watched(&half);
    assert_eq!((decision.kind, decision.time), (DecisionKind::RollBack, at(40.5)), "{decision:?}");
    assert!(!decision.checks[0].passed && decision.checks[0].value >= 20.0, "{decision:?}");
}

#[test]
fn a_model_that_is_a_month_old_and_is_forced_live_goes_back_by_what_people_take() {
    let old: Vec<Event> = log().into_iter().filter(|event| event.time < Some(at(10.0))).collect();
    let decision = watched(&old);
    assert_eq!((decision.kind, decision.time), (DecisionKind::RollBack, at(40.5)), "{decision:?}");
}

#[test]
fn a_model_that_is_as_good_stays_when_it_is_forced_live() {
    let decision = watched(&log());
    assert_eq!((decision.kind, decision.time), (DecisionKind::Keep, at(41.0)), "{decision:?}");
    assert!(decision.checks[0].passed, "it was judged by clicks: {decision:?}");
}
