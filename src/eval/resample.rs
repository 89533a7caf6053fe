//! Confidence intervals by resampling users with replacement (percentile bootstrap, Efron & Tibshirani 1993, ch. 13).
//! All figures are resampled together, so that their differences are paired.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::config::EvaluateConfig;

/// A figure of users, numbered from 0.
pub enum Column {
    /// A value for each user; the figure is their mean.
    Mean(Vec<f32>),
    /// A sum over a sum; the figure is their ratio. Users may be absent, or be there more than once.
    Ratio(Vec<Part>),
}

/// What a user adds to a ratio.
#[derive(Clone, Copy)]
pub struct Part {
    /// The user's number.
    pub user: u32,
    /// Added above the line.
    pub of: f32,
    /// Added below the line.
    pub over: f32,
}

/// A figure with the ends of its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The figure itself.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Figures, and what they are on each resampling.
pub struct Resampled {
    figures: Vec<f64>,
    /// `[run][column]`.
    runs: Vec<Vec<f64>>,
    tail: f64,
}

impl Resampled {
    /// Resamples all columns. Each run has a random generator of its own, so that the intervals do not depend on the
    /// number of threads. Cost: runs × entries of all columns.
    pub fn of(columns: &[Column], users: usize, config: &EvaluateConfig) -> Self {
        let figures = |weights: &[f32]| columns.iter().map(|column| figure(column, weights)).collect();
        let run = |weights: &mut Vec<f32>, run: usize| {
            let mut random = ChaCha8Rng::seed_from_u64(config.seed);
            random.set_stream(run as u64);
            weights.clear();
            weights.resize(users, 0.0);
            for _ in 0..users {
                if let Some(weight) = weights.get_mut(random.random_range(0..users as u32) as usize) {
                    *weight += 1.0;
                }
            }
            figures(weights)
        };
        Self {
            figures: figures(&vec![1.0; users]),
            runs: (0..config.bootstrap).into_par_iter().map_init(Vec::new, run).collect(),
            tail: (1.0 - config.confidence) / 2.0,
        }
    }

    /// A column's figure.
    pub fn interval(&self, column: usize) -> Interval {
        self.of_runs(&|figures| figures.get(column).copied())
    }

    /// The difference of two columns, `b` minus `a`.
    pub fn difference(&self, a: usize, b: usize) -> Interval {
        self.of_runs(&|figures| Some(figures.get(b)? - figures.get(a)?))
    }

    fn of_runs(&self, value: &dyn Fn(&[f64]) -> Option<f64>) -> Interval {
        let mean = value(&self.figures).unwrap_or(0.0);
        let mut values: Vec<f64> = self.runs.iter().filter_map(|run| value(run)).filter(|v| v.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| percentile(&values, share).unwrap_or(mean);
        Interval { mean, low: at(self.tail), high: at(1.0 - self.tail) }
    }
}

/// NaN for a ratio over nothing: a resampling without any user of a small slice says nothing about it.
fn figure(column: &Column, weights: &[f32]) -> f64 {
    match column {
        Column::Mean(values) => weighted_sum(values, weights) / weights.len().max(1) as f64,
        Column::Ratio(parts) => {
            let sums = parts.iter().fold((0.0, 0.0), |(of, over), part| {
                let weight = f64::from(weights.get(part.user as usize).copied().unwrap_or(0.0));
                (of + weight * f64::from(part.of), over + weight * f64::from(part.over))
            });
            sums.0 / sums.1
        }
    }
}

/// In four sums, which do not wait for one another.
fn weighted_sum(values: &[f32], weights: &[f32]) -> f64 {
    let (values, rest) = values.as_chunks::<4>();
    let (weights, rest_weights) = weights.as_chunks::<4>();
    let product = |value: f32, weight: f32| f64::from(value) * f64::from(weight);
    let mut sums = [0.0; 4];
    for (value, weight) in values.iter().zip(weights) {
        for ((sum, value), weight) in sums.iter_mut().zip(value).zip(weight) {
            *sum += product(*value, *weight);
        }
    }
    sums.iter().sum::<f64>()
        + rest.iter().zip(rest_weights).map(|(value, weight)| product(*value, *weight)).sum::<f64>()
}

fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((share * last as f64).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> EvaluateConfig {
        EvaluateConfig { bootstrap: 2000, ..EvaluateConfig::default() }
    }

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_theory_says() {
        let values: Vec<f32> = (0..400).map(|user| f32::from(u8::from(user % 4 == 0))).collect();
        let interval = Resampled::of(&[Column::Mean(values)], 400, &config()).interval(0);
        let wanted = 1.96 * (0.25f64 * 0.75 / 400.0).sqrt();
        assert_eq!(interval.mean, 0.25);
        assert!(((interval.high - interval.low) / 2.0 - wanted).abs() < 0.005, "{interval:?}");
    }

    #[test]
    fn a_ratio_is_of_sums_and_its_users_are_drawn_whole() {
        // Half of the users have all hits: the pairs are many, but the interval is that of 20 users.
        let parts: Vec<_> = (0..20u16).flat_map(|user| vec![(user, f32::from(user % 2)); 50]).collect();
        let parts = parts.into_iter().map(|(user, of)| Part { user: u32::from(user), of, over: 1.0 }).collect();
        let interval = Resampled::of(&[Column::Ratio(parts)], 20, &config()).interval(0);
        assert_eq!(interval.mean, 0.5);
        assert!(interval.low < 0.35 && interval.high > 0.65, "{interval:?}");
    }

    #[test]
    fn differences_are_paired() {
        let a: Vec<f32> = (0..50u8).map(f32::from).collect();
        let b = a.iter().map(|value| value + 1.0).collect();
        let difference = Resampled::of(&[Column::Mean(a), Column::Mean(b)], 50, &config()).difference(0, 1);
        assert!((difference.low - 1.0).abs() < 1e-9 && (difference.high - 1.0).abs() < 1e-9, "{difference:?}");
    }
}
