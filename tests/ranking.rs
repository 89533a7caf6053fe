//! The ranker: learned where it helps, kept out where it does not, in snapshots and bundles, and replaced by one's own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use savor::{
    Config, Engine, Event, Item, Query, RankQuery, Ranker, RankerQuestion, RankerReport, Timestamp, TrainOptions, User,
};

const ITEMS: u64 = 200;
const USERS: u64 = 120;
const DAYS: u64 = 60;
const START: i64 = 1_767_225_600_000;

/// Every week other items are in fashion with everybody: what who likes whom does not tell, but what was taken yesterday
/// does.
fn fashion(share: u64) -> Vec<Event> {
    let mut state = 1u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut events = Vec::new();
    for day in 0..DAYS {
        for place in 0..150 {
            let hot = (day / 7 * 25 + below(25)) % ITEMS;
            let item = if below(100) < share { hot } else { below(ITEMS) };
            let time = START + (day * 86_400 + place * 500) as i64 * 1000;
            let event = Event::new(format!("u{}", below(USERS)), format!("i{item}"), "click");
            events.push(event.at(Timestamp::from_millis(time).unwrap()));
        }
    }
    events
}

fn config() -> Config {
    let mut config =
        Config::from_toml("[train]\ndimension = 8\nepochs = 5\n[store]\ndurability = \"async\"\n").unwrap();
    config.evaluate.bootstrap = 200;
    config.evaluate.permutations = 0;
    config.ranker.candidates = 100;
    config.ranker.epochs = 10;
    config
}

fn filled(dir: &Path, config: Config, share: u64) -> Engine {
    with_events(dir, config, &fashion(share))
}

fn with_events(dir: &Path, config: Config, events: &[Event]) -> Engine {
    let engine = Engine::open(dir, config).unwrap();
    let items: Vec<Item> = (0..ITEMS)
        .map(|number| {
            let mut item = Item::new(format!("i{number}"));
            item.attributes.insert("price".into(), (number as f64).into());
            item
        })
        .collect();
    engine.put_items(&items).unwrap();
    engine.append_events(events).unwrap();
    engine
}

fn trained(engine: &Engine) -> RankerReport {
    let id = engine.train(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap();
    engine.activate(id).unwrap();
    engine.snapshot(id).unwrap().ranker.unwrap()
}

fn names(engine: &Engine, user: &str) -> Vec<String> {
    engine.recommend(&Query::for_user(user)).unwrap().items.into_iter().map(|item| item.item).collect()
}

#[test]
fn what_helps_on_held_out_time_orders_answers_here_after_a_reopening_and_where_a_bundle_is_imported() {
    let (dir, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = filled(dir.path(), config(), 80);
    let report = trained(&engine);
    assert!(report.is_used && report.low > 0.0, "{report:?}");
    assert!(report.ndcg_linear.max(report.ndcg_network) > report.ndcg_retrieval + 0.05, "{report:?}");
    assert!(report.least_pairs > 5, "all of them have done a lot: {report:?}");
    let worth = |name: &str| report.importance.iter().find(|of| of.feature == name).unwrap().drop;
    assert!(worth("item.events_1d") > worth("item.price"), "{:?}", report.importance);

    let answer = engine.recommend(&Query::for_user("u7").explain()).unwrap();
    assert_eq!(answer.items.len(), 10);
    assert!(answer.items.windows(2).all(|pair| pair[0].rank.unwrap() >= pair[1].rank.unwrap()), "{answer:?}");
    assert!(answer.items.windows(2).any(|pair| pair[0].score < pair[1].score), "the order is not that of retrieval");
    for item in &answer.items {
        let sum: f64 = item.because.as_ref().unwrap().iter().map(|part| part.weight).sum();
        assert!((sum - item.score).abs() < 1e-3, "explanations are of the score");
    }
    let many = engine.recommend_many(&[Query::for_user("u7"), Query::for_session(["i3", "i4"])]).unwrap();
    assert!(many[0].items.iter().all(|item| item.rank.is_some()), "{many:?}");
    // Of a visitor less is known than of anybody whom it has learned from.
    assert!(many[1].items.iter().all(|item| item.rank.is_none()), "{many:?}");
    assert!(many[1].items.windows(2).all(|pair| pair[0].score >= pair[1].score), "{many:?}");

    let items: Vec<String> = names(&engine, "u7").into_iter().rev().chain(["nothing".into()]).collect();
    let query = RankQuery { user: Some("u7".into()), ..RankQuery::new(items.clone()) };
    let ranked = engine.rank(&query).unwrap().items;
    assert_eq!(ranked.len(), items.len());
    assert!(ranked[..10].windows(2).all(|pair| pair[0].rank.unwrap() >= pair[1].rank.unwrap()), "{ranked:?}");
    assert_eq!((ranked[10].item.as_str(), ranked[10].rank), ("nothing", None));

    // What is asked about beside an item does not change what is said of it.
    for few in [vec![0], vec![9, 2]] {
        let items: Vec<String> = few.iter().map(|place| answer.items[*place].item.clone()).collect();
        let query = RankQuery { user: Some("u7".into()), ..RankQuery::new(items) };
        for of in engine.rank(&query).unwrap().items {
            let among_many = answer.items.iter().find(|other| other.item == of.item).unwrap().rank.unwrap();
            assert!((of.rank.unwrap() - among_many).abs() < 1e-2, "{of:?} {among_many}");
        }
    }

    let expected = names(&engine, "u7");
    let bundle = there.path().join("bundle");
    engine.export_snapshot(engine.active_snapshot().unwrap(), &bundle).unwrap();
    drop(engine);
    assert_eq!(names(&Engine::open(dir.path(), config()).unwrap(), "u7"), expected);
    let other = filled(&there.path().join("data"), config(), 80);
    let id = other.import_snapshot(&bundle).unwrap();
    other.activate(id).unwrap();
    assert_eq!(names(&other, "u7"), expected);
    assert!(other.snapshot(id).unwrap().ranker.unwrap().is_used);
}

#[test]
fn under_which_circumstances_is_asked_decides_the_order_where_it_decides_what_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.ranker.epochs = 40;
    // On a phone people take items of even numbers, on a television the others; for ten days each has the one or the other at hand.
    let mut events = fashion(80);
    for event in &mut events {
        let number = |text: &str| text[1..].parse::<u64>().unwrap();
        let period = (event.time.unwrap().millis() - START) as u64 / 864_000_000;
        let device = (number(&event.user) * 2_654_435_761 + period * 1_640_531_527) >> 12 & 1;
        event.item = format!("i{}", number(&event.item) / 2 * 2 + device);
        event.context.insert("device".into(), ["phone", "tv"][device as usize].into());
    }
    let engine = Engine::open(dir.path(), config).unwrap();
    let items: Vec<Item> = (0..ITEMS)
        .map(|number| {
            let mut item = Item::new(format!("i{number}"));
            item.categories = vec![["even", "odd"][number as usize % 2].into()];
            item
        })
        .collect();
    engine.put_items(&items).unwrap();
    engine.append_events(&events).unwrap();
    let report = trained(&engine);
    assert!(report.is_used && report.model == "network", "{report:?}");
    let worth = |name: &str| report.importance.iter().find(|of| of.feature == name).unwrap().drop;
    assert!(worth("request.device") > 0.01, "{:?}", report.importance);

    engine.keep_exposures().unwrap();
    let even = |device: &str| {
        let answers = (0..20)
            .map(|user| engine.recommend(&Query::for_user(format!("u{user}")).context([("device", device)])).unwrap());
        let numbers = answers.flat_map(|answer| answer.items).map(|item| item.item[1..].parse::<u64>().unwrap());
        numbers.filter(|number| number % 2 == 0).count()
    };
    let (phone, tv) = (even("phone"), even("tv"));
    assert!(phone > 120 && tv < 80, "{phone} and {tv} of 200");
    let shown = engine.user_exposures("u3", 1).unwrap().remove(0);
    assert_eq!(shown.question.unwrap().context["device"], "tv".into());
}

#[test]
fn a_value_that_few_users_have_makes_no_column_in_any_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path(), config(), 80);
    let users: Vec<User> = (0..USERS)
        .map(|number| {
            let mut user = User::new(format!("u{number}"));
            let city = if number == 7 { "lonely-town" } else { ["busy-town", "quiet-town"][number as usize % 2] };
            user.attributes.insert("city".into(), city.into());
            user
        })
        .collect();
    engine.put_users(&users).unwrap();
    trained(&engine);
    let columns = engine.feature_columns().unwrap();
    let has = |value: &str| columns.iter().any(|column| column.name == format!("user.city={value}"));
    assert_eq!((has("busy-town"), has("quiet-town"), has("lonely-town")), (true, true, false));
    let of_snapshot = texts(&dir.path().join("index"));
    assert!(of_snapshot.contains("quiet-town") && !of_snapshot.contains("lonely-town"));
}

/// The bytes of all files in a folder, as text.
fn texts(folder: &Path) -> String {
    let read = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.unwrap().path()).unwrap_or_default();
    std::fs::read_dir(folder).unwrap().map(|entry| String::from_utf8_lossy(&read(entry)).into_owned()).collect()
}

#[test]
fn a_ranker_without_anything_to_tell_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path(), config(), 0);
    let report = trained(&engine);
    assert!(!report.is_used && report.low <= 0.0, "{report:?}");
    let answer = engine.recommend(&Query::for_user("u7")).unwrap();
    assert!(answer.items.iter().all(|item| item.rank.is_none()));
    assert!(answer.items.windows(2).all(|pair| pair[0].score >= pair[1].score));
}

#[test]
fn it_can_be_left_out_of_training_and_of_serving() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path(), config(), 80);
    let id = engine.train(&TrainOptions { measure: false, ranker: false, ..TrainOptions::default() }).unwrap();
    assert_eq!(engine.snapshot(id).unwrap().ranker, None);
    assert!(trained(&engine).is_used);
    drop(engine);
    let mut without = config();
    without.ranker.enabled = false;
    let engine = Engine::open(dir.path(), without).unwrap();
    let answer = engine.recommend(&Query::for_user("u7")).unwrap();
    assert!(answer.items.iter().all(|item| item.rank.is_none()));
}

#[test]
fn few_users_are_too_few_and_the_report_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut strict = config();
    strict.ranker.fewest_users = 1_000_000;
    let report = trained(&filled(dir.path(), strict, 80));
    assert!(!report.is_used && report.note.contains("1000000 are needed"), "{}", report.note);
}

#[test]
fn the_same_data_give_the_same_ranker_whatever_the_threads() {
    let learned = |threads| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config();
        config.train.threads = threads;
        let engine = filled(dir.path(), config, 80);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let report = pool.install(|| trained(&engine));
        let ranks: Vec<_> =
            ["u1", "u2", "u3"].map(|user| engine.recommend(&Query::for_user(user)).unwrap().items).into();
        let orders: Vec<Vec<String>> =
            ranks.into_iter().map(|items| items.into_iter().map(|item| item.item).collect()).collect();
        (RankerReport { seconds: 0.0, ..report }, orders)
    };
    assert_eq!(learned(1), learned(3));
}

#[test]
fn evaluation_measures_it_beside_retrieval_on_what_neither_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path(), config(), 80);
    // In the middle of a week: what is in fashion then stays so for a while.
    let split = Some(savor::Split::Time { train: 0.75 });
    let options = savor::EvaluateOptions { split, ..savor::EvaluateOptions::default() };
    let evaluation = engine.evaluate(&options, &savor::Silent).unwrap();
    assert!(evaluation.ranker.unwrap().is_used);
    let ndcg = |name: &str| evaluation.report.model(name).unwrap().metric("ndcg@10").unwrap().mean;
    assert!(ndcg("blend + ranker") > ndcg("blend") + 0.02, "{} {}", ndcg("blend + ranker"), ndcg("blend"));
    // Nobody here touches what they do not like.
    let unseen = engine.evaluate(&savor::EvaluateOptions { exclude_seen: true, ..options }, &savor::Silent).unwrap();
    let ndcg_unseen = |name: &str| unseen.report.model(name).unwrap().metric("ndcg@10").unwrap().mean;
    for name in ["blend", "blend + ranker"] {
        assert_eq!(ndcg_unseen(name), ndcg(name));
    }
}

/// The cheapest first.
struct Cheapest;

impl Ranker for Cheapest {
    fn score(&self, question: &RankerQuestion<'_>) -> savor::Result<Vec<f32>> {
        assert_eq!(question.user, Some("u7"));
        let price = |item: &&Item| item.id.trim_start_matches('i').parse::<f32>().unwrap();
        Ok(question.items.iter().map(|item| -price(item)).collect())
    }
}

/// Gives no scores at all.
struct Mute;

impl Ranker for Mute {
    fn score(&self, _: &RankerQuestion<'_>) -> savor::Result<Vec<f32>> {
        Ok(Vec::new())
    }
}

#[test]
fn a_ranker_of_ones_own_takes_the_place_of_the_learned_one() {
    let dir = tempfile::tempdir().unwrap();
    let engine = filled(dir.path(), config(), 80);
    trained(&engine);
    let before = names(&engine, "u7");
    engine.set_ranker(Some(Arc::new(Cheapest)));
    let answer = engine.recommend(&Query::for_user("u7")).unwrap();
    let price = |item: &str| item.trim_start_matches('i').parse::<i64>().unwrap();
    assert!(answer.items.windows(2).all(|pair| price(&pair[0].item) < price(&pair[1].item)), "{answer:?}");
    engine.set_ranker(Some(Arc::new(Mute)));
    assert_eq!(engine.recommend(&Query::for_user("u7")).unwrap_err().code(), "invalid");
    engine.set_ranker(None);
    assert_eq!(names(&engine, "u7"), before);
}

#[test]
fn answers_that_were_shown_are_its_questions_and_what_was_passed_over_counts() {
    let dir = tempfile::tempdir().unwrap();
    let engine = with_events(dir.path(), config(), &fashion(0)[..3_000]);
    assert!(!trained(&engine).is_used);
    engine.keep_exposures().unwrap();
    // Of what they are shown people take what the fewest have taken until then: who liked which items does not tell that.
    let mut taken: HashMap<String, usize> = HashMap::new();
    fashion(0)[..3_000].iter().for_each(|event| *taken.entry(event.item.clone()).or_default() += 1);
    for _ in 0..30 {
        let mut clicks = Vec::new();
        for user in (0..USERS).map(|user| format!("u{user}")) {
            let answer = engine.recommend(&Query::for_user(&user).limit(8)).unwrap();
            let fewest = (0..answer.items.len()).min_by_key(|place| taken.get(&answer.items[*place].item)).unwrap();
            clicks.push(Event {
                recommendation_id: Some(answer.recommendation_id.clone()),
                position: Some(fewest as u32),
                ..Event::new(&user, &answer.items[fewest].item, "click")
            });
        }
        clicks.iter().for_each(|event| *taken.entry(event.item.clone()).or_default() += 1);
        engine.append_events(&clicks).unwrap();
    }
    let report = trained(&engine);
    assert!(report.is_used && report.shown > 200 && report.questions > report.shown, "{report:?}");
    assert!(report.importance[0].feature.starts_with("item.events"), "{:?}", report.importance);

    // What nobody was shown tells nothing of what was passed over.
    let other = tempfile::tempdir().unwrap();
    let engine = filled(other.path(), config(), 80);
    assert_eq!(trained(&engine).shown, 0);
}
