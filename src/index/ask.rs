//! What is asked of an index beside the query.

use roaring::RoaringBitmap;

/// Says which rows may be in an answer: a function, or what a caller keeps for that.
pub trait Allow {
    /// Whether this row may be.
    fn allows(&self, row: u32) -> bool;
}

impl<F: Fn(u32) -> bool> Allow for F {
    fn allows(&self, row: u32) -> bool {
        self(row)
    }
}

/// How many rows, and which: of all, or of those that a policy and a filter let through; and what is added to their scores.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// How many.
    pub k: usize,
    /// Which rows may be in the answer; none for all of them. It is asked lazily, only about rows that would enter the answer at
    /// that moment.
    pub allow: Option<&'a dyn Allow>,
    /// Rows outside of these are not in the answer either. Unlike `allow` it is known beforehand, so few matches are looked
    /// at one by one, and what a filter costs is known before it is paid.
    pub within: Option<&'a RoaringBitmap>,
    /// Rows of a lower score need not be in the answer, whatever `k`: a scan looks at fewer if it knows that beforehand.
    pub least: Option<f32>,
    /// Scores from elsewhere, added to those of some rows.
    pub listed: Option<Listed<'a>>,
}

/// Scores that are added to those of the index.
#[derive(Clone, Copy)]
pub struct Listed<'a> {
    /// `[n]`, by row; zero for most.
    pub scores: &'a [f32],
    /// The rows that have one, each once.
    pub rows: &'a [u32],
}

impl<'a> Ask<'a> {
    /// The `k` best of all.
    pub fn best(k: usize) -> Self {
        Self { k, allow: None, within: None, least: None, listed: None }
    }

    /// Only rows that `allow` lets through.
    pub fn allow(self, allow: &'a dyn Allow) -> Self {
        Self { allow: Some(allow), ..self }
    }

    /// Only these rows.
    pub fn within(self, rows: Option<&'a RoaringBitmap>) -> Self {
        Self { within: rows, ..self }
    }

    /// Without those of a lower score, if it is known.
    pub fn reaching(self, least: Option<f32>) -> Self {
        Self { least, ..self }
    }

    /// With scores from elsewhere.
    pub fn listed(self, listed: Listed<'a>) -> Self {
        Self { listed: Some(listed).filter(|listed| !listed.rows.is_empty()), ..self }
    }

    /// Whether policy and filter let a row through.
    pub fn allows(&self, row: u32) -> bool {
        self.within.is_none_or(|rows| rows.contains(row)) && self.allow.is_none_or(|allow| allow.allows(row))
    }

    /// Whether all rows may be in the answer.
    pub(super) fn allows_all(&self) -> bool {
        self.within.is_none() && self.allow.is_none()
    }
}

impl Listed<'_> {
    pub(super) fn score(&self, row: u32) -> f32 {
        self.scores.get(row as usize).copied().unwrap_or(0.0)
    }
}
