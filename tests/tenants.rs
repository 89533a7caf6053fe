//! Tenants as a library has them: none sees another's, quotas hold exactly whoever writes, one that is broken or deleted
//! concerns nobody else, and all of it survives a restart.

#![allow(clippy::panic, clippy::unwrap_used)]

#[allow(dead_code)] // Its small world is not asked for.
mod support;

use std::path::Path;

use savor::{
    Activate, Config, Durability, Engine, Error, Event, Item, JobState, Query, Quotas, TenantName, TenantSettings,
    TenantState, Tenants, TrainOptions, Until,
};

use support::{config, events, items, world};

fn name(name: &str) -> TenantName {
    name.parse().unwrap()
}

fn limited(quotas: Quotas) -> TenantSettings {
    TenantSettings { quotas, ..TenantSettings::default() }
}

fn configured(text: &str) -> TenantSettings {
    TenantSettings { config: toml::from_str(text).unwrap(), ..TenantSettings::default() }
}

fn opened(dir: &Path) -> Tenants {
    let tenants = Tenants::open(dir.join("data"), config()).unwrap();
    tenants.open_all();
    tenants
}

/// Tenants of which one has these settings.
fn with(dir: &Path, settings: TenantSettings) -> (Tenants, Engine) {
    let tenants = opened(dir);
    tenants.create(&name("a"), settings).unwrap();
    let engine = tenants.get(&name("a")).unwrap();
    (tenants, engine)
}

fn quota(error: &Error) -> &'static str {
    match error {
        Error::Quota { quota, tenant, .. } if tenant == "a" => quota,
        other => panic!("{other}"),
    }
}

fn click(user: impl Into<String>, item: impl Into<String>, second: i64) -> Event {
    Event::new(user, item, "click").at(support::time(second))
}

#[test]
fn what_one_has_no_other_sees() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = opened(dir.path());
    for tenant in ["a", "b"] {
        tenants.create(&name(tenant), TenantSettings::default()).unwrap();
    }
    let (a, b) = (tenants.get(&name("a")).unwrap(), tenants.get(&name("b")).unwrap());
    a.put_items(&items()).unwrap();
    a.append_events(&events()).unwrap();
    let snapshot = a.train(&TrainOptions::default()).unwrap();
    a.activate(snapshot).unwrap();
    let answer = a.recommend(&Query::for_user("u1").limit(5)).unwrap();
    assert_eq!(answer.items.len(), 5);
    for other in [&b, tenants.home()] {
        let stats = other.stats().unwrap();
        assert_eq!((stats.users, stats.items, stats.events, stats.snapshots), (0, 0, 0, 0));
        assert!(other.recommend(&Query::for_user("u1")).unwrap().items.is_empty());
        assert!(other.item("g0-1").unwrap().is_none() && other.snapshot(snapshot).is_err());
        assert!(other.next_page(&answer.recommendation_id, None).is_err());
    }
    assert_eq!(a.next_page(&answer.recommendation_id, None).unwrap().items.len(), 5);
    // The figures of the data directory are its own, too.
    assert!(tenants.home().stats().unwrap().disk_bytes < a.stats().unwrap().disk_bytes);
}

#[test]
fn what_the_data_directory_has_itself_no_tenant_sees() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = Tenants::around(world(&dir.path().join("data"))).unwrap();
    tenants.create(&name("a"), TenantSettings::default()).unwrap();
    let (home, a) = (tenants.home(), tenants.get(&name("a")).unwrap());
    let snapshot = home.train(&TrainOptions::default()).unwrap();
    home.activate(snapshot).unwrap();
    assert_eq!(home.recommend(&Query::for_user("u1").limit(5)).unwrap().items.len(), 5);
    assert!(a.recommend(&Query::for_user("u1")).unwrap().items.is_empty());
    assert!(a.item("g0-1").unwrap().is_none() && a.user_events("u1", 5).is_err() && a.snapshots().unwrap().is_empty());
}

#[test]
fn a_quota_of_events_is_exact_whoever_writes_at_the_same_time() {
    let dir = tempfile::tempdir().unwrap();
    let (_tenants, engine) = with(dir.path(), limited(Quotas { events: Some(1_000), ..Quotas::default() }));
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for round in 0..60 {
                    let batch: Vec<Event> =
                        (0..7).map(|n| click(format!("u{writer}"), format!("i{n}"), round * 7 + n)).collect();
                    if let Err(error) = engine.append_events(&batch) {
                        assert_eq!((quota(&error), error.code()), ("events", "quota_exceeded"));
                    }
                    engine.append_fitting(&batch[..1], Durability::Async).unwrap();
                }
            });
        }
    });
    let fill: Vec<Event> = (0..1_000).map(|n| click("last", "i1", 100_000 + n)).collect();
    engine.append_fitting(&fill, Durability::Async).unwrap();
    assert_eq!(engine.stats().unwrap().events, 1_000);
    assert!(engine.append_events(&fill).is_err(), "all or none");
    assert_eq!(engine.stats().unwrap().events, 1_000);
}

#[test]
fn what_does_not_fit_is_told_apart_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let quotas = Quotas { users: Some(2), items: Some(3), events: Some(4), ..Quotas::default() };
    let (_tenants, engine) = with(dir.path(), limited(quotas));
    let batch = [
        click("u1", "i1", 1),
        click("u2", "i2", 2),
        click("u3", "i1", 3), // no third user
        click("u1", "i1", 1), // known
        click("u1", "i3", 4),
        click("u2", "i4", 5), // no fourth item
        click("u2", "i3", 6),
        click("u2", "i1", 7), // no fifth event
    ];
    let (appended, refused) = engine.append_fitting(&batch, Durability::Sync).unwrap();
    assert_eq!((appended.stored, appended.known), (4, 1));
    let refused: Vec<_> = refused.iter().map(|refused| (refused.place, quota(&refused.error))).collect();
    assert_eq!(refused, [(2, "users"), (5, "items"), (7, "events")]);
    let stats = engine.stats().unwrap();
    assert_eq!((stats.users, stats.items, stats.events), (2, 3, 4));
    assert!(engine.user("u3").unwrap().is_none() && engine.item("i4").unwrap().is_none());
    // What is stored already is known, though there is no room.
    let (again, refused) = engine.append_fitting(&batch[..2], Durability::Sync).unwrap();
    assert_eq!((again.stored, again.known, refused.len()), (0, 2, 0));
    // All or none for items, and what is there may be changed.
    assert_eq!(quota(&engine.put_items(&[Item::new("i1"), Item::new("i9")]).unwrap_err()), "items");
    assert_eq!(engine.put_items(&[Item::new("i1")]).unwrap().unchanged, 1);
    // A deletion makes room.
    assert!(engine.delete_item("i2").unwrap());
    assert_eq!(engine.put_items(&[Item::new("i9")]).unwrap().created, 1);
    assert!(engine.delete_user("u2").unwrap());
    assert_eq!(engine.append_events(&[click("u4", "i1", 8)]).unwrap().stored, 1);
}

#[test]
fn a_lower_quota_takes_nothing_away_and_a_higher_one_holds_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = with(dir.path(), TenantSettings::default());
    engine.append_events(&[click("u1", "i1", 1), click("u2", "i2", 2)]).unwrap();
    tenants.set(&name("a"), limited(Quotas { events: Some(1), users: Some(1), ..Quotas::default() })).unwrap();
    assert!(engine.append_events(&[click("u1", "i1", 3)]).is_err());
    assert_eq!(engine.stats().unwrap().events, 2);
    assert!(engine.delete_user("u2").unwrap(), "what frees is never refused");
    assert_eq!(tenants.show(&name("a")).unwrap().usage.unwrap().events, 1);
    tenants.set(&name("a"), limited(Quotas { events: Some(9), ..Quotas::default() })).unwrap();
    assert_eq!(engine.append_events(&[click("u1", "i1", 3)]).unwrap().stored, 1);
}

#[test]
fn a_rate_refuses_the_whole_and_says_when_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let quotas = Quotas { events_per_second: Some(0.01), requests_per_second: Some(0.01), ..Quotas::default() };
    let (tenants, engine) = with(dir.path(), limited(quotas));
    let batch: Vec<Event> = (0..50).map(|n| click("u1", "i1", n)).collect();
    assert_eq!(engine.append_events(&batch).unwrap().stored, 50);
    let error = engine.append_events(&[click("u1", "i1", 99)]).unwrap_err();
    assert_eq!((quota(&error), error.code()), ("events_per_second", "quota_rate"));
    assert!(matches!(error, Error::Quota { retry_after_ms: Some(wait), .. } if wait > 1_000), "{error}");
    engine.take_request().unwrap();
    assert_eq!(quota(&engine.take_request().unwrap_err()), "requests_per_second");
    // The others have their own.
    tenants.create(&name("b"), limited(Quotas { events_per_second: Some(0.01), ..Quotas::default() })).unwrap();
    assert_eq!(tenants.get(&name("b")).unwrap().append_events(&batch).unwrap().stored, 50);
}

#[test]
fn a_full_store_refuses_writes_and_answers_on() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = with(dir.path(), TenantSettings::default());
    engine.append_events(&[click("u1", "i1", 1)]).unwrap();
    let limit = tenants.show(&name("a")).unwrap().usage.unwrap().storage_bytes + 300_000;
    tenants.set(&name("a"), limited(Quotas { storage_bytes: Some(limit), ..Quotas::default() })).unwrap();
    // Nothing that a table would hold in less than the log does.
    let mut random = support::Random(5);
    let mut large = |n: usize| {
        let mut item = Item::new(format!("i{n}"));
        let text: String = (0..6_000).map(|_| char::from(b' ' + random.below(95) as u8)).collect();
        item.attributes.insert("text".into(), text.into());
        item
    };
    let error = (0..10_000).find_map(|n| engine.put_items(&[large(n)]).err()).unwrap();
    assert_eq!((quota(&error), error.code()), ("storage_bytes", "quota_exceeded"));
    let error = (0..100_000).find_map(|n| engine.append_events(&[click("u9", "i1", n)]).err()).unwrap();
    assert_eq!(quota(&error), "storage_bytes", "small ones fit a little longer");
    assert_eq!(quota(&engine.train(&TrainOptions::default()).unwrap_err()), "storage_bytes");
    let stored = engine.stats().unwrap().items;
    assert!((20..60).contains(&stored), "{stored} items of 6,000 bytes in 300,000");
    assert!(engine.item("i1").unwrap().is_some() && engine.delete_item("i1").unwrap());
    tenants.set(&name("a"), TenantSettings::default()).unwrap();
    engine.append_events(&[click("u9", "i2", 9)]).unwrap();
}

#[test]
fn training_has_its_quotas_and_leaves_nothing_when_they_are_used_up() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = with(dir.path(), limited(Quotas { snapshot_bytes: Some(10), ..Quotas::default() }));
    engine.put_items(&items()).unwrap();
    engine.append_events(&events()).unwrap();
    assert_eq!(quota(&engine.train(&TrainOptions::default()).unwrap_err()), "snapshot_bytes");
    assert!(engine.snapshots().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(engine.path().join("index")).unwrap().count(), 0);
    tenants.set(&name("a"), limited(Quotas { training_minutes: Some(0.0), ..Quotas::default() })).unwrap();
    assert_eq!(quota(&engine.train(&TrainOptions::default()).unwrap_err()), "training_minutes");
    // 6 ms: it begins, and is ended.
    tenants.set(&name("a"), limited(Quotas { training_minutes: Some(0.000_1), ..Quotas::default() })).unwrap();
    let endless = savor::TrainConfig { epochs: 10_000, dimension: 64, ..engine.config().train.clone() };
    let options = TrainOptions { train: Some(endless), measure: false, ..TrainOptions::default() };
    assert_eq!(quota(&engine.train(&options).unwrap_err()), "training_minutes");
    assert!(engine.snapshots().unwrap().is_empty());
    tenants.set(&name("a"), TenantSettings::default()).unwrap();
    engine.train(&TrainOptions::default()).unwrap();
    assert!(tenants.show(&name("a")).unwrap().usage.unwrap().training_minutes > 0.0);
}

#[test]
fn all_train_at_once_and_each_gets_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = opened(dir.path());
    let engines: Vec<Engine> = ["a", "b", "c"]
        .into_iter()
        .map(|tenant| {
            tenants.create(&name(tenant), TenantSettings::default()).unwrap();
            let engine = tenants.get(&name(tenant)).unwrap();
            engine.append_events(&events()).unwrap();
            engine
        })
        .collect();
    let options = TrainOptions { activate: Activate::Always, measure: false, ..TrainOptions::default() };
    let jobs: Vec<u64> = engines.iter().map(|engine| engine.start_training(&options).unwrap().id).collect();
    for (engine, job) in engines.iter().zip(jobs) {
        let job = engine.wait_for_job(job).unwrap();
        assert_eq!(job.state, JobState::Done, "{job:?}");
        assert!(job.started.is_some_and(|started| started >= job.created && Some(started) <= job.finished));
        assert!(engine.active_snapshot().is_some());
    }
}

#[test]
fn they_are_made_listed_and_deleted_and_a_restart_knows_it() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = opened(dir.path());
    let settings =
        TenantSettings { title: Some("Acme".into()), ..limited(Quotas { items: Some(7), ..Quotas::default() }) };
    let made = tenants.create(&name("acme"), settings.clone()).unwrap();
    assert_eq!((made.state, made.settings.as_ref(), made.quotas.items), (TenantState::Open, Some(&settings), Some(7)));
    assert_eq!(made.quotas.concurrent_requests, Some(8), "those of all hold where it has none");
    assert_eq!(tenants.create(&name("acme"), settings.clone()).unwrap_err().code(), "conflict");
    tenants.create(&name("other"), TenantSettings::default()).unwrap();
    tenants.get(&name("acme")).unwrap().put_items(&[Item::new("i")]).unwrap();
    assert_eq!(tenants.delete(&name("acme"), "").unwrap_err().code(), "invalid");
    assert_eq!(tenants.delete(&name("acme"), "other").unwrap_err().code(), "invalid");
    assert_eq!(tenants.delete(&name("nobody"), "nobody").unwrap_err().code(), "not_found");
    drop(tenants);

    let tenants = opened(dir.path());
    let status = tenants.show(&name("acme")).unwrap();
    assert_eq!((status.settings, status.created, status.usage.unwrap().items), (Some(settings), made.created, 1));
    tenants.delete(&name("acme"), "acme").unwrap();
    assert_eq!(tenants.names(), [name("other")]);
    assert_eq!(tenants.get(&name("acme")).map(drop).unwrap_err().code(), "not_found");
    let folder = dir.path().join("data/tenants");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left on disk");
    // A name that is free again begins with nothing.
    tenants.create(&name("acme"), TenantSettings::default()).unwrap();
    assert_eq!(tenants.get(&name("acme")).unwrap().stats().unwrap().items, 0);
}

#[test]
fn what_a_crash_left_half_made_or_half_deleted_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = with(dir.path(), TenantSettings::default());
    engine.put_items(&[Item::new("i")]).unwrap();
    drop((tenants, engine));
    let folder = dir.path().join("data/tenants");
    // The moment after the rename of a deletion, and that before the rename of a creation.
    std::fs::create_dir_all(folder.join(".deleted-x1")).unwrap();
    std::fs::rename(folder.join("a"), folder.join(".deleted-x1/a")).unwrap();
    std::fs::create_dir_all(folder.join(".savor-y2/b")).unwrap();
    std::fs::write(folder.join(".savor-y2/b/tenant.toml"), "created = ").unwrap();
    let tenants = opened(dir.path());
    assert!(tenants.names().is_empty());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn there_are_no_more_than_there_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.tenants.max = 1;
    let tenants = Tenants::open(dir.path().join("data"), config).unwrap();
    tenants.create(&name("a"), TenantSettings::default()).unwrap();
    let error = tenants.create(&name("b"), TenantSettings::default()).unwrap_err();
    assert!(error.code() == "conflict" && error.to_string().contains("tenants.max"), "{error}");
}

#[test]
fn one_whose_directory_is_broken_concerns_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = with(dir.path(), TenantSettings::default());
    tenants.create(&name("b"), TenantSettings::default()).unwrap();
    engine.put_items(&[Item::new("i")]).unwrap();
    drop((tenants, engine));
    let current = dir.path().join("data/tenants/a/rocksdb/CURRENT");
    let good = std::fs::read(&current).unwrap();
    std::fs::write(&current, "torn").unwrap();

    let tenants = opened(dir.path());
    tenants.get(&name("b")).unwrap().put_items(&[Item::new("j")]).unwrap();
    assert_eq!(tenants.get(&name("a")).map(drop).unwrap_err().code(), "tenant_unavailable");
    let status = tenants.show(&name("a")).unwrap();
    assert!(status.state == TenantState::Broken && status.reason.is_some(), "{status:?}");
    assert!(tenants.list().unwrap().iter().any(|of| of.name == name("b") && of.state == TenantState::Open));
    let findings = tenants.check_all(Engine::check).unwrap();
    assert!(findings.iter().any(|finding| finding.check == "tenant a" && !finding.ok));
    assert!(findings.iter().any(|finding| finding.check == "tenant b: events" && finding.ok));
    // A backup without it would be found wanting too late.
    assert!(tenants.backup(dir.path().join("copy")).is_err() && !dir.path().join("copy").exists());

    std::fs::write(&current, good).unwrap();
    assert_eq!(tenants.retry(), 1);
    assert!(tenants.get(&name("a")).unwrap().item("i").unwrap().is_some());
}

#[test]
fn a_broken_file_of_settings_breaks_its_tenant_alone_and_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = with(dir.path(), TenantSettings::default());
    drop((tenants, engine));
    let file = dir.path().join("data/tenants/a/savor.toml");
    std::fs::write(&file, "[train]\ndimensions = 3\n").unwrap();
    let tenants = opened(dir.path());
    let reason = tenants.show(&name("a")).unwrap().reason.unwrap();
    assert!(reason.contains("savor.toml") && reason.contains("dimensions"), "{reason}");
    // Whoever says what is right mends it.
    let mended = tenants.set(&name("a"), configured("[train]\ndimension = 3\n")).unwrap();
    assert_eq!(mended.state, TenantState::Open);
}

#[test]
fn each_has_its_own_configuration_and_keeps_its_data_when_that_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = with(dir.path(), configured("[train]\ndimension = 5\n"));
    assert_eq!((engine.config().train.dimension, tenants.home().config().train.dimension), (5, 8));
    engine.put_items(&[Item::new("i")]).unwrap();
    drop(engine);
    tenants.set(&name("a"), configured("[train]\ndimension = 6\n[recommend]\nnext_share = 0.5\n")).unwrap();
    let engine = tenants.get(&name("a")).unwrap();
    assert_eq!((engine.config().train.dimension, engine.config().recommend.next_share), (6, 0.5));
    assert!(engine.item("i").unwrap().is_some());
    for (text, field) in [
        ("[server]\nlisten = \"0.0.0.0:1\"\n", "config.server"),
        ("[train]\nthreads = 99\n", "config.train.threads"),
        ("[store]\ncache_mib = 9999\n", "config.store"),
    ] {
        match tenants.set(&name("a"), configured(text)) {
            Err(Error::Invalid { field: wrong, .. }) => assert_eq!(wrong, field),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(tenants.get(&name("a")).unwrap().config().train.dimension, 6, "nothing was changed");
}

#[test]
fn one_that_was_deleted_is_back_with_a_backup_that_has_it_and_not_without_its_folder_there() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = with(dir.path(), TenantSettings::default());
    engine.append_events(&events()).unwrap();
    tenants.backup(dir.path().join("all")).unwrap();
    drop(engine);
    tenants.delete(&name("a"), "a").unwrap();
    tenants.backup(dir.path().join("all")).unwrap();
    Tenants::restore(dir.path().join("all"), dir.path().join("with")).unwrap();
    assert_eq!(Tenants::open(dir.path().join("with"), config()).unwrap().names(), [name("a")]);
    std::fs::remove_dir_all(dir.path().join("all/tenants/a")).unwrap();
    Tenants::verify_backup(dir.path().join("all")).unwrap();
    Tenants::restore(dir.path().join("all"), dir.path().join("without")).unwrap();
    assert!(Tenants::open(dir.path().join("without"), config()).unwrap().names().is_empty());
}

#[test]
fn a_backup_brings_all_of_them_back_or_one_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let settings = TenantSettings { title: Some("A".into()), ..configured("[train]\ndimension = 5\n") };
    let (tenants, engine) = with(dir.path(), settings.clone());
    tenants.create(&name("b"), TenantSettings::default()).unwrap();
    engine.append_events(&events()).unwrap();
    let snapshot = engine.train(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap();
    engine.activate(snapshot).unwrap();
    tenants.home().put_items(&[Item::new("home")]).unwrap();
    let answer = engine.recommend(&Query::for_user("u1")).unwrap().items;
    tenants.backup(dir.path().join("all")).unwrap();
    tenants.backup_one(&name("a"), dir.path().join("one")).unwrap();
    engine.append_events(&[click("later", "g0-1", 999_999)]).unwrap();

    Tenants::restore(dir.path().join("all"), dir.path().join("again")).unwrap();
    assert_eq!(Tenants::restore(dir.path().join("all"), dir.path().join("again")).unwrap_err().code(), "conflict");
    let again = Tenants::open(dir.path().join("again"), config()).unwrap();
    assert_eq!(again.names(), [name("a"), name("b")]);
    assert!(again.home().item("home").unwrap().is_some());
    let copy = again.get(&name("a")).unwrap();
    assert_eq!(copy.recommend(&Query::for_user("u1")).unwrap().items, answer);
    assert_eq!((copy.stats().unwrap().events, copy.config().train.dimension), (800, 5));

    assert_eq!(tenants.restore_one(&name("b"), dir.path().join("one"), Until::Newest).unwrap_err().code(), "conflict");
    tenants.restore_one(&name("c"), dir.path().join("one"), Until::Newest).unwrap();
    assert_eq!(tenants.show(&name("c")).unwrap().settings, Some(settings));
    assert_eq!(tenants.get(&name("c")).unwrap().recommend(&Query::for_user("u1")).unwrap().items, answer);
    assert_eq!(
        tenants.restore_one(&name("d"), dir.path().join("nowhere"), Until::Newest).unwrap_err().code(),
        "not_savor"
    );
    assert!(!tenants.names().contains(&name("d")));
}

#[test]
fn of_backups_one_is_made_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = with(dir.path(), TenantSettings::default());
    let folder = tenants.backup_folder(Some(&name("a")));
    let back_up = |of: &str, meanwhile: &dyn Fn()| {
        let path = folder.join(of);
        tenants.backup_within(&engine, &path, || {
            meanwhile();
            engine.backup_with_settings(&path)
        })
    };
    let is_refused = || match back_up("second", &|| panic!("it would find the room of the first")) {
        Err(Error::Conflict(reason)) => assert!(reason.contains("another backup"), "{reason}"),
        other => panic!("{other:?}"),
    };
    back_up("first", &is_refused).unwrap();
    assert!(folder.join("first").is_dir() && !folder.join("second").exists());
    // The turn is given back, also by one that fails.
    std::fs::write(folder.join("no-folder"), "").unwrap();
    assert!(back_up("no-folder", &|| ()).is_err());
    back_up("second", &|| ()).unwrap();
}

#[test]
fn a_bundle_takes_a_model_to_another_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, a) = with(dir.path(), TenantSettings::default());
    a.put_items(&items()).unwrap();
    a.append_events(&events()).unwrap();
    let snapshot = a.train(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap();
    a.export_snapshot(snapshot, dir.path().join("bundle")).unwrap();
    tenants.create(&name("b"), TenantSettings::default()).unwrap();
    let b = tenants.get(&name("b")).unwrap();
    let taken = b.import_snapshot(dir.path().join("bundle")).unwrap();
    b.activate(taken).unwrap();
    assert!(!b.recommend(&Query::for_user("u1")).unwrap().items.is_empty());
    assert_eq!(b.stats().unwrap().events, 0);
    assert!(b.item("g0-1").unwrap().unwrap().attributes.is_empty(), "the catalogue's contents stay where they are");
}

#[test]
fn one_alone_can_be_opened_and_its_quotas_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (tenants, engine) = with(dir.path(), limited(Quotas { items: Some(1), ..Quotas::default() }));
    let data = dir.path().join("data");
    assert_eq!(Tenants::open_one(&data, config(), &name("a")).map(drop).unwrap_err().code(), "locked");
    drop((tenants, engine));
    let own = Tenants::config_of(&data, &config(), &name("a")).unwrap();
    let alone = Tenants::open_one(&data, own, &name("a")).unwrap();
    alone.put_items(&[Item::new("i")]).unwrap();
    assert_eq!(quota(&alone.put_items(&[Item::new("j")]).unwrap_err()), "items");
    assert_eq!(Tenants::open_one(&data, Config::default(), &name("b")).map(drop).unwrap_err().code(), "not_found");
}
