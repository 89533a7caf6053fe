//! Two users who turn out to be one, against a model in a few lines: whatever is written, merged and deleted, in any order.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use savor::{Engine, Event, Query, TrainOptions, User, Value};
use support::{config, item, time, world};

const USERS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Append(usize, u8, u8),
    Profile(usize, Vec<(u8, u8)>),
    Merge(usize, usize),
    Delete(usize),
    Reopen,
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..USERS, 0u8..5, 0u8..6).prop_map(|(user, item, second)| Step::Append(user, item, second)),
        3 => (0..USERS, prop::collection::vec((0u8..4, 0u8..9), 0..4)).prop_map(|(user, pairs)| Step::Profile(user, pairs)),
        3 => (0..USERS, 0..USERS).prop_map(|(into, from)| Step::Merge(into, from)),
        1 => (0..USERS).prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ]
}

/// What is known of a user: events by time and item, and attributes.
#[derive(Clone, Default)]
struct Known {
    events: BTreeSet<(u8, u8)>,
    attributes: BTreeMap<String, Value>,
}

fn name(user: usize) -> String {
    format!("u{user}")
}

fn check(engine: &Engine, model: &BTreeMap<usize, Known>) {
    for user in 0..USERS {
        let stored = engine.user(&name(user)).unwrap();
        let Some(known) = model.get(&user) else {
            assert!(stored.is_none(), "u{user} is gone");
            assert_eq!(engine.user_events(&name(user), 100).unwrap_err().code(), "not_found");
            continue;
        };
        assert_eq!(stored.unwrap().attributes, known.attributes, "u{user}");
        let events = engine.user_events(&name(user), 100).unwrap();
        let of = |event: &Event| {
            assert_eq!(event.user, name(user));
            let second = (event.time.unwrap().millis() - time(0).millis()) / 1000;
            (second as u8, event.item[1..].parse().unwrap())
        };
        assert_eq!(events.iter().map(of).collect::<BTreeSet<_>>(), known.events, "u{user}");
        assert_eq!(events.len(), known.events.len());
        // A question about anybody is answered, and leaves out what was seen.
        let answer = engine.recommend(&Query::for_user(name(user))).unwrap();
        let seen = |item: &str| known.events.iter().any(|(_, known)| format!("i{known}") == item);
        assert!(answer.items.iter().all(|item| !seen(&item.item)));
    }
    let stats = engine.stats().unwrap();
    assert_eq!(stats.users, model.len() as u64);
    assert_eq!(stats.events, model.values().map(|known| known.events.len() as u64).sum::<u64>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn merging_is_what_the_model_says(steps in prop::collection::vec(a_step(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = Engine::open(dir.path(), config()).unwrap();
        let mut model: BTreeMap<usize, Known> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Append(user, item, second) => {
                    let event = Event::new(name(user), format!("i{item}"), "click").at(time(second.into()));
                    let stored = engine.append_events(&[event]).unwrap().stored;
                    prop_assert_eq!(stored == 1, model.entry(user).or_default().events.insert((second, item)));
                }
                Step::Profile(user, pairs) => {
                    let mut put = User::new(name(user));
                    put.attributes = pairs.into_iter().map(|(key, value)| (format!("a{key}"), f64::from(value).into())).collect();
                    model.entry(user).or_default().attributes = put.attributes.clone().into_iter().collect();
                    engine.put_users(&[put]).unwrap();
                }
                Step::Merge(into, from) if into == from => {
                    prop_assert_eq!(engine.merge_users(&name(into), &name(from)).unwrap_err().code(), "invalid");
                }
                Step::Merge(into, from) => match model.remove(&from) {
                    None => prop_assert_eq!(engine.merge_users(&name(into), &name(from)).unwrap_err().code(), "not_found"),
                    Some(other) => {
                        let merged = engine.merge_users(&name(into), &name(from)).unwrap();
                        let target = model.entry(into).or_default();
                        let moved = other.events.iter().filter(|event| !target.events.contains(*event)).count() as u64;
                        prop_assert_eq!((merged.moved, merged.known), (moved, other.events.len() as u64 - moved));
                        target.events.extend(other.events);
                        let before = target.attributes.len();
                        for (key, value) in other.attributes {
                            target.attributes.entry(key).or_insert(value);
                        }
                        prop_assert_eq!(merged.attributes, (target.attributes.len() - before) as u64);
                    }
                },
                Step::Delete(user) => {
                    prop_assert_eq!(engine.delete_user(&name(user)).unwrap(), model.remove(&user).is_some());
                }
                Step::Reopen => {
                    drop(engine);
                    engine = Engine::open(dir.path(), config()).unwrap();
                }
            }
            check(&engine, &model);
        }
        // The counters of events are those of the log.
        let findings = engine.check().unwrap();
        prop_assert!(findings.iter().all(|finding| finding.ok), "{:?}", findings);
    }
}

#[test]
fn the_next_answer_knows_what_the_visitor_did() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let snapshot = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(snapshot).unwrap();
    let clicks: Vec<Event> = (0..6).map(|place| Event::new("visitor", item(2, place), "click")).collect();
    engine.append_events(&clicks).unwrap();
    let of_visitor = engine.recommend(&Query::for_user("visitor").limit(5)).unwrap();
    let shown = engine.recommend(&Query::for_user("visitor").limit(5)).unwrap();

    let mut visitor = User::new("visitor");
    visitor.attributes.insert("country".into(), "de".into());
    visitor.attributes.insert("age".into(), 20.0.into());
    let mut anna = User::new("anna");
    anna.attributes.insert("age".into(), 30.0.into());
    engine.put_users(&[visitor, anna]).unwrap();
    let merged = engine.merge_users("anna", "visitor").unwrap();
    assert_eq!((merged.moved, merged.known, merged.attributes), (6, 0, 1));
    let anna = engine.user("anna").unwrap().unwrap();
    assert_eq!((anna.attributes["age"].clone(), anna.attributes["country"].clone()), (30.0.into(), "de".into()));

    let of_anna = engine.recommend(&Query::for_user("anna").limit(5)).unwrap();
    let names = |answer: &savor::Answer| answer.items.iter().map(|item| item.item.clone()).collect::<Vec<_>>();
    assert_eq!(names(&of_anna), names(&of_visitor));
    // The visitor's pages are gone with the visitor.
    assert_eq!(engine.next_page(&shown.recommendation_id, None).unwrap_err().code(), "not_found");
}
