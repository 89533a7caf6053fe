//! Evaluation through the library: splits, comparisons on the same users, snapshots on later events, the page.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use savor::{
    Contender, Engine, EvaluateOptions, Evaluation, Event, ModelKind, Silent, SliceKind, Split, TrainConfig,
    TrainOptions, report,
};
use support::{GROUP, GROUPS, Random, USERS, config, item, time, world};

fn evaluate(engine: &Engine, split: Split, compare: Vec<Contender>) -> savor::Evaluation {
    let options = EvaluateOptions { split: Some(split), compare, ..EvaluateOptions::default() };
    engine.evaluate(&options, &Silent).unwrap()
}

fn contender(name: &str, train: TrainConfig) -> Contender {
    Contender { name: name.into(), train }
}

#[test]
fn folds_test_each_pair_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let mut pairs: Vec<_> = support::events().into_iter().map(|event| (event.user, event.item)).collect();
    pairs.sort();
    pairs.dedup();
    let evaluation = evaluate(&engine, Split::Folds { folds: 4 }, Vec::new());
    let report = &evaluation.report;
    assert_eq!(report.folds, 4);
    assert_eq!(report.test_pairs + report.dropped_pairs, pairs.len() as u64);
    assert_eq!(report.users, USERS as u64, "everybody is tested somewhere");
    assert!((report.training_pairs as f64 / pairs.len() as f64 - 0.75).abs() < 0.01);
    let deciles = report.slices.iter().filter(|slice| slice.kind == SliceKind::ItemPopularity);
    assert_eq!(deciles.map(|slice| slice.pairs).sum::<u64>(), report.test_pairs);
}

#[test]
fn what_was_seen_is_in_no_list_and_not_to_be_found_where_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    // Everybody has disliked an item early on that everybody takes in the end.
    let one = |user: usize, kind: &str, seconds| Event::new(format!("u{user}"), item(3, 7), kind).at(time(seconds));
    let disliked: Vec<_> = (0..USERS).map(|user| one(user, "dislike", user as i64)).collect();
    let taken: Vec<_> = (0..USERS).map(|user| one(user, "click", 1_000 + user as i64)).collect();
    engine.append_events(&disliked).unwrap();
    engine.append_events(&taken).unwrap();
    let split = Some(Split::Time { train: 0.8 });
    let report = |exclude_seen| {
        let options = EvaluateOptions { split, exclude_seen, ..EvaluateOptions::default() };
        engine.evaluate(&options, &Silent).unwrap().report
    };
    let (plain, unseen) = (report(false), report(true));
    assert_eq!(plain.test_pairs + plain.dropped_pairs, unseen.test_pairs + unseen.dropped_pairs);
    assert!(plain.test_pairs > unseen.test_pairs + USERS as u64 / 2, "{} {}", plain.test_pairs, unseen.test_pairs);
    assert!(unseen.split.contains("left out") && !plain.split.contains("left out"), "{}", unseen.split);
}

#[test]
fn contenders_are_measured_on_the_same_users_and_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let own = config().train;
    let crushed = TrainConfig { model: ModelKind::Ials, dimension: 1, epochs: 1, regularization: 1e6, ..own.clone() };
    let compare = vec![contender("crushed", crushed), contender("same", own)];
    let Evaluation { trained, compared, report, .. } = evaluate(&engine, Split::Folds { folds: 2 }, compare);
    let names: Vec<_> = report.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["popularity", &trained.name, "crushed", "same"]);
    assert_eq!((compared.len(), report.comparisons.len()), (2, 6));
    let difference = |a: &str, b: &str| report.comparison(a, b).unwrap().metric("ndcg@10").unwrap().clone();
    let worse = difference(&trained.name, "crushed");
    assert!(worse.high < 0.0 && worse.p.unwrap() < 0.01 && worse.p <= worse.p_holm, "{worse:?}");
    let same = difference(&trained.name, "same");
    assert_eq!((same.mean, same.p, same.p_holm), (0.0, Some(1.0), Some(1.0)));
    let twice = EvaluateOptions { compare: vec![contender("a", config().train); 2], ..EvaluateOptions::default() };
    assert_eq!(engine.evaluate(&twice, &Silent).unwrap_err().code(), "invalid");
}

#[test]
fn snapshots_are_compared_on_events_that_neither_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let train = |train: TrainConfig| {
        engine.train(&TrainOptions { train: Some(train), measure: false, ..TrainOptions::default() }).unwrap()
    };
    let crushed =
        train(TrainConfig { model: ModelKind::Ials, dimension: 1, epochs: 1, regularization: 1e6, ..config().train });
    // The second has seen more, and an item that the first does not know.
    let newer = |user: usize, name: String, seconds| Event::new(format!("u{user}"), name, "click").at(time(seconds));
    let more: Vec<_> = (0..8).map(|user| newer(user * GROUPS, "novelty".into(), 5_000)).collect();
    engine.append_events(&more).unwrap();
    let good = train(config().train);
    let refused = engine.compare_snapshots(crushed, good, &Silent).unwrap_err();
    assert_eq!(refused.code(), "no_data", "{refused}");
    assert!(refused.to_string().contains("wait for new events"), "{refused}");

    // What came later: everybody stays with their taste; one user is new to both.
    let mut random = Random(11);
    let mut later: Vec<_> =
        (0..USERS).map(|user| newer(user, item(user % GROUPS, random.below(GROUP)), 6_000 + user as i64)).collect();
    later.push(newer(USERS + 5, item(0, 0), 7_000));
    later.push(newer(40, "novelty".into(), 7_001));
    engine.append_events(&later).unwrap();
    let comparison = engine.compare_snapshots(crushed, good, &Silent).unwrap();
    let report = &comparison.report;
    assert_eq!(comparison.newest_event, time(5_000));
    assert_eq!(report.training_items, 1 + (GROUP * GROUPS) as u64, "the catalogue is of both");
    assert_eq!(report.test_pairs + report.dropped_pairs, USERS as u64 + 2);
    assert!(report.dropped_pairs >= 1, "nobody can be folded in without a history");
    let names = [crushed, good].map(|id| format!("snapshot {id}"));
    let difference = report.comparison(&names[0], &names[1]).unwrap().metric("recall@20").unwrap();
    assert!(difference.low > 0.0 && difference.p.unwrap() < 0.01, "{difference:?}");
    let other_way = engine.compare_snapshots(good, crushed, &Silent).unwrap();
    let other_way = other_way.report.comparison(&names[1], &names[0]).unwrap().metric("recall@20").unwrap().clone();
    assert_eq!((other_way.mean, other_way.p), (-difference.mean, difference.p));
    assert_eq!(engine.compare_snapshots(good, good, &Silent).unwrap_err().code(), "invalid");
    let page = report::comparison_page(&comparison);
    assert!(page.contains(&format!("snapshot {good} against snapshot {crushed}")));
}

#[test]
fn the_page_holds_every_model_and_escapes_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let evaluation = evaluate(&engine, Split::Time { train: 0.8 }, vec![contender("<b>&", config().train)]);
    let page = report::evaluation_page(&evaluation);
    assert!(page.contains("&lt;b&gt;&amp;") && !page.contains("<b>&"), "{page}");
    for part in ["popularity", "<svg", "ndcg@10", "How to read this", "unobserved_weight", "prefers-color-scheme"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("NaN") && !page.contains("<script"));
}

#[test]
fn events_without_times_are_split_by_pairs_and_the_report_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), config()).unwrap();
    let events: Vec<_> = support::events().into_iter().map(|event| event.at(time(0))).collect();
    engine.append_events(&events).unwrap();
    let report = evaluate(&engine, Split::Time { train: 0.8 }, Vec::new()).report;
    assert!(report.split.contains("no times"), "{}", report.split);
}
