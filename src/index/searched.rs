//! How one question was answered: which way, what it took, and why.

use super::ask::Ask;
use super::plan::{IndexKind, IndexPlan};
use crate::record::{SearchTrace, SearchWay};

/// What the answer to one question took; cheap enough to be kept of every one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Searched {
    /// What was done.
    pub way: SearchWay,
    pub(super) reason: Reason,
    /// Vectors whose leading codes were looked at by a scan.
    pub sifted: usize,
    /// Vectors scored in f32 by a scan.
    pub scored: usize,
    /// Vectors that a walk came by.
    pub visited: usize,
    /// Vectors that were scored because they are not in the index yet.
    pub waiting: usize,
    /// Indexes beside the first.
    pub layers: usize,
}

/// Why this way was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reason {
    /// The plan says so.
    Plan,
    /// There are fewer matches than a walk would look at.
    FewMatches,
    /// So many are wanted that a walk would cost what a scan does.
    ManyWanted { ef: usize },
    /// A walk was begun and given up.
    GivenUp,
    /// The question has nothing to search with, or nothing to find.
    Nothing,
    /// Only the item-item lists speak: the vector is zero.
    ListsAlone,
}

/// A filter that fewer than one row in so many passes has its matches looked at one by one.
const FEW: u64 = 8;

impl Searched {
    pub(super) fn new(way: SearchWay, reason: Reason) -> Self {
        Self { way, reason, sifted: 0, scored: 0, visited: 0, waiting: 0, layers: 0 }
    }

    /// Nothing was looked at.
    pub(super) fn nothing() -> Self {
        Self::new(SearchWay::Nothing, Reason::Nothing)
    }

    /// Answered from the lists of past items.
    pub fn lists_alone() -> Self {
        Self::new(SearchWay::Nothing, Reason::ListsAlone)
    }

    /// A scan of `rows` vectors for `ask`.
    pub(super) fn scan(rows: usize, ask: Ask<'_>, reason: Reason) -> Self {
        let few = ask.within.is_some_and(|matches| matches.len() < rows as u64 / FEW);
        Self::new(if few { SearchWay::Matches } else { SearchWay::Scan }, reason)
    }

    /// The same with the cost of another search.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            sifted: self.sifted + other.sifted,
            scored: self.scored + other.scored,
            visited: self.visited + other.visited,
            ..self
        }
    }

    /// For a reader, by the plan of the index.
    pub fn trace(&self, plan: &IndexPlan, vectors: usize, matches: Option<u64>, us: f64) -> SearchTrace {
        SearchTrace {
            way: self.way,
            why: self.why(plan, matches),
            vectors: vectors as u64,
            matches,
            sifted: self.sifted as u64,
            scored: self.scored as u64,
            visited: self.visited as u64,
            waiting: self.waiting as u64,
            layers: self.layers as u64,
            us,
        }
    }

    fn why(&self, plan: &IndexPlan, matches: Option<u64>) -> String {
        let matches = matches.unwrap_or(0);
        match (self.reason, plan.kind) {
            (Reason::Nothing, _) => "nothing passes the filter, or nothing is wanted".into(),
            (Reason::ListsAlone, _) => "the vector is zero: only the lists of past items speak".into(),
            (Reason::Plan, IndexKind::Exact) if self.way == SearchWay::Matches => {
                format!("only {matches} vectors pass the filter: their places are found first; {}", plan.why)
            }
            (Reason::Plan, _) => plan.why.clone(),
            (Reason::FewMatches, _) => {
                format!("a walk would look at more vectors than the {matches} that pass the filter")
            }
            (Reason::ManyWanted { ef }, _) => {
                format!("a walk that keeps {ef} candidates costs more than the exact scan")
            }
            (Reason::GivenUp, _) => {
                "a walk through the graph was given up: it met too few that may be in the answer".into()
            }
        }
    }
}
