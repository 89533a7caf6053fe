//! Gradient descent against finite differences, expectations and its own promises.

use std::sync::Mutex;

use proptest::prelude::*;
use rand::RngExt;

use super::blocks::{Pair, random};
use super::step::{Known, gradient};
use super::*;
use crate::config::SgdConfig;
use crate::features::{Holdout, Interactions};
use crate::linalg::dot;
use crate::progress::Silent;
use crate::record::{ItemId, UserId};
use crate::train::settle::settle;

const LOSSES: [&dyn Loss; 3] = [&BprLoss, &SoftmaxLoss { log_q: true }, &SoftmaxLoss { log_q: false }];

fn config() -> TrainConfig {
    let sgd = SgdConfig { dimension: 8, epochs: 6, negatives: 16, batch: 32, ..SgdConfig::default() };
    TrainConfig { sgd, ..TrainConfig::default() }
}

/// 120 users of four tastes, each with about 12 of the 48 items of their taste, among 192.
fn pairs() -> Csr {
    let row = |user: u32| {
        let mut random = random(5, u64::from(user));
        let of_taste = (0..48u32).filter(|_| random.random_bool(0.25));
        of_taste.map(|item| (item * 4 + user % 4, 1.0)).collect()
    };
    Csr::from_rows(192, (0..120).map(row).collect())
}

fn numbers(rows: usize, dim: usize, stream: u64) -> Matrix {
    let mut random = random(3, stream);
    Matrix::new(dim, (0..rows * dim).map(|_| random.random_range(-1.0f32..1.0)).collect()).unwrap()
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let (users, items) = (numbers(4, 5, 1), numbers(7, 5, 2));
    let batch: Vec<Pair> =
        [(0, 1, 1.0), (1, 2, 0.5), (3, 1, 2.0)].map(|(user, item, weight)| Pair { user, item, weight }).to_vec();
    // Two draws of one item, and draws of the pairs' own items.
    let negatives = [4, 1, 6, 4, 2];
    let log_expected = [-0.3, -0.1, 0.2, -0.3, 0.4];
    let known = Known::new(&batch, 4);
    for loss in LOSSES {
        let of = |users: &Matrix, items: &Matrix| {
            gradient(users, items, &batch, &negatives, &log_expected, Some(&known), loss)
        };
        let found = of(&users, &items);
        let mut of_users = Matrix::zeros(4, 5);
        let mut of_items = Matrix::zeros(7, 5);
        let add = |to: &mut [f32], from: &[f32]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        for (k, pair) in batch.iter().enumerate() {
            add(of_users.row_mut(pair.user as usize), found.users.row(k));
            add(of_items.row_mut(pair.item as usize), found.positives.row(k));
        }
        negatives.iter().enumerate().for_each(|(k, id)| add(of_items.row_mut(*id as usize), found.negatives.row(k)));
        let moved = |matrix: &Matrix, place: usize, by: f32| {
            let mut moved = matrix.clone();
            moved.data_mut()[place] += by;
            moved
        };
        let step = 1e-2;
        let close = |exact: f32, up: f64, down: f64| {
            let difference = (up - down) / f64::from(2.0 * step);
            assert!((f64::from(exact) - difference).abs() < 2e-3, "{exact} for {difference}");
        };
        for place in 0..20 {
            let loss = |by: f32| of(&moved(&users, place, by), &items).loss;
            close(of_users.data()[place], loss(step), loss(-step));
        }
        for place in 0..35 {
            let loss = |by: f32| of(&users, &moved(&items, place, by)).loss;
            close(of_items.data()[place], loss(step), loss(-step));
        }
    }
}

#[test]
fn items_are_drawn_as_often_as_they_should_be() {
    let counts = [1u32, 4, 9, 100, 0, 25];
    const DRAWS: usize = 60_000;
    for exponent in [0.0, 0.5, 1.0] {
        let sampler = Sampler::new(counts.into_iter(), exponent).unwrap();
        let mut random = random(1, 2);
        let mut drawn = [0f64; 6];
        (0..DRAWS).for_each(|_| drawn[sampler.draw(&mut random) as usize] += 1.0);
        let wanted = |item: usize| f64::from(counts[item].max(1)).powf(exponent);
        let total: f64 = (0..6).map(wanted).sum();
        let chi_square: f64 = (0..6)
            .map(|item| {
                assert!((sampler.probability(item as u32) - wanted(item) / total).abs() < 1e-12);
                let expected = DRAWS as f64 * wanted(item) / total;
                (drawn[item] - expected).powi(2) / expected
            })
            .sum();
        // The 99.9 % point with 5 degrees of freedom.
        assert!(chi_square < 20.5, "{chi_square} with exponent {exponent}");
    }
    assert_eq!(Sampler::new(std::iter::empty(), 1.0).unwrap_err().code(), "no_data");
}

#[test]
fn corrected_negatives_of_a_block_stand_for_the_whole_catalogue() {
    // What softmax sums up for item 0: over deals into blocks and draws from its block, on average Σ e^score of the others.
    const ITEMS: usize = 20;
    const DRAWS: usize = 4;
    let scores: Vec<f64> = (0..ITEMS).map(|item| f64::from(item as u32 % 7) / 3.0 - 1.0).collect();
    let counts: Vec<u32> = (0..ITEMS as u32).map(|item| 1 + item * item % 13).collect();
    let mut random = random(7, 0);
    let mut side = Side::new(&Matrix::zeros(ITEMS, 1), 4, &mut random);
    let runs = 40_000;
    let mut total = 0.0;
    for _ in 0..runs {
        side.deal(4, &mut random);
        let block = side.blocks.iter().find(|block| block.ids.contains(&0)).unwrap();
        let sampler = Sampler::new(block.ids.iter().map(|id| counts[*id as usize]), 0.75).unwrap();
        for _ in 0..DRAWS {
            let place = sampler.draw(&mut random);
            let id = block.ids[place as usize];
            if id != 0 {
                let expected = DRAWS as f64 * sampler.probability(place) * chance(block.ids.len(), ITEMS);
                total += scores[id as usize].exp() / expected;
            }
        }
    }
    let whole: f64 = scores[1..].iter().map(|score| score.exp()).sum();
    let mean = total / f64::from(runs);
    assert!((mean / whole - 1.0).abs() < 0.02, "{mean} for {whole}");
}

#[test]
fn every_pair_is_in_one_cell_and_a_deal_moves_rows_unchanged() {
    let matrix = pairs();
    let mut dealer = random(1, 1);
    let (users, rows) = (numbers(120, 3, 3), numbers(192, 3, 4));
    let users = Side::new(&users, 4, &mut dealer);
    let mut items = Side::new(&rows, 4, &mut dealer);
    items.deal(4, &mut dealer);
    assert_eq!(items.collect(), rows);
    let mut found = Vec::new();
    for (cell, pairs) in cells(&matrix, &users, &items, 1.0).iter().enumerate() {
        let (of_users, of_items) = (&users.blocks[cell / 4].ids, &items.blocks[cell % 4].ids);
        found.extend(pairs.iter().map(|pair| (of_users[pair.user as usize], of_items[pair.item as usize])));
    }
    found.sort_unstable();
    let all = (0..120u32).flat_map(|user| matrix.row(user as usize).0.iter().map(move |item| (user, *item)));
    assert!(found.into_iter().eq(all));
}

struct Losses(Mutex<Vec<f64>>);

impl Progress for Losses {
    fn report(&self, step: &Step) {
        if let Step::Epoch { loss, .. } = step {
            self.0.lock().unwrap().push(*loss);
        }
    }
}

#[test]
fn the_loss_falls_and_tastes_are_told_apart() {
    let matrix = pairs();
    for loss in LOSSES {
        for negatives in [16, 0] {
            let sgd = SgdConfig { negatives, epochs: 30, learning_rate: 0.1, ..config().sgd };
            let config = settle(&TrainConfig { sgd, ..config() }, &matrix);
            let losses = Losses(Mutex::default());
            let model = train(&matrix, loss, &config, &losses).unwrap();
            let losses = losses.0.into_inner().unwrap();
            assert!(losses[29] < 0.8 * losses[0], "{losses:?}");
            let mut right = 0;
            for user in 0..120 {
                let score = |item: usize| dot(model.users.row(user), model.items.row(item));
                let of_taste: f32 = (0..48).map(|item| score(item * 4 + user % 4)).sum();
                let others: f32 = (0..48).map(|item| score(item * 4 + (user + 1) % 4)).sum();
                right += usize::from(of_taste > others);
            }
            assert!(right >= 115, "{right} of 120 with {negatives} negatives");
        }
    }
}

#[test]
fn the_model_is_the_same_whatever_the_threads() {
    let matrix = pairs();
    assert_eq!(block_count(120, 192), 6);
    for (loss, negatives) in [(LOSSES[0], 16), (LOSSES[1], 16), (LOSSES[1], 0)] {
        let with = |threads| {
            let sgd = SgdConfig { negatives, ..config().sgd };
            train(&matrix, loss, &settle(&TrainConfig { threads, sgd, ..config() }, &matrix), &Silent).unwrap()
        };
        let one = with(1);
        for threads in [2, 4] {
            let other = with(threads);
            assert_eq!((one.users.data(), one.items.data()), (other.users.data(), other.items.data()));
        }
    }
}

#[test]
fn another_seed_gives_another_model() {
    let matrix = pairs();
    let with = |seed| factorise(&matrix, &BprLoss, &TrainConfig { seed, ..config() }, None, &Silent).unwrap();
    assert_ne!(with(1), with(2));
}

#[test]
fn a_user_has_the_row_that_fold_in_finds() {
    let matrix = pairs();
    let model = train(&matrix, &BprLoss, &settle(&config(), &matrix), &Silent).unwrap();
    for user in 0..120 {
        let (ids, weights) = matrix.row(user);
        let history: Vec<_> = ids.iter().copied().zip(weights.iter().copied()).collect();
        let mut folded = vec![0.0; model.items.dim()];
        model.fold_in.solve(model.items.as_rows(), &history, &mut folded).unwrap();
        assert_eq!(folded, model.users.row(user));
    }
}

#[test]
fn the_least_data_give_a_model_of_numbers_or_an_error() {
    let everything = Csr::from_rows(3, vec![vec![(0, 1.0), (1, 1.0), (2, 1.0)]; 2]);
    let least = Csr::from_rows(2, vec![vec![(0, 1.0)], vec![(1, 3.0)]]);
    let gaps = Csr::from_rows(5, vec![vec![(0, 1.0)], vec![], vec![(4, 1.0)]]);
    let refused = [
        (Csr::from_rows(4, vec![vec![(0, 1.0), (1, 1.0)]]), "no_data"),
        (Csr::from_rows(1, vec![vec![(0, 1.0)], vec![(0, 1.0)]]), "no_data"),
        (Csr::default(), "no_data"),
        (Csr::from_rows(2, vec![vec![(0, f32::NAN)], vec![(1, 1.0)]]), "invalid"),
    ];
    for loss in LOSSES {
        for negatives in [16, 0] {
            let sgd = SgdConfig { negatives, ..config().sgd };
            let train = |matrix: &Csr| {
                super::train(matrix, loss, &settle(&TrainConfig { sgd: sgd.clone(), ..config() }, matrix), &Silent)
            };
            for matrix in [&everything, &least, &gaps] {
                let model = train(matrix).unwrap();
                assert!(model.users.data().iter().chain(model.items.data()).all(|value| value.is_finite()));
            }
            for (matrix, code) in &refused {
                assert_eq!(train(matrix).unwrap_err().code(), *code);
            }
        }
    }
}

#[test]
fn steps_that_are_far_too_long_end_with_an_error_or_numbers() {
    let matrix = pairs();
    let sgd = SgdConfig { learning_rate: 1e3, ..config().sgd };
    for loss in LOSSES {
        let config = settle(&TrainConfig { sgd: sgd.clone(), ..config() }, &matrix);
        if let Ok(model) = train(&matrix, loss, &config, &Silent) {
            assert!(model.users.data().iter().chain(model.items.data()).all(|value| value.is_finite()));
        }
    }
}

/// [`pairs`], and two in three of all users have each of the first eight items: the popular ones.
fn skewed() -> Csr {
    let even = pairs();
    let row = |user: usize| {
        let (ids, _) = even.row(user);
        ids.iter()
            .copied()
            .chain((0..8).filter(|item| !(user + *item as usize).is_multiple_of(3)))
            .map(|id| (id, 1.0))
            .collect()
    };
    Csr::from_rows(192, (0..120).map(row).collect())
}

/// How many popular items are among the best twenty of all users.
fn popular(model: &Model) -> usize {
    let mut found = 0;
    for user in 0..120 {
        let scores: Vec<f32> = (0..192).map(|item| dot(model.users.row(user), model.items.row(item))).collect();
        let best = crate::eval::unseen(&scores, &[], 20, &mut Vec::new());
        found += best.iter().filter(|item| **item < 8).count();
    }
    found
}

#[test]
fn both_knobs_turn_popular_items_down() {
    let matrix = skewed();
    for loss in &LOSSES[..2] {
        let with = |item_frequency_exponent, debias| {
            let config = TrainConfig { item_frequency_exponent, debias, ..config() };
            popular(&train(&matrix, *loss, &settle(&config, &matrix), &Silent).unwrap())
        };
        let plain = with(0.0, 0.0);
        let (in_loss, in_score) = (with(1.0, 0.0), with(0.0, 1.0));
        assert!(in_loss < plain && in_score < plain, "{in_loss} and {in_score} for {plain}");
    }
}

#[test]
fn under_both_knobs_a_user_has_the_row_that_fold_in_finds() {
    let matrix = skewed();
    let config = TrainConfig { item_frequency_exponent: 0.5, debias: 0.3, ..config() };
    let model = train(&matrix, &BprLoss, &settle(&config, &matrix), &Silent).unwrap();
    for user in 0..120 {
        let (ids, weights) = matrix.row(user);
        let history: Vec<_> = ids.iter().copied().zip(weights.iter().copied()).collect();
        let mut folded = vec![0.0; model.items.dim()];
        model.fold_in.solve(model.items.as_rows(), &history, &mut folded).unwrap();
        for (folded, trained) in folded.iter().zip(model.users.row(user)) {
            assert!((folded - trained).abs() < 1e-4, "{folded} for {trained}");
        }
    }
}

#[test]
fn a_judge_sees_every_epoch_and_ends_it_where_that_many_epochs_end() {
    let matrix = pairs();
    let config = TrainConfig { sgd: SgdConfig { decay_epochs: 6, ..config().sgd }, ..config() };
    let mut seen = Vec::new();
    let mut judge = |epoch, items| {
        seen.push(items);
        Ok(if epoch == 4 { Verdict::Stop } else { Verdict::GoOn })
    };
    let stopped = factorise(&matrix, &BprLoss, &config, Some(&mut judge), &Silent).unwrap();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen.last(), Some(&stopped.items));
    let sgd = SgdConfig { epochs: 4, ..config.sgd.clone() };
    assert_eq!(factorise(&matrix, &BprLoss, &TrainConfig { sgd, ..config }, None, &Silent).unwrap(), stopped);
}

#[test]
fn patience_finds_the_epochs_on_the_validation_part_and_trains_those() {
    let matrix = pairs();
    // Every third pair of a user is held out.
    let held = |user: usize, kept: bool| -> Vec<(u32, f32)> {
        let (ids, _) = matrix.row(user);
        ids.iter().enumerate().filter(|(place, _)| (place % 3 > 0) == kept).map(|(_, id)| (*id, 1.0)).collect()
    };
    let train = Interactions {
        users: (0..120).map(UserId::new).collect(),
        items: (0..192).map(ItemId::new).collect(),
        matrix: Csr::from_rows(192, (0..120).map(|user| held(user, true)).collect()),
        trend: Vec::new(),
    };
    let test = (0..120u32).map(|user| (user, held(user as usize, false).into_iter().map(|(id, _)| id).collect()));
    let validation =
        [Holdout { train, test: test.collect(), dropped: 0, split: String::new(), left_out: Default::default() }];
    let data = TrainingData { matrix: &matrix, trend: &[], validation: &validation, ratings: None, warm: None };
    for model in [ModelKind::Bpr, ModelKind::Softmax] {
        let sgd = SgdConfig { epochs: 60, ..config().sgd };
        let config = TrainConfig { model, patience: 2, sgd, ..config() };
        let (trained, settled) = crate::train::train(&data, &config, &Silent).unwrap();
        assert!((1..60).contains(&settled.sgd.epochs), "{}", settled.sgd.epochs);
        assert_eq!((settled.sgd.decay_epochs, settled.patience), (60, 0));
        let (again, _) = crate::train::train(&data, &settled, &Silent).unwrap();
        assert_eq!((trained.users.data(), trained.items.data()), (again.users.data(), again.items.data()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_parts_of_an_explanation_sum_to_the_score(
        history in prop::collection::btree_map(0u32..192, 0.2f32..3.0, 1..15),
        target in 0u32..192,
    ) {
        let matrix = pairs();
        let sgd = SgdConfig { epochs: 2, ..config().sgd };
        let config = settle(&TrainConfig { sgd, ..config() }, &matrix);
        let model = train(&matrix, &SoftmaxLoss { log_q: true }, &config, &Silent).unwrap();
        let history: Vec<(u32, f32)> = history.into_iter().collect();
        let mut row = vec![0.0; model.items.dim()];
        model.fold_in.solve(model.items.as_rows(), &history, &mut row).unwrap();
        let parts = model.fold_in.explain(model.items.as_rows(), &history, target).unwrap();
        let sum: f64 = parts.iter().map(|(_, part)| part).sum();
        let score = f64::from(dot(&row, model.items.row(target as usize)));
        prop_assert!((sum - score).abs() < 1e-3 * (1.0 + score.abs()), "{} for {}", sum, score);
    }
}
