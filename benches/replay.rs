//! A log replayed in the order of time: before each like of the last part the engine is asked for twenty items for its user, and hits if
//! what comes is among them. Held beside each other: a snapshot that nobody touches, one that is trained anew after each
//! day and learns of a day's events when it is over, fold-in of each event at once, the same with items that follow
//! their new events, and fold-in with daily training. See `benches/replay.sh`.

use std::path::Path;

use savor::{Config, Engine, Event, Query, SnapshotId, Timestamp, TrainConfig, TrainOptions};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The part of the events that the first training has.
const TRAINED: f64 = 0.8;
const DAY: i64 = 86_400_000;

/// How an engine learns.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    /// Events reach it as they come; else when a day is over, or never.
    is_live: bool,
    /// It is trained after each day.
    is_trained: bool,
    /// Items follow after so many events.
    refresh_after: usize,
}

const WAYS: [Way; 6] = [
    Way { name: "static", is_live: false, is_trained: false, refresh_after: 0 },
    Way { name: "daily", is_live: false, is_trained: true, refresh_after: 0 },
    Way { name: "live", is_live: true, is_trained: false, refresh_after: 0 },
    Way { name: "live_refresh", is_live: true, is_trained: false, refresh_after: 5 },
    Way { name: "live_daily", is_live: true, is_trained: true, refresh_after: 0 },
    Way { name: "live_daily_refresh", is_live: true, is_trained: true, refresh_after: 5 },
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let folder = value("--data").ok_or("--data DIR is missing")?;
    let only: Vec<&str> = value("--only").map_or_else(Vec::new, |names| names.split(',').collect());
    let list: usize = value("--list").map_or(Ok(20), |text| text.parse())?;
    let mut config = Config::default();
    if let Some(text) = value("--half-life") {
        config.events.half_life = text.parse()?;
    }
    if let Some(text) = value("--trend") {
        config.train.trend = text.parse()?;
    }
    let events = read(Path::new(folder))?;
    let mut figures = Vec::new();
    for way in WAYS.into_iter().filter(|way| only.is_empty() || only.contains(&way.name)) {
        let (hits, asked, gone) = replay(&events, way, list, config.clone())?;
        let rate = hits as f64 / asked as f64;
        let error = (rate * (1.0 - rate) / asked as f64).sqrt();
        eprintln!("{:>20}  hit rate {rate:.4} ± {error:.4} of {asked} likes, {gone} days", way.name);
        figures.push(format!("hit@{list}_{}={rate:.4}", way.name));
    }
    println!("replay {}", figures.join(" "));
    Ok(())
}

/// Hits among so many items, likes and days.
fn replay(events: &[Event], way: Way, list: usize, mut config: Config) -> Outcome<(usize, usize, usize)> {
    let dir = tempfile::tempdir()?;
    config.recommend.refresh_after = way.refresh_after;
    config.store.durability = savor::Durability::Async;
    let engine = Engine::open(dir.path().join("data"), config)?;
    let (past, coming) = events.split_at((events.len() as f64 * TRAINED) as usize);
    engine.append_events(past)?;
    let first = train(&engine, None)?;
    // What was left to the data is settled once.
    let settled = engine.snapshot(first)?.train;
    let (mut hits, mut asked, mut days) = (0, 0, 0);
    for day in coming.chunk_by(|a, b| day(a) == day(b)) {
        days += 1;
        for event in day {
            if event.value >= Some(4.0) {
                let answer = engine.recommend(&Query::for_user(&event.user).limit(list))?;
                hits += usize::from(answer.items.iter().any(|item| item.item == event.item));
                asked += 1;
            }
            if way.is_live {
                engine.append_events(std::slice::from_ref(event))?;
            }
        }
        if way.is_trained {
            if !way.is_live {
                engine.append_events(day)?;
            }
            train(&engine, Some(&settled))?;
        }
    }
    engine.shutdown();
    Ok((hits, asked, days))
}

fn train(engine: &Engine, settled: Option<&TrainConfig>) -> Outcome<SnapshotId> {
    let train = settled.cloned();
    let id = engine.train(&TrainOptions { train, measure: false, ranker: false, ..TrainOptions::default() })?;
    engine.activate(id)?;
    Ok(id)
}

fn day(event: &Event) -> i64 {
    event.time.map_or(0, |time| time.millis().div_euclid(DAY))
}

/// The ratings in the order of time, those of one second by user and item.
fn read(folder: &Path) -> Outcome<Vec<Event>> {
    let text = std::fs::read_to_string(folder.join("ml-100k.inter"))?;
    let mut rows = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [user, item, rating, seconds] = fields[..] else { return Err("a row has not four fields".into()) };
        let (user, item): (u32, u32) = (user.parse()?, item.parse()?);
        rows.push((seconds.parse::<f64>()? as i64 * 1000, user, item, rating.parse::<f64>()?));
    }
    rows.sort_by_key(|row| (row.0, row.1, row.2));
    let event = |(millis, user, item, rating): (i64, u32, u32, f64)| {
        let time = Timestamp::from_millis(millis)?;
        Ok(Event::new(user.to_string(), item.to_string(), "rating").with_value(rating).at(time))
    };
    rows.into_iter().map(event).collect()
}
