//! Eigenvalues and eigenvectors of a symmetric matrix in double precision: Householder's reduction to tridiagonal form,
//! then the QL algorithm with implicit shifts (Golub & Van Loan, Matrix Computations, sections 8.3 and 8.4). Reflections
//! and rotations are first found, then applied to stripes of the vectors that fit the cache, in parallel; no stripe
//! depends on another, so the result is the same bit for bit whatever the number of threads.

#![allow(unsafe_code)]

use rayon::prelude::*;

use super::dispatch::{fma, kernel};
use crate::error::{Error, Result};

/// Columns of a stripe: four AVX registers hide the latency of a rotation that waits for the one before.
const STRIPE: usize = 16;
/// Sweeps that one eigenvalue may take; two are usual.
const MAX_SWEEPS: usize = 60;
/// Rotations kept before they are applied, so that their memory stays small beside the vectors.
const MAX_ROTATIONS: usize = 1 << 20;

/// The eigenvalues of `a`, `[n, n]`, symmetric, in descending order, and the eigenvectors, `[n, n]`: row i is that of
/// the i-th value, of length 1. The lower triangle is read. Costs about 5 n³ multiply-adds, of which 4 n³ in parallel.
///
/// # Errors
/// [`Error::Invalid`] when `a` is not `[n, n]` or holds something that is not a finite number.
pub fn symmetric_eigen(a: &[f64], n: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    if a.len() != n * n || !a.iter().all(|value| value.is_finite()) {
        return Err(Error::invalid("matrix", format!("is not {n} × {n} finite numbers")));
    }
    // Brought to 1, so that no square runs out of range.
    let scale = a.iter().fold(0.0f64, |most, value| most.max(value.abs())).max(f64::MIN_POSITIVE);
    let mut form = Tridiagonal::of(a, n, scale);
    let mut stripes: Vec<Stripe> = (0..n.div_ceil(STRIPE)).map(|stripe| Stripe::unit(n, stripe)).collect();
    stripes.par_iter_mut().for_each(|stripe| reflect(&mut stripe.0, &form.reflections, n));
    let mut sweeps = Sweeps::new(&form);
    loop {
        let rotations = sweeps.next(&mut form)?;
        if rotations.is_empty() {
            break;
        }
        stripes.par_iter_mut().for_each(|stripe| rotate(&mut stripe.0, &rotations));
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| form.diagonal[j].total_cmp(&form.diagonal[i]));
    let values = order.iter().map(|&i| form.diagonal[i] * scale).collect();
    let mut vectors = Vec::with_capacity(n * n);
    for i in order {
        let row = stripes.iter().flat_map(|stripe| stripe.0[i]);
        vectors.extend(row.take(n));
    }
    Ok((values, vectors))
}

/// Some columns of the matrix of eigenvectors by rows, `[n, STRIPE]`.
struct Stripe(Vec<[f64; STRIPE]>);

impl Stripe {
    /// Of the unit matrix.
    fn unit(n: usize, stripe: usize) -> Self {
        let first = stripe * STRIPE;
        let row = |i: usize| std::array::from_fn(|k| if i == first + k { 1.0 } else { 0.0 });
        Self((0..n).map(row).collect())
    }
}

/// A tridiagonal matrix T with Q T Qᵀ the matrix it was made from, Q the product of `reflections`.
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// Beside the diagonal: entry i is between i and i + 1; a last one is zero.
    beside: Vec<f64>,
    /// Row k holds v of the k-th reflection I − v vᵀ, `[n, n]`, zero up to place k.
    reflections: Vec<f64>,
}

impl Tridiagonal {
    /// Of `a` over `scale`.
    fn of(a: &[f64], n: usize, scale: f64) -> Self {
        let mut a: Vec<f64> = a.iter().map(|value| value / scale).collect();
        for i in 0..n {
            for j in 0..i {
                a[j * n + i] = a[i * n + j];
            }
        }
        let mut form = Self { diagonal: vec![0.0; n], beside: vec![0.0; n], reflections: vec![0.0; n * n] };
        tridiagonalise(&mut a, n, &mut form);
        form
    }
}

kernel! {
    fn tridiagonalise(a: &mut [f64], n: usize, form: &mut Tridiagonal) = tridiagonalise_body
}

kernel! {
    /// Applies the reflections, the first one first.
    fn reflect(stripe: &mut [[f64; STRIPE]], reflections: &[f64], n: usize) = reflect_body
}

kernel! {
    fn rotate(stripe: &mut [[f64; STRIPE]], rotations: &[Rotation]) = rotate_body
}

/// Step k takes what is beside column k's neighbour of the diagonal to zero: A ← (I − v vᵀ) A (I − v vᵀ), which is
/// A − v wᵀ − w vᵀ with w = p − ½ (p·v) v and p = A v. Updating A and multiplying it by the next v are one sweep.
#[inline(always)]
fn tridiagonalise_body<const FMA: bool>(a: &mut [f64], n: usize, form: &mut Tridiagonal) {
    let (mut w, mut product) = (vec![0.0; n], vec![0.0; n]);
    let mut v = vec![0.0; n];
    for k in 0..n {
        // The row is brought up to date first: the next reflection follows from it.
        let (_, rest) = a.split_at_mut(k * n);
        let (row, below) = rest.split_at_mut(n);
        subtract_pair::<FMA>(&mut row[k..], v[k], w[k], &v[k..], &w[k..]);
        form.diagonal[k] = row[k];
        let next = &mut form.reflections[k * n..(k + 1) * n];
        if k + 1 < n {
            next[k + 1..].copy_from_slice(&row[k + 1..]);
            form.beside[k] = householder::<FMA>(&mut next[k + 1..]);
        }
        let from = k + 1;
        let (old_v, old_w) = (&v[from..], &w[from..]);
        for (i, row) in below.chunks_exact_mut(n).enumerate() {
            let row = &mut row[from..];
            subtract_pair::<FMA>(row, old_v[i], old_w[i], old_v, old_w);
            product[from + i] = dot::<FMA>(row, &next[from..]);
        }
        v.copy_from_slice(next);
        let half = 0.5 * dot::<FMA>(&product[from..], &v[from..]);
        for ((w, product), v) in w.iter_mut().zip(&product).zip(&v).skip(from) {
            *w = product - half * v;
        }
    }
}

/// Turns `x` into the v of length √2 whose reflection takes it to (result, 0, 0, …); zero when it is there already.
#[inline(always)]
fn householder<const FMA: bool>(x: &mut [f64]) -> f64 {
    let scale = x.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    if scale == 0.0 || x.iter().skip(1).all(|value| *value == 0.0) {
        let result = x[0];
        x.fill(0.0);
        return result;
    }
    x.iter_mut().for_each(|value| *value /= scale);
    let norm = dot::<FMA>(x, x).sqrt();
    // Away from zero: no digits are lost.
    let signed = norm.copysign(x[0]);
    x[0] += signed;
    // |v|² = 2 norm (norm + |x₀|) before it is brought to 2.
    let length = (norm * x[0].abs()).sqrt();
    x.iter_mut().for_each(|value| *value /= length);
    -signed * scale
}

/// `row -= a · w + b · v`.
#[inline(always)]
fn subtract_pair<const FMA: bool>(row: &mut [f64], a: f64, b: f64, v: &[f64], w: &[f64]) {
    for ((row, v), w) in row.iter_mut().zip(v).zip(w) {
        *row = fma!(FMA, -a, *w, fma!(FMA, -b, *v, *row));
    }
}

#[inline(always)]
fn dot<const FMA: bool>(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a[..n].as_chunks::<16>(), b[..n].as_chunks::<16>());
    let mut sums = [0.0; 16];
    for (a, b) in a.iter().zip(b) {
        for l in 0..16 {
            sums[l] = fma!(FMA, a[l], b[l], sums[l]);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[inline(always)]
fn reflect_body<const FMA: bool>(stripe: &mut [[f64; STRIPE]], reflections: &[f64], n: usize) {
    for (k, v) in reflections.chunks_exact(n).enumerate() {
        let mut product = [0.0; STRIPE];
        for (row, &v) in stripe.iter().zip(v).skip(k + 1) {
            for l in 0..STRIPE {
                product[l] = fma!(FMA, v, row[l], product[l]);
            }
        }
        for (row, &v) in stripe.iter_mut().zip(v).skip(k + 1) {
            for l in 0..STRIPE {
                row[l] = fma!(FMA, -v, product[l], row[l]);
            }
        }
    }
}

/// A plane rotation of rows `row` and `row + 1`.
#[derive(Clone, Copy)]
struct Rotation {
    row: usize,
    cos: f64,
    sin: f64,
}

#[inline(always)]
fn rotate_body<const FMA: bool>(stripe: &mut [[f64; STRIPE]], rotations: &[Rotation]) {
    for rotation in rotations {
        let Some([above, below]) = stripe.get_mut(rotation.row..rotation.row + 2) else { continue };
        for l in 0..STRIPE {
            let (a, b) = (above[l], below[l]);
            below[l] = fma!(FMA, rotation.sin, a, rotation.cos * b);
            above[l] = fma!(FMA, rotation.cos, a, -rotation.sin * b);
        }
    }
}

/// Brings a tridiagonal matrix to diagonal form, eigenvalue by eigenvalue from the first on.
struct Sweeps {
    /// The eigenvalue being sought, and the sweeps it has taken.
    at: usize,
    taken: usize,
    /// What is nothing beside the largest entries, and may be taken for zero.
    negligible: f64,
}

impl Sweeps {
    fn new(form: &Tridiagonal) -> Self {
        let entries = form.diagonal.iter().chain(&form.beside);
        Self { at: 0, taken: 0, negligible: f64::EPSILON * entries.fold(0.0f64, |most, value| most.max(value.abs())) }
    }

    /// The next rotations, none when the form is diagonal.
    fn next(&mut self, form: &mut Tridiagonal) -> Result<Vec<Rotation>> {
        let mut rotations = Vec::new();
        while self.at < form.diagonal.len() && rotations.len() < MAX_ROTATIONS {
            let end = self.unreduced_end(form);
            if end == self.at {
                (self.at, self.taken) = (self.at + 1, 0);
                continue;
            }
            self.taken += 1;
            if self.taken > MAX_SWEEPS {
                return Err(Error::invalid("matrix", "has eigenvalues that could not be told apart"));
            }
            sweep(form, self.at, end, &mut rotations);
        }
        Ok(rotations)
    }

    /// The last row of the block from here on that no negligible entry beside the diagonal cuts.
    fn unreduced_end(&self, form: &Tridiagonal) -> usize {
        let last = form.diagonal.len() - 1;
        (self.at..last).find(|&i| form.beside[i].abs() <= self.negligible).unwrap_or(last)
    }
}

/// One implicit QL sweep with Wilkinson's shift over rows `start..=end`: the bulge is chased from the end to the start.
fn sweep(form: &mut Tridiagonal, start: usize, end: usize, rotations: &mut Vec<Rotation>) {
    let Tridiagonal { diagonal, beside, .. } = form;
    let half_gap = (diagonal[start + 1] - diagonal[start]) / (2.0 * beside[start]);
    let reach = half_gap.hypot(1.0).copysign(half_gap);
    // What is chased: at first the last diagonal entry less the shift.
    let mut chased = diagonal[end] - diagonal[start] + beside[start] / (half_gap + reach);
    let (mut cos, mut sin, mut shift) = (1.0, 1.0, 0.0);
    for i in (start..end).rev() {
        let (bulge, next) = (sin * beside[i], cos * beside[i]);
        let length = (bulge * bulge + chased * chased).sqrt();
        beside[i + 1] = length;
        if length == 0.0 {
            // The block falls apart here; what is left of it is swept anew.
            diagonal[i + 1] -= shift;
            beside[end] = 0.0;
            return;
        }
        (sin, cos) = (bulge / length, chased / length);
        let rest = diagonal[i + 1] - shift;
        let turned = (diagonal[i] - rest) * sin + 2.0 * cos * next;
        shift = sin * turned;
        diagonal[i + 1] = rest + shift;
        chased = cos * turned - next;
        rotations.push(Rotation { row: i, cos, sin });
    }
    diagonal[start] -= shift;
    beside[start] = chased;
    beside[end] = 0.0;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The largest errors of A V = V L and of V Vᵀ = I, relative to the largest eigenvalue.
    fn errors(a: &[f64], n: usize, values: &[f64], vectors: &[f64]) -> (f64, f64) {
        let scale = values.iter().fold(1e-300f64, |most, value| most.max(value.abs()));
        let (mut of_values, mut of_length) = (0.0f64, 0.0f64);
        for (i, (value, v)) in values.iter().zip(vectors.chunks_exact(n)).enumerate() {
            for (row, x) in a.chunks_exact(n).zip(v) {
                let product: f64 = row.iter().zip(v).map(|(a, v)| a * v).sum();
                of_values = of_values.max((product - value * x).abs() / scale);
            }
            for (j, other) in vectors.chunks_exact(n).enumerate() {
                let product: f64 = v.iter().zip(other).map(|(a, b)| a * b).sum();
                of_length = of_length.max((product - f64::from(u8::from(i == j))).abs());
            }
        }
        (of_values, of_length)
    }

    fn check(a: &[f64], n: usize) {
        let (values, vectors) = symmetric_eigen(a, n).unwrap();
        let (of_values, of_length) = errors(a, n, &values, &vectors);
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]), "{values:?}");
        assert!(of_values < 1e-12 && of_length < 1e-12, "{of_values:e} and {of_length:e} at n = {n}");
    }

    fn symmetric(n: usize, entry: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        (0..n * n).map(|at| entry((at / n).max(at % n), (at / n).min(at % n))).collect()
    }

    proptest! {
        #[test]
        fn the_vectors_are_orthonormal_and_satisfy_the_definition(
            n in 1usize..40, data in prop::collection::vec(-3f64..3.0, 40 * 40), exponent in -150i32..150
        ) {
            let scale = 10f64.powi(exponent);
            check(&symmetric(n, |i, j| data[i * 40 + j] * scale), n);
        }
    }

    #[test]
    fn matrices_with_equal_or_vanishing_eigenvalues_are_no_exception() {
        check(&symmetric(5, |_, _| 0.0), 5);
        check(&symmetric(5, |i, j| if i == j { 2.0 } else { 0.0 }), 5);
        check(&symmetric(37, |_, _| 1.0), 37);
        check(&symmetric(6, |i, j| if i == j { i as f64 - 2.0 } else { 0.0 }), 6);
        // Of rank 3, with eigenvalues over twelve orders of magnitude.
        let row = |i: usize, k: usize| ((i * 7 + k * 13) as f64).sin() * 10f64.powi(-(3 * k as i32));
        check(&symmetric(50, |i, j| (0..3).map(|k| row(i, k) * row(j, k)).sum()), 50);
    }

    #[test]
    fn a_matrix_of_several_stripes_is_solved_the_same_whatever_the_number_of_threads() {
        let a = symmetric(133, |i, j| ((i * 31 + j * 17) as f64).sin() / (1.0 + i as f64 - j as f64));
        check(&a, 133);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| symmetric_eigen(&a, 133).unwrap())
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn the_portable_kernels_agree_with_the_wide_ones() {
        let n = 21;
        let a = symmetric(n, |i, j| ((i * 3 + j * 5) as f64).cos());
        let empty = || Tridiagonal { diagonal: vec![0.0; n], beside: vec![0.0; n], reflections: vec![0.0; n * n] };
        let (mut wide, mut portable) = (empty(), empty());
        tridiagonalise(&mut a.clone(), n, &mut wide);
        tridiagonalise_body::<false>(&mut a.clone(), n, &mut portable);
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near(&wide.diagonal, &portable.diagonal) && near(&wide.beside, &portable.beside));
        let (mut one, mut other) = (Stripe::unit(n, 0), Stripe::unit(n, 0));
        let turns: Vec<Rotation> = (0..n - 1).map(|row| Rotation { row, cos: 0.6, sin: 0.8 }).collect();
        reflect(&mut one.0, &wide.reflections, n);
        rotate(&mut one.0, &turns);
        reflect_body::<false>(&mut other.0, &wide.reflections, n);
        rotate_body::<false>(&mut other.0, &turns);
        assert!(near(one.0.as_flattened(), other.0.as_flattened()));
    }

    #[test]
    fn what_is_not_a_square_of_finite_numbers_is_refused() {
        assert!(symmetric_eigen(&[1.0; 3], 2).is_err());
        assert!(symmetric_eigen(&[f64::NAN], 1).is_err());
        assert_eq!(symmetric_eigen(&[], 0).unwrap(), (vec![], vec![]));
    }
}
