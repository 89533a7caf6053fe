//! The vectors of an index and how they are compared: the metric, exact f32 scores, and for the inner product the order by
//! norm that lets a scan stop early. Search structures (`scan`, `graph`) score through it and know no metric themselves.

use rayon::prelude::*;

use super::kernel::squared_distance;
use super::section::Section;
use super::top::Hit;
use crate::config::Metric;
use crate::error::{Error, Result};
use crate::linalg::{Matrix, Rows, dot};

/// `n` vectors under a metric.
pub(super) struct Space {
    pub metric: Metric,
    pub dim: usize,
    /// `[n, dim]`, row-major, as given.
    pub vectors: Section<f32>,
    /// `[n]`: Euclidean norms.
    pub norms: Section<f32>,
}

impl Space {
    /// [`of`](Self::of) a copy of the vectors.
    #[cfg(test)]
    pub fn new(rows: Rows<'_>, metric: Metric) -> Result<Self> {
        Self::of(Matrix::new(rows.dim(), rows.data().to_vec())?, metric)
    }

    /// Takes the vectors. A value that is not finite, or a vector whose squared norm no f32 holds, is an error that names
    /// the row.
    pub fn of(vectors: Matrix, metric: Metric) -> Result<Self> {
        let (rows, count) = (vectors.as_rows(), vectors.rows());
        if u32::try_from(count).map_or(true, |count| count == u32::MAX) {
            return Err(Error::invalid("vectors", format!("are {count}, an index holds up to {}", u32::MAX - 1)));
        }
        if rows.dim() > WIDEST {
            let reason = format!("have {} values, an index holds vectors of up to {WIDEST}", rows.dim());
            return Err(Error::invalid("vectors", reason));
        }
        let mut norms = Vec::with_capacity(count);
        for row in 0..count {
            norms.push(norm(rows.row(row)).map_err(|error| error.within(&format!("vectors[{row}]")))?);
        }
        Ok(Self {
            metric,
            dim: vectors.dim(),
            vectors: Section::owned(vectors.into_data()),
            norms: Section::owned(norms),
        })
    }

    /// Appends the vector of a row as inner products see it: of unit length for the cosine, where zero stays zero.
    pub fn extend_point(&self, to: &mut Vec<f32>, row: usize) {
        let vector = &self.vectors.as_slice()[row * self.dim..(row + 1) * self.dim];
        match (self.metric, self.norms.as_slice()[row]) {
            (Metric::Cosine, norm) if norm > 0.0 => to.extend(vector.iter().map(|value| value / norm)),
            _ => to.extend_from_slice(vector),
        }
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.norms.as_slice().len()
    }

    /// The vectors, `[n, dim]`.
    pub fn rows(&self) -> Result<Rows<'_>> {
        Rows::new(self.dim, self.vectors.as_slice())
    }

    /// Checks a query: its length, that its values are finite, and that scores will be.
    pub fn check(&self, query: &[f32]) -> Result<()> {
        if query.len() != self.dim {
            return Err(Error::invalid("vector", format!("has {} values, expected {}", query.len(), self.dim)));
        }
        norm(query).map(|_| ()).map_err(|error| error.within("vector"))
    }

    /// Checks vectors that come from a file: such as an index takes, with norms that are theirs.
    pub fn check_all(&self) -> std::result::Result<(), &'static str> {
        let vectors = self.vectors.as_slice().par_chunks_exact(self.dim);
        let fits =
            |(vector, stated): (&[f32], &f32)| norm(vector).is_ok_and(|norm| (norm - stated).abs() <= 1e-5 * norm);
        if vectors.zip(self.norms.as_slice()).all(fits) { Ok(()) } else { Err("a norm is not that of its vector") }
    }

    /// Readies a query that [`check`](Self::check) accepts.
    pub fn probe<'a>(&'a self, query: &[f32]) -> Probe<'a> {
        Probe {
            dim: self.dim,
            vectors: self.vectors.as_slice(),
            norms: self.norms.as_slice(),
            scorer: Scorer::new(self.metric, query),
        }
    }
}

/// One query, and how vectors score by it.
pub(super) struct Scorer {
    metric: Metric,
    /// Of unit length for the cosine.
    query: Vec<f32>,
    /// No inner product with a vector exceeds so many times its norm, rounding included.
    reach: f32,
}

impl Scorer {
    /// For a query without values that are not finite.
    pub fn new(metric: Metric, query: &[f32]) -> Self {
        let length = norm(query).unwrap_or(0.0);
        // An inner product of d terms in f32 is off by at most about d · 2⁻²⁴ · ‖q‖ ‖y‖ (Higham, Accuracy and Stability of
        // Numerical Algorithms, section 3.1); twice that covers the rounding of the two norms as well.
        let reach = length * (1.0 + (query.len() + 8) as f32 * f32::EPSILON);
        let query = match metric {
            Metric::Cosine if length > 0.0 => query.iter().map(|value| value / length).collect(),
            _ => query.to_vec(),
        };
        Self { metric, query, reach }
    }

    /// The score of a vector of this norm. The cosine of a zero vector is 0 with every other.
    #[inline]
    pub fn score(&self, vector: &[f32], norm: f32) -> f32 {
        let score = match self.metric {
            Metric::Dot => dot(&self.query, vector),
            Metric::Cosine if norm > 0.0 => (dot(&self.query, vector) / norm).clamp(-1.0, 1.0),
            Metric::Cosine => 0.0,
            Metric::L2 => -squared_distance(&self.query, vector),
        };
        // Adding 0 turns −0 into +0: they are equal, so their rows decide, and not their signs.
        score + 0.0
    }

    /// A bound of the inner product with any vector of this norm, rounding included (Cauchy–Schwarz).
    #[inline]
    pub fn bound(&self, norm: f32) -> f32 {
        self.reach * norm + f32::MIN_POSITIVE
    }

    /// A bound of the score of a vector of this norm: that of the inner product; infinite under other metrics.
    #[inline]
    pub fn score_bound(&self, norm: f32) -> f32 {
        if self.metric == Metric::Dot { self.bound(norm) } else { f32::INFINITY }
    }
}

/// One query against a space. Rows must be below [`Space::len`].
pub(super) struct Probe<'a> {
    dim: usize,
    vectors: &'a [f32],
    norms: &'a [f32],
    scorer: Scorer,
}

impl<'a> Probe<'a> {
    /// The query as vectors are scored with it: of unit length for the cosine.
    pub fn query(&self) -> &[f32] {
        &self.scorer.query
    }

    /// How they are scored.
    pub fn metric(&self) -> Metric {
        self.scorer.metric
    }

    /// How many vectors there are.
    pub fn rows(&self) -> usize {
        self.norms.len()
    }

    /// Values of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The vector of a row.
    #[inline]
    pub fn vector(&self, row: u32) -> &'a [f32] {
        let start = row as usize * self.dim;
        &self.vectors[start..start + self.dim]
    }

    /// A row with its score.
    #[inline]
    pub fn hit(&self, row: u32) -> Hit {
        Hit { row, score: self.scorer.score(self.vector(row), self.norms[row as usize]) }
    }

    /// A bound of the inner product with any vector of this norm, rounding included (Cauchy–Schwarz).
    #[inline]
    pub fn bound(&self, norm: f32) -> f32 {
        self.scorer.bound(norm)
    }

    /// A bound of the score of a row, without a look at its vector; infinite under other metrics.
    pub fn bound_of(&self, row: u32) -> f32 {
        self.scorer.score_bound(self.norms[row as usize])
    }
}

/// Rows by falling norm, equal norms by row.
pub(super) fn by_falling_norm(norms: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..norms.len() as u32).collect();
    order.sort_by(|a, b| norms[*b as usize].total_cmp(&norms[*a as usize]));
    order
}

/// The Euclidean norm, summed in f64.
pub(super) fn euclidean(vector: &[f32]) -> f64 {
    let (chunks, rest) = vector.as_chunks::<8>();
    let mut sums = [0.0f64; 8];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += f64::from(*value) * f64::from(*value));
    }
    let rest: f64 = rest.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    (sums.iter().sum::<f64>() + rest).sqrt()
}

/// The Euclidean norm. Values up to 10¹⁸ or so: then no inner product or squared distance of two vectors leaves f32.
fn norm(vector: &[f32]) -> Result<f32> {
    // Without a branch for each, so that many are looked at at once.
    if !vector.iter().fold(true, |all, value| all & value.is_finite()) {
        let at = vector.iter().position(|value| !value.is_finite()).unwrap_or(0);
        return Err(Error::invalid("", format!("value {at} is {}, expected finite numbers", vector[at])));
    }
    let norm = euclidean(vector);
    if norm > LONGEST {
        return Err(Error::invalid("", format!("has the length {norm:.1e}, expected at most {LONGEST:e}")));
    }
    Ok(norm as f32)
}

/// Sums of products of 8-bit codes stay within 32 bits.
const WIDEST: usize = 32_768;

/// (2 · LONGEST)² is still an f32.
const LONGEST: f64 = 9e18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_finite_is_refused_by_its_row() {
        let rows = Rows::new(2, &[0.0, 1.0, f32::NAN, 2.0]).unwrap();
        let error = Space::new(rows, Metric::Dot).err().unwrap().to_string();
        assert_eq!(error, "vectors[1]: value 0 is NaN, expected finite numbers");
        let rows = Rows::new(1, &[1e30]).unwrap();
        assert!(
            Space::new(rows, Metric::L2).err().unwrap().to_string().contains("[0]: has the length 1.0e30, expected")
        );
    }

    #[test]
    fn the_longest_vectors_have_finite_scores() {
        for metric in [Metric::Dot, Metric::Cosine, Metric::L2] {
            let space = Space::new(Rows::new(1, &[8.9e18]).unwrap(), metric).unwrap();
            assert!(space.probe(&[-8.9e18]).hit(0).score.is_finite(), "{metric:?}");
        }
    }

    #[test]
    fn a_zero_vector_has_cosine_zero() {
        let space = Space::new(Rows::new(2, &[0.0, 0.0, 3.0, 4.0]).unwrap(), Metric::Cosine).unwrap();
        let probe = space.probe(&[6.0, 8.0]);
        assert_eq!((probe.hit(0).score, probe.hit(1).score), (0.0, 1.0));
        assert_eq!(space.probe(&[0.0, 0.0]).hit(1).score, 0.0);
    }
}
