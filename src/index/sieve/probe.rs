//! A query readied for the sieve: its codes, and what each bound of a vector counts for.

use std::cell::OnceCell;

use super::kernel::{Coded, GROUP, OFFSET};
use super::{Sieve, down, rounding, up};
use crate::config::Metric;
use crate::index::coding::{encode, worth};
use crate::index::space::{self, euclidean};
use crate::linalg::combine;

/// One query against the sieve.
pub struct Probe<'a> {
    sieve: &'a Sieve,
    /// Scores exactly.
    pub exact: space::Probe<'a>,
    /// The query, doubled under L2.
    query: Vec<f32>,
    length: f64,
    lead: OnceCell<Coded>,
    /// By the codes of all dimensions; there is no `per_rest`. Empty where the lead has them all.
    pub full: Coded,
    /// ‖q‖², by which scores under L2 are less than bounds.
    square: f64,
}

impl<'a> Probe<'a> {
    pub fn new(sieve: &'a Sieve, exact: space::Probe<'a>) -> Self {
        let mut query = exact.query().to_vec();
        let square = if exact.metric() == Metric::L2 {
            let square = euclidean(&query).powi(2) * (1.0 - 2.0 * rounding(query.len()));
            query.iter_mut().for_each(|value| *value *= 2.0);
            square
        } else {
            0.0
        };
        let length = euclidean(&query);
        let full = if sieve.axes.as_slice().is_empty() {
            Coded::default()
        } else {
            coded(&query, query.len(), rounding(query.len()) * length, length, 0.0)
        };
        Self { sieve, exact, query, length, lead: OnceCell::new(), full, square }
    }

    /// By the codes of the leading dimensions. Only a scan that gets beyond its head turns the query for them.
    pub fn lead(&self) -> &Coded {
        self.lead.get_or_init(|| {
            let slack = rounding(self.query.len()) * self.length;
            if self.sieve.axes.as_slice().is_empty() {
                return coded(&self.query, self.sieve.lead(), slack, self.length, 0.0);
            }
            let mut turned = vec![0.0; self.sieve.lead()];
            combine(&self.query, self.sieve.columns(), &mut turned);
            let (turn, skew) = (slack * (turned.len() as f64).sqrt(), f64::from(self.sieve.skew()));
            let within = euclidean(&turned);
            // The true Rq is within `turn` of the one computed.
            let outside = self.length * self.length - (1.0 - skew) * (within - turn).max(0.0).powi(2);
            coded(&turned, turned.len(), slack + turn, within + turn, outside.max(0.0).sqrt())
        })
    }

    /// What a bound must reach where a score must reach `score`.
    pub fn threshold(&self, score: f32) -> f32 {
        // Products that leave the range of f32 at its lower end are off by about the smallest number of full precision.
        down(f64::from(score) + self.square - 4.0 * f64::from(f32::MIN_POSITIVE))
    }
}

/// The codes of `values`, filled up with zeros to `length`. `slack` is what each bound must have to spare for a vector of
/// length 1, `within` and `outside` are the norms of the query inside and outside the directions that are coded.
fn coded(values: &[f32], length: usize, slack: f64, within: f64, outside: f64) -> Coded {
    let scale = worth(values);
    let mut codes = vec![0i8; length.next_multiple_of(GROUP)];
    codes.iter_mut().zip(encode(values, scale)).for_each(|(slot, code)| *slot = code as i8);
    let excess = OFFSET * codes.iter().map(|code| i32::from(*code)).sum::<i32>();
    let off = values.iter().zip(&codes).map(|(value, code)| f64::from(*value) - f64::from(scale) * f64::from(*code));
    let error = off.map(|off| off * off).sum::<f64>().sqrt();
    Coded {
        codes,
        excess,
        scale,
        per_norm: up(error + slack),
        per_error: up(within + error + slack),
        per_rest: up(outside),
    }
}
