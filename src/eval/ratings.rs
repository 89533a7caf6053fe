//! How far foretold ratings are from those that were given, beside two baselines in the same run: the mean rating, and
//! mean + user's bias + item's bias.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::Estimate;
use crate::config::EvaluateConfig;
use crate::features::{Csr, RatedSplit};
use crate::record::UserId;

/// Foretells ratings.
pub trait RatingPredictor: Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// The rating of a user and an item, by row and column of the training matrix where they are known there.
    fn predict(&self, row: Option<u32>, column: Option<u32>) -> f32;
}

/// Errors of foretold ratings on the same test ratings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatingReport {
    /// Test ratings, those of unknown users and items included.
    pub ratings: u64,
    /// Users who gave them.
    pub users: u64,
    /// Test ratings whose user or item is not known from training.
    pub unknown: u64,
    /// The baselines `mean` and `bias`, then the model.
    pub models: Vec<RatingErrors>,
}

/// One model's errors, the smaller the better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RatingErrors {
    /// Its name.
    pub name: String,
    /// `rmse`, the root of the mean squared error, and `mae`, the mean absolute error, over all test ratings, with
    /// intervals over users.
    pub errors: Vec<Estimate>,
    /// The paired differences to the baseline `bias`.
    pub differences: Vec<Estimate>,
}

impl RatingReport {
    /// What [`Self::rows`] has in its columns.
    pub const COLUMNS: [&str; 7] = ["ratings", "rmse", "interval", "mae", "interval", "rmse to bias", "interval"];

    /// For a table, a model a row: its errors, and how much its RMSE differs from that of the baseline `bias`.
    pub fn rows(&self) -> impl Iterator<Item = [String; 7]> + '_ {
        let cells = |estimates: &[Estimate], name: &str| {
            let of = estimates.iter().find(|of| of.name == name);
            let mean = of.map(|of| format!("{:.4}", of.mean)).unwrap_or_default();
            [mean, of.map(|of| format!("{:.4} to {:.4}", of.low, of.high)).unwrap_or_default()]
        };
        self.models.iter().map(move |RatingErrors { name, errors, differences }| {
            let [rmse, rmse_interval] = cells(errors, "rmse");
            let [mae, mae_interval] = cells(errors, "mae");
            let [ahead, ahead_interval] = cells(differences, "rmse");
            [name.clone(), rmse, rmse_interval, mae, mae_interval, ahead, ahead_interval]
        })
    }

    /// A model's errors by name.
    pub fn model(&self, name: &str) -> Option<&RatingErrors> {
        self.models.iter().find(|model| model.name == name)
    }
}

/// Collects the errors of a model and of the baselines, part by part of a cross-validation.
#[derive(Default)]
pub struct RatingMeter {
    name: &'static str,
    users: BTreeMap<UserId, Sums>,
    ratings: u64,
    unknown: u64,
}

impl RatingMeter {
    /// Measures a model, and the baselines of the same training part, on a test part.
    pub fn measure(&mut self, split: &RatedSplit, model: &dyn RatingPredictor) {
        let bias = Bias::fit(&split.train);
        let predictors: [&dyn RatingPredictor; 3] = [&Mean(bias.mean), &bias, model];
        self.name = model.name();
        for rating in &split.test {
            let sums = self.users.entry(rating.user).or_default();
            sums.count += 1.0;
            for (predictor, [squared, absolute]) in predictors.iter().zip(&mut sums.errors) {
                let error = f64::from(predictor.predict(rating.row, rating.column) - rating.value);
                *squared += error * error;
                *absolute += error.abs();
            }
        }
        self.ratings += split.test.len() as u64;
        self.unknown +=
            split.test.iter().filter(|rating| rating.row.is_none() || rating.column.is_none()).count() as u64;
    }

    /// What was found; `None` where there was no rating to foretell.
    pub fn report(&self, config: &EvaluateConfig) -> Option<RatingReport> {
        let users: Vec<Sums> = self.users.values().copied().collect();
        let whole = Sums::total(users.iter()).figures();
        let resampled: Vec<Figures> = (0..config.bootstrap)
            .into_par_iter()
            .map(|run| {
                let mut random = ChaCha8Rng::seed_from_u64(config.seed);
                random.set_stream(run as u64);
                let drawn = (0..users.len()).filter_map(|_| users.get(random.random_range(0..users.len())));
                Sums::total(drawn).figures()
            })
            .collect();
        let estimate = |name: &str, of: &dyn Fn(&Figures) -> f64| {
            let mut values: Vec<f64> = resampled.iter().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            let tail = (1.0 - config.confidence) / 2.0;
            let place = |share: f64| (share * values.len().saturating_sub(1) as f64).round() as usize;
            let at = |share: f64| values.get(place(share)).copied().unwrap_or(of(&whole));
            Estimate { name: name.to_owned(), mean: of(&whole), low: at(tail), high: at(1.0 - tail) }
        };
        let models = ["mean", "bias", self.name].into_iter().enumerate().map(|(model, name)| RatingErrors {
            name: name.to_owned(),
            errors: vec![estimate("rmse", &|figures| figures[model][0]), estimate("mae", &|figures| figures[model][1])],
            differences: vec![
                estimate("rmse", &|figures| figures[model][0] - figures[BIAS][0]),
                estimate("mae", &|figures| figures[model][1] - figures[BIAS][1]),
            ],
        });
        (self.ratings > 0).then(|| RatingReport {
            ratings: self.ratings,
            users: users.len() as u64,
            unknown: self.unknown,
            models: models.collect(),
        })
    }
}

/// RMSE and MAE of mean, biases and model.
type Figures = [[f64; 2]; 3];

/// The place of the biases among them.
const BIAS: usize = 1;

/// A user's, or several users' errors.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    /// Squared and absolute, by model.
    errors: [[f64; 2]; 3],
}

impl Sums {
    fn total<'a>(all: impl Iterator<Item = &'a Sums>) -> Sums {
        all.fold(Sums::default(), |mut total, sums| {
            total.count += sums.count;
            for (into, from) in total.errors.iter_mut().flatten().zip(sums.errors.iter().flatten()) {
                *into += from;
            }
            total
        })
    }

    fn figures(&self) -> Figures {
        let count = self.count.max(1.0);
        self.errors.map(|[squared, absolute]| [(squared / count).sqrt(), absolute / count])
    }
}

/// The same for everybody.
struct Mean(f32);

impl RatingPredictor for Mean {
    fn name(&self) -> &'static str {
        "mean"
    }

    fn predict(&self, _: Option<u32>, _: Option<u32>) -> f32 {
        self.0
    }
}

/// Mean + user's bias + item's bias, each bias shrunk towards 0 as if there were some more ratings at the mean; by
/// alternating least squares (Koren, ACM TKDD 2010, section 2.1; passes and penalties are those of the package Surprise).
struct Bias {
    mean: f32,
    users: Vec<f32>,
    items: Vec<f32>,
}

impl Bias {
    const PASSES: usize = 10;
    const USER_PENALTY: f32 = 15.0;
    const ITEM_PENALTY: f32 = 10.0;

    fn fit(ratings: &Csr) -> Self {
        let total: f64 = (0..ratings.n_rows()).flat_map(|row| ratings.row(row).1).map(|value| f64::from(*value)).sum();
        let mean = (total / ratings.nnz().max(1) as f64) as f32;
        let transposed = ratings.transpose();
        let mut users = vec![0.0; ratings.n_rows()];
        let mut items = vec![0.0; ratings.n_cols()];
        for _ in 0..Self::PASSES {
            solve(&transposed, mean, &users, Self::ITEM_PENALTY, &mut items);
            solve(ratings, mean, &items, Self::USER_PENALTY, &mut users);
        }
        Self { mean, users, items }
    }
}

impl RatingPredictor for Bias {
    fn name(&self) -> &'static str {
        "bias"
    }

    fn predict(&self, row: Option<u32>, column: Option<u32>) -> f32 {
        let of =
            |biases: &[f32], place: Option<u32>| place.and_then(|place| biases.get(place as usize)).map_or(0.0, |b| *b);
        self.mean + of(&self.users, row) + of(&self.items, column)
    }
}

fn solve(ratings: &Csr, mean: f32, other: &[f32], penalty: f32, biases: &mut [f32]) {
    for (row, bias) in biases.iter_mut().enumerate() {
        let (ids, values) = ratings.row(row);
        let over = |(id, value): (&u32, &f32)| value - mean - other.get(*id as usize).copied().unwrap_or(0.0);
        *bias = ids.iter().zip(values).map(over).sum::<f32>() / (penalty + ids.len() as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::TestRating;

    struct Always(f32);

    impl RatingPredictor for Always {
        fn name(&self) -> &'static str {
            "always"
        }
        fn predict(&self, _: Option<u32>, _: Option<u32>) -> f32 {
            self.0
        }
    }

    fn split() -> RatedSplit {
        let rows = (0..40u32).map(|user| (0..10).map(|item| (item, 1.0 + ((user + item) % 5) as f32)).collect());
        let test = (0..40u32).map(|user| TestRating {
            user: UserId::new(user),
            row: Some(user),
            column: (user % 2 == 0).then_some(3),
            value: 1.0 + (user % 5) as f32,
        });
        RatedSplit { train: Csr::from_rows(10, rows.collect()), test: test.collect() }
    }

    fn measured(parts: &[RatedSplit], model: &dyn RatingPredictor, bootstrap: usize) -> RatingReport {
        let mut meter = RatingMeter::default();
        parts.iter().for_each(|part| meter.measure(part, model));
        meter.report(&EvaluateConfig { bootstrap, ..EvaluateConfig::default() }).unwrap()
    }

    #[test]
    fn parts_are_pooled_rating_by_rating_and_nothing_measured_is_no_report() {
        let (once, twice) = (measured(&[split()], &Always(2.0), 0), measured(&[split(), split()], &Always(2.0), 0));
        assert_eq!((twice.ratings, twice.users, twice.models), (2 * once.ratings, once.users, once.models));
        assert!(RatingMeter::default().report(&EvaluateConfig::default()).is_none());
    }

    #[test]
    fn errors_are_those_of_the_textbook_and_lie_in_their_intervals() {
        let report = measured(&[split()], &Always(2.0), 1000);
        assert_eq!((report.ratings, report.users, report.unknown), (40, 40, 20));
        let errors = &report.model("always").unwrap().errors;
        // Off by 1, 0, 1, 2 and 3, equally often.
        assert!((errors[0].mean - 3f64.sqrt()).abs() < 1e-9 && (errors[1].mean - 1.4).abs() < 1e-9);
        for model in &report.models {
            for estimate in model.errors.iter().chain(&model.differences) {
                assert!(estimate.low <= estimate.mean && estimate.mean <= estimate.high, "{estimate:?}");
            }
        }
    }

    #[test]
    fn biases_foretell_ratings_that_are_made_of_them() {
        let rating = |user: u32, item: u32| 3.0 + 0.1 * user as f32 - 0.2 * item as f32;
        let rows = (0..60u32).map(|user| (0..60).map(|item| (item, rating(user % 9, item % 9))).collect());
        let test = (0..60u32).map(|user| TestRating {
            user: UserId::new(user),
            row: Some(user),
            column: Some(5),
            value: rating(user % 9, 5),
        });
        let split = RatedSplit { train: Csr::from_rows(60, rows.collect()), test: test.collect() };
        let report = measured(&[split], &Always(3.0), 20);
        let rmse = |name: &str| report.model(name).unwrap().errors[0].mean;
        assert!(rmse("bias") < 0.5 * rmse("mean"), "{} and {}", rmse("bias"), rmse("mean"));
    }

    #[test]
    fn a_stranger_has_the_mean() {
        let bias = Bias::fit(&split().train);
        assert_eq!(bias.predict(None, None), bias.mean);
        assert_eq!(bias.predict(Some(999), Some(999)), bias.mean);
    }
}
