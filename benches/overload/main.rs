//! Overload: capacity is measured first (closed loop), then more is asked than that, up to ten times as much (open loop), with one
//! request in twenty a write. Prints goodput, that is answers within the deadline, what they were, how long they took, what
//! was refused, and the server's memory; once as the server is by default and once without the ladder, so that nothing is
//! answered but in full. Then connections that mean no good. See benches/overload.sh.

mod abuse;
mod client;
mod server;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use client::{Request, Tally, closed_loop, open_loop};
use savor::{Config, Engine, Event, Item, Timestamp, TrainOptions};
use server::Server;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Later answers are nobody's.
const DEADLINE: Duration = Duration::from_millis(250);
const ITEMS: u64 = 5_000;
const USERS: u64 = 3_000;
const EVENTS: u64 = 150_000;
/// One request in so many is an event.
const WRITES: usize = 20;
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 3;
/// Times the capacity that are offered.
const LOADS: [f64; 5] = [0.8, 1.0, 2.0, 5.0, 10.0];
const WANTED: f64 = 0.8;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let seconds = Duration::from_secs_f64(value("--seconds").map_or(Ok(5.0), |text| text.parse())?);
    let is_pinned = !arguments.iter().any(|argument| argument == "--unpinned");
    let data = value("--data").ok_or("--data DIR is missing: where the made-up data are, or shall be")?;
    let data = Path::new(data);
    if !data.exists() {
        // Made beside and renamed: a run that was cut short leaves no half of it.
        let work = data.with_extension("unfinished");
        if work.exists() {
            std::fs::remove_dir_all(&work)?;
        }
        make(&work)?;
        std::fs::rename(&work, data)?;
    }
    if is_pinned {
        let itself = std::process::id().to_string();
        Command::new("taskset").args(["-cp", "1", &itself]).output()?;
    }
    let requests = requests();
    let off = ["unranked_from", "kept_from", "popular_from"].map(|step| format!("server.overload.{step}=1e9"));
    let mut capacity = None;
    let mut verdicts = Vec::new();
    for (what, settings) in [("without the ladder", &off[..]), ("as it is by default", &off[..0])] {
        let server = Server::serve(data, settings, is_pinned)?;
        println!("\n{what}");
        let capacity = match capacity {
            Some(capacity) => capacity,
            // What is answered in full when as much is asked as is answered.
            None => *capacity.insert(capacity_of(&server, &requests, seconds)?),
        };
        verdicts.push(measure(&server, &requests, capacity, seconds)?);
    }
    let capacity = capacity.unwrap_or_default();
    let server = Server::serve(data, &[], is_pinned)?;
    let questions: Vec<Request> = requests.iter().filter(|request| !request.is_write).cloned().collect();
    println!("\nconnections");
    abuse::run(&server, &questions)?;
    let [refusals, ladder] = verdicts.as_slice() else { return Err("two measurements were made".into()) };
    let is_well = ladder.ratio >= WANTED && verdicts.iter().all(|of| of.peak_mib <= of.bound_mib);
    println!(
        "overload capacity_rps={:.0} goodput_10x_ratio={:.2} whole_10x_ratio={:.2} without_ladder_10x_ratio={:.2} \
         peak_mib={:.0} bound_mib={:.0} {}",
        capacity,
        ladder.ratio,
        ladder.whole,
        refusals.ratio,
        ladder.peak_mib.max(refusals.peak_mib),
        ladder.bound_mib,
        if is_well { "PASS" } else { "FAIL" }
    );
    if is_well { Ok(()) } else { Err("goodput fell, or memory grew over its bound".into()) }
}

fn capacity_of(server: &Server, requests: &[Request], seconds: Duration) -> Result<f64> {
    closed_loop(server.address, requests, CONNECTIONS, Duration::from_secs(1), DEADLINE)?;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let tally = closed_loop(server.address, requests, CONNECTIONS, seconds, DEADLINE)?;
        rates.push(tally.whole() as f64 / seconds.as_secs_f64());
    }
    println!("capacity, three rounds: {rates:.0?} whole answers/s");
    rates.sort_by(f64::total_cmp);
    Ok(rates[ROUNDS / 2])
}

/// What ten times the capacity did.
struct Verdict {
    ratio: f64,
    whole: f64,
    peak_mib: f64,
    bound_mib: f64,
}

fn measure(server: &Server, requests: &[Request], capacity: f64, seconds: Duration) -> Result<Verdict> {
    let idle = server.memory_mib()?;
    let bound = Config::default().load_bound(std::thread::available_parallelism()?.get());
    let bound_mib = idle + bound.iter().map(|part| part.bytes as f64 / f64::from(1 << 20)).sum::<f64>();
    println!(
        "{:>5} {:>8} {:>8} {:>6} | {:>7} {:>8} {:>7} {:>8} | {:>7} {:>6} {:>7} | {:>8} {:>8} | {:>9} {:>6} {:>6}",
        "load",
        "offered",
        "good/s",
        "ratio",
        "full",
        "unranked",
        "kept",
        "popular",
        "refused",
        "late",
        "unsent",
        "p50 ms",
        "p99 ms",
        "writes ok",
        "MiB",
        "CPU s"
    );
    let (mut ratio, mut whole) = (0.0, 0.0);
    for load in LOADS {
        let before = server.seconds()?;
        let mut tally = open_loop(server.address, requests, load * capacity, seconds, DEADLINE)?;
        let good = tally.good() as f64 / seconds.as_secs_f64();
        (ratio, whole) = (good / capacity, tally.whole() as f64 / seconds.as_secs_f64() / capacity);
        line(load, &mut tally, good, ratio, server.memory_mib()?, server.seconds()? - before);
    }
    Ok(Verdict { ratio, whole, peak_mib: server.peak_mib()?, bound_mib })
}

fn line(load: f64, tally: &mut Tally, good: f64, ratio: f64, mib: f64, cpu: f64) {
    let of = |word: &str| tally.good.get(word).copied().unwrap_or(0);
    let (unranked, kept, popular) = (of("overloaded_unranked"), of("overloaded_kept"), of("overloaded_popular"));
    let (full, refused): (usize, usize) = (tally.whole(), tally.refused.values().sum());
    let (p50, p99) = (tally.quantile(0.5), tally.quantile(0.99));
    let (stored, all) = (tally.writes.0, (tally.writes.0 + tally.writes.1).max(1));
    println!(
        "{load:>4}x {:>8} {good:>8.0} {ratio:>6.2} | {full:>7} {unranked:>8} {kept:>7} {popular:>8} | {refused:>7} {:>6} {:>7} | \
         {p50:>8.2} {p99:>8.2} | {:>8.0}% {mib:>6.0} {cpu:>6.1}",
        tally.offered,
        tally.late,
        tally.unsent,
        100.0 * stored as f64 / all as f64,
    );
}

/// A question for each user, in no order, and events between them.
fn requests() -> Vec<Request> {
    let deadline = DEADLINE.as_millis();
    let request = |number: u64| {
        let user = drawn(number, USERS);
        if number.is_multiple_of(WRITES as u64) {
            let event =
                format!("{{\"user\":\"u{user}\",\"item\":\"i{}\",\"type\":\"click\"}}", drawn(number + 1, ITEMS));
            let text = format!(
                "POST /v1/events HTTP/1.1\r\nhost: savor\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{event}",
                event.len()
            );
            return Request { bytes: text.into_bytes().into(), is_write: true };
        }
        let text = format!(
            "GET /v1/users/u{user}/recommendations?limit=10 HTTP/1.1\r\nhost: savor\r\nx-timeout-ms: {deadline}\r\n\r\n"
        );
        Request { bytes: Rc::from(text.into_bytes()), is_write: false }
    };
    (0..4 * USERS).map(request).collect()
}

/// A number below `n` that looks random and is always the same.
fn drawn(seed: u64, n: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 32)) % n
}

/// A catalogue in which other items are in fashion every week, for the users of each taste: something that a ranker learns.
fn make(data: &Path) -> Result<()> {
    eprintln!("making up {ITEMS} items and {EVENTS} events, and training");
    let mut config = Config::default();
    config.ranker.least_pairs = Some(0);
    config.evaluate.bootstrap = 100;
    let engine = Engine::open(data, config)?;
    let item = |number: u64| {
        let mut item = Item::new(format!("i{number}"));
        item.categories = vec![format!("c{}", number % 40)];
        item.attributes.insert("price".into(), (number as f64 % 97.0).into());
        item
    };
    engine.put_items(&(0..ITEMS).map(item).collect::<Vec<_>>())?;
    let event = |number: u64| {
        let user = drawn(3 * number, USERS);
        let (week, taste) = (number * 20 / EVENTS, user % 10);
        let of_taste = (taste * ITEMS / 10 + week * 20 + drawn(number, 60)) % ITEMS;
        let is_usual = drawn(7 * number + 1, 100) < 80;
        let item = if is_usual { of_taste } else { drawn(11 * number + 2, ITEMS) };
        let time = 1_767_225_600_000 + (number * 20 * 7 * 86_400_000 / EVENTS) as i64;
        let time = Timestamp::from_millis(time)?;
        Ok(Event::new(format!("u{user}"), format!("i{item}"), "click").at(time))
    };
    let events = (0..EVENTS).map(event).collect::<Result<Vec<_>>>()?;
    for part in events.chunks(10_000) {
        engine.append_events(part)?;
    }
    let snapshot = engine.train(&TrainOptions::default())?;
    engine.activate(snapshot)?;
    let ranker = engine.snapshot(snapshot)?.ranker;
    eprintln!("a ranker puts candidates in order: {}", ranker.is_some_and(|ranker| ranker.is_used));
    Ok(())
}
