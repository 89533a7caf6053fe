//! A leak that is planted on purpose is found, and an honest replay has none.

use super::replay::Moment;
use super::replay::{Pending, State};
use super::*;
use crate::config::{Durability, Missing, StoreConfig};
use crate::counters::CounterSet;
use crate::error::Result;
use crate::linalg::Matrix;
use crate::record::{Attributes, Event, Item, Timestamp};
use crate::store::{Store, View};

fn filled(dir: &std::path::Path) -> Store {
    let store = Store::open(dir, &StoreConfig::default()).unwrap();
    let items: Vec<Item> = (0..10)
        .map(|n| {
            let mut item = Item::new(format!("i{n}"));
            item.categories = vec![format!("c{}", n % 2)];
            item.attributes.insert("price".into(), f64::from(n * n).into());
            item
        })
        .collect();
    store.put_items(&items, Durability::Async).unwrap();
    let events: Vec<Event> = (0..150i64)
        .map(|n| {
            let kind = ["view", "cart", "purchase"][(n % 7 / 3) as usize];
            // Some at the same millisecond.
            let time = Timestamp::from_millis(1_767_225_600_000 + n / 2 * 3_333_333).unwrap();
            Event::new(format!("u{}", n * n % 7), format!("i{}", n * 3 % 10), kind).at(time).with_value((n % 5) as f64)
        })
        .collect();
    store.append_events(&events, Durability::Async).unwrap();
    store
}

fn surveyed(store: &Store, view: &View<'_>) -> (FeatureTable, FactTable, FactTable) {
    let mut survey = Survey::default();
    let mut all = Vec::new();
    view.for_each_item(&mut |id, item| {
        survey.item(&item);
        all.push((id, item));
        Ok(())
    })
    .unwrap();
    survey.events(&store.item_counters());
    let config = FeaturesConfig { history: 4, ..FeaturesConfig::default() };
    let table = FeatureTable::new(&config, &survey, &["personal"]);
    let mut items = FactTable::default();
    all.iter().for_each(|(id, item)| items.set(id.get(), Some(table.item_facts(item))));
    let mut users = FactTable::default();
    view.for_each_user(&mut |id, user| {
        users.set(id.get(), Some(table.user_facts(&user.attributes)));
        Ok(())
    })
    .unwrap();
    (table, items, users)
}

#[derive(Clone, Copy, PartialEq)]
enum Planted {
    Nothing,
    /// The event is counted before its row is made.
    OwnEvent,
    /// Rows are made from the counters of the whole log.
    LaterEvents,
}

/// The columns in which rows made with a planted leak differ from the log.
fn found(planted: Planted) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let view = store.view();
    let (table, items, users) = surveyed(&store, &view);
    let fitted = table.clone().fit().finish();
    let mut rows = Vec::new();
    let mut take = |moment: &Moment<'_>, counters: Option<&CounterSet>| -> Result<()> {
        let known = Known { counters: counters.unwrap_or(moment.known.counters), ..moment.known };
        let mut out = Matrix::zeros(0, 1);
        fitted.raw_rows(&moment.request, known, &[moment.item], &mut out);
        rows.push(AuditedRow {
            user: Some(moment.user),
            item: moment.item,
            at: moment.request.at,
            context: Attributes::new(),
            visits: Vec::new(),
            known: None,
            counters: None,
            row: out.row(0).to_vec(),
        });
        Ok(())
    };
    match planted {
        Planted::Nothing => replay(&view, &table, &items, &users, &mut |moment| take(moment, None)).unwrap(),
        Planted::LaterEvents => {
            let all = view.recount(&|_| true).unwrap();
            replay(&view, &table, &items, &users, &mut |moment| take(moment, Some(&all))).unwrap();
        }
        Planted::OwnEvent => {
            let mut state = State::default();
            view.for_each_counted(None, &mut |event| {
                state.apply(&mut vec![Pending::new(&event)], &table);
                state.show(&event, &items, &users, &mut |moment| take(moment, None))
            })
            .unwrap();
        }
    }
    assert_eq!(rows.len(), 150);
    let audit = audit(&view, &fitted, &items, &users, &rows).unwrap();
    audit.differences.into_iter().map(|difference| difference.column).collect()
}

#[test]
fn an_honest_replay_knows_what_was_before_each_event_and_nothing_else() {
    assert_eq!(found(Planted::Nothing), Vec::<String>::new());
}

#[test]
fn a_feature_that_knows_its_own_event_is_found() {
    let columns = found(Planted::OwnEvent);
    for expected in
        ["user.events", "item.events_1h", "item.view_value", "pair.events", "pair.recency", "session.events"]
    {
        assert!(columns.iter().any(|column| column == expected), "{expected} is not among {columns:?}");
    }
    assert!(!columns.iter().any(|column| column == "item.price" || column.starts_with("request.")), "{columns:?}");
}

#[test]
fn a_feature_that_knows_later_events_is_found() {
    let columns = found(Planted::LaterEvents);
    assert!(columns.iter().any(|column| column == "item.events"), "{columns:?}");
    assert!(columns.iter().all(|column| column.starts_with("item.")), "{columns:?}");
}

/// The target statistics of two items in questions of two windows; of each question the first item is taken. `known` says when
/// what came of it is, by its time and the end of its window.
fn statistics(known: impl Fn(i64, i64) -> i64) -> Vec<[f32; 2]> {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let target = FeatureDefinition {
        of: Some(FeatureOf::Item),
        attribute: Some("categories".into()),
        ..FeatureDefinition::new(FeatureKind::Target)
    };
    let columns = [("item.category_target".to_owned(), target)].into();
    let config = FeaturesConfig { automatic: false, columns, ..FeaturesConfig::default() };
    let table = FeatureTable::new(&config, &Survey::default(), &[]);
    let mut items = FactTable::default();
    store
        .view()
        .for_each_item(&mut |id, item| {
            items.set(id.get(), Some(table.item_facts(&item)));
            Ok(())
        })
        .unwrap();
    let candidates = ["i0", "i1"].map(|name| store.item_id(name).unwrap().unwrap());
    let (state, context, counters) = (UserState::default(), Attributes::new(), CounterSet::default());
    let at = |millis| Timestamp::from_millis(millis).unwrap();
    let (mut fitting, mut out) = (table.fit(), Matrix::zeros(0, 1));
    let of_question = |(time, end)| {
        let known_items = Known { items: &items, counters: &counters };
        fitting.rows(&state.request(at(time), &context, &[]), known_items, &candidates, &mut out);
        for (place, item) in candidates.iter().enumerate() {
            fitting.label(at(known(time, end)), None, items.get(*item), f64::from(u8::from(place == 0)));
        }
        [out.row(0)[0], out.row(1)[0]]
    };
    [(11, 20), (15, 20), (21, 30)].map(of_question).to_vec()
}

#[test]
fn target_statistics_know_nothing_of_their_own_window_and_a_planted_leak_is_seen() {
    let is_told = |[taken, other]: [f32; 2]| taken > other;
    let honest = statistics(|_, end| end);
    assert!(honest[..2].iter().flatten().all(|value| value.is_nan()), "{honest:?}");
    assert!(is_told(honest[2]), "{honest:?}");
    let leaky = statistics(|time, _| time);
    assert!(is_told(leaky[1]), "the second question knows what came of the first: {leaky:?}");
}

#[test]
fn scores_stand_beside_their_candidates_and_are_missing_where_a_source_has_not_found_the_item() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let view = store.view();
    let (table, items, _) = surveyed(&store, &view);
    let fitted = table.fit().finish();
    let state = UserState::default();
    let context = Attributes::new();
    let scores = [SourceScores { source: "personal", scores: &[0.5, f32::NAN] }];
    let counters = store.item_counters();
    let mut out = Matrix::zeros(0, 1);
    let candidates = [0, 1].map(crate::record::ItemId::new);
    let request = state.request(Timestamp::from_millis(1_767_300_000_000).unwrap(), &context, &scores);
    fitted.raw_rows(&request, Known { items: &items, counters: &counters }, &candidates, &mut out);
    let place = |name: &str| fitted.columns().iter().position(|column| column.name == name).unwrap();
    let (score, indicator) = (place("score.personal"), place("score.personal?"));
    assert_eq!((out.row(0)[score], out.row(0)[indicator]), (0.5, 0.0));
    assert!(out.row(1)[score].is_nan() && out.row(1)[indicator] == 1.0);
}

/// A table of declared features alone, of items with titles.
fn declared(features: &[(&str, FeatureDefinition)]) -> FeatureTable {
    let mut survey = Survey::default();
    for number in 0..40 {
        let mut item = Item::new(format!("i{number}"));
        item.categories = vec![format!("c{}", number % 3)];
        item.attributes.insert("title".into(), format!("red wine number {number} of {}", number % 5).into());
        survey.item(&item);
    }
    let mut config = FeaturesConfig { automatic: false, ..FeaturesConfig::default() };
    config.columns.extend(features.iter().map(|(name, definition)| ((*name).to_owned(), definition.clone())));
    FeatureTable::new(&config, &survey, &[])
}

const NOW: i64 = 1_767_225_600_000;

fn ago(text: &str) -> Timestamp {
    Timestamp::from_millis(NOW).unwrap().before(text.parse().unwrap())
}

/// The row of an item for a visitor with these events, by column.
fn row_of(fitted: &FittedTable, past: &[(u32, &str)], counters: &CounterSet) -> Vec<(String, f32)> {
    let mut state = UserState::default();
    for (item, time) in past {
        state.visit(fitted.table().past_event(crate::record::ItemId::new(*item), "view", ago(time), None));
    }
    let (context, items, mut out) = (Attributes::new(), FactTable::default(), Matrix::zeros(0, 1));
    let request = state.request(Timestamp::from_millis(NOW).unwrap(), &context, &[]);
    fitted.raw_rows(&request, Known { items: &items, counters }, &[crate::record::ItemId::new(1)], &mut out);
    fitted.columns().iter().map(|column| column.name.clone()).zip(out.row(0).iter().copied()).collect()
}

fn count_of(of: FeatureOf, window: &str) -> FeatureDefinition {
    let window = Some(window.parse().unwrap());
    FeatureDefinition { of: Some(of), window, ..FeatureDefinition::new(FeatureKind::Count) }
}

#[test]
fn counts_of_the_pair_and_of_the_session_have_windows() {
    let features = [("a.pair", count_of(FeatureOf::Pair, "1h")), ("b.session", count_of(FeatureOf::Session, "10m"))];
    let fitted = declared(&features).fit().finish();
    let past = [(1, "3h"), (1, "45m"), (1, "20m"), (2, "5m")];
    let row = row_of(&fitted, &past, &CounterSet::default());
    assert_eq!(row, [("a.pair".into(), 2f32.ln_1p()), ("b.session".into(), 1f32.ln_1p())]);
}

#[test]
fn a_visit_ends_with_its_session_where_events_name_one_and_else_with_a_pause() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
    let count = FeatureDefinition { of: Some(FeatureOf::Session), ..FeatureDefinition::new(FeatureKind::Count) };
    let table = |gap: &str| {
        let columns = [("session".to_owned(), count.clone())].into();
        let session_gap = gap.parse().unwrap();
        let config = FeaturesConfig { automatic: false, session_gap, columns, ..FeaturesConfig::default() };
        FeatureTable::new(&config, &Survey::default(), &[])
    };
    type Visit<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);
    let visits: [Visit<'_>; 4] = [
        ("paused", &[("3h", None), ("50m", None), ("25m", None), ("5m", None)]),
        ("named", &[("3h", Some("a")), ("2h", Some("b")), ("55m", Some("b")), ("5m", Some("b"))]),
        ("changed", &[("12m", Some("a")), ("11m", Some("a")), ("10m", Some("b")), ("5m", Some("b"))]),
        ("mixed", &[("3h", Some("b")), ("2h", None), ("20m", Some("b")), ("5m", Some("b"))]),
    ];
    for (user, events) in visits {
        let event = |(place, (time, session)): (usize, &(&str, Option<&str>))| Event {
            session: session.map(str::to_owned),
            ..Event::new(user, format!("i{place}"), "view").at(ago(time))
        };
        store.append_events(&events.iter().enumerate().map(event).collect::<Vec<_>>(), Durability::Async).unwrap();
    }
    let counted = |gap: &str, user: &str| {
        let (fitted, user) = (table(gap).fit().finish(), store.user_id(user).unwrap().unwrap());
        let now = Timestamp::from_millis(NOW).unwrap();
        let state = UserState::read(&store, fitted.table(), user, now, None).unwrap();
        let (context, items, counters) = (Attributes::new(), FactTable::default(), CounterSet::default());
        let of_row = |request: &FeatureRequest<'_>| {
            let mut out = Matrix::zeros(0, 1);
            fitted.raw_rows(
                request,
                Known { items: &items, counters: &counters },
                &[crate::record::ItemId::new(0)],
                &mut out,
            );
            out.row(0)[0].exp_m1().round() as u32
        };
        let served = of_row(&state.request(now, &context, &[]));
        let asked = [Asked { at: now, user, context: Attributes::new() }];
        let mut trained = None;
        let users = FactTable::default();
        replay_asked(&store.view(), fitted.table(), &items, &users, &asked, &mut |_, request, _| {
            trained = Some(of_row(request));
            Ok(())
        })
        .unwrap();
        assert_eq!(trained, Some(served), "{user:?} with {gap}: training and serving have one rule");
        served
    };
    assert_eq!([counted("30m", "paused"), counted("1h", "paused")], [3, 3]);
    assert_eq!(counted("10m", "paused"), 1);
    assert_eq!(counted("30m", "named"), 3, "a long pause within a session");
    assert_eq!(counted("30m", "changed"), 2, "a session that ends without a pause");
    assert_eq!(counted("30m", "mixed"), 2, "beside one without a session the pause decides");
}

#[test]
fn a_rate_of_nothing_is_the_mean_rate_unless_it_is_said_to_be_unknown() {
    let rate = |missing| FeatureDefinition {
        of: Some(FeatureOf::Item),
        types: vec!["buy".into()],
        per: vec!["view".into()],
        missing,
        ..FeatureDefinition::new(FeatureKind::Rate)
    };
    let fitted = declared(&[("a", rate(None)), ("b", rate(Some(Missing::Indicator)))]).fit().finish();
    let mut counters = CounterSet::default();
    let nothing = row_of(&fitted, &[], &counters);
    assert_eq!((nothing[0].1, nothing[2].clone()), (0.0, ("b?".into(), 1.0)));
    assert!(nothing[1].1.is_nan());
    let event = crate::counters::CountedEvent { time: ago("2d"), value: None, dwell_ms: None };
    counters.add(crate::record::UserId::new(0), crate::record::ItemId::new(1), "view", event);
    let known = row_of(&fitted, &[], &counters);
    assert_eq!((known[1].1, known[2].1), (known[0].1, 0.0));
}

#[test]
fn what_was_read_and_does_not_fit_together_is_refused() {
    let of = |kind, attribute: &str| FeatureDefinition {
        of: (kind == FeatureKind::OneHot).then_some(FeatureOf::Item),
        attribute: Some(attribute.into()),
        ..FeatureDefinition::new(kind)
    };
    let fitted =
        declared(&[("a", of(FeatureKind::OneHot, "categories")), ("b", of(FeatureKind::Text, "title"))]).fit().finish();
    let whole: serde_json::Value = serde_json::from_slice(&fitted.to_bytes().unwrap()).unwrap();
    let reads = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut changed = whole.clone();
        change(&mut changed["table"]["features"]);
        FittedTable::from_bytes(&serde_json::to_vec(&changed).unwrap()).map_err(|error| error.code())
    };
    assert_eq!(reads(&|_| {}), Ok(fitted));
    let damage: [&dyn Fn(&mut serde_json::Value); 6] = [
        &|features| features[1]["text"]["dimensions"] = u64::MAX.into(),
        &|features| features[1]["text"]["axes"] = vec![1.0].into(),
        &|features| features[1]["text"]["rarity"] = vec![1.0].into(),
        &|features| features[1]["text"] = serde_json::Value::Null,
        &|features| features[0]["values"] = vec![1, 2, 3, 4, 5].into(),
        &|features| features[0]["first"] = u64::MAX.into(),
    ];
    for change in damage {
        assert_eq!(reads(change), Err("corrupt"));
    }
}

#[test]
fn tables_of_earlier_rules_are_what_they_were_or_are_outdated() {
    let next = FeatureDefinition { source: Some("next".into()), ..FeatureDefinition::new(FeatureKind::Score) };
    let earlier = |features: &[(&str, FeatureDefinition)]| {
        let mut value = serde_json::to_value(declared(features).fit().finish()).unwrap();
        value["table"].as_object_mut().unwrap().remove("rules");
        FittedTable::from_bytes(&serde_json::to_vec(&value).unwrap()).unwrap()
    };
    let fitted =
        earlier(&[("a", count_of(FeatureOf::Pair, "1h")), ("b", next), ("c", count_of(FeatureOf::Item, "7d"))]);
    assert_eq!(fitted.outdated(), None);
    let row = row_of(&fitted, &[(1, "3h"), (1, "5m")], &CounterSet::default());
    assert_eq!(row[0].1, 2f32.ln_1p(), "windows of pairs were not looked at");
    // What nothing was known of was 0, and is now: of a mean of 0 and a deviation of 1, still 0.
    let place = fitted.columns().iter().position(|column| column.name == "b").unwrap();
    assert_eq!(fitted.standards()[place].of(f32::NAN), 0.0);
    for window in ["90m", "36h", "31d"] {
        let item = count_of(FeatureOf::Item, window);
        assert_eq!(earlier(&[("odd", item.clone())]).outdated(), Some("odd"), "{window}");
        assert_eq!(declared(&[("odd", item)]).fit().finish().outdated(), None);
    }
}

#[test]
fn a_mean_of_values_is_of_one_type_of_events() {
    let mut survey = Survey::default();
    let mut counters = CounterSet::default();
    for (kind, value) in [("rating", Some(4.0)), ("buy", Some(99.0)), ("view", None)] {
        let event = crate::counters::CountedEvent { time: ago("2d"), value, dwell_ms: None };
        counters.add(crate::record::UserId::new(0), crate::record::ItemId::new(1), kind, event);
    }
    survey.events(&counters);
    let fitted = FeatureTable::new(&FeaturesConfig::default(), &survey, &[]).fit().finish();
    let row = row_of(&fitted, &[], &counters);
    let values: Vec<_> = row.iter().filter(|(name, _)| name.starts_with("item.") && name.ends_with("value")).collect();
    assert_eq!(values, [&("item.buy_value".to_owned(), 99.0), &("item.rating_value".to_owned(), 4.0)]);
}

#[test]
fn events_that_are_dated_later_are_not_counted_yet() {
    let of_item = |window: Option<&str>| FeatureDefinition {
        window: window.map(|window| window.parse().unwrap()),
        of: Some(FeatureOf::Item),
        ..FeatureDefinition::new(FeatureKind::Count)
    };
    let fitted = declared(&[("a", of_item(None)), ("b", of_item(Some("7d")))]).fit().finish();
    let mut counters = CounterSet::default();
    for time in [ago("2d"), Timestamp::from_millis(NOW + 86_400_000).unwrap()] {
        let event = crate::counters::CountedEvent { time, value: None, dwell_ms: None };
        counters.add(crate::record::UserId::new(0), crate::record::ItemId::new(1), "view", event);
    }
    let row = row_of(&fitted, &[], &counters);
    assert_eq!(row, [("a".into(), 1f32.ln_1p()), ("b".into(), 1f32.ln_1p())]);
}

#[test]
fn means_and_ages_know_nothing_of_events_that_are_dated_later() {
    let of_item = |kind| FeatureDefinition { of: Some(FeatureOf::Item), ..FeatureDefinition::new(kind) };
    let kinds = [("a.age", FeatureKind::Age), ("b.dwell", FeatureKind::Dwell), ("c.value", FeatureKind::Value)];
    let fitted = declared(&kinds.map(|(name, kind)| (name, of_item(kind)))).fit().finish();
    let rows = |times: &[Timestamp]| {
        let mut counters = CounterSet::default();
        for (place, time) in times.iter().enumerate() {
            let (value, dwell_ms) = (Some(place as f64 * 4.0 + 1.0), Some(1000 + 50_000 * place as u64));
            let event = crate::counters::CountedEvent { time: *time, value, dwell_ms };
            counters.add(crate::record::UserId::new(0), crate::record::ItemId::new(1), "view", event);
        }
        let row = row_of(&fitted, &[], &counters);
        ["a.age", "b.dwell", "c.value"].map(|name| row.iter().find(|(of, _)| of == name).unwrap().1)
    };
    let later = Timestamp::from_millis(NOW + 86_400_000).unwrap();
    let honest = rows(&[ago("2d")]);
    assert_eq!((honest[1], honest[2]), (1f32.ln_1p(), 1.0));
    assert!(honest[0] > 1.0, "{honest:?}");
    let planted = rows(&[ago("2d"), later]);
    assert_eq!(planted[0], honest[0]);
    assert!(planted[1].is_nan() && planted[2].is_nan(), "nobody knows what the means were: {planted:?}");
    assert!(rows(&[later]).iter().all(|value| value.is_nan()), "nothing is known of what is yet to come");
}

#[test]
fn texts_that_share_words_lie_near_each_other() {
    let words =
        ["red wine from the south", "white wine from the north", "steel pan for the oven", "iron pan for the fire"];
    let texts: Vec<String> = (0..40).map(|n| format!("{} {}", words[n % 4], n)).collect();
    let model = text::TextModel::fit(&texts, 2).unwrap();
    let vector = |text: &str| model.project(text).unwrap();
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let (wine, other, pan) = (vector("red wine"), vector("wine, white"), vector("an oven pan"));
    assert!(cosine(&wine, &other) > cosine(&wine, &pan) + 0.2, "{wine:?} {other:?} {pan:?}");
    assert_eq!(model.project(" - "), None);
}
