//! What a question costs while items come, change and go. A quiet run, then one in which a writer puts and deletes a
//! thousand items each second, with everything that follows: filters, waiting vectors, freezing in the background. For raw
//! spaces of both metrics, and for recommendations whose items are hidden, shown and changed. Every answer is looked at: a
//! deleted item in one, or one that lacks what was put before it was asked, ends the run. See `benches/freshness.sh`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use savor::{Config, Engine, ExcludeSeen, Filter, Item, Metric, Query, Silent, VectorFile, VectorQuery, build_bundle};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DIMENSION: usize = 100;
/// Items put, and items deleted, each second.
const RATE: f64 = 1_000.0;
/// The most of them at a time, where the writer has fallen behind.
const MOST: u64 = 64;
const SPACE: &str = "text";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let items: usize = value("--items").map_or(Ok(100_000), |text| text.parse())?;
    let seconds = Duration::from_secs_f64(value("--seconds").map_or(Ok(15.0), |text| text.parse())?);
    let only = value("--only").map_or("cosine,dot,model", String::as_str);
    let (mut figures, mut worst) = (Vec::new(), (0.0, 0.0, 0.0));
    for kind in only.split(',') {
        let (quiet, busy) = match kind {
            "model" => recommendations(items, seconds)?,
            "dot" => space(items, Metric::Dot, seconds)?,
            _ => space(items, Metric::Cosine, seconds)?,
        };
        let ratio = busy / quiet;
        figures.push(format!("{kind}_ratio={ratio:.2}"));
        if ratio > worst.2 {
            worst = (quiet, busy, ratio);
        }
    }
    // The worst of them is the one that counts.
    let (quiet, busy, ratio) = worst;
    println!("freshness quiet_p99_ms={quiet:.3} busy_p99_ms={busy:.3} ratio={ratio:.2} {}", figures.join(" "));
    Ok(())
}

/// The p99 of questions to a raw space, quiet and busy.
fn space(n: usize, metric: Metric, time: Duration) -> Outcome<(f64, f64)> {
    let dir = tempfile::tempdir_in(std::env::var_os("SAVOR_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into))?;
    let mut config = Config::default();
    config.index.spaces.insert(SPACE.into(), metric);
    let engine = Engine::open(dir.path().join("data"), config)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for from in (0..n).step_by(5_000) {
        let items: Vec<Item> = (from..n.min(from + 5_000)).map(|number| with_vector(number, &mut random)).collect();
        engine.put_items(&items)?;
    }
    let ask = |random: &mut ChaCha8Rng| {
        let query =
            VectorQuery { space: SPACE.into(), vector: vector(random), limit: 10, filter: None, explain: false };
        engine.search_vectors(&query)
    };
    ask(&mut random)?;
    while engine.indexes()?.iter().any(|index| index.is_freezing) {
        std::thread::sleep(Duration::from_millis(100));
    }
    for index in engine.indexes()? {
        eprintln!("\n{index}");
    }
    let (oldest, newest) = (AtomicU64::new(0), AtomicU64::new(n as u64));
    measure(
        time,
        |random, _| {
            let gone_before = oldest.load(Ordering::SeqCst);
            let answer = ask(random)?;
            if answer.items.len() != 10 {
                return Err(format!("{} items in an answer of 10", answer.items.len()).into());
            }
            no_deleted(answer.items.iter().map(|item| item.item.as_str()), gone_before)
        },
        |random, count| {
            let first = newest.fetch_add(count, Ordering::SeqCst);
            let items: Vec<Item> = (first..first + count).map(|number| with_vector(number as usize, random)).collect();
            engine.put_items(&items)?;
            // What has just been put is the nearest to itself, whatever else there is.
            if metric == Metric::Cosine
                && let Some(item) = items.first()
            {
                let vector = item.vectors.get(SPACE).cloned().unwrap_or_default();
                let query = VectorQuery { space: SPACE.into(), vector, limit: 1, filter: None, explain: false };
                let found = engine.search_vectors(&query)?;
                if found.items.first().is_none_or(|found| found.item != item.id) {
                    return Err(format!("item {} was put and is not found", item.id).into());
                }
            }
            let first = oldest.load(Ordering::SeqCst);
            delete(&engine, first..first + count)?;
            oldest.fetch_add(count, Ordering::SeqCst);
            Ok(())
        },
    )
}

/// The p99 of recommendations with a filter, quiet and busy.
fn recommendations(n: usize, time: Duration) -> Outcome<(f64, f64)> {
    let dir = tempfile::tempdir_in(std::env::var_os("SAVOR_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into))?;
    let mut config = Config::default();
    // Each answer is made anew.
    config.recommend.cache_mib = 0;
    let engine = Engine::open(dir.path().join("data"), config.clone())?;
    let plain = |number: usize, hidden: bool, stock: i64| {
        let mut item = Item::new(number.to_string());
        item.hidden = hidden;
        item.attributes.insert("stock".into(), (stock as f64).into());
        item.attributes.insert("brand".into(), format!("b{}", number % 50).into());
        item.categories.push(format!("c{}", number % 20));
        item
    };
    for from in (0..n).step_by(5_000) {
        engine.put_items(&(from..n.min(from + 5_000)).map(|number| plain(number, false, 9)).collect::<Vec<_>>())?;
    }
    let (vectors, bundle) = (dir.path().join("items.fvecs"), dir.path().join("bundle"));
    write_vectors(&vectors, n)?;
    let file = VectorFile { path: vectors, ids: None, vector_column: String::new(), id_column: None };
    let built = build_bundle(&file, None, &config, &bundle, &Silent)?;
    engine.activate(engine.import_snapshot(&bundle)?)?;
    eprintln!("\nmodel: {n} items; {}", built.why);
    let in_stock: Filter = serde_json::from_value(json!({"must": [{"key": "stock", "range": {"gt": 0}}]}))?;
    // The last put of each item that changes hides it or shows it again.
    let (oldest, newest, turn) = (AtomicU64::new(n as u64), AtomicU64::new(n as u64), AtomicU64::new(0));
    measure(
        time,
        |random, number| {
            let mut query = Query::for_session([0; 3].map(|_| random.random_range(0..n).to_string())).limit(10);
            query.exclude_seen = ExcludeSeen::All(false);
            query.filter = (number % 2 == 0).then(|| in_stock.clone());
            let answer = engine.recommend(&query)?;
            if answer.items.len() == 10 { Ok(()) } else { Err("fewer than 10 items".into()) }
        },
        |random, count| {
            let number = turn.fetch_add(1, Ordering::SeqCst);
            let mut items: Vec<Item> =
                (0..count).map(|_| plain(random.random_range(0..n), number % 2 == 0, (number % 3) as i64)).collect();
            let first = newest.fetch_add(count, Ordering::SeqCst);
            items.extend((first..first + count).map(|number| plain(number as usize, false, 5)));
            engine.put_items(&items)?;
            let gone = oldest.swap(first, Ordering::SeqCst);
            delete(&engine, gone..first)
        },
    )
}

/// The p99 in milliseconds of `ask` alone, and while `change` is told how many items are to come and to go, [`RATE`] of each
/// every second.
fn measure(
    time: Duration,
    ask: impl Fn(&mut ChaCha8Rng, u64) -> Outcome<()> + Sync,
    change: impl Fn(&mut ChaCha8Rng, u64) -> Outcome<()> + Sync,
) -> Outcome<(f64, f64)> {
    let run = |time: Duration| -> Outcome<f64> {
        let (mut random, mut times) = (ChaCha8Rng::seed_from_u64(5), Vec::new());
        let began = Instant::now();
        while began.elapsed() < time {
            let asked = Instant::now();
            ask(&mut random, times.len() as u64)?;
            times.push(asked.elapsed());
        }
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        eprintln!(
            "{:>9} questions: p50 {:.3} ms, p90 {:.3}, p99 {:.3}, p99.9 {:.3}",
            times.len(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999)
        );
        Ok(at(0.99))
    };
    run(time / 8)?;
    let quiet = run(time)?;
    let (done, changed) = (AtomicBool::new(false), AtomicU64::new(0));
    let busy = std::thread::scope(|scope| {
        let writer = scope.spawn(|| -> Outcome<()> {
            let (mut random, began) = (ChaCha8Rng::seed_from_u64(6), Instant::now());
            while !done.load(Ordering::SeqCst) {
                let due = (began.elapsed().as_secs_f64() * RATE) as u64 - changed.load(Ordering::SeqCst);
                if due < 8 {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                }
                change(&mut random, due.min(MOST))?;
                changed.fetch_add(due.min(MOST), Ordering::SeqCst);
            }
            Ok(())
        });
        let busy = run(time);
        done.store(true, Ordering::SeqCst);
        writer.join().map_err(|_| "the writer panicked")??;
        busy
    })?;
    let rate = changed.load(Ordering::SeqCst) as f64 / time.as_secs_f64();
    eprintln!("{rate:.0} items put and as many deleted a second; p99 {:.2} times the quiet one", busy / quiet);
    Ok((quiet, busy))
}

/// Deletes some items at once, as so many clients would: they share an fsync.
fn delete(engine: &Engine, numbers: std::ops::Range<u64>) -> Outcome<()> {
    std::thread::scope(|scope| {
        let delete = |number: u64| scope.spawn(move || engine.delete_item(&number.to_string()));
        let threads: Vec<_> = numbers.map(delete).collect();
        for thread in threads {
            thread.join().map_err(|_| "a deletion panicked")??;
        }
        Ok(())
    })
}

/// Items are deleted in the order of their numbers.
fn no_deleted<'a>(mut items: impl Iterator<Item = &'a str>, gone: u64) -> Outcome<()> {
    match items.find(|item| item.parse::<u64>().is_ok_and(|number| number < gone)) {
        Some(item) => Err(format!("item {item} was deleted and is in an answer").into()),
        None => Ok(()),
    }
}

fn with_vector(number: usize, random: &mut ChaCha8Rng) -> Item {
    let mut item = Item::new(number.to_string());
    item.vectors.insert(SPACE.into(), vector(random));
    item
}

/// In the shape of embeddings: a few directions carry most of the length, and lengths differ.
fn vector(random: &mut ChaCha8Rng) -> Vec<f32> {
    let length = (0.3 * random.sample::<f32, _>(StandardNormal)).exp();
    let value = |column: usize| length * random.sample::<f32, _>(StandardNormal) / (1.0 + column as f32).sqrt();
    (0..DIMENSION).map(value).collect()
}

fn write_vectors(path: &Path, n: usize) -> Outcome<()> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut out = BufWriter::new(File::create(path)?);
    for _ in 0..n {
        out.write_all(&(DIMENSION as u32).to_le_bytes())?;
        for value in vector(&mut random) {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(out.flush()?)
}
