//! What people take next, where a ranker weighs it: items that only transitions find are put in order with the rest.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use savor::{Config, Engine, Event, Item, Query, Timestamp, TrainOptions};

const ITEMS: u64 = 200;
const USERS: u64 = 120;
const DAYS: u64 = 20;
const START: i64 = 1_767_225_600_000;
const CANDIDATES: usize = 10;
/// Of them there because people take them next.
const NEXT: usize = 1;

/// Everybody takes some items at random and then the next two of a ring on which each began elsewhere; with what each takes after
/// all that.
fn ring() -> (Vec<Event>, BTreeMap<String, String>) {
    let mut state = 1u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let begin = |user: u64| user * 37;
    let name = |place: u64| format!("i{}", place * 73 % ITEMS);
    let mut events = Vec::new();
    for day in 0..DAYS {
        for user in 0..USERS {
            let mut take = |item: String, minute: u64| {
                let time = START + ((day * 86_400 + minute * 60 + user) * 1000) as i64;
                events.push(Event::new(format!("u{user}"), item, "click").at(Timestamp::from_millis(time).unwrap()));
            };
            take(name(below(ITEMS)), 0);
            take(name(below(ITEMS)), 300);
            take(name(begin(user) + 2 * day), 600);
            take(name(begin(user) + 2 * day + 1), 605);
        }
    }
    (events, (0..USERS).map(|user| (format!("u{user}"), name(begin(user) + 2 * DAYS))).collect())
}

fn opened(dir: &Path, next: usize, ranks: bool) -> Engine {
    let mut config =
        Config::from_toml("[train]\nmodel = \"ials\"\ndimension = 8\nepochs = 5\n[store]\ndurability = \"async\"\n")
            .unwrap();
    config.ranker.candidates = CANDIDATES;
    config.ranker.next = next;
    config.ranker.enabled = ranks;
    Engine::open(dir, config).unwrap()
}

fn answer(engine: &Engine, query: &Query) -> Vec<String> {
    engine.recommend(query).unwrap().items.into_iter().map(|item| item.item).collect()
}

#[test]
fn an_item_that_only_transitions_find_reaches_the_list_where_the_ranker_weighs_them_unless_it_may_not_be_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (events, expected) = ring();
    let engine = opened(dir.path(), NEXT, true);
    engine.put_items(&(0..ITEMS).map(|number| Item::new(format!("i{number}"))).collect::<Vec<_>>()).unwrap();
    engine.append_events(&events).unwrap();
    let id = engine.train(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap();
    engine.activate(id).unwrap();
    let report = engine.snapshot(id).unwrap().ranker.unwrap();
    assert!(report.is_used, "{report:?}");
    drop(engine);

    // Those for whom it is beyond the candidates of retrieval, and who have not happened upon it.
    let had = |user: &str, item: &str| events.iter().any(|event| event.user == user && event.item == item);
    let engine = opened(dir.path(), NEXT, false);
    let is_beyond = |(user, item): &(&String, &String)| {
        !had(user, item) && !answer(&engine, &Query::for_user(user.as_str()).limit(CANDIDATES)).contains(item)
    };
    let beyond: Vec<(&String, &String)> = expected.iter().filter(is_beyond).collect();
    assert!(beyond.len() > 10, "{}", beyond.len());
    drop(engine);

    let shown = |engine: &Engine| {
        let is_shown = |(user, item): &&(&String, &String)| {
            answer(engine, &Query::for_user(user.as_str()).limit(3)).contains(item)
        };
        beyond.iter().filter(is_shown).count()
    };
    let engine = opened(dir.path(), 0, true);
    assert_eq!(shown(&engine), 0, "retrieval alone does not find it");
    drop(engine);
    let engine = opened(dir.path(), NEXT, true);
    assert!(shown(&engine) * 2 > beyond.len(), "{} of {}", shown(&engine), beyond.len());

    let asks = |user: &str| Query::for_user(user).limit(3);
    let is_shown = |(user, item): &&(&String, &String)| answer(&engine, &asks(user)).contains(item);
    let mut all = beyond.iter().filter(is_shown);
    let (user, item) = all.next().unwrap();
    let rank = |query: &Query| {
        let items = engine.recommend(query).unwrap().items;
        items.iter().find(|of| of.item == **item).and_then(|of| of.rank).unwrap()
    };
    let alone = serde_json::json!({"must": [{"has_id": [item]}]});
    let filter = Some(serde_json::from_value(alone).unwrap());
    let (among_all, alone) = (rank(&asks(user)), rank(&Query { filter, ..asks(user) }));
    assert!((among_all - alone).abs() < 1e-3, "{among_all} among all, {alone} where a filter leaves it alone");
    let exclude_items = vec![(*item).clone()];
    assert!(!answer(&engine, &Query { exclude_items, ..asks(user) }).contains(item), "left out by the question");
    let others = serde_json::json!({"must_not": [{"has_id": [item]}]});
    let filter = Some(serde_json::from_value(others).unwrap());
    assert!(!answer(&engine, &Query { filter, ..asks(user) }).contains(item), "left out by a filter");
    let session = Query { session: Query::for_session([item.as_str()]).session, ..asks(user) };
    assert!(!answer(&engine, &session).contains(item), "seen a moment ago");
    engine.put_items(&[Item { hidden: true, ..Item::new(item.as_str()) }]).unwrap();
    assert!(!answer(&engine, &asks(user)).contains(item), "hidden");
}
