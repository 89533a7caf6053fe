//! Vectors in lane groups, and rows of numbers four at a time beside them: what is loaded and stored of a vector is shared by
//! four rows. The loops are as wide as the function that they are inlined in.

#![allow(unsafe_code)]

use super::dispatch::fma;

/// Numbers in a lane group: one AVX register.
pub const LANES: usize = 8;
/// Rows that share what is loaded and stored of a vector.
pub const TOGETHER: usize = 4;

/// Asks for a row that is soon needed and lies anywhere, 256 numbers of it: past them the processor has seen a stream and asks
/// for the rest by itself.
#[inline(always)]
pub fn prefetch(row: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in row.chunks(16).take(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and never faults; SSE, which has it, belongs to x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

/// The inner products of four rows with `x`.
#[inline(always)]
pub fn four_dots<const FMA: bool>(rows: [&[f32]; TOGETHER], x: &[[f32; LANES]]) -> [f32; TOGETHER] {
    let n = rows[0].len();
    let [(a, a_tail), (b, b_tail), (c, c_tail), (d, d_tail)] = rows.map(|row| row[..n].as_chunks::<LANES>());
    let [mut of_a, mut of_b, mut of_c, mut of_d] = [[0.0f32; LANES]; TOGETHER];
    for ((((x, a), b), c), d) in x.iter().zip(a).zip(b).zip(c).zip(d) {
        for l in 0..LANES {
            of_a[l] = fma!(FMA, a[l], x[l], of_a[l]);
            of_b[l] = fma!(FMA, b[l], x[l], of_b[l]);
            of_c[l] = fma!(FMA, c[l], x[l], of_c[l]);
            of_d[l] = fma!(FMA, d[l], x[l], of_d[l]);
        }
    }
    let mut out = fold(&[of_a, of_b, of_c, of_d]);
    if let (false, Some(x)) = (a_tail.is_empty(), x.last()) {
        for (out, tail) in out.iter_mut().zip([a_tail, b_tail, c_tail, d_tail]) {
            for (y, x) in tail.iter().zip(x) {
                *out = fma!(FMA, *y, *x, *out);
            }
        }
    }
    out
}

/// The sums of each row's lanes. Never inlined: the compiler would turn the loop before it around, rows into lanes, and
/// spend more on shuffling than on adding.
#[inline(never)]
fn fold(lanes: &[[f32; LANES]; TOGETHER]) -> [f32; TOGETHER] {
    lanes.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h)))
}

/// `onto += Σ factors[k] · rows[k]`.
#[inline(always)]
pub fn add_four<const FMA: bool>(factors: [f32; TOGETHER], rows: [&[f32]; TOGETHER], onto: &mut [[f32; LANES]]) {
    let n = rows[0].len();
    let [(a, a_tail), (b, b_tail), (c, c_tail), (d, d_tail)] = rows.map(|row| row[..n].as_chunks::<LANES>());
    for ((((onto, a), b), c), d) in onto.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        for l in 0..LANES {
            let first = fma!(FMA, factors[1], b[l], fma!(FMA, factors[0], a[l], onto[l]));
            onto[l] = fma!(FMA, factors[3], d[l], fma!(FMA, factors[2], c[l], first));
        }
    }
    if let (false, Some(onto)) = (a_tail.is_empty(), onto.last_mut()) {
        for (factor, tail) in factors.iter().zip([a_tail, b_tail, c_tail, d_tail]) {
            for (onto, y) in onto.iter_mut().zip(tail) {
                *onto = fma!(FMA, *factor, *y, *onto);
            }
        }
    }
}

/// `Σ a b²`.
#[inline(always)]
pub fn weighted_square<const FMA: bool>(a: &[[f32; LANES]], b: &[[f32; LANES]]) -> f32 {
    let mut sums = [[0.0f32; LANES]; TOGETHER];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<TOGETHER>(), b.as_chunks::<TOGETHER>());
    for (a, b) in a.iter().zip(b) {
        for k in 0..TOGETHER {
            for l in 0..LANES {
                sums[k][l] = fma!(FMA, a[k][l] * b[k][l], b[k][l], sums[k][l]);
            }
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        for l in 0..LANES {
            sums[0][l] = fma!(FMA, a[l] * b[l], b[l], sums[0][l]);
        }
    }
    fold(&sums).iter().sum()
}

/// `Σ w p²` over the rows, in double precision where there are many.
#[inline(always)]
pub fn row_square(weights: &[f32], products: &[f32]) -> f32 {
    let blocks = weights.chunks(1024).zip(products.chunks(1024));
    let sum = |(weights, products): (&[f32], &[f32])| {
        f64::from(weights.iter().zip(products).map(|(weight, product)| weight * product * product).sum::<f32>())
    };
    blocks.map(sum).sum::<f64>() as f32
}

/// `from` in lane groups, filled up with zeros.
pub fn pack(from: &[f32], to: &mut Vec<[f32; LANES]>) {
    let (groups, rest) = from.as_chunks::<LANES>();
    to.clear();
    to.extend_from_slice(groups);
    if !rest.is_empty() {
        let mut last = [0.0; LANES];
        last[..rest.len()].copy_from_slice(rest);
        to.push(last);
    }
}

/// The first numbers of lane groups, as many as `to` has.
pub fn unpack(from: &[[f32; LANES]], to: &mut [f32]) {
    let n = to.len();
    to.copy_from_slice(&from.as_flattened()[..n]);
}
