//! Training and fold-in against naive twins: dense, in double precision, and obviously right.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::config::{Solver, TrainConfig};
use crate::error::Error;
use crate::features::Csr;
use crate::linalg::{Matrix, dot};
use crate::progress::{Progress, Silent, Step};

/// Keeps what is reported, and cancels after so many questions.
struct Recorder {
    steps: Mutex<Vec<Step>>,
    asked: AtomicUsize,
    patience: usize,
}

impl Recorder {
    fn new(patience: usize) -> Self {
        Self { steps: Mutex::new(Vec::new()), asked: AtomicUsize::new(0), patience }
    }

    fn losses(&self) -> Vec<f64> {
        let steps = self.steps.lock().unwrap();
        steps.iter().map(|step| if let Step::Epoch { loss, .. } = step { *loss } else { panic!("{step:?}") }).collect()
    }
}

impl Progress for Recorder {
    fn report(&self, step: &Step) {
        self.steps.lock().unwrap().push(step.clone());
    }

    fn cancelled(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.patience
    }
}

fn config() -> TrainConfig {
    TrainConfig {
        dimension: 6,
        epochs: 4,
        solver: Solver::Cholesky,
        unobserved_weight: 0.1,
        regularization: 0.003,
        ..TrainConfig::default()
    }
}

/// Pairs of a deterministic scramble, with weights from 1 to 3.
fn pairs(n_users: usize, n_items: usize, each: usize) -> Csr {
    let row = |user: usize| {
        let pair = |k: usize| {
            let hash = ((user * 31 + k * 7 + 1) as u32).wrapping_mul(2_654_435_761) >> 8;
            (hash % n_items as u32, 1.0 + (hash % 3) as f32)
        };
        (0..each + user % 3).map(pair).collect()
    };
    Csr::from_rows(n_items, (0..n_users).map(row).collect())
}

/// The objective pair by pair.
fn naive_loss(matrix: &Csr, users: &Matrix, items: &Matrix, config: &TrainConfig) -> f64 {
    let mut total = 0.0;
    let scales = item_scales(matrix, config.item_frequency_exponent);
    for user in 0..users.rows() {
        for item in 0..items.rows() {
            let score: f64 =
                users.row(user).iter().zip(items.row(item)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            total += config.unobserved_weight * score * score;
            let (ids, weights) = matrix.row(user);
            if let Ok(place) = ids.binary_search(&(item as u32)) {
                let scale = scales.get(item).copied().unwrap_or(1.0);
                total += f64::from(scale * weights[place]) * (1.0 - score) * (1.0 - score);
            }
        }
    }
    let transposed = matrix.transpose();
    for (side, factors, other) in [(matrix, users, items.rows()), (&transposed, items, users.rows())] {
        for row in 0..factors.rows() {
            let mass = side.row(row).0.len() as f64 + config.unobserved_weight * other as f64;
            let square: f64 = factors.row(row).iter().map(|x| f64::from(*x).powi(2)).sum();
            total += config.regularization * mass.powf(config.regularization_exponent) * square;
        }
    }
    total
}

#[test]
fn the_reported_loss_is_the_naive_loss_and_falls() {
    let matrix = pairs(40, 30, 4);
    for (exponent, of_items, solver) in
        [(0.0, 0.0, Solver::Auto), (0.5, 0.5, Solver::Block), (1.0, 0.0, Solver::Cholesky), (0.5, -0.3, Solver::Cg)]
    {
        let config = TrainConfig {
            regularization_exponent: exponent,
            item_frequency_exponent: of_items,
            solver,
            epochs: 6,
            dimension: 9,
            ..config()
        };
        let recorder = Recorder::new(usize::MAX);
        let model = ials(&matrix, &config, &recorder).unwrap();
        let losses = recorder.losses();
        assert_eq!(losses.len(), 6);
        assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-6)), "{losses:?}");
        // The users are solved once more after the last epoch: the model is a little better than the last report.
        let naive = naive_loss(&matrix, &model.users, &model.items, &config);
        let longer = Recorder::new(usize::MAX);
        ials(&matrix, &TrainConfig { epochs: 7, ..config }, &longer).unwrap();
        assert!(naive <= losses[5] && naive > 0.9 * longer.losses()[6], "{naive} in {:?}", longer.losses());
    }
}

#[test]
fn factors_are_the_same_bit_for_bit_whatever_the_number_of_threads() {
    let matrix = pairs(3_000, 700, 6);
    for solver in [Solver::Cholesky, Solver::Cg, Solver::Block] {
        let with = |threads| {
            let config = TrainConfig { threads, solver, epochs: 2, ..config() };
            let recorder = Recorder::new(usize::MAX);
            (ials(&matrix, &config, &recorder).unwrap(), recorder.losses())
        };
        let one = with(1);
        assert_eq!(one, with(2));
        assert_eq!(one, with(4));
    }
}

#[test]
fn another_seed_gives_other_factors() {
    let matrix = pairs(20, 10, 3);
    let with = |seed| ials(&matrix, &TrainConfig { seed, ..config() }, &Silent).unwrap();
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn every_solver_reaches_the_loss_of_the_exact_one() {
    let matrix = pairs(300, 200, 8);
    let with = |solver| {
        let config = TrainConfig { solver, dimension: 40, epochs: 40, ..config() };
        let recorder = Recorder::new(usize::MAX);
        ials(&matrix, &config, &recorder).unwrap();
        recorder.losses()[39]
    };
    let exact = with(Solver::Cholesky);
    for solver in [Solver::Auto, Solver::Cg, Solver::Block] {
        let near = with(solver);
        assert!((near - exact).abs() < 0.02 * exact, "{near} for {exact} by {solver:?}");
    }
}

#[test]
fn users_are_the_exact_solutions_of_the_items_whose_gramian_is_diagonal() {
    let matrix = pairs(50, 40, 5);
    for (solver, dimension) in [(Solver::Cholesky, 6), (Solver::Cg, 6), (Solver::Block, 10), (Solver::Auto, 48)] {
        let config = TrainConfig { solver, dimension, ..config() };
        let model = ials(&matrix, &config, &Silent).unwrap();
        let gramian = crate::linalg::gramian(model.items.as_rows());
        for (at, value) in gramian.iter().enumerate().filter(|(at, _)| at / dimension != at % dimension) {
            assert!(value.abs() < 1e-5 * gramian[0], "{value} at {at}");
        }
        let diagonal: Vec<f32> = gramian.iter().copied().step_by(dimension + 1).collect();
        assert!(diagonal.windows(2).all(|pair| pair[0] >= pair[1] - 1e-5), "{diagonal:?}");
        let equations = Equations::new(&gramian, dimension, 40, &config);
        for user in 0..matrix.n_rows() {
            let (ids, weights) = matrix.row(user);
            let history = History { rows: model.items.as_rows(), ids, weights };
            let mut folded = vec![0.0; dimension];
            history.right_side(&mut folded);
            equations.solve(history, &mut folded, &mut vec![0.0; dimension * dimension]).unwrap();
            for (folded, trained) in folded.iter().zip(model.users.row(user)) {
                assert!((folded - trained).abs() < 1e-4, "{folded} for {trained} with {solver:?}");
            }
        }
    }
}

#[test]
fn a_warm_start_goes_on_where_the_last_training_ended() {
    let matrix = pairs(300, 200, 8);
    let config = TrainConfig { solver: Solver::Auto, dimension: 16, epochs: 12, ..config() };
    let cold = Recorder::new(usize::MAX);
    let old = ials(&matrix, &config, &cold).unwrap();
    // One item is unknown, one is of another dimension.
    let mut warm: Vec<Option<Vec<f32>>> = (0..200).map(|item| Some(old.items.row(item).to_vec())).collect();
    (warm[0], warm[1]) = (None, Some(vec![1.0]));
    let recorder = Recorder::new(usize::MAX);
    let short = TrainConfig { epochs: 2, ..config };
    guided(&matrix, &short, Guide { warm: Some(Warm { items: &warm, enough: None }), observer: None }, &recorder)
        .unwrap();
    let (warm, cold) = (recorder.losses(), cold.losses());
    assert!(warm[1] < cold[9], "{warm:?} after {cold:?}");
}

#[test]
fn a_warm_start_ends_when_it_gains_as_little_as_the_last_cold_epoch_did() {
    let matrix = pairs(300, 200, 8);
    let config = TrainConfig { solver: Solver::Auto, dimension: 16, epochs: 12, ..config() };
    // What was there before the last two users came.
    let before = Csr::from_rows(200, (0..298).map(|user| matrix.row(user)).map(entries).collect());
    let cold = Recorder::new(usize::MAX);
    let old = ials(&before, &config, &cold).unwrap();
    let items: Vec<Option<Vec<f32>>> = (0..200).map(|item| Some(old.items.row(item).to_vec())).collect();
    let gain = |losses: &[f64]| losses.windows(2).map(|pair| (pair[0] - pair[1]).abs() / pair[1]).collect::<Vec<_>>();
    let enough = gain(&cold.losses()).last().copied();
    let with = |threads, enough| {
        let recorder = Recorder::new(usize::MAX);
        let guide = Guide { warm: Some(Warm { items: &items, enough }), observer: None };
        let model = guided(&matrix, &TrainConfig { threads, ..config.clone() }, guide, &recorder).unwrap();
        (model, recorder.losses())
    };
    let (model, losses) = with(1, enough);
    assert!((2..8).contains(&losses.len()), "{losses:?}");
    let gains = gain(&losses);
    let (last, earlier) = gains.split_last().unwrap();
    assert!(*last <= enough.unwrap() && earlier.iter().all(|gain| *gain > enough.unwrap()), "{gains:?}");
    for threads in [2, 4] {
        assert_eq!(with(threads, enough), (model.clone(), losses.clone()));
    }
    assert_eq!(with(1, None).1.len(), 12);
    // Mostly unknown items are no warm start: every epoch is needed.
    let few: Vec<_> = items.iter().enumerate().map(|(at, item)| item.clone().filter(|_| at < 60)).collect();
    let recorder = Recorder::new(usize::MAX);
    let guide = Guide { warm: Some(Warm { items: &few, enough: Some(1.0) }), observer: None };
    guided(&matrix, &config, guide, &recorder).unwrap();
    assert_eq!(recorder.losses().len(), 12);
}

#[test]
fn a_warm_start_may_be_longer_or_shorter_than_what_there_was() {
    let matrix = pairs(300, 200, 8);
    let config = TrainConfig { solver: Solver::Auto, dimension: 16, epochs: 12, ..config() };
    let cold = Recorder::new(usize::MAX);
    ials(&matrix, &config, &cold).unwrap();
    let cold = cold.losses();
    for dimension in [12, 20] {
        let old = ials(&matrix, &TrainConfig { dimension, ..config.clone() }, &Silent).unwrap();
        let items: Vec<Option<Vec<f32>>> = (0..200).map(|item| Some(old.items.row(item).to_vec())).collect();
        let recorder = Recorder::new(usize::MAX);
        let guide = Guide { warm: Some(Warm { items: &items, enough: None }), observer: None };
        guided(&matrix, &config, guide, &recorder).unwrap();
        let warm = recorder.losses();
        assert!(warm[4] < cold[5] && warm[11] < 1.005 * cold[11], "{warm:?} for {cold:?}, from {dimension}");
    }
}

fn entries((ids, weights): (&[u32], &[f32])) -> Vec<(u32, f32)> {
    ids.iter().copied().zip(weights.iter().copied()).collect()
}

/// Finds the epochs better in the order of its list, and stops at its end.
struct Judge(Vec<Verdict>, Vec<(Matrix, Matrix)>);

impl Observer for Judge {
    fn epoch(&mut self, epoch: usize, users: &Matrix, items: &Matrix) -> Verdict {
        self.1.push((users.clone(), items.clone()));
        self.0.get(epoch - 1).copied().unwrap_or(Verdict::Stop)
    }
}

#[test]
fn the_model_is_the_one_that_the_observer_found_best() {
    let matrix = pairs(100, 60, 5);
    let config = TrainConfig { epochs: 9, ..config() };
    let mut judge = Judge(vec![Verdict::GoOn, Verdict::Best, Verdict::GoOn], Vec::new());
    let guide = Guide { warm: None, observer: Some(&mut judge) };
    let model = guided(&matrix, &config, guide, &Silent).unwrap();
    assert_eq!(judge.1.len(), 4);
    assert_eq!((model.users, model.items), judge.1[1].clone());
    // What it saw are whole models: two epochs alone give the same.
    let two = ials(&matrix, &TrainConfig { epochs: 2, ..config }, &Silent).unwrap();
    assert_eq!((two.users, two.items), judge.1[1].clone());
}

#[test]
fn items_without_users_and_mean_ones_keep_their_confidences() {
    let matrix = Csr::from_rows(4, vec![vec![(0, 1.0), (1, 1.0)], vec![(0, 1.0), (1, 1.0)], vec![(2, 1.0), (0, 1.0)]]);
    assert!(item_scales(&matrix, 0.0).is_empty());
    assert_eq!(item_scales(&matrix, 1.0), [2.0 / 3.0, 1.0, 2.0, 1.0]);
}

#[test]
fn factors_that_run_out_of_range_are_named_with_their_remedy() {
    let row = |user: u32| (0..4).map(|k| ((user * 7 + k * k) % 20, 1e38)).collect();
    let matrix = Csr::from_rows(20, (0..30).map(row).collect());
    let error = ials(&matrix, &config(), &Silent).unwrap_err();
    assert!(error.to_string().contains("regularization"), "{error}");
}

#[test]
fn tastes_that_do_not_overlap_are_told_apart() {
    // Even users like even items, odd users odd ones; each lacks one item of their kind.
    let row = |user: u32| {
        (0..20).filter(|item| item % 2 == user % 2 && item / 2 != user % 10).map(|item| (item, 1.0)).collect()
    };
    let matrix = Csr::from_rows(20, (0..40).map(row).collect());
    let model = ials(&matrix, &TrainConfig { dimension: 2, ..config() }, &Silent).unwrap();
    for user in 0..40u32 {
        let x = model.users.row(user as usize);
        let missing = 2 * (user % 10) + user % 2;
        let score = dot(x, model.items.row(missing as usize));
        for other in (0..20).filter(|item| item % 2 != user % 2) {
            assert!(score > dot(x, model.items.row(other as usize)), "user {user}, item {other}");
        }
    }
}

#[test]
fn users_and_items_without_pairs_have_zero_factors() {
    let matrix = Csr::from_rows(4, vec![vec![(0, 1.0), (2, 1.0)], vec![], vec![(0, 1.0)]]);
    let model = ials(&matrix, &config(), &Silent).unwrap();
    assert!(model.users.row(1).iter().chain(model.items.row(3)).all(|value| *value == 0.0));
    assert!(model.users.row(0).iter().any(|value| *value != 0.0));
}

#[test]
fn too_little_data_is_named_with_its_remedy() {
    let one_user = Csr::from_rows(3, vec![vec![(0, 1.0), (1, 1.0)]]);
    let one_item = Csr::from_rows(1, vec![vec![(0, 1.0)], vec![(0, 1.0)]]);
    for (matrix, expected) in
        [(Csr::default(), "no user prefers"), (one_user, "one user"), (one_item, "one preferred item")]
    {
        let error = ials(&matrix, &config(), &Silent).unwrap_err();
        assert_eq!(error.code(), "no_data");
        assert!(error.to_string().contains(expected) && error.to_string().contains("import"), "{error}");
    }
}

#[test]
fn a_confidence_that_is_not_a_positive_number_is_refused() {
    for weight in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let matrix = Csr::from_rows(2, vec![vec![(0, 1.0)], vec![(1, weight)]]);
        let error = ials(&matrix, &config(), &Silent).unwrap_err();
        assert!(error.to_string().contains("row 1 and column 1"), "{error}");
    }
}

#[test]
fn training_stops_when_it_is_cancelled() {
    let matrix = pairs(3_000, 700, 6);
    let recorder = Recorder::new(20);
    assert!(matches!(ials(&matrix, &config(), &recorder), Err(Error::Cancelled("training"))));
    assert!(recorder.asked.load(Ordering::Relaxed) < 40);
}
