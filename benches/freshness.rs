//! What a question costs while items come, change and go. A quiet run, then one in which a writer puts and deletes a
//! thousand items each second, with everything that follows: filters, waiting vectors, freezing in the background. Between the two the
//! writer does the same in another directory of the same content, which shares nothing with the one that is asked but the
//! machine: what that costs is processors and disk, whatever the engine. For raw spaces of both metrics, and for
//! recommendations whose items are hidden, shown and changed. Every answer is looked at: a deleted item in one, or one that
//! lacks what was put before it was asked, ends the run. See `benches/freshness.sh`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use savor::{Config, Engine, ExcludeSeen, Filter, Item, Metric, Query, Silent, VectorFile, VectorQuery, build_bundle};
use serde_json::json;
use tempfile::TempDir;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DIMENSION: usize = 100;
/// Items put, and items deleted, each second.
const RATE: f64 = 1_000.0;
/// The most of them at a time, where the writer has fallen behind.
const MOST: u64 = 64;
/// Who deletes.
const CLIENTS: usize = 8;
const SPACE: &str = "text";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let items: usize = value("--items").map_or(Ok(100_000), |text| text.parse())?;
    let seconds = Duration::from_secs_f64(value("--seconds").map_or(Ok(15.0), |text| text.parse())?);
    let only = value("--only").map_or("cosine,dot,model", String::as_str);
    let (mut figures, mut worst) = (Vec::new(), Measured::default());
    for kind in only.split(',') {
        let measured = match kind {
            "model" => recommendations(items, seconds)?,
            "dot" => spaces(items, Metric::Dot, seconds)?,
            _ => spaces(items, Metric::Cosine, seconds)?,
        };
        let (ratio, elsewhere) = (measured.busy / measured.quiet, measured.elsewhere / measured.quiet);
        figures.push(format!("{kind}_ratio={ratio:.2} {kind}_elsewhere_ratio={elsewhere:.2}"));
        if worst.quiet == 0.0 || ratio > worst.busy / worst.quiet {
            worst = measured;
        }
    }
    // The worst of them is the one that counts.
    let Measured { quiet, elsewhere, busy } = worst;
    println!(
        "freshness quiet_p99_ms={quiet:.3} elsewhere_p99_ms={elsewhere:.3} busy_p99_ms={busy:.3} ratio={:.2} {}",
        busy / quiet,
        figures.join(" ")
    );
    Ok(())
}

/// The p99 of questions in milliseconds: alone, while items change in another directory, and while they change here.
#[derive(Default)]
struct Measured {
    quiet: f64,
    elsewhere: f64,
    busy: f64,
}

/// A directory, and which of its items are to go next and to come next.
struct Shop {
    engine: Engine,
    oldest: AtomicU64,
    newest: AtomicU64,
    turns: AtomicU64,
    clients: Mutex<Clients>,
    dir: TempDir,
}

impl Shop {
    fn open(config: Config) -> Outcome<Self> {
        let dir =
            tempfile::tempdir_in(std::env::var_os("SAVOR_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into))?;
        let engine = Engine::open(dir.path().join("data"), config)?;
        let clients = Mutex::new(Clients::of(&engine));
        Ok(Self {
            engine,
            clients,
            oldest: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            dir,
        })
    }

    fn delete(&self, numbers: std::ops::Range<u64>) -> Outcome<()> {
        self.clients.lock().map_err(|_| "a writer panicked")?.delete(numbers)
    }

    /// Until nothing is frozen in the background.
    fn settle(&self) -> Outcome<()> {
        while self.engine.indexes()?.iter().any(|index| index.is_freezing) {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// Questions to a raw space.
fn spaces(n: usize, metric: Metric, time: Duration) -> Outcome<Measured> {
    let ask = |shop: &Shop, random: &mut ChaCha8Rng| {
        let query =
            VectorQuery { space: SPACE.into(), vector: vector(random), limit: 10, filter: None, explain: false };
        shop.engine.search_vectors(&query)
    };
    let open = || -> Outcome<Shop> {
        let mut config = Config::default();
        config.index.spaces.insert(SPACE.into(), metric);
        let shop = Shop::open(config)?;
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for from in (0..n).step_by(5_000) {
            let items: Vec<Item> = (from..n.min(from + 5_000)).map(|number| with_vector(number, &mut random)).collect();
            shop.engine.put_items(&items)?;
        }
        shop.newest.store(n as u64, Ordering::SeqCst);
        ask(&shop, &mut random)?;
        shop.settle()?;
        Ok(shop)
    };
    let (shop, other) = (open()?, open()?);
    for index in shop.engine.indexes()? {
        eprintln!("\n{index}");
    }
    measure(
        time,
        (&shop, &other),
        |random, _| {
            let gone_before = shop.oldest.load(Ordering::SeqCst);
            let answer = ask(&shop, random)?;
            if answer.items.len() != 10 {
                return Err(format!("{} items in an answer of 10", answer.items.len()).into());
            }
            no_deleted(answer.items.iter().map(|item| item.item.as_str()), gone_before)
        },
        |shop, random, count| {
            let Shop { engine, oldest, newest, .. } = shop;
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
            shop.delete(first..first + count)?;
            oldest.fetch_add(count, Ordering::SeqCst);
            Ok(())
        },
    )
}

/// Recommendations with a filter.
fn recommendations(n: usize, time: Duration) -> Outcome<Measured> {
    let mut config = Config::default();
    // Each answer is made anew.
    config.recommend.cache_mib = 0;
    let plain = |number: usize, hidden: bool, stock: i64| {
        let mut item = Item::new(number.to_string());
        item.hidden = hidden;
        item.attributes.insert("stock".into(), (stock as f64).into());
        item.attributes.insert("brand".into(), format!("b{}", number % 50).into());
        item.categories.push(format!("c{}", number % 20));
        item
    };
    let open = || -> Outcome<Shop> {
        let shop = Shop::open(config.clone())?;
        for from in (0..n).step_by(5_000) {
            let items: Vec<Item> = (from..n.min(from + 5_000)).map(|number| plain(number, false, 9)).collect();
            shop.engine.put_items(&items)?;
        }
        let (vectors, bundle) = (shop.dir.path().join("items.fvecs"), shop.dir.path().join("bundle"));
        write_vectors(&vectors, n)?;
        let file = VectorFile { path: vectors, ids: None, vector_column: String::new(), id_column: None };
        let built = build_bundle(&file, None, &config, &bundle, &Silent)?;
        shop.engine.activate(shop.engine.import_snapshot(&bundle)?)?;
        eprintln!("\nmodel: {n} items; {}", built.why);
        // What comes is what goes next: the items of the model stay.
        shop.oldest.store(n as u64, Ordering::SeqCst);
        shop.newest.store(n as u64, Ordering::SeqCst);
        Ok(shop)
    };
    let (shop, other) = (open()?, open()?);
    let in_stock: Filter = serde_json::from_value(json!({"must": [{"key": "stock", "range": {"gt": 0}}]}))?;
    measure(
        time,
        (&shop, &other),
        |random, number| {
            let mut query = Query::for_session([0; 3].map(|_| random.random_range(0..n).to_string())).limit(10);
            query.exclude_seen = ExcludeSeen::All(false);
            query.filter = (number % 2 == 0).then(|| in_stock.clone());
            let answer = shop.engine.recommend(&query)?;
            if answer.items.len() == 10 { Ok(()) } else { Err("fewer than 10 items".into()) }
        },
        |shop, random, count| {
            let Shop { engine, oldest, newest, turns, .. } = shop;
            // The last put of each item that changes hides it or shows it again.
            let number = turns.fetch_add(1, Ordering::SeqCst);
            let mut items: Vec<Item> =
                (0..count).map(|_| plain(random.random_range(0..n), number % 2 == 0, (number % 3) as i64)).collect();
            let first = newest.fetch_add(count, Ordering::SeqCst);
            items.extend((first..first + count).map(|number| plain(number as usize, false, 5)));
            engine.put_items(&items)?;
            let gone = oldest.swap(first, Ordering::SeqCst);
            shop.delete(gone..first)
        },
    )
}

/// Times `ask` of the first of two directories alone, while `change` is told how many items are to come and to go in the second,
/// [`RATE`] of each every second, and while it is told the same of the first.
fn measure(
    time: Duration,
    (shop, other): (&Shop, &Shop),
    ask: impl Fn(&mut ChaCha8Rng, u64) -> Outcome<()> + Sync,
    change: impl Fn(&Shop, &mut ChaCha8Rng, u64) -> Outcome<()> + Sync,
) -> Outcome<Measured> {
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
    let beside = |shop: &Shop, place: &str| -> Outcome<f64> {
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
                    change(shop, &mut random, due.min(MOST))?;
                    changed.fetch_add(due.min(MOST), Ordering::SeqCst);
                }
                Ok(())
            });
            let busy = run(time);
            done.store(true, Ordering::SeqCst);
            writer.join().map_err(|_| "the writer panicked")??;
            busy
        })?;
        shop.settle()?;
        let rate = changed.load(Ordering::SeqCst) as f64 / time.as_secs_f64();
        eprintln!(
            "{rate:.0} items put and as many deleted a second {place}; p99 {:.2} times the quiet one",
            busy / quiet
        );
        Ok(busy)
    };
    let elsewhere = beside(other, "elsewhere")?;
    Ok(Measured { quiet, elsewhere, busy: beside(shop, "here")? })
}

/// Clients that delete one item at a time each, side by side: they share an fsync.
struct Clients {
    asked: mpsc::Sender<u64>,
    done: mpsc::Receiver<savor::Result<bool>>,
}

impl Clients {
    /// They go when it is dropped.
    fn of(engine: &Engine) -> Self {
        let ((asked, items), (answer, done)) = (mpsc::channel::<u64>(), mpsc::channel());
        let items = Arc::new(Mutex::new(items));
        for _ in 0..CLIENTS {
            let (engine, items, answer) = (engine.clone(), Arc::clone(&items), answer.clone());
            let next = move || items.lock().ok()?.recv().ok();
            std::thread::spawn(move || {
                while let Some(number) = next() {
                    if answer.send(engine.delete_item(&number.to_string())).is_err() {
                        break;
                    }
                }
            });
        }
        Self { asked, done }
    }

    /// Until all of these are deleted.
    fn delete(&self, numbers: std::ops::Range<u64>) -> Outcome<()> {
        numbers.clone().try_for_each(|number| self.asked.send(number))?;
        for _ in numbers {
            self.done.recv()??;
        }
        Ok(())
    }
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
