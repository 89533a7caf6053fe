//! The Gramian of a matrix of factors, YᵀY: what all pairs without an event contribute to a row's normal equations
//! (Hu, Koren & Volinsky 2008, section 4). Rows are packed by panels of columns, so that a tile of the result is summed
//! in registers from memory read in order.

#![allow(unsafe_code)]

use rayon::prelude::*;

use super::dispatch::{fma, kernel};
use super::matrix::Rows;

/// At most so many blocks, so that their partial sums stay small beside the factors.
const MAX_BLOCKS: usize = 16;
/// Rows summed in single precision before the sum is put away in double precision.
const BLOCK_ROWS: usize = 128;
/// Columns of a panel: two AVX registers.
const PANEL: usize = 16;
/// Rows of a tile: eight sums in registers hide the latency of the multiply-add.
const TILE_ROWS: usize = 4;

/// YᵀY of `rows`, `[dim, dim]`, both triangles, in single precision: [`gramian_f64`] rounded.
pub fn gramian(rows: Rows<'_>) -> Vec<f32> {
    gramian_f64(rows).into_iter().map(|value| value as f32).collect()
}

/// YᵀY of `rows`, `[dim, dim]`, both triangles: in single precision within blocks of 128 rows, in double between them.
/// Parallel over blocks whose borders depend on the number of rows alone and whose sums are merged in order: the result
/// is the same bit for bit whatever the number of threads.
pub fn gramian_f64(rows: Rows<'_>) -> Vec<f64> {
    let dim = rows.dim();
    let block = rows.len().div_ceil(MAX_BLOCKS).next_multiple_of(BLOCK_ROWS);
    let partial: Vec<Vec<f64>> =
        rows.data().par_chunks((block * dim).max(1)).map(|data| block_gramian(dim, data)).collect();
    let mut total = vec![0.0f64; dim * dim];
    for part in partial {
        for (total, part) in total.iter_mut().zip(part) {
            *total += part;
        }
    }
    for i in 0..dim {
        for j in 0..i {
            total[i * dim + j] = total[j * dim + i];
        }
    }
    total
}

/// The upper triangle of the Gramian of the rows in `data`; what is below it is not defined.
fn block_gramian(dim: usize, data: &[f32]) -> Vec<f64> {
    let mut total = vec![0.0f64; dim * dim];
    let mut panels = Vec::new();
    for data in data.chunks(BLOCK_ROWS * dim) {
        pack(&mut panels, data, dim);
        add_gramian(&panels, data.len() / dim, &mut total, dim);
    }
    total
}

/// `rows`, `[n, dim]`, by panels of columns: `[dim / PANEL, n, PANEL]`, filled up with zeros.
fn pack(panels: &mut Vec<[f32; PANEL]>, rows: &[f32], dim: usize) {
    panels.clear();
    for first in (0..dim).step_by(PANEL) {
        panels.extend(rows.chunks_exact(dim).map(|row| match row[first..].first_chunk() {
            Some(part) => *part,
            None => {
                let mut part = [0.0; PANEL];
                part[..dim - first].copy_from_slice(&row[first..]);
                part
            }
        }));
    }
}

kernel! {
    /// Adds the upper triangle of the Gramian of `n` packed rows to `total`, `[dim, dim]`.
    fn add_gramian(panels: &[[f32; PANEL]], n: usize, total: &mut [f64], dim: usize) = add_gramian_body
}

#[inline(always)]
fn add_gramian_body<const FMA: bool>(panels: &[[f32; PANEL]], n: usize, total: &mut [f64], dim: usize) {
    for (i, left) in panels.chunks_exact(n).enumerate() {
        for (j, right) in panels.chunks_exact(n).enumerate().skip(i) {
            let columns = j * PANEL..dim.min((j + 1) * PANEL);
            for offset in (0..PANEL).step_by(TILE_ROWS) {
                let sums = tile::<FMA>(left, right, offset);
                let rows = total.chunks_exact_mut(dim).skip(i * PANEL + offset);
                for (row, sums) in rows.zip(&sums) {
                    for (total, sum) in row[columns.clone()].iter_mut().zip(sums) {
                        *total += f64::from(*sum);
                    }
                }
            }
        }
    }
}

/// The products of `TILE_ROWS` columns of one panel, from `offset` on, with all columns of another.
#[inline(always)]
fn tile<const FMA: bool>(left: &[[f32; PANEL]], right: &[[f32; PANEL]], offset: usize) -> [[f32; PANEL]; TILE_ROWS] {
    let mut sums = [[0.0f32; PANEL]; TILE_ROWS];
    for (left, right) in left.iter().zip(right) {
        let left: [f32; TILE_ROWS] = std::array::from_fn(|r| left[(offset + r) % PANEL]);
        for r in 0..TILE_ROWS {
            for j in 0..PANEL {
                sums[r][j] = fma!(FMA, left[r], right[j], sums[r][j]);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_gramian_is_the_naive_product(dim in 1usize..40, n in 0usize..1200, seed in 0u32..1000) {
            let data: Vec<f32> = (0..n * dim).map(|i| ((i as u32 ^ seed).wrapping_mul(2_654_435_761) as f32) / 4e9 - 0.5).collect();
            let rows = Rows::new(dim, &data).unwrap();
            let found = gramian(rows);
            let (mut panels, mut portable) = (Vec::new(), vec![0.0; dim * dim]);
            pack(&mut panels, &data, dim);
            if n > 0 {
                add_gramian_body::<false>(&panels, n, &mut portable, dim);
            }
            for i in 0..dim {
                for j in 0..dim {
                    let naive: f64 = (0..n).map(|r| f64::from(rows.row(r)[i]) * f64::from(rows.row(r)[j])).sum();
                    let near = 1e-5 * (1.0 + n as f64 * 0.1);
                    prop_assert!((f64::from(found[i * dim + j]) - naive).abs() < near);
                    prop_assert!(j < i || (portable[i * dim + j] - naive).abs() < near);
                }
            }
        }
    }

    #[test]
    fn the_gramian_is_the_same_whatever_the_number_of_threads() {
        let data: Vec<f32> = (0..70_001 * 5).map(|i| (i as f32 * 0.37).sin()).collect();
        let rows = Rows::new(5, &data).unwrap();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| gramian(rows))
        };
        let one = with(1);
        assert_eq!(one, with(2));
        assert_eq!(one, with(4));
    }
}
