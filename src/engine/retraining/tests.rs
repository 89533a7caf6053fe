use super::super::jobs::WATCH;
use super::*;
use crate::config::Config;

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
