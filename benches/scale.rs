//! An index of millions of vectors: built by one process from a file, served by another from the mapped index, each with its
//! memory. See `benches/scale.sh`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use savor::index::{Hit, VectorIndex};
use savor::ingest::vectors::{VectorColumns, read_vectors};
use savor::{IndexChoice, IndexConfig, Metric, Progress, Step};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DIMENSION: usize = 64;
const CLUSTERS: usize = 256;
/// Vectors that are made at once, each so many from a seed of their own.
const BLOCK: usize = 1 << 16;
const QUESTIONS: usize = 200;
/// Questions whose true answers are found by a pass over all vectors.
const CHECKED: usize = 20;
const K: usize = 10;
/// Questions are asked again and again for so long.
const ASKING: Duration = Duration::from_secs(10);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|place| arguments.get(place + 1));
    let rows: usize = value("--rows").map_or(Ok(10_000_000), |rows| rows.parse())?;
    let kind = match value("--index").map_or("exact", String::as_str) {
        "auto" => IndexChoice::Auto,
        "hnsw" => IndexChoice::Hnsw,
        _ => IndexChoice::Exact,
    };
    // A part of the work, in a process of its own.
    if let Some(folder) = value("--in").map(PathBuf::from) {
        return match value("--part").map_or("", String::as_str) {
            "build" => build(&folder, kind),
            _ => serve(&folder),
        };
    }
    let folder = tempfile::tempdir_in(std::env::var_os("SAVOR_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into))?;
    let began = Instant::now();
    generate(&folder.path().join("items.npy"), rows, 1)?;
    generate(&folder.path().join("users.npy"), QUESTIONS, 0)?;
    eprintln!("{rows} vectors written in {:.1} s", began.elapsed().as_secs_f64());
    let mut figures = vec![format!("rows={rows}")];
    for part in ["build", "serve"] {
        let output = Command::new(std::env::current_exe()?)
            .args(&arguments)
            .args(["--part", part, "--in"])
            .arg(folder.path())
            .stderr(std::process::Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("{part}: {}", output.status).into());
        }
        figures.push(String::from_utf8(output.stdout)?.trim().to_owned());
        if part == "build" {
            std::fs::remove_file(folder.path().join("items.npy"))?;
        }
    }
    println!("scale {}", figures.join(" "));
    Ok(())
}

/// Writes vectors as NumPy does. Those of one `seed` share their clusters with those of any other.
fn generate(path: &Path, rows: usize, seed: u64) -> Outcome<()> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let scale = |at: usize| 1.0 / (1.0 + at as f32).sqrt();
    let centres: Vec<f32> = (0..CLUSTERS * DIMENSION).map(|at| scale(at % DIMENSION) * normal(&mut random)).collect();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {DIMENSION}), }}");
    out.write_all(b"\x93NUMPY\x01\x00\x76\x00")?;
    out.write_all(format!("{header:<117}\n").as_bytes())?;
    for first in (0..rows).step_by(BLOCK * 16) {
        let block = |from: usize| -> Vec<u8> {
            let mut random = ChaCha8Rng::seed_from_u64(seed << 40 | from as u64);
            let mut bytes = Vec::with_capacity(BLOCK * DIMENSION * 4);
            for _ in from..rows.min(from + BLOCK) {
                let centre = random.random_range(0..CLUSTERS) * DIMENSION;
                let length = (0.6 * normal(&mut random)).exp();
                for (at, value) in centres[centre..centre + DIMENSION].iter().enumerate() {
                    bytes.extend((length * (value + 0.7 * scale(at) * normal(&mut random))).to_le_bytes());
                }
            }
            bytes
        };
        let firsts: Vec<usize> = (first..rows.min(first + BLOCK * 16)).step_by(BLOCK).collect();
        let blocks: Vec<Vec<u8>> = firsts.into_par_iter().map(block).collect();
        blocks.iter().try_for_each(|bytes| out.write_all(bytes))?;
    }
    Ok(out.flush()?)
}

fn normal(random: &mut ChaCha8Rng) -> f32 {
    random.sample(StandardNormal)
}

fn read(path: &Path) -> Outcome<savor::index::Matrix> {
    Ok(read_vectors(path, &VectorColumns { vector: String::new(), id: None })?.rows)
}

fn build(folder: &Path, kind: IndexChoice) -> Outcome<()> {
    let began = Instant::now();
    let (items, users) = (read(&folder.join("items.npy"))?, read(&folder.join("users.npy"))?);
    eprintln!("read after {:.1} s", began.elapsed().as_secs_f64());
    let config = IndexConfig { kind, ..IndexConfig::default() };
    let index = VectorIndex::of(items, Metric::Dot, &config, Some(users.as_rows()), &Lines)?;
    let plan = index.plan();
    eprintln!("indexed after {:.1} s: {} (looks at {:.0})", began.elapsed().as_secs_f64(), plan.why, plan.scanned);
    index.write(&folder.join("index"))?;
    let length = std::fs::metadata(folder.join("index"))?.len() >> 20;
    let peak = memory("VmHWM:")?;
    println!("build_s={:.1} build_peak_mib={peak} file_mib={length}", began.elapsed().as_secs_f64());
    Ok(())
}

/// Growth of a graph, as a line now and then.
struct Lines;

impl Progress for Lines {
    fn report(&self, step: &Step) {
        if let Step::Indexing { done, total } = step
            && done % (total / 20 + 1) < 4096
        {
            eprintln!("indexed {done} of {total}");
        }
    }
}

fn serve(folder: &Path) -> Outcome<()> {
    let path = folder.join("index");
    // The file leaves the page cache: it is opened as after a restart of the machine.
    let forgotten =
        Command::new("dd").arg(format!("if={}", path.display())).args(["iflag=nocache", "count=0"]).output()?;
    eprintln!("opening a file that is {}", if forgotten.status.success() { "in no cache" } else { "cached" });
    let began = Instant::now();
    let index = VectorIndex::open(&path)?;
    let open_ms = began.elapsed().as_secs_f64() * 1e3;
    let users = read(&folder.join("users.npy"))?;
    let users: Vec<&[f32]> = (0..users.rows()).map(|row| users.row(row)).collect();
    let first = Instant::now();
    index.search(users[0], K, &|_| true);
    eprintln!("opened in {open_ms:.1} ms, first answer {:.1} ms later", first.elapsed().as_secs_f64() * 1e3);
    let answers: Vec<Vec<Hit>> = users.iter().map(|user| index.search(user, K, &|_| true)).collect();
    let (began, mut asked) = (Instant::now(), 0);
    while began.elapsed() < ASKING {
        index.search(users[asked % users.len()], K, &|_| true);
        asked += 1;
    }
    let qps = asked as f64 / began.elapsed().as_secs_f64();
    let (rss, anon) = (memory("VmRSS:")?, memory("RssAnon:")?);
    let began = Instant::now();
    index.verify()?;
    let verify_s = began.elapsed().as_secs_f64();

    let vectors = index.vectors();
    let right = |(user, answer): (&&[f32], &Vec<Hit>)| {
        let mut scores: Vec<f32> = vectors.data().par_chunks(DIMENSION).map(|item| product(item, user)).collect();
        let (_, last, _) = scores.select_nth_unstable_by(K - 1, |a, b| b.total_cmp(a));
        answer.iter().filter(|hit| hit.score >= *last - 1e-4 * last.abs()).count()
    };
    let found: usize = users.iter().zip(&answers).take(CHECKED).map(right).sum();
    let recall = found as f64 / (CHECKED.min(users.len()) * K) as f64;
    println!(
        "open_ms={open_ms:.1} serve_rss_mib={rss} serve_anon_mib={anon} qps={qps:.0} recall={recall:.3} verify_s={verify_s:.1}"
    );
    Ok(())
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// MiB of this process, by the kernel's name for them.
fn memory(name: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}
