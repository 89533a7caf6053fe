//! Savor's side of `benches/peers/ann.sh`: builds indexes over vectors in a file and answers queries on one thread, as it is
//! told line by line on standard input, so that the script may let engines take turns.
//!
//!     ann serve DIM dot|cosine BASE QUERIES SAMPLE    little-endian f32 files; SAMPLE (or `-`) is what the planner measures on
//!         build NAME exact|auto|hnsw RECALL           → {"seconds", "bytes", "kind", "ef", "why"}
//!         search NAME plan|batch|EF OUT               → {"seconds"}; OUT gets the rows found, u32 `[queries, 10]`
//!     ann vectors INDEX OUT                           the vectors of an index file, f32

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use savor::index::{Ask, Hit, VectorIndex};
use savor::{IndexChoice, IndexConfig, Metric, Silent};
use serde_json::json;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const K: usize = 10;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["vectors", index, out] => {
            let index = VectorIndex::open(Path::new(index))?;
            write_numbers(out, index.vectors().data().iter().map(|value| value.to_le_bytes()))
        }
        ["serve", dim, metric, base, queries, sample] => {
            let metric = match metric {
                "dot" => Metric::Dot,
                "cosine" => Metric::Cosine,
                other => return Err(format!("{other} is no metric").into()),
            };
            let sample = if sample == "-" { None } else { Some(read(sample)?) };
            Served {
                dim: dim.parse()?,
                metric,
                base: read(base)?,
                queries: read(queries)?,
                sample,
                built: HashMap::new(),
            }
            .run()
        }
        // `cargo bench` and `cargo test` run every bench without arguments.
        _ => {
            eprintln!("run benches/peers/ann.sh");
            Ok(())
        }
    }
}

struct Served {
    dim: usize,
    metric: Metric,
    base: Vec<f32>,
    queries: Vec<f32>,
    sample: Option<Vec<f32>>,
    built: HashMap<String, VectorIndex>,
}

impl Served {
    fn run(mut self) -> Outcome<()> {
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            let answer = match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["build", name, kind, recall] => self.build(name, kind, recall.parse()?)?,
                ["search", name, way, out] => self.search(name, way, out)?,
                _ => return Err(format!("what is {line:?}?").into()),
            };
            println!("{answer}");
            std::io::stdout().flush()?;
        }
        Ok(())
    }

    fn build(&mut self, name: &str, kind: &str, recall: f64) -> Outcome<serde_json::Value> {
        let kind = match kind {
            "exact" => IndexChoice::Exact,
            "auto" => IndexChoice::Auto,
            "hnsw" => IndexChoice::Hnsw,
            other => return Err(format!("{other} is no kind of index").into()),
        };
        // Catalogues of any size are measured: `auto` does not pass over graphs for being small.
        let config = IndexConfig { kind, recall, graph_from: 0, ..IndexConfig::default() };
        let rows = savor::index::Rows::new(self.dim, &self.base)?;
        let sample = self.sample.as_ref().map(|sample| savor::index::Rows::new(self.dim, sample)).transpose()?;
        let began = Instant::now();
        let index = VectorIndex::build(rows, self.metric, &config, sample, &Silent)?;
        let seconds = began.elapsed().as_secs_f64();
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("index");
        index.write(&file)?;
        let bytes = std::fs::metadata(&file)?.len();
        let plan = index.plan();
        let answer = json!({
            "seconds": seconds, "bytes": bytes, "kind": plan.kind, "ef": plan.ef, "recall": plan.recall, "why": plan.why,
        });
        self.built.insert(name.to_owned(), index);
        Ok(answer)
    }

    fn search(&self, name: &str, way: &str, out: &str) -> Outcome<serde_json::Value> {
        let index = self.built.get(name).ok_or("search before build")?;
        let queries = savor::index::Rows::new(self.dim, &self.queries)?;
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let began = Instant::now();
        let answers: Vec<Vec<Hit>> = match way {
            "plan" => (0..queries.len()).map(|at| index.search(queries.row(at), K, &|_| true)).collect(),
            "batch" => one.install(|| index.answer_many(queries, |_| Ask::best(K))),
            ef => {
                let ef = ef.parse()?;
                let found = (0..queries.len()).map(|at| index.search_graph(queries.row(at), K, ef));
                found.collect::<Option<_>>().ok_or("the index has no graph")?
            }
        };
        let seconds = began.elapsed().as_secs_f64();
        let rows = |hits: Vec<Hit>| hits.into_iter().map(|hit| hit.row).chain(std::iter::repeat(u32::MAX)).take(K);
        let found: Vec<u32> = answers.into_iter().flat_map(rows).collect();
        write_numbers(out, found.iter().map(|row| row.to_le_bytes()))?;
        Ok(json!({ "seconds": seconds }))
    }
}

fn read(path: &str) -> Outcome<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn write_numbers(path: &str, numbers: impl Iterator<Item = [u8; 4]>) -> Outcome<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    for number in numbers {
        out.write_all(&number)?;
    }
    out.flush()?;
    Ok(())
}
