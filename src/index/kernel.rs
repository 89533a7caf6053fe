//! The two kernels that only nearest-neighbour search needs, beside `linalg`'s inner product: the squared Euclidean
//! distance, and a hint to the cache about a vector that will be read soon. SIMD is chosen at run time; the portable twin
//! serves other processors and is what the tests compare with.

#![allow(unsafe_code)] // Vector instructions are called behind a check that the processor has them.

use super::codes::TRAILER;

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

/// Products of one query's codes with the records at `places`, into `out` of the same length: Σ queryᵢ · recordᵢ over the
/// length of `query`, which is that of a record. Lengths are multiples of 64 (see `codes`).
#[inline]
pub(super) fn code_products(query: &[i8], records: &[u8], places: &[u32], out: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw") {
            // SAFETY: the processor has AVX-512 F, BW and VNNI, which is all that the function asks for.
            return unsafe { code_products_vnni(query, records, places, out) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, which is all that the function asks for.
            return unsafe { code_products_avx2(query, records, places, out) };
        }
    }
    code_products_portable(query, records, places, out);
}

#[inline]
fn record_at(records: &[u8], length: usize, place: u32) -> &[u8] {
    let start = place as usize * length;
    &records[start..start + length]
}

fn code_products_portable(query: &[i8], records: &[u8], places: &[u32], out: &mut [i32]) {
    for (place, out) in places.iter().zip(out) {
        let record = record_at(records, query.len(), *place);
        *out = record.iter().zip(query).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn code_products_vnni(query: &[i8], records: &[u8], places: &[u32], out: &mut [i32]) {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_storeu_si128, _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi32,
        _mm_unpacklo_epi64, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_extracti128_si256, _mm512_castsi512_si256,
        _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_setzero_si512,
    };

    // Four records at once: their misses overlap, and their sums are folded together.
    for (places, out) in places.chunks(4).zip(out.chunks_mut(4)) {
        let rows: [&[u8]; 4] =
            std::array::from_fn(|lane| record_at(records, query.len(), places[lane.min(places.len() - 1)]));
        let mut sums = [_mm512_setzero_si512(); 4];
        let mut at = 0;
        while at + 64 <= query.len() {
            // SAFETY: at + 64 ≤ query.len(), which is the length of each row too.
            let codes = unsafe { _mm512_loadu_si512(query.as_ptr().add(at).cast()) };
            for (sum, row) in sums.iter_mut().zip(rows) {
                // SAFETY: as above.
                let bytes = unsafe { _mm512_loadu_si512(row.as_ptr().add(at).cast()) };
                *sum = _mm512_dpbusd_epi32(*sum, bytes, codes);
            }
            at += 64;
        }
        let quarters: [__m128i; 4] = sums.map(|sum| {
            let half = _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum));
            _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
        });
        let [a, b, c, d] = quarters;
        let ab = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
        let cd = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
        let total = _mm_add_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd));
        let mut totals = [0i32; 4];
        // SAFETY: `totals` holds exactly the four numbers that are stored, and the store needs no alignment.
        unsafe { _mm_storeu_si128(totals.as_mut_ptr().cast(), total) };
        out.copy_from_slice(&totals[..out.len()]);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn code_products_avx2(query: &[i8], records: &[u8], places: &[u32], out: &mut [i32]) {
    use std::arch::x86_64::{
        _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_cvtepu8_epi16, _mm256_madd_epi16,
        _mm256_setzero_si256, _mm256_storeu_si256,
    };

    for (place, out) in places.iter().zip(out) {
        let row = record_at(records, query.len(), *place);
        let mut sums = [_mm256_setzero_si256(); 2];
        let mut at = 0;
        while at + 32 <= query.len() {
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: at + 32 ≤ query.len() = row.len() and half < 2, so the 16 bytes from at + 16 · half on lie inside
                // both slices.
                let (bytes, codes) = unsafe {
                    (
                        _mm_loadu_si128(row.as_ptr().add(at + 16 * half).cast()),
                        _mm_loadu_si128(query.as_ptr().add(at + 16 * half).cast()),
                    )
                };
                // In 16 bits: the instruction for bytes would cut off sums of two products.
                let products = _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes), _mm256_cvtepi8_epi16(codes));
                *sum = _mm256_add_epi32(*sum, products);
            }
            at += 32;
        }
        let mut lanes = [0i32; 8];
        // SAFETY: `lanes` holds exactly the eight numbers that are stored, and the store needs no alignment.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), _mm256_add_epi32(sums[0], sums[1])) };
        *out = lanes.iter().sum();
    }
}

/// Σ (aᵢ − 128)(bᵢ − 128) over the codes of two records, which have the same length, a multiple of 64, and eight bytes of
/// something else at their end.
#[inline]
pub(super) fn code_product(a: &[u8], b: &[u8]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw") {
        // SAFETY: the processor has AVX-512 F, BW and VNNI, which is all that the function asks for.
        return unsafe { code_product_vnni(a, b) };
    }
    code_product_portable(a, b)
}

fn code_product_portable(a: &[u8], b: &[u8]) -> i32 {
    let end = a.len().min(b.len()).saturating_sub(TRAILER);
    a[..end].iter().zip(&b[..end]).map(|(a, b)| (i32::from(*a) - 128) * (i32::from(*b) - 128)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn code_product_vnni(a: &[u8], b: &[u8]) -> i32 {
    use std::arch::x86_64::{
        _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_maskz_xor_epi64, _mm512_reduce_add_epi32, _mm512_set1_epi8,
        _mm512_setzero_si512, _mm512_sub_epi32,
    };

    let length = a.len().min(b.len());
    let offset = _mm512_set1_epi8(-128);
    let (mut sum, mut shift) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    let mut at = 0;
    while at + 64 <= length {
        // SAFETY: at + 64 ≤ length, so the 64 bytes from `at` on lie inside both slices.
        let (left, right) =
            unsafe { (_mm512_loadu_si512(a.as_ptr().add(at).cast()), _mm512_loadu_si512(b.as_ptr().add(at).cast())) };
        // The last eight bytes are no codes.
        let codes = if at + 64 == length { 0x7f } else { 0xff };
        // x ^ 128 as i8 is x − 128.
        let right = _mm512_maskz_xor_epi64(codes, right, offset);
        sum = _mm512_dpbusd_epi32(sum, left, right);
        shift = _mm512_dpbusd_epi32(shift, offset, right);
        at += 64;
    }
    _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, shift))
}

/// Asks the processor to fetch the beginning of `vector`; it changes nothing but time.
#[inline]
pub(super) fn prefetch<T>(vector: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // The first four cache lines: the processor's own prefetcher sees a stream by then.
        for line in vector.chunks(64 / size_of::<T>().max(1)).take(4) {
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

    /// Records of one to three lines, and a query that is zero where records have their last eight bytes.
    fn records() -> impl Strategy<Value = (Vec<i8>, Vec<u8>)> {
        (1usize..4).prop_flat_map(|lines| {
            let query = prop::collection::vec(-127i8..=127, lines * 64 - TRAILER);
            let records = prop::collection::vec(any::<u8>(), lines * 64 * 7);
            (query.prop_map(|query| [query, vec![0; TRAILER]].concat()), records)
        })
    }

    proptest! {
        #[test]
        fn products_of_codes_are_those_of_the_naive_sum(
            (query, records) in records(), places in prop::collection::vec(0u32..7, 0..11),
        ) {
            let naive = |place: &u32| {
                let record = &records[*place as usize * query.len()..][..query.len()];
                record.iter().zip(&query).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>()
            };
            let due: Vec<i32> = places.iter().map(naive).collect();
            let mut out = vec![0; places.len()];
            code_products(&query, &records, &places, &mut out);
            prop_assert_eq!(&out, &due);
            code_products_portable(&query, &records, &places, &mut out);
            prop_assert_eq!(&out, &due);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                unsafe { code_products_avx2(&query, &records, &places, &mut out) };
                prop_assert_eq!(&out, &due);
            }
        }

        #[test]
        fn the_product_of_two_records_is_that_of_the_portable_twin((query, records) in records()) {
            let mut records = records.chunks_exact(query.len());
            let (a, b) = (records.next().unwrap(), records.next().unwrap());
            prop_assert_eq!(code_product(a, b), code_product_portable(a, b));
        }
    }

    #[test]
    fn of_two_lengths_the_shorter_counts() {
        assert_eq!(squared_distance(&[1.0; 40], &[0.0; 37]), 37.0);
        assert_eq!(squared_distance_portable(&[1.0; 40], &[0.0; 37]), 37.0);
    }
}
