//! What training needs: live memory of the library while factors are trained, beside the matrix and the factors themselves,
//! and how long the linear item model takes on a dense and on a large catalogue. See `benches/training.sh`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use peak_alloc::PeakAlloc;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use savor::ingest::{Format, ImportOptions, Kind, Source};
use savor::{Config, Engine, EvaluateOptions, ModelKind, Progress, Silent, Step, TrainConfig};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const ROUNDS: usize = 5;
/// Users, items and pairs of the dense set.
const DENSE: (u32, u32, usize) = (5_000, 7_000, 418_000);

fn main() -> Outcome<()> {
    let pairs =
        std::env::var_os("SAVOR_BENCH_PAIRS").ok_or("SAVOR_BENCH_PAIRS names no file; run benches/training.sh")?;
    let dir = tempfile::tempdir()?;
    let large = Data::import(dir.path(), "large", &PathBuf::from(pairs))?;
    let mut figures = Vec::new();
    for dimension in [64, 128, 256] {
        let train = TrainConfig { model: ModelKind::Ials, dimension, ..TrainConfig::default() };
        let (peak, _) = large.train(&train)?;
        // The matrix by rows, and the factors: what no engine can do without.
        let needed = 8 * large.pairs + 8 * (large.users + 1) + 4 * dimension * (large.users + large.items);
        let ratio = peak as f64 / needed as f64;
        eprintln!("factors, d = {dimension}: {} MiB live at most, {ratio:.2} × matrix and factors", peak >> 20);
        figures.push(format!("d{dimension}_peak_ratio={ratio:.2}"));
    }
    let (peak, seconds) = large.train(&TrainConfig::default())?;
    eprintln!("the default model: {} MiB live at most, {seconds:.1} s", peak >> 20);
    figures.push(format!("default_peak_mib={}", peak >> 20));

    let file = dir.path().join("dense.txt");
    write_dense(&file)?;
    let dense = Data::import(dir.path(), "dense", &file)?;
    for (name, data) in [("dense", &dense), ("large", &large)] {
        let train = TrainConfig { model: ModelKind::Linear, threads: 2, ..TrainConfig::default() };
        let mut seconds = (0..ROUNDS).map(|_| Ok(data.train(&train)?.1)).collect::<Outcome<Vec<f64>>>()?;
        seconds.sort_by(f64::total_cmp);
        let (items, median) = (data.items, seconds[ROUNDS / 2]);
        eprintln!("linear item model, {items} items, {} pairs: {median:.2} s, median of {ROUNDS}", data.pairs);
        figures.push(format!("linear_{name}_s={median:.2}"));
    }
    println!("training {}", figures.join(" "));
    Ok(())
}

/// Pairs in an engine of their own.
struct Data {
    engine: Engine,
    /// Something to be evaluated on is asked for; what comes out is not looked at.
    test: Source,
    users: usize,
    items: usize,
    pairs: usize,
}

impl Data {
    fn import(dir: &Path, name: &str, file: &Path) -> Outcome<Self> {
        let engine = Engine::open(dir.join(name), Config::default())?;
        let source = Source { format: Some(Format::Adjacency), ..Source::file(file) };
        engine.import(Kind::Events, &source, &ImportOptions::default(), &Silent)?;
        let test = dir.join(format!("{name}-test.txt"));
        let items: Vec<String> = (0..=200).map(|item| item.to_string()).collect();
        std::fs::write(&test, format!("0 {}\n", items.join(" ")))?;
        let stats = engine.stats()?;
        let test = Source { format: Some(Format::Adjacency), ..Source::file(test) };
        let (users, items, pairs) = (stats.users as usize, stats.items as usize, stats.events as usize);
        Ok(Self { engine, test, users, items, pairs })
    }

    /// The most bytes that the library had live while training, and the seconds it took.
    fn train(&self, train: &TrainConfig) -> Outcome<(usize, f64)> {
        let options =
            EvaluateOptions { train: Some(train.clone()), test: Some(self.test.clone()), ..EvaluateOptions::default() };
        let meter = Meter::default();
        let before = HEAP.current_usage();
        let evaluation = self.engine.evaluate(&options, &meter)?;
        let peak = meter.peak.load(Ordering::Relaxed).saturating_sub(before);
        if peak == 0 {
            return Err("nothing was reported of training".into());
        }
        Ok((peak, evaluation.trained.train_seconds))
    }
}

/// Watches the heap from the first step of training to the first user who is ranked.
#[derive(Default)]
struct Meter {
    peak: AtomicUsize,
}

impl Progress for Meter {
    fn report(&self, step: &Step) {
        match step {
            Step::Training { .. } if self.peak.load(Ordering::Relaxed) == 0 => HEAP.reset_peak_usage(),
            Step::Training { .. } | Step::Epoch { .. } => (),
            _ => return,
        }
        self.peak.fetch_max(HEAP.peak_usage(), Ordering::Relaxed);
    }
}

/// Users of 16 tastes: three of four items are of the user's own, popular ones more often.
fn write_dense(file: &Path) -> Outcome<()> {
    let (users, items, pairs) = DENSE;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    let mut left = pairs;
    for user in 0..users {
        let wanted = (left / (users - user) as usize).clamp(1, 2_000);
        let mut own = std::collections::BTreeSet::new();
        // Few have many: degrees from a fifth to five times the mean.
        let degree = (wanted as f64 * 5f64.powf(random.random_range(-1.0..1.0)) * 0.67).max(1.0) as usize;
        while own.len() < degree.min(left) {
            let item = (f64::from(items) * random.random_range(0f64..1.0).powi(3)) as u32;
            if item % 16 == user % 16 || random.random_range(0..4) == 0 {
                own.insert(item.min(items - 1));
            }
        }
        left -= own.len();
        let own: Vec<String> = own.iter().map(u32::to_string).collect();
        writeln!(out, "{user} {}", own.join(" "))?;
    }
    out.into_inner().map_err(|error| error.into_error())?;
    Ok(())
}
