//! A model of explicit ratings through the whole loop: learned, measured, served to known and to new users, explained.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)] // Its small world is one of clicks.
mod support;

use savor::{
    Config, Engine, EvaluateOptions, Event, ModelKind, Query, SessionItem, Silent, Source, TrainConfig, TrainOptions,
    report,
};
use support::{GROUP, GROUPS, Random, USERS, config, item, time};

fn config_of_ratings() -> Config {
    let mut config = config();
    config.train = TrainConfig { model: ModelKind::Ratings, ..TrainConfig::default() };
    config.train.ratings.dimension = 8;
    config
}

fn stars(user: usize, group: usize) -> f64 {
    if group == user % GROUPS { 5.0 } else { 2.0 }
}

/// Everybody rates forty items: five stars for the own group, two for others.
fn world(dir: &std::path::Path) -> Engine {
    let mut random = Random(3);
    let engine = Engine::open(dir, config_of_ratings()).unwrap();
    let events: Vec<Event> = (0..USERS * 40)
        .map(|place| {
            let (user, group) = (place % USERS, random.below(GROUPS));
            let name = item(group, random.below(GROUP));
            let rating = Event::new(format!("u{user}"), name, "rating").at(time(place as i64));
            Event { value: Some(stars(user, group)), ..rating }
        })
        .collect();
    engine.append_events(&events).unwrap();
    engine
}

fn trained(dir: &std::path::Path) -> Engine {
    let engine = world(dir);
    let snapshot = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(snapshot).unwrap();
    engine
}

fn group_of(item: &str) -> usize {
    item[1..].split('-').next().unwrap().parse().unwrap()
}

#[test]
fn ratings_are_foretold_better_than_by_the_baselines() {
    let dir = tempfile::tempdir().unwrap();
    let evaluation = world(dir.path()).evaluate(&EvaluateOptions::default(), &Silent).unwrap();
    let page = report::evaluation_page(&evaluation);
    let ratings = evaluation.ratings.unwrap();
    let rmse = |name: &str| ratings.model(name).unwrap().errors[0].mean;
    assert!(rmse("ratings") < 0.5 * rmse("bias"), "{} and {}", rmse("ratings"), rmse("bias"));
    assert!(rmse("ratings") < 0.5 * rmse("mean"), "{} and {}", rmse("ratings"), rmse("mean"));
    for cell in
        ["rmse to bias".to_owned(), format!("<td>{:.4}</td>", rmse("ratings")), format!("<td>{:.4}</td>", rmse("mean"))]
    {
        assert!(page.contains(&cell), "{cell} in {page}");
    }
}

#[test]
fn models_of_preferences_have_no_rating_errors() {
    let dir = tempfile::tempdir().unwrap();
    let train = Some(TrainConfig { model: ModelKind::Popularity, ..TrainConfig::default() });
    let options = EvaluateOptions { train, ..EvaluateOptions::default() };
    assert!(world(dir.path()).evaluate(&options, &Silent).unwrap().ratings.is_none());
}

#[test]
fn a_known_user_gets_what_would_be_rated_best_with_that_rating_as_score() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let answer = engine.recommend(&Query::for_user("u2").limit(3)).unwrap();
    for recommended in &answer.items {
        assert_eq!((recommended.source, group_of(&recommended.item)), (Source::Personal, 2));
        assert!((recommended.score - 5.0).abs() < 0.8, "{}", recommended.score);
    }
}

#[test]
fn low_ratings_of_a_new_user_count_too_and_the_parts_sum_to_the_score() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let rated = |group: usize, place: usize, stars: f64| SessionItem {
        item: item(group, place),
        kind: "rating".into(),
        value: Some(stars),
    };
    let session: Vec<_> =
        (0..8).flat_map(|place| (0..3).map(move |group| rated(group, place, 2.0))).chain([rated(3, 1, 5.0)]).collect();
    let query = Query { session, ..Query::for_session(Vec::<String>::new()).limit(5).explain() };
    let answer = engine.recommend(&query).unwrap();
    for recommended in &answer.items {
        assert_eq!(group_of(&recommended.item), 3, "{}", recommended.item);
        let because = recommended.because.as_ref().unwrap();
        assert_eq!(because.len(), 25);
        let sum: f64 = because.iter().map(|part| part.weight).sum();
        assert!((sum - recommended.score).abs() < 1e-3, "{sum} for {}", recommended.score);
    }
}

#[test]
fn without_ratings_training_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), config_of_ratings()).unwrap();
    engine.append_events(&support::events()).unwrap();
    let error = engine.train(&TrainOptions::default()).unwrap_err();
    assert_eq!(error.code(), "no_data");
    assert!(error.to_string().contains("rating"), "{error}");
}
