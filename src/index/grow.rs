//! Grows a graph with hnsw_rs, under our own kernels, and freezes it into the layout that `graph` searches. hnsw_rs inserts
//! in parallel, so two builds of one set of vectors differ in a few links; answers are checked against the exact scan.

use hnsw_rs::prelude::{Distance, Hnsw};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::graph::{Graph, NONE};
use super::kernel::squared_distance;
use super::link::link_unreachable;
use super::plan::GraphForm;
use super::section::Section;
use super::space::Space;
use crate::config::{IndexConfig, Metric};
use crate::error::{Error, Result};
use crate::linalg::dot;
use crate::progress::{Progress, Step};

/// Vectors between two reports of progress, and between two questions whether to stop.
const CHUNK: usize = 4096;

/// hnsw_rs has no more layers than that.
const LAYERS: usize = 16;

/// Where the growth of one graph stands within the whole build.
pub(super) struct Meter<'a> {
    pub progress: &'a dyn Progress,
    /// Vectors put into graphs before this one.
    pub before: usize,
    /// Vectors to be put into graphs in all.
    pub total: usize,
}

/// A graph over all rows of a space that has at least one, and how many rows had to be linked afterwards.
pub(super) fn grow(space: &Space, form: GraphForm, config: &IndexConfig, meter: &Meter<'_>) -> Result<(Graph, usize)> {
    let rows = space.len();
    let (dim, points) = points(space, form);
    let nearness = if space.metric == Metric::L2 { Nearness::Euclidean } else { Nearness::Inner };
    let hnsw = Hnsw::<f32, Nearness>::new(config.m, rows, LAYERS, config.ef_construction, nearness);
    let point = |row: usize| &points[row * dim..(row + 1) * dim];
    // Alone, so that all the others find a point to begin at.
    hnsw.insert_slice((point(0), 0));
    for start in (1..rows).step_by(CHUNK) {
        if meter.progress.cancelled() {
            return Err(Error::Cancelled("indexing"));
        }
        let end = rows.min(start + CHUNK);
        (start..end).into_par_iter().for_each(|row| hnsw.insert_slice((point(row), row)));
        meter.progress.report(&Step::Indexing { done: meter.before + end, total: meter.total });
    }
    Ok(freeze(&hnsw, rows, config.m))
}

/// What hnsw_rs is to compare: vectors of unit length for the cosine, and in the augmented form one more value that gives
/// all the same length (Bachrach et al., RecSys 2014): √(M² − ‖y‖²), M the largest norm. Among those the nearest is the one
/// of the largest inner product, and a query, which has a 0 there, scores as before: so only growth knows of it.
fn points(space: &Space, form: GraphForm) -> (usize, Vec<f32>) {
    let (vectors, norms) = (space.vectors.as_slice(), space.norms.as_slice());
    let rows = vectors.chunks_exact(space.dim).zip(norms);
    match (space.metric, form) {
        (Metric::Cosine, _) => {
            let unit = |norm: f32| if norm > 0.0 { norm } else { 1.0 };
            (space.dim, rows.flat_map(|(vector, norm)| vector.iter().map(move |value| value / unit(*norm))).collect())
        }
        (Metric::Dot, GraphForm::Augmented) => {
            let longest = norms.iter().copied().fold(0.0f32, f32::max);
            let mut points = Vec::with_capacity(vectors.len() + norms.len());
            for (vector, norm) in rows {
                points.extend_from_slice(vector);
                let rest = f64::from(longest).powi(2) - f64::from(*norm).powi(2);
                points.push(rest.max(0.0).sqrt() as f32);
            }
            (space.dim + 1, points)
        }
        _ => (space.dim, vectors.to_vec()),
    }
}

/// Our kernels as hnsw_rs's distance.
enum Nearness {
    Inner,
    Euclidean,
}

impl Distance<f32> for Nearness {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::Inner => falling(dot(a, b)),
            Self::Euclidean => squared_distance(a, b),
        }
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

fn freeze(hnsw: &Hnsw<'_, f32, Nearness>, rows: usize, m: usize) -> (Graph, usize) {
    let indexation = hnsw.get_point_indexation();
    let top = usize::from(hnsw.get_max_level_observed());
    let degree = 2 * m;
    let mut links = vec![NONE; rows * degree];
    // For each layer above the lowest its rows with their neighbours there.
    let mut layers: Vec<Vec<(u32, Vec<u32>)>> = vec![Vec::new(); top];
    let mut levels = vec![0usize; rows];
    let mut root = 0;
    for level in 0..=top {
        for point in indexation.get_layer_iterator(level) {
            let row = point.get_origin_id();
            levels[row] = level;
            if level == top {
                root = row as u32;
            }
            for (layer, neighbours) in point.get_neighborhood_id().into_iter().enumerate().take(level + 1) {
                let mut list = Vec::with_capacity(neighbours.len());
                for neighbour in neighbours {
                    let neighbour = neighbour.d_id as u32;
                    if neighbour as usize != row && !list.contains(&neighbour) {
                        list.push(neighbour);
                    }
                }
                match layer.checked_sub(1) {
                    None => {
                        let places = &mut links[row * degree..(row + 1) * degree];
                        places.iter_mut().zip(list).for_each(|(place, neighbour)| *place = neighbour);
                    }
                    Some(upper) => layers[upper].push((row as u32, list)),
                }
            }
        }
    }
    let linked = link_unreachable(&mut links, degree, root);

    let mut slots: Vec<FxHashMap<u32, u32>> = Vec::with_capacity(top);
    let mut upper_rows = Vec::new();
    for layer in &layers {
        let first = upper_rows.len() as u32;
        slots.push(layer.iter().zip(first..).map(|((row, _), slot)| (*row, slot)).collect());
        upper_rows.extend(layer.iter().map(|(row, _)| *row));
    }
    let mut upper_below = Vec::with_capacity(upper_rows.len());
    let mut upper_links = Vec::with_capacity(upper_rows.len() * m);
    for (upper, layer) in layers.iter().enumerate() {
        for (row, neighbours) in layer {
            let below = upper.checked_sub(1).and_then(|lower| slots[lower].get(row));
            upper_below.push(below.copied().unwrap_or(NONE));
            // hnsw_rs may name a neighbour that is not on this layer: the point from which the layer was entered.
            let known = neighbours.iter().filter_map(|neighbour| slots[upper].get(neighbour).copied());
            upper_links.extend(known.chain(std::iter::repeat(NONE)).take(m));
        }
    }
    let entry = slots.last().and_then(|slots| slots.get(&root)).copied().unwrap_or(NONE);
    let graph = Graph {
        shape: Section::owned(vec![degree as u32, m as u32, entry, root]),
        links: Section::owned(links),
        upper_rows: Section::owned(upper_rows),
        upper_below: Section::owned(upper_below),
        upper_links: Section::owned(upper_links),
    };
    (graph, linked)
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
