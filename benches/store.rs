//! Writing: a bulk import of events, and single events acknowledged on disk from eight threads, beside RocksDB alone
//! doing the same two puts for each event with its own group commit; and what the counters of features add to the write of
//! one event that is not synced. See `benches/store.sh`.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use savor::ingest::{ImportOptions, Kind, Source};
use savor::{Config, Engine, Event, Silent, Timestamp};

// The crate's own counters, not a copy: they are no part of its public face.
#[allow(dead_code, unused_imports)]
#[path = "../src/counters/mod.rs"]
mod counters;
use savor::record;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const EVENTS: u64 = 1_000_000;
const THREADS: u64 = 8;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const START: i64 = 1_767_225_600_000;

fn main() -> Outcome<()> {
    let dir = tempfile::tempdir_in(std::env::var_os("SAVOR_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into))?;
    let import_per_s = import(dir.path())?;
    let engine = Engine::open(dir.path().join("durable"), Config::default())?;
    let raw = Raw::open(&dir.path().join("raw"))?;
    let (mut durable, mut alone) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let pair =
            (rate(|event| Ok(engine.append_events(&[event_of(event)]).map(drop)?))?, rate(|event| raw.put(event))?);
        eprintln!(
            "round {round}: {:.0} events/s, RocksDB alone {:.0}{}",
            pair.0,
            pair.1,
            if round == 0 { " (warm-up)" } else { "" }
        );
        if round > 0 {
            durable.push(pair.0);
            alone.push(pair.1);
        }
    }
    let (update_us, write_us) = feature_update(dir.path())?;
    println!(
        "store feature_update_us={update_us:.2} write_us={write_us:.2} feature_update_share={:.3}",
        update_us / write_us
    );
    let mut ratios: Vec<f64> = durable.iter().zip(&alone).map(|(ours, raw)| ours / raw).collect();
    println!(
        "store import_per_s={import_per_s:.0} durable_per_s={:.0} raw_rocksdb_per_s={:.0} ratio={:.3}",
        median(&mut durable),
        median(&mut alone),
        median(&mut ratios)
    );
    Ok(())
}

/// Events a second from a CSV file, the last fsync included. 100,000 users, 20,000 items, times in no order.
fn import(dir: &Path) -> Outcome<f64> {
    let file = dir.join("events.csv");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&file)?);
    writeln!(out, "user,item,type,time")?;
    for number in 0..EVENTS {
        let mixed = mix(number);
        let time = START + (mixed >> 20) as i64 % 86_400_000;
        writeln!(out, "user-{},item-{},click,{time}", mixed % 100_000, (mixed >> 40) % 20_000)?;
    }
    out.into_inner().map_err(|error| error.into_error())?;
    let engine = Engine::open(dir.join("import"), Config::default())?;
    let began = Instant::now();
    let summary = engine.import(Kind::Events, &Source::file(&file), &ImportOptions::default(), &Silent)?;
    let seconds = began.elapsed().as_secs_f64();
    if summary.stored + summary.known != EVENTS || summary.rejected > 0 {
        return Err(format!("the import went wrong: {summary:?}").into());
    }
    Ok(EVENTS as f64 / seconds)
}

/// Acknowledged writes a second of eight threads.
fn rate(write: impl Fn(u64) -> Outcome<()> + Sync) -> Outcome<f64> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        write(NEXT.fetch_add(1, Ordering::Relaxed))?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Outcome::Ok(())
                })
            })
            .collect();
        std::thread::sleep(ROUND);
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| "a writer panicked")?)
    })?;
    Ok(done.into_inner() as f64 / began.elapsed().as_secs_f64())
}

fn event_of(number: u64) -> Event {
    let mixed = mix(number);
    let event = Event::new(format!("user-{}", mixed % 10_000), format!("item-{}", (mixed >> 32) % 2_000), "click");
    match Timestamp::from_millis(START + number as i64) {
        Ok(time) => event.at(time),
        Err(_) => event,
    }
}

/// Microseconds that counting adds to an event's batch, and those of the whole write of an event without it; neither synced.
fn feature_update(dir: &Path) -> Outcome<(f64, f64)> {
    const PAIRS: usize = 5;
    const SINGLE: u64 = 40_000;
    /// Rather often: the journal takes 65,536 events, or 16,384 users and items.
    const FOLD: u64 = 16_384;
    let mut config = Config::default();
    config.store.durability = savor::Durability::Async;
    let engine = Engine::open(dir.join("single"), config)?;
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let families = ["events", "user_events", "event_counters"];
    let db = rocksdb::DB::open_cf(&options, dir.join("counted"), families)?;
    let (mut items, mut pending) = (counters::CounterSet::default(), counters::CounterSet::default());
    let mut raw = |number: u64, is_counted: bool| -> Outcome<()> {
        let mut batch = rocksdb::WriteBatch::default();
        let mut key = [0; 22];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key[8..16].copy_from_slice(&mix(number).to_be_bytes());
        for (family, value) in [("events", &[1; 7][..]), ("user_events", &[1; 2])] {
            batch.put_cf(db.cf_handle(family).ok_or("no family")?, key, value);
        }
        if is_counted {
            let mixed = mix(number);
            let (user, item) = ((mixed % 10_000) as u32, ((mixed >> 32) % 2_000) as u32);
            let mut counted = counters::Changes::default();
            let time = Timestamp::from_millis(START + number as i64)?;
            let event = counters::CountedEvent { time, value: None, dwell_ms: None };
            counted.add(record::UserId::new(user), record::ItemId::new(item), "click", event);
            let mut entry = Vec::new();
            counted.sort();
            counted.for_each(&mut |owner, kind, counter| {
                let (side, id) = match owner {
                    counters::Owner::User(id) => (0, id.get()),
                    counters::Owner::Item(id) => (1, id.get()),
                };
                entry.push(5 + kind.len() as u8);
                entry.push(side);
                entry.extend_from_slice(&id.to_be_bytes());
                entry.extend_from_slice(kind.as_bytes());
                counter.write(&mut entry);
                Ok::<(), std::convert::Infallible>(())
            })?;
            counted.apply(&mut items, |owner| owner.item().is_some());
            counted.apply(&mut pending, |_| true);
            let family = db.cf_handle("event_counters").ok_or("no family")?;
            batch.put_cf(family, number.to_be_bytes(), entry);
            // Now and then all is folded.
            if number.is_multiple_of(FOLD) {
                for (owner, kind, counter) in std::mem::take(&mut pending).changes() {
                    let mut bytes = Vec::new();
                    counter.write(&mut bytes);
                    batch.put_cf(family, format!("{owner:?}{kind}"), bytes);
                }
            }
        }
        Ok(db.write(batch)?)
    };
    let per_event = |run: &mut dyn FnMut(u64) -> Outcome<()>, from: u64| -> Outcome<f64> {
        let began = Instant::now();
        (from..from + SINGLE).try_for_each(run)?;
        Ok(began.elapsed().as_secs_f64() * 1e6 / SINGLE as f64)
    };
    let (mut updates, mut writes) = (Vec::new(), Vec::new());
    for round in 0..=PAIRS as u64 {
        let from = round * 3 * SINGLE;
        let whole = per_event(&mut |number| Ok(engine.append_events(&[event_of(number)]).map(drop)?), from)?;
        let without = per_event(&mut |number| raw(number, false), from + SINGLE)?;
        let with = per_event(&mut |number| raw(number, true), from + 2 * SINGLE)?;
        if round > 0 {
            updates.push(with - without);
            writes.push(whole - (with - without));
        }
    }
    Ok((median(&mut updates), median(&mut writes)))
}

/// RocksDB with two families, as many bytes for each event as Savor writes.
struct Raw {
    db: rocksdb::DB,
}

impl Raw {
    fn open(path: &Path) -> Outcome<Self> {
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        Ok(Self { db: rocksdb::DB::open_cf(&options, path, ["events", "user_events"])? })
    }

    fn put(&self, number: u64) -> Outcome<()> {
        let mut key = [0; 22];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key[8..16].copy_from_slice(&mix(number).to_be_bytes());
        let mut batch = rocksdb::WriteBatch::default();
        for (family, value) in [("events", &[1; 7][..]), ("user_events", &[1; 2])] {
            batch.put_cf(self.db.cf_handle(family).ok_or("no family")?, key, value);
        }
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(true);
        Ok(self.db.write_opt(batch, &options)?)
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// SplitMix64.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
