//! What answers leave behind is bounded: the oldest go, answers are given all the same, and nobody else has less room for it.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // Its taste is not asked for.
mod support;

use std::path::Path;

use savor::{Config, Engine, Event, Item, Query, Quotas, TenantName, TenantSettings, Tenants, User};
use support::{Random, config};

/// Items whose names no table holds in less space: an answer of all of them leaves some 250 KB behind.
fn items() -> Vec<Item> {
    let mut random = Random(8);
    let mut name = |n: usize| -> String {
        let tail: String = (0..250).map(|_| char::from(b'!' + random.below(94) as u8)).collect();
        format!("{n:04}{tail}")
    };
    (0..1_000).map(|n| Item::new(name(n))).collect()
}

fn bounded(mib: u64) -> Config {
    let mut config = config();
    config.exposures.max_mib = mib;
    config
}

/// So many answers, each written before the next is given; the names of all.
fn ask(engine: &Engine, count: usize) -> Vec<String> {
    let answer = |n: usize| {
        let answer = engine.recommend(&Query::for_user(format!("u{n}")).limit(1_000)).unwrap();
        assert_eq!(answer.items.len(), 1_000, "it is given whatever becomes of it");
        engine.flush_exposures();
        answer.recommendation_id
    };
    (0..count).map(answer).collect()
}

/// Those of them that are kept.
fn kept(engine: &Engine, names: &[String]) -> Vec<usize> {
    let is_kept = |name: &String| engine.exposure(name).unwrap().is_some();
    names.iter().enumerate().filter(|(_, name)| is_kept(name)).map(|(n, _)| n).collect()
}

#[test]
fn the_newest_stay_also_after_a_restart_with_less_room() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), bounded(4)).unwrap();
    engine.put_items(&items()).unwrap();
    engine.keep_exposures().unwrap();
    let names = ask(&engine, 40);
    let before = kept(&engine, &names);
    assert!(before.len() > 10 && before[..] == (40 - before.len()..40).collect::<Vec<_>>(), "{before:?}");
    let stats = engine.stats().unwrap();
    assert!(stats.exposures_bytes <= 4 << 20, "{}", stats.exposures_bytes);
    assert_eq!((stats.exposures_evicted, stats.exposures_dropped), (40 - before.len() as u64, 0));
    drop(engine);
    let engine = Engine::open(dir.path(), bounded(2)).unwrap();
    engine.keep_exposures().unwrap();
    let last = ask(&engine, 1);
    let after = kept(&engine, &names);
    assert!(after.len() > 2 && after.len() < before.len(), "{after:?} of {before:?}");
    assert_eq!(after[..], before[before.len() - after.len()..]);
    assert_eq!(kept(&engine, &last), [0]);
}

/// A tenant with these items.
fn tenant(dir: &Path) -> (Tenants, Engine) {
    let tenants = Tenants::open(dir.join("data"), config()).unwrap();
    tenants.create(&name(), TenantSettings::default()).unwrap();
    let engine = tenants.get(&name()).unwrap();
    engine.put_items(&items()).unwrap();
    (tenants, engine)
}

fn name() -> TenantName {
    "a".parse().unwrap()
}

fn used(tenants: &Tenants) -> u64 {
    tenants.show(&name()).unwrap().usage.unwrap().storage_bytes
}

fn limit(tenants: &Tenants, most: u64) {
    let quotas = Quotas { storage_bytes: Some(most), ..Quotas::default() };
    tenants.set(&name(), TenantSettings { quotas, ..TenantSettings::default() }).unwrap();
}

/// A tenant with much more of its own, that was answered so often.
fn grown(dir: &Path, answers: usize) -> (Tenants, Engine, Vec<String>) {
    let (tenants, engine) = tenant(dir);
    let mut random = Random(9);
    let mut text = || -> String { (0..250).map(|_| char::from(b'!' + random.below(94) as u8)).collect() };
    let users = (0..20_000).map(|n| {
        let mut user = User::new(format!("u{n}"));
        user.attributes.insert("about".into(), text().into());
        user
    });
    engine.put_users(&users.collect::<Vec<_>>()).unwrap();
    engine.keep_exposures().unwrap();
    let old = ask(&engine, answers);
    (tenants, engine, old)
}

/// The same where that is all that it may store.
fn full(dir: &Path, answers: usize) -> (Tenants, Engine, Vec<String>) {
    let (tenants, engine, old) = grown(dir, answers);
    limit(&tenants, used(&tenants));
    (tenants, engine, old)
}

#[test]
fn where_too_little_is_free_each_new_one_comes_in_the_place_of_two() {
    const OLD: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine, old) = grown(dir.path(), OLD);
    assert_eq!(kept(&engine, &old).len(), OLD);
    // A fifth is free, and exposures take more than an eighth and less than a quarter: none goes but for new ones.
    let most = used(&tenants) / 4 * 5;
    let exposed = engine.stats().unwrap().exposures_bytes;
    assert!(exposed > most / 7 && exposed < most / 9 * 2, "{exposed} of {most}");
    limit(&tenants, most);
    let new = ask(&engine, 2);
    assert_eq!(kept(&engine, &new), [0, 1]);
    // Where one of the two is a little smaller than what comes, a third goes.
    let left = kept(&engine, &old);
    assert!(
        (OLD - 6..=OLD - 4).contains(&left.len()) && left[..] == (OLD - left.len()..OLD).collect::<Vec<_>>(),
        "{left:?}"
    );
    let stats = engine.stats().unwrap();
    assert_eq!((stats.exposures_evicted, stats.exposures_dropped), ((OLD - left.len()) as u64, 0));
}

#[test]
fn where_a_tenants_own_data_take_all_room_answers_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine, _) = full(dir.path(), 0);
    let refused = ask(&engine, 3);
    assert!(kept(&engine, &refused).is_empty());
    let stats = engine.stats().unwrap();
    assert_eq!((stats.exposures_bytes, stats.exposures_evicted, stats.exposures_dropped), (0, 0, 3));
    assert_eq!((stats.items, stats.users), (1_000, 20_000), "what is its own stays");
    // As soon as there is room.
    limit(&tenants, 2 * used(&tenants));
    let stored = ask(&engine, 2);
    assert_eq!(kept(&engine, &stored), [0, 1]);
}

#[test]
fn where_a_tenants_own_data_take_all_room_a_flood_of_answers_does_not_wear_old_ones_down() {
    let dir = tempfile::tempdir().unwrap();
    let (_tenants, engine, old) = full(dir.path(), 4);
    assert_eq!(kept(&engine, &old), [0, 1, 2, 3]);
    let mut new = ask(&engine, 1);
    // The oldest went, as many as one answer may take the place of: if exposures were what takes the room, there would be some now.
    let after = kept(&engine, &old);
    assert!(after == [1, 2, 3] || after == [2, 3], "{after:?}");
    new.extend(ask(&engine, 20));
    assert_eq!(kept(&engine, &old), after);
    assert!(kept(&engine, &new).is_empty());
    let stats = engine.stats().unwrap();
    assert_eq!((stats.exposures_evicted, stats.exposures_dropped), (4 - after.len() as u64, 21));
}

#[test]
fn where_too_little_is_free_the_last_old_one_goes_and_the_new_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = tenant(dir.path());
    engine.keep_exposures().unwrap();
    let ask = |user| engine.recommend(&Query::for_user(user).limit(10)).unwrap().recommendation_id;
    let old = ask("u0");
    engine.flush_exposures();
    let used = used(&tenants);
    limit(&tenants, used + used / 4);
    let new = ask("u1");
    assert!(engine.exposure(&new).unwrap().is_some() && engine.exposure(&old).unwrap().is_none());
    let stats = engine.stats().unwrap();
    assert_eq!((stats.exposures_evicted, stats.exposures_dropped), (1, 0));
}

#[test]
fn whoever_only_asks_does_not_keep_a_tenant_from_writing() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = tenant(dir.path());
    let most = 4 * used(&tenants).max(2 << 20);
    limit(&tenants, most);
    engine.keep_exposures().unwrap();
    // Several times what may be stored at all.
    let names = ask(&engine, usize::try_from(3 * most / 250_000).unwrap());
    let stats = engine.stats().unwrap();
    assert!(stats.exposures_bytes <= most / 4, "{} of {most}", stats.exposures_bytes);
    assert!(stats.disk_bytes <= most, "{} of {most}", stats.disk_bytes);
    assert!(!kept(&engine, &names).is_empty());
    let events: Vec<Event> = items().iter().map(|item| Event::new("u1", &item.id, "click")).collect();
    assert_eq!(engine.append_events(&events).unwrap().stored, 1_000);
}
