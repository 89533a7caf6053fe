//! Decides how an index answers: builds the graphs that may serve, measures each against the exact scan on sample queries,
//! keeps the one that reaches the wanted recall at least cost, and writes down what it saw. Where none does, or none is
//! worth it, the exact scan serves.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::codes::LONGEST;
use super::frontier::PLACES;
use super::graph::{Breadth, Graph};
use super::grow::{Meter, grow};
use super::scan::scan;
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
    /// Vectors that the answer to one query scores, on average over the sample; for the exact scan without a sample, all.
    pub visited: f64,
    /// The same for the exact scan, which stops early where norms differ.
    pub scanned: f64,
    /// Queries measured; 0 if there was nothing to choose.
    pub sample: usize,
    /// What the queries were.
    pub sampled: Sampled,
    /// The graphs that were built and measured.
    pub trials: Vec<Trial>,
    /// The reason for the choice, for a human reader.
    pub why: String,
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
    /// Rows that no path led to and that were linked afterwards.
    pub linked: usize,
}

/// A step of a walk reads a vector from just anywhere and keeps heaps and marks, where a scan reads on: measured at 4 to 9
/// times the cost of a vector, at 64 and 100 dimensions. Rough, as it has to be for machines that we do not know.
pub(super) const STEP_COST: f64 = 6.0;

/// Hits asked for when measuring.
const K: usize = 10;
/// Queries measured: recall@10 is then known to about ±.01.
const SAMPLE: usize = 256;
/// Fewer vectors than this have no graph whatever the configuration says: a walk would see them all.
const FEWEST: usize = 256;
/// How far the breadth of search is doubled beyond the configured one, to reach the wanted recall.
const WIDEST: usize = 16;

/// Chooses; the graph is there if it serves.
pub(super) fn choose(
    space: &Space,
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
        sample: 0,
        sampled: if queries.is_some() { Sampled::Queries } else { Sampled::Rows },
        trials: Vec::new(),
        why: String::new(),
    };
    let reason = match config.kind {
        IndexChoice::Exact => Some("the configuration asks for the exact scan".into()),
        IndexChoice::Auto if rows < config.graph_from => {
            Some(format!("{rows} vectors are fewer than index.graph_from = {}", config.graph_from))
        }
        _ if rows >= PLACES || space.dim >= LONGEST => {
            Some(format!("{rows} vectors of {} values are too many or too long for a graph", space.dim))
        }
        _ if rows < FEWEST => Some(format!("{rows} vectors are too few for a graph to save anything")),
        _ => None,
    };
    if let Some(why) = reason {
        plan.why = why;
        return Ok((None, plan));
    }

    let sample = Sample::take(space, queries)?;
    plan.sample = sample.queries.len();
    if plan.sample == 0 {
        plan.why = "every query of the sample is a zero vector, to which all vectors are alike".into();
        return Ok((None, plan));
    }
    plan.scanned = sample.scanned;
    plan.visited = sample.scanned;
    let auto = config.kind == IndexChoice::Auto;
    if auto && sample.scanned <= STEP_COST * config.ef_search as f64 {
        plan.why = format!("the exact scan stops after {:.0} vectors on average: no graph does better", sample.scanned);
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
        if trial.recall >= config.recall && best.as_ref().is_none_or(|(_, best)| trial.visited < best.visited) {
            best = Some((graph, trial));
        }
    }
    let Some((graph, trial)) = best else {
        plan.why = format!("no graph reached a recall of {}; the exact scan always does", config.recall);
        return Ok((None, plan));
    };
    if auto && trial.visited * STEP_COST >= sample.scanned {
        plan.why = format!(
            "the graph scores {:.0} vectors for a query, which costs more than the {:.0} of the exact scan",
            trial.visited, sample.scanned
        );
        return Ok((None, plan));
    }
    plan.kind = IndexKind::Hnsw;
    plan.form = Some(trial.form);
    plan.ef = trial.ef;
    plan.recall = trial.recall;
    plan.visited = trial.visited;
    plan.why = format!(
        "of the graphs that reach a recall of {} this one scores the fewest vectors: {:.0} for a query, {:.0} by the exact scan",
        config.recall, trial.visited, sample.scanned
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
    scanned: f64,
}

impl<'a> Sample<'a> {
    /// Evenly spread over the queries there are, else over the rows of the space; without those that say nothing.
    fn take(space: &'a Space, queries: Option<Rows<'a>>) -> Result<Self> {
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
        let answers: Vec<_> = queries.par_iter().map(|query| scan(space, query, K, &|_| true)).collect();
        let scanned = mean(answers.iter().map(|answer| answer.touched as f64));
        Ok(Self { queries, truths: answers.into_iter().map(|answer| answer.hits).collect(), scanned })
    }

    /// Widens the search until the recall is reached, or the walk costs more than a scan, or enough is enough.
    fn measure(
        &self,
        space: &Space,
        graph: &Graph,
        form: GraphForm,
        linked: usize,
        config: &IndexConfig,
        progress: &dyn Progress,
    ) -> Result<Trial> {
        let pool = Pool::default();
        let mut ef = config.ef_search.max(K);
        loop {
            if progress.cancelled() {
                return Err(Error::Cancelled("indexing"));
            }
            let breadth = Breadth { k: K, ef, budget: usize::MAX, usual: 0 };
            let measured: Vec<(f64, f64)> = self
                .queries
                .par_iter()
                .zip(&self.truths)
                .map(|(query, truth)| {
                    let walked = pool.with(|walker| graph.walk(&space.probe(query), breadth, walker, &|_| true));
                    walked.map_or((0.0, space.len() as f64), |walked| {
                        (recall(&walked.hits, truth), walked.visited as f64)
                    })
                })
                .collect();
            let trial = Trial {
                form,
                ef,
                recall: mean(measured.iter().map(|(recall, _)| *recall)),
                visited: mean(measured.iter().map(|(_, visited)| *visited)),
                linked,
            };
            let wide = ef >= WIDEST * config.ef_search || trial.visited * STEP_COST > space.len() as f64;
            if trial.recall >= config.recall || wide {
                return Ok(trial);
            }
            ef *= 2;
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
