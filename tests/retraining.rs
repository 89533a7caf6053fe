//! The loop without a hand: drift is seen and answered, bad snapshots do not come to answer or do not stay. The clock is the test's.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, reason = "the world of other tests")]

#[path = "support/shown.rs"]
mod shown;
mod support;

use std::sync::Arc;

use savor::{
    Config, DecisionKind, Engine, Error, Event, Gate, JobState, ModelKind, Query, Silent, SnapshotId, SnapshotState,
    Tended, Timestamp, TrainConfig, TrainOptions,
};
use shown::Shown;
use support::{GROUP, GROUPS, Random, START, item, items};

const USERS: usize = 120;
const DAY: i64 = 86_400_000;

fn config() -> Config {
    let mut config = Config::from_toml(
        "[train]\nmodel = \"ials\"\ndimension = 8\nepochs = 6\nunobserved_weight = 0.1\nregularization = 0.01\n\
         [store]\ndurability = \"async\"\n[evaluate]\nbootstrap = 20\n\
         [monitor]\nevery = \"1h\"\nmin_events = 200\nlooks = 2\n\
         [retrain]\nenabled = true\npause = \"1h\"\nwatch = \"1d\"\n",
    )
    .unwrap();
    config.retrain.every = None;
    config
}

fn at(day: f64) -> Timestamp {
    Timestamp::from_millis(START + (day * DAY as f64) as i64).unwrap()
}

/// A day's events, 240 of them: users like the items of one group, most of them in one half of it; which, `taste` turns.
fn day(day: usize, taste: usize, name: impl Fn(usize, usize) -> String) -> Vec<Event> {
    let mut random = Random(day as u64 * 31 + 7);
    (0..240)
        .map(|number| {
            let user = random.below(USERS);
            let group = if random.below(10) == 0 { random.below(GROUPS) } else { (user + taste) % GROUPS };
            let place = if random.below(5) == 0 { random.below(GROUP) } else { random.below(10) + 10 * (taste % 2) };
            let time = at(day as f64 + number as f64 / 240.0);
            Event::new(format!("u{user}"), name(group, place), "click").at(time)
        })
        .collect()
}

fn filled(dir: &std::path::Path, days: impl Iterator<Item = usize>, name: impl Fn(usize, usize) -> String) -> Engine {
    filled_with(dir, config(), days, name)
}

fn filled_with(
    dir: &std::path::Path,
    config: Config,
    days: impl Iterator<Item = usize>,
    name: impl Fn(usize, usize) -> String,
) -> Engine {
    let engine = Engine::open(dir, config).unwrap();
    engine.put_items(&items()).unwrap();
    for number in days {
        engine.append_events(&day(number, 0, &name)).unwrap();
    }
    engine
}

fn trained(engine: &Engine) -> SnapshotId {
    let id = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(id).unwrap();
    id
}

/// A look, and what it began until it has ended.
fn tend(engine: &Engine, now: Timestamp) -> Tended {
    let tended = engine.tend(now).unwrap();
    if let Some(job) = engine.jobs().unwrap().into_iter().find(|job| job.kind == "retrain") {
        assert_ne!(engine.wait_for_job(job.id).unwrap().state, JobState::Failed, "{:?}", engine.job(job.id));
    }
    tended
}

fn kinds(tended: &Tended) -> Vec<DecisionKind> {
    tended.decisions.iter().map(|decision| decision.kind).collect()
}

/// Everybody asks, and is meant by what is of the group that they like.
fn ask(shown: &Shown, engine: &Engine, day: f64) {
    shown.ask(engine, USERS, at(day), |user, item| item.starts_with(&format!("g{}-", user % GROUPS)));
}

#[test]
fn harder_events_alone_do_not_keep_a_snapshot_out() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path(), 0..14, item);
    let old = trained(&engine);
    // Everybody likes other things: what comes is foretold worse by whoever has seen the past.
    for number in 14..20 {
        engine.append_events(&day(number, 1, item)).unwrap();
    }
    let new = engine.train(&TrainOptions::default()).unwrap();
    let ndcg = |id| engine.snapshot(id).unwrap().metric("ndcg@10").unwrap();
    assert!(ndcg(new) < ndcg(old) - 0.01, "{} for {}", ndcg(new), ndcg(old));
    engine.activate_if(new, &Gate::no_worse("ndcg@10", 0.01)).unwrap();
    assert_eq!(engine.active_snapshot(), Some(new));
    // One that knows nobody stays out, whether or not anything has come since.
    let popular = TrainConfig { model: ModelKind::Popularity, ..engine.config().train.clone() };
    let popular = TrainOptions { train: Some(popular), ..TrainOptions::default() };
    for number in 20..22 {
        let refused = engine.activate_if(engine.train(&popular).unwrap(), &Gate::no_worse("ndcg@10", 0.01));
        assert!(matches!(refused, Err(Error::GateFailed { .. })), "{refused:?}");
        engine.append_events(&day(number, 1, item)).unwrap();
    }
    assert_eq!(engine.active_snapshot(), Some(new));
}

#[test]
fn what_answers_led_to_does_not_speak_for_the_snapshot_that_gave_them() {
    let offline = |names: bool| {
        let dir = tempfile::tempdir().unwrap();
        let engine = filled(dir.path(), 0..14, item);
        trained(&engine);
        // Everybody looks for other things by now, and takes what stands first in answers, as nothing else is there.
        for number in 14..20 {
            engine.append_events(&day(number, 1, item)).unwrap();
            for user in 0..USERS {
                let name = format!("u{user}");
                let answer = engine.recommend(&Query::for_user(&name).limit(2)).unwrap();
                let taken = answer.items.iter().map(|shown| {
                    let mut event = Event::new(&name, &shown.item, "click").at(at(number as f64 + 0.999));
                    event.recommendation_id = names.then(|| answer.recommendation_id.clone());
                    event
                });
                engine.append_events(&taken.collect::<Vec<_>>()).unwrap();
            }
        }
        let new = engine.train(&TrainOptions::default()).unwrap();
        let checks = engine.prove(new, &Silent).unwrap();
        checks.into_iter().find(|check| check.name == "offline ndcg@10").unwrap()
    };
    let (led, unled) = (offline(true), offline(false));
    assert!(led.detail.contains("what answers led to is left out"), "{led:?}");
    assert!(led.passed && led.value > led.limit + 0.1, "{led:?}");
    assert!(
        !unled.detail.contains("left out") && unled.value - unled.limit < led.value - led.limit,
        "{unled:?}, {led:?}"
    );
}

#[test]
fn drift_is_seen_and_answered_by_a_new_snapshot_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path(), 0..14, item);
    let old = trained(&engine);
    // The same tastes for three days: nothing happens.
    for number in 14..17 {
        engine.append_events(&day(number, 0, item)).unwrap();
        let tended = tend(&engine, at(number as f64 + 1.0));
        assert_eq!(kinds(&tended), [], "{:?}", tended.alerts);
    }
    // Then everybody likes other things.
    let mut decided = Vec::new();
    let mut raised = Vec::new();
    for number in 17..28 {
        engine.append_events(&day(number, 1, item)).unwrap();
        let tended = tend(&engine, at(number as f64 + 1.0));
        raised.extend(tended.alerts.iter().filter(|alert| alert.raised).map(|alert| alert.name.clone()));
        decided.extend(kinds(&tended));
        if engine.active_snapshot() != Some(old) {
            break;
        }
    }
    let is_seen = |name: &String| ["score.", "vector.", "popularity "].iter().any(|of| name.starts_with(of));
    assert!(raised.iter().any(is_seen), "{raised:?}");
    assert!(decided.iter().all(|kind| *kind == DecisionKind::Train) && !decided.is_empty(), "{decided:?}");
    let new = engine.active_snapshot().unwrap();
    assert!(new > old, "{:?}", engine.decisions());
    let swap = engine.decisions().unwrap().into_iter().find(|decision| decision.kind == DecisionKind::Swap).unwrap();
    assert_eq!(swap.snapshot, Some(new));
    let names: Vec<&str> = swap.checks.iter().map(|check| check.name.as_str()).collect();
    let expected = ["index recall", "events", "newest event", "offline ndcg@10", "sound", "search time", "top lists"];
    assert_eq!(names, expected);
    // Nobody knows of clicks: it stays when the watch is over.
    let watch = engine.jobs().unwrap().into_iter().find(|job| job.kind == "watch").unwrap();
    let until = watch.watch.unwrap().until;
    assert_eq!(kinds(&engine.tend(until).unwrap()), [DecisionKind::Swap, DecisionKind::Keep]);
    assert_eq!(engine.active_snapshot(), Some(new));
    assert_eq!(engine.snapshot(old).unwrap().state, SnapshotState::Retired);
}

/// A snapshot that was made elsewhere, of other events.
fn brought(engine: &Engine, other: &Engine) -> SnapshotId {
    let id = other.train(&TrainOptions::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bundle");
    other.export_snapshot(id, &bundle).unwrap();
    engine.import_snapshot(&bundle).unwrap()
}

#[test]
fn planted_bad_snapshots_do_not_pass_and_are_rolled_back_when_forced() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(&dir.path().join("own"), 0..40, item);
    let shown = Arc::new(Shown::default());
    engine.set_outcomes(Some(shown.clone()));
    let good = trained(&engine);
    assert_eq!(kinds(&engine.tend(at(40.0)).unwrap()), []);
    // Items have each other's factors.
    let other = |group: usize, place: usize| (37 * (group * GROUP + place) + 11) % (GROUPS * GROUP);
    let shuffled = filled(&dir.path().join("shuffled"), 0..40, |group, place| {
        item(other(group, place) / GROUP, other(group, place) % GROUP)
    });
    // Every second event is lost.
    let halved = Engine::open(dir.path().join("halved"), config()).unwrap();
    halved.put_items(&items()).unwrap();
    for number in 0..40 {
        let events: Vec<Event> = day(number, 0, item).into_iter().step_by(2).collect();
        halved.append_events(&events).unwrap();
    }
    let stale = filled(&dir.path().join("stale"), 0..10, item);
    for (name, other, failed) in
        [("shuffled", &shuffled, "offline ndcg@10"), ("halved", &halved, "events"), ("stale", &stale, "newest event")]
    {
        let bad = brought(&engine, other);
        let decision = engine.admit(bad, at(40.0), &Silent).unwrap();
        assert_eq!(decision.kind, DecisionKind::Reject, "{name}: {decision:?}");
        assert!(decision.checks.iter().any(|check| check.name == failed && !check.passed), "{name}: {decision:?}");
        assert_eq!(
            (engine.active_snapshot(), engine.snapshot(bad).unwrap().state),
            (Some(good), SnapshotState::Rejected)
        );
    }
    // Somebody forces the worst of them.
    (0..20).for_each(|time| ask(&shown, &engine, 39.1 + f64::from(time) / 25.0));
    let bad = brought(&engine, &shuffled);
    engine.activate(bad).unwrap();
    assert_eq!(kinds(&engine.tend(at(40.1)).unwrap()), []);
    let mut decided = Vec::new();
    for look in 2..10 {
        ask(&shown, &engine, 40.05 + f64::from(look - 1) / 10.0);
        decided.extend(kinds(&engine.tend(at(40.0 + f64::from(look) / 10.0)).unwrap()));
    }
    assert_eq!(decided, [DecisionKind::RollBack]);
    assert_eq!((engine.active_snapshot(), engine.snapshot(bad).unwrap().state), (Some(good), SnapshotState::Rejected));
}

#[test]
fn a_canary_answers_its_share_and_everybody_once_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.retrain.canary = 0.3;
    config.retrain.on_drift = false;
    let engine = filled_with(dir.path(), config, 0..14, item);
    let old = trained(&engine);
    for number in 14..18 {
        engine.append_events(&day(number, 0, item)).unwrap();
    }
    let new = engine.train(&TrainOptions::default()).unwrap();
    assert_eq!(engine.admit(new, at(18.0), &Silent).unwrap().kind, DecisionKind::Canary);
    let by = |engine: &Engine| -> Vec<SnapshotId> {
        let ask = |user| engine.recommend(&Query::for_user(format!("u{user}"))).unwrap().snapshot.unwrap();
        (0..USERS).map(ask).collect()
    };
    let first = by(&engine);
    let share = first.iter().filter(|id| **id == new).count();
    assert!((USERS / 6..USERS / 2).contains(&share), "{share}");
    assert_eq!(first, by(&engine), "a user is answered by the same snapshot each time");
    assert_eq!(engine.active_snapshot(), Some(old));
    // New events count in both.
    engine.append_events(&[Event::new("u0", item(0, 3), "click").at(at(18.0))]).unwrap();
    by(&engine);
    assert_eq!(kinds(&engine.tend(at(18.5)).unwrap()), []);
    let tended = engine.tend(at(19.5)).unwrap();
    assert_eq!(kinds(&tended), [DecisionKind::Keep], "{:?}", tended.alerts);
    assert!(by(&engine).iter().all(|id| *id == new));
}

#[test]
fn a_known_item_follows_its_new_audience() {
    let score = |refresh_after: usize| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config();
        config.recommend.refresh_after = refresh_after;
        let engine = filled_with(dir.path(), config, 0..14, item);
        trained(&engine);
        // Users of the second group take an item of the first.
        let taken: Vec<Event> =
            (0..25).map(|user| Event::new(format!("u{}", 4 * user + 1), item(0, 2), "click").at(at(14.5))).collect();
        engine.append_events(&taken).unwrap();
        let items = vec![item(0, 2), item(0, 3)];
        let query = savor::RankQuery { user: Some("u117".into()), ..savor::RankQuery::new(items) };
        let answer = engine.rank(&query).unwrap();
        answer.items.iter().find(|ranked| ranked.item == item(0, 2)).unwrap().score
    };
    let (waits, follows) = (score(0), score(5));
    assert!(follows > waits + 0.1, "{follows} {waits}");
}

#[test]
fn what_was_rejected_is_not_tried_again_on_the_same_events() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    (config.retrain.events, config.retrain.on_drift) = (100, false);
    let engine = filled_with(dir.path(), config, 0..14, item);
    trained(&engine);
    // So few are left that no snapshot of them passes.
    for user in 0..USERS * 9 / 10 {
        engine.delete_user(&format!("u{user}")).unwrap();
    }
    let began = |hours: f64| kinds(&tend(&engine, at(15.0 + hours / 24.0)));
    engine.append_events(&day(14, 0, item)).unwrap();
    assert_eq!(began(0.0), [DecisionKind::Train]);
    let last = engine.decisions().unwrap().remove(0);
    assert_eq!(last.kind, DecisionKind::Reject, "{last:?}");
    assert_eq!((began(2.0), began(24.0)), (vec![DecisionKind::Reject], vec![]));
    engine.append_events(&day(15, 0, item)).unwrap();
    assert_eq!(began(48.0), [DecisionKind::Train]);
}
