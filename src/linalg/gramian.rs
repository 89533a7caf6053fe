//! The Gramian of a matrix of factors, YᵀY: what all pairs without an event contribute to a row's normal equations
//! (Hu, Koren & Volinsky 2008, section 4).

use rayon::prelude::*;

use super::kernels::add_outer;
use super::matrix::Rows;

/// At most so many blocks, so that their partial sums stay small beside the factors.
const MAX_BLOCKS: usize = 64;
/// Rows summed in single precision before the sum is put away in double precision.
const BLOCK_ROWS: usize = 512;

/// YᵀY of `rows`, `[dim, dim]`, both triangles. Parallel over blocks whose borders depend on the number of rows alone
/// and whose sums are merged in order: the result is the same bit for bit whatever the number of threads.
pub fn gramian(rows: Rows<'_>) -> Vec<f32> {
    let dim = rows.dim();
    let block = rows.len().div_ceil(MAX_BLOCKS).next_multiple_of(BLOCK_ROWS);
    let partial: Vec<Vec<f64>> =
        rows.data().par_chunks(block.max(1) * dim).map(|data| block_gramian(dim, data)).collect();
    let mut total = vec![0.0f64; dim * dim];
    for part in partial {
        for (total, part) in total.iter_mut().zip(part) {
            *total += part;
        }
    }
    let mut out = vec![0.0; dim * dim];
    for i in 0..dim {
        for j in 0..=i {
            let value = total[i * dim + j] as f32;
            out[i * dim + j] = value;
            out[j * dim + i] = value;
        }
    }
    out
}

/// The lower triangle of the Gramian of the rows in `data`.
fn block_gramian(dim: usize, data: &[f32]) -> Vec<f64> {
    let mut total = vec![0.0f64; dim * dim];
    let mut part = vec![0.0f32; dim * dim];
    let ids: Vec<u32> = (0..BLOCK_ROWS as u32).collect();
    let ones = [1.0; BLOCK_ROWS];
    for data in data.chunks(BLOCK_ROWS * dim) {
        let Ok(rows) = Rows::new(dim, data) else { continue };
        part.fill(0.0);
        add_outer(&mut part, rows, &ids[..rows.len()], &ones[..rows.len()]);
        for (total, part) in total.iter_mut().zip(&part) {
            *total += f64::from(*part);
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_gramian_is_the_naive_product(dim in 1usize..20, n in 0usize..1200, seed in 0u32..1000) {
            let data: Vec<f32> = (0..n * dim).map(|i| ((i as u32 ^ seed).wrapping_mul(2_654_435_761) as f32) / 4e9 - 0.5).collect();
            let rows = Rows::new(dim, &data).unwrap();
            let found = gramian(rows);
            for i in 0..dim {
                for j in 0..dim {
                    let naive: f64 = (0..n).map(|r| f64::from(rows.row(r)[i]) * f64::from(rows.row(r)[j])).sum();
                    prop_assert!((f64::from(found[i * dim + j]) - naive).abs() < 1e-4 * (1.0 + n as f64 * 0.1));
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
