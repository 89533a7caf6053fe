use super::compare::each;
use super::*;
use crate::config::{Durability, StoreConfig};
use crate::linalg::Rows;
use crate::record::{Event, Exposure, Item, Shown, SnapshotId, Source, User};
use crate::store::{Records, Side, families, key};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

/// Three users, four items with vectors, twelve events, two exposures, a snapshot.
fn filled(dir: &std::path::Path) -> Store {
    let store = Store::open(dir, &StoreConfig { cache_mib: 8, ..StoreConfig::default() }).unwrap();
    let items: Vec<Item> = (0..4)
        .map(|n| {
            let mut item = Item::new(format!("i{n}"));
            item.categories.push("c".into());
            item.vectors.insert("space".into(), vec![n as f32, 1.0]);
            item
        })
        .collect();
    store.put_items(&items, Durability::Async).unwrap();
    let mut user = User::new("u1");
    user.attributes.insert("town".into(), "x".into());
    store.put_users(&[user], Durability::Async).unwrap();
    let event =
        |n: i64| Event::new(format!("u{}", n % 3), format!("i{}", n % 4), "view").at(at(n)).with_value(n as f64);
    store.append_events(&(0..12).map(event).collect::<Vec<_>>(), Durability::Async).unwrap();
    let exposure = |answer: &str, user: Option<&str>| Exposure {
        recommendation_id: answer.into(),
        time: at(5),
        user: user.map(str::to_owned),
        scenario: None,
        snapshot: None,
        experiment: None,
        question: None,
        before: 0,
        items: vec![Shown {
            item: "i1".into(),
            score: 1.0,
            rank: None,
            source: Source::Popular,
            propensity: 1.0,
            team: None,
        }],
    };
    store.put_exposures(&[exposure("a", Some("u1")), exposure("b", None)]).unwrap();
    store.put_record(Records::Snapshots, 1, &"a manifest").unwrap();
    store.put_factors(Side::Users, SnapshotId(1), &[0, 1], Rows::new(1, &[1.0, 2.0]).unwrap()).unwrap();
    store.fold_counters().unwrap();
    store
}

fn first(store: &Store, family: Family) -> Vec<u8> {
    store.db.iterator_cf(family.of(&store.db).unwrap(), IteratorMode::Start).next().unwrap().unwrap().0.into_vec()
}

fn remove(store: &Store, family: Family, key: &[u8]) {
    assert!(store.db.get_cf(family.of(&store.db).unwrap(), key).unwrap().is_some(), "{family:?}");
    store.db.delete_cf(family.of(&store.db).unwrap(), key).unwrap();
}

fn put(store: &Store, family: Family, key: &[u8], value: &[u8]) {
    store.db.put_cf(family.of(&store.db).unwrap(), key, value).unwrap();
}

fn all(store: &Store) -> Vec<(Family, Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    for family in families::ALL {
        each(&store.db, family, &mut |key, value| {
            entries.push((family, key.to_vec(), value.to_vec()));
            Ok(())
        })
        .unwrap();
    }
    entries
}

#[test]
fn a_store_that_was_only_written_to_agrees_with_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    assert_eq!(store.cross_check().unwrap(), []);
    store.delete_item("i2").unwrap();
    store.merge_users("u0", "u1").unwrap();
    store.delete_user("u2").unwrap();
    store.expire_events(&|_| Some(at(4)), None, at(4)).unwrap();
    assert_eq!(store.cross_check().unwrap(), []);
}

#[test]
fn what_is_worked_out_from_the_records_is_found_damaged_and_made_as_it_was() {
    type Damage = fn(&Store);
    let damages: [(&str, Damage); 12] = [
        ("histories", |store| remove(store, Family::UserEvents, &first(store, Family::UserEvents))),
        ("histories", |store| {
            put(store, Family::UserEvents, &first(store, Family::UserEvents), &codec::encode(&Some(7.5)).unwrap());
        }),
        ("users by id and by number", |store| remove(store, Family::UserIds, &key::dense(2))),
        ("items by id and by number", |store| remove(store, Family::ItemIds, &key::dense(3))),
        ("item index", |store| remove(store, Family::ItemIndex, &first(store, Family::ItemIndex))),
        ("item index", |store| put(store, Family::ItemIndex, b"\x01p\x01\x01\0\0\0\x07", &[])),
        ("counters", |store| remove(store, Family::EventCounters, &first(store, Family::EventCounters))),
        ("exposures by answer", |store| remove(store, Family::Exposures, &key::exposure_by_answer("a"))),
        ("exposures by user", |store| remove(store, Family::Exposures, &key::exposure_of("u1", at(5), "a"))),
        ("exposures exist", |store| put(store, Family::Exposures, &key::exposure_by_answer("z"), &key::number(5))),
        ("exposures exist", |store| put(store, Family::Exposures, &key::exposure_of("u9", at(5), "z"), &[])),
        ("known users and snapshots", |store| {
            put(store, Family::UserFactors, &key::factor(SnapshotId(9), 0), &[0, 0, 0, 0]);
        }),
    ];
    for (place, (check, damage)) in damages.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path());
        let before = all(&store);
        damage(&store);
        assert!(all(&store) != before);
        let found = store.cross_check().unwrap();
        assert!(found.iter().any(|fault| fault.check.contains(check)), "{place}: {found:?}");
        assert!(found.iter().all(|fault| fault.repair.is_some()), "{place}: {found:?}");
        store.repair().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        assert_eq!(store.cross_check().unwrap(), [], "{place}");
        assert!(all(&store) == before, "{place}: {check} is not as it was");
    }
}

#[test]
fn how_many_there_are_is_counted_anew_and_no_number_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    put(&store, Family::Meta, records::COUNTERS.as_bytes(), &codec::encode(&Counters::default()).unwrap());
    assert_eq!(store.cross_check().unwrap()[0].check, Kind::Counts.check());
    store.repair().unwrap();
    let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
    let counts = store.counts();
    assert_eq!((counts.users, counts.items, counts.events), (3, 4, 12));
    store.append_events(&[Event::new("new", "new", "view")], Durability::Async).unwrap();
    assert_eq!(store.user_id("new").unwrap().unwrap().get(), 3);
    assert_eq!(store.cross_check().unwrap(), []);
}

#[test]
fn a_lost_record_is_put_back_as_far_as_the_rest_knows_it_and_what_is_lost_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    remove(&store, Family::Users, b"u1");
    remove(&store, Family::Items, b"i1");
    remove(&store, Family::Events, &first(&store, Family::Events));
    let found = store.cross_check().unwrap();
    for (check, lost) in [("users", "attributes are lost"), ("items", "metadata are lost"), ("log", "context")] {
        let said =
            |fault: &Fault| fault.check.contains(check) && fault.repair.as_ref().is_some_and(|of| of.contains(lost));
        assert!(found.iter().any(said), "{found:?}");
    }
    store.repair().unwrap();
    let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
    assert_eq!(store.cross_check().unwrap(), []);
    let event = store.user_events(store.user_id("u0").unwrap().unwrap(), 99).unwrap().pop().unwrap();
    assert_eq!((event.item.as_str(), event.time, event.value), ("i0", Some(at(0)), Some(0.0)));
    assert!(store.user("u1").unwrap().unwrap().attributes.is_empty());
}

#[test]
fn what_only_a_backup_has_is_said_and_left_as_it_is() {
    type Damage = fn(&Store);
    let damages: [(&str, Damage); 4] = [
        ("events of known users", |store| {
            remove(store, Family::Users, b"u1");
            let id = store.user_id("u1").unwrap().unwrap().get();
            remove(store, Family::UserIds, &key::dense(id));
        }),
        ("numbers that stand for one id", |store| put(store, Family::UserIds, &key::dense(0), b"somebody else")),
        ("can be read", |store| put(store, Family::Events, &first(store, Family::Events), &[9, 9])),
        ("can be read", |store| put(store, Family::Users, b"u0", &[])),
    ];
    for (check, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path());
        damage(&store);
        let found = store.cross_check().unwrap();
        let is_said = |fault: &Fault| {
            fault.check.contains(check) && fault.repair.is_none() && fault.example.contains("restore a backup")
        };
        assert!(found.iter().any(is_said), "{check}: {found:?}");
        let events = all(&store).into_iter().filter(|(family, ..)| *family == Family::Events).collect::<Vec<_>>();
        store.repair().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        let after = all(&store).into_iter().filter(|(family, ..)| *family == Family::Events).collect::<Vec<_>>();
        assert!(after == events, "{check}: no event is removed");
    }
}
