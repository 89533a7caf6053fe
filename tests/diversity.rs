//! Answers whose items differ, through the library's face.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use savor::{Answer, CalibrationTo, Diversity, Engine, EvaluateOptions, MaxPer, Query, Silent, TrainOptions};
use support::{GROUPS, item, world};

fn trained(dir: &std::path::Path) -> Engine {
    let engine = world(dir);
    let snapshot = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(snapshot).unwrap();
    engine
}

/// How many items of each group.
fn groups(answer: &Answer) -> BTreeMap<String, usize> {
    let mut groups = BTreeMap::new();
    for item in &answer.items {
        let (group, _) = item.item.split_once('-').unwrap();
        *groups.entry(group.to_owned()).or_default() += 1;
    }
    groups
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.items.iter().map(|item| item.item.as_str()).collect()
}

#[test]
fn no_category_comes_more_often_than_it_may_not_even_where_popular_items_fill_up() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let quota = MaxPer { key: "categories".into(), limit: 2 };
    let diversity = Diversity { max_per: Some(quota), ..Diversity::default() };
    for user in ["u0", "u5", "nobody"] {
        let plain = engine.recommend(&Query::for_user(user).limit(6)).unwrap();
        let bounded = engine.recommend(&Query::for_user(user).limit(6).diversity(diversity.clone())).unwrap();
        assert_eq!(bounded.items.len(), 6, "{user}");
        assert!(groups(&bounded).values().all(|count| *count <= 2), "{user}: {bounded:?}");
        assert_eq!(bounded.items[0], plain.items[0], "the best is the best");
    }
    // As many as the quotas of all groups let in, and no more.
    let most = engine.recommend(&Query::for_user("u0").limit(30).diversity(diversity)).unwrap();
    assert_eq!(most.items.len(), 2 * GROUPS);
}

#[test]
fn weight_by_weight_the_answer_leaves_the_users_own_group() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let of = |diversity: Diversity| engine.recommend(&Query::for_user("u0").limit(8).diversity(diversity)).unwrap();
    let plain = engine.recommend(&Query::for_user("u0").limit(8)).unwrap();
    let none = of(Diversity { mmr: Some(0.0), ..Diversity::default() });
    assert_eq!(ids(&none), ids(&plain));
    let marginal = of(Diversity { mmr: Some(0.7), ..Diversity::default() });
    let determinant = of(Diversity { dpp: Some(0.7), ..Diversity::default() });
    for diverse in [&marginal, &determinant] {
        assert!(groups(diverse).len() > groups(&plain).len(), "{:?} and {:?}", groups(diverse), groups(&plain));
    }
    // An item keeps its score.
    let scores: BTreeMap<&str, f64> = marginal.items.iter().map(|item| (item.item.as_str(), item.score)).collect();
    for item in &plain.items {
        assert!(scores.get(item.item.as_str()).is_none_or(|score| *score == item.score));
    }
}

#[test]
fn a_calibrated_answer_has_the_mix_of_the_past() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let half: Vec<String> = (0..3).map(|place| item(0, place)).chain((0..3).map(|place| item(1, place))).collect();
    let calibration = CalibrationTo { key: "categories".into(), weight: 0.99 };
    let diversity = Diversity { calibration: Some(calibration), ..Diversity::default() };
    let answer = engine.recommend(&Query::for_session(half).limit(8).diversity(diversity)).unwrap();
    let groups = groups(&answer);
    assert_eq!((groups.get("g0"), groups.get("g1")), (Some(&4), Some(&4)), "{groups:?}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let refused =
        |diversity: Diversity| engine.recommend(&Query::for_user("u0").diversity(diversity)).unwrap_err().to_string();
    let both = Diversity { mmr: Some(0.2), dpp: Some(0.2), ..Diversity::default() };
    assert!(refused(both).contains("more than one of mmr, dpp and calibration"));
    assert!(refused(Diversity { mmr: Some(1.5), ..Diversity::default() }).contains("diversity.mmr"));
    let nothing = MaxPer { key: "brand".into(), limit: 0 };
    assert!(refused(Diversity { max_per: Some(nothing), ..Diversity::default() }).contains("diversity.max_per.limit"));
}

#[test]
fn evaluation_measures_lists_as_they_are_and_arranged_on_the_same_users() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let measured = |diversity: Option<Diversity>| {
        let options = EvaluateOptions { diversity, ..EvaluateOptions::default() };
        engine.evaluate(&options, &Silent).unwrap().report
    };
    let plain = measured(None);
    let blend = plain.model("blend").unwrap();
    assert!(blend.metric("category_diversity@10").is_some() && blend.metric("calibration_error@20").is_some());

    let differing = |name: &str, diversity: Diversity| {
        let report = measured(Some(diversity));
        assert_eq!(report.model("blend").unwrap().metrics, blend.metrics, "what is beside it changes nothing");
        let pair = report.comparison("blend", name).unwrap().clone();
        move |metric: &str| pair.metric(metric).unwrap().mean
    };
    let none = differing("blend, mmr 0", Diversity { mmr: Some(0.0), ..Diversity::default() });
    assert_eq!([none("ndcg@10"), none("vector_diversity@10"), none("calibration_error@10")], [0.0; 3]);
    let marginal = differing("blend, mmr 0.7", Diversity { mmr: Some(0.7), ..Diversity::default() });
    assert!(marginal("vector_diversity@10") > 0.05 && marginal("category_diversity@10") > 0.05);
    assert!(marginal("ndcg@10") < 0.0, "people here like what is alike");
    let to_categories = CalibrationTo { key: "categories".into(), weight: 0.9 };
    let diversity = Diversity { calibration: Some(to_categories), ..Diversity::default() };
    let calibrated = differing("blend, calibration 0.9 to categories", diversity);
    assert!(calibrated("calibration_error@20") < -0.01, "{}", calibrated("calibration_error@20"));
    let quota = MaxPer { key: "categories".into(), limit: 2 };
    let bounded =
        differing("blend, at most 2 per categories", Diversity { max_per: Some(quota), ..Diversity::default() });
    assert!(bounded("category_diversity@10") > 0.0);

    let both = EvaluateOptions {
        diversity: Some(Diversity { mmr: Some(0.2), dpp: Some(0.2), ..Diversity::default() }),
        ..EvaluateOptions::default()
    };
    assert_eq!(engine.evaluate(&both, &Silent).unwrap_err().code(), "invalid");
}
