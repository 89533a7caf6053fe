//! Fold-in against training and against its own parts.

use proptest::prelude::*;

use super::ials::ials;
use super::*;
use crate::config::{Solver, TrainConfig};
use crate::features::Csr;
use crate::linalg::{Matrix, dot};
use crate::progress::Silent;

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

#[test]
fn a_user_has_the_factors_that_fold_in_finds() {
    let matrix = pairs(50, 40, 5);
    for (solver, dimension) in [(Solver::Cholesky, 6), (Solver::Cg, 6), (Solver::Auto, 6), (Solver::Auto, 48)] {
        let config = TrainConfig { solver, dimension, ..config() };
        let model = ials(&matrix, &config, &Silent).unwrap();
        let fold_in = FoldIn::from_factors(model.items.as_rows(), &config).unwrap();
        for user in 0..matrix.n_rows() {
            let (ids, weights) = matrix.row(user);
            let history: Vec<_> = ids.iter().copied().zip(weights.iter().copied()).collect();
            let mut folded = vec![0.0; dimension];
            fold_in.solve(model.items.as_rows(), &history, &mut folded).unwrap();
            for (folded, trained) in folded.iter().zip(model.users.row(user)) {
                assert!((folded - trained).abs() < 1e-4, "{folded} for {trained} with {solver:?}");
            }
        }
    }
}

#[test]
fn fold_in_refuses_what_it_was_not_made_for() {
    let items = Matrix::new(2, vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).unwrap();
    let fold_in = FoldIn::from_factors(items.as_rows(), &config()).unwrap();
    let mut out = [0.0; 2];
    let mut refused =
        |history: &[(u32, f32)]| fold_in.solve(items.as_rows(), history, &mut out).unwrap_err().to_string();
    assert!(refused(&[(3, 1.0)]).contains("names item 3"));
    assert!(refused(&[(1, 0.0)]).contains("confidence 0"));
    assert!(fold_in.solve(items.as_rows(), &[], &mut [0.0; 3]).is_err());
    assert!(fold_in.solve(Matrix::zeros(2, 2).as_rows(), &[], &mut out).is_err());
    assert!(fold_in.explain(items.as_rows(), &[(0, 1.0)], 3).unwrap_err().to_string().contains("target"));
}

#[test]
fn an_empty_history_has_zero_factors_and_nothing_to_explain() {
    let items = Matrix::new(2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
    let fold_in = FoldIn::from_factors(items.as_rows(), &config()).unwrap();
    let mut out = [7.0; 2];
    fold_in.solve(items.as_rows(), &[], &mut out).unwrap();
    assert_eq!(out, [0.0; 2]);
    assert!(fold_in.explain(items.as_rows(), &[], 1).unwrap().is_empty());
}

proptest! {
    #[test]
    fn the_parts_of_an_explanation_sum_to_the_score_of_the_fold_in(
        data in prop::collection::vec(-1f32..1.0, 12 * 5),
        history in prop::collection::vec((0u32..12, 0.1f32..5.0), 0..8),
        target in 0u32..12,
    ) {
        let items = Matrix::new(5, data).unwrap();
        let fold_in = FoldIn::from_factors(items.as_rows(), &config()).unwrap();
        let mut user = [0.0; 5];
        fold_in.solve(items.as_rows(), &history, &mut user).unwrap();
        let parts = fold_in.explain(items.as_rows(), &history, target).unwrap();
        let named: Vec<u32> = parts.iter().map(|part| part.0).collect();
        let past: Vec<u32> = history.iter().map(|past| past.0).collect();
        prop_assert_eq!(named, past);
        let sum: f64 = parts.iter().map(|part| part.1).sum();
        let score = f64::from(dot(&user, items.row(target as usize)));
        prop_assert!((sum - score).abs() < 1e-3, "{} for {}", sum, score);
    }
}
