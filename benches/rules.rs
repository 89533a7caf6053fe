//! What a scenario with rules adds to an answer: the same questions, alternately plain and by scenarios of growing size, on one
//! thread. See `benches/rules.sh`.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::{Config, Engine, Event, Item, Query, Scenario, Timestamp, TrainOptions};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const USERS: usize = 2_000;
const EVENTS: usize = 40;
const ROUNDS: usize = 5;
const BOOSTS: &str = r#"
[[rules]]
rule = "boost"
factor = 1.5
filter = { must = [{ key = "brand", match = { value = "b1" } }] }
[[rules]]
rule = "boost"
factor = 1.2
filter = { must = [{ key = "price", range = { lt = 20 } }] }
[[rules]]
rule = "bury"
filter = { must = [{ key = "brand", match = { any = ["b2", "b3"] } }] }
"#;
const REST: &str = r#"
[[rules]]
rule = "exclude"
filter = { must = [{ key = "stock", match = { value = 0 } }] }
[[rules]]
rule = "only_new"
within = "300d"
[[rules]]
rule = "pin"
item = "i7"
position = 0
[[rules]]
rule = "slot"
list = "chosen"
positions = [3, 6]
[[rules]]
rule = "max_per"
key = "brand"
limit = 3
[[rules]]
rule = "frequency_cap"
shown = 100000
within = "7d"
[lists.chosen]
items = ["i11", "i12", "i13", "i14", "i15"]
"#;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let items: usize = match arguments.iter().position(|argument| argument == "--items") {
        Some(place) => arguments.get(place + 1).map_or(Ok(20_000), |text| text.parse())?,
        None => 20_000,
    };
    let dir = tempfile::tempdir()?;
    let engine = filled(dir.path(), items)?;
    let snapshot = engine.train(&TrainOptions { measure: false, ranker: false, ..TrainOptions::default() })?;
    engine.activate(snapshot)?;
    let scenarios = [("empty", String::new()), ("boosts", BOOSTS.to_owned()), ("all", format!("{BOOSTS}{REST}"))];
    for (name, toml) in &scenarios {
        engine.put_scenario(name, Scenario::from_toml(toml)?, None)?;
    }
    let ways: Vec<Option<&str>> = std::iter::once(None).chain(scenarios.iter().map(|(name, _)| Some(*name))).collect();
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); ways.len()];
    for round in 0..=ROUNDS {
        for user in 0..USERS {
            // Whoever is first pays for what is in no cache.
            for turn in 0..ways.len() {
                let at = (turn + user + round) % ways.len();
                let scenario = ways[at].map(str::to_owned);
                let query = Query { scenario, ..Query::for_user(format!("u{user}")) };
                let began = Instant::now();
                let answer = engine.recommend(&query)?;
                let took = began.elapsed();
                assert_eq!(answer.items.len(), 10);
                // The first round fills what is kept in memory.
                if round > 0 {
                    times[at].push(took);
                }
            }
        }
    }
    let mut figures = Vec::new();
    let percentile = |times: &mut Vec<Duration>, share: f64| {
        times.sort_unstable();
        times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6
    };
    let plain = percentile(&mut times[0], 0.5);
    for (way, times) in ways.iter().zip(&mut times) {
        let (p50, p99) = (percentile(times, 0.5), percentile(times, 0.99));
        let name = way.unwrap_or("plain");
        eprintln!("{name:>7}: p50 {p50:7.1} µs, p99 {p99:7.1} µs, adds {:6.1} µs", p50 - plain);
        figures.push(format!("{name}_p50_us={p50:.1} {name}_adds_us={:.1}", p50 - plain));
    }
    println!("rules items={items} {}", figures.join(" "));
    Ok(())
}

/// Groups of users who like groups of items.
fn filled(dir: &std::path::Path, count: usize) -> Outcome<Engine> {
    // Each answer is made anew.
    let mut config = Config::default();
    config.recommend.cache_mib = 0;
    let engine = Engine::open(dir.join("data"), config)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let now = Timestamp::now();
    let item = |number: usize| {
        let mut item = Item::new(format!("i{number}"));
        item.categories = vec![format!("c{}", number % 20)];
        item.attributes.insert("brand".into(), format!("b{}", number % 37).into());
        item.attributes.insert("price".into(), ((number * 7 % 100) as f64).into());
        item.attributes.insert("stock".into(), ((number % 11) as f64).into());
        item.time = Timestamp::from_millis(now.millis() - (number % 400) as i64 * 86_400_000).ok();
        item
    };
    for from in (0..count).step_by(5_000) {
        engine.put_items(&(from..count.min(from + 5_000)).map(item).collect::<Vec<_>>())?;
    }
    for user in 0..USERS {
        let mut event = |step: usize| {
            let of_group = user % 20 + 20 * random.random_range(0..count / 20);
            let liked = if step.is_multiple_of(5) { random.random_range(0..count) } else { of_group };
            let time = Timestamp::from_millis(now.millis() - ((user * 31 + step * 1009) % 40_000) as i64 * 60_000)?;
            Ok(Event::new(format!("u{user}"), format!("i{liked}"), "click").at(time))
        };
        engine
            .append_events_with(&(0..EVENTS).map(&mut event).collect::<Outcome<Vec<_>>>()?, savor::Durability::Async)?;
    }
    Ok(engine)
}
