//! The tiles of a projection by hand, for AVX2 and for AVX-512: from plain loops the compiler makes tiles that reload what
//! they should keep in registers, and is two to four times slower. Every sum is made in the order of the portable form, with
//! one rounding for each multiply-add.

use std::arch::x86_64::{
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::TILE_COLUMNS;

/// Columns of a panel, side by side.
type Columns = [f32; TILE_COLUMNS];

/// Projects `rows`, `[n, k]`, into `out`, `[n, m]`. Tiles of 12 rows and one register each: as many sums, of thirty-two
/// registers, hide the latency of a multiply-add.
#[target_feature(enable = "avx512f")]
pub fn project_512(rows: &[f32], k: usize, panels: &[Columns], out: &mut [f32], m: usize) {
    tiles(rows, k, panels, out, m, |rows: &[[f32; 12]], panel| {
        let mut sums = [_mm512_setzero_ps(); 12];
        for (rows, columns) in rows.iter().zip(panel) {
            // SAFETY: `columns` holds the sixteen numbers that are read.
            let columns = unsafe { _mm512_loadu_ps(columns.as_ptr()) };
            for (sum, value) in sums.iter_mut().zip(rows) {
                *sum = _mm512_fmadd_ps(_mm512_set1_ps(*value), columns, *sum);
            }
        }
        sums.map(|sum| {
            let mut numbers = [0.0; TILE_COLUMNS];
            // SAFETY: `numbers` has room for the sixteen numbers that are stored.
            unsafe { _mm512_storeu_ps(numbers.as_mut_ptr(), sum) };
            numbers
        })
    });
}

/// The same with tiles of 6 rows and two registers each: twelve sums leave four of sixteen registers for the operands.
#[target_feature(enable = "avx2,fma")]
pub fn project_256(rows: &[f32], k: usize, panels: &[Columns], out: &mut [f32], m: usize) {
    tiles(rows, k, panels, out, m, |rows: &[[f32; 6]], panel| {
        let mut sums = [[_mm256_setzero_ps(); 2]; 6];
        for (rows, columns) in rows.iter().zip(panel) {
            let (low, high) = columns.split_at(8);
            // SAFETY: each half holds the eight numbers that are read.
            let (low, high) = unsafe { (_mm256_loadu_ps(low.as_ptr()), _mm256_loadu_ps(high.as_ptr())) };
            for ([first, second], value) in sums.iter_mut().zip(rows) {
                let value = _mm256_set1_ps(*value);
                *first = _mm256_fmadd_ps(value, low, *first);
                *second = _mm256_fmadd_ps(value, high, *second);
            }
        }
        sums.map(|[first, second]| {
            let mut numbers = [0.0; TILE_COLUMNS];
            let (low, high) = numbers.split_at_mut(8);
            // SAFETY: each half has room for the eight numbers that are stored.
            unsafe {
                _mm256_storeu_ps(low.as_mut_ptr(), first);
                _mm256_storeu_ps(high.as_mut_ptr(), second);
            }
            numbers
        })
    });
}

/// Computes the result tile by tile. The rows of a tile are laid side by side first, like the columns of a panel, so that
/// the inner loop reads two streams; a tile with fewer rows is filled up with zeros, and what becomes of them is not stored.
#[inline(always)]
fn tiles<const ROWS: usize>(
    rows: &[f32],
    k: usize,
    panels: &[Columns],
    out: &mut [f32],
    m: usize,
    tile: impl Fn(&[[f32; ROWS]], &[Columns]) -> [Columns; ROWS],
) {
    let stand = |rows: &[f32]| -> Vec<[f32; ROWS]> {
        (0..k).map(|p| std::array::from_fn(|r| rows.get(r * k + p).copied().unwrap_or(0.0))).collect()
    };
    let stood: Vec<_> = rows.chunks(ROWS * k).map(stand).collect();
    for (panel, first) in panels.chunks_exact(k).zip((0..m).step_by(TILE_COLUMNS)) {
        for (rows, out) in stood.iter().zip(out.chunks_mut(ROWS * m)) {
            for (out, sums) in out.chunks_exact_mut(m).zip(tile(rows, panel)) {
                let out = &mut out[first..];
                // A length known beforehand is stored from registers.
                match out.first_chunk_mut::<TILE_COLUMNS>() {
                    Some(out) => *out = sums,
                    None => out.copy_from_slice(&sums[..out.len()]),
                }
            }
        }
    }
}
