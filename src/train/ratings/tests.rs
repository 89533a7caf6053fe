//! Ratings against the textbook, against fold-in, and on data that give little.

use proptest::prelude::*;

use super::*;
use crate::config::RatingsConfig;
use crate::eval::RatingPredictor;
use crate::progress::Silent;
use crate::train::model::{Model, Trainer, TrainingData};

fn config() -> TrainConfig {
    let ratings = RatingsConfig { dimension: 5, epochs: 10, ..RatingsConfig::default() };
    TrainConfig { ratings, ..TrainConfig::default() }
}

/// Ratings from 1 to 5 of 40 users who each rated about a third of 30 items.
fn ratings() -> Csr {
    let row = |user: u32| {
        let rated = (0..30u32).filter(|item| (user * 7 + item * 11).is_multiple_of(3));
        rated.map(|item| (item, 1.0 + ((user % 4) * (item % 3) % 5) as f32)).collect()
    };
    Csr::from_rows(30, (0..40).map(row).collect())
}

fn model(ratings: &Csr, config: &TrainConfig) -> Result<Model> {
    let data = TrainingData { matrix: ratings, trend: &[], validation: &[], ratings: Some(ratings), warm: None };
    Ratings.train(&data, config, &Silent)
}

fn history(ratings: &Csr, user: usize) -> Vec<(u32, f32)> {
    let (ids, values) = ratings.row(user);
    ids.iter().copied().zip(values.iter().copied()).collect()
}

/// The whole objective, term by term.
fn objective(ratings: &Csr, factors: &Factors, config: &TrainConfig) -> f64 {
    let ridge = Ridge::new(&config.ratings, factors.scale);
    let transposed = ratings.transpose();
    let mut total = factors.users.penalty(ratings, ridge) + factors.items.penalty(&transposed, ridge);
    for user in 0..ratings.n_rows() {
        for (item, value) in history(ratings, user) {
            let dim = config.ratings.dimension;
            let (x, y) = (factors.users.features.row(user), factors.items.features.row(item as usize));
            let guess = factors.scale.mean
                + factors.users.biases[user]
                + factors.items.biases[item as usize]
                + dot(&x[..dim], &y[..dim]);
            total += f64::from(value - guess).powi(2);
        }
    }
    total
}

#[test]
fn the_reported_loss_falls_and_is_that_of_the_objective() {
    struct Losses(std::sync::Mutex<Vec<f64>>);
    impl Progress for Losses {
        fn report(&self, step: &Step) {
            if let Step::Epoch { loss, .. } = step {
                self.0.lock().unwrap().push(*loss);
            }
        }
    }
    let (ratings, losses) = (ratings(), Losses(std::sync::Mutex::default()));
    let factors = factorise(&ratings, &config(), &losses).unwrap();
    let losses = losses.0.into_inner().unwrap();
    assert_eq!(losses.len(), 10);
    assert!(losses.is_sorted_by(|a, b| *b <= a + 1e-6), "{losses:?}");
    let exact = objective(&ratings, &factors, &config()) / ratings.nnz() as f64;
    assert!((losses[9] - exact).abs() < 1e-4 * exact, "{} for {exact}", losses[9]);
}

#[test]
fn no_small_change_of_a_user_lowers_the_objective() {
    let ratings = ratings();
    let factors = factorise(&ratings, &config(), &Silent).unwrap();
    let best = objective(&ratings, &factors, &config());
    for (column, change) in [(0, 0.05f32), (0, -0.05), (3, 0.05), (3, -0.05)] {
        let mut other = factors.clone();
        other.users.features.row_mut(7)[column] += change;
        assert!(objective(&ratings, &other, &config()) > best);
    }
    for change in [0.05, -0.05] {
        let mut other = factors.clone();
        other.users.biases[7] += change;
        assert!(objective(&ratings, &other, &config()) > best);
    }
}

#[test]
fn a_user_has_the_row_that_fold_in_finds() {
    let ratings = ratings();
    let model = model(&ratings, &config()).unwrap();
    for user in 0..ratings.n_rows() {
        let mut folded = vec![0.0; model.items.dim()];
        model.fold_in.solve(model.items.as_rows(), &history(&ratings, user), &mut folded).unwrap();
        for (folded, trained) in folded.iter().zip(model.users.row(user)) {
            assert!((folded - trained).abs() < 1e-4, "{folded} for {trained}");
        }
    }
}

#[test]
fn ratings_on_another_scale_are_learned_alike() {
    let five = ratings();
    let rows =
        (0..five.n_rows()).map(|user| history(&five, user).iter().map(|(id, r)| (*id, r * 20.0 - 7.0)).collect());
    let hundred = Csr::from_rows(30, rows.collect());
    let config = TrainConfig { init_stddev: 1e-3, ..config() };
    let (a, b) = (model(&five, &config).unwrap(), model(&hundred, &config).unwrap());
    let (mut apart, mut spread) = (0.0f32, 0.0f32);
    for user in 0..40 {
        for item in 0..30 {
            let (one, other) = (dot(a.users.row(user), a.items.row(item)), dot(b.users.row(user), b.items.row(item)));
            apart = apart.max((one - (other + 7.0) / 20.0).abs());
            spread = spread.max((one - a.fold_in.mix().ratings.unwrap().mean).abs());
        }
    }
    assert!(apart < 0.05 * spread, "{apart} with a spread of {spread}");
}

#[test]
fn the_model_is_the_same_whatever_the_threads() {
    let with = |threads| model(&ratings(), &TrainConfig { threads, ..config() }).unwrap();
    let one = with(1);
    for threads in [2, 4] {
        let other = with(threads);
        assert_eq!((one.users.data(), one.items.data()), (other.users.data(), other.items.data()));
    }
}

#[test]
fn strangers_are_foretold_what_is_known_of_the_other_side() {
    let ratings = ratings();
    let model = model(&ratings, &config()).unwrap();
    let predictor = ModelPredictor::new(&model, &ratings).unwrap();
    let mean = model.fold_in.mix().ratings.unwrap().mean;
    assert_eq!(predictor.predict(None, None), mean);
    let mut nobody = vec![0.0; model.items.dim()];
    model.fold_in.solve(model.items.as_rows(), &[], &mut nobody).unwrap();
    let item = dot(&nobody, model.items.row(3)).clamp(1.0, 5.0);
    assert!((predictor.predict(None, Some(3)) - item).abs() < 1e-5);
    let all = (0..40).flat_map(|user| (0..30).map(move |item| (user, item)));
    assert!(all.map(|(user, item)| predictor.predict(Some(user), Some(item))).all(|r| (1.0..=5.0).contains(&r)));
}

#[test]
fn the_least_data_give_a_model_without_surprises_or_an_error() {
    assert_eq!(model(&Csr::from_rows(3, vec![vec![]]), &config()).unwrap_err().code(), "no_data");
    let not_a_number = Csr::from_rows(1, vec![vec![(0, f32::NAN)]]);
    assert_eq!(model(&not_a_number, &config()).unwrap_err().code(), "invalid");
    let (one, same) = (vec![vec![(0, 4.0)]], vec![vec![(0, 3.0), (1, 3.0)], vec![(0, 3.0)]]);
    for (rows, rating) in [(one, 4.0), (same, 3.0)] {
        let model = model(&Csr::from_rows(2, rows), &config()).unwrap();
        let scores: Vec<f32> = (0..2).map(|item| dot(model.users.row(0), model.items.row(item))).collect();
        assert!(scores.iter().all(|score| (score - rating).abs() < 1e-3), "{scores:?}");
    }
    let data = TrainingData { matrix: &ratings(), trend: &[], validation: &[], ratings: None, warm: None };
    assert_eq!(Ratings.train(&data, &config(), &Silent).unwrap_err().code(), "no_data");
}

proptest! {
    #[test]
    fn the_parts_of_a_foretold_rating_sum_to_it(
        history in prop::collection::btree_map(0u32..30, -3f32..6.0, 1..12),
        target in 0u32..30,
    ) {
        let model = model(&ratings(), &config()).unwrap();
        let history: Vec<(u32, f32)> = history.into_iter().collect();
        let mut row = vec![0.0; model.items.dim()];
        model.fold_in.solve(model.items.as_rows(), &history, &mut row).unwrap();
        let parts = model.fold_in.explain(model.items.as_rows(), &history, target).unwrap();
        let sum: f64 = parts.iter().map(|(_, part)| part).sum();
        let rating = f64::from(dot(&row, model.items.row(target as usize)));
        prop_assert!((sum - rating).abs() < 1e-3 * (1.0 + rating.abs()), "{} for {}", sum, rating);
        prop_assert!(parts.iter().map(|(id, _)| id).eq(history.iter().map(|(id, _)| id)));
    }
}
