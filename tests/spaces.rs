//! Raw vectors that change while they are searched, through the engine's public face: whatever is put, replaced, deleted or
//! filtered, and whenever the background freezes, an answer is that of a plain map in which every vector is scored.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::{Config, Engine, Filter, IndexChoice, Item, Metric, VectorQuery};
use serde_json::json;

const SPACE: &str = "text";
const DIMENSION: usize = 6;

fn engine(dir: &tempfile::TempDir, metric: Metric, kind: IndexChoice) -> Engine {
    let mut config = Config::default();
    config.store.durability = savor::Durability::Async;
    config.index.spaces.insert(SPACE.into(), metric);
    config.index.kind = kind;
    config.index.graph_from = 1_000;
    Engine::open(dir.path().join("data"), config).unwrap()
}

/// Whole numbers: products are exact, equal scores are frequent.
fn vector(random: &mut impl Rng) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..DIMENSION).map(|_| random.random_range(-4i8..5).into()).collect();
    vector[0] += 0.5;
    vector
}

fn item(id: u32, vector: Option<&Vec<f32>>) -> Item {
    let mut item = Item::new(id.to_string());
    item.attributes.insert("third".into(), f64::from(id % 3).into());
    item.attributes.insert("number".into(), f64::from(id).into());
    item.vectors.extend(vector.map(|vector| (SPACE.to_owned(), vector.clone())));
    item
}

fn score(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    match metric {
        Metric::Dot => dot(a, b),
        Metric::Cosine => dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
        Metric::L2 => -a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>(),
    }
}

/// Asks the engine, and looks at the answer beside that of the map.
fn check(engine: &Engine, metric: Metric, truth: &BTreeMap<u32, Vec<f32>>, random: &mut impl Rng) {
    let (asked, limit) = (vector(random), random.random_range(1..30));
    let (filter, passes): (Option<Filter>, Box<dyn Fn(u32) -> bool>) = match random.random_range(0..3) {
        0 => (None, Box::new(|_| true)),
        1 => {
            let filter = json!({"must": [{"key": "third", "match": {"value": 1.0}}]});
            (Some(serde_json::from_value(filter).unwrap()), Box::new(|id| id % 3 == 1))
        }
        _ => {
            let filter = json!({"must": [{"key": "number", "range": {"lt": 40}}]});
            (Some(serde_json::from_value(filter).unwrap()), Box::new(|id| id < 40))
        }
    };
    let query = VectorQuery { space: SPACE.into(), vector: asked.clone(), limit, filter, explain: true };
    let answer = engine.search_vectors(&query).unwrap();
    let scored = |(id, vector): (&u32, &Vec<f32>)| passes(*id).then(|| score(metric, &asked, vector));
    let mut expected: Vec<f64> = truth.iter().filter_map(scored).collect();
    expected.sort_by(|a, b| b.total_cmp(a));
    expected.truncate(limit);
    assert_eq!(answer.items.len(), expected.len());
    let mut seen = std::collections::BTreeSet::new();
    for (found, expected) in answer.items.iter().zip(expected) {
        let id: u32 = found.item.parse().unwrap();
        let vector = truth.get(&id).unwrap_or_else(|| panic!("{id} is in an answer and has no vector"));
        assert!(passes(id) && seen.insert(id));
        assert!((score(metric, &asked, vector) - found.score).abs() < 1e-5, "{id} has an old score");
        assert!((expected - found.score).abs() < 1e-5, "a better one than {id} was missed");
    }
    let trace = answer.search.unwrap();
    assert_eq!(trace.vectors, truth.len() as u64);
}

/// Ids up to so many: most puts replace.
const IDS: u32 = 4_000;

fn changes_are_followed(metric: Metric) {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir, metric, IndexChoice::Exact);
    let mut random = ChaCha8Rng::seed_from_u64(metric as u64);
    let mut truth = BTreeMap::new();
    let mut was_frozen = false;
    for turn in 0..100 {
        let mut items = Vec::new();
        for _ in 0..random.random_range(1..300) {
            let id = random.random_range(0..IDS);
            // Some lose their vector and stay.
            let vector = random.random_bool(0.9).then(|| vector(&mut random));
            items.push(item(id, vector.as_ref()));
            match vector {
                Some(vector) => truth.insert(id, vector),
                None => truth.remove(&id),
            };
        }
        engine.put_items(&items).unwrap();
        for _ in 0..random.random_range(0..40) {
            let id = random.random_range(0..IDS);
            engine.delete_item(&id.to_string()).unwrap();
            truth.remove(&id);
        }
        if turn > 0 {
            (0..4).for_each(|_| check(&engine, metric, &truth, &mut random));
        }
        let report = || engine.indexes().unwrap().pop().unwrap();
        assert_eq!(report().vectors, truth.len() as u64);
        // Now and then what is being frozen comes back before anything else changes.
        while turn % 20 == 19 && report().is_freezing {
            std::thread::yield_now();
        }
        was_frozen |= report().waiting < truth.len() as u64 / 2;
    }
    assert!(was_frozen, "nothing was frozen meanwhile: the test lost its point");
}

#[test]
fn changes_of_a_cosine_space_are_followed() {
    changes_are_followed(Metric::Cosine);
}

#[test]
fn changes_of_a_space_of_inner_products_are_followed() {
    changes_are_followed(Metric::Dot);
}

#[test]
fn changes_of_a_space_of_distances_are_followed() {
    changes_are_followed(Metric::L2);
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn searches_beside_a_writer_find_what_was_put_and_nothing_that_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir, Metric::Cosine, IndexChoice::Auto);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    const FIRST: u64 = 3_000;
    let items: Vec<Item> = (0..FIRST).map(|id| item(id as u32, Some(&vector(&mut random)))).collect();
    engine.put_items(&items).unwrap();
    let (gone, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let nearest = |vector: Vec<f32>, limit| {
        engine
            .search_vectors(&VectorQuery { space: SPACE.into(), vector, limit, filter: None, explain: false })
            .unwrap()
    };
    nearest(vector(&mut random), 1);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (gone, done, nearest) = (&gone, &done, &nearest);
            scope.spawn(move || {
                let mut random = ChaCha8Rng::seed_from_u64(reader);
                while !done.load(Ordering::SeqCst) {
                    let before = gone.load(Ordering::SeqCst);
                    let found = nearest(vector(&mut random), 20);
                    assert_eq!(found.items.len(), 20);
                    let ids = found.items.iter().map(|item| item.item.parse::<u64>().unwrap());
                    ids.for_each(|id| assert!(id >= before, "{id} was deleted before it was asked"));
                }
            });
        }
        // Also when an assertion below fails, the readers end.
        let _done = Done(&done);
        for turn in 0..120 {
            let first = FIRST + turn * 20;
            let items: Vec<Item> = (first..first + 20).map(|id| item(id as u32, Some(&vector(&mut random)))).collect();
            engine.put_items(&items).unwrap();
            for put in &items {
                let found = nearest(put.vectors[SPACE].clone(), 1);
                let score = found.items.first().unwrap().score;
                assert!(score > 1.0 - 1e-5, "{} was put and is not found: the nearest has {score}", put.id);
            }
            for _ in 0..20 {
                let oldest = gone.load(Ordering::SeqCst);
                engine.delete_item(&oldest.to_string()).unwrap();
                gone.store(oldest + 1, Ordering::SeqCst);
            }
        }
    });
}
