//! The graph filter against its formula in a few dense lines.

use proptest::prelude::*;

use super::*;
use crate::config::FilterConfig;
use crate::linalg::dot;
use crate::progress::Silent;

fn interactions(n_items: usize) -> impl Strategy<Value = Csr> {
    let row = prop::collection::vec((0..n_items as u32, 0.5f32..3.0), 0..6);
    prop::collection::vec(row, 2..20).prop_map(move |rows| Csr::from_rows(n_items, rows))
}

fn dense(matrix: &Csr) -> Vec<Vec<f64>> {
    let mut out = vec![vec![0.0; matrix.n_cols()]; matrix.n_rows()];
    for (row, out) in out.iter_mut().enumerate() {
        let (columns, values) = matrix.row(row);
        columns.iter().zip(values).for_each(|(column, value)| out[*column as usize] = f64::from(*value));
    }
    out
}

/// D_I^−b Rᵀ D_U^−2a R D_I^−b', by its definition.
fn formula(matrix: &Csr, unit: f32, config: &FilterConfig) -> Vec<Vec<f64>> {
    let r = dense(matrix);
    let n = matrix.n_cols();
    let unit = f64::from(unit);
    let user = |u: usize| r[u].iter().sum::<f64>() / unit;
    let item = |i: usize| r.iter().map(|row| row[i]).sum::<f64>() / unit;
    let entry = |j: usize, i: usize| {
        let common = |u: usize| {
            if r[u][j] * r[u][i] == 0.0 { 0.0 } else { r[u][j] * r[u][i] * user(u).powf(-2.0 * config.user_exponent) }
        };
        let sum: f64 = (0..r.len()).map(common).sum();
        if i == j || sum == 0.0 {
            0.0
        } else {
            sum * item(j).powf(-config.history_exponent) * item(i).powf(-config.item_exponent) / (unit * unit)
        }
    };
    (0..n).map(|j| (0..n).map(|i| entry(j, i)).collect()).collect()
}

proptest! {
    #[test]
    fn unpruned_neighbours_are_the_formula(matrix in interactions(9), unit in 0.5f32..2.0, a in 0.0f64..1.0) {
        let config = FilterConfig { user_exponent: a, neighbours: 9, ..FilterConfig::default() };
        let found = dense(&neighbours(&matrix, unit, &config, &Silent).unwrap());
        for (found, expected) in found.iter().flatten().zip(formula(&matrix, unit, &config).iter().flatten()) {
            prop_assert!((found - expected).abs() <= 1e-4 * (1.0 + expected), "{found} for {expected}");
        }
    }

    #[test]
    fn a_pruned_row_keeps_its_largest_entries(matrix in interactions(9), k in 0usize..5) {
        let all = FilterConfig { neighbours: 9, ..FilterConfig::default() };
        let few = FilterConfig { neighbours: k, ..all.clone() };
        let whole = neighbours(&matrix, 1.0, &all, &Silent).unwrap();
        let pruned = neighbours(&matrix, 1.0, &few, &Silent).unwrap();
        for row in 0..9 {
            let mut values = whole.row(row).1.to_vec();
            values.sort_by(|a, b| b.total_cmp(a));
            values.truncate(k);
            let mut kept = pruned.row(row).1.to_vec();
            kept.sort_by(|a, b| b.total_cmp(a));
            prop_assert_eq!(kept, values);
        }
    }

    #[test]
    fn confidences_in_another_unit_give_the_same_neighbours(matrix in interactions(9)) {
        let config = FilterConfig::default();
        let tenfold = matrix.scaled(&vec![10.0; matrix.n_rows()], &[1.0; 9]);
        let one = dense(&neighbours(&matrix, 1.0, &config, &Silent).unwrap());
        let ten = dense(&neighbours(&tenfold, 10.0, &config, &Silent).unwrap());
        for (one, ten) in one.iter().flatten().zip(ten.iter().flatten()) {
            prop_assert!((one - ten).abs() <= 1e-4 * (1.0 + one));
        }
    }

    #[test]
    fn a_full_decomposition_gives_the_matrix_back(matrix in interactions(8)) {
        let Svd { values, right } = truncated_svd(&matrix, 8, 1, &Silent).unwrap();
        // RᵀR = V Σ² Vᵀ.
        let r = dense(&matrix);
        for i in 0..8 {
            for j in 0..8 {
                let expected: f64 = r.iter().map(|row| row[i] * row[j]).sum();
                let found: f64 = values.iter().enumerate().map(|(c, value)| {
                    value * value * f64::from(right.row(i)[c]) * f64::from(right.row(j)[c])
                }).sum();
                prop_assert!((found - expected).abs() < 1e-2 * (1.0 + expected.abs()), "{found} for {expected}");
            }
        }
    }
}

/// Some structure with noise, 400 users and 150 items.
fn structured() -> Csr {
    let row = |user: u32| {
        let pair = |k: u32| {
            let noise = (user * 31 + k * 17).wrapping_mul(2_654_435_761) >> 16;
            (if noise.is_multiple_of(4) { noise % 150 } else { (user % 5) * 30 + noise % 30 }, 1.0)
        };
        (0..12).map(pair).collect()
    };
    Csr::from_rows(150, (0..400).map(row).collect())
}

#[test]
fn the_wanted_singular_values_are_those_of_the_full_decomposition() {
    let matrix = structured();
    let full = truncated_svd(&matrix, 150, 7, &Silent).unwrap();
    let few = truncated_svd(&matrix, 12, 7, &Silent).unwrap();
    let captured = |values: &[f64]| values.iter().take(12).map(|value| value * value).sum::<f64>();
    // The accuracy that is promised: the iteration ends when the captured energy grows by less than 0.3 %.
    assert!(captured(&few.values) > 0.99 * captured(&full.values), "{:?} {:?}", few.values, &full.values[..12]);
    assert!((few.values[0] - full.values[0]).abs() < 1e-3 * full.values[0]);
}

#[test]
fn singular_vectors_are_orthonormal() {
    let Svd { right, .. } = truncated_svd(&structured(), 20, 3, &Silent).unwrap();
    for a in 0..20 {
        for b in 0..=a {
            let product: f64 = (0..150).map(|i| f64::from(right.row(i)[a]) * f64::from(right.row(i)[b])).sum();
            assert!((product - f64::from(u8::from(a == b))).abs() < 1e-4, "{product} at {a}, {b}");
        }
    }
}

#[test]
fn more_components_than_the_rank_are_zero_and_harmless() {
    let matrix = Csr::from_rows(6, vec![vec![(0, 1.0), (1, 1.0)]; 6]);
    let Svd { values, right } = truncated_svd(&matrix, 6, 3, &Silent).unwrap();
    assert!((values[0] - 12f64.sqrt()).abs() < 1e-4, "{values:?}");
    assert!(values[1..].iter().all(|value| value.abs() < 1e-3), "{values:?}");
    assert!(right.data().iter().all(|value| value.is_finite()));
}

#[test]
fn filter_and_low_pass_are_the_same_bit_for_bit_whatever_the_number_of_threads() {
    let matrix = structured();
    let config =
        TrainConfig { filter: FilterConfig { components: 16, ..FilterConfig::default() }, ..TrainConfig::default() };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let low_pass = low_pass(&matrix, 1.0, &config, &Silent).unwrap();
            (neighbours(&matrix, 1.0, &config.filter, &Silent).unwrap(), low_pass.items, low_pass.degrees)
        })
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(4));
}

#[test]
fn the_low_pass_score_is_the_formula() {
    let matrix = structured();
    let score = |spectral_exponent: f64| {
        let filter =
            FilterConfig { components: 150, low_pass_exponent: 0.5, spectral_exponent, ..FilterConfig::default() };
        let config = TrainConfig { filter, ..TrainConfig::default() };
        let LowPass { items, degrees } = low_pass(&matrix, 1.0, &config, &Silent).unwrap();
        move |past: usize, target: usize| degrees[past] * dot(items.row(past), items.row(target))
    };
    let (r, users) = (dense(&matrix), masses(&matrix, 1.0));
    let item = |item: usize| r.iter().map(|row| row[item]).sum::<f64>();
    // V Σ² Vᵀ is R̃ᵀR̃, whose largest eigenvalue is 1; weighed between the degrees of both items.
    let gram = |past: usize, target: usize| {
        let common = r.iter().zip(&users).map(|(row, user)| row[past] * row[target] / f64::from(*user)).sum::<f64>();
        (common / item(past)) as f32
    };
    let (ideal, squared) = (score(0.0), score(2.0));
    for past in (0..150).step_by(10) {
        for target in (0..150).step_by(7) {
            // With all components V Vᵀ is the identity on the items' space: a past item speaks for itself alone.
            let expected = f32::from(u8::from(past == target));
            assert!((ideal(past, target) - expected).abs() < 1e-3, "{} at {past}, {target}", ideal(past, target));
            let expected = gram(past, target);
            assert!((squared(past, target) - expected).abs() < 1e-4, "{} at {past}, {target}", squared(past, target));
        }
    }
}
