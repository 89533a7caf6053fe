//! A model that somebody forces live and that is worse than the one before goes back by what people take of what it shows: one
//! that was trained on half of the events, and one that is a month old. One that is as good stays. The clock is the test's, the
//! answers are the engine's.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, reason = "the world of other tests")]

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use savor::{
    ClickRate, Config, Decision, DecisionKind, Engine, Event, Outcomes, Query, Result, SnapshotId, SnapshotState,
    Timestamp, TrainOptions,
};
use support::{Random, START};

const GROUPS: usize = 30;
const GROUP: usize = 20;
const USERS: usize = 240;
const DAY: i64 = 86_400_000;

fn at(day: f64) -> Timestamp {
    Timestamp::from_millis(START + (day * DAY as f64) as i64).unwrap()
}

/// Whom an item of today is for.
fn group_of(item: usize) -> usize {
    item % GROUPS
}

/// Events of forty days. Nothing is known of an item beside them. Few people take few items, so that each event counts; and since
/// the tenth day other items go together than before.
fn log() -> Vec<Event> {
    let mut random = Random(11);
    let mut events = Vec::new();
    for user in 0..USERS {
        let group = user % GROUPS;
        for taken in 0..6 {
            let place = random.below(GROUP);
            let is_old = taken < 2;
            let item = if is_old { group * GROUP + place } else { place * GROUPS + group };
            let day = if is_old { random.below(10) } else { 10 + random.below(29) };
            let time = at(day as f64 + random.below(1_000) as f64 / 1_000.0);
            events.push(Event::new(format!("u{user}"), format!("i{item}"), "click").at(time));
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
    engine.train(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap()
}

/// What was shown and taken, by the snapshot that answered.
#[derive(Default)]
struct Shown(Mutex<HashMap<SnapshotId, (u64, u64)>>);

impl Outcomes for Shown {
    fn click_rate(&self, snapshot: Option<SnapshotId>, _: Timestamp, _: Timestamp) -> Result<Option<ClickRate>> {
        let shown = self.0.lock().unwrap();
        Ok(snapshot.and_then(|id| shown.get(&id)).map(|(shown, taken)| ClickRate::of(*shown, *taken)))
    }
}

impl Shown {
    /// Everybody asks and takes every second item of those that are for them.
    fn ask(&self, engine: &Engine) {
        for user in 0..USERS {
            let answer = engine.recommend(&Query::for_user(format!("u{user}")).limit(5)).unwrap();
            let is_meant = |item: &str| item.strip_prefix('i').unwrap().parse().map(group_of) == Ok(user % GROUPS);
            let meant = answer.items.iter().filter(|shown| is_meant(&shown.item)).count() as u64;
            let mut shown = self.0.lock().unwrap();
            let of = shown.entry(answer.snapshot.unwrap()).or_default();
            *of = (of.0 + answer.items.len() as u64, of.1 + meant.div_ceil(2));
        }
    }
}

/// What the watch decides of a model that was trained on these events and is forced live.
fn watched(events: &[Event]) -> Decision {
    let (own, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = filled(own.path(), &log());
    let shown = Arc::new(Shown::default());
    engine.set_outcomes(Some(shown.clone()));
    let good = trained(&engine);
    engine.activate(good).unwrap();
    assert_eq!(engine.tend(at(39.0)).unwrap().decisions, []);
    shown.ask(&engine);

    let other = filled(elsewhere.path(), events);
    let bundle = elsewhere.path().join("bundle");
    other.export_snapshot(trained(&other), &bundle).unwrap();
    let forced = engine.import_snapshot(&bundle).unwrap();
    engine.activate(forced).unwrap();
    assert_eq!(engine.tend(at(40.0)).unwrap().decisions, [], "the watch begins");
    shown.ask(&engine);
    let mut decisions = engine.tend(at(40.5)).unwrap().decisions;
    decisions.extend(engine.tend(at(41.0)).unwrap().decisions);
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    let decision = decisions.remove(0);
    let (active, state) = match decision.kind {
        DecisionKind::RollBack => (good, SnapshotState::Rejected),
        _ => (forced, SnapshotState::Active),
    };
    assert_eq!((engine.active_snapshot(), engine.snapshot(forced).unwrap().state), (Some(active), state));
    assert_eq!(engine.decisions().unwrap(), std::slice::from_ref(&decision), "it is kept with its numbers");
    decision
}

#[test]
fn a_model_of_half_of_the_events_goes_back() {
    let half: Vec<Event> = log().into_iter().step_by(2).collect();
    let decision = watched(&half);
    assert_eq!((decision.kind, decision.time), (DecisionKind::RollBack, at(40.5)), "{decision:?}");
    assert!(!decision.checks[0].passed && decision.checks[0].value >= 20.0, "{decision:?}");
}

#[test]
fn a_model_that_is_a_month_old_goes_back() {
    let old: Vec<Event> = log().into_iter().filter(|event| event.time < Some(at(10.0))).collect();
    let decision = watched(&old);
    assert_eq!((decision.kind, decision.time), (DecisionKind::RollBack, at(40.5)), "{decision:?}");
    assert!(!decision.checks[0].passed && decision.checks[0].value >= 20.0, "{decision:?}");
}

#[test]
fn a_model_that_is_as_good_stays() {
    let decision = watched(&log());
    assert_eq!((decision.kind, decision.time), (DecisionKind::Keep, at(41.0)), "{decision:?}");
    assert!(decision.checks[0].passed, "it was judged by clicks: {decision:?}");
}
