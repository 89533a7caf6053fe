//! Answers asked again in hindsight, through the library: by what was known then, and with draws of their own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, reason = "the world of other tests")]

mod support;

use savor::{
    Config, Engine, Event, ExcludeSeen, Item, OffPolicy, Query, ReplayOptions, SeenPolicy, Span, Timestamp,
    TrainOptions, Variant,
};
use support::{GROUPS, Random, USERS, config, item, items};

/// Users of a group who have liked its items for ten days, until an hour ago.
fn engine(dir: &std::path::Path, config: Config) -> Engine {
    let engine = Engine::open(dir, config).unwrap();
    engine.put_items(&items()).unwrap();
    let (mut random, begin) = (Random(11), Timestamp::now().before(Span::days(10)));
    let mut events = Vec::new();
    for user in 0..USERS {
        for hours in (0..239).step_by(30) {
            let time = begin.after(Span::seconds(3_600 * hours + user as u32));
            let name = item(user % GROUPS, random.below(support::GROUP));
            events.push(Event::new(format!("u{user}"), name, "click").at(time));
        }
    }
    engine.append_events(&events).unwrap();
    let snapshot = engine.train(&TrainOptions { measure: false, ranker: false, ..TrainOptions::default() }).unwrap();
    engine.activate(snapshot).unwrap();
    engine.keep_exposures().unwrap();
    engine
}

fn replayed(engine: &Engine, kind: &str) -> OffPolicy {
    let options = ReplayOptions { types: vec![kind.into()], ..ReplayOptions::of(Variant::new("the same")) };
    engine.replay(&options).unwrap()
}

#[test]
fn the_policy_that_was_shown_answers_as_it_did_whatever_has_come_since() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.events.half_life = "2d".parse().unwrap();
    let engine = engine(dir.path(), config);
    let click = |user: usize, time: Timestamp, group: usize, place: usize| {
        Event::new(format!("u{user}"), item(group % GROUPS, place), "click").at(time)
    };
    let shortly = Timestamp::now().before(Span::seconds(1_800));
    let turned = |user: usize| click(user, shortly, user + 1, user % 7);
    engine.append_events(&(0..USERS).map(turned).collect::<Vec<_>>()).unwrap();
    let seen = SeenPolicy { window: Some(Span::days(2)), ..SeenPolicy::default() };
    let mut clicks = Vec::new();
    for user in 0..USERS {
        let query = Query { exclude_seen: ExcludeSeen::Some(seen.clone()), ..Query::for_user(format!("u{user}")) };
        let answer = engine.recommend(&query.limit(5)).unwrap();
        let mut taken = Event::new(format!("u{user}"), &answer.items[user % 5].item, "click");
        taken.recommendation_id = Some(answer.recommendation_id);
        clicks.push(taken);
        let later = Timestamp::now().after(Span::seconds(60));
        clicks.extend((0..6).map(|place| click(user, later, user + 2, place)));
    }
    engine.append_events(&clicks).unwrap();
    let found = replayed(&engine, "click");
    assert_eq!((found.answers, found.support, found.drawn), (USERS as u64, 1.0, 0.0), "{found:?}");
    assert!((found.ips.unwrap().value - 1.0).abs() < 1e-9, "{found:?}");
}

#[test]
fn draws_in_hindsight_are_not_those_that_were_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.recommend.explore.share = 0.2;
    config.events.weights.insert("tap".into(), 0.0);
    let engine = engine(dir.path(), config);
    let twins = ["heads", "tails"].map(|name| {
        let mut twin = Item::new(name);
        twin.categories = vec!["group1".into()];
        twin
    });
    engine.put_items(&twins).unwrap();
    let mut taps = Vec::new();
    for user in 0..USERS {
        let user = format!("u{user}");
        let answer = engine.recommend(&Query::for_user(&user).limit(5)).unwrap();
        if answer.items.iter().any(|item| item.item == "heads") {
            let mut tap = Event::new(&user, "heads", "tap");
            tap.recommendation_id = Some(answer.recommendation_id);
            taps.push(tap);
        }
    }
    engine.append_events(&taps).unwrap();
    // Every other draw is heads. If each met itself, all that was earned would count twice.
    let found = replayed(&engine, "tap");
    let (logged, ips) = (found.logged.value, found.ips.unwrap());
    assert!((0.3..0.7).contains(&logged) && found.drawn > 0.1, "{found:?}");
    assert!(ips.value < 1.5 * logged && (ips.low..ips.high).contains(&logged), "{found:?}");
}
