//! The inner loops over lanes of eight numbers.

#![allow(unsafe_code)]

use super::dispatch::kernel;
use super::matrix::Rows;

/// Numbers in a lane group: one AVX register.
const LANES: usize = 8;

kernel! {
    /// The inner product of `a` and `b`; of different lengths, that of the common part.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body
}

kernel! {
    /// `y += alpha · x`, over the common part.
    pub fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) = axpy_body
}

kernel! {
    /// `out = Σ wᵢ xᵢ`: the rows `xᵢ` of `rows`, `[n, m]` with m the length of `out`, weighted by as many `weights` as there
    /// are of both. A product of a vector with a matrix, without the sums across lanes that inner products end with.
    pub fn combine(weights: &[f32], rows: &[f32], out: &mut [f32]) = combine_body
}

kernel! {
    /// `a += Σ wᵢ yᵢ yᵢᵀ` over the rows `yᵢ` of `rows` that `ids` names: the rank-k update of normal equations. `a` is
    /// `[dim, dim]`; its lower triangle with the diagonal is updated, what becomes of the rest is not defined.
    pub fn add_outer(a: &mut [f32], rows: Rows<'_>, ids: &[u32], weights: &[f32]) = add_outer_body
}

kernel! {
    /// The Cholesky factor of `a`, `[dim, dim]`, lower triangle, in place. `false` when `a` is not positive definite.
    pub fn cholesky(a: &mut [f32], dim: usize) -> bool = cholesky_body
}

#[inline(always)]
fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction, `mul_add` would be a slow call into the C library.
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn sum(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[inline(always)]
fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let (a_groups, a_rest) = a[..n].as_chunks::<LANES>();
    let (b_groups, b_rest) = b[..n].as_chunks::<LANES>();
    // Four independent sums hide the latency of the multiply-add.
    let mut sums = [[0.0; LANES]; 4];
    let (a_blocks, a_groups) = a_groups.as_chunks::<4>();
    let (b_blocks, b_groups) = b_groups.as_chunks::<4>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for k in 0..4 {
            for l in 0..LANES {
                sums[k][l] = fma::<FMA>(x[k][l], y[k][l], sums[k][l]);
            }
        }
    }
    for (x, y) in a_groups.iter().zip(b_groups) {
        for l in 0..LANES {
            sums[0][l] = fma::<FMA>(x[l], y[l], sums[0][l]);
        }
    }
    let mut total = [0.0; LANES];
    for l in 0..LANES {
        total[l] = (sums[0][l] + sums[1][l]) + (sums[2][l] + sums[3][l]);
    }
    let mut out = sum(total);
    for (x, y) in a_rest.iter().zip(b_rest) {
        out = fma::<FMA>(*x, *y, out);
    }
    out
}

#[inline(always)]
fn axpy_body<const FMA: bool>(alpha: f32, x: &[f32], y: &mut [f32]) {
    let n = x.len().min(y.len());
    let (x_groups, x_rest) = x[..n].as_chunks::<LANES>();
    let (y_groups, y_rest) = y[..n].as_chunks_mut::<LANES>();
    for (x, y) in x_groups.iter().zip(y_groups) {
        for l in 0..LANES {
            y[l] = fma::<FMA>(alpha, x[l], y[l]);
        }
    }
    for (x, y) in x_rest.iter().zip(y_rest) {
        *y = fma::<FMA>(alpha, *x, *y);
    }
}

/// `y += Σ alphas[k] · xs[k]` over the length of `y`: one load and store of `y` for four products.
#[inline(always)]
fn axpy4_body<const FMA: bool>(alphas: [f32; 4], xs: [&[f32]; 4], y: &mut [f32]) {
    let n = y.len();
    let [x0, x1, x2, x3] = xs.map(|x| x[..n].as_chunks::<LANES>());
    let (groups, rest) = y.as_chunks_mut::<LANES>();
    for ((((y, x0), x1), x2), x3) in groups.iter_mut().zip(x0.0).zip(x1.0).zip(x2.0).zip(x3.0) {
        for l in 0..LANES {
            let first = fma::<FMA>(alphas[1], x1[l], fma::<FMA>(alphas[0], x0[l], y[l]));
            y[l] = fma::<FMA>(alphas[3], x3[l], fma::<FMA>(alphas[2], x2[l], first));
        }
    }
    for ((((y, x0), x1), x2), x3) in rest.iter_mut().zip(x0.1).zip(x1.1).zip(x2.1).zip(x3.1) {
        let first = fma::<FMA>(alphas[1], *x1, fma::<FMA>(alphas[0], *x0, *y));
        *y = fma::<FMA>(alphas[3], *x3, fma::<FMA>(alphas[2], *x2, first));
    }
}

#[inline(always)]
fn combine_body<const FMA: bool>(weights: &[f32], rows: &[f32], out: &mut [f32]) {
    let m = out.len();
    let mut first = 0;
    while first < m {
        let width = match m - first {
            64.. => 64,
            8.. => 8,
            _ => 1,
        };
        match width {
            64 => combine_columns::<FMA, 64>(weights, rows, m, first, out),
            8 => combine_columns::<FMA, 8>(weights, rows, m, first, out),
            _ => combine_columns::<FMA, 1>(weights, rows, m, first, out),
        }
        first += width;
    }
}

/// Some columns of the result, which stay in registers over all rows.
#[inline(always)]
fn combine_columns<const FMA: bool, const WIDTH: usize>(
    weights: &[f32],
    rows: &[f32],
    m: usize,
    first: usize,
    out: &mut [f32],
) {
    let mut sums = [0.0; WIDTH];
    for (weight, row) in weights.iter().zip(rows.chunks_exact(m)) {
        if let Some(row) = row[first..].first_chunk::<WIDTH>() {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum = fma::<FMA>(*weight, *value, *sum);
            }
        }
    }
    out[first..first + WIDTH].copy_from_slice(&sums);
}

#[inline(always)]
fn add_outer_body<const FMA: bool>(a: &mut [f32], rows: Rows<'_>, ids: &[u32], weights: &[f32]) {
    let dim = rows.dim();
    for (ids, weights) in ids.chunks(4).zip(weights.chunks(4)) {
        // Fewer than four are filled up with weights of zero.
        let Some(&first) = ids.first() else { continue };
        let mut scale = [0.0; 4];
        let mut ys = [rows.row(first as usize); 4];
        for (k, (&id, &weight)) in ids.iter().zip(weights).enumerate() {
            scale[k] = weight;
            ys[k] = rows.row(id as usize);
        }
        for (i, row) in a.chunks_exact_mut(dim).enumerate() {
            let alphas = [scale[0] * ys[0][i], scale[1] * ys[1][i], scale[2] * ys[2][i], scale[3] * ys[3][i]];
            // Whole lane groups, past the diagonal if need be: cheaper than a ragged end.
            let end = (i + 1).next_multiple_of(LANES).min(dim);
            axpy4_body::<FMA>(alphas, ys, &mut row[..end]);
        }
    }
}

/// Row by row, left-looking: entry (i, j) needs the inner product of what is done of rows i and j.
#[inline(always)]
fn cholesky_body<const FMA: bool>(a: &mut [f32], dim: usize) -> bool {
    for i in 0..dim {
        let (above, from_row) = a.split_at_mut(i * dim);
        let row = &mut from_row[..dim];
        for (j, other) in above.chunks_exact(dim).enumerate() {
            row[j] = (row[j] - dot_body::<FMA>(&row[..j], &other[..j])) / other[j];
        }
        let pivot = row[i] - dot_body::<FMA>(&row[..i], &row[..i]);
        // Also false for a pivot that is not a number.
        if !(pivot > 0.0 && pivot.is_finite()) {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vectors() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        (0usize..300)
            .prop_flat_map(|n| (prop::collection::vec(-10f32..10.0, n), prop::collection::vec(-10f32..10.0, n)))
    }

    fn near(a: &[f32], b: &[f32], scale: f32) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + scale))
    }

    fn naive_dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
    }

    /// Rows of a matrix, some of them named with weights.
    fn weighted_rows() -> impl Strategy<Value = (usize, Vec<f32>, Vec<u32>, Vec<f32>)> {
        (1usize..40, 0usize..12).prop_flat_map(|(dim, named)| {
            (
                Just(dim),
                prop::collection::vec(-2f32..2.0, 7 * dim),
                prop::collection::vec(0u32..7, named),
                prop::collection::vec(0f32..3.0, named),
            )
        })
    }

    proptest! {
        #[test]
        fn the_wide_and_the_portable_inner_product_agree_with_the_naive((a, b) in vectors()) {
            let scale = a.iter().zip(&b).map(|(a, b)| (a * b).abs()).sum();
            let expected = naive_dot(&a, &b);
            prop_assert!(near(&[dot(&a, &b)], &[expected], scale));
            prop_assert!(near(&[dot_body::<false>(&a, &b)], &[expected], scale));
        }

        #[test]
        fn the_wide_and_the_portable_axpy_agree_with_the_naive((x, y) in vectors(), alpha in -3f32..3.0) {
            let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| alpha * x + y).collect();
            let (mut wide, mut portable) = (y.clone(), y);
            axpy(alpha, &x, &mut wide);
            axpy_body::<false>(alpha, &x, &mut portable);
            prop_assert!(near(&wide, &expected, 40.0));
            prop_assert!(near(&portable, &expected, 40.0));
        }

        #[test]
        fn a_combination_of_rows_agrees_with_the_naive(
            m in 0usize..150, data in prop::collection::vec(-2f32..2.0, 150 * 9), weights in prop::collection::vec(-3f32..3.0, 0..9),
        ) {
            let rows = &data[..9 * m];
            let expected: Vec<f32> =
                (0..m).map(|j| weights.iter().enumerate().map(|(i, weight)| weight * rows[i * m + j]).sum()).collect();
            let (mut wide, mut portable) = (vec![7.0; m], vec![7.0; m]);
            combine(&weights, rows, &mut wide);
            combine_body::<false>(&weights, rows, &mut portable);
            prop_assert!(near(&wide, &expected, 60.0));
            prop_assert!(near(&portable, &expected, 60.0));
        }

        #[test]
        fn outer_products_agree_with_the_naive((dim, data, ids, weights) in weighted_rows()) {
            let rows = Rows::new(dim, &data).unwrap();
            let mut expected = vec![0.0f32; dim * dim];
            for (&id, &weight) in ids.iter().zip(&weights) {
                let y = rows.row(id as usize);
                for i in 0..dim {
                    for j in 0..dim {
                        expected[i * dim + j] += weight * y[i] * y[j];
                    }
                }
            }
            let lower = |a: &[f32]| -> Vec<f32> { (0..dim).flat_map(|i| a[i * dim..=i * dim + i].to_vec()).collect() };
            let (mut wide, mut portable) = (vec![0.0; dim * dim], vec![0.0; dim * dim]);
            add_outer(&mut wide, rows, &ids, &weights);
            add_outer_body::<false>(&mut portable, rows, &ids, &weights);
            prop_assert!(near(&lower(&wide), &lower(&expected), 100.0));
            prop_assert!(near(&lower(&portable), &lower(&expected), 100.0));
        }

        #[test]
        fn a_cholesky_factor_times_its_transpose_is_the_matrix((dim, data, _, _) in weighted_rows()) {
            let rows = Rows::new(dim, &data).unwrap();
            let mut a = vec![0.0; dim * dim];
            add_outer_body::<false>(&mut a, rows, &[0, 1, 2, 3, 4, 5, 6], &[1.0; 7]);
            for i in 0..dim {
                a[i * dim + i] += 1.0;
            }
            let (mut wide, mut portable) = (a.clone(), a.clone());
            prop_assert!(cholesky(&mut wide, dim) && cholesky_body::<false>(&mut portable, dim));
            for factor in [wide, portable] {
                for i in 0..dim {
                    for j in 0..=i {
                        let back = naive_dot(&factor[i * dim..=i * dim + j], &factor[j * dim..=j * dim + j]);
                        prop_assert!((back - a[i * dim + j]).abs() < 1e-3, "{back} for {}", a[i * dim + j]);
                    }
                }
            }
        }
    }
}
