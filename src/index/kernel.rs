//! The two kernels that only nearest-neighbour search needs, beside `linalg`'s inner product: the squared Euclidean
//! distance, and a hint to the cache about a vector that will be read soon. SIMD is chosen at run time; the portable twin
//! serves other processors and is what the tests compare with.

#![allow(unsafe_code)] // Vector instructions are called behind a check that the processor has them.

/// Σ (aᵢ − bᵢ)², over the shorter of the two lengths.
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA, which is all that the function asks for.
        return unsafe { squared_distance_avx2(a, b) };
    }
    squared_distance_portable(a, b)
}

fn squared_distance_portable(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a, b) = (&a[..a.len().min(b.len())], &b[..a.len().min(b.len())]);
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += (x - y) * (x - y);
        }
    }
    lanes.iter().sum::<f32>() + tail
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn squared_distance_avx2(a: &[f32], b: &[f32]) -> f32 {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm256_sub_ps};

    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let mut sums = [_mm256_setzero_ps(); 4];
    let mut at = 0;
    // Four sums in flight hide the latency of the fused multiply-add.
    while at + 32 <= length {
        for (lane, sum) in sums.iter_mut().enumerate() {
            // SAFETY: at + 32 ≤ length and lane < 4, so the eight floats from at + 8 · lane on lie inside both slices.
            let difference = unsafe {
                _mm256_sub_ps(
                    _mm256_loadu_ps(a.as_ptr().add(at + 8 * lane)),
                    _mm256_loadu_ps(b.as_ptr().add(at + 8 * lane)),
                )
            };
            *sum = _mm256_fmadd_ps(difference, difference, *sum);
        }
        at += 32;
    }
    while at + 8 <= length {
        // SAFETY: at + 8 ≤ length, so the eight floats from `at` on lie inside both slices.
        let difference =
            unsafe { _mm256_sub_ps(_mm256_loadu_ps(a.as_ptr().add(at)), _mm256_loadu_ps(b.as_ptr().add(at))) };
        sums[0] = _mm256_fmadd_ps(difference, difference, sums[0]);
        at += 8;
    }
    let mut total = 0.0;
    for sum in sums {
        let mut lanes = [0.0f32; 8];
        // SAFETY: `lanes` holds exactly the eight floats that are stored, and the store needs no alignment.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
        total += lanes.iter().sum::<f32>();
    }
    total + a[at..].iter().zip(&b[at..]).map(|(x, y)| (x - y) * (x - y)).sum::<f32>()
}

/// Asks the processor to fetch the beginning of `vector`; it changes nothing but time.
#[inline]
pub(super) fn prefetch(vector: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // The first four cache lines: the processor's own prefetcher sees a stream by then.
        for line in vector.chunks(16).take(4) {
            // SAFETY: a prefetch reads nothing that the program sees and never faults; the address is that of a slice.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = vector;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_distance_is_that_of_the_naive_sum(
            pairs in prop::collection::vec((-100.0f32..100.0, -100.0f32..100.0), 0..150),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let naive: f64 = a.iter().zip(&b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
            let slack = naive * 1e-5 + 1e-6;
            prop_assert!((f64::from(squared_distance(&a, &b)) - naive).abs() <= slack);
            prop_assert!((f64::from(squared_distance_portable(&a, &b)) - naive).abs() <= slack);
        }
    }

    #[test]
    fn of_two_lengths_the_shorter_counts() {
        assert_eq!(squared_distance(&[1.0; 40], &[0.0; 37]), 37.0);
        assert_eq!(squared_distance_portable(&[1.0; 40], &[0.0; 37]), 37.0);
    }
}
