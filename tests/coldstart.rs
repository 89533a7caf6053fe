//! What is new: items known by metadata and first events, people known by their profile, and the order of both beside what
//! the snapshot knows.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use savor::{
    Answer, Config, Degraded, Engine, Event, ExcludeSeen, Item, ItemPatch, Likeness, ModelKind, Prior, Query,
    RankQuery, SessionItem, SimilarQuery, Source, TrainOptions, User,
};
use support::{GROUP, GROUPS, Random, config, item, time, world};

fn new_item(name: &str, group: usize) -> Item {
    let mut new = Item::new(name);
    new.categories = vec![format!("group{group}")];
    new
}

fn profile(name: &str, group: usize) -> User {
    let mut user = User::new(name);
    user.attributes.insert("likes".into(), format!("group{group}").into());
    user
}

fn trained(dir: &std::path::Path, config: Config) -> Engine {
    drop(world(dir));
    let engine = Engine::open(dir, config).unwrap();
    let users: Vec<User> = (0..support::USERS).map(|user| profile(&format!("u{user}"), user % GROUPS)).collect();
    engine.put_users(&users).unwrap();
    train(&engine);
    engine
}

/// Factors alone: the small world's blend is won by lists.
fn factors() -> Config {
    let mut config = config();
    config.train.model = ModelKind::Ials;
    config
}

fn train(engine: &Engine) {
    let snapshot = engine.train(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap();
    engine.activate(snapshot).unwrap();
}

/// All that can be recommended to a user, with scores.
fn everything(engine: &Engine, user: &str) -> Vec<(String, f64, Source)> {
    let query = Query { exclude_seen: ExcludeSeen::All(false), ..Query::for_user(user).limit(500) };
    let answer = engine.recommend(&query).unwrap();
    answer.items.into_iter().map(|item| (item.item, item.score, item.source)).collect()
}

#[test]
fn a_new_item_is_found_at_once_by_those_who_like_its_kind_and_the_next_snapshot_takes_it_in() {
    for config in [config(), factors()] {
        new_item_is_found(config);
    }
}

fn new_item_is_found(config: Config) {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path(), config.clone());
    engine.put_items(&[new_item("new", 1)]).unwrap();
    let place =
        |engine: &Engine, user: &str| everything(engine, user).iter().position(|(item, ..)| item == "new").unwrap();
    for user in 0..8 {
        let (own, place) = (user % GROUPS == 1, place(&engine, &format!("u{user}")));
        assert_eq!(own, place < GROUP + GROUP / 2, "place {place} for user {user}");
    }
    let found = everything(&engine, "u1").into_iter().find(|(item, ..)| item == "new").unwrap();
    assert_eq!(found.2, Source::New);
    let near = engine.similar_items(&SimilarQuery { limit: 5, ..SimilarQuery::new("new") }).unwrap();
    let is_near = config.train.model == ModelKind::Ials;
    assert!(
        !is_near || near.items.iter().all(|near| near.item.starts_with("g1-") && near.source == Source::Similar),
        "{near:?}"
    );

    // The parts of an explained score sum to it.
    let query = RankQuery { user: Some("u1".into()), explain: true, ..RankQuery::new(["new"]) };
    let explained = engine.rank(&query).unwrap();
    let sum: f64 = explained.items[0].because.as_ref().unwrap().iter().map(|part| part.weight).sum();
    assert!((sum - explained.items[0].score).abs() < 1e-4 && explained.items[0].source == Source::New);

    // A restart loses nothing.
    let before = everything(&engine, "u1");
    drop(engine);
    let engine = Engine::open(dir.path(), config).unwrap();
    assert_eq!(everything(&engine, "u1"), before);

    let likes: Vec<Event> = (0..6).map(|user| Event::new(format!("u{}", user * GROUPS + 1), "new", "click")).collect();
    engine.append_events(&likes).unwrap();
    train(&engine);
    let found = everything(&engine, "u9").into_iter().find(|(item, ..)| item == "new").unwrap();
    assert_eq!(found.2, Source::Personal);
}

#[test]
fn first_events_outweigh_what_metadata_say_and_count_after_a_restart() {
    for config in [config(), factors()] {
        first_events_outweigh(config);
    }
}

fn first_events_outweigh(config: Config) {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path(), config.clone());
    engine.put_items(&[new_item("odd", 0)]).unwrap();
    let lead = |engine: &Engine| {
        let score = |user: usize| {
            let all = everything(engine, &format!("u{user}"));
            all.into_iter().find(|(item, ..)| item == "odd").unwrap().1
        };
        // Those of group 2 who have not clicked, beside those of group 0.
        (15..20).map(|user| score(user * GROUPS + 2) - score(user * GROUPS)).sum::<f64>()
    };
    let mut leads = vec![lead(&engine)];
    for user in 0..12 {
        engine.append_events(&[Event::new(format!("u{}", user * GROUPS + 2), "odd", "click")]).unwrap();
        leads.push(lead(&engine));
    }
    assert!(leads[0] < 0.0 && leads.is_sorted() && leads[12] > 0.5 * leads[0], "{leads:?}");
    drop(engine);
    let engine = Engine::open(dir.path(), config).unwrap();
    let after = lead(&engine);
    assert!((after - leads[12]).abs() < 0.1 * leads[12].abs(), "{after} after a restart, {} before", leads[12]);
}

#[test]
fn changed_metadata_move_a_known_item_and_changing_them_back_moves_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path(), config());
    let before = everything(&engine, "u3");
    let patch = |group: usize| ItemPatch { categories: Some(vec![format!("group{group}")]), ..ItemPatch::default() };
    engine.patch_item(&item(0, 4), patch(3)).unwrap();
    let moved = everything(&engine, "u3");
    let score = |all: &[(String, f64, Source)]| all.iter().find(|(name, ..)| *name == item(0, 4)).unwrap().1;
    assert!(score(&moved) > score(&before));
    assert_eq!(moved.len(), before.len(), "an item is never there twice");
    engine.patch_item(&item(0, 4), patch(0)).unwrap();
    assert_eq!(everything(&engine, "u3"), before);
}

/// A model of what should be findable: a set of names. Items come, change, hide and go, snapshots come between.
#[test]
fn what_is_upserted_is_findable_by_the_next_question_and_what_is_deleted_or_hidden_never_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path(), config());
    let mut random = Random(11);
    let mut shown: BTreeSet<String> = (0..GROUPS).flat_map(|g| (0..GROUP).map(move |place| item(g, place))).collect();
    let mut hidden: BTreeMap<String, Item> = BTreeMap::new();
    for step in 0..160 {
        let name = match random.below(3) {
            0 => item(random.below(GROUPS), random.below(GROUP)),
            _ => format!("n{}", random.below(30)),
        };
        let mut record = new_item(&name, random.below(GROUPS));
        match random.below(5) {
            0 => {
                engine.delete_item(&name).unwrap();
                shown.remove(&name);
                hidden.remove(&name);
            }
            1 => {
                record.hidden = true;
                engine.put_items(&[record.clone()]).unwrap();
                shown.remove(&name);
                hidden.insert(name, record);
            }
            2 if !shown.contains(&name) && !hidden.contains_key(&name) => {
                // Known by an event alone: not before there is more than that, but found among what is left.
                engine.append_events(&[Event::new("u1", &name, "click").at(time(50_000 + step))]).unwrap();
                shown.insert(name);
            }
            _ => {
                engine.put_items(&[record]).unwrap();
                hidden.remove(&name);
                shown.insert(name);
            }
        }
        if step == 80 {
            train(&engine);
        }
        let user = format!("u{}", random.below(support::USERS));
        let found: Vec<String> = everything(&engine, &user).into_iter().map(|(item, ..)| item).collect();
        let unique: BTreeSet<String> = found.iter().cloned().collect();
        assert_eq!(unique.len(), found.len(), "step {step}: an item is there twice");
        assert_eq!(unique, shown, "step {step}");
    }
}

#[test]
fn somebody_without_events_is_answered_by_the_profile_and_the_answer_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path(), factors());
    engine.put_users(&[profile("newcomer", 2), User::new("blank")]).unwrap();
    let answer = engine.recommend(&Query::for_user("newcomer").limit(5)).unwrap();
    if answer.items[0].source == Source::Profile {
        assert_eq!(answer.degraded, Some(Degraded::NoHistory));
        assert!(answer.items.iter().filter(|item| item.item.starts_with("g2-")).count() >= 4, "{answer:?}");
    } else {
        panic!("{answer:?}");
    }
    for (name, degraded) in [("blank", Degraded::NoHistory), ("nobody", Degraded::UnknownUser)] {
        let answer = engine.recommend(&Query::for_user(name).limit(5)).unwrap();
        assert_eq!((answer.items.len(), answer.items[0].source), (5, Source::Popular), "{name}");
        assert!(answer.degraded == Some(degraded) || answer.degraded == Some(Degraded::NoHistory));
    }
    let evidence = answer_of(&engine, "newcomer").evidence.unwrap();
    assert_eq!((evidence.pairs, evidence.prior, evidence.of), (0.0, 1.0, Prior::Profile));
    assert!(answer_of(&engine, "blank").evidence.is_none() && answer_of(&engine, "u1").evidence.is_none());
    // The blend shifts with evidence, and says so.
    let clicks: Vec<Event> = (0..8).map(|place| Event::new("newcomer", item(3, place), "click")).collect();
    engine.append_events(&clicks[..1]).unwrap();
    let answer = answer_of(&engine, "newcomer");
    let after_one = answer.evidence.unwrap();
    assert!(after_one.pairs > 0.0 && after_one.prior > 0.0 && after_one.prior < 1.0, "{after_one:?}");
    assert!(answer.items.iter().any(|item| item.item.starts_with("g2-")), "of the profile's group: {answer:?}");
    sums_up(&answer);
    engine.append_events(&clicks).unwrap();
    let answer = answer_of(&engine, "newcomer");
    assert!(answer.evidence.unwrap().prior < after_one.prior / 2.0, "{after_one:?} {answer:?}");
    assert!(
        answer.items.iter().all(|item| item.item.starts_with("g3-") && item.source == Source::FoldIn),
        "{answer:?}"
    );
    sums_up(&answer);
    // A session with no user behind it: what everybody has is its prior.
    let session = SessionItem { item: item(1, 0), kind: "click".into(), value: None };
    let mut query = Query::for_session(Vec::<String>::new()).limit(5);
    query.session = vec![session];
    let evidence = engine.recommend(&query).unwrap().evidence.unwrap();
    assert_eq!((evidence.of, evidence.pairs > 0.0), (Prior::Everybody, true));
}

fn answer_of(engine: &Engine, user: &str) -> Answer {
    engine.recommend(&Query::for_user(user).limit(5).explain()).unwrap()
}

fn sums_up(answer: &Answer) {
    for item in &answer.items {
        let sum: f64 = item.because.as_ref().unwrap().iter().map(|part| part.weight).sum();
        assert!((sum - item.score).abs() < 1e-4, "{item:?}");
    }
}

#[test]
fn exploration_gives_its_places_to_new_items_repeatably_and_says_how_probable_each_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut exploring = config();
    exploring.recommend.explore.share = 0.2;
    let engine = trained(dir.path(), exploring);
    let none = engine.recommend(&Query::for_user("u1").limit(10)).unwrap();
    assert!(none.items.iter().all(|item| item.source == Source::Personal && item.propensity == Some(1.0)));
    let items: Vec<Item> = (0..40).map(|number| new_item(&format!("n{number}"), number % GROUPS)).collect();
    engine.put_items(&items).unwrap();
    let ask = |user: &str| engine.recommend(&Query::for_user(user).limit(10)).unwrap().items;
    // What would be there without exploration is there whatever is drawn.
    let plain = serde_json::from_str(r#"{"sources":[{"source":"personal","share":1.0}]}"#).unwrap();
    engine.put_scenario("plain", plain, None).unwrap();
    let (mut drawn, mut sure) = (BTreeSet::new(), 0);
    for user in 0..12 {
        let answer = ask(&format!("u{user}"));
        assert_eq!(answer.len(), 10);
        let explored: Vec<_> = answer.iter().filter(|item| item.source == Source::Explore).collect();
        assert_eq!(explored.len(), 2);
        for item in explored {
            assert!(item.item.starts_with('n') && item.propensity.is_some_and(|p| p > 0.0 && p <= 1.0), "{item:?}");
            drawn.insert(item.item.clone());
            let anyway = engine.recommend(&Query::for_user(format!("u{user}")).limit(8).scenario("plain")).unwrap();
            if anyway.items.iter().any(|other| other.item == item.item) {
                assert_eq!(item.propensity, Some(1.0), "{item:?}");
                sure += 1;
            }
        }
        assert_eq!(ask(&format!("u{user}")), answer);
    }
    assert!(drawn.len() > 4 && sure > 0, "{drawn:?} {sure}");
}

#[test]
fn what_people_take_next_is_told_beside_an_item_and_has_its_share_of_a_session() {
    let dir = tempfile::tempdir().unwrap();
    let mut with_next = config();
    with_next.recommend.next_share = 0.4;
    drop(world(dir.path()));
    let engine = Engine::open(dir.path(), with_next.clone()).unwrap();
    // After a morning of g0-0, always g3-7, by people of every taste.
    for user in 0..12 {
        let at = 100_000 + i64::from(user) * 10_000;
        let visit = [item(0, 0), item(3, 7)].into_iter().zip([at, at + 30]);
        let events: Vec<Event> =
            visit.map(|(name, at)| Event::new(format!("visitor{user}"), name, "click").at(time(at))).collect();
        engine.append_events(&events).unwrap();
    }
    train(&engine);
    let next = SimilarQuery { by: Likeness::Next, limit: 3, ..SimilarQuery::new(item(0, 0)) };
    let check = |engine: &Engine| {
        let answer = engine.similar_items(&next).unwrap();
        assert_eq!((answer.items[0].item.as_str(), answer.items[0].source), ("g3-7", Source::Next), "{answer:?}");
        let mut session = Query::for_session([item(0, 3), item(0, 0)]).limit(5);
        let answer = engine.recommend(&session).unwrap();
        let names: Vec<&str> = answer.items.iter().map(|item| item.item.as_str()).collect();
        assert!(names.len() == 5 && names.contains(&"g3-7"), "{names:?}");
        assert!(answer.items.iter().filter(|item| item.source == Source::Next).count() <= 2);
        session.exclude_items = vec!["g3-7".into()];
        assert!(engine.recommend(&session).unwrap().items.iter().all(|item| item.item != "g3-7"));
    };
    check(&engine);
    let bundle = dir.path().join("bundle");
    engine.export_snapshot(engine.active_snapshot().unwrap(), &bundle).unwrap();
    let other = tempfile::tempdir().unwrap();
    let fleet = Engine::open(other.path(), with_next).unwrap();
    fleet.put_items(&support::items()).unwrap();
    fleet.activate(fleet.import_snapshot(&bundle).unwrap()).unwrap();
    check(&fleet);
    // Where new items stand goes with the bundle.
    fleet.put_items(&[new_item("new", 2)]).unwrap();
    engine.put_items(&[new_item("new", 2)]).unwrap();
    let score = |engine: &Engine| {
        let session = vec![SessionItem { item: item(2, 0), kind: "click".into(), value: None }];
        let query = RankQuery { session, ..RankQuery::new(["new"]) };
        let answer = engine.rank(&query).unwrap();
        assert_eq!(answer.items[0].source, Source::New);
        answer.items[0].score
    };
    assert_eq!(score(&engine), score(&fleet));
}

#[test]
fn later_events_of_a_session_weigh_more_where_that_is_wanted() {
    let lead = |fading: f64| {
        let dir = tempfile::tempdir().unwrap();
        let mut fading_config = factors();
        fading_config.recommend.session_fading = fading;
        let engine = trained(dir.path(), fading_config);
        let entry = |name: String| SessionItem { item: name, kind: "click".into(), value: None };
        let session = vec![entry(item(1, 0)), entry(item(1, 1)), entry(item(2, 0)), entry(item(2, 1))];
        let items = vec![item(1, 5), item(2, 5)];
        let answer = engine.rank(&RankQuery { session, ..RankQuery::new(items) }).unwrap();
        let score = |name: &str| answer.items.iter().find(|found| found.item == name).unwrap().score;
        score("g2-5") - score("g1-5")
    };
    assert!(lead(0.5) > lead(1.0));
}
