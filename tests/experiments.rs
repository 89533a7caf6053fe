//! Experiments through the library: assigned, shown, joined, concluded, ended, replayed.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use savor::{
    Answer, Engine, Event, ExperimentDesign, ExperimentState, Item, Query, ReplayOptions, Scenario, SnapshotId, Source,
    Span, TrainOptions, Variant, Verdict,
};
use support::{Random, config, item, world};

fn design(text: &str) -> ExperimentDesign {
    serde_json::from_str(text).unwrap()
}

/// B shows three items, A as many as were asked for.
const SHORT: &str = r#"{"variants":[{"name":"A"},{"name":"B","query":{"limit":3}}]}"#;

fn ask(engine: &Engine, user: &str) -> Answer {
    engine.recommend(&Query::for_user(user).limit(5)).unwrap()
}

fn variant(answer: &Answer) -> &str {
    answer.experiment.as_ref().and_then(|of| of.variant.as_deref()).unwrap_or("none")
}

/// An outcome of the item at a position.
fn outcome(user: &str, answer: &Answer, position: usize, kind: &str) -> Event {
    let mut event = Event::new(user, &answer.items[position].item, kind);
    event.recommendation_id = Some(answer.recommendation_id.clone());
    event.position = Some(position as u32);
    event
}

#[test]
fn answers_are_kept_where_it_was_asked_for_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let silent = ask(&engine, "u1");
    assert_eq!(engine.exposure(&silent.recommendation_id).unwrap(), None);
    engine.keep_exposures().unwrap();
    engine.put_scenario("home", Scenario::default(), None).unwrap();
    let answer = engine.recommend(&Query { scenario: Some("home".into()), ..Query::for_user("u1") }).unwrap();
    let many = engine.recommend_many(&[Query::for_user("u1").limit(2), Query::for_session(["g0-1"])]).unwrap();
    let kept = engine.exposure(&answer.recommendation_id).unwrap().unwrap();
    assert_eq!((kept.user.as_deref(), kept.scenario.as_deref()), (Some("u1"), Some("home")));
    let shown: Vec<&str> = kept.items.iter().map(|shown| shown.item.as_str()).collect();
    assert_eq!(shown, answer.items.iter().map(|item| item.item.as_str()).collect::<Vec<_>>());
    assert!(kept.items.iter().all(|shown| shown.source == Source::Popular && shown.propensity == 1.0));
    let of_user: Vec<String> =
        engine.user_exposures("u1", 9).unwrap().into_iter().map(|of| of.recommendation_id).collect();
    assert_eq!(of_user, [many[0].recommendation_id.clone(), answer.recommendation_id.clone()]);
    assert_eq!(engine.exposure(&many[1].recommendation_id).unwrap().unwrap().user, None);
    // What is acknowledged is there after a restart; what waited is written on the way out.
    let last = ask(&engine, "u2");
    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    assert!(engine.exposure(&last.recommendation_id).unwrap().is_some());
    assert_eq!(engine.dropped_exposures(), 0);
}

#[test]
fn a_deleted_users_answers_are_gone_and_a_merged_ones_move() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    engine.keep_exposures().unwrap();
    let (of_visitor, of_guest) = (ask(&engine, "visitor"), ask(&engine, "guest"));
    assert!(engine.delete_user("visitor").unwrap(), "known from what was shown alone");
    assert_eq!(engine.exposure(&of_visitor.recommendation_id).unwrap(), None);
    engine.append_events(&[outcome("guest", &of_guest, 0, "click")]).unwrap();
    engine.merge_users("u1", "guest").unwrap();
    assert_eq!(engine.user_exposures("u1", 9).unwrap()[0].recommendation_id, of_guest.recommendation_id);
    assert!(engine.user_exposures("guest", 9).unwrap().is_empty());
}

#[test]
fn a_better_variant_wins_and_everybody_stays_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    engine.keep_exposures().unwrap();
    engine.put_experiment("short", &design(SHORT)).unwrap();
    assert_eq!(variant(&ask(&engine, "v0")), "none", "it is only planned");
    engine.start_experiment("short").unwrap();
    let mut random = Random(3);
    let mut assigned = BTreeMap::new();
    for user in 0..1_500 {
        let name = format!("v{user}");
        let answer = ask(&engine, &name);
        assert_eq!(answer.items.len(), if variant(&answer) == "B" { 3 } else { 5 });
        let clicks = random.below(100) < if variant(&answer) == "B" { 40 } else { 25 };
        if clicks {
            // Twice, as clients do.
            engine.append_events(&[outcome(&name, &answer, 1, "click")]).unwrap();
            engine.append_events(&[outcome(&name, &answer, 1, "click")]).unwrap();
        }
        assigned.insert(name, variant(&answer).to_owned());
    }
    let report = engine.experiment_report("short").unwrap();
    assert_eq!((report.verdict, report.winner.as_deref()), (Verdict::Won, Some("B")), "{}", report.words);
    assert_eq!(report.variants.iter().map(|of| of.users).sum::<u64>(), 1_500);
    let effect = report.comparisons[0].effect.unwrap();
    assert!((effect.control - 0.25).abs() < 0.05 && (effect.value - 0.4).abs() < 0.05, "{effect:?}");
    let page = savor::report::experiment_page(&report);
    assert!(page.contains("B is better than the control") && page.contains("click_through"), "{page}");
    // Of what all of them were shown, whoever showed it.
    let from = report.started;
    let until = savor::Timestamp::MAX;
    let taken = engine.click_rate(None, from, until).unwrap().unwrap();
    let shown: u64 = report.variants.iter().zip([5, 3]).map(|(variant, items)| variant.answers * items).sum();
    // Perhaps with the one before the start, in the same millisecond.
    assert!((shown..=shown + 5).contains(&taken.shown), "{taken:?} {shown}");
    assert!((taken.rate - 0.325 * 1_500.0 / shown as f64).abs() < 0.01, "{taken:?}");
    assert_eq!(engine.click_rate(Some(SnapshotId(9)), from, until).unwrap(), None);
    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    for (user, before) in assigned.iter().take(50) {
        assert_eq!(variant(&ask(&engine, user)), before);
    }
    engine.stop_experiment("short").unwrap();
    assert_eq!(variant(&ask(&engine, "v0")), "none");
}

#[test]
fn a_forecast_takes_off_what_users_did_before() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    engine.keep_exposures().unwrap();
    let past = |days: u32| savor::Timestamp::now().before(Span::days(days));
    for user in 0..300 {
        let name = format!("v{user}");
        // Every third has always clicked a lot, the others seldom.
        let often = user % 3 == 0;
        let events: Vec<Event> = (0..if often { 6 } else { 1 })
            .map(|place| Event::new(&name, item(user % 4, place), "click").at(past(1 + place as u32)))
            .collect();
        engine.append_events(&events).unwrap();
        let answer = ask(&engine, &name);
        if often || user % 10 == 1 {
            engine.append_events(&[outcome(&name, &answer, 0, "click")]).unwrap();
        }
    }
    let reduction = |covariate: Option<Span>| {
        let plan = ExperimentDesign { covariate, ..design(SHORT) };
        engine.put_experiment("short", &plan).unwrap();
        let forecast = engine.experiment_forecast("short").unwrap();
        assert_eq!((forecast.users, forecast.answers), (300, 300));
        (forecast.metrics[0].variance_reduction, forecast.metrics[0].users_needed.unwrap())
    };
    let (with, without) = (reduction(Some(Span::days(28))), reduction(None));
    assert!(with.0 > 0.6 && without.0 == 0.0, "{with:?} {without:?}");
    assert!((with.1 / without.1 - (1.0 - with.0)).abs() < 1e-6, "{with:?} {without:?}");
}

#[test]
fn what_would_spoil_an_experiment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let mut half = design(SHORT);
    half.traffic = 5_000;
    engine.put_experiment("half", &half).unwrap();
    assert_eq!(engine.experiment_report("half").unwrap_err().code(), "no_data");
    engine.start_experiment("half").unwrap();
    assert_eq!(engine.start_experiment("half").unwrap_err().code(), "conflict");
    let taking: Vec<bool> = (0..200).map(|user| variant(&ask(&engine, &format!("v{user}"))) != "none").collect();
    let count = taking.iter().filter(|takes| **takes).count();
    assert!((70..130).contains(&count), "{count} of 200");
    // Less traffic, other shares: users would change sides.
    let mut less = half.clone();
    less.traffic = 4_000;
    assert_eq!(engine.put_experiment("half", &less).unwrap_err().code(), "conflict");
    let mut other = half.clone();
    other.variants[1].weight = 3;
    assert_eq!(engine.put_experiment("half", &other).unwrap_err().code(), "conflict");
    half.traffic = 10_000;
    engine.put_experiment("half", &half).unwrap();
    assert!((0..200).all(|user| variant(&ask(&engine, &format!("v{user}"))) != "none"));
    // Another on the same answers: only in the same layer, and there nothing is left.
    engine.put_experiment("second", &design(SHORT)).unwrap();
    let error = engine.start_experiment("second").unwrap_err().to_string();
    assert!(error.contains("same layer"), "{error}");
    let mut same = design(SHORT);
    same.layer = Some("half".into());
    engine.put_experiment("second", &same).unwrap();
    let error = engine.start_experiment("second").unwrap_err().to_string();
    assert!(error.contains("0 of 10000"), "{error}");
    assert_eq!(engine.delete_experiment("half").unwrap_err().code(), "conflict");
    engine.delete_experiment("second").unwrap();
    // One of a scenario of its own is apart from one of another.
    engine.stop_experiment("half").unwrap();
    for scenario in ["home", "cart"] {
        let mut design = design(SHORT);
        design.scenario = Some(scenario.into());
        engine.put_experiment(scenario, &design).unwrap();
        assert_eq!(engine.start_experiment(scenario).unwrap_err().code(), "not_found", "there is no such scenario");
        engine.put_scenario(scenario, Scenario::default(), None).unwrap();
        engine.start_experiment(scenario).unwrap();
        assert_eq!(engine.delete_scenario(scenario, None).unwrap_err().code(), "conflict");
    }
    assert_eq!(variant(&ask(&engine, "v1")), "none");
    let query = Query { scenario: Some("cart".into()), ..Query::for_user("v1") };
    assert_eq!(engine.recommend(&query).unwrap().experiment.unwrap().id, "cart");
}

/// Two snapshots, the first of them active.
fn two_snapshots(engine: &Engine) -> [SnapshotId; 2] {
    let train = || engine.train(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap();
    let snapshots = [train(), train()];
    engine.activate(snapshots[0]).unwrap();
    snapshots
}

#[test]
fn snapshots_answer_beside_each_other_and_the_winner_goes_live_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    engine.keep_exposures().unwrap();
    let [first, second] = two_snapshots(&engine);
    let mut plan = design(r#"{"variants":[{"name":"old"},{"name":"new"}],"stop":{"on_decision":true,"promote":true}}"#);
    plan.variants[1].snapshot = Some(second);
    engine.put_experiment("canary", &plan).unwrap();
    engine.start_experiment("canary").unwrap();
    let mut random = Random(5);
    for round in 0..2 {
        for user in 0..400 {
            let name = format!("u{user}");
            let answer = ask(&engine, &name);
            let is_new = variant(&answer) == "new";
            assert_eq!(answer.snapshot, Some(if is_new { second } else { first }));
            if random.below(100) < if is_new { 60 } else { 30 } {
                engine.append_events(&[outcome(&name, &answer, 0, "click")]).unwrap();
            }
        }
        // Both know what is put in, and what is taken away, while they serve.
        let mut made = Item::new(format!("made-{round}"));
        made.categories = vec!["group1".into()];
        engine.put_items(&[made]).unwrap();
        engine.delete_item(&item(1, round)).unwrap();
        let filter = savor::Filter::category("group1");
        let mut lists = BTreeMap::new();
        for user in 0..40 {
            let query = Query::for_user(format!("u{user}")).limit(100).filter(filter.clone());
            let answer = engine.recommend(&Query { exclude_seen: savor::ExcludeSeen::All(false), ..query }).unwrap();
            let mut items: Vec<String> = answer.items.iter().map(|item| item.item.clone()).collect();
            items.sort();
            lists.insert(variant(&answer).to_owned(), items);
        }
        assert_eq!(lists["old"], lists["new"]);
        assert!(lists["new"].contains(&format!("made-{round}")) && !lists["new"].contains(&item(1, round)));
    }
    let ended = engine.look_at_experiments().unwrap();
    let decision = ended[0].decision.clone().unwrap();
    assert_eq!((ended[0].state, decision.winner.as_deref()), (ExperimentState::Promoted, Some("new")), "{decision:?}");
    assert_eq!(engine.active_snapshot(), Some(second));
    let answer = ask(&engine, "u1");
    assert_eq!((answer.snapshot, variant(&answer)), (Some(second), "none"));
    // Whatever becomes active later answers in its place.
    engine.activate(first).unwrap();
    assert_eq!(ask(&engine, "u1").snapshot, Some(first));
    assert!(engine.look_at_experiments().unwrap().is_empty());
}

#[test]
fn a_promoted_variant_is_shown_to_all_until_it_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    engine.keep_exposures().unwrap();
    let mut plan = design(SHORT);
    plan.stop = serde_json::from_str(r#"{"on_decision":true,"promote":true}"#).unwrap();
    engine.put_experiment("x", &plan).unwrap();
    engine.start_experiment("x").unwrap();
    for user in 0..400 {
        let name = format!("v{user}");
        let answer = ask(&engine, &name);
        if (variant(&answer) == "B") != (user % 10 == 0) {
            engine.append_events(&[outcome(&name, &answer, 0, "click")]).unwrap();
        }
    }
    assert_eq!(engine.look_at_experiments().unwrap()[0].state, ExperimentState::Promoted);
    assert!((0..20).all(|user| ask(&engine, &format!("w{user}")).items.len() == 3));
    let first = ask(&engine, "w1");
    let next = engine.next_page(&first.recommendation_id, None).unwrap();
    assert!(next.items.iter().all(|item| first.items.iter().all(|before| before.item != item.item)));
    engine.stop_experiment("x").unwrap();
    assert_eq!(ask(&engine, "w1").items.len(), 5);
}

/// An engine that interleaves; B leaves the first of A's items out.
fn mixed() -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    engine.keep_exposures().unwrap();
    let plan = r#"{"interleave":true,"variants":[{"name":"A"},{"name":"B","query":{"category":"group2"}}]}"#;
    engine.put_experiment("mixed", &design(plan)).unwrap();
    engine.start_experiment("mixed").unwrap();
    (dir, engine)
}

#[test]
fn interleaved_answers_hold_items_of_both_and_credit_whose_was_clicked() {
    let (_dir, engine) = mixed();
    for user in 0..60 {
        let name = format!("v{user}");
        let answer = ask(&engine, &name);
        assert_eq!((answer.items.len(), variant(&answer)), (5, "none"));
        let shown = engine.exposure(&answer.recommendation_id).unwrap().unwrap().items;
        let teams: Vec<&str> = shown.iter().map(|shown| shown.team.as_deref().unwrap()).collect();
        let of_b = teams.iter().filter(|team| **team == "B").count();
        assert!((2..=3).contains(&of_b), "{teams:?}");
        let clicked = teams.iter().position(|team| *team == if user % 10 == 0 { "A" } else { "B" }).unwrap();
        engine.append_events(&[outcome(&name, &answer, clicked, "click")]).unwrap();
    }
    let report = engine.experiment_report("mixed").unwrap();
    let found = report.preferences.unwrap();
    assert_eq!((found.control, found.variant), (6, 54));
    assert_eq!((report.verdict, report.winner.as_deref()), (Verdict::Won, Some("B")), "{}", report.words);
}

#[test]
fn what_both_sides_pin_stays_where_it_is_and_is_nobodys() {
    let (_dir, engine) = mixed();
    let pins = serde_json::from_str(r#"[{"item":"g2-3","position":0},{"item":"g2-7","position":2}]"#).unwrap();
    let query = Query { pin: pins, ..Query::for_user("v1").limit(5) };
    for _ in 0..8 {
        let answer = engine.recommend(&query).unwrap();
        let shown = engine.exposure(&answer.recommendation_id).unwrap().unwrap();
        let of = |place: usize| (shown.items[place].item.as_str(), shown.items[place].team.as_deref());
        assert_eq!((of(0), of(2)), (("g2-3", None), ("g2-7", None)));
        assert!([1, 3, 4].into_iter().all(|place| of(place).1.is_some()), "{shown:?}");
        let names: std::collections::BTreeSet<&str> = answer.items.iter().map(|item| item.item.as_str()).collect();
        assert_eq!(names.len(), 5, "none twice: {answer:?}");
        assert_eq!(shown.question.unwrap().pin, query.pin);
    }
}

#[test]
fn an_event_without_an_answers_name_counts_within_the_window_if_one_is_configured() {
    for (window, expected) in [(None, 0.0), (Some(Span::days(1)), 1.0)] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config();
        config.exposures.attribution_window = window;
        let engine = Engine::open(dir.path(), config).unwrap();
        engine.put_items(&support::items()).unwrap();
        engine.append_events(&support::events()).unwrap();
        engine.keep_exposures().unwrap();
        engine.put_experiment("x", &design(SHORT)).unwrap();
        engine.start_experiment("x").unwrap();
        // One of them does not click: where nothing varies nothing can be said.
        for user in 0..300 {
            let name = format!("v{user}");
            let answer = ask(&engine, &name);
            if user > 3 {
                engine.append_events(&[Event::new(&name, &answer.items[2].item, "click")]).unwrap();
            }
        }
        let report = engine.experiment_report("x").unwrap();
        let found = report.comparisons[0].effect.map_or(0.0, |effect| effect.control);
        assert!((found - expected).abs() < 0.05, "{window:?}: {found}");
    }
}

#[test]
fn a_replay_tells_what_was_earned_for_the_policy_that_was_shown_and_less_for_its_half() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let [first, _] = two_snapshots(&engine);
    engine.keep_exposures().unwrap();
    for user in 0..80 {
        let name = format!("u{user}");
        let query = Query { exclude_seen: savor::ExcludeSeen::All(true), ..Query::for_user(&name).limit(4) };
        let answer = engine.recommend(&query).unwrap();
        let events: Vec<Event> = (0..4)
            .filter(|place| (user + place) % 3 == 0)
            .map(|place| outcome(&name, &answer, place, "click"))
            .collect();
        engine.append_events(&events).unwrap();
        engine.append_events(&events).unwrap();
    }
    let usual = engine.replay(&ReplayOptions::of(Variant { snapshot: Some(first), ..Variant::new("usual") })).unwrap();
    assert_eq!((usual.answers, usual.users), (80, 80));
    // The users' vectors are folded in from what they had done by then: nearly the lists that were shown.
    assert!(usual.support > 0.8, "{usual:?}");
    let (ips, robust) = (usual.ips.unwrap(), usual.doubly_robust.unwrap());
    assert!((ips.value / usual.logged.value - usual.support).abs() < 0.1, "{usual:?}");
    assert!((robust.value / usual.logged.value - 1.0).abs() < 0.1, "{usual:?}");
    let mut short = Variant::new("short");
    short.query.insert("limit".into(), 2.into());
    let half = engine.replay(&ReplayOptions::of(short)).unwrap();
    assert!((half.ips.unwrap().value / ips.value - 0.5).abs() < 0.15, "{half:?} {usual:?}");
    let unknown = ReplayOptions::of(Variant { snapshot: Some(SnapshotId(99)), ..Variant::new("x") });
    assert_eq!(engine.replay(&unknown).unwrap_err().code(), "not_found");
}

#[test]
fn a_replay_asks_what_was_asked_and_leaves_later_pages_out() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let [first, _] = two_snapshots(&engine);
    engine.keep_exposures().unwrap();
    for user in 0..40 {
        let name = format!("u{user}");
        let query = Query { category: Some("group2".into()), ..Query::for_user(&name).limit(3) };
        let answer = engine.recommend(&query).unwrap();
        let next = engine.next_page(&answer.recommendation_id, None).unwrap();
        assert_eq!(engine.exposure(&next.recommendation_id).unwrap().unwrap().before, 3);
        engine.append_events(&[outcome(&name, &answer, user % 3, "click")]).unwrap();
    }
    let usual = engine.replay(&ReplayOptions::of(Variant { snapshot: Some(first), ..Variant::new("usual") })).unwrap();
    assert_eq!(usual.answers, 40);
    assert!(usual.support > 0.8, "{usual:?}");
}

#[test]
fn an_experiment_on_the_default_scenario_is_for_those_who_name_none() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    for scenario in ["default", "home", "cart"] {
        engine.put_scenario(scenario, Scenario::default(), None).unwrap();
    }
    let mut plan = design(SHORT);
    plan.scenario = Some("default".into());
    engine.put_experiment("x", &plan).unwrap();
    engine.start_experiment("x").unwrap();
    let assigned = |scenario: Option<&str>| {
        let query = Query { scenario: scenario.map(str::to_owned), ..Query::for_user("v1") };
        engine.recommend(&query).unwrap().experiment.map(|of| of.id)
    };
    assert_eq!((assigned(None).as_deref(), assigned(Some("home"))), (Some("x"), None));
    // A scenario that names an experiment is answered by its variants, and by no others.
    engine.put_scenario("cart", Scenario { experiment: Some("x".into()), ..Scenario::default() }, None).unwrap();
    engine.put_scenario("default", Scenario { experiment: Some("y".into()), ..Scenario::default() }, None).unwrap();
    assert_eq!((assigned(Some("cart")).as_deref(), assigned(None)), (Some("x"), None));
}

#[test]
fn what_was_shown_before_a_restart_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    engine.keep_exposures().unwrap();
    let fresh = r#"{"exclude_seen": false, "rules": [{"rule": "no_repeat", "within": "1h"}]}"#;
    engine.put_scenario("fresh", serde_json::from_str(fresh).unwrap(), None).unwrap();
    let query = Query::for_user("u1").limit(5).scenario("fresh");
    let first = engine.recommend(&query).unwrap();
    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    engine.keep_exposures().unwrap();
    let second = engine.recommend(&query).unwrap();
    assert_eq!(second.items.len(), 5);
    assert!(second.items.iter().all(|item| first.items.iter().all(|before| before.item != item.item)));
}
