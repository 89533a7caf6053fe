//! Two variants in one list, whatever they are: what bounds an answer bounds the mixture.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use savor::{Answer, Diversity, Engine, ExperimentDesign, MaxPer, Pin, Query, Source};
use support::{GROUP, GROUPS, item, items, world};

/// Every item is of its group and of one of five shelves.
fn engine(dir: &std::path::Path) -> Engine {
    let engine = world(dir);
    let mut items = items();
    for (number, item) in items.iter_mut().enumerate() {
        item.categories.push(format!("shelf{}", number * 7 % 5));
    }
    engine.put_items(&items).unwrap();
    engine.keep_exposures().unwrap();
    engine
}

fn interleave(engine: &Engine, other: &str) {
    let plan = format!(r#"{{"interleave":true,"variants":[{{"name":"A"}},{{"name":"B","query":{other}}}]}}"#);
    let plan: ExperimentDesign = serde_json::from_str(&plan).unwrap();
    engine.put_experiment("mixed", &plan).unwrap();
    engine.start_experiment("mixed").unwrap();
}

fn bounded(limit: usize, most: usize) -> Query {
    let max_per = Some(MaxPer { key: "categories".into(), limit: most });
    Query::for_user("u1").limit(limit).diversity(Diversity { max_per, ..Diversity::default() })
}

/// How many items there are of each category.
fn counts(engine: &Engine, answer: &Answer) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for item in &answer.items {
        for category in engine.item(&item.item).unwrap().unwrap().categories {
            *counts.entry(category).or_default() += 1;
        }
    }
    counts
}

#[test]
fn the_maximum_of_an_attribute_holds_for_the_list_that_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    // What A shows B leaves out: each side by itself is within the bounds, and both together twice over them.
    let excluded: Vec<String> =
        (0..GROUPS).flat_map(|group| (0..GROUP / 2).map(move |place| item(group, place))).collect();
    interleave(&engine, &serde_json::json!({ "exclude_items": excluded }).to_string());
    let draw = (1usize..12, 1usize..4, "[a-z]{1,4}", prop::collection::vec((0..GROUPS, 0..GROUP, 0usize..12), 0..3));
    let run = |(limit, most, user, pins): (usize, usize, String, Vec<(usize, usize, usize)>)| {
        let pin = |(group, place, position)| Pin { name: None, item: item(group, place), position };
        let pin: Vec<Pin> = pins.into_iter().map(pin).collect();
        let query = Query { user: Some(user), pin, ..bounded(limit, most) };
        let answer = engine.recommend(&query).unwrap();
        let names: BTreeSet<&str> = answer.items.iter().map(|item| item.item.as_str()).collect();
        prop_assert_eq!(names.len(), answer.items.len());
        // Pinned ones are not bounded.
        let chosen: Vec<_> = answer.items.iter().filter(|item| item.source != Source::Pin).cloned().collect();
        let chosen = Answer { items: chosen, ..answer.clone() };
        let counts = counts(&engine, &chosen);
        prop_assert!(counts.values().all(|count| *count <= most), "{counts:?} {answer:?}");
        Ok(())
    };
    TestRunner::new(Runs::with_cases(200)).run(&draw, run).unwrap();
}

#[test]
fn what_is_passed_over_leaves_no_gap_and_both_sides_have_their_turns() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let excluded: Vec<String> =
        (0..GROUPS).flat_map(|group| (0..GROUP / 2).map(move |place| item(group, place))).collect();
    interleave(&engine, &serde_json::json!({ "exclude_items": excluded }).to_string());
    for user in 0..40 {
        // Eight of four groups, two of each, are all that may be.
        let answer = engine.recommend(&Query { user: Some(format!("v{user}")), ..bounded(8, 2) }).unwrap();
        assert_eq!(answer.items.len(), 8, "{answer:?}");
        assert!(answer.next.is_some());
        let shown = engine.exposure(&answer.recommendation_id).unwrap().unwrap().items;
        let of_b = shown.iter().filter(|shown| shown.team.as_deref() == Some("B")).count();
        assert!((3..=5).contains(&of_b), "{shown:?}");
    }
}

#[test]
fn each_side_is_bounded_by_what_bounds_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    interleave(&engine, r#"{"diversity":{"max_per":{"key":"categories","limit":9}},"category":"group2"}"#);
    let answer = engine.recommend(&bounded(10, 1)).unwrap();
    let shown = engine.exposure(&answer.recommendation_id).unwrap().unwrap().items;
    let of = |team: &str| shown.iter().filter(|shown| shown.team.as_deref() == Some(team)).count();
    let of_group = shown.iter().filter(|shown| shown.item.starts_with("g2-")).count();
    assert!(of("B") >= 5 && of_group <= 9, "{shown:?}");
    let of_a: Vec<_> = shown.iter().filter(|shown| shown.team.as_deref() == Some("A")).collect();
    assert!(of_a.iter().filter(|shown| shown.item.starts_with("g2-")).count() <= 1, "{of_a:?}");
}
