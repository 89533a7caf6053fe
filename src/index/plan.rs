//! Decides how an index answers: builds the graphs that may serve, measures each against the exact scan on sample queries,
//! keeps the one that reaches the wanted recall at least cost, and writes down what it saw. Where none does, or none is
//! worth it, the exact scan serves.

use std::time::{Duration, Instant};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ask::Ask;
use super::codes::{LONGEST, stride};
use super::frontier::PLACES;
use super::graph::{Breadth, Graph};
use super::grow::{Meter, grow};
use super::sieve::Sieve;
use super::space::Space;
use super::top::Hit;
use super::visited::Pool;
use crate::config::{IndexChoice, IndexConfig, Metric};
use crate::error::{Error, Result};
use crate::linalg::Rows;
use crate::progress::Progress;

/// How an index answers, what was measured when it was built, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IndexPlan {
    /// The structure that answers.
    pub kind: IndexKind,
    /// The form in which its graph was grown; none for the exact scan.
    pub form: Option<GraphForm>,
    /// Candidates that a walk keeps at least; 0 for the exact scan.
    pub ef: usize,
    /// Recall@10 against the exact answer, measured; 1 for the exact scan.
    pub recall: f64,
    /// The recall that was wanted.
    pub wanted: f64,
    /// Vectors that the answer to one query looks at, on average over the sample; for the exact scan without a sample, all.
    pub visited: f64,
    /// The same for the exact scan, which stops early where norms differ.
    pub scanned: f64,
    /// Of those, vectors that the exact scan had to score in f32, as their codes did not rule them out.
    #[serde(default)]
    pub scored: f64,
    /// Leading dimensions by which the exact scan looks at a vector first.
    #[serde(default)]
    pub lead: usize,
    /// Microseconds that the exact scan takes for a query, on one thread; none if it was not measured.
    #[serde(default)]
    pub scan_us: Option<f64>,
    /// Microseconds to score one vector out of turn; none if it was not measured.
    #[serde(default)]
    pub score_us: Option<f64>,
    /// Queries measured; 0 if there was nothing to choose.
    pub sample: usize,
    /// What the queries were.
    pub sampled: Sampled,
    /// The graphs that were built and measured.
    pub trials: Vec<Trial>,
    /// The reason for the choice, for a human reader.
    pub why: String,
}

impl IndexPlan {
    /// Vectors that a walk scores in the time of a scan.
    pub(super) fn steps_of_a_scan(&self) -> f64 {
        let chosen = self.trials.iter().find(|trial| Some(trial.form) == self.form);
        match (self.scan_us, chosen) {
            (Some(scan_us), Some(trial)) if trial.us > 0.0 => scan_us / trial.us * trial.visited,
            // Of an index built before times were taken: a step cost some six vectors of a scan then.
            _ => self.scanned / 6.0,
        }
    }
}

/// The structure that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    /// The scan of all vectors, with a bound by norm for inner products.
    Exact,
    /// The graph.
    Hnsw,
}

/// The form in which a graph was grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GraphForm {
    /// Under the metric as it is; for the inner product this is ip-NSW (Morozov & Babenko, NeurIPS 2018).
    Raw,
    /// Inner product only: with one more dimension that gives all vectors the same norm (Bachrach et al., RecSys 2014).
    Augmented,
}

impl std::fmt::Display for GraphForm {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Self::Raw => "raw",
            Self::Augmented => "augmented",
        })
    }
}

/// What sample queries were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampled {
    /// Queries given to the build.
    Queries,
    /// Rows of the index itself.
    Rows,
}

/// A graph that was built and measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// How it was grown.
    pub form: GraphForm,
    /// The narrowest breadth of search that reached the wanted recall, or the widest that was tried.
    pub ef: usize,
    /// Recall@10 against the exact answer; of equal scores either counts.
    pub recall: f64,
    /// Vectors scored for a query, on average.
    pub visited: f64,
    /// Microseconds for a query, on one thread.
    #[serde(default)]
    pub us: f64,
    /// Rows that no path led to and that were linked afterwards.
    pub linked: usize,
}

/// Hits asked for when measuring.
const K: usize = 10;
/// Queries measured: recall@10 is then known to about ±.005.
const SAMPLE: usize = 1024;
/// Fewer vectors than this have no graph whatever the configuration says: a walk would see them all.
const FEWEST: usize = 256;
/// How far the breadth of search is doubled beyond the configured one, to reach the wanted recall.
const WIDEST: usize = 128;
/// Steps of bisection between the last breadth that was too narrow and the first that is wide enough.
const BISECTIONS: usize = 3;
/// Bytes that hnsw_rs takes for a vector and each of `m` neighbours while it inserts: measured, 2.5 KiB at m = 16.
const GROWING: usize = 160;
/// A walk scores at least so many vectors for each candidate that it keeps.
const STEPS: usize = 4;
/// Rounds in which times are taken; the quickest counts, as anything else that runs only adds to a time.
const ROUNDS: usize = 3;
/// A round ends after so long, whatever is left of the sample.
const ROUND_TIME: Duration = Duration::from_millis(300);

/// Bytes that it takes to grow a graph, about.
fn growth(space: &Space, config: &IndexConfig) -> usize {
    space.len().saturating_mul(GROWING * config.m + 2 * stride(space.dim))
}

/// Chooses; the graph is there if it serves.
pub(super) fn choose(
    space: &Space,
    sieve: &Sieve,
    config: &IndexConfig,
    queries: Option<Rows<'_>>,
    progress: &dyn Progress,
) -> Result<(Option<Graph>, IndexPlan)> {
    let rows = space.len();
    let mut plan = IndexPlan {
        kind: IndexKind::Exact,
        form: None,
        ef: 0,
        recall: 1.0,
        wanted: config.recall,
        visited: rows as f64,
        scanned: rows as f64,
        scored: rows as f64,
        lead: sieve.lead(),
        scan_us: None,
        score_us: None,
        sample: 0,
        sampled: if queries.is_some() { Sampled::Queries } else { Sampled::Rows },
        trials: Vec::new(),
        why: String::new(),
    };
    if rows < FEWEST {
        plan.why = format!("{rows} vectors are too few for a graph to save anything");
        return Ok((None, plan));
    }
    let sample = Sample::take(space, sieve, queries)?;
    plan.sample = sample.queries.len();
    if plan.sample == 0 {
        plan.why = "every query of the sample is a zero vector, to which all vectors are alike".into();
        return Ok((None, plan));
    }
    (plan.scanned, plan.visited, plan.scored) = (sample.sifted, sample.sifted, sample.scored);
    let scan_us = sample.time(|query| drop(sieve.search(space, query, Ask::best(K))));
    plan.scan_us = Some(scan_us);
    let auto = config.kind == IndexChoice::Auto;
    let score_us = sample.score_us(space);
    plan.score_us = Some(score_us);
    let narrowest = score_us * (STEPS * config.ef_search) as f64;
    plan.why = match config.kind {
        IndexChoice::Exact => "the configuration asks for the exact scan".into(),
        _ if rows >= PLACES || space.dim >= LONGEST => {
            format!("{rows} vectors of {} values are too many or too long for a graph", space.dim)
        }
        IndexChoice::Auto if growth(space, config) > config.graph_memory.saturating_mul(1 << 20) => format!(
            "growing a graph would take some {} MiB, index.graph_memory allows {}",
            growth(space, config) >> 20,
            config.graph_memory
        ),
        IndexChoice::Auto if rows < config.graph_from => {
            format!("{rows} vectors are fewer than index.graph_from = {}", config.graph_from)
        }
        IndexChoice::Auto if sample.sifted <= (STEPS * config.ef_search) as f64 || scan_us <= narrowest => {
            format!("the exact scan looks at {:.0} vectors in {scan_us:.1} µs: no walk does better", sample.sifted)
        }
        _ => String::new(),
    };
    if !plan.why.is_empty() {
        return Ok((None, plan));
    }

    let forms: &[GraphForm] = match space.metric {
        Metric::Dot => &[GraphForm::Raw, GraphForm::Augmented],
        Metric::Cosine | Metric::L2 => &[GraphForm::Raw],
    };
    let mut best: Option<(Graph, Trial)> = None;
    for (at, form) in forms.iter().enumerate() {
        let meter = Meter { progress, before: at * rows, total: forms.len() * rows };
        let (graph, linked) = grow(space, *form, config, &meter)?;
        let trial = sample.measure(space, &graph, *form, linked, config, progress)?;
        plan.trials.push(trial.clone());
        if trial.recall >= config.recall && best.as_ref().is_none_or(|(_, best)| trial.us < best.us) {
            best = Some((graph, trial));
        }
    }
    let Some((graph, trial)) = best else {
        plan.why = format!("no graph reached a recall of {}; the exact scan always does", config.recall);
        return Ok((None, plan));
    };
    if auto && trial.us >= scan_us {
        plan.why = format!("a query takes {:.0} µs by the graph, {scan_us:.0} µs by the exact scan", trial.us);
        return Ok((None, plan));
    }
    plan.kind = IndexKind::Hnsw;
    plan.form = Some(trial.form);
    plan.ef = trial.ef;
    plan.recall = trial.recall;
    plan.visited = trial.visited;
    plan.why = format!(
        "of the graphs that reach a recall of {} this one is the quickest: {:.0} µs for a query, {scan_us:.0} µs by the exact scan",
        config.recall, trial.us
    );
    Ok((Some(graph), plan))
}

fn is_zero(vector: &[f32]) -> bool {
    vector.iter().all(|value| *value == 0.0)
}

/// Queries with their exact answers.
struct Sample<'a> {
    queries: Vec<&'a [f32]>,
    truths: Vec<Vec<Hit>>,
    /// Vectors that the exact scan looked at and scored, on average.
    sifted: f64,
    scored: f64,
}

impl<'a> Sample<'a> {
    /// Evenly spread over the queries there are, else over the rows of the space; without those that say nothing.
    fn take(space: &'a Space, sieve: &Sieve, queries: Option<Rows<'a>>) -> Result<Self> {
        let rows = match queries {
            Some(queries) if !queries.is_empty() => queries,
            _ => space.rows()?,
        };
        // A zero vector finds all vectors alike: right whatever it finds, it would flatter the graph.
        let told = |row: &usize| space.metric == Metric::L2 || !is_zero(rows.row(*row));
        let telling: Vec<usize> = (0..rows.len()).filter(told).collect();
        let count = telling.len().min(SAMPLE);
        let queries: Vec<&[f32]> = (0..count).map(|at| rows.row(telling[at * telling.len() / count])).collect();
        for query in &queries {
            space.check(query).map_err(|error| error.within("queries"))?;
        }
        let answers: Vec<_> = queries.par_iter().map(|query| sieve.search(space, query, Ask::best(K))).collect();
        let sifted = mean(answers.iter().map(|answer| answer.sifted as f64));
        let scored = mean(answers.iter().map(|answer| answer.scored as f64));
        Ok(Self { queries, truths: answers.into_iter().map(|answer| answer.hits).collect(), sifted, scored })
    }

    /// Microseconds that `answer` takes for a query, on this thread.
    fn time(&self, answer: impl Fn(&[f32])) -> f64 {
        let mut best = f64::INFINITY;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let mut answered = 0;
            for query in self.queries.iter().take_while(|_| begun.elapsed() < ROUND_TIME) {
                answer(query);
                answered += 1;
            }
            best = best.min(begun.elapsed().as_secs_f64() * 1e6 / f64::from(answered.max(1)));
        }
        best
    }

    /// Microseconds that it takes to score a vector out of turn.
    fn score_us(&self, space: &Space) -> f64 {
        let each = space.len() as u32 / SAMPLE as u32;
        let probes: Vec<_> = self.queries.iter().map(|query| space.probe(query)).collect();
        let begun = Instant::now();
        let mut sum = 0.0;
        for (turn, probe) in (1u32..).zip(&probes) {
            // Steps of a large prime end just anywhere.
            sum += (0..SAMPLE as u32)
                .map(|at| probe.hit((turn * each + at * 7919) % space.len() as u32).score)
                .sum::<f32>();
        }
        std::hint::black_box(sum);
        begun.elapsed().as_secs_f64() * 1e6 / (probes.len() * SAMPLE) as f64
    }

    /// Widens the search until the recall is reached or enough is enough, and goes back as far as the recall allows.
    fn measure(
        &self,
        space: &Space,
        graph: &Graph,
        form: GraphForm,
        linked: usize,
        config: &IndexConfig,
        progress: &dyn Progress,
    ) -> Result<Trial> {
        let at = |ef: usize| match progress.cancelled() {
            true => Err(Error::Cancelled("indexing")),
            false => Ok(Trial { form, linked, ..self.walked(space, graph, ef) }),
        };
        let mut narrow = config.ef_search.max(K);
        let mut trial = at(narrow)?;
        if trial.recall >= config.recall {
            return Ok(trial);
        }
        while trial.recall < config.recall {
            if trial.ef >= WIDEST * config.ef_search || trial.ef >= space.len() {
                return Ok(trial);
            }
            narrow = trial.ef;
            trial = at(2 * narrow)?;
        }
        for _ in 0..BISECTIONS {
            let between = at((narrow + trial.ef) / 2)?;
            if between.recall >= config.recall {
                trial = between;
            } else {
                narrow = between.ef;
            }
        }
        Ok(trial)
    }

    /// What a walk of this breadth finds, looks at and takes.
    fn walked(&self, space: &Space, graph: &Graph, ef: usize) -> Trial {
        let pool = Pool::default();
        let breadth = Breadth { k: K, ef, budget: usize::MAX, usual: 0 };
        let walk = |query: &[f32]| pool.with(|walker| graph.walk(&space.probe(query), breadth, walker, None));
        let measured: Vec<(f64, f64)> = self
            .queries
            .par_iter()
            .zip(&self.truths)
            .map(|(query, truth)| match walk(query) {
                Some(walked) => (recall(&walked.hits, truth), walked.visited as f64),
                None => (0.0, space.len() as f64),
            })
            .collect();
        Trial {
            form: GraphForm::Raw,
            ef,
            recall: mean(measured.iter().map(|(recall, _)| *recall)),
            visited: mean(measured.iter().map(|(_, visited)| *visited)),
            us: self.time(|query| drop(walk(query))),
            linked: 0,
        }
    }
}

/// The share of the exact answer that was found. A row whose score equals the last of the exact answer is as right as that.
fn recall(hits: &[Hit], truth: &[Hit]) -> f64 {
    let Some(last) = truth.last() else {
        return 1.0;
    };
    let found = hits.iter().take(truth.len()).filter(|hit| hit.score >= last.score).count();
    found as f64 / truth.len() as f64
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}
