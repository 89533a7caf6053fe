//! Random operations on the store and on a naive model in memory, and over reopening: both must say the same.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use rocksdb::IteratorMode;

use super::families::Family;
use super::{Store, Terms};
use crate::config::{Durability, StoreConfig};
use crate::counters::{CounterSet, Owner};
use crate::record::{Event, Item, Timestamp, User, Value};

fn open(dir: &Path) -> Store {
    Store::open(dir, &StoreConfig { cache_mib: 8, ..StoreConfig::default() }).unwrap()
}

#[derive(Clone, Debug)]
enum Operation {
    Append(Vec<(u8, u8, u8, i64, u8)>),
    PutItems(Vec<(u8, u8)>),
    PutUsers(Vec<(u8, u8)>),
    DeleteUser(u8),
    DeleteItem(u8),
    Merge(u8, u8),
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let id = 0..6u8;
    prop_oneof![
        6 => proptest::collection::vec((id.clone(), id.clone(), 0..2u8, (-3..6i64).prop_map(|n| n * 7_000_000), 0..2u8), 0..12).prop_map(Operation::Append),
        2 => proptest::collection::vec((id.clone(), 0..4u8), 0..4).prop_map(Operation::PutItems),
        2 => proptest::collection::vec((id.clone(), 0..3u8), 0..4).prop_map(Operation::PutUsers),
        1 => id.clone().prop_map(Operation::DeleteUser),
        1 => id.clone().prop_map(Operation::DeleteItem),
        1 => (id.clone(), id).prop_map(|(into, from)| Operation::Merge(into, from)),
        1 => Just(Operation::Reopen),
    ]
}

type Identity = (i64, String, String, String, String);

#[derive(Default)]
struct Model {
    users: BTreeMap<String, User>,
    items: BTreeMap<String, Item>,
    events: BTreeMap<Identity, Option<f64>>,
    given: BTreeMap<u32, String>,
    /// How often each item has been deleted: events with an item that is gone name nothing, also if its id comes again.
    lives: BTreeMap<String, u32>,
}

impl Model {
    fn user(&mut self, name: &str) {
        self.users.entry(name.to_owned()).or_insert_with(|| User::new(name));
    }

    fn life(&self, item: &str) -> String {
        format!("{item}#{}", self.lives.get(item).unwrap_or(&0))
    }

    /// Events whose items are there.
    fn visible(&self) -> Vec<(Identity, Option<f64>)> {
        let name = |item: &str| item.split('#').next().unwrap().to_owned();
        let is_there = |item: &str| self.items.contains_key(&name(item)) && self.life(&name(item)) == item;
        let events = self.events.iter().filter(|(identity, _)| is_there(&identity.2));
        events
            .map(|((at, user, item, kind, id), v)| ((*at, user.clone(), name(item), kind.clone(), id.clone()), *v))
            .collect()
    }

    fn append(&mut self, event: &Event) -> bool {
        self.user(&event.user);
        self.items.entry(event.item.clone()).or_insert_with(|| Item::new(&event.item));
        let id = event.id.clone().unwrap_or_default();
        let item = self.life(&event.item);
        let identity = (event.time.unwrap().millis(), event.user.clone(), item, event.kind.clone(), id);
        let new = !self.events.contains_key(&identity);
        self.events.entry(identity).or_insert(event.value);
        new
    }
}

fn user_of((n, shape): (u8, u8)) -> User {
    let mut user = User::new(format!("u{n}"));
    if shape > 0 {
        user.attributes.insert("a".into(), Value::from(f64::from(shape)));
    }
    user
}

fn item_of((n, shape): (u8, u8)) -> Item {
    let mut item = Item::new(format!("i{n}"));
    if shape > 1 {
        item.vectors.insert("s".into(), vec![f32::from(shape), 0.0]);
    }
    item.hidden = shape == 1;
    if shape > 0 {
        item.attributes.insert("a".into(), Value::List(vec!["x".into(), Value::from(f64::from(shape))]));
        item.attributes.insert(format!("only{shape}"), "2024-01-01".into());
        item.categories.push(format!("c{}", shape % 2));
    }
    item
}

/// What the item index should hold.
fn index(store: &Store, model: &Model) -> Vec<Vec<u8>> {
    let terms_of = |item: &Item| {
        let id = store.item_id(&item.id).unwrap().unwrap().get();
        Terms::of(item).iter().map(|term| [term, &id.to_be_bytes()].concat()).collect::<Vec<_>>()
    };
    let mut entries: Vec<_> = model.items.values().flat_map(terms_of).collect();
    entries.sort_unstable();
    entries
}

/// The counters say what the events say: of users also those with deleted items, of items those whose users are there.
fn check_counters(store: &Store, model: &Model) {
    let kept = |set: &CounterSet| {
        let filled = set.iter().filter(|(.., counter)| !counter.is_empty());
        filled.map(|(owner, kind, counter)| ((owner, kind.to_owned()), counter.clone())).collect::<BTreeMap<_, _>>()
    };
    let view = store.view();
    let stored = kept(&view.event_counters(&|_| true).unwrap());
    assert_eq!(stored, kept(&view.recount(&|_| true).unwrap()));
    let mut events = BTreeMap::new();
    for (at, user, item, kind, _) in model.events.keys() {
        let user = Owner::User(store.user_id(user).unwrap().unwrap());
        let (name, _) = item.split_once('#').unwrap();
        let is_there = model.items.contains_key(name) && model.life(name) == *item;
        let item = is_there.then(|| Owner::Item(store.item_id(name).unwrap().unwrap()));
        for owner in [Some(user), item].into_iter().flatten() {
            let (count, sum) = events.entry((owner, kind.clone())).or_insert((0, 0.0));
            *count += 1;
            *sum += *at as f64;
        }
    }
    let sums = stored.iter().map(|(key, counter)| (key.clone(), (counter.events, counter.value)));
    assert_eq!(sums.collect::<BTreeMap<_, _>>(), events);
    let of_items = stored.iter().filter(|((owner, _), _)| owner.item().is_some());
    assert_eq!(kept(&store.item_counters()), of_items.map(|(key, counter)| (key.clone(), counter.clone())).collect());
    for name in model.users.keys() {
        let user = store.user_id(name).unwrap().unwrap();
        for before in [0, 14_000_000] {
            let before = Timestamp::from_millis(before).unwrap();
            let found = store.user_counters_before(user, before).unwrap().into_iter();
            let mut expected: BTreeMap<&str, i64> = BTreeMap::new();
            let earlier = |at: i64, of: &str| at < before.millis() && of == name;
            for (.., kind, _) in model.events.keys().filter(|(at, of, ..)| earlier(*at, of)) {
                *expected.entry(kind).or_default() += 1;
            }
            let expected = expected.into_iter().map(|(kind, events)| (kind.into(), events));
            assert!(found.map(|(kind, counter)| (kind, counter.events)).eq(expected), "before {before}");
        }
        let found = store.user_counters(user).unwrap().into_iter().filter(|(_, counter)| !counter.is_empty());
        let expected = stored.iter().filter(|((owner, _), _)| *owner == Owner::User(user));
        let expected = expected.map(|((_, kind), counter)| (kind.as_str().into(), counter.clone()));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

fn check(store: &Store, model: &mut Model) {
    check_counters(store, model);
    let counts = store.counts();
    assert_eq!(counts.users as usize, model.users.len());
    assert_eq!(counts.items as usize, model.items.len());
    assert_eq!(counts.events as usize, model.events.len());
    assert_eq!(store.users(None, 100).unwrap(), model.users.values().cloned().collect::<Vec<_>>());
    assert_eq!(store.items(None, 100).unwrap(), model.items.values().cloned().collect::<Vec<_>>());
    let mut stored = BTreeMap::new();
    for (name, user) in &model.users {
        assert_eq!(store.user(name).unwrap().as_ref(), Some(user));
        let id = store.user_id(name).unwrap().unwrap();
        assert_eq!(store.user_name(id).unwrap().as_ref(), Some(name));
        // An id that once stood for somebody never stands for somebody else.
        assert_eq!(model.given.entry(id.get()).or_insert_with(|| name.clone()), name);
        let events = store.user_events(id, 1000).unwrap();
        assert!(events.is_sorted_by_key(|event| std::cmp::Reverse(event.time)));
        for event in events {
            let id = event.id.unwrap_or_default();
            stored.insert((event.time.unwrap().millis(), event.user, event.item, event.kind, id), event.value);
        }
    }
    assert_eq!(stored, model.visible().into_iter().collect());
    let mut logged = BTreeMap::new();
    let mut last = i64::MIN;
    store
        .view()
        .for_each_whole_event(&mut |event| {
            let at = event.time.unwrap().millis();
            assert!(at >= last);
            last = at;
            let id = event.id.clone().unwrap_or_default();
            logged.insert((at, event.user.clone(), event.item.clone(), event.kind.clone(), id), event.value);
            Ok(())
        })
        .unwrap();
    assert_eq!(logged, stored);
    let family = Family::ItemIndex.of(&store.db).unwrap();
    let entries = store.db.iterator_cf(family, IteratorMode::Start).map(|entry| entry.unwrap().0.into_vec());
    assert_eq!(entries.collect::<Vec<_>>(), index(store, model));
    let vectors = model.items.values().filter(|item| !item.vectors.is_empty()).count();
    let mut seen = 0;
    store
        .for_each_vector("s", &mut |_, _| {
            seen += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, vectors);
}

fn run(operations: Vec<Operation>) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut model = Model::default();
    for operation in operations {
        match operation {
            Operation::Append(parts) => {
                let events: Vec<Event> = parts
                    .into_iter()
                    .map(|(user, item, kind, at, id)| Event {
                        id: (id > 0).then(|| "id".to_owned()),
                        value: Some(at as f64),
                        ..Event::new(format!("u{user}"), format!("i{item}"), ["a", "bb"][usize::from(kind)])
                            .at(Timestamp::from_millis(at).unwrap())
                    })
                    .collect();
                let new = events.iter().filter(|event| model.append(event)).count() as u64;
                let appended = store.append_events(&events, Durability::Async).unwrap();
                assert_eq!((appended.new.len() as u64, appended.known), (new, events.len() as u64 - new));
            }
            Operation::PutItems(items) => {
                let items: Vec<Item> = items.into_iter().map(item_of).collect();
                let mut expected = (0, 0, 0);
                for item in &items {
                    match model.items.insert(item.id.clone(), item.clone()) {
                        None => expected.0 += 1,
                        Some(old) if old == *item => expected.2 += 1,
                        Some(_) => expected.1 += 1,
                    }
                }
                let put = store.put_items(&items, Durability::Async).unwrap();
                assert_eq!((put.created, put.changed, put.unchanged), expected);
            }
            Operation::PutUsers(users) => {
                let users: Vec<User> = users.into_iter().map(user_of).collect();
                users.iter().for_each(|user| drop(model.users.insert(user.id.clone(), user.clone())));
                store.put_users(&users, Durability::Async).unwrap();
            }
            Operation::DeleteUser(n) => {
                let name = format!("u{n}");
                assert_eq!(store.delete_user(&name).unwrap(), model.users.remove(&name).is_some());
                model.events.retain(|identity, _| identity.1 != name);
            }
            Operation::DeleteItem(n) => {
                let name = format!("i{n}");
                assert_eq!(store.delete_item(&name).unwrap().is_some(), model.items.remove(&name).is_some());
                *model.lives.entry(name).or_default() += 1;
            }
            // The engine refuses to merge a user with itself.
            Operation::Merge(into, from) if into == from => {}
            Operation::Merge(into, from) => {
                let (into, from) = (format!("u{into}"), format!("u{from}"));
                let merged = store.merge_users(&into, &from);
                let Some(left) = model.users.remove(&from) else {
                    assert!(merged.is_err());
                    continue;
                };
                model.user(&into);
                for (name, value) in left.attributes {
                    model.users.get_mut(&into).unwrap().attributes.entry(name).or_insert(value);
                }
                let moved: Vec<_> = model.events.extract_if(.., |identity, _| identity.1 == from).collect();
                for ((at, _, item, kind, id), value) in moved {
                    model.events.entry((at, into.clone(), item, kind, id)).or_insert(value);
                }
            }
            Operation::Reopen => {
                drop(store);
                store = open(dir.path());
            }
        }
        check(&store, &mut model);
    }
    drop(store);
    check(&open(dir.path()), &mut model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_store_says_what_a_naive_model_says(operations in proptest::collection::vec(operation(), 1..14)) {
        run(operations);
    }
}
