//! Filters while items change: whatever reading and writing come at once, in the end a filter lets through what it says.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::{Config, Engine, Filter, Item, ListKind, ListQuery, Value};
use serde_json::json;

const ITEMS: usize = 60;

fn above(price: usize) -> Filter {
    serde_json::from_value(json!({"must": [{"key": "price", "range": {"gte": price}}]})).unwrap()
}

fn branded(brand: usize) -> Filter {
    serde_json::from_value(json!({"must_not": [{"key": "brand", "match": {"value": format!("b{brand}")}}]})).unwrap()
}

fn listed(engine: &Engine, filter: &Filter) -> BTreeSet<String> {
    let query = ListQuery { limit: 1_000, filter: Some(filter.clone()), ..ListQuery::new(ListKind::Latest) };
    engine.list(&query).unwrap().items.into_iter().map(|item| item.item).collect()
}

/// Attributes come and go, and come back as they were.
fn some_item(random: &mut ChaCha8Rng) -> Item {
    let mut item = Item::new(format!("i{}", random.random_range(0..ITEMS)));
    if random.random_range(0..3) > 0 {
        item.attributes.insert("price".into(), Value::from(random.random_range(0..40) as f64));
    }
    if random.random_range(0..3) > 0 {
        item.attributes.insert("brand".into(), format!("b{}", random.random_range(0..4)).into());
    }
    item.hidden = random.random_range(0..8) == 0;
    item
}

#[test]
fn filters_are_exact_after_writers_and_readers_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::from_toml("[store]\ndurability = \"async\"\n").unwrap();
    let engine = Engine::open(dir.path(), config).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    let mut random = ChaCha8Rng::seed_from_u64(writer);
                    for _ in 0..600 {
                        match random.random_range(0..12) {
                            0 => drop(engine.delete_item(&format!("i{}", random.random_range(0..ITEMS))).unwrap()),
                            _ => {
                                let items: Vec<_> =
                                    (0..random.random_range(1..4)).map(|_| some_item(&mut random)).collect();
                                engine.put_items(&items).unwrap();
                            }
                        }
                    }
                })
            })
            .collect();
        // Each range is asked for the first time while items change.
        let reader = scope.spawn(|| {
            let mut price = 0;
            while !stop.load(Ordering::Relaxed) {
                listed(&engine, &above(price % 40));
                listed(&engine, &branded(price % 5));
                price += 1;
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let items = engine.items(None, 1_000).unwrap().entries;
    for filter in (0..40).map(above).chain((0..5).map(branded)) {
        let passes = |item: &&Item| !item.hidden && filter.matches(item);
        let expected: BTreeSet<String> = items.iter().filter(passes).map(|item| item.id.clone()).collect();
        assert_eq!(listed(&engine, &filter), expected, "{filter:?}");
        assert_eq!(engine.count(&filter).unwrap(), expected.len() as u64);
    }
}
