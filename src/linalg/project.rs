//! Rows times a basis: every row of a tall matrix expressed in other axes. Blocked so that the basis stays in the cache
//! and a tile of the result in registers.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod x86;

use rayon::prelude::*;

use super::dispatch::fma;
use super::matrix::{Matrix, Rows};

/// Columns of a tile: two AVX registers, or one of AVX-512.
const TILE_COLUMNS: usize = 16;
/// Rows of a tile of the portable form.
const TILE_ROWS: usize = 6;
/// Rows that a task takes: whole tiles of 6 and of 12, whose rows stay in the second-level cache.
const TASK_ROWS: usize = 16 * TILE_ROWS;

/// `rows`, `[n, k]`, times the transpose of `basis`, `[m, k]` row-major: `[n, m]`, entry (i, j) the inner product of row
/// i with row j of the basis. Numbers of `basis` past the last whole row are not read. Parallel over rows, and the same
/// bit for bit whatever the number of threads.
pub fn project(rows: Rows<'_>, basis: &[f32]) -> Matrix {
    let (k, m) = (rows.dim(), basis.len() / rows.dim().max(1));
    let mut out = Matrix::zeros(rows.len(), m);
    if m == 0 {
        return out;
    }
    let panels = pack(basis, k);
    out.data_mut().par_chunks_mut(TASK_ROWS * m).zip(rows.data().par_chunks(TASK_ROWS * k)).for_each(|(out, rows)| {
        project_block(rows, k, &panels, out, m);
    });
    out
}

/// The inner product of every row, `[n, k]`, with every one of `others`, `[m, k]`: `[n, m]`. For few rows and many others,
/// which are read once. As for [`project`], an entry depends on its two rows alone.
pub fn inner_products(rows: Rows<'_>, others: Rows<'_>) -> Matrix {
    let (n, m) = (rows.len(), others.len());
    let mut out = Matrix::zeros(n, m);
    if n == 0 || m == 0 {
        return out;
    }
    let by_other = project(others, rows.data());
    // Turned round by as many columns as a line of the cache has.
    out.data_mut().par_chunks_mut(TILE_COLUMNS * m).enumerate().for_each(|(tile, out)| {
        let mut rows: Vec<_> = out.chunks_exact_mut(m).map(|row| row.iter_mut()).collect();
        for other in by_other.data().chunks_exact(n) {
            for (row, value) in rows.iter_mut().zip(&other[tile * TILE_COLUMNS..]) {
                row.next().into_iter().for_each(|to| *to = *value);
            }
        }
    });
    out
}

/// Replaces each row of `rows`, `[n, k]`, by its projection on `basis`, `[k, k]`: as [`project`], in place.
pub fn rotate(rows: &mut Matrix, basis: &[f32]) {
    let k = rows.dim();
    let panels = pack(basis, k);
    rows.data_mut().par_chunks_mut(TASK_ROWS * k).for_each_init(Vec::new, |old, rows| {
        old.clear();
        old.extend_from_slice(rows);
        project_block(old, k, &panels, rows, k);
    });
}

/// The basis by panels: `TILE_COLUMNS` of its rows side by side, `[m / TILE_COLUMNS, k, TILE_COLUMNS]`, filled up with
/// zeros.
fn pack(basis: &[f32], k: usize) -> Vec<[f32; TILE_COLUMNS]> {
    let panel = |rows: &[f32]| -> Vec<[f32; TILE_COLUMNS]> {
        let entry = |p: usize| std::array::from_fn(|j| rows.get(j * k + p).copied().unwrap_or(0.0));
        (0..k).map(entry).collect()
    };
    let whole = &basis[..basis.len() / k * k];
    whole.chunks(TILE_COLUMNS * k).flat_map(panel).collect()
}

/// Projects `rows`, `[n, k]`, into `out`, `[n, m]`, by the widest form that the processor has.
fn project_block(rows: &[f32], k: usize, panels: &[[f32; TILE_COLUMNS]], out: &mut [f32], m: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: it asks of its caller only that the processor has AVX-512F, tested just above.
            return unsafe { x86::project_512(rows, k, panels, out, m) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: it asks of its caller only that the processor has AVX2 and FMA, tested just above.
            return unsafe { x86::project_256(rows, k, panels, out, m) };
        }
    }
    project_portable::<{ cfg!(target_arch = "aarch64") }>(rows, k, panels, out, m);
}

#[inline(always)]
fn project_portable<const FMA: bool>(
    rows: &[f32],
    k: usize,
    panels: &[[f32; TILE_COLUMNS]],
    out: &mut [f32],
    m: usize,
) {
    for (panel, first) in panels.chunks_exact(k).zip((0..m).step_by(TILE_COLUMNS)) {
        for (rows, out) in rows.chunks(TILE_ROWS * k).zip(out.chunks_mut(TILE_ROWS * m)) {
            // A tile with fewer rows repeats the first; what is computed twice is not stored.
            let row = |r: usize| rows.get(r * k..(r + 1) * k).unwrap_or(&rows[..k]);
            let sums = tile::<FMA>([row(0), row(1), row(2), row(3), row(4), row(5)], panel);
            for (out, sums) in out.chunks_exact_mut(m).zip(&sums) {
                let out = &mut out[first..];
                // A length known beforehand is stored from registers.
                match out.first_chunk_mut::<TILE_COLUMNS>() {
                    Some(out) => *out = *sums,
                    None => out.copy_from_slice(&sums[..out.len()]),
                }
            }
        }
    }
}

#[inline(always)]
fn tile<const FMA: bool>(rows: [&[f32]; TILE_ROWS], panel: &[[f32; TILE_COLUMNS]]) -> [[f32; TILE_COLUMNS]; TILE_ROWS] {
    let rows = rows.map(|row| &row[..panel.len()]);
    let mut sums = [[0.0f32; TILE_COLUMNS]; TILE_ROWS];
    for (p, columns) in panel.iter().enumerate() {
        for r in 0..TILE_ROWS {
            for j in 0..TILE_COLUMNS {
                sums[r][j] = fma!(FMA, rows[r][p], columns[j], sums[r][j]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) as f32) / 4e9 - 0.5).collect()
    }

    proptest! {
        #[test]
        fn a_projection_holds_the_naive_inner_products(
            n in 0usize..220, k in 1usize..40, m in 0usize..40, seed in 0u32..1000
        ) {
            let (data, basis) = (numbers(n * k, seed), numbers(m * k, seed + 7));
            let rows = Rows::new(k, &data).unwrap();
            let wide = project(rows, &basis);
            let mut portable = vec![0.0; n * m];
            if m > 0 {
                project_portable::<false>(&data, k, &pack(&basis, k), &mut portable, m);
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    let mut narrow = vec![0.0; n * m];
                    // SAFETY: the processor has AVX2 and FMA.
                    unsafe { x86::project_256(&data, k, &pack(&basis, k), &mut narrow, m) };
                    prop_assert_eq!(wide.data(), &narrow, "every wide form makes the same bits");
                }
            }
            prop_assert_eq!(wide.data().len(), n * m);
            for (at, (wide, portable)) in wide.data().iter().zip(&portable).enumerate() {
                let (row, axis) = (rows.row(at / m), &basis[at % m * k..][..k]);
                let naive: f64 = row.iter().zip(axis).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                prop_assert!((f64::from(*wide) - naive).abs() < 1e-5);
                prop_assert!((f64::from(*portable) - naive).abs() < 1e-5);
            }
        }

        #[test]
        fn inner_products_are_those_of_all_pairs_whoever_else_is_there(
            n in 0usize..40, k in 1usize..40, m in 0usize..220, seed in 0u32..1000
        ) {
            let (rows, others) = (numbers(n * k, seed), numbers(m * k, seed + 7));
            let (rows, others) = (Rows::new(k, &rows).unwrap(), Rows::new(k, &others).unwrap());
            let all = inner_products(rows, others);
            prop_assert_eq!(all.data().len(), n * m);
            for (place, row) in rows.data().chunks(k).enumerate() {
                let alone = inner_products(Rows::new(k, row).unwrap(), others);
                prop_assert_eq!(alone.data(), &all.data()[place * m..][..m]);
                for (other, found) in alone.data().iter().enumerate() {
                    let naive: f64 = row.iter().zip(others.row(other)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    prop_assert!((f64::from(*found) - naive).abs() < 1e-5);
                }
            }
        }

        #[test]
        fn a_rotation_in_place_is_the_projection(n in 0usize..220, k in 1usize..40, seed in 0u32..1000) {
            let (mut rows, basis) = (Matrix::new(k, numbers(n * k, seed)).unwrap(), numbers(k * k, seed + 7));
            let expected = project(rows.as_rows(), &basis);
            rotate(&mut rows, &basis);
            prop_assert_eq!(rows.data(), expected.data());
        }
    }

    #[test]
    fn a_projection_is_the_same_whatever_the_number_of_threads() {
        let (data, basis) = (numbers(5_003 * 24, 1), numbers(17 * 24, 2));
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| project(Rows::new(24, &data).unwrap(), &basis))
        };
        assert_eq!(with(1), with(4));
    }
}
