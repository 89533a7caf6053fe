//! Nearest neighbours among vectors: one face, [`VectorIndex`], behind which an exact scan or a graph answers. Which of them
//! was measured when the index was built ([`IndexPlan`] tells). An index knows rows and scores only; what a row stands for,
//! and which rows a caller may see, is the caller's to know. It is built in memory, works there at once, and may be written
//! to one file that is mapped when it is opened.
//!
//! Scores are exact f32 whatever found them, larger is better under every metric, and equal scores stand in the order of
//! their rows.

mod ask;
mod codes;
mod coding;
mod file;
mod freeze;
mod frontier;
mod graph;
mod grow;
mod kernel;
mod link;
mod listed;
mod map;
mod pages;
mod plan;
mod pool;
mod refine;
mod searched;
mod section;
mod segments;
mod sieve;
mod space;
mod top;
mod visited;

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use graph::{Breadth, Graph};
use searched::Reason;
use section::Section;
use sieve::Sieve;
use space::Space;
use visited::Pool;

pub use crate::config::Metric;
pub use crate::linalg::{Matrix, Rows};
pub use ask::{Allow, Ask, Listed};
#[cfg(fuzzing)]
pub use file::fuzzing;
pub use plan::{GraphForm, IndexKind, IndexPlan, Sampled, Trial};
pub use searched::Searched;
pub use segments::{Copied, Extent, Frozen, Layout, Segments};
pub use top::Hit;
pub(crate) use top::Top;

use crate::config::IndexConfig;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::record::SearchWay;

/// An immutable index over vectors of one length. `Send + Sync`; searches run side by side.
pub struct VectorIndex {
    space: Space,
    sieve: Sieve,
    graph: Option<Graph>,
    plan: IndexPlan,
    visited: Pool,
    /// Of the file that it was opened from.
    sums: Option<file::Sums>,
    is_verified: AtomicBool,
}

impl VectorIndex {
    /// Indexes a copy of `rows`. `queries` are examples of what will be asked (user factors, say), on which recall is
    /// measured; without them a sample of the rows is used. No rows make an index that finds nothing.
    ///
    /// Reports `Step::Indexing`. Errors: a value that is not finite or a vector beyond 9·10¹⁸ in length (`Invalid`,
    /// naming the row), a query of another length, `Cancelled`.
    pub fn build(
        rows: Rows<'_>,
        metric: Metric,
        config: &IndexConfig,
        queries: Option<Rows<'_>>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        Self::of(Matrix::new(rows.dim(), rows.data().to_vec())?, metric, config, queries, progress)
    }

    /// [`build`](Self::build) without the copy: the vectors, `[n, dim]`, become the index's own. Beside them it takes, at most,
    /// 2 · dim + 40 bytes a vector; while a graph grows that is some 2.5 KiB more a vector (measured at m = 16), so that ten
    /// million need the exact scan on a machine of 24 GiB.
    pub fn of(
        vectors: Matrix,
        metric: Metric,
        config: &IndexConfig,
        queries: Option<Rows<'_>>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let space = Space::of(vectors, metric)?;
        let sieve = Sieve::new(&space, queries)?;
        let (graph, plan) = plan::choose(&space, &sieve, config, queries, progress)?;
        Ok(Self { space, sieve, graph, plan, visited: Pool::default(), sums: None, is_verified: AtomicBool::new(true) })
    }

    /// Writes the index to `path`, all or nothing: beside it first, synced, then renamed.
    pub fn write(&self, path: &Path) -> Result<()> {
        file::write(path, &self.space, &self.sieve, self.graph.as_ref(), &self.plan)
    }

    /// Maps the index at `path` and checks it, all of it up to 256 MiB. Of a larger file the structure is checked, as far as
    /// search relies on it, and the rest is left to [`verify`](Self::verify).
    ///
    /// Errors: `Corrupt` for a file that is damaged, cut short or no index, `NewerFormat`, `Io`; each names the file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_checked(path, LARGE)
    }

    /// Checks all of a file of up to so many bytes.
    fn open_checked(path: &Path, most: u64) -> Result<Self> {
        let file::Contents { space, sieve, graph, plan, sums } = file::open(path, most)?;
        let small = sums.length() as u64 <= most;
        let is_verified = AtomicBool::new(small);
        let index = Self { space, sieve, graph, plan, visited: Pool::default(), sums: Some(sums), is_verified };
        if small {
            index.check_all()?;
        }
        Ok(index)
    }

    /// Compares all checksums of the file that this index was opened from, and checks what its numbers say. Reads all of it.
    /// Error: `Corrupt`, with the file.
    pub fn verify(&self) -> Result<()> {
        if let Some(sums) = &self.sums {
            sums.verify()?;
            self.check_all()?;
            self.is_verified.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Checks what only answers rely on; a file whose checksums are right can still have been written by somebody else.
    fn check_all(&self) -> Result<()> {
        let graph = self.graph.as_ref().map_or(Ok(()), Graph::check_all);
        let whole = graph.and_then(|()| self.sieve.check_all(&self.space)).and_then(|()| self.space.check_all());
        whole.map_err(|reason| match &self.sums {
            Some(sums) => sums.damaged(reason),
            None => Error::corrupt("an index", reason),
        })
    }

    /// Whether all of the file has been verified; an index in memory needs no more.
    pub fn is_verified(&self) -> bool {
        self.is_verified.load(Ordering::Relaxed)
    }

    /// The `k` rows nearest to `query` among those that `allow` lets through: [`answer`](Self::answer), with nothing else.
    pub fn search(&self, query: &[f32], k: usize, allow: &dyn Allow) -> Vec<Hit> {
        self.answer(query, Ask::best(k).allow(allow))
    }

    /// The rows nearest to `query` that `ask` wants, best first, equal scores by row; fewer if there are not as many.
    ///
    /// A query that [`check`](Self::check) refuses finds nothing. Under the cosine a zero vector scores 0 with every other.
    ///
    /// Costs one pass over the codes of the vectors at most, or a walk through the graph; a walk that a narrow filter makes
    /// long is given up for the pass, so that narrow filters lose no recall.
    pub fn answer(&self, query: &[f32], ask: Ask<'_>) -> Vec<Hit> {
        self.traced(query, ask).0
    }

    /// The same, and how it came about.
    pub fn traced(&self, query: &[f32], ask: Ask<'_>) -> (Vec<Hit>, Searched) {
        if ask.k == 0 || ask.within.is_some_and(|rows| rows.is_empty()) || self.check(query).is_err() {
            return (Vec::new(), Searched::nothing());
        }
        match (&self.graph, ask.listed) {
            (Some(graph), None) => self.walk_or_scan(graph, query, ask),
            (Some(graph), Some(listed)) => {
                let searched = Cell::new(None::<Searched>);
                let search = |ask: Ask<'_>| {
                    let (hits, one) = self.walk_or_scan(graph, query, ask);
                    searched.set(Some(searched.get().map_or(one, |before| before.and(one))));
                    hits
                };
                let hits = listed::answer(&self.space.probe(query), ask, listed, search);
                (hits, searched.get().unwrap_or_else(Searched::nothing))
            }
            (None, _) => self.scan(query, ask, Reason::Plan),
        }
    }

    /// The `k` nearest rows found by a walk through the graph that keeps `ef` candidates, at least `k`, whatever the plan says;
    /// `None` if there is no graph or it leads to fewer. Nothing for a query that [`check`](Self::check) refuses.
    pub fn search_graph(&self, query: &[f32], k: usize, ef: usize) -> Option<Vec<Hit>> {
        self.check(query).ok()?;
        let breadth = Breadth { k, ef: ef.max(k), budget: usize::MAX, usual: 0 };
        let probe = self.space.probe(query);
        let walked = self.visited.with(|walker| self.graph.as_ref()?.walk(&probe, breadth, walker, None));
        walked.map(|walked| walked.hits)
    }

    /// The answers to many queries, `[n, dim]`, in their order: those that are scanned for share the way through the
    /// vectors, and all processors take part. `ask` says what is wanted of each.
    pub fn answer_many<'a>(&self, queries: Rows<'_>, ask: impl Fn(usize) -> Ask<'a> + Sync) -> Vec<Vec<Hit>> {
        // Each query with scores from elsewhere has a number for every row.
        let most = (SHARED_MEMORY / (4 * self.space.len().max(1))).clamp(1, TOGETHER);
        let together = |first: usize| -> Vec<Vec<Hit>> {
            let each = first..queries.len().min(first + most);
            if self.graph.is_some() {
                return each.map(|at| self.answer(queries.row(at), ask(at))).collect();
            }
            let asked: Vec<(&[f32], Ask<'_>)> = each.map(|at| (queries.row(at), ask(at))).collect();
            self.sieve.search_many(&self.space, &asked).into_iter().map(|scanned| scanned.hits).collect()
        };
        let firsts: Vec<usize> = (0..queries.len()).step_by(most).collect();
        let answers: Vec<Vec<Vec<Hit>>> = firsts.into_par_iter().map(together).collect();
        answers.into_iter().flatten().collect()
    }

    fn scan(&self, query: &[f32], ask: Ask<'_>, reason: Reason) -> (Vec<Hit>, Searched) {
        let scanned = self.sieve.search(&self.space, query, ask);
        let searched = Searched::scan(self.space.len(), ask, reason);
        (scanned.hits, Searched { sifted: scanned.sifted, scored: scanned.scored, ..searched })
    }

    fn walk_or_scan(&self, graph: &Graph, query: &[f32], ask: Ask<'_>) -> (Vec<Hit>, Searched) {
        match self.walk(graph, query, ask) {
            Ok(graph::Walked { hits, visited }) => {
                (hits, Searched { visited, ..Searched::new(SearchWay::Walk, Reason::Plan) })
            }
            Err(reason) => self.scan(query, ask, reason),
        }
    }

    /// By the graph, if it is the better way; else the reason why not.
    fn walk(&self, graph: &Graph, query: &[f32], ask: Ask<'_>) -> std::result::Result<graph::Walked, Reason> {
        let k = ask.k;
        let ef = self.plan.ef.max(k.saturating_mul(2));
        let mut worth = self.plan.steps_of_a_scan();
        if let Some(rows) = ask.within {
            // Matches can be looked at one by one, and a walk takes longer the fewer of what it meets are matches.
            worth = worth.min(rows.len() as f64);
            if self.plan.visited * self.space.len() as f64 > worth * rows.len() as f64 || ef as f64 >= worth {
                return Err(Reason::FewMatches);
            }
        }
        if ef as f64 >= worth {
            return Err(Reason::ManyWanted { ef });
        }
        // As long as a walk costs less than the scan it may replace; and well beyond what walks without a filter took.
        let usual = self.plan.visited as usize;
        let breadth = Breadth { k, ef, budget: (worth as usize).max(usual.saturating_mul(3)), usual };
        let probe = self.space.probe(query);
        let allows = |row: u32| ask.allows(row);
        let allow: Option<&dyn Fn(u32) -> bool> = if ask.allows_all() { None } else { Some(&allows) };
        let walked = self.visited.with(|walker| graph.walk(&probe, breadth, walker, allow));
        walked.ok_or(Reason::GivenUp)
    }

    /// Checks that a query may be asked: as many values as the vectors have, all finite, not beyond 9·10¹⁸ in length.
    /// The error names the field `vector`.
    pub fn check(&self, query: &[f32]) -> Result<()> {
        self.space.check(query)
    }

    /// The vectors, in the order and with the values given to the build.
    pub fn vectors(&self) -> Rows<'_> {
        match self.space.rows() {
            Ok(rows) => rows,
            Err(_) => {
                unreachable!("the length of the vectors is a multiple of their dimension: checked when they came in")
            }
        }
    }

    /// How vectors are compared.
    pub fn metric(&self) -> Metric {
        self.space.metric
    }

    /// Bytes of vectors, codes and graph, in memory or mapped.
    pub fn bytes(&self) -> u64 {
        let Sieve { shape, order, axes, lead, bounds, codes, code_bounds, shift, .. } = &self.sieve;
        let floats = [&self.space.vectors, &self.space.norms, axes, bounds, code_bounds, shift];
        let sieve: usize = floats.into_iter().map(Section::bytes).sum::<usize>()
            + [shape, order].into_iter().map(Section::bytes).sum::<usize>()
            + [lead, codes].into_iter().map(Section::bytes).sum::<usize>();
        (sieve + self.graph.as_ref().map_or(0, Graph::bytes)) as u64
    }

    /// How the index answers and why.
    pub fn plan(&self) -> &IndexPlan {
        &self.plan
    }
}

/// Bytes of a file that is verified whole when it is opened: some 30 ms.
const LARGE: u64 = 256 << 20;
/// Queries that share a pass: their thresholds and codes stay in the cache beside a few panels.
const TOGETHER: usize = 32;
/// Bytes that they may take beside that.
const SHARED_MEMORY: usize = 64 << 20;

#[cfg(test)]
mod tests;
