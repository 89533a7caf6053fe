//! Filters at several selectivities: how long the item index takes to answer one for the first time and again, how long a
//! question takes with it beside the same question without, and what share of the true best ten is found. The true ones come
//! from `rank`, which scores candidates without the index. See `benches/filters.sh`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use savor::{
    Config, Engine, ExcludeSeen, Filter, IndexChoice, Item, Query, RankQuery, Silent, VectorFile, build_bundle,
};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DIMENSION: usize = 64;
const SHARES: [(&str, f64); 4] = [("50", 0.5), ("5", 0.05), ("0.5", 0.005), ("0.01", 0.0001)];
const K: usize = 10;
/// Questions of a round; each is asked plain and with every filter in turn.
const QUESTIONS: usize = 200;
const ROUNDS: usize = 3;
/// Questions whose true answers are looked up.
const CHECKED: usize = 10;
const REPEATS: usize = 200;
/// The longest list that `rank` takes.
const CANDIDATES: usize = 10_000;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let items: Vec<usize> = value("--items")
        .map_or("40981,1000000", String::as_str)
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let kind = match value("--index").map_or("exact", String::as_str) {
        "auto" => IndexChoice::Auto,
        "hnsw" => IndexChoice::Hnsw,
        _ => IndexChoice::Exact,
    };
    let mut figures = Vec::new();
    for items in items {
        figures.push(measure(items, kind)?);
    }
    println!("filters {}", figures.join(" "));
    Ok(())
}

fn measure(n: usize, kind: IndexChoice) -> Outcome<String> {
    let dir = tempfile::tempdir_in(std::env::var_os("SAVOR_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into))?;
    let mut config = Config::default();
    config.index.kind = kind;
    let engine = Engine::open(dir.path().join("data"), config.clone())?;
    let began = Instant::now();
    for from in (0..n).step_by(5_000) {
        let items: Vec<Item> = (from..n.min(from + 5_000)).map(|number| item(number, n)).collect();
        engine.put_items(&items)?;
    }
    let put_per_s = n as f64 / began.elapsed().as_secs_f64();
    let (vectors, bundle) = (dir.path().join("items.fvecs"), dir.path().join("bundle"));
    write_vectors(&vectors, n)?;
    let file = VectorFile { path: vectors, ids: None, vector_column: String::new(), id_column: None };
    let built = build_bundle(&file, None, &config, &bundle, &Silent)?;
    engine.activate(engine.import_snapshot(&bundle)?)?;
    eprintln!("\n{n} items, {put_per_s:.0} put a second; {}", built.why);

    let mut figures = vec![format!("put_per_s={put_per_s:.0}")];
    let mut filters = Vec::new();
    for (name, share) in SHARES {
        let ranged: Filter = serde_json::from_value(json!({"must": [{"key": "share", "range": {"lt": share}}]}))?;
        let tagged: Filter = serde_json::from_value(json!({"must": [{"key": "tags", "match": {"value": name}}]}))?;
        let compound = serde_json::from_value(json!({
            "must": [{"key": "tags", "match": {"value": name}}, {"key": "share", "range": {"lt": share}}],
            "must_not": [{"key": "brand", "match": {"any": ["b1", "b2"]}}, {"is_empty": {"key": "share"}}]}))?;
        let first = [&ranged, &tagged].map(|filter| timed(|| engine.count(filter)));
        let [(range_ms, count), (match_ms, _)] = first;
        let (count, range_ms, match_ms) = (count?, range_ms.as_secs_f64() * 1e3, match_ms.as_secs_f64() * 1e3);
        engine.count(&compound)?;
        let again = |filter: &Filter| {
            let times = (0..REPEATS).map(|_| timed(|| engine.count(filter)).0);
            median(times.collect()).as_secs_f64() * 1e6
        };
        let (range_us, compound_us) = (again(&ranged), again(&compound));
        eprintln!(
            "{name:>5} %: {count} items; first as a range {range_ms:.2} ms, as a match {match_ms:.2} ms; again \
             {range_us:.1} µs, with more conditions {compound_us:.1} µs"
        );
        figures.push(format!("range_ms@{name}={range_ms:.2}"));
        figures.push(format!("match_ms@{name}={match_ms:.2}"));
        figures.push(format!("again_us@{name}={range_us:.1}"));
        figures.push(format!("compound_us@{name}={compound_us:.1}"));
        filters.push((name, share, ranged));
    }

    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut sessions = Vec::new();
    sessions.resize_with(QUESTIONS, || [0; 3].map(|_| random.random_range(0..n).to_string()));
    let ask = |session: &[String; 3], filter: Option<&Filter>| {
        let mut query = Query::for_session(session.clone()).limit(K);
        query.exclude_seen = ExcludeSeen::All(false);
        query.filter = filter.cloned();
        timed(|| engine.recommend(&query))
    };
    let mut times = vec![Vec::new(); filters.len() + 1];
    for _ in 0..ROUNDS {
        for session in &sessions {
            let asked = std::iter::once(None).chain(filters.iter().map(|(.., filter)| Some(filter)));
            for (filter, times) in asked.zip(&mut times) {
                let (time, answer) = ask(session, filter);
                answer?;
                times.push(time);
            }
        }
    }
    let mut times = times.into_iter().map(|times| median(times).as_secs_f64() * 1e3);
    let plain = times.next().unwrap_or_default();
    eprintln!("without a filter: {plain:.3} ms, median of {} questions", ROUNDS * QUESTIONS);
    figures.push(format!("plain_ms={plain:.3}"));
    for ((name, share, filter), ms) in filters.iter().zip(times) {
        let (mut found, mut wanted) = (0, 0);
        for session in sessions.iter().take(CHECKED) {
            let truth = best(&engine, session, (0..n).filter(|number| place(*number, n) < *share))?;
            let answer = ask(session, Some(filter)).1?;
            // Of equal scores either counts; popular items that fill up are none of the model's.
            let worst = truth.last().copied().unwrap_or(f64::INFINITY);
            found += answer.items.iter().take(truth.len()).filter(|item| item.score >= worst - 1e-6).count();
            wanted += truth.len();
        }
        let (ratio, recall) = (ms / plain, found as f64 / wanted.max(1) as f64);
        eprintln!("{name:>5} %: {ms:.3} ms, {ratio:.2} of that without; recall@{K} {recall:.4}");
        figures.push(format!("ms@{name}={ms:.3}"));
        figures.push(format!("ratio@{name}={ratio:.2}"));
        figures.push(format!("recall@{name}={recall:.4}"));
    }
    Ok(figures.iter().map(|figure| format!("n{n}.{figure}")).collect::<Vec<_>>().join(" "))
}

/// The scores of the true best, by all candidates scored.
fn best(engine: &Engine, session: &[String; 3], items: impl Iterator<Item = usize>) -> Outcome<Vec<f64>> {
    let session = Query::for_session(session.clone()).session;
    let names: Vec<String> = items.map(|item| item.to_string()).collect();
    let mut best = Vec::new();
    for items in names.chunks(CANDIDATES) {
        let query = RankQuery { session: session.clone(), ..RankQuery::new(items.to_vec()) };
        best.extend(engine.rank(&query)?.items.iter().take(K).map(|item| item.score));
    }
    best.sort_by(|a, b| b.total_cmp(a));
    best.truncate(K);
    Ok(best)
}

/// An item's place among all, 0 to 1, in no order; the smallest selectivity takes a few even of a small catalogue.
fn place(number: usize, n: usize) -> f64 {
    // A prime that divides no catalogue that anybody would ask for: a permutation.
    (number as u64 * 7_368_787 % n as u64) as f64 / n as f64
}

fn item(number: usize, n: usize) -> Item {
    let mut item = Item::new(number.to_string());
    let place = place(number, n);
    let tags = SHARES.into_iter().filter(|(_, share)| place < *share).map(|(name, _)| name.into());
    item.attributes.insert("tags".into(), savor::Value::List(tags.collect()));
    item.attributes.insert("share".into(), place.into());
    item.attributes.insert("brand".into(), format!("b{}", number % 50).into());
    item.attributes.insert("title".into(), format!("The item with the number {number}").into());
    item.categories.push(format!("c{}", number % 20));
    item
}

/// In the shape of learned factors: a few directions carry most of the length, and lengths differ.
fn write_vectors(path: &Path, n: usize) -> Outcome<()> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut out = BufWriter::new(File::create(path)?);
    for _ in 0..n {
        let length = (0.5 * random.sample::<f32, _>(StandardNormal)).exp();
        out.write_all(&(DIMENSION as u32).to_le_bytes())?;
        for column in 0..DIMENSION {
            let value = length * random.sample::<f32, _>(StandardNormal) / (1.0 + column as f32).sqrt();
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(out.flush()?)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let made = work();
    (began.elapsed(), made)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
