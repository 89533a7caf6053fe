//! Confidence intervals by resampling users with replacement (percentile bootstrap, Efron & Tibshirani 1993, ch. 13).
//! All models are resampled together, so that their differences are paired.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::config::EvaluateConfig;

/// Mean, low and high end.
type Interval = (f64, f64, f64);

/// Intervals of each model's metrics, and of each later model's difference to the first.
pub struct Intervals {
    pub means: Vec<Vec<Interval>>,
    pub differences: Vec<Vec<Interval>>,
}

/// `columns[model][metric][user]`. Each resampling has a random generator of its own, so that the intervals do not depend
/// on the number of threads.
pub fn intervals(columns: &[Vec<Vec<f32>>], config: &EvaluateConfig) -> Intervals {
    let users = columns.first().and_then(|model| model.first()).map_or(0, Vec::len);
    let resampled: Vec<Vec<Vec<f64>>> = (0..config.bootstrap)
        .into_par_iter()
        .map(|run| {
            let mut random = ChaCha8Rng::seed_from_u64(config.seed);
            random.set_stream(run as u64);
            let sample: Vec<u32> = (0..users).map(|_| random.random_range(0..users as u32)).collect();
            let mean = |column: &Vec<f32>| mean_of(sample.iter().filter_map(|user| column.get(*user as usize)), users);
            columns.iter().map(|model| model.iter().map(mean).collect()).collect()
        })
        .collect();
    let interval = |mean: f64, of_run: &dyn Fn(&Vec<Vec<f64>>) -> Option<f64>| {
        let mut values: Vec<f64> = resampled.iter().filter_map(of_run).collect();
        values.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - config.confidence) / 2.0;
        (mean, percentile(&values, tail).unwrap_or(mean), percentile(&values, 1.0 - tail).unwrap_or(mean))
    };
    let mean = |model: usize, metric: usize| {
        columns.get(model).and_then(|model| model.get(metric)).map_or(0.0, |column| mean_of(column.iter(), users))
    };
    let value = |run: &Vec<Vec<f64>>, model: usize, metric: usize| run.get(model)?.get(metric).copied();
    let metrics = columns.first().map_or(0, Vec::len);
    let of_model = |model: usize| {
        let metric = |metric| interval(mean(model, metric), &|run| value(run, model, metric));
        (0..metrics).map(metric).collect()
    };
    let difference = |model: usize| {
        let metric = |metric| {
            let run = |run: &Vec<Vec<f64>>| Some(value(run, model, metric)? - value(run, 0, metric)?);
            interval(mean(model, metric) - mean(0, metric), &run)
        };
        (0..metrics).map(metric).collect()
    };
    Intervals {
        means: (0..columns.len()).map(of_model).collect(),
        differences: (1..columns.len()).map(difference).collect(),
    }
}

fn mean_of<'a>(values: impl Iterator<Item = &'a f32>, n: usize) -> f64 {
    values.map(|value| f64::from(*value)).sum::<f64>() / n.max(1) as f64
}

fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((share * last as f64).round() as usize).copied()
}
