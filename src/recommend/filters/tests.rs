//! Random writes and random filters: the bitmaps against [`Filter::matches`] asked about every item.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::config::{Durability, RecommendConfig, StoreConfig};
use crate::recommend::Catalog;
use crate::record::{
    Bound, Condition, CountRange, Filter, HasIdCondition, IsEmptyCondition, ItemPatch, KeyName, Match, MatchCondition,
    Range, RangeCondition, Timestamp, Value, ValuesCountCondition,
};

/// Values that are nearly alike, in one way or another.
fn value() -> impl Strategy<Value = Value> {
    let numbers = select(vec![-1.5, -0.0, 0.0, 1.0, 2.0, 1e300]).prop_map(Value::Number);
    let texts = select(vec!["", "a", "a\0", "ab", "1", "2024-01-01", "2024-01-01T00:00:00.001Z", "2024-13-01"]);
    let long = select(vec!["x".repeat(255), "x".repeat(256), "x".repeat(300)]).prop_map(Value::Text);
    prop_oneof![4 => numbers, 4 => texts.prop_map(Value::from), 1 => long, 1 => any::<bool>().prop_map(Value::Bool)]
}

fn key() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "a\0", "time", "categories"]).prop_map(str::to_owned)
}

fn attribute() -> impl Strategy<Value = Value> {
    prop_oneof![3 => value(), 1 => vec(value(), 0..4).prop_map(Value::List)]
}

fn time() -> impl Strategy<Value = Timestamp> {
    let day = 1_704_067_200_000;
    select(vec![-1, 0, 1, day, day + 1]).prop_map(|millis| Timestamp::from_millis(millis).unwrap())
}

fn categories() -> impl Strategy<Value = Vec<String>> {
    vec(select(vec!["a", "ab", "c"]).prop_map(str::to_owned), 0..3)
}

fn item() -> impl Strategy<Value = Item> {
    let name = (0..8u8).prop_map(|n| format!("i{n}"));
    let attributes = prop::collection::btree_map(key(), attribute(), 0..4);
    (name, categories(), attributes, prop::option::of(time()), prop::bool::weighted(0.2)).prop_map(
        |(id, categories, attributes, time, hidden)| Item { categories, attributes, time, hidden, ..Item::new(id) },
    )
}

fn patch() -> impl Strategy<Value = ItemPatch> {
    let attributes = prop::collection::btree_map(key(), prop::option::of(attribute()), 0..3);
    let categories = prop::option::of(categories());
    (categories, attributes, prop::option::of(time()), prop::option::of(any::<bool>())).prop_map(
        |(categories, attributes, time, hidden)| ItemPatch {
            categories,
            attributes,
            time,
            hidden,
            vectors: BTreeMap::new(),
        },
    )
}

fn range() -> impl Strategy<Value = Range> {
    let of = |bound: BoxedStrategy<Bound>| {
        let bound = prop::option::of(bound);
        (bound.clone(), bound.clone(), bound.clone(), bound).prop_map(|(gt, gte, lt, lte)| Range { gt, gte, lt, lte })
    };
    let number = select(vec![-1.5, -0.0, 0.0, 0.5, 1.0, 1e300]).prop_map(Bound::Number).boxed();
    prop_oneof![of(number), of(time().prop_map(Bound::Time).boxed())]
}

fn condition() -> impl Strategy<Value = Condition> {
    let matches = prop_oneof![
        attribute().prop_map(Match::Value),
        vec(value(), 0..4).prop_map(Match::Any),
        vec(value(), 0..4).prop_map(Match::Except)
    ];
    let count = || prop::option::of(0..4u32);
    let counts = (count(), count(), count(), count()).prop_map(|(gt, gte, lt, lte)| CountRange { gt, gte, lt, lte });
    let ids = prop::collection::btree_set((0..9u8).prop_map(|n| format!("i{n}")), 0..4);
    let leaf = prop_oneof![
        4 => (key(), matches).prop_map(|(key, matches)| Condition::Match(MatchCondition { key, matches })),
        3 => (key(), range()).prop_map(|(key, range)| Condition::Range(RangeCondition { key, range })),
        2 => (key(), counts)
            .prop_map(|(key, values_count)| Condition::ValuesCount(ValuesCountCondition { key, values_count })),
        1 => key().prop_map(|key| Condition::IsEmpty(IsEmptyCondition { is_empty: KeyName { key } })),
        1 => ids.prop_map(|has_id| Condition::HasId(HasIdCondition { has_id })),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        (vec(inner.clone(), 0..3), vec(inner.clone(), 0..3), vec(inner, 0..2))
            .prop_map(|(must, should, must_not)| Condition::Nested(Filter { must, should, must_not }))
    })
}

#[derive(Clone, Debug)]
enum Operation {
    Put(Vec<Item>),
    Patch(u8, ItemPatch),
    Delete(u8),
    /// Another snapshot, with the items of some rows.
    Train(Vec<u8>),
    Ask(Condition),
    /// One that was asked before, by number.
    Repeat(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => vec(item(), 1..4).prop_map(Operation::Put),
        2 => (0..8u8, patch()).prop_map(|(item, patch)| Operation::Patch(item, patch)),
        1 => (0..8u8).prop_map(Operation::Delete),
        1 => vec(0..8u8, 0..8).prop_map(Operation::Train),
        4 => condition().prop_map(Operation::Ask),
        4 => any::<usize>().prop_map(Operation::Repeat),
    ]
}

struct World {
    store: Store,
    catalog: Catalog,
    rows: Option<(RowMap, Vec<ItemId>)>,
    asked: Vec<Filter>,
}

impl World {
    fn refresh(&mut self, ids: impl IntoIterator<Item = u32>) {
        for id in ids.into_iter().map(ItemId::new) {
            let name = self.store.item_name(id).unwrap();
            match name.and_then(|name| self.store.item(&name).unwrap()) {
                Some(item) => self.catalog.set(id, item),
                None => self.catalog.remove(id),
            }
        }
    }

    fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Put(items) => {
                let ids = self.store.put_items(&items, Durability::Async).unwrap().ids;
                self.refresh(ids);
            }
            Operation::Patch(item, patch) => {
                let name = format!("i{item}");
                if self.store.update_item(&name, |item| Ok(patch.apply(item))).unwrap().is_some() {
                    self.refresh(self.store.item_id(&name).unwrap().map(ItemId::get));
                }
            }
            Operation::Delete(item) => {
                let id = self.store.delete_item(&format!("i{item}")).unwrap();
                self.refresh(id.map(ItemId::get));
            }
            Operation::Train(items) => {
                let id = |item: u8| self.store.item_id(&format!("i{item}")).unwrap();
                let mut ids: Vec<ItemId> = items.into_iter().filter_map(id).collect();
                ids.sort_unstable();
                ids.dedup();
                ids.reverse();
                self.rows = Some((RowMap::of(&ids), ids));
            }
            Operation::Ask(condition) => {
                self.asked.push(Filter { must: vec![condition], ..Filter::default() });
                self.check(self.asked.len() - 1);
            }
            Operation::Repeat(number) if !self.asked.is_empty() => self.check(number % self.asked.len()),
            Operation::Repeat(_) => {}
        }
    }

    fn check(&self, number: usize) {
        let filter = &self.asked[number];
        let (map, ids) = self.rows.as_ref().map_or((None, &[][..]), |(map, ids)| (Some(map), ids));
        let expression = Expression::of(Some(filter), None).unwrap();
        let found = self.catalog.filters().evaluate(&self.store, &expression, map).unwrap();
        let passes = |item: &Item| !item.hidden && filter.matches(item);
        let expected: Vec<u32> = self.catalog.iter().filter(|(_, item)| passes(item)).map(|(id, _)| id.get()).collect();
        assert_eq!(found.ids.iter().collect::<Vec<_>>(), expected, "{filter:?}");
        let is_there = |id: &ItemId| self.catalog.get(*id).is_some_and(|item| passes(item));
        let expected: Vec<u32> = ids.iter().zip(0..).filter(|(id, _)| is_there(id)).map(|(_, row)| row).collect();
        assert_eq!(found.rows.iter().collect::<Vec<_>>(), expected, "rows, {filter:?}");
    }
}

fn run(filter_cache_mib: usize, operations: Vec<Operation>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &StoreConfig { cache_mib: 8, ..StoreConfig::default() }).unwrap();
    let config = RecommendConfig { filter_cache_mib, ..RecommendConfig::default() };
    let catalog = Catalog::load(&store.view(), &config).unwrap();
    let mut world = World { store, catalog, rows: None, asked: Vec::new() };
    operations.into_iter().for_each(|operation| world.run(operation));
    (0..world.asked.len()).for_each(|number| world.check(number));
    // As after the next start.
    world.catalog = Catalog::load(&world.store.view(), &config).unwrap();
    (0..world.asked.len()).for_each(|number| world.check(number));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn bitmaps_say_what_the_filter_says_of_every_item(operations in vec(operation(), 1..40)) {
        run(64, operations.clone());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn a_filter_that_is_not_kept_is_read_again(operations in vec(operation(), 1..20)) {
        run(0, operations.clone());
    }
}

#[test]
fn the_ranges_used_last_are_kept_within_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &StoreConfig { cache_mib: 8, ..StoreConfig::default() }).unwrap();
    let filters = Filters::new(20 * OVERHEAD_BYTES);
    let range = |n: i32| TermRange::equal("a", &Value::from(f64::from(n))).unwrap();
    for n in 0..200 {
        filters.range(&store, &range(n), None).unwrap();
        filters.range(&store, &range(0), None).unwrap();
        let state = filters.lock();
        assert!(state.bytes <= 20 * OVERHEAD_BYTES && state.count <= 20, "{} bytes", state.bytes);
    }
    let mut state = filters.lock();
    assert!(state.find(What::Range(&range(0))).is_some() && state.find(What::Range(&range(199))).is_some());
    assert!(state.find(What::Range(&range(50))).is_none());
}

/// An engine's memory over a store that is a step ahead of it now and then.
fn with_one_item() -> (tempfile::TempDir, World, TermRange) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &StoreConfig { cache_mib: 8, ..StoreConfig::default() }).unwrap();
    let catalog = Catalog::load(&store.view(), &RecommendConfig::default()).unwrap();
    let mut world = World { store, catalog, rows: None, asked: Vec::new() };
    world.run(Operation::Put(vec![priced(1.0)]));
    (dir, world, TermRange::equal("price", &Value::from(1.0)).unwrap())
}

fn priced(price: f64) -> Item {
    let mut item = Item::new("i");
    item.attributes.insert("price".into(), price.into());
    item
}

#[test]
fn a_change_during_a_read_is_in_what_was_read() {
    for (before, after) in [(1.0, 2.0), (2.0, 1.0)] {
        let (_dir, mut world, range) = with_one_item();
        world.run(Operation::Put(vec![priced(before)]));
        let number = world.catalog.filters().begin(Reading::Range(range.clone()));
        let ids = world.store.items_in(&range);
        world.run(Operation::Put(vec![priced(after)]));
        let ids = world.catalog.filters().finish(number, &range, ids).unwrap();
        assert_eq!(ids.contains(0), after == 1.0);
        let again = world.catalog.filters().range(&world.store, &range, None).unwrap();
        assert_eq!(again.ids.contains(0), after == 1.0);
    }
}

#[test]
fn a_state_that_only_a_read_has_seen_does_not_stay() {
    let (_dir, mut world, range) = with_one_item();
    // For a moment the item had a brand and no price; memory was not told.
    let brand = TermRange::equal("brand", &"ape".into()).unwrap();
    let passing = Item { attributes: [("brand".into(), "ape".into())].into(), ..Item::new("i") };
    world.store.put_items(&[passing], Durability::Async).unwrap();
    let read = |world: &World, range| world.catalog.filters().range(&world.store, range, None).unwrap();
    assert!(!read(&world, &range).ids.contains(0) && read(&world, &brand).ids.contains(0));
    world.run(Operation::Put(vec![priced(1.0)]));
    assert!(read(&world, &range).ids.contains(0) && !read(&world, &brand).ids.contains(0));
}

#[test]
fn a_filter_that_is_made_follows_changes_and_does_not_miss_those_meanwhile() {
    let (_dir, mut world, range) = with_one_item();
    let cheap = Expression::Both(vec![Expression::Terms(range), Expression::All]);
    let set = cheap.owned().unwrap();
    for (before, after) in [(1.0, 2.0), (2.0, 1.0)] {
        let filters = Arc::clone(world.catalog.filters());
        world.run(Operation::Put(vec![priced(before)]));
        let number = filters.begin(Reading::Set(set.clone()));
        let made = filters.made(&world.store, &cheap, None).unwrap();
        assert_eq!(made.ids.contains(0), before == 1.0);
        world.run(Operation::Put(vec![priced(after)]));
        let finished = filters.finish_set(number, &set, Ok(made), None).unwrap();
        assert_eq!(finished.ids.contains(0), after == 1.0, "what changed meanwhile");
        // The same as it is kept, and as it follows.
        assert_eq!(filters.evaluate(&world.store, &cheap, None).unwrap().ids.contains(0), after == 1.0);
        assert!(filters.lock().find(What::Set(&set)).is_some());
    }
    let mut hidden = priced(1.0);
    hidden.hidden = true;
    world.run(Operation::Put(vec![hidden]));
    assert!(world.catalog.filters().evaluate(&world.store, &cheap, None).unwrap().ids.is_empty());
}

#[test]
fn the_filters_asked_last_are_kept_and_no_more_than_there_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &StoreConfig { cache_mib: 8, ..StoreConfig::default() }).unwrap();
    let filters = Filters::new(1 << 20);
    let set = |n: usize| {
        let range = TermRange::equal("a", &Value::from(n as f64)).unwrap();
        Expression::Except(Box::new(Expression::All), Box::new(Expression::Terms(range)))
    };
    for n in 0..=MAX_SETS {
        filters.evaluate(&store, &set(n), None).unwrap();
    }
    let mut state = filters.lock();
    assert!(state.find(What::Set(&set(MAX_SETS))).is_some() && state.find(What::Set(&set(0))).is_none());
    let kept = (0..=MAX_SETS).filter(|n| state.find(What::Set(&set(*n))).is_some()).count();
    assert!((MAX_SETS / 4..=MAX_SETS).contains(&kept), "{kept}");
}
