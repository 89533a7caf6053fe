//! Which directions to look at first, and how many: the principal axes of the vectors, and the number of them that makes
//! sample queries cheapest.

use rayon::prelude::*;

use super::kernel::GROUP;
use super::{rounding, up};
use crate::config::Metric;
use crate::error::Result;
use crate::index::space::{Space, euclidean};
use crate::index::top::{Hit, Top};
use crate::linalg::{Matrix, Rows, dot, gramian_f64, project, symmetric_eigen};

/// The leading directions.
pub struct Axes {
    /// How many, a multiple of four.
    pub lead: usize,
    /// `[lead, dim]`; empty for all dimensions as they are.
    pub rows: Vec<f32>,
    /// ‖RRᵀ − I‖, rounded up.
    pub skew: f32,
}

/// Numbers of leading directions that are tried.
const LEADS: [usize; 8] = [16, 32, 48, 64, 96, 128, 192, 256];
/// Fewer dimensions than this are looked at all at once.
const FEWEST: usize = 24;
/// Vectors whose principal axes are taken, evenly from all.
const AXES_SAMPLE: usize = 1 << 15;
/// With more dimensions, a smaller sample is turned into axes by its inner products.
const WIDE: usize = 1024;
/// Vectors and queries on which the number of directions is chosen.
const COST_SAMPLE: usize = 4096;
const QUERIES: usize = 32;
/// Bytes of codes that a processor's caches are taken to keep between queries.
const CACHE: usize = 16 << 20;
/// What the scan is expected to find.
const K: usize = 10;

impl Axes {
    /// Chooses for the vectors of `space`, which the scan meets in `order` (empty for their own).
    pub fn choose(space: &Space, order: &[u32], queries: Option<Rows<'_>>) -> Result<Self> {
        let plain = Self::plain(space.dim);
        if space.dim < FEWEST || space.len() < 2 * K {
            return Ok(plain);
        }
        let axes = principal(sample(space, order, AXES_SAMPLE)?.as_rows())?;
        let queries = example_queries(space, queries)?;
        if queries.is_empty() {
            return Ok(plain);
        }
        let lead = cheapest(space, order, axes.as_rows(), &queries)?;
        Ok(if lead == space.dim { plain } else { Self::leading(&axes, lead) })
    }

    /// All dimensions as they are.
    pub fn plain(dim: usize) -> Self {
        Self { lead: dim.next_multiple_of(GROUP), rows: Vec::new(), skew: 0.0 }
    }

    fn leading(axes: &Matrix, lead: usize) -> Self {
        let rows = axes.data()[..lead * axes.dim()].to_vec();
        let skew = skew(&rows, axes.dim());
        Self { lead, rows, skew }
    }

    #[cfg(test)]
    pub fn principal(space: &Space, order: &[u32], lead: usize) -> Result<Self> {
        Ok(Self::leading(&principal(sample(space, order, AXES_SAMPLE)?.as_rows())?, lead))
    }
}

/// Up to `most` vectors, evenly over the order of the scan.
fn sample(space: &Space, order: &[u32], most: usize) -> Result<Matrix> {
    let count = space.len().min(most);
    let mut data = Vec::with_capacity(count * space.dim);
    for at in 0..count {
        let place = at * space.len() / count;
        space.extend_point(&mut data, order.get(place).map_or(place, |row| *row as usize));
    }
    Matrix::new(space.dim, data)
}

/// The principal axes of `points`, the strongest first, of length 1.
fn principal(points: Rows<'_>) -> Result<Matrix> {
    let dim = points.dim();
    if dim <= WIDE {
        let (_, axes) = symmetric_eigen(&gramian_f64(points), dim)?;
        return Matrix::new(dim, axes.into_iter().map(|value| value as f32).collect());
    }
    // Axes of so wide vectors are sums of sample vectors: the eigenvectors of their inner products say which.
    let count = points.len().min(WIDE / 2);
    let mut few = Vec::with_capacity(count * dim);
    for at in 0..count {
        few.extend_from_slice(points.row(at * points.len() / count));
    }
    let products = project(Rows::new(dim, &few)?, &few);
    let products: Vec<f64> = products.data().iter().map(|value| f64::from(*value)).collect();
    let (_, weights) = symmetric_eigen(&products, count)?;
    let mut axes = Matrix::zeros(count.min(LEADS[LEADS.len() - 1]), dim);
    for at in 0..axes.rows() {
        let mut axis = vec![0.0f64; dim];
        for (weight, point) in weights[at * count..(at + 1) * count].iter().zip(few.chunks_exact(dim)) {
            axis.iter_mut().zip(point).for_each(|(sum, value)| *sum += weight * f64::from(*value));
        }
        // What rounding left of earlier axes goes; a direction that is only rounding is none.
        for earlier in 0..at {
            let earlier = axes.row(earlier);
            let along: f64 = axis.iter().zip(earlier).map(|(a, b)| a * f64::from(*b)).sum();
            axis.iter_mut().zip(earlier).for_each(|(a, b)| *a -= along * f64::from(*b));
        }
        let length = axis.iter().map(|value| value * value).sum::<f64>().sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        axes.row_mut(at).iter_mut().zip(&axis).for_each(|(to, from)| *to = (from * scale) as f32);
    }
    Ok(axes)
}

/// ‖RRᵀ − I‖ by its Frobenius norm, in f64, rounded up.
fn skew(axes: &[f32], dim: usize) -> f32 {
    let mut squares = 0.0;
    for (i, a) in axes.chunks_exact(dim).enumerate() {
        for (j, b) in axes.chunks_exact(dim).enumerate().take(i + 1) {
            let product: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let off = product - if i == j { 1.0 } else { 0.0 };
            squares += if i == j { off * off } else { 2.0 * off * off };
        }
    }
    up(squares.sqrt() * (1.0 + 1e-9) + 1e-12)
}

/// A few queries, evenly from those there are, else vectors of the space; none that is zero.
fn example_queries(space: &Space, queries: Option<Rows<'_>>) -> Result<Vec<Vec<f32>>> {
    let rows = match queries {
        Some(queries) if !queries.is_empty() => queries,
        _ => space.rows()?,
    };
    let count = rows.len().min(QUERIES);
    let mut examples = Vec::with_capacity(count);
    for at in 0..count {
        let query = rows.row(at * rows.len() / count);
        if space.check(query).is_ok() && query.iter().any(|value| *value != 0.0) {
            examples.push(space.probe(query).query().to_vec());
        }
    }
    Ok(examples)
}

/// The number of directions that makes `queries` cheapest; all dimensions if none does better than looking at all.
fn cheapest(space: &Space, order: &[u32], axes: Rows<'_>, queries: &[Vec<f32>]) -> Result<usize> {
    let dim = space.dim;
    let points = sample(space, order, COST_SAMPLE)?;
    let turned = project(points.as_rows(), axes.data());
    let mut leads: Vec<usize> = LEADS.into_iter().filter(|lead| *lead * 10 <= dim * 8 && *lead <= axes.len()).collect();
    leads.push(dim);
    let costs_of = |query: &Vec<f32>| {
        // Turning the query reads all axes once, for all vectors together.
        let share = points.rows() as f64 / space.len() as f64;
        let turn = |lead: &usize| if *lead == dim { 0.0 } else { share * (4 * lead * dim) as f64 };
        let mut costs: Vec<f64> = leads.iter().map(turn).collect();
        let thresholds = thresholds(space, order, query, points.rows());
        let turned_query: Vec<f32> = (0..axes.len()).map(|axis| dot(axes.row(axis), query)).collect();
        let length = euclidean(query);
        for (at, threshold) in thresholds.into_iter().enumerate() {
            let point = points.row(at);
            let own = euclidean(point);
            let needed = match space.metric {
                Metric::L2 => (threshold + length * length + own * own) / 2.0,
                Metric::Dot | Metric::Cosine => threshold,
            };
            let touched = space.metric != Metric::Dot || length * own * (1.0 + rounding(dim)) >= needed;
            if !touched {
                continue;
            }
            let z = turned.row(at);
            // What codes of eight bits are off by, roughly.
            let blur = 0.01 * length * own;
            let (mut inner, mut z_left, mut q_left, mut seen) = (0.0, own * own, length * length, 0);
            for (lead, cost) in leads.iter().zip(&mut costs) {
                if *lead == dim {
                    let product = f64::from(dot(point, query));
                    *cost += sift_cost(*lead) + if product + blur >= needed { score_cost(dim) } else { 0.0 };
                    continue;
                }
                for (a, b) in z[seen..*lead].iter().zip(&turned_query[seen..*lead]) {
                    let (a, b) = (f64::from(*a), f64::from(*b));
                    inner += a * b;
                    z_left -= a * a;
                    q_left -= b * b;
                }
                seen = *lead;
                let bound = inner + (z_left.max(0.0) * q_left.max(0.0)).sqrt() + blur;
                *cost += sift_cost(*lead) + if bound >= needed { code_cost(space) } else { 0.0 };
            }
        }
        costs
    };
    let of_queries: Vec<Vec<f64>> = queries.par_iter().map(costs_of).collect();
    let costs: Vec<f64> = (0..leads.len()).map(|lead| of_queries.iter().map(|costs| costs[lead]).sum()).collect();
    let cheapest = costs.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
    Ok(cheapest.map_or(dim, |(at, _)| leads[at]))
}

/// What it costs to sift a vector by so many directions, to bound it by its codes, and to score it: bytes read, where what
/// is read out of turn counts as some more: measured on two processors where caches keep the codes; where they do not, codes
/// count four times as much, which chooses well on word vectors (`benches/peers/ann.sh --only glove`).
fn sift_cost(lead: usize) -> f64 {
    (lead + 16) as f64
}

fn code_cost(space: &Space) -> f64 {
    let is_cached = space.len() * space.dim <= CACHE;
    (if is_cached { 600.0 } else { 2400.0 }) + space.dim as f64
}

fn score_cost(dim: usize) -> f64 {
    1200.0 + 4.0 * dim as f64
}

/// The score of the tenth best vector that a scan has come by when it reaches each of `count` places, evenly over its order.
/// Early in a scan little is ruled out.
fn thresholds(space: &Space, order: &[u32], query: &[f32], count: usize) -> Vec<f64> {
    let probe = space.probe(query);
    let mut top = Top::new(K, K);
    let mut thresholds = Vec::with_capacity(count);
    for place in 0..space.len() {
        if place == thresholds.len() * space.len() / count.max(1) {
            thresholds.push(top.threshold().map_or(f64::NEG_INFINITY, f64::from));
        }
        let hit: Hit = probe.hit(order.get(place).map_or(place as u32, |row| *row));
        if top.accepts(hit) {
            top.push(hit);
        }
    }
    thresholds
}
