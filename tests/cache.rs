//! Answers that are kept: never other than one made anew, whatever was written between two questions.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use savor::{Engine, Event, ExcludeSeen, Filter, Item, Query, Scenario, SeenPolicy, TrainOptions, User};
use serde_json::json;
use support::{GROUP, GROUPS, Random, USERS, config, events, item, items, time, world};

/// An engine that keeps answers, or one that never does; otherwise the same.
fn engine(dir: &std::path::Path, cache_mib: usize) -> Engine {
    let mut config = config();
    config.recommend.cache_mib = cache_mib;
    let engine = Engine::open(dir, config).unwrap();
    engine.put_items(&items()).unwrap();
    engine.append_events(&events()).unwrap();
    engine
}

fn train(engine: &Engine) {
    // Without a ranker, whose answers are not kept.
    let options = TrainOptions { ranker: false, measure: false, ..TrainOptions::default() };
    let snapshot = engine.train(&options).unwrap();
    engine.activate(snapshot).unwrap();
}

/// One of the writes that may change an answer.
fn write(engine: &Engine, what: usize, random: &mut Random) {
    let user = |random: &mut Random| format!("u{}", random.below(USERS / 8));
    let some = |random: &mut Random| item(random.below(GROUPS), random.below(GROUP + 2));
    match what {
        0..6 => {
            let event = Event::new(user(random), some(random), "click").at(time(10_000 + random.below(10_000) as i64));
            engine.append_events(&[event]).unwrap();
        }
        6 | 7 => {
            let mut changed = Item::new(some(random));
            changed.hidden = random.below(2) == 0;
            changed.categories = vec![format!("group{}", random.below(GROUPS))];
            engine.put_items(&[changed]).unwrap();
        }
        8 => drop(engine.delete_item(&some(random)).unwrap()),
        9 => {
            let mut changed = User::new(user(random));
            changed.attributes.insert("age".into(), (random.below(90) as f64).into());
            engine.put_users(&[changed]).unwrap();
        }
        10 => {
            let (into, from) = (user(random), user(random));
            // Refused alike by both engines where one is unknown or both are the same.
            let _ = engine.merge_users(&into, &from);
        }
        11 => drop(engine.delete_user(&user(random)).unwrap()),
        12 => train(engine),
        _ => drop(engine.rollback()),
    }
}

fn questions(random: &mut Random) -> Query {
    let query = Query::for_user(format!("u{}", random.below(USERS / 8))).limit(3 + random.below(4));
    match random.below(4) {
        0 => query.filter(Filter::category(format!("group{}", random.below(GROUPS)))),
        1 => Query { exclude_seen: ExcludeSeen::All(false), ..query },
        2 => Query { exclude_items: vec![item(0, random.below(3))], ..query },
        _ => query,
    }
}

#[test]
fn a_kept_answer_is_what_a_new_one_would_be_whatever_is_written() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (keeping, forgetting) = (engine(dirs[0].path(), 8), engine(dirs[1].path(), 0));
    train(&keeping);
    train(&forgetting);
    let mut random = Random(31);
    for step in 0..400 {
        let (what, seed) = (if step % 60 == 59 { 12 + random.below(2) } else { random.below(12) }, random.0);
        write(&keeping, what, &mut Random(seed));
        write(&forgetting, what, &mut Random(seed));
        random.below(2);
        for _ in 0..12 {
            let query = questions(&mut random);
            let anew = forgetting.recommend(&query).unwrap();
            for _ in 0..2 {
                let given = keeping.recommend(&query).unwrap();
                assert_eq!(
                    (given.items, given.degraded),
                    (anew.items.clone(), anew.degraded),
                    "step {step}: {query:?}"
                );
            }
        }
    }
    let (kept, never) = (keeping.stats().unwrap(), forgetting.stats().unwrap());
    assert!(kept.cache_hits > 2_000 && kept.cache_misses > 400, "{} of {}", kept.cache_hits, kept.cache_misses);
    assert_eq!((never.cache_hits, never.cache_misses), (0, 0));
}

#[test]
fn what_was_acknowledged_is_in_the_next_answer_while_others_write_and_ask() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    train(&engine);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    (0..8).for_each(|user| drop(engine.recommend(&Query::for_user(format!("u{user}"))).unwrap()));
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    let mut random = Random(writer);
                    for turn in 0..150 {
                        let name = format!("u{}", 2 * random.below(4) + writer as usize);
                        let seen = engine.recommend(&Query::for_user(&name)).unwrap().items.swap_remove(0).item;
                        let event = Event::new(&name, &seen, "click").at(time(20_000 + turn));
                        engine.append_events(&[event]).unwrap();
                        let next = engine.recommend(&Query::for_user(&name)).unwrap();
                        assert!(next.items.iter().all(|item| item.item != seen), "{name} was shown {seen} again");
                    }
                })
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|writer| writer.unwrap());
    });
}

#[test]
fn answers_that_time_changes_or_that_are_explained_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let user = || Query::for_user("u1");
    let hits = |query: Query| {
        let before = engine.stats().unwrap().cache_hits;
        (0..3).for_each(|_| drop(engine.recommend(&query).unwrap()));
        engine.stats().unwrap().cache_hits - before
    };
    assert_eq!(hits(user()), 0, "popular items, before anything is trained");
    train(&engine);
    assert_eq!(hits(user()), 2);
    assert_eq!(hits(user().explain()), 0);
    assert_eq!(hits(Query::for_user("nobody")), 0);
    assert_eq!(hits(Query::for_session([item(0, 0)])), 0);
    let window: SeenPolicy = serde_json::from_value(json!({"window": "30d"})).unwrap();
    assert_eq!(hits(Query { exclude_seen: ExcludeSeen::Some(window), ..user() }), 0);
    // A list that begins at noon must be there at noon.
    let listed = r#"{"sources": [{"source": "personal"}, {"source": {"list": "summer"}}],
        "lists": {"summer": {"items": ["g0-1"], "start": "2199-01-01T12:00:00Z"}}}"#;
    engine.put_scenario("listed", serde_json::from_str(listed).unwrap(), None).unwrap();
    assert_eq!(hits(user().scenario("listed")), 0);
    engine.put_scenario("plain", Scenario::default(), None).unwrap();
    assert_eq!(hits(user().scenario("plain")), 2);
    let (one, other) = (engine.recommend(&user()).unwrap(), engine.recommend(&user()).unwrap());
    assert_eq!(one.items, other.items);
    assert_ne!(one.recommendation_id, other.recommendation_id);
}
