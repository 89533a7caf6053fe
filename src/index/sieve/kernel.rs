//! The two products of the sieve, in whole numbers: a query's codes with those of 64 vectors side by side, and with those of
//! one vector. Items are coded as unsigned bytes (their code plus 128), queries as signed ones: that is what the processor
//! multiplies (VNNI), and what is too much by 128 for each is taken off afterwards. All forms give the same whole numbers;
//! the portable twin serves other processors and the tests.

#![allow(unsafe_code)] // Vector instructions are called behind a check that the processor has them.

/// Vectors of a panel.
pub const PANEL: usize = 64;
/// Dimensions whose codes lie together, four bytes for each vector of a panel.
pub const GROUP: usize = 4;
/// What is added to a code to make it unsigned.
pub const OFFSET: i32 = 128;

/// 64 vectors by their leading dimensions.
#[derive(Clone, Copy)]
pub struct Panel<'a> {
    /// `[lead / 4, 64, 4]`: codes.
    pub codes: &'a [u8],
    /// `[4, 64]`: what a code is worth, the norm, the error of the coded part, the norm of the rest.
    pub bounds: &'a [[f32; PANEL]; 4],
    /// `[64]`: added to the bound.
    pub extra: &'a [f32; PANEL],
}

/// A query as it meets the codes: the bound of a vector is
/// `scale · worth · Σ codes + per_norm · norm + per_error · error + per_rest · rest + extra`.
#[derive(Clone, Debug, Default)]
pub struct Coded {
    /// `[lead]`, a multiple of four.
    pub codes: Vec<i8>,
    /// 128 · Σ codes: what unsigned codes bring in excess.
    pub excess: i32,
    pub scale: f32,
    pub per_norm: f32,
    pub per_error: f32,
    pub per_rest: f32,
}

/// The form of the kernels that this processor runs fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    #[cfg(target_arch = "x86_64")]
    Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Form {
    pub fn of_this_processor() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx512f") && has!("avx512bw") && has!("avx512vnni") {
                return Self::Vnni;
            }
            if has!("avx2") && has!("fma") {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Writes the bounds of the 64 vectors, and says which are at least `threshold`: one bit each, the first is the lowest.
    ///
    /// # Panics
    /// When the panel has not 64 codes for each of the query's.
    #[inline]
    pub fn sift(self, panel: Panel<'_>, query: &Coded, threshold: f32, bounds: &mut [f32; PANEL]) -> u64 {
        assert_eq!(panel.codes.len(), query.codes.len() * PANEL);
        assert!(query.codes.len().is_multiple_of(GROUP));
        match self {
            // SAFETY: this form is made only where the processor was seen to have AVX-512 F, BW and VNNI (or by a test
            // that saw it), and the lengths are as the function asks: checked just above.
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => unsafe { x86::sift_vnni(panel, query, threshold, bounds) },
            // SAFETY: as above, with AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::sift_avx2(panel, query, threshold, bounds) },
            Self::Portable => sift_portable(panel, query, threshold, bounds),
        }
    }

    /// Σ aᵢ bᵢ over the shorter of the two lengths, which is to be below 60,000.
    #[inline]
    pub fn product(self, a: &[u8], b: &[i8]) -> i32 {
        match self {
            // SAFETY: as for `sift`; of lengths nothing is asked.
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => unsafe { x86::product_vnni(a, b) },
            // SAFETY: as above, with AVX2.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::product_avx2(a, b) },
            Self::Portable => product_portable(a, b),
        }
    }
}

fn sift_portable(panel: Panel<'_>, query: &Coded, threshold: f32, bounds: &mut [f32; PANEL]) -> u64 {
    let mut sums = [0i32; PANEL];
    let (groups, _) = panel.codes.as_chunks::<{ PANEL * GROUP }>();
    let (weights, _) = query.codes.as_chunks::<GROUP>();
    for (codes, weights) in groups.iter().zip(weights) {
        let (codes, _) = codes.as_chunks::<GROUP>();
        for (sum, codes) in sums.iter_mut().zip(codes) {
            *sum += codes.iter().zip(weights).map(|(code, weight)| i32::from(*code) * i32::from(*weight)).sum::<i32>();
        }
    }
    let [worth, norm, error, rest] = panel.bounds;
    let mut passed = 0;
    for item in 0..PANEL {
        let sum = (sums[item] - query.excess) as f32;
        let bound = query.scale * worth[item] * sum
            + query.per_norm * norm[item]
            + query.per_error * error[item]
            + query.per_rest * rest[item]
            + panel.extra[item];
        bounds[item] = bound;
        passed |= u64::from(bound >= threshold) << item;
    }
    passed
}

fn product_portable(a: &[u8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Coded, GROUP, PANEL, Panel, product_portable};

    /// # Safety
    /// `panel.codes` must hold 64 bytes for each of `query.codes`, of which there are a multiple of four.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub unsafe fn sift_vnni(panel: Panel<'_>, query: &Coded, threshold: f32, bounds: &mut [f32; PANEL]) -> u64 {
        let groups = query.codes.len() / GROUP;
        // Two sums for each vector, so that no product waits for the one before.
        let (mut even, mut odd) = ([_mm512_setzero_si512(); 4], [_mm512_setzero_si512(); 4]);
        for pair in 0..groups / 2 {
            // SAFETY: both groups are among those that there are, of the codes and of the panel alike.
            unsafe {
                add_group(&mut even, panel.codes, &query.codes, 2 * pair);
                add_group(&mut odd, panel.codes, &query.codes, 2 * pair + 1);
            }
        }
        if groups % 2 == 1 {
            // SAFETY: as above.
            unsafe { add_group(&mut even, panel.codes, &query.codes, groups - 1) };
        }
        let sums: [__m512i; 4] = std::array::from_fn(|part| _mm512_add_epi32(even[part], odd[part]));
        let (scale, excess) = (_mm512_set1_ps(query.scale), _mm512_set1_epi32(query.excess));
        let [per_norm, per_error, per_rest] =
            [query.per_norm, query.per_error, query.per_rest].map(|x| _mm512_set1_ps(x));
        let threshold = _mm512_set1_ps(threshold);
        let mut passed = 0;
        for (part, sum) in sums.into_iter().enumerate() {
            // SAFETY: each of these arrays has 64 numbers, and part < 4 takes sixteen of them.
            let take = |numbers: &[f32; PANEL]| unsafe { _mm512_loadu_ps(numbers.as_ptr().add(part * 16)) };
            let [worth, norm, error, rest] = panel.bounds.each_ref().map(take);
            let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, excess));
            let mut bound = _mm512_mul_ps(_mm512_mul_ps(scale, worth), sum);
            bound = _mm512_fmadd_ps(per_norm, norm, bound);
            bound = _mm512_fmadd_ps(per_error, error, bound);
            bound = _mm512_fmadd_ps(per_rest, rest, bound);
            bound = _mm512_add_ps(bound, take(panel.extra));
            // SAFETY: room for 64 numbers, of which part < 4 takes sixteen.
            unsafe { _mm512_storeu_ps(bounds.as_mut_ptr().add(part * 16), bound) };
            passed |= u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(bound, threshold)) << (part * 16);
        }
        passed
    }

    /// Adds the products of four dimensions to the sums of 64 vectors.
    ///
    /// # Safety
    /// `codes` must hold 256 bytes for each group up to this one, `weights` four.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn add_group(sums: &mut [__m512i; 4], codes: &[u8], weights: &[i8], group: usize) {
        // SAFETY: four bytes for each group lie inside, says the caller; unaligned reads are allowed.
        let weights = unsafe { weights.as_ptr().add(group * GROUP).cast::<i32>().read_unaligned() };
        let weights = _mm512_set1_epi32(weights);
        for (part, sum) in sums.iter_mut().enumerate() {
            // SAFETY: there are 256 bytes for each group, says the caller, and part < 4 takes 64 of them.
            let codes = unsafe { _mm512_loadu_si512(codes.as_ptr().add(group * PANEL * GROUP + part * 64).cast()) };
            *sum = _mm512_dpbusd_epi32(*sum, codes, weights);
        }
    }

    /// # Safety
    /// As for [`sift_vnni`].
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn sift_avx2(panel: Panel<'_>, query: &Coded, threshold: f32, bounds: &mut [f32; PANEL]) -> u64 {
        let mut sums = [_mm256_setzero_si256(); 8];
        let low_bytes = _mm256_set1_epi16(0xff);
        for group in 0..query.codes.len() / GROUP {
            let at = |lane: usize| i32::from(query.codes[group * GROUP + lane]) & 0xffff;
            // Of each four bytes the first and third are taken apart from the others, as 16-bit numbers: no product or sum
            // of two then leaves its 32 bits, where the byte instruction of AVX2 would saturate.
            let even = _mm256_set1_epi32(at(0) | at(2) << 16);
            let odd = _mm256_set1_epi32(at(1) | at(3) << 16);
            for (part, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the panel holds 256 bytes for each group, and part < 8 takes 32 of them.
                let codes =
                    unsafe { _mm256_loadu_si256(panel.codes.as_ptr().add(group * PANEL * GROUP + part * 32).cast()) };
                let first = _mm256_madd_epi16(_mm256_and_si256(codes, low_bytes), even);
                let second = _mm256_madd_epi16(_mm256_srli_epi16::<8>(codes), odd);
                *sum = _mm256_add_epi32(*sum, _mm256_add_epi32(first, second));
            }
        }
        let (scale, excess) = (_mm256_set1_ps(query.scale), _mm256_set1_epi32(query.excess));
        let [per_norm, per_error, per_rest] =
            [query.per_norm, query.per_error, query.per_rest].map(|x| _mm256_set1_ps(x));
        let threshold = _mm256_set1_ps(threshold);
        let mut passed = 0;
        for (part, sum) in sums.into_iter().enumerate() {
            // SAFETY: each of these arrays has 64 numbers, and part < 8 takes eight of them.
            let take = |numbers: &[f32; PANEL]| unsafe { _mm256_loadu_ps(numbers.as_ptr().add(part * 8)) };
            let [worth, norm, error, rest] = panel.bounds.each_ref().map(take);
            let sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, excess));
            let mut bound = _mm256_mul_ps(_mm256_mul_ps(scale, worth), sum);
            bound = _mm256_fmadd_ps(per_norm, norm, bound);
            bound = _mm256_fmadd_ps(per_error, error, bound);
            bound = _mm256_fmadd_ps(per_rest, rest, bound);
            bound = _mm256_add_ps(bound, take(panel.extra));
            // SAFETY: room for 64 numbers, of which part < 8 takes eight.
            unsafe { _mm256_storeu_ps(bounds.as_mut_ptr().add(part * 8), bound) };
            let mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(bound, threshold));
            passed |= u64::from(mask as u32) << (part * 8);
        }
        passed
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub fn product_vnni(a: &[u8], b: &[i8]) -> i32 {
        let length = a.len().min(b.len());
        let mut sums = [_mm512_setzero_si512(); 2];
        let mut at = 0;
        while at + 64 <= length {
            // SAFETY: at + 64 ≤ length, so the 64 bytes from `at` on lie inside both slices.
            let (a, b) = unsafe {
                (_mm512_loadu_si512(a.as_ptr().add(at).cast()), _mm512_loadu_si512(b.as_ptr().add(at).cast()))
            };
            sums[at / 64 % 2] = _mm512_dpbusd_epi32(sums[at / 64 % 2], a, b);
            at += 64;
        }
        if at < length {
            let mask = u64::MAX >> (64 - (length - at));
            // SAFETY: the mask has a bit for each of the length − at < 64 bytes that are left in both slices; masked
            // loads touch no others.
            let (a, b) = unsafe {
                (
                    _mm512_maskz_loadu_epi8(mask, a.as_ptr().add(at).cast()),
                    _mm512_maskz_loadu_epi8(mask, b.as_ptr().add(at)),
                )
            };
            sums[0] = _mm512_dpbusd_epi32(sums[0], a, b);
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
    }

    #[target_feature(enable = "avx2")]
    pub fn product_avx2(a: &[u8], b: &[i8]) -> i32 {
        let length = a.len().min(b.len());
        let mut sum = _mm256_setzero_si256();
        let mut at = 0;
        while at + 16 <= length {
            // SAFETY: at + 16 ≤ length, so the sixteen bytes from `at` on lie inside both slices.
            let (a, b) =
                unsafe { (_mm_loadu_si128(a.as_ptr().add(at).cast()), _mm_loadu_si128(b.as_ptr().add(at).cast())) };
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepu8_epi16(a), _mm256_cvtepi8_epi16(b)));
            at += 16;
        }
        let mut lanes = [0i32; 8];
        // SAFETY: `lanes` has room for exactly the eight numbers that are stored.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        lanes.iter().sum::<i32>() + product_portable(&a[at..length], &b[at..length])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forms() -> Vec<Form> {
        let mut forms = vec![Form::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                forms.push(Form::Avx2);
            }
            if Form::of_this_processor() == Form::Vnni {
                forms.push(Form::Vnni);
            }
        }
        forms
    }

    proptest! {
        #[test]
        fn every_form_gives_the_same_product(
            pairs in prop::collection::vec((any::<u8>(), -127i8..=127), 0..300), extreme in any::<bool>(),
        ) {
            let (mut a, mut b): (Vec<u8>, Vec<i8>) = pairs.into_iter().unzip();
            if extreme {
                a.fill(255);
                b.fill(-127);
            }
            let truth: i32 = a.iter().zip(&b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
            for form in forms() {
                prop_assert_eq!(form.product(&a, &b), truth, "{:?}", form);
            }
        }

        #[test]
        fn every_form_sifts_out_the_same_vectors(
            codes in prop::collection::vec(any::<u8>(), 24 * PANEL),
            query in prop::collection::vec(-127i8..=127, 24),
            groups in 0usize..=6, extreme in any::<bool>(), threshold in -60_000i32..60_000,
        ) {
            let lead = groups * GROUP;
            let (mut codes, query) = (codes[..lead * PANEL].to_vec(), query[..lead].to_vec());
            if extreme {
                codes.fill(255);
            }
            let coded = Coded {
                excess: OFFSET * query.iter().map(|code| i32::from(*code)).sum::<i32>(),
                codes: query,
                scale: 1.0,
                per_norm: 2.0,
                per_error: 4.0,
                per_rest: 8.0,
            };
            // Whole numbers throughout, so no form rounds.
            let bounds: [[f32; PANEL]; 4] = std::array::from_fn(|kind| std::array::from_fn(|item| ((item * 7 + kind * 5) % 11) as f32));
            let extra: [f32; PANEL] = std::array::from_fn(|item| item as f32 - 30.0);
            let panel = Panel { codes: &codes, bounds: &bounds, extra: &extra };
            let mut true_bounds = [0.0; PANEL];
            let truth = (0..PANEL).fold(0u64, |passed, item| {
                let sum: i32 = (0..lead).map(|dim| {
                    let code = codes[dim / GROUP * PANEL * GROUP + item * GROUP + dim % GROUP];
                    (i32::from(code) - OFFSET) * i32::from(coded.codes[dim])
                }).sum();
                let bound = bounds[0][item] as i32 * sum + 2 * bounds[1][item] as i32 + 4 * bounds[2][item] as i32
                    + 8 * bounds[3][item] as i32 + extra[item] as i32;
                true_bounds[item] = bound as f32;
                passed | u64::from(bound >= threshold) << item
            });
            for form in forms() {
                let mut found = [f32::NAN; PANEL];
                prop_assert_eq!(form.sift(panel, &coded, threshold as f32, &mut found), truth, "{:?}", form);
                prop_assert_eq!(found, true_bounds, "{:?}", form);
            }
        }
    }
}
