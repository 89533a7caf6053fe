//! What every model promises, whatever it has learned: answers, the last click, explanations, a journey in a bundle, the
//! same after a reopening.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)] // Here its small world is opened under many settings.
mod support;

use std::path::Path;

use savor::{Config, Engine, Event, ModelKind, Query, RankQuery, Source, TrainOptions};
use support::{USERS, events, item, items};

const MODELS: [ModelKind; 5] =
    [ModelKind::Blend, ModelKind::Ials, ModelKind::Filter, ModelKind::Linear, ModelKind::Popularity];

fn config(model: ModelKind) -> Config {
    let mut config = support::config();
    config.train.model = model;
    // A ranker also looks at the events that are here, wherever the model comes from.
    config.ranker.enabled = false;
    config
}

fn trained(dir: &Path, model: ModelKind) -> Engine {
    let engine = Engine::open(dir, config(model)).unwrap();
    engine.put_items(&items()).unwrap();
    engine.append_events(&events()).unwrap();
    let snapshot = engine.train(&TrainOptions::default()).unwrap();
    engine.activate(snapshot).unwrap();
    engine
}

#[test]
fn users_are_answered_personally_and_the_same_after_a_reopening() {
    for model in MODELS {
        let dir = tempfile::tempdir().unwrap();
        let engine = trained(dir.path(), model);
        assert_eq!(engine.snapshot(engine.active_snapshot().unwrap()).unwrap().train.model, model);
        let answers = |engine: &Engine| -> Vec<_> {
            let query = |user| Query::for_user(format!("u{user}")).limit(5);
            (0..USERS).map(|user| engine.recommend(&query(user)).unwrap().items).collect()
        };
        let before = answers(&engine);
        for items in &before {
            assert_eq!(items.len(), 5, "{model:?}");
            assert!(items.iter().all(|item| item.source == Source::Personal), "{model:?}: {items:?}");
            assert!(items.windows(2).all(|pair| pair[0].score >= pair[1].score), "{model:?}: {items:?}");
        }
        assert!(engine.check().unwrap().iter().all(|finding| finding.ok), "{model:?}");
        drop(engine);
        assert_eq!(answers(&Engine::open(dir.path(), config(model)).unwrap()), before, "{model:?}");
    }
}

#[test]
fn explained_scores_are_sums_and_ranking_gives_the_same() {
    for model in MODELS {
        let dir = tempfile::tempdir().unwrap();
        let engine = trained(dir.path(), model);
        let plain = engine.recommend(&Query::for_user("u3")).unwrap().items;
        let names: Vec<String> = plain.iter().map(|item| item.item.clone()).collect();
        let query = RankQuery { user: Some("u3".into()), explain: true, ..RankQuery::new(names) };
        for (plain, explained) in plain.iter().zip(&engine.rank(&query).unwrap().items) {
            let sum: f64 = explained.because.as_ref().unwrap().iter().map(|part| part.weight).sum();
            assert!((sum - explained.score).abs() < 1e-4, "{model:?}: {sum} is not {}", explained.score);
            assert!((plain.score - explained.score).abs() < 1e-3, "{model:?}: {plain:?} {explained:?}");
        }
    }
}

#[test]
fn a_newcomers_clicks_count_at_once() {
    for model in MODELS {
        let dir = tempfile::tempdir().unwrap();
        let engine = trained(dir.path(), model);
        let clicks: Vec<_> = (0..4).map(|place| Event::new("newcomer", item(3, place), "click")).collect();
        engine.append_events(&clicks).unwrap();
        let answer = engine.recommend(&Query::for_user("newcomer").limit(5)).unwrap();
        assert!(answer.items.iter().all(|item| item.source == Source::FoldIn), "{model:?}: {answer:?}");
        if model != ModelKind::Popularity {
            assert!(answer.items.iter().all(|item| item.item.starts_with("g3-")), "{model:?}: {answer:?}");
        }
    }
}

#[test]
fn a_bundle_brings_the_same_answers() {
    for model in MODELS {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let engine = trained(here.path(), model);
        let bundle = here.path().join("model.bundle");
        engine.export_snapshot(engine.active_snapshot().unwrap(), &bundle).unwrap();
        let other = Engine::open(there.path(), config(model)).unwrap();
        other.activate(other.import_snapshot(&bundle).unwrap()).unwrap();
        let query = Query::for_session([item(2, 0), item(2, 1)]).limit(5);
        let (a, b) = (engine.recommend(&query).unwrap().items, other.recommend(&query).unwrap().items);
        assert_eq!(a, b, "{model:?}");
    }
}
