//! The index through its face: recall, filters, ties, empty and odd inputs.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::config::IndexChoice;
use crate::error::Error;
use crate::progress::{Silent, Step};

/// Vectors around a few directions, whose lengths differ as `spread` says: 0 gives all about the same length, 2 a factor of
/// about a hundred between short and long ones.
pub(super) fn clustered(rows: usize, dim: usize, spread: f32, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let centres: Vec<f32> = (0..32 * dim).map(|_| random.random_range(-1.0..1.0)).collect();
    let mut data = Vec::with_capacity(rows * dim);
    for _ in 0..rows {
        let centre = random.random_range(0..32usize) * dim;
        let length = 10f32.powf(-spread * random.random_range(0.0f32..1.0));
        for value in &centres[centre..centre + dim] {
            data.push(length * (value + random.random_range(-0.7..0.7)));
        }
    }
    data
}

fn config(kind: IndexChoice, recall: f64) -> IndexConfig {
    IndexConfig { kind, recall, m: 8, ef_construction: 64, ef_search: 32, ..IndexConfig::default() }
}

fn exact(rows: Rows<'_>, metric: Metric) -> VectorIndex {
    VectorIndex::build(rows, metric, &config(IndexChoice::Exact, 0.95), None, &Silent).unwrap()
}

fn graph(rows: Rows<'_>, metric: Metric, queries: Option<Rows<'_>>) -> VectorIndex {
    let index = VectorIndex::build(rows, metric, &config(IndexChoice::Hnsw, 0.95), queries, &Silent).unwrap();
    assert_eq!(index.plan().kind, IndexKind::Hnsw, "{:?}", index.plan());
    index
}

fn rows_of(hits: &[Hit]) -> BTreeSet<u32> {
    hits.iter().map(|hit| hit.row).collect()
}

/// Recall@10 over all queries, and whether every answer keeps order and scores of the exact one.
fn recall(index: &VectorIndex, exact: &VectorIndex, queries: Rows<'_>, allow: &dyn Allow) -> f64 {
    let mut found = 0;
    let mut due = 0;
    for at in 0..queries.len() {
        let hits = index.search(queries.row(at), 10, allow);
        let truth = exact.search(queries.row(at), 10, allow);
        assert!(
            hits.windows(2)
                .all(|pair| pair[0].score > pair[1].score
                    || (pair[0].score == pair[1].score && pair[0].row < pair[1].row))
        );
        assert!(hits.iter().all(|hit| allow.allows(hit.row)));
        found += rows_of(&hits).intersection(&rows_of(&truth)).count();
        due += truth.len();
    }
    found as f64 / due as f64
}

#[test]
fn a_graph_reaches_the_recall_that_its_plan_promises_under_every_metric() {
    let data = clustered(6000, 16, 0.3, 1);
    let queries = clustered(200, 16, 0.0, 1);
    let (rows, queries) = (Rows::new(16, &data).unwrap(), Rows::new(16, &queries).unwrap());
    for metric in [Metric::Dot, Metric::Cosine, Metric::L2] {
        let (index, exact) = (graph(rows, metric, Some(queries)), exact(rows, metric));
        let recall = recall(&index, &exact, queries, &|_| true);
        assert!(recall >= 0.94, "{metric:?} {recall} {:?}", index.plan());
        assert!(index.plan().visited < 3000.0, "{:?}", index.plan());
    }
}

#[test]
fn lengths_that_differ_widely_lose_no_recall() {
    // Raw inner product leaves the short vectors without paths to them; the augmented form crowds them in one corner.
    let data = clustered(6000, 16, 2.0, 2);
    let queries = clustered(200, 16, 0.0, 3);
    let (rows, queries) = (Rows::new(16, &data).unwrap(), Rows::new(16, &queries).unwrap());
    let (index, exact) = (graph(rows, Metric::Dot, Some(queries)), exact(rows, Metric::Dot));
    let plan = index.plan();
    assert_eq!(plan.trials.len(), 2);
    assert!(plan.trials.iter().any(|trial| trial.linked > 0), "{plan:?}");
    let chosen = plan.trials.iter().find(|trial| Some(trial.form) == plan.form).unwrap();
    assert!(plan.trials.iter().all(|trial| trial.recall < 0.95 || trial.visited >= chosen.visited), "{plan:?}");
    assert!(recall(&index, &exact, queries, &|_| true) >= 0.94);
}

#[test]
fn a_wide_walk_has_no_ceiling_of_recall() {
    let data = clustered(3000, 8, 2.0, 4);
    let rows = Rows::new(8, &data).unwrap();
    let (index, exact) = (graph(rows, Metric::Dot, None), exact(rows, Metric::Dot));
    let graph = index.graph.as_ref().unwrap();
    let everything = Breadth { k: 10, ef: 3000, budget: usize::MAX, usual: 0 };
    for at in (0..3000).step_by(37) {
        let probe = index.space.probe(rows.row(at));
        let walked = index.visited.with(|visited| graph.walk(&probe, everything, visited, None)).unwrap();
        assert!(walked.visited >= 3000, "{}", walked.visited);
        assert_eq!(walked.hits, exact.search(rows.row(at), 10, &|_| true));
    }
}

#[test]
fn filters_of_any_width_keep_recall() {
    let data = clustered(8000, 16, 0.5, 5);
    let queries = clustered(60, 16, 0.0, 5);
    let (rows, queries) = (Rows::new(16, &data).unwrap(), Rows::new(16, &queries).unwrap());
    for metric in [Metric::Dot, Metric::Cosine] {
        let (index, exact) = (graph(rows, metric, Some(queries)), exact(rows, metric));
        for every in [2, 20, 1000, 8000] {
            let recall = recall(&index, &exact, queries, &|row| row % every == 1);
            assert!(recall >= 0.94, "{metric:?} 1 in {every}: {recall}");
        }
        // Eight rows match: all of them are found, by the exact scan.
        assert_eq!(index.search(queries.row(0), 10, &|row| row % 1000 == 1).len(), 8);
        assert_eq!(index.search(queries.row(0), 10, &|_| false), []);
    }
}

#[test]
fn a_walk_that_a_narrow_filter_would_make_long_is_given_up_early() {
    let data = clustered(4000, 8, 0.0, 12);
    let rows = Rows::new(8, &data).unwrap();
    let index = graph(rows, Metric::Cosine, None);
    let asked = std::cell::Cell::new(0);
    let breadth = Breadth { k: 10, ef: 64, budget: 2000, usual: 500 };
    let allow = |row: u32| {
        asked.set(asked.get() + 1);
        row.is_multiple_of(50)
    };
    let walked = index.visited.with(|visited| {
        let graph = index.graph.as_ref().unwrap();
        graph.walk(&index.space.probe(rows.row(0)), breadth, visited, Some(&allow))
    });
    assert!(walked.is_none() && asked.get() <= 150, "{asked:?}");
}

#[test]
fn a_filter_is_not_asked_about_every_row_of_a_walk() {
    let data = clustered(8000, 16, 0.0, 6);
    let rows = Rows::new(16, &data).unwrap();
    let index = graph(rows, Metric::Cosine, None);
    let asked = Mutex::new(0);
    index.search(rows.row(9), 10, &|_| {
        *asked.lock().unwrap() += 1;
        true
    });
    assert!(*asked.lock().unwrap() < 1000, "{asked:?}");
}

#[test]
fn equal_vectors_stand_in_the_order_of_their_rows() {
    let data = [1.0, 0.0, 0.5, 0.5].repeat(50);
    for metric in [Metric::Dot, Metric::Cosine, Metric::L2] {
        let index = exact(Rows::new(2, &data).unwrap(), metric);
        let rows: Vec<u32> = index.search(&[1.0, 0.0], 4, &|row| row != 2).iter().map(|hit| hit.row).collect();
        assert_eq!(rows, [0, 4, 6, 8], "{metric:?}");
    }
}

#[test]
fn scores_are_those_of_the_metric() {
    let rows = [3.0, 4.0, -1.0, 0.0];
    let score = |metric| exact(Rows::new(2, &rows).unwrap(), metric).search(&[1.0, 0.0], 1, &|row| row == 0)[0].score;
    assert_eq!((score(Metric::Dot), score(Metric::Cosine), score(Metric::L2)), (3.0, 0.6, -20.0));
}

#[test]
fn an_empty_index_finds_nothing_and_more_than_all_is_all() {
    for kind in [IndexChoice::Auto, IndexChoice::Exact, IndexChoice::Hnsw] {
        let config = config(kind, 0.95);
        let empty = VectorIndex::build(Rows::new(3, &[]).unwrap(), Metric::Dot, &config, None, &Silent).unwrap();
        assert_eq!(empty.search(&[1.0, 2.0, 3.0], 10, &|_| true), []);
        let small = VectorIndex::build(Rows::new(1, &[1.0, 2.0]).unwrap(), Metric::L2, &config, None, &Silent).unwrap();
        assert_eq!(small.search(&[0.0], usize::MAX, &|_| true).len(), 2);
        assert_eq!(small.search(&[0.0], 0, &|_| true), []);
    }
    let data = clustered(2000, 4, 0.0, 7);
    let index = graph(Rows::new(4, &data).unwrap(), Metric::L2, None);
    assert_eq!(index.search(&[0.0; 4], usize::MAX, &|_| true).len(), 2000);
}

#[test]
fn a_query_that_cannot_be_asked_finds_nothing_and_check_says_why() {
    let index = exact(Rows::new(2, &[1.0, 2.0]).unwrap(), Metric::Dot);
    assert_eq!(index.search(&[1.0], 1, &|_| true), []);
    assert_eq!(index.check(&[1.0]).unwrap_err().to_string(), "vector: has 1 values, expected 2");
    assert_eq!(index.search(&[1.0, f32::NAN], 1, &|_| true), []);
    assert_eq!(
        index.check(&[1.0, f32::NAN]).unwrap_err().to_string(),
        "vector: value 1 is NaN, expected finite numbers"
    );
}

#[test]
fn auto_scans_few_vectors_little_memory_and_steep_norms_and_says_so() {
    let data = clustered(3000, 8, 0.0, 8);
    let rows = Rows::new(8, &data).unwrap();
    let auto = IndexConfig { graph_from: 5000, ..config(IndexChoice::Auto, 0.95) };
    let index = VectorIndex::build(rows, Metric::Cosine, &auto, None, &Silent).unwrap();
    assert_eq!(index.plan().kind, IndexKind::Exact);
    assert!(index.plan().why.contains("graph_from = 5000"), "{}", index.plan().why);

    let small = IndexConfig { graph_from: 1000, graph_memory: 1, ..config(IndexChoice::Auto, 0.95) };
    let index = VectorIndex::build(rows, Metric::Cosine, &small, None, &Silent).unwrap();
    assert_eq!(index.plan().kind, IndexKind::Exact);
    assert!(index.plan().why.contains("index.graph_memory allows 1"), "{}", index.plan().why);

    let steep: Vec<f32> = (0..3000).flat_map(|row| [0.99f32.powi(row), 0.0]).collect();
    let auto = IndexConfig { graph_from: 1000, ..config(IndexChoice::Auto, 0.95) };
    let index = VectorIndex::build(Rows::new(2, &steep).unwrap(), Metric::Dot, &auto, None, &Silent).unwrap();
    assert_eq!(index.plan().kind, IndexKind::Exact);
    assert!(index.plan().scanned < 100.0 && index.plan().trials.is_empty(), "{:?}", index.plan());
}

#[test]
fn a_recall_that_no_graph_reaches_leaves_the_exact_scan() {
    // No structure at all: in 64 dimensions a graph of degree 4 is lost.
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let data: Vec<f32> = (0..3000 * 64).map(|_| random.random_range(-1.0..1.0)).collect();
    let poor = IndexConfig { m: 2, ef_construction: 8, ef_search: 10, ..config(IndexChoice::Hnsw, 1.0) };
    let rows = Rows::new(64, &data).unwrap();
    let index = VectorIndex::build(rows, Metric::Dot, &poor, None, &Silent).unwrap();
    assert_eq!(index.plan().kind, IndexKind::Exact, "{:?}", index.plan());
    assert_eq!((index.plan().trials.len(), index.plan().recall), (2, 1.0));
    let exact = exact(rows, Metric::Dot);
    assert_eq!(index.search(rows.row(5), 10, &|_| true), exact.search(rows.row(5), 10, &|_| true));
}

#[test]
fn zero_vectors_are_found_like_others_but_say_nothing_of_a_graph() {
    let mut data = clustered(1000, 6, 0.0, 12);
    data[..600 * 6].fill(0.0);
    let rows = Rows::new(6, &data).unwrap();
    let hnsw = config(IndexChoice::Hnsw, 0.9);
    for queries in [None, Some(rows)] {
        let index = VectorIndex::build(rows, Metric::Dot, &hnsw, queries, &Silent).unwrap();
        let exact = exact(rows, Metric::Dot);
        assert_eq!(index.plan().sample, 400, "{:?}", index.plan());
        assert!(recall(&index, &exact, Rows::new(6, &data[600 * 6..]).unwrap(), &|_| true) >= 0.85);
        assert_eq!(exact.search(rows.row(999), 1000, &|_| true).len(), 1000);
    }
    let zeros = Rows::new(6, &[0.0; 12]).unwrap();
    let index = VectorIndex::build(rows, Metric::Dot, &hnsw, Some(zeros), &Silent).unwrap();
    assert_eq!((index.plan().kind, index.plan().trials.len()), (IndexKind::Exact, 0), "{}", index.plan().why);
    let all_zero = VectorIndex::build(zeros, Metric::Dot, &hnsw, Some(zeros), &Silent).unwrap();
    assert_eq!(rows_of(&all_zero.search(zeros.row(0), 5, &|_| true)), BTreeSet::from([0, 1]));
}

/// Remembers the last step, and cancels once something is in the graph.
#[derive(Default)]
struct Impatient {
    last: Mutex<Option<Step>>,
    patience: bool,
    reported: AtomicBool,
}

impl Progress for Impatient {
    fn report(&self, step: &Step) {
        *self.last.lock().unwrap() = Some(step.clone());
        self.reported.store(true, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        !self.patience && self.reported.load(Ordering::Relaxed)
    }
}

#[test]
fn a_build_reports_where_it_stands_and_stops_when_it_is_told() {
    let data = clustered(5000, 4, 0.0, 10);
    let rows = Rows::new(4, &data).unwrap();
    let hnsw = config(IndexChoice::Hnsw, 0.9);
    let patient = Impatient { patience: true, ..Impatient::default() };
    VectorIndex::build(rows, Metric::Dot, &hnsw, None, &patient).unwrap();
    assert_eq!(patient.last.into_inner().unwrap(), Some(Step::Indexing { done: 10_000, total: 10_000 }));
    let built = VectorIndex::build(rows, Metric::Dot, &hnsw, None, &Impatient::default());
    assert!(matches!(built, Err(Error::Cancelled("indexing"))));
}

#[test]
fn searches_run_side_by_side() {
    let data = clustered(3000, 8, 0.0, 11);
    let rows = Rows::new(8, &data).unwrap();
    let index = graph(rows, Metric::Cosine, None);
    let alone: Vec<_> = (0..100).map(|at| index.search(rows.row(at), 10, &|_| true)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (at, answer) in alone.iter().enumerate() {
                    assert_eq!(&index.search(rows.row(at), 10, &|_| true), answer);
                }
            });
        }
    });
}
