//! What is known of a user can be had whole, and goes whole: from every answer at once, from every file by a purge.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use savor::{
    Config, Engine, Event, ExperimentDesign, Query, Ranker, RankerQuestion, Result, Span, Timestamp, TrainOptions, User,
};
use support::{config, item, time, world};

/// Texts that nothing else holds, and that no compression takes apart: what stands before each differs.
const ID: &str = "Vq7ZkP3xW9RtB2mNs5";
const TOWN: &str = "Lw4HyT8cJ6uQe1GfXa";
const SESSION: &str = "Zb9DnK2vR7oMi3YpCs";
const CONTEXT: &str = "Ux5AgF1jS8hLt6EqWd";
const EVENT: &str = "Ok3NrB7zP2yVm9JcHe";
const VISITOR: &str = "Gi8SxQ4wT1lDk5RuFa";
const ALL: [&str; 6] = [ID, TOWN, SESSION, CONTEXT, EVENT, VISITOR];

/// The files under a folder that hold a text.
fn holding(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path);
        }
    }
    found
}

fn user(town: &str) -> User {
    let mut user = User::new(ID);
    user.attributes.insert("town".into(), town.into());
    user
}

/// Events with all that an event may say.
fn events() -> Vec<Event> {
    (0..30)
        .map(|n| {
            let mut event =
                Event::new(ID, item(1, n % 20), if n % 3 == 0 { "buy" } else { "click" }).at(time(900 + n as i64));
            event.session = Some(SESSION.into());
            event.id = Some(format!("{EVENT}{n}"));
            event.dwell_ms = Some(1_234);
            event.value = Some(2.5);
            event.context.insert("where".into(), CONTEXT.into());
            event
        })
        .collect()
}

/// All that is written to the log, whatever its level.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A world with a snapshot that answers, and somebody in it of whom there is something everywhere.
fn lived_in(dir: &Path) -> Engine {
    let mut config = config();
    config.snapshot.keep = 5;
    // As where writes are taken along into backups.
    config.store.log_retention = Span::days(1);
    let engine = Engine::open(dir, config).unwrap();
    engine.put_items(&support::items()).unwrap();
    engine.append_events(&support::events()).unwrap();
    engine.keep_exposures().unwrap();
    engine.put_users(&[user(TOWN)]).unwrap();
    engine.append_events(&events()).unwrap();
    let mut visit = Event::new(VISITOR, item(1, 3), "click").at(time(990));
    visit.context.insert("where".into(), CONTEXT.into());
    engine.append_events(&[visit]).unwrap();
    let design: ExperimentDesign =
        serde_json::from_str(r#"{"variants":[{"name":"A"},{"name":"B","query":{"limit":4}}]}"#).unwrap();
    engine.put_experiment("trial", &design).unwrap();
    engine.start_experiment("trial").unwrap();
    for _ in 0..2 {
        let snapshot = engine.train(&TrainOptions::default()).unwrap();
        engine.activate(snapshot).unwrap();
    }
    for (place, who) in [ID, VISITOR].into_iter().enumerate() {
        let answer = engine.recommend(&Query::for_user(who).limit(5)).unwrap();
        engine.next_page(&answer.recommendation_id, None).unwrap();
        let mut outcome = Event::new(who, &answer.items[0].item, "click").at(time(2_000 + place as i64));
        outcome.recommendation_id = Some(answer.recommendation_id);
        outcome.position = Some(0);
        engine.append_events(&[outcome]).unwrap();
    }
    engine.flush_exposures();
    engine.merge_users(ID, VISITOR).unwrap();
    engine
}

#[test]
fn nothing_of_a_deleted_user_is_in_any_file_after_a_purge() {
    let logged = Logged::default();
    let writer = logged.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    tracing::subscriber::set_global_default(log.finish()).unwrap();
    let parent = tempfile::tempdir().unwrap();
    let (data, before, after) = (parent.path().join("data"), parent.path().join("before"), parent.path().join("after"));
    let engine = lived_in(&data);
    let snapshot = engine.active_snapshot().unwrap();
    engine.backup(&before).unwrap();
    for text in [ID, TOWN, SESSION, CONTEXT, EVENT] {
        assert!(!holding(&data, text).is_empty() && !holding(&before, text).is_empty(), "{text} is looked for in vain");
    }
    let old = parent.path().join("old.bundle");
    engine.export_snapshot(snapshot, &old).unwrap();
    assert!(!holding(parent.path(), ID).iter().all(|path| *path != old), "bundles hold the ids of users");
    std::fs::remove_file(old).unwrap();

    assert!(engine.delete_user(ID).unwrap());
    assert!(!engine.delete_user(ID).unwrap() && !engine.delete_user(VISITOR).unwrap());
    assert!(engine.user(ID).unwrap().is_none() && engine.user_exposures(ID, 9).unwrap().is_empty());
    assert_eq!(engine.export_user(ID, true).unwrap_err().code(), "not_found");
    assert!(engine.stats().unwrap().purge_pending.is_some_and(|pending| pending.deletions > 0));
    let finding = |engine: &Engine| engine.check().unwrap().into_iter().find(|of| of.check == "deletions").unwrap();
    assert!(finding(&engine).ok && finding(&engine).detail.contains("savor purge"), "{:?}", finding(&engine));

    let purged = engine.purge().unwrap();
    assert!(purged.deletions > 0 && purged.waits_for.is_none(), "{purged:?}");
    assert_eq!((engine.pending_purge().unwrap(), engine.purge().unwrap().deletions), (None, 0));
    let bundle = parent.path().join("new.bundle");
    engine.export_snapshot(snapshot, &bundle).unwrap();
    engine.backup(&after).unwrap();
    let second = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(second).unwrap();
    for place in 0..2 {
        for text in ALL {
            assert_eq!(holding(&data, text), Vec::<PathBuf>::new(), "{text}, {place}");
            assert_eq!(holding(&after, text), Vec::<PathBuf>::new(), "{text}");
            assert!(!std::fs::read(&bundle).unwrap().windows(text.len()).any(|part| part == text.as_bytes()), "{text}");
        }
        if place == 0 {
            assert!(engine.verify().unwrap().iter().all(|finding| finding.ok), "{:?}", engine.verify().unwrap());
            engine.flush_exposures();
        }
    }
    drop(engine);
    let engine = Engine::open(&data, config()).unwrap();
    assert!(engine.check().unwrap().iter().all(|finding| finding.ok));
    drop(engine);
    for text in ALL {
        assert_eq!(holding(&data, text), Vec::<PathBuf>::new(), "{text}, after a reopening");
        let log = logged.0.lock().unwrap();
        assert!(!log.windows(text.len()).any(|part| part == text.as_bytes()), "{text} is in the log");
    }
    assert!(!logged.0.lock().unwrap().is_empty());
    // A backup of before is another file: it goes when its last generation goes.
    assert!(!holding(&before, ID).is_empty());
}

#[test]
fn a_purge_waits_for_those_who_still_read_what_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let mut first = true;
    engine
        .for_each_event(&mut |_| {
            if std::mem::take(&mut first) {
                engine.delete_user("u1").unwrap();
                let purged = engine.purge().unwrap();
                assert!(purged.waits_for.is_some_and(|what| what.contains("export")) && purged.deletions == 0);
                assert!(engine.pending_purge().unwrap().is_some());
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(engine.purge().unwrap().deletions, 1);
}

#[test]
fn a_deletion_is_purged_within_its_bound_also_when_the_process_ended_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    engine.delete_user("u1").unwrap();
    let since = engine.pending_purge().unwrap().unwrap().since;
    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    let later = |hours: i64| Timestamp::from_millis(since.millis() + hours * 3_600_000).unwrap();
    engine.keep_house(later(23)).unwrap();
    assert!(engine.pending_purge().unwrap().is_some());
    engine.keep_house(later(24)).unwrap();
    assert_eq!(engine.pending_purge().unwrap(), None);
}

/// Lets a question wait at its end.
struct Slow {
    begun: SyncSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Ranker for Slow {
    fn score(&self, question: &RankerQuestion<'_>) -> Result<Vec<f32>> {
        self.begun.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        Ok(vec![0.0; question.items.len()])
    }
}

/// Asks for `u1`, does something while the question is in flight, and tells the answer's name.
fn while_asked(engine: &Engine, done: impl FnOnce()) -> String {
    let ((begun, has_begun), (go, go_on)) = (sync_channel(1), sync_channel(1));
    engine.set_ranker(Some(Arc::new(Slow { begun, go_on: Mutex::new(go_on) })));
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| engine.recommend(&Query::for_user("u1").limit(5)).unwrap());
        has_begun.recv().unwrap();
        done();
        go.send(()).unwrap();
        asking.join().unwrap()
    });
    engine.set_ranker(None);
    answer.recommendation_id
}

fn asked_world(dir: &Path) -> Engine {
    let engine = world(dir);
    let snapshot = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(snapshot).unwrap();
    engine.keep_exposures().unwrap();
    engine
}

#[test]
fn a_question_in_flight_leaves_nothing_of_a_user_who_is_deleted_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let engine = asked_world(dir.path());
    let kept = while_asked(&engine, || {});
    assert_eq!(engine.exposure(&kept).unwrap().unwrap().user.as_deref(), Some("u1"));
    let answer = while_asked(&engine, || assert!(engine.delete_user("u1").unwrap()));
    assert_eq!(engine.exposure(&answer).unwrap(), None);
    assert_eq!(engine.exposure(&kept).unwrap(), None);
    assert!(engine.user_exposures("u1", 9).unwrap().is_empty());
    assert_eq!(engine.next_page(&answer, None).unwrap_err().code(), "not_found");
    // Who comes back is somebody new.
    let new = engine.recommend(&Query::for_user("u1")).unwrap();
    assert!(engine.exposure(&new.recommendation_id).unwrap().is_some());
    assert!(engine.delete_user("u1").unwrap(), "also of a visitor who was only shown something");
    assert!(engine.user_exposures("u1", 9).unwrap().is_empty());
}

#[test]
fn a_question_in_flight_belongs_to_whom_its_visitor_turns_out_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let engine = asked_world(dir.path());
    let answer = while_asked(&engine, || assert!(engine.merge_users("u2", "u1").is_ok()));
    assert_eq!(engine.exposure(&answer).unwrap().unwrap().user.as_deref(), Some("u2"));
    assert!(engine.user_exposures("u1", 9).unwrap().is_empty());
}

#[test]
fn a_visitor_who_was_only_shown_something_can_be_merged_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let engine = asked_world(dir.path());
    let answer = engine.recommend(&Query::for_user("visitor")).unwrap().recommendation_id;
    let export = engine.export_user("visitor", false).unwrap();
    assert_eq!((export.profile, export.exposures.len()), (None, 1));
    let merged = engine.merge_users("u2", "visitor").unwrap();
    assert_eq!((merged.moved, merged.attributes), (0, 0));
    assert_eq!(engine.exposure(&answer).unwrap().unwrap().user.as_deref(), Some("u2"));
    assert_eq!(engine.merge_users("u2", "visitor").unwrap_err().code(), "not_found");
}

#[test]
fn an_export_has_all_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let engine = lived_in(dir.path());
    let mut odd = Event::new(ID, "gone-item", "Cj7kind").at(time(3_000));
    odd.value = Some(17.25);
    engine.append_events(&[odd]).unwrap();
    engine.delete_item("gone-item").unwrap();
    let export = engine.export_user(ID, true).unwrap();
    assert_eq!(export.profile.as_ref().unwrap().attributes["town"], savor::Value::from(TOWN));
    // Thirty of the user's own, the visitor's, two outcomes, and the odd one.
    assert_eq!(export.events.len(), 34);
    let outcomes: Vec<_> = export.events.iter().filter_map(|event| event.recommendation_id.as_ref()).collect();
    assert_eq!((outcomes.len(), export.exposures.len()), (2, 4), "two answers with two pages each");
    assert!(outcomes.iter().all(|name| export.exposures.iter().any(|of| of.recommendation_id == **name)));
    assert_eq!(export.experiments.len(), 1);
    assert_eq!(export.vectors.len(), 2);
    let clicks = export.counters.iter().find(|counter| counter.kind == "click").unwrap();
    assert_eq!((clicks.events, clicks.dwell_ms), (23, 20 * 1_234));
    let text = serde_json::to_string(&export).unwrap();
    for text_of in [ID, TOWN, SESSION, CONTEXT, EVENT, "Cj7kind", "17.25", "trial", "\"#80\""] {
        assert!(text.contains(text_of), "{text_of} is missing");
    }
    assert!(!text.contains(VISITOR), "merged");
    assert!(engine.export_user(ID, false).unwrap().vectors.is_empty());
}

#[test]
fn events_go_when_their_type_has_been_kept_long_enough() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.retention.events.insert("click".into(), Span::seconds(300));
    config.retention.every = Span::seconds(60);
    let engine = Engine::open(dir.path(), config.clone()).unwrap();
    engine.append_events(&support::events()).unwrap();
    let buys: Vec<Event> =
        (0..50).map(|n| Event::new(format!("u{n}"), item(0, n % 20), "buy").at(time(n as i64))).collect();
    engine.append_events(&buys).unwrap();
    let snapshot = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(snapshot).unwrap();
    // Eight hundred clicks, one each second; as of second 800 those before second 500 are too old.
    engine.keep_house(time(800)).unwrap();
    let stats = engine.stats().unwrap();
    assert_eq!((stats.events, stats.events_since_snapshot), (350, 0));
    let mut kinds = std::collections::BTreeMap::new();
    let mut count = |event: &Event| {
        assert!(event.kind == "buy" || event.time.unwrap() >= time(500));
        *kinds.entry(event.kind.clone()).or_insert(0) += 1;
        Ok(())
    };
    engine.for_each_event(&mut count).unwrap();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [("buy".to_owned(), 50), ("click".to_owned(), 300)]);
    assert!(
        engine
            .user_events("u0", 99)
            .unwrap()
            .iter()
            .all(|event| event.kind == "buy" || event.time.unwrap() >= time(500))
    );
    // What came in since the snapshot is counted, whatever went.
    engine.append_events(&[Event::new("u0", item(0, 0), "click").at(time(801))]).unwrap();
    engine.keep_house(time(820)).unwrap();
    assert_eq!(engine.stats().unwrap().events, 351, "it is looked for once a minute");
    engine.keep_house(time(860)).unwrap();
    let stats = engine.stats().unwrap();
    assert_eq!((stats.events, stats.events_since_snapshot), (291, 1));
    assert!(engine.verify().unwrap().iter().all(|finding| finding.ok), "{:?}", engine.verify().unwrap());
    // The next training is as if they had never been, and the snapshot of before still answers.
    assert!(engine.recommend(&Query::for_user("u1")).unwrap().snapshot == Some(snapshot));
    let next = engine.train(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap();
    assert_eq!(engine.snapshot(next).unwrap().events, 291);
    engine.activate(next).unwrap();
    drop(engine);
    let engine = Engine::open(dir.path(), config).unwrap();
    assert!(engine.verify().unwrap().iter().all(|finding| finding.ok));
    assert_eq!(engine.expire_events(time(860)).unwrap().events, 0);
}

#[test]
fn nothing_is_too_old_unless_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let events = engine.stats().unwrap().events;
    assert_eq!(engine.expire_events(Timestamp::now()).unwrap().events, 0);
    assert_eq!(engine.stats().unwrap().events, events);
    assert!(Config::from_toml("[retention.events]\nview = \"0s\"\n").is_err());
}
