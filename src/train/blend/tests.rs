//! The blend's promises: a user's vector is what fold-in gives, explanations sum to scores, weights follow the data.

use proptest::prelude::*;

use super::*;
use crate::config::{FilterConfig, LinearConfig, ModelKind, TrainConfig};
use crate::eval::Scorer;
use crate::features::{Csr, Holdout, Interactions};
use crate::linalg::dot;
use crate::progress::Silent;
use crate::record::{ItemId, UserId};
use crate::train::ModelScorer;
use crate::train::ials::Guide;

fn config() -> TrainConfig {
    TrainConfig {
        dimension: 6,
        epochs: 4,
        unobserved_weight: 0.1,
        regularization: 0.01,
        filter: FilterConfig { components: 5, neighbours: 8, ..FilterConfig::default() },
        linear: LinearConfig { neighbours: 6, ridge: 2.0, ..LinearConfig::default() },
        blend: BlendConfig { popularity: 0.3, mass_exponent: 0.5, ..PRIOR },
        debias: 0.2,
        ..TrainConfig::default()
    }
}

/// 120 users of two tastes; everybody misses some items of theirs.
fn two_tastes(weight: f32) -> Csr {
    let misses = |user: u32, item: u32| {
        let mixed = (user * 97 + item * 31 + 5).wrapping_mul(2_654_435_761).wrapping_mul(user * 2 + 1) >> 20;
        mixed.is_multiple_of(3 + item % 4)
    };
    let likes = |user: u32, item: u32| item % 2 == user % 2 && !misses(user, item);
    let row = |user: u32| (0..40).filter(|item| likes(user, *item)).map(|item| (item, weight)).collect();
    Csr::from_rows(40, (0..120).map(row).collect())
}

fn model(matrix: &Csr, config: &TrainConfig) -> Model {
    blend(&TrainingData { matrix, trend: &[], validation: &[], ratings: None, warm: None }, config, &Silent).unwrap()
}

fn history(matrix: &Csr, user: usize) -> Vec<(u32, f32)> {
    let (ids, weights) = matrix.row(user);
    ids.iter().copied().zip(weights.iter().copied()).collect()
}

#[test]
fn a_trend_multiplies_scores_and_leaves_users_as_they_are() {
    let matrix = two_tastes(2.0);
    let trend: Vec<f32> = (0..40).map(|item| 0.5 + item as f32 / 20.0).collect();
    let settled = TrainConfig { trend: 0.7, ..config() };
    let followed = model(&matrix, &config()).scaled(&trend_factors(&trend, &settled));
    let plain = model(&matrix, &config());
    assert_eq!(plain.users.data(), followed.users.data());
    let score = |model: &Model| {
        let mut scores = vec![0.0; 40];
        ModelScorer::new("model", model, &matrix).score(7, &mut scores);
        scores
    };
    for (item, (with, without)) in score(&followed).iter().zip(score(&plain)).enumerate() {
        let wanted = without * trend[item].powf(0.7);
        assert!((with - wanted).abs() < 1e-4 * (1.0 + wanted.abs()), "{with} for {wanted}");
    }
    // A history means the same to both.
    let fold = |model: &Model| {
        let mut vector = vec![0.0; model.items.dim()];
        model.fold_in.solve(model.items.as_rows(), &history(&matrix, 7), &mut vector).unwrap();
        vector
    };
    for (with, without) in fold(&followed).iter().zip(fold(&plain)) {
        assert!((with - without).abs() < 1e-3 * (1.0 + without.abs()), "{with} for {without}");
    }
    let popularity = TrainConfig { model: ModelKind::Popularity, ..settled };
    assert!(trend_factors(&trend, &popularity).is_empty(), "the baseline is the baseline");
}

#[test]
fn a_user_has_the_vector_that_fold_in_finds() {
    let matrix = two_tastes(2.0);
    let model = model(&matrix, &config());
    let items = model.items.as_rows();
    assert_eq!(items.dim(), 6 + 5 + 1);
    for user in 0..120 {
        let mut folded = vec![0.0; items.dim()];
        model.fold_in.solve(items, &history(&matrix, user), &mut folded).unwrap();
        for (folded, trained) in folded.iter().zip(model.users.row(user)) {
            assert!((folded - trained).abs() < 1e-3 * (1.0 + trained.abs()), "{folded} for {trained}");
        }
    }
}

#[test]
fn what_is_recommended_is_of_the_users_taste() {
    let matrix = two_tastes(1.0);
    let model = model(&matrix, &TrainConfig { debias: 0.0, blend: PRIOR, ..config() });
    for user in 0..120usize {
        let mut scores: Vec<f32> = (0..40).map(|item| dot(model.users.row(user), model.items.row(item))).collect();
        model.fold_in.add_lists(&history(&matrix, user), &mut scores);
        let seen = history(&matrix, user);
        let unseen: Vec<usize> = (0..40).filter(|item| seen.iter().all(|(past, _)| *past as usize != *item)).collect();
        if unseen.iter().all(|item| item % 2 != user % 2) {
            continue;
        }
        let best = unseen.iter().max_by(|a, b| scores[**a].total_cmp(&scores[**b])).unwrap();
        assert_eq!(best % 2, user % 2, "user {user}: {scores:?}");
    }
}

#[test]
fn confidences_in_another_unit_rank_alike() {
    let scores = |weight: f32| {
        let matrix = two_tastes(weight);
        let model = model(
            &matrix,
            &TrainConfig {
                unobserved_weight: 0.1 * f64::from(weight),
                regularization: 0.01 * f64::from(weight),
                regularization_exponent: 0.0,
                ..config()
            },
        );
        let mut scores: Vec<f32> = (0..40).map(|item| dot(model.users.row(3), model.items.row(item))).collect();
        model.fold_in.add_lists(&history(&matrix, 3), &mut scores);
        scores
    };
    for (one, ten) in scores(1.0).into_iter().zip(scores(10.0)) {
        assert!((one - ten).abs() < 0.02 * (1.0 + one.abs()), "{one} and {ten}");
    }
}

#[test]
fn a_positive_debias_recommends_rarer_items() {
    let row =
        |user: u32| (0..30).filter(|item| (user * 13 + item * 7) % (item + 2) < 2).map(|item| (item, 1.0)).collect();
    let matrix = Csr::from_rows(30, (0..200).map(row).collect());
    let popularity = |debias| {
        let model = model(&matrix, &TrainConfig { debias, blend: PRIOR, ..config() });
        let counts = matrix.transpose();
        let of_user = |user: usize| {
            let mut scores: Vec<f32> = (0..30).map(|item| dot(model.users.row(user), model.items.row(item))).collect();
            model.fold_in.add_lists(&history(&matrix, user), &mut scores);
            let best = (0..30).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
            counts.row(best).0.len()
        };
        (0..200).map(of_user).sum::<usize>()
    };
    assert!(popularity(0.5) < popularity(0.0));
    assert!(popularity(0.0) < popularity(-0.5));
}

/// Holds the pairs of every third user with items of one residue out of a matrix.
fn holdout(matrix: &Csr, is_held: impl Fn(u32, u32) -> bool) -> Holdout {
    let users: Vec<UserId> = (0..matrix.n_rows() as u32).map(UserId::new).collect();
    let items: Vec<ItemId> = (0..matrix.n_cols() as u32).map(ItemId::new).collect();
    let (mut rows, mut test) = (Vec::new(), Vec::new());
    for user in 0..matrix.n_rows() as u32 {
        let (held, kept): (Vec<_>, Vec<_>) =
            history(matrix, user as usize).into_iter().partition(|(item, _)| is_held(user, *item));
        rows.push(kept);
        if !held.is_empty() {
            test.push((user, held.into_iter().map(|(item, _)| item).collect()));
        }
    }
    let matrix = Csr::from_rows(items.len(), rows);
    Holdout {
        train: Interactions { users, items, matrix, trend: Vec::new() },
        test,
        dropped: 0,
        split: String::new(),
        left_out: Default::default(),
    }
}

fn weighed(parts: &Parts, holdout: &Holdout) -> BlendConfig {
    let mut weighing = Weighing::default();
    weighing.add(parts, holdout, 1, &TrainConfig::default(), &Silent).unwrap();
    weighing.weigh(None)
}

#[test]
fn where_only_popularity_tells_anything_the_blend_is_not_worse() {
    // Random rows over items of falling popularity: nothing but the counts to learn.
    let likes = |user: u32, item: u32| {
        let hash = (user * 97 + item * 31 + 5).wrapping_mul(2_654_435_761).wrapping_mul(user * 2 + 1) >> 20;
        hash % 4096 < 3000 / (item + 1)
    };
    let row = |user: u32| (0..60).filter(|item| likes(user, *item)).map(|item| (item, 1.0)).collect();
    let matrix = Csr::from_rows(60, (0..800).map(row).collect());
    let holdout = holdout(&matrix, |user, item| (user + item).is_multiple_of(3));
    let config = TrainConfig { blend: BlendConfig::default(), debias: 0.0, ..config() };
    let parts = Parts::train(&holdout.train.matrix, &PRIOR, &config, Guide::default(), &Silent).unwrap();
    let weights = weighed(&parts, &holdout);
    let ndcg = |blend: &BlendConfig| {
        use crate::eval::{Metric, Ndcg};
        let parts = Parts::train(&holdout.train.matrix, &PRIOR, &config, Guide::default(), &Silent).unwrap();
        let scaled = parts.on_one_scale(&holdout.train.matrix, blend).unwrap();
        let model = assemble(parts, &scaled, &holdout.train.matrix, &config).unwrap();
        let of_user = |(user, held): &(u32, Vec<u32>)| {
            let past = history(&holdout.train.matrix, *user as usize);
            let mut scores: Vec<f32> =
                (0..60).map(|item| dot(model.users.row(*user as usize), model.items.row(item))).collect();
            model.fold_in.add_lists(&past, &mut scores);
            let mut order: Vec<u32> = (0..60).filter(|item| past.iter().all(|(seen, _)| seen != item)).collect();
            order.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b)));
            order.truncate(20);
            Ndcg.value(&order, held, 20)
        };
        holdout.test.iter().map(of_user).sum::<f64>() / holdout.test.len() as f64
    };
    let alone = Part::Popularity.with_weight(BlendConfig::default(), 1.0);
    assert!(ndcg(&weights) > ndcg(&alone) - 0.01, "{} for {}, {weights:?}", ndcg(&weights), ndcg(&alone));
}

#[test]
fn the_blend_is_the_same_bit_for_bit_whatever_the_number_of_threads() {
    let matrix = two_tastes(1.0);
    let holdout = holdout(&matrix, |user, item| (user + item).is_multiple_of(5));
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let parts = Parts::train(&holdout.train.matrix, &PRIOR, &config(), Guide::default(), &Silent).unwrap();
            let weights = weighed(&parts, &holdout);
            let model = model(&matrix, &config());
            (weights, model.users, model.items, model.fold_in.parts().clone())
        })
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(4));
}

proptest! {
    #[test]
    fn the_parts_of_an_explanation_sum_to_the_score(
        past in prop::collection::btree_map(0u32..40, 0.1f32..5.0, 1..10),
        target in 0u32..40,
    ) {
        let matrix = two_tastes(1.5);
        let model = model(&matrix, &config());
        let items = model.items.as_rows();
        let past: Vec<(u32, f32)> = past.into_iter().collect();
        let mut user = vec![0.0; items.dim()];
        model.fold_in.solve(items, &past, &mut user).unwrap();
        let mut scores: Vec<f32> = (0..40).map(|item| dot(&user, items.row(item))).collect();
        model.fold_in.add_lists(&past, &mut scores);
        let parts = model.fold_in.explain(items, &past, target).unwrap();
        let sum: f64 = parts.iter().map(|part| part.1).sum();
        let score = f64::from(scores[target as usize]);
        prop_assert!((sum - score).abs() < 1e-3 * (1.0 + score.abs()), "{sum} for {score}");
    }
}
