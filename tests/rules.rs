//! What the rules of scenarios promise together, whatever they are: drawn at random, over the whole loop.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use savor::{
    Answer, Boost, Degraded, EditorialList, Effort, Engine, Event, ExcludeSeen, Filter, FilterRule, Item, LeftOut,
    MaxPerRule, Pin, Query, Rule, RuleQuestion, RuleSpec, Scenario, Slot, Source, SourceKind, SourceShare, Timestamp,
    TrainOptions,
};
use support::{GROUP, GROUPS, item, time, world};

fn trained(dir: &std::path::Path) -> Engine {
    let engine = world(dir);
    let snapshot = engine.train(&TrainOptions { measure: false, ranker: false, ..TrainOptions::default() }).unwrap();
    engine.activate(snapshot).unwrap();
    engine
}

fn a_filter() -> impl Strategy<Value = Filter> {
    let places = (0..GROUP, 0..GROUP).prop_map(|(from, count)| {
        let range = format!(r#"{{"must":[{{"key":"place","range":{{"gte":{from},"lt":{}}}}}]}}"#, from + count);
        serde_json::from_str(&range).unwrap()
    });
    prop_oneof![(0..GROUPS).prop_map(|group| Filter::category(format!("group{group}"))), places]
}

fn an_item() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => (0..GROUPS, 0..GROUP).prop_map(|(group, place)| item(group, place)),
        1 => Just("nowhere".to_owned()),
    ]
}

fn a_rule() -> impl Strategy<Value = RuleSpec> {
    prop_oneof![
        (a_filter(), 0.2f64..5.0).prop_map(|(filter, factor)| RuleSpec::Boost(Boost { name: None, filter, factor })),
        a_filter().prop_map(|filter| RuleSpec::Bury(FilterRule { name: None, filter })),
        a_filter().prop_map(|filter| RuleSpec::Exclude(FilterRule { name: None, filter })),
        (an_item(), 0usize..14).prop_map(|(item, position)| RuleSpec::Pin(Pin { name: None, item, position })),
        (1usize..4).prop_map(|limit| RuleSpec::MaxPer(MaxPerRule { name: None, key: "categories".into(), limit })),
        prop::collection::vec(0usize..14, 1..4).prop_map(|positions| RuleSpec::Slot(Slot {
            name: None,
            list: "chosen".into(),
            positions
        })),
    ]
}

fn a_scenario() -> impl Strategy<Value = Scenario> {
    let kinds = [
        SourceKind::Personal,
        SourceKind::Popular,
        SourceKind::Latest,
        SourceKind::Similar,
        SourceKind::List("chosen".into()),
    ];
    let sources = prop::sample::subsequence(kinds.to_vec(), 0..4).prop_flat_map(|kinds| {
        let shares = prop::collection::vec(0.1f64..2.0, kinds.len());
        shares.prop_map(move |shares| {
            let shared = kinds.iter().zip(shares);
            shared.map(|(source, share)| SourceShare { source: source.clone(), share }).collect()
        })
    });
    (sources, prop::collection::vec(a_rule(), 0..6), prop::collection::vec(an_item(), 0..6)).prop_map(
        |(sources, rules, items): (Vec<SourceShare>, _, _)| Scenario {
            sources,
            rules,
            lists: BTreeMap::from([("chosen".into(), EditorialList { items, start: None, end: None })]),
            ..Scenario::default()
        },
    )
}

/// What a question may show at all, by the definition of the language.
fn allowed(
    catalogue: &BTreeMap<String, Item>,
    scenario: &Scenario,
    query: &Query,
    seen: &BTreeSet<String>,
) -> BTreeSet<String> {
    let excludes = |item: &Item| {
        scenario.rules.iter().any(|rule| matches!(rule, RuleSpec::Exclude(rule) if rule.filter.matches(item)))
    };
    let may = |item: &&Item| !excludes(item) && !query.exclude_items.contains(&item.id) && !seen.contains(&item.id);
    catalogue.values().filter(may).map(|item| item.id.clone()).collect()
}

fn check(
    catalogue: &BTreeMap<String, Item>,
    scenario: &Scenario,
    query: &Query,
    seen: &BTreeSet<String>,
    answer: &Answer,
) {
    let names: Vec<&str> = answer.items.iter().map(|item| item.item.as_str()).collect();
    let allowed = allowed(catalogue, scenario, query, seen);
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(distinct.len(), names.len(), "an item twice: {names:?}");
    assert!(names.iter().all(|name| allowed.contains(*name)), "an item that is excluded: {names:?}");
    assert!(names.len() <= query.limit);

    let rules = || scenario.rules.iter().enumerate();
    let is_bounded = rules().any(|(_, rule)| matches!(rule, RuleSpec::MaxPer(_)));
    // One that is pinned to a later page is kept for it.
    let later = |name: &String| {
        let pins = rules().filter_map(|(_, rule)| if let RuleSpec::Pin(pin) = rule { Some(pin) } else { None });
        pins.into_iter().find(|pin| pin.item == *name).is_some_and(|pin| pin.position >= query.limit)
    };
    let to_show = allowed.iter().filter(|name| !later(name)).count();
    // In haste only what somebody has taken is known.
    let is_hasty = answer.degraded.is_some_and(Degraded::is_overload);
    if !is_bounded && scenario.fallback.len() == 2 && !is_hasty {
        assert_eq!(names.len(), query.limit.min(to_show), "as many as there are");
    }

    // Pins stand where they are to, the first of those that want the same position before the others.
    let mut taken = BTreeSet::new();
    for (number, rule) in rules() {
        let RuleSpec::Pin(pin) = rule else { continue };
        if !allowed.contains(&pin.item) || !taken.insert(pin.item.clone()) || pin.position >= query.limit {
            continue;
        }
        let place = names.iter().position(|name| *name == pin.item);
        let free = rules().take(number).all(|(_, other)| match other {
            RuleSpec::Pin(other) => other.position > pin.position || !allowed.contains(&other.item),
            _ => true,
        });
        if free && names.len() == query.limit {
            assert_eq!(place, Some(pin.position), "{} in {names:?}", rule.label(number));
            assert_eq!(answer.items[pin.position].source, Source::Pin);
            assert!(answer.items[pin.position].rules.contains(&rule.label(number)));
        }
    }

    // Quotas hold for all but pinned items, which count.
    for (_, rule) in rules() {
        let RuleSpec::MaxPer(bound) = rule else { continue };
        for group in 0..GROUPS {
            let of = |pinned: bool| {
                let own = answer.items.iter().filter(|item| item.item.starts_with(&format!("g{group}-")));
                own.filter(|item| (item.source == Source::Pin) == pinned).count()
            };
            assert!(of(false) <= bound.limit.saturating_sub(of(true)), "group {group} in {names:?}");
        }
    }

    // What is buried comes last, but where a rule has placed it; and each item tells who moved it.
    let buried =
        |item: &Item| rules().any(|(_, rule)| matches!(rule, RuleSpec::Bury(rule) if rule.filter.matches(item)));
    let is_placed = |rules: &[String]| rules.iter().any(|rule| rule.starts_with("pin:") || rule.starts_with("slot:"));
    let order: Vec<bool> =
        answer.items.iter().filter(|item| !is_placed(&item.rules)).map(|item| buried(&catalogue[&item.item])).collect();
    assert!(order.is_sorted(), "{names:?}");
    for shown in &answer.items {
        let moved: Vec<String> = rules()
            .filter(|(_, rule)| match rule {
                RuleSpec::Boost(Boost { filter, .. }) | RuleSpec::Bury(FilterRule { filter, .. }) => {
                    filter.matches(&catalogue[&shown.item])
                }
                _ => false,
            })
            .map(|(number, rule)| rule.label(number))
            .collect();
        let told: Vec<&String> = shown.rules.iter().filter(|rule| !is_placed(&[(*rule).clone()])).collect();
        assert_eq!(told, moved.iter().collect::<Vec<_>>());
    }
}

#[test]
fn whatever_the_rules_are_their_order_holds_on_every_page() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let catalogue: BTreeMap<String, Item> = support::items().into_iter().map(|item| (item.id.clone(), item)).collect();
    let case = (
        a_scenario(),
        (0..support::USERS + 1, 1usize..13, any::<bool>()),
        prop::collection::vec(an_item(), 0..5),
        prop::collection::vec(an_item(), 0..3),
    );
    let mut clock = 100_000;
    let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
    let clock = std::cell::RefCell::new(&mut clock);
    let ran = runner.run(&case, |(scenario, (user, limit, sees), excluded, clicked)| {
        engine.put_scenario("case", scenario.clone(), None).unwrap();
        let user = format!("u{user}");
        let query = Query {
            exclude_items: excluded,
            exclude_seen: ExcludeSeen::All(sees),
            ..Query::for_user(&user).limit(limit).scenario("case")
        };
        let seen = || -> BTreeSet<String> {
            let events = engine.user_events(&user, 1000).unwrap_or_default();
            if sees { events.into_iter().map(|event| event.item).collect() } else { BTreeSet::new() }
        };
        let hasty = engine.recommend_at(&query, Effort::Popular).unwrap();
        check(&catalogue, &scenario, &query, &seen(), &hasty);
        let mut answer = engine.recommend(&query).unwrap();
        check(&catalogue, &scenario, &query, &seen(), &answer);
        let mut shown: BTreeSet<String> = BTreeSet::new();
        for _ in 0..3 {
            for item in &answer.items {
                prop_assert!(shown.insert(item.item.clone()), "{} a second time", item.item);
            }
            let mut at = clock.borrow_mut();
            for item in clicked.iter().filter(|item| *item != "nowhere") {
                **at += 1;
                engine.append_events(&[Event::new(&user, item, "click").at(time(**at))]).unwrap();
            }
            if answer.next.is_none() {
                prop_assert!(answer.items.len() < limit);
                break;
            }
            answer = engine.next_page(&answer.recommendation_id, None).unwrap();
            let allowed = allowed(&catalogue, &scenario, &query, &seen());
            prop_assert!(answer.items.iter().all(|item| allowed.contains(&item.item)));
        }
        Ok(())
    });
    ran.unwrap();
}

#[test]
fn pages_of_an_unchanged_world_are_the_long_answer_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let pin = |item: String, position| Pin { name: None, item, position };
    let pins = vec![pin(item(3, 1), 0), pin(item(3, 2), 7), pin(item(3, 3), 12)];
    let exclude_seen = ExcludeSeen::All(false);
    let query = |limit| {
        let exclude_seen = exclude_seen.clone();
        Query { pin: pins.clone(), exclude_seen, ..Query::for_user("u0").limit(limit) }
    };
    let long = engine.recommend(&query(15)).unwrap();
    let mut pages = engine.recommend(&query(5)).unwrap();
    let mut together = pages.items.clone();
    for _ in 0..2 {
        pages = engine.next_page(&pages.recommendation_id, None).unwrap();
        together.extend(pages.items.clone());
    }
    assert_eq!(together, long.items);
    assert_eq!((together[7].item.as_str(), together[12].item.as_str()), ("g3-2", "g3-3"));
    let wide = engine.next_page(&long.recommendation_id, Some(100)).unwrap();
    assert!(wide.next.is_none() && wide.items.iter().all(|other| together.iter().all(|item| item.item != other.item)));
    // Asked again, the same page comes again.
    let first = engine.recommend(&query(5)).unwrap();
    let [a, b] = [(), ()].map(|()| engine.next_page(&first.recommendation_id, None).unwrap());
    assert_eq!(a.items, b.items);
    assert_ne!(a.recommendation_id, b.recommendation_id);
}

/// A rule of the library's user: nothing of a group, and another group first.
struct Own(Filter);

impl Rule for Own {
    fn label(&self) -> &str {
        "own:group"
    }

    fn leaves_out(&self, question: &RuleQuestion<'_>) -> savor::Result<LeftOut> {
        let is_home = question.query.scenario.as_deref() == Some("home");
        Ok(LeftOut { filter: is_home.then(|| Filter::category("group0")), items: Vec::new() })
    }

    fn moves(&self) -> Option<(&Filter, f64)> {
        Some((&self.0, 1e6))
    }
}

#[test]
fn a_rule_of_ones_own_holds_for_every_answer() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    engine.put_scenario("home", Scenario::default(), None).unwrap();
    engine.set_rules(vec![std::sync::Arc::new(Own(Filter::category("group1")))]);
    let query = Query::for_user("u0").limit(4);
    for query in [query.clone(), query.scenario("home")] {
        let answer = engine.recommend(&query).unwrap();
        let is_home = query.scenario.is_some();
        assert!(
            answer.items.iter().all(|item| item.item.starts_with("g1-") && item.rules == ["own:group"]),
            "{answer:?}"
        );
        let plain = engine.recommend(&Query { explain: true, ..query }).unwrap();
        let before = plain.before.unwrap();
        assert!(
            before.iter().all(|item| item.item.starts_with("g0-") && item.rules.is_empty() != is_home),
            "{before:?}"
        );
    }
}

#[test]
fn what_was_taken_lately_is_left_out_by_its_type() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let ago = |days: i64| Timestamp::from_millis(Timestamp::now().millis() - days * 86_400_000).unwrap();
    let event = |place: usize, kind: &str, days: i64| Event::new("u0", item(0, place), kind).at(ago(days));
    let fresh: Vec<Event> = vec![event(0, "purchase", 3), event(1, "purchase", 50), event(2, "view", 3)];
    engine.append_events(&fresh).unwrap();
    let left_out = |exclude_seen: serde_json::Value| {
        let exclude_seen: ExcludeSeen = serde_json::from_value(exclude_seen).unwrap();
        let answer = engine.recommend(&Query { exclude_seen, ..Query::for_user("u0").limit(GROUP * GROUPS) }).unwrap();
        let shown: BTreeSet<String> = answer.items.into_iter().map(|item| item.item).collect();
        (0..3).filter(|place| !shown.contains(&item(0, *place))).collect::<Vec<_>>()
    };
    assert_eq!(left_out(serde_json::json!({"types": ["purchase"], "window": "30d"})), [0]);
    assert_eq!(left_out(serde_json::json!({"types": ["purchase"]})), [0, 1]);
    assert_eq!(left_out(serde_json::json!({"window": "30d"})), [0, 2]);
    assert_eq!(left_out(serde_json::json!(true)), [0, 1, 2]);
    assert!(left_out(serde_json::json!(false)).is_empty());

    // The scenario says it where the question does not.
    let scenario = "exclude_seen = { types = [\"purchase\"], window = \"30d\" }";
    engine.put_scenario("default", Scenario::from_toml(scenario).unwrap(), None).unwrap();
    assert_eq!(left_out(serde_json::json!(true)), [0]);
    assert!(left_out(serde_json::json!(false)).is_empty());
}
