//! A model that somebody forces live and that is worse than the one before goes back by what people take of what it shows: one
//! that was trained on half of the events, and one that is a month old, whether it comes from elsewhere or is an older one of one's own.
//! One that is as good stays. Whoever goes back on purpose does not see the bad one again. The clock is the test's, the answers are the engine's.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "support/random.rs"]
mod random;
#[path = "support/shown.rs"]
mod shown;

use std::path::Path;
use std::sync::Arc;

use random::Random;
use savor::{
    Config, Decision, DecisionKind, Engine, Event, JobState, SnapshotId, SnapshotState, Timestamp, TrainOptions,
};
use shown::Shown;

const GROUPS: usize = 30;
const GROUP: usize = 20;
const USERS: usize = 240;
const DAY: i64 = 86_400_000;
/// 2026-01-01.
const START: i64 = 1_767_225_600_000;

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

/// The first ten days.
fn month_old() -> Vec<Event> {
    log().into_iter().filter(|event| event.time < Some(at(10.0))).collect()
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

/// Whoever counts what this engine shows.
fn counted(engine: &Engine) -> Arc<Shown> {
    let shown = Arc::new(Shown::default());
    engine.set_outcomes(Some(shown.clone()));
    shown
}

/// Everybody asks; what is of their group today is for them.
fn ask(shown: &Shown, engine: &Engine, day: f64) {
    let is_for = |user: usize, item: &str| item.strip_prefix('i').unwrap().parse().map(group_of) == Ok(user % GROUPS);
    shown.ask(engine, USERS, at(day), is_for);
}

/// What the watch decides of a snapshot that is forced live on the fortieth day, after another one answered.
fn decided(engine: &Engine, shown: &Shown, forced: SnapshotId) -> Decision {
    let good = engine.active_snapshot().unwrap();
    ask(shown, engine, 39.0);
    engine.activate(forced).unwrap();
    assert_eq!(engine.tend(at(40.0)).unwrap().decisions, [], "the watch begins");
    ask(shown, engine, 40.0);
    let mut decisions = engine.tend(at(40.5)).unwrap().decisions;
    decisions.extend(engine.tend(at(41.0)).unwrap().decisions);
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    let decision = decisions.remove(0);
    let (active, state) = match decision.kind {
        DecisionKind::RollBack => (good, SnapshotState::Rejected),
        _ => (forced, SnapshotState::Active),
    };
    assert_eq!((engine.active_snapshot(), engine.snapshot(forced).unwrap().state), (Some(active), state));
    assert_eq!(engine.decisions().unwrap().first(), Some(&decision), "it is kept with its numbers");
    decision
}

/// What the watch decides of a model that was trained elsewhere on these events.
fn brought(events: &[Event]) -> Decision {
    let (own, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = filled(own.path(), &log());
    let shown = counted(&engine);
    engine.activate(trained(&engine)).unwrap();
    assert_eq!(engine.tend(at(39.0)).unwrap().decisions, []);
    let other = filled(elsewhere.path(), events);
    let bundle = elsewhere.path().join("bundle");
    other.export_snapshot(trained(&other), &bundle).unwrap();
    let forced = engine.import_snapshot(&bundle).unwrap();
    decided(&engine, &shown, forced)
}

/// An engine that has trained on these events, and then on all, whose model answers since the 38th day and has been kept; and the
/// first model.
fn turned_over(dir: &Path, events: &[Event]) -> (Engine, Arc<Shown>, SnapshotId) {
    let engine = filled(dir, events);
    let shown = counted(&engine);
    let old = trained(&engine);
    engine.activate(old).unwrap();
    assert_eq!(engine.tend(at(37.0)).unwrap().decisions, []);
    engine.append_events(&log()).unwrap();
    engine.activate(trained(&engine)).unwrap();
    assert_eq!(engine.tend(at(38.0)).unwrap().decisions, []);
    let decisions = engine.tend(at(39.0)).unwrap().decisions;
    assert_eq!(decisions.iter().map(|of| of.kind).collect::<Vec<_>>(), [DecisionKind::Keep]);
    (engine, shown, old)
}

fn is_watched(engine: &Engine) -> bool {
    engine.jobs().unwrap().iter().any(|job| job.kind == "watch" && job.state == JobState::Running)
}

fn assert_back(decision: &Decision) {
    assert_eq!((decision.kind, decision.time), (DecisionKind::RollBack, at(40.5)), "{decision:?}");
    assert!(!decision.checks[0].passed && decision.checks[0].value >= 20.0, "{decision:?}");
}

fn assert_kept(decision: &Decision) {
    assert_eq!((decision.kind, decision.time), (DecisionKind::Keep, at(41.0)), "{decision:?}");
    assert!(decision.checks[0].passed, "it was judged by clicks: {decision:?}");
}

#[test]
fn a_model_of_half_of_the_events_goes_back() {
    assert_back(&brought(&log().into_iter().step_by(2).collect::<Vec<_>>()));
}

#[test]
fn a_model_that_is_a_month_old_goes_back() {
    assert_back(&brought(&month_old()));
}

#[test]
fn a_model_that_is_as_good_stays() {
    assert_kept(&brought(&log()));
}

#[test]
fn an_older_model_of_ones_own_that_is_worse_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, shown, old) = turned_over(dir.path(), &month_old());
    assert_back(&decided(&engine, &shown, old));
    assert_eq!(engine.tend(at(41.5)).unwrap().decisions, []);
    assert!(!is_watched(&engine), "what has come back is not watched in its turn");
}

#[test]
fn an_older_model_of_ones_own_that_is_as_good_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, shown, old) = turned_over(dir.path(), &log());
    assert_kept(&decided(&engine, &shown, old));
}

#[test]
fn an_older_model_that_is_forced_while_the_newer_one_is_watched_goes_back_too() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path(), &month_old());
    let shown = counted(&engine);
    let old = trained(&engine);
    engine.activate(old).unwrap();
    engine.append_events(&log()).unwrap();
    assert_eq!(engine.tend(at(38.0)).unwrap().decisions, []);
    engine.activate(trained(&engine)).unwrap();
    assert_eq!(engine.tend(at(38.5)).unwrap().decisions, [], "it is watched until 39.5");
    assert_back(&decided(&engine, &shown, old));
}

#[test]
fn a_bad_model_does_not_come_back_to_who_has_gone_back_to_the_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, shown, old) = turned_over(dir.path(), &log());
    let bad = engine.active_snapshot().unwrap();
    // Days earlier at these hours the older one still answered, and people took more of everything.
    shown.note(at(39.1), old, 10_000, 5_000);
    // The bad one answered for some hours.
    shown.note(at(39.8), bad, 5_000, 500);
    engine.activate(old).unwrap();
    assert_eq!(engine.tend(at(40.0)).unwrap().decisions, []);
    shown.note(at(40.1), old, 5_000, 1_500);
    assert!(is_watched(&engine));
    assert_eq!(engine.tend(at(40.5)).unwrap().decisions, [], "nothing that was measured of the bad one is better");
    let decisions = engine.tend(at(41.0)).unwrap().decisions;
    assert_eq!(decisions.iter().map(|of| of.kind).collect::<Vec<_>>(), [DecisionKind::Keep]);
    assert!(decisions[0].checks[0].passed && decisions[0].reason.contains("0.3000 of 5000"), "{decisions:?}");
    assert_eq!(engine.active_snapshot(), Some(old));
}

#[test]
fn what_is_rolled_back_by_hand_stays_away_whatever_people_took_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, shown, old) = turned_over(dir.path(), &log());
    shown.note(at(39.1), engine.active_snapshot().unwrap(), 5_000, 2_500);
    assert_eq!(engine.rollback().unwrap(), old);
    for look in [40.0, 40.5, 41.0] {
        shown.note(at(look), old, 5_000, 500);
        assert_eq!(engine.tend(at(look)).unwrap().decisions, []);
        assert!(!is_watched(&engine));
    }
    assert_eq!(engine.active_snapshot(), Some(old));
}

#[test]
fn who_takes_back_an_older_model_is_where_he_was() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _, old) = turned_over(dir.path(), &month_old());
    let good = engine.active_snapshot().unwrap();
    engine.activate(old).unwrap();
    assert_eq!(engine.tend(at(40.0)).unwrap().decisions, []);
    assert!(is_watched(&engine));
    engine.activate(good).unwrap();
    assert_eq!(engine.tend(at(40.1)).unwrap().decisions, []);
    assert!(!is_watched(&engine));
}
