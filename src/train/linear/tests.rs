//! The linear item model against a naive twin in double precision, and against the full model.

use proptest::prelude::*;

use super::*;
use crate::config::Similarity;
use crate::error::Error;
use crate::progress::Silent;

fn interactions(n_items: usize) -> impl Strategy<Value = Csr> {
    let row = prop::collection::vec((0..n_items as u32, 0.5f32..2.0), 0..6);
    prop::collection::vec(row, 2..25).prop_map(move |rows| Csr::from_rows(n_items, rows))
}

/// The weighted Gramian by its definition.
fn gramian(matrix: &Csr, exponent: f64) -> Vec<Vec<f64>> {
    let n = matrix.n_cols();
    let mut gramian = vec![vec![0.0; n]; n];
    for user in 0..matrix.n_rows() {
        let (ids, values) = matrix.row(user);
        let weight = values.iter().map(|value| f64::from(*value)).sum::<f64>().powf(-exponent);
        for (i, a) in ids.iter().zip(values) {
            for (j, b) in ids.iter().zip(values) {
                gramian[*i as usize][*j as usize] += weight * f64::from(*a) * f64::from(*b);
            }
        }
    }
    gramian
}

/// Gaussian elimination.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        for j in i + 1..n {
            let factor = a[j][i] / a[i][i];
            let pivot = a[i].clone();
            a[j].iter_mut().zip(&pivot).skip(i).for_each(|(to, from)| *to -= factor * from);
            b[j] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        for j in i + 1..n {
            b[i] -= a[i][j] * b[j];
        }
        b[i] /= a[i][i];
    }
    b
}

/// The regression of one item on some others.
fn regression(gramian: &[Vec<f64>], target: usize, on: &[usize], ridge: f64) -> Vec<f64> {
    let row = |i: &usize| on.iter().map(|j| gramian[*i][*j] + if i == j { ridge } else { 0.0 }).collect();
    solve(on.iter().map(row).collect(), on.iter().map(|i| gramian[*i][target]).collect())
}

fn config(neighbours: usize) -> LinearConfig {
    LinearConfig { neighbours, ridge: 2.0, ..LinearConfig::default() }
}

proptest! {
    #[test]
    fn each_column_is_the_regression_on_the_nearest_items(
        matrix in interactions(10), k in 1usize..6, exponent in 0.0f64..1.0,
        similarity in prop::sample::select(vec![Similarity::Cosine, Similarity::Jaccard, Similarity::Overlap]),
    ) {
        let config = LinearConfig { user_exponent: exponent, similarity, ..config(k) };
        let found = linear(&matrix, 1.0, &config, &Silent).unwrap().transpose();
        let gramian = gramian(&matrix, exponent);
        for target in 0..10 {
            let (ids, weights) = found.row(target);
            let on: Vec<usize> = ids.iter().map(|id| *id as usize).collect();
            let others = (0..10).filter(|other| *other != target && gramian[target][*other] > 0.0).count();
            prop_assert_eq!(on.len(), others.min(k));
            let similarity = |other: usize| match similarity {
                Similarity::Cosine => gramian[target][other] / (gramian[target][target] * gramian[other][other]).sqrt(),
                Similarity::Jaccard => {
                    gramian[target][other] / (gramian[target][target] + gramian[other][other] - gramian[target][other])
                }
                Similarity::Overlap => gramian[target][other],
            };
            let least = on.iter().map(|other| similarity(*other)).fold(f64::INFINITY, f64::min);
            let left_out = (0..10).filter(|other| *other != target && gramian[target][*other] > 0.0 && !on.contains(other));
            prop_assert!(left_out.map(similarity).all(|of| of <= least + 1e-5));
            for (found, expected) in weights.iter().zip(regression(&gramian, target, &on, 2.0)) {
                prop_assert!((f64::from(*found) - expected).abs() < 1e-3, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn with_all_items_as_neighbours_it_is_the_full_model(matrix in interactions(8)) {
        let local = linear(&matrix, 1.0, &config(8), &Silent).unwrap();
        let full = linear(&matrix, 1.0, &config(0), &Silent).unwrap();
        let value = |of: &Csr, past: usize, target: u32| {
            let (ids, values) = of.row(past);
            ids.binary_search(&target).map_or(0.0, |place| values[place])
        };
        let gramian = gramian(&matrix, 0.0);
        for past in 0..8usize {
            for target in 0..8u32 {
                // Items without a common user are no neighbours, though the full model may give them a weight.
                let on: Vec<_> = (0..8).filter(|other| gramian[target as usize][*other] > 0.0).collect();
                if on.len() == 8 {
                    let (local, full) = (value(&local, past, target), value(&full, past, target));
                    prop_assert!((local - full).abs() < 1e-3, "{local} for {full}");
                }
            }
        }
    }
}

#[test]
fn the_full_model_is_each_item_regressed_on_all_others() {
    let row = |user: u32| (0..5).map(|k| ((user * 7 + k * k * 3) % 12, 1.0)).collect();
    let matrix = Csr::from_rows(12, (0..60).map(row).collect());
    let found = linear(&matrix, 1.0, &config(0), &Silent).unwrap().transpose();
    let gramian = gramian(&matrix, 0.0);
    for target in 0..12 {
        let on: Vec<usize> = (0..12).filter(|other| *other != target).collect();
        let expected = regression(&gramian, target, &on, 2.0);
        assert_eq!(found.row(target).0.len(), 11);
        for (found, expected) in found.row(target).1.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} for {expected}");
        }
    }
}

#[test]
fn the_full_model_refuses_a_large_catalogue_with_a_remedy() {
    let matrix = Csr::from_rows(9_000, vec![vec![(0, 1.0), (8_999, 1.0)]; 2]);
    let error = linear(&matrix, 1.0, &config(0), &Silent).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains("linear.neighbours"), "{error}");
}

#[test]
fn blocks_and_threads_change_nothing() {
    let row = |user: u32| (0..9).map(|k| ((user * 31 + k * 17) * (k + 1) % 300, 1.0)).collect();
    let matrix = Csr::from_rows(300, (0..900).map(row).collect());
    let config = config(20);
    let gram = Gram::new(&matrix, 0.0, 1.0);
    let items: Vec<u32> = (0..300).collect();
    let whole = local(&gram, &items, 2.0, &config, &Silent).unwrap();
    // A part of the items alone, as after some events: the same columns.
    let part = local(&gram, &items[100..160], 2.0, &config, &Silent).unwrap();
    assert_eq!(whole[100..160], part[..]);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| linear(&matrix, 1.0, &config, &Silent).unwrap())
    };
    assert_eq!(with(1), with(4));
}
