//! Nearest neighbours among vectors: one face, [`VectorIndex`], behind which an exact scan or a graph answers. Which of them
//! was measured when the index was built ([`IndexPlan`] tells). An index knows rows and scores only; what a row stands for,
//! and which rows a caller may see, is the caller's to know. It is built in memory, works there at once, and may be written
//! to one file that is mapped when it is opened.
//!
//! Scores are exact f32 whatever found them, larger is better under every metric, and equal scores stand in the order of
//! their rows.

mod codes;
mod file;
mod freeze;
mod frontier;
mod graph;
mod grow;
mod kernel;
mod link;
mod plan;
mod refine;
mod scan;
mod section;
mod space;
mod top;
mod visited;

use std::path::Path;

use graph::{Breadth, Graph};
use space::{Probe, Space};
use visited::Pool;

pub use crate::config::Metric;
pub use crate::linalg::Rows;
pub use plan::{GraphForm, IndexKind, IndexPlan, Sampled, Trial};
pub use top::Hit;

use crate::config::IndexConfig;
use crate::error::Result;
use crate::progress::Progress;

/// An immutable index over vectors of one length. `Send + Sync`; searches run side by side.
pub struct VectorIndex {
    space: Space,
    graph: Option<Graph>,
    plan: IndexPlan,
    visited: Pool,
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
        let space = Space::new(rows, metric)?;
        let (graph, plan) = plan::choose(&space, config, queries, progress)?;
        Ok(Self { space, graph, plan, visited: Pool::default() })
    }

    /// Writes the index to `path`, all or nothing: beside it first, synced, then renamed.
    pub fn write(&self, path: &Path) -> Result<()> {
        file::write(path, &self.space, self.graph.as_ref(), &self.plan)
    }

    /// Maps the index at `path` and verifies it whole. Errors: `Corrupt` for a file that is damaged, cut short or no index,
    /// `NewerFormat`, `Io`; each names the file.
    pub fn open(path: &Path) -> Result<Self> {
        let (space, graph, plan) = file::open(path)?;
        Ok(Self { space, graph, plan, visited: Pool::default() })
    }

    /// The `k` rows nearest to `query` among those that `allow` lets through, best first, equal scores by row; fewer if there
    /// are not as many. `allow` is asked lazily, only about rows that would enter the list (of candidates, for a graph).
    ///
    /// A query that [`check`](Self::check) refuses finds nothing. Under the cosine a zero vector scores 0 with every other.
    ///
    /// Costs one pass over the vectors at most, or a walk through the graph; a walk that a narrow filter makes long is given
    /// up for the pass, so that narrow filters lose no recall.
    pub fn search(&self, query: &[f32], k: usize, allow: &dyn Fn(u32) -> bool) -> Vec<Hit> {
        if k == 0 || self.check(query).is_err() {
            return Vec::new();
        }
        self.walk(query, k, allow).unwrap_or_else(|| scan::scan(&self.space, query, k, allow).hits)
    }

    /// The `k` nearest rows found by a walk through the graph that keeps `ef` candidates, at least `k`, whatever the plan says;
    /// `None` if there is no graph or it leads to fewer. Nothing for a query that [`check`](Self::check) refuses.
    pub fn search_graph(&self, query: &[f32], k: usize, ef: usize) -> Option<Vec<Hit>> {
        self.check(query).ok()?;
        let breadth = Breadth { k, ef: ef.max(k), budget: usize::MAX, usual: 0 };
        let probe = self.space.probe(query);
        let walked = self.visited.with(|walker| self.graph.as_ref()?.walk(&probe, breadth, walker, &|_| true));
        walked.map(|walked| walked.hits)
    }

    /// By the graph, if there is one and it is the better way.
    fn walk(&self, query: &[f32], k: usize, allow: &dyn Fn(u32) -> bool) -> Option<Vec<Hit>> {
        let graph = self.graph.as_ref()?;
        let ef = self.plan.ef.max(k.saturating_mul(2));
        if ef as f64 * plan::STEP_COST >= self.plan.scanned {
            return None;
        }
        // As long as a walk costs less than the scan it may replace; and well beyond what walks without a filter took.
        let usual = self.plan.visited as usize;
        let budget = ((self.plan.scanned / plan::STEP_COST) as usize).max(3 * usual);
        let breadth = Breadth { k, ef, budget, usual };
        let probe = self.space.probe(query);
        let walked = self.visited.with(|walker| graph.walk(&probe, breadth, walker, allow));
        walked.map(|walked| walked.hits)
    }

    /// Scores of single rows for one query, the same as [`search`](Self::search) gives; `None` for a query that
    /// [`check`](Self::check) refuses.
    pub fn scorer(&self, query: &[f32]) -> Option<Scorer<'_>> {
        self.check(query).ok().map(|()| Scorer { probe: self.space.probe(query), rows: self.space.len() as u32 })
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

    /// How the index answers and why.
    pub fn plan(&self) -> &IndexPlan {
        &self.plan
    }
}

/// One query against the rows of an index.
pub struct Scorer<'a> {
    probe: Probe<'a>,
    rows: u32,
}

impl Scorer<'_> {
    /// The score of a row; `None` past the end.
    pub fn score(&self, row: u32) -> Option<f32> {
        (row < self.rows).then(|| self.probe.hit(row).score)
    }

    /// No row with a score above this one, found by the lengths of the vectors and without reading them (inner product
    /// only; infinite under other metrics and past the end).
    pub fn bound(&self, row: u32) -> f32 {
        if row < self.rows { self.probe.bound_of(row) } else { f32::INFINITY }
    }
}

#[cfg(test)]
mod tests;
