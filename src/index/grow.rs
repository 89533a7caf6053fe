//! Grows a graph: hnsw_rs inserts coded vectors, under our own kernels and with a narrow search; `freeze` makes our layout
//! of what it holds; `refine` chooses every node's neighbours anew, from a wide search through that; `link` makes every row
//! reachable, and the rows get places by who is near whom. hnsw_rs inserts in parallel, so two builds of one set of vectors
//! differ in a few links; answers are checked against the exact scan.

use hnsw_rs::prelude::{Distance, Hnsw};
use rayon::prelude::*;

use super::codes::{self, Codes};
use super::freeze::{freeze, renumbered};
use super::graph::Graph;
use super::link::link_unreachable;
use super::plan::GraphForm;
use super::refine::refine;
use super::section::Section;
use super::space::Space;
use crate::config::{IndexConfig, Metric};
use crate::error::{Error, Result};
use crate::progress::{Progress, Step};

/// Vectors between two reports of progress, and between two questions whether to stop.
pub(super) const CHUNK: usize = 4096;

/// hnsw_rs has no more layers than that.
const LAYERS: usize = 16;

/// hnsw_rs searches with so much of the configured breadth: it follows pointers where the refinement reads on, and what it
/// leaves only has to lead the refinement to the right neighbourhood.
const NARROW: usize = 5;

/// Where the growth of one graph stands within the whole build.
pub(super) struct Meter<'a> {
    pub progress: &'a dyn Progress,
    /// Vectors put into graphs before this one.
    pub before: usize,
    /// Vectors to be put into graphs in all.
    pub total: usize,
}

impl Meter<'_> {
    /// Reports that so many half steps, of which a vector takes two, are done; stops what was cancelled.
    pub fn halves(&self, done: usize) -> Result<()> {
        self.progress.report(&Step::Indexing { done: self.before + done / 2, total: self.total });
        self.go_on()
    }

    fn go_on(&self) -> Result<()> {
        if self.progress.cancelled() { Err(Error::Cancelled("indexing")) } else { Ok(()) }
    }
}

/// A graph over all rows of a space that has at least one, and how many rows had to be linked afterwards.
pub(super) fn grow(space: &Space, form: GraphForm, config: &IndexConfig, meter: &Meter<'_>) -> Result<(Graph, usize)> {
    let rows = space.len();
    let codes = Codes::of(space);
    let longest = if form == GraphForm::Augmented { codes.longest() } else { 0.0 };
    let nearness = Nearness { euclidean: space.metric == Metric::L2, longest };
    let narrow = (config.ef_construction / NARROW).max(config.m + 8).min(config.ef_construction);
    let hnsw = Hnsw::<u8, Nearness>::new(config.m, rows, LAYERS, narrow, nearness);
    meter.go_on()?;
    // Alone, so that all the others find a point to begin at.
    hnsw.insert_slice((codes.record(0), 0));
    for start in (1..rows).step_by(CHUNK) {
        let end = rows.min(start + CHUNK);
        (start..end).into_par_iter().for_each(|row| hnsw.insert_slice((codes.record(row as u32), row)));
        meter.halves(end)?;
    }
    let mut graph = freeze(&hnsw, codes, config.m);
    drop(hnsw);
    let mut links = refine(&graph, space.metric, form, config.ef_construction, rows, meter)?;
    let shape = graph.shape.as_slice();
    let linked = link_unreachable(&mut links, shape[0] as usize, shape[3]);
    graph.links = Section::owned(links);
    Ok((renumbered(&graph), linked))
}

/// Our kernels as hnsw_rs's distance.
struct Nearness {
    euclidean: bool,
    /// Not 0 for the augmented form.
    longest: f32,
}

impl Distance<u8> for Nearness {
    fn eval(&self, a: &[u8], b: &[u8]) -> f32 {
        falling(codes::nearness(a, b, self.euclidean, self.longest))
    }
}

/// A number that is never negative and falls as `score` rises. hnsw_rs insists on distances that are not negative but only
/// ever compares them, so the order of the bits will do; subtracting from a constant would lose the small differences between
/// short vectors. Scores are below 2¹²⁷ (see `space`), so this never makes an infinity or NaN.
fn falling(score: f32) -> f32 {
    let bits = (score + 0.0).to_bits();
    let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    f32::from_bits(!rising >> 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_distance_for_hnsw_falls_as_the_score_rises(a in -8e37f32..8e37, b in -8e37f32..8e37, e in -40i32..1) {
            let (a, b) = (a * 10f32.powi(e), b * 10f32.powi(e));
            prop_assert!(falling(a) >= 0.0 && falling(a).is_finite());
            // One bit is lost: neighbouring floats may share a distance, but none changes places.
            if a > b {
                prop_assert!(falling(a) <= falling(b));
            }
            if a > b && b.to_bits().abs_diff(a.to_bits()) > 1 {
                prop_assert!(falling(a) < falling(b));
            }
        }
    }
}
