//! Vectors as a graph reads them: one byte a value, a scale for each vector, and all of a vector in one record of whole
//! cache lines, so that a step of a walk moves a quarter of the memory that f32 would. What is found by them is scored again
//! in f32; the error of a score by codes is bounded, so that only those that can matter are.
//!
//! A record is `[stride]` bytes, `stride` a multiple of 64: for each value its code + 128, then filler, then the scale and
//! an upper bound of the length of the coded vector (f32, little-endian). A value is about scale · code. Under the cosine
//! the coded vectors have unit length; under the squared distance they are taken from their mean, `centre`.

use super::coding::{encode, worth};
use super::kernel::{code_product, code_products};
use super::pages::Pages;
use super::plan::GraphForm;
use super::section::Section;
use super::space::{Space, euclidean};
use crate::config::Metric;

/// Scale and length at the end of a record.
pub(super) const TRAILER: usize = 8;
/// A record is whole cache lines.
pub(super) const LINE: usize = 64;
/// Longer vectors are not coded: the sums of their products would leave an i32.
pub(super) const LONGEST: usize = 1 << 16;

/// Coded vectors, `[n, stride]`.
pub(super) struct Codes {
    pub dim: usize,
    /// `[n, stride]`
    pub records: Section<u8>,
    /// `[dim]` under the squared distance; else nothing.
    pub centre: Section<f32>,
}

/// Bytes of a record of so many values.
pub(super) fn stride(dim: usize) -> usize {
    (dim + TRAILER).next_multiple_of(LINE)
}

impl Codes {
    /// Codes all vectors of a space, in its order.
    pub fn of(space: &Space) -> Self {
        let (vectors, norms, dim) = (space.vectors.as_slice(), space.norms.as_slice(), space.dim);
        let centre = if space.metric == Metric::L2 { mean(vectors, dim) } else { Vec::new() };
        let stride = stride(dim);
        // A filler of 128 stands for the code 0.
        let mut records = Pages::filled(norms.len() * stride, 0x80);
        let mut values = vec![0.0; dim];
        for ((record, vector), norm) in records.chunks_exact_mut(stride).zip(vectors.chunks_exact(dim)).zip(norms) {
            match space.metric {
                Metric::Dot => values.copy_from_slice(vector),
                Metric::Cosine => {
                    let unit = if *norm > 0.0 { *norm } else { 1.0 };
                    values.iter_mut().zip(vector).for_each(|(value, given)| *value = given / unit);
                }
                Metric::L2 => {
                    values.iter_mut().zip(vector).zip(&centre).for_each(|((value, given), mean)| *value = given - mean)
                }
            }
            let (codes, trailer) = record.split_at_mut(stride - TRAILER);
            let scale = worth(&values);
            codes.iter_mut().zip(encode(&values, scale)).for_each(|(slot, code)| *slot = (code as u8) ^ 0x80);
            trailer[..4].copy_from_slice(&scale.to_le_bytes());
            trailer[4..].copy_from_slice(&length_above(&values).to_le_bytes());
        }
        Self { dim, records: Section::paged(records), centre: Section::owned(centre) }
    }

    /// The same records in another order: the first becomes that of `order[0]`.
    pub fn reordered(&self, order: &[u32]) -> Self {
        let stride = stride(self.dim);
        let mut records = Pages::filled(order.len() * stride, 0);
        records.chunks_exact_mut(stride).zip(order).for_each(|(to, at)| to.copy_from_slice(self.record(*at)));
        Self {
            dim: self.dim,
            records: Section::paged(records),
            centre: Section::owned(self.centre.as_slice().to_vec()),
        }
    }

    /// The largest length of a coded vector.
    pub fn longest(&self) -> f32 {
        let trailers = self.records.as_slice().chunks_exact(stride(self.dim)).map(trailer);
        trailers.fold(0.0, |longest, (_, length)| longest.max(length))
    }

    /// The record at a place.
    #[inline]
    pub fn record(&self, at: u32) -> &[u8] {
        let stride = stride(self.dim);
        let start = at as usize * stride;
        &self.records.as_slice()[start..start + stride]
    }

    /// Readies a query that [`Space::check`] accepts; of unit length for the cosine.
    pub fn query(&self, metric: Metric, query: &[f32]) -> CodedQuery {
        let centred: Vec<f32> = match metric {
            Metric::L2 => query.iter().zip(self.centre.as_slice()).map(|(value, mean)| value - mean).collect(),
            Metric::Dot | Metric::Cosine => query.to_vec(),
        };
        let mut codes = vec![0i8; stride(self.dim)];
        let scale = worth(&centred);
        codes.iter_mut().zip(encode(&centred, scale)).for_each(|(slot, code)| *slot = code as i8);
        let errors: Vec<f32> = centred.iter().zip(&codes).map(|(v, code)| v - scale * f32::from(*code)).collect();
        let mut coded = CodedQuery {
            codes,
            shift: 0,
            scale,
            euclidean: metric == Metric::L2,
            longest: 0.0,
            rest: 0.0,
            length: length_above(&centred),
            error: length_above(&errors),
            root: (self.dim as f32).sqrt(),
        };
        coded.shift = shift(&coded.codes);
        coded
    }

    /// Readies the query that a coded vector itself is, as graphs are grown under `form`. `longest` is the largest length
    /// of a vector.
    pub fn as_query(&self, at: u32, metric: Metric, form: GraphForm, longest: f32, into: &mut CodedQuery) {
        let record = self.record(at);
        into.codes.resize(record.len(), 0);
        for (code, byte) in into.codes.iter_mut().zip(&record[..self.dim]) {
            *code = (byte ^ 0x80) as i8;
        }
        let (scale, length) = trailer(record);
        into.shift = shift(&into.codes);
        into.scale = scale;
        into.euclidean = metric == Metric::L2;
        into.longest = if form == GraphForm::Augmented { longest } else { 0.0 };
        into.rest = rest(into.longest, length);
    }

    /// Scores of the records at `places` for one query, into `scores` of the same length: about the inner product; under
    /// the squared distance about (‖q‖² − ‖q − y‖²) / 2 of the centred vectors, which has the same order.
    #[inline]
    pub fn score(&self, query: &CodedQuery, places: &[u32], products: &mut Vec<i32>, scores: &mut Vec<f32>) {
        let stride = stride(self.dim);
        products.resize(places.len(), 0);
        code_products(&query.codes, self.records.as_slice(), places, products);
        scores.clear();
        for (place, product) in places.iter().zip(&*products) {
            let end = (*place as usize + 1) * stride;
            let (scale, length) = trailer(&self.records.as_slice()[end - TRAILER..end]);
            scores.push(query.score(*product, scale, length));
        }
    }

    /// How far a score by codes may be from that of the vectors at most, with the rounding of either in f32.
    pub fn error(&self, query: &CodedQuery, at: u32) -> f32 {
        let (scale, length) = trailer(self.record(at));
        // q·y − ŝq·ŝy = (q − ŝq)·y + ŝq·(y − ŝy), and no value of y is further than half a scale from its code; a little more
        // for the rounding of the quotient that the code is made of.
        let coded = query.error * length + (query.length + query.error) * 0.5001 * scale * query.root;
        let product = if query.euclidean { (query.length + length).powi(2) } else { query.length * length };
        coded * 1.0001 + (self.dim + 16) as f32 * f32::EPSILON * product
    }

    /// What the score of a query is of its score by codes: the same, or for the squared distance twice it less ‖q‖².
    pub fn finished(&self, query: &CodedQuery, score: f32) -> f32 {
        if query.euclidean { 2.0 * score - query.length * query.length } else { score }
    }
}

/// One query in codes.
#[derive(Default)]
pub(super) struct CodedQuery {
    /// `[stride]`, zero beyond the values.
    codes: Vec<i8>,
    /// What the 128 that is added to every code of a record adds to a product.
    shift: i32,
    scale: f32,
    euclidean: bool,
    /// For growth in the augmented form the largest length of a vector, else 0, and the value that the query has in the
    /// dimension that the form adds.
    longest: f32,
    rest: f32,
    /// The length of the query, of what its codes miss, and √dim: for the bound of the error.
    length: f32,
    error: f32,
    root: f32,
}

impl CodedQuery {
    #[inline]
    fn score(&self, product: i32, scale: f32, length: f32) -> f32 {
        let inner = (product - self.shift) as f32 * (self.scale * scale);
        if self.euclidean {
            inner - 0.5 * length * length
        } else if self.rest > 0.0 {
            inner + self.rest * rest(self.longest, length)
        } else {
            inner
        }
    }
}

/// The value in the dimension that the augmented form adds (Bachrach et al., RecSys 2014): √(M² − ‖y‖²).
fn rest(longest: f32, length: f32) -> f32 {
    (longest * longest - length * length).max(0.0).sqrt()
}

/// The nearness of two records, as graphs are grown: about the inner product; for the squared distance minus half of it.
pub(super) fn nearness(a: &[u8], b: &[u8], euclidean: bool, longest: f32) -> f32 {
    let ((a_scale, a_length), (b_scale, b_length)) = (trailer(a), trailer(b));
    let inner = code_product(a, b) as f32 * (a_scale * b_scale);
    if euclidean {
        inner - 0.5 * (a_length * a_length + b_length * b_length)
    } else if longest > 0.0 {
        inner + rest(longest, a_length) * rest(longest, b_length)
    } else {
        inner
    }
}

/// Scale and length of a record (or of its end).
#[inline]
pub(super) fn trailer(record: &[u8]) -> (f32, f32) {
    match record.last_chunk::<TRAILER>() {
        Some([a, b, c, d, e, f, g, h]) => (f32::from_le_bytes([*a, *b, *c, *d]), f32::from_le_bytes([*e, *f, *g, *h])),
        None => (0.0, 0.0),
    }
}

fn shift(codes: &[i8]) -> i32 {
    128 * codes.iter().map(|code| i32::from(*code)).sum::<i32>()
}

/// The Euclidean length, rounded up.
fn length_above(values: &[f32]) -> f32 {
    (euclidean(values) as f32) * (1.0 + f32::EPSILON) + f32::MIN_POSITIVE
}

fn mean(vectors: &[f32], dim: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; dim];
    for vector in vectors.chunks_exact(dim) {
        sums.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let count = (vectors.len() / dim).max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::linalg::Rows;

    /// Magnitudes that differ by powers of ten within a vector and between them, and zeros.
    fn vectors() -> impl Strategy<Value = (usize, Vec<f32>)> {
        let value = prop_oneof![(-2i8..3).prop_map(f32::from), (-3.0f32..3.0), (-6i32..6).prop_map(|e| 10f32.powi(e))];
        (1usize..80).prop_flat_map(move |dim| {
            prop::collection::vec(prop::collection::vec(value.clone(), dim), 2..12)
                .prop_map(move |rows| (dim, rows.concat()))
        })
    }

    proptest! {
        #[test]
        fn no_score_lies_beyond_the_bound_of_its_codes((dim, data) in vectors(), metric in 0usize..2) {
            let metric = [Metric::Dot, Metric::Cosine][metric];
            let space = Space::new(Rows::new(dim, &data).unwrap(), metric).unwrap();
            let codes = Codes::of(&space);
            let probe = space.probe(&data[..dim]);
            let query = codes.query(metric, probe.query());
            let (mut products, mut scores) = (Vec::new(), Vec::new());
            let places: Vec<u32> = (0..space.len() as u32).collect();
            codes.score(&query, &places, &mut products, &mut scores);
            for (place, score) in places.iter().zip(scores) {
                let bound = codes.finished(&query, score + codes.error(&query, *place));
                let exact = probe.hit(*place).score;
                prop_assert!(exact <= bound, "{} > {}", exact, bound);
            }
        }
    }

    #[test]
    fn far_from_the_origin_the_squared_distance_still_tells_vectors_apart() {
        let data: Vec<f32> = (0..64).map(|at| 1000.0 + (at % 8) as f32 + (at / 8) as f32 * 0.1).collect();
        let space = Space::new(Rows::new(2, &data).unwrap(), Metric::L2).unwrap();
        let codes = Codes::of(&space);
        for at in 0..space.len() as u32 {
            let query = codes.query(Metric::L2, space.rows().unwrap().row(at as usize));
            let (mut products, mut scores) = (Vec::new(), Vec::new());
            let places: Vec<u32> = (0..space.len() as u32).collect();
            codes.score(&query, &places, &mut products, &mut scores);
            let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert!(scores[at as usize] >= best - 0.05, "{at}: {scores:?}");
        }
    }
}
