//! Answers below full effort: what is left out, what is never left out, and that nobody else gets to see them.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use savor::{
    Degraded, Effort, Engine, Event, Item, Query, RankQuery, Ranker, RankerQuestion, Scenario, Source, TrainOptions,
};
use support::{item, time, world};

/// Turns the order of retrieval round, and counts how often it is asked.
#[derive(Default)]
struct Backwards(AtomicUsize);

impl Ranker for Backwards {
    fn score(&self, question: &RankerQuestion<'_>) -> savor::Result<Vec<f32>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok((0..question.items.len()).map(|place| place as f32).collect())
    }
}

fn trained(dir: &std::path::Path) -> Engine {
    let engine = world(dir);
    let options = TrainOptions { ranker: false, measure: false, ..TrainOptions::default() };
    let snapshot = engine.train(&options).unwrap();
    engine.activate(snapshot).unwrap();
    engine
}

fn names(engine: &Engine, query: &Query, effort: Effort) -> (Vec<String>, Option<Degraded>) {
    let answer = engine.recommend_at(query, effort).unwrap();
    (answer.items.into_iter().map(|item| item.item).collect(), answer.degraded)
}

#[test]
fn the_first_step_leaves_out_the_ranker_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let query = Query::for_user("u1").limit(5);
    let retrieved = names(&engine, &query, Effort::Full);
    assert_eq!(names(&engine, &query, Effort::Unranked), retrieved, "without a ranker nothing is left out");
    let ranker = Arc::new(Backwards::default());
    engine.set_ranker(Some(ranker.clone()));
    let ranked = names(&engine, &query, Effort::Full);
    assert_ne!(ranked.0, retrieved.0);
    let asked = ranker.0.load(Ordering::Relaxed);
    let hasty = names(&engine, &query, Effort::Unranked);
    assert_eq!(hasty, (retrieved.0, Some(Degraded::OverloadedUnranked)));
    let rank = RankQuery { user: Some("u1".into()), ..RankQuery::new(ranked.0.clone()) };
    assert_eq!(engine.rank_at(&rank, Effort::Popular).unwrap().degraded, Some(Degraded::OverloadedUnranked));
    assert_eq!(ranker.0.load(Ordering::Relaxed), asked, "nobody asked the ranker");
    assert_eq!(names(&engine, &query, Effort::Full), ranked);
}

#[test]
fn a_kept_answer_is_given_without_what_is_gone_and_never_from_before_the_users_own_events() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    engine.set_ranker(Some(Arc::new(Backwards::default())));
    let query = Query::for_user("u1").limit(5);
    assert_eq!(names(&engine, &query, Effort::Kept).1, Some(Degraded::OverloadedUnranked), "nothing is kept yet");
    let (full, none) = names(&engine, &query, Effort::Full);
    assert_eq!(none, None);
    assert_eq!(names(&engine, &query, Effort::Kept), (full.clone(), Some(Degraded::OverloadedKept)));
    assert_eq!(names(&engine, &query, Effort::Popular), (full.clone(), Some(Degraded::OverloadedKept)));
    // Somebody else's event, another item: the answer may be given on.
    engine.append_events(&[Event::new("u2", full[0].clone(), "click").at(time(50_000))]).unwrap();
    let mut hidden = Item::new(full[1].clone());
    hidden.hidden = true;
    engine.put_items(&[hidden]).unwrap();
    engine.delete_item(&full[3]).unwrap();
    let left = vec![full[0].clone(), full[2].clone(), full[4].clone()];
    assert_eq!(names(&engine, &query, Effort::Kept), (left.clone(), Some(Degraded::OverloadedKept)));
    // What the user has just taken is not shown again.
    engine.append_events(&[Event::new("u1", left[0].clone(), "click").at(time(60_000))]).unwrap();
    let (fresh, degraded) = names(&engine, &query, Effort::Kept);
    assert_eq!(degraded, Some(Degraded::OverloadedUnranked));
    assert!(!fresh.contains(&left[0]), "{fresh:?}");
    let (popular, degraded) = names(&engine, &query, Effort::Popular);
    assert_eq!(degraded, Some(Degraded::OverloadedPopular));
    assert!(!popular.contains(&left[0]) && !popular.contains(&full[1]) && !popular.contains(&full[3]));
    engine.delete_user("u1").unwrap();
    assert_eq!(names(&engine, &query, Effort::Kept).1, Some(Degraded::UnknownUser), "nothing of the user is left");
}

#[test]
fn a_kept_answer_that_is_as_good_as_new_is_not_called_less() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let query = Query::for_user("u1").limit(5);
    let full = names(&engine, &query, Effort::Full);
    assert_eq!(names(&engine, &query, Effort::Popular), full);
    let one = engine.recommend_at(&query, Effort::Kept).unwrap().recommendation_id;
    assert_ne!(one, engine.recommend_at(&query, Effort::Kept).unwrap().recommendation_id);
}

/// Turns the order of retrieval round for one device alone.
struct ByDevice;

impl Ranker for ByDevice {
    fn score(&self, question: &RankerQuestion<'_>) -> savor::Result<Vec<f32>> {
        let sign = if question.context.get("device") == Some(&"tv".into()) { 1.0 } else { -1.0 };
        Ok((0..question.items.len()).map(|place| sign * place as f32).collect())
    }
}

#[test]
fn an_answer_that_is_kept_for_one_device_is_given_to_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    engine.set_ranker(Some(Arc::new(ByDevice)));
    let on = |device: &str| Query::for_user("u1").limit(5).context([("device", device)]);
    let (tv, phone) = (names(&engine, &on("tv"), Effort::Full).0, names(&engine, &on("phone"), Effort::Full).0);
    assert_ne!(tv, phone);
    assert_eq!(names(&engine, &on("tv"), Effort::Kept), (tv.clone(), Some(Degraded::OverloadedKept)));
    assert_eq!(names(&engine, &on("phone"), Effort::Kept), (phone, Some(Degraded::OverloadedKept)));
    assert_eq!(names(&engine, &on("watch"), Effort::Kept).1, Some(Degraded::OverloadedUnranked));
    let rank = RankQuery { user: Some("u1".into()), context: on("tv").context, ..RankQuery::new(tv.clone()) };
    let ranked: Vec<String> = engine.rank(&rank).unwrap().items.into_iter().map(|item| item.item).collect();
    assert_eq!(ranked, tv);
}

#[test]
fn answers_below_full_effort_are_not_kept_for_others() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (hurried, calm) = (trained(dirs[0].path()), trained(dirs[1].path()));
    for ranker in [false, true] {
        for engine in [&hurried, &calm] {
            engine.set_ranker(ranker.then(|| Arc::new(Backwards::default()) as Arc<dyn Ranker>));
        }
        for user in 0..20 {
            let query = Query::for_user(format!("u{user}")).limit(4);
            for effort in [Effort::Popular, Effort::Kept, Effort::Unranked] {
                hurried.recommend_at(&query, effort).unwrap();
            }
            assert_eq!(names(&hurried, &query, Effort::Full), names(&calm, &query, Effort::Full), "u{user}");
        }
    }
}

#[test]
fn what_is_popular_in_haste_keeps_the_rules_of_the_scenario() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let query = Query::for_user("nobody").limit(8);
    let plain = engine.recommend_at(&query, Effort::Popular).unwrap();
    assert_eq!(plain.degraded, Some(Degraded::OverloadedPopular));
    let first = plain.items[0].item.clone();
    let pinned = item(2, 19);
    let scenario = format!(
        r#"
        [[rules]]
        rule = "exclude"
        filter = {{ must = [{{ has_id = ["{first}"] }}] }}
        [[rules]]
        rule = "exclude"
        filter = {{ must = [{{ key = "categories", match = {{ value = "group1" }} }}] }}
        [[rules]]
        rule = "pin"
        item = "{first}"
        position = 1
        [[rules]]
        rule = "pin"
        item = "{pinned}"
        position = 2
        [[rules]]
        rule = "slot"
        list = "chosen"
        positions = [4]
        [[rules]]
        rule = "max_per"
        key = "categories"
        limit = 3
        [[rules]]
        rule = "bury"
        filter = {{ must = [{{ key = "categories", match = {{ value = "group0" }} }}] }}
        [lists.chosen]
        items = ["{}", "{}"]
        "#,
        item(1, 3),
        item(3, 17),
    );
    engine.put_scenario("home", Scenario::from_toml(&scenario).unwrap(), None).unwrap();
    let answer = engine.recommend_at(&query.scenario("home"), Effort::Popular).unwrap();
    assert_eq!(answer.degraded, Some(Degraded::OverloadedPopular));
    let names: Vec<&str> = answer.items.iter().map(|item| item.item.as_str()).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(names.iter().all(|name| *name != first && !name.starts_with("g1-")), "{names:?}");
    assert_eq!((names[2], names[4]), (pinned.as_str(), "g3-17"));
    assert_eq!((answer.items[2].source, answer.items[4].source), (Source::Pin, Source::List));
    assert_eq!(answer.items[2].rules, ["pin:3"]);
    let count = |group: &str| names.iter().filter(|name| name.starts_with(group)).count();
    assert_eq!((count("g0-"), count("g2-"), count("g3-")), (2, 3, 3), "{names:?}");
    assert!(names[6..].iter().all(|name| name.starts_with("g0-")), "what is buried comes last: {names:?}");
}

#[test]
fn a_batch_in_parts_is_what_the_questions_get_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let queries: Vec<Query> = (0..150).map(|user| Query::for_user(format!("u{}", user % 90)).limit(3)).collect();
    let answers = engine.recommend_many(&queries).unwrap();
    assert_eq!(answers.len(), queries.len());
    for (query, answer) in queries.iter().zip(answers) {
        assert_eq!(answer.items, engine.recommend(query).unwrap().items);
    }
}
