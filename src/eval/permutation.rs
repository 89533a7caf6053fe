//! p-values of paired differences. If two models are equally good, it is chance which of them a user's difference
//! favours, so every pattern of signs is as likely as the one seen (Fisher's randomisation test; Smucker, Allan &
//! Carterette, CIKM 2007, find it the right one for means of ranked lists).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::config::EvaluateConfig;
use crate::linalg::dot;

/// Sign flips take other random numbers than the resamplings of the same seed.
const FIRST_STREAM: u64 = 1 << 32;
/// Sums that differ by rounding alone count as equal; relative to the sum of all sizes.
const ROUNDING: f32 = 1e-6;

/// Two-sided p-values of the means of `differences`, `[column][user]`: (b + 1) / (n + 1), where b of n random patterns
/// of signs give a mean at least as far from 0 (Phipson & Smyth 2010: never 0). All columns have the same patterns;
/// none without permutations.
pub fn p_values(differences: &[Vec<f32>], config: &EvaluateConfig) -> Vec<Option<f64>> {
    let runs = config.permutations;
    if runs == 0 {
        return vec![None; differences.len()];
    }
    let users = differences.first().map_or(0, Vec::len);
    let ones = vec![1.0; users];
    let least = |column: &Vec<f32>| {
        let size: f32 = column.iter().map(|value| value.abs()).sum();
        dot(column, &ones).abs() - ROUNDING * size
    };
    let least: Vec<f32> = differences.iter().map(least).collect();
    let flip = |signs: &mut Vec<f32>, run: usize| -> Vec<u64> {
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        random.set_stream(FIRST_STREAM + run as u64);
        signs.clear();
        while signs.len() < users {
            let bits: u64 = random.random();
            let taken = (users - signs.len()).min(64);
            signs.extend((0..taken).map(|place| if bits >> place & 1 == 1 { 1.0 } else { -1.0 }));
        }
        let as_far = |(column, least): (&Vec<f32>, &f32)| u64::from(dot(column, signs).abs() >= *least);
        differences.iter().zip(&least).map(as_far).collect()
    };
    let add = |a: Vec<u64>, b: Vec<u64>| a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let counts = (0..runs).into_par_iter().map_init(Vec::new, flip).reduce(|| vec![0; differences.len()], add);
    counts.into_iter().map(|count| Some((count + 1) as f64 / (runs + 1) as f64)).collect()
}

/// p-values corrected for there being several: the chance of any false alarm among them stays below the level (Holm
/// 1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    let of = |place: usize| p_values.get(place).copied().unwrap_or(1.0);
    order.sort_by(|a, b| of(*a).total_cmp(&of(*b)));
    let mut corrected = vec![1.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, place) in order.iter().enumerate() {
        largest = largest.max(of(*place) * (p_values.len() - rank) as f64).min(1.0);
        if let Some(slot) = corrected.get_mut(*place) {
            *slot = largest;
        }
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(permutations: usize) -> EvaluateConfig {
        EvaluateConfig { permutations, ..EvaluateConfig::default() }
    }

    /// Differences of two models of the same quality: one of several sizes, or none, to either side.
    fn null(random: &mut ChaCha8Rng, users: usize) -> Vec<f32> {
        let one =
            |random: &mut ChaCha8Rng| f32::from(random.random_range(0u8..4)) * random.random_range(-1i8..2) as f32;
        (0..users).map(|_| one(random)).collect()
    }

    #[test]
    fn p_is_uniform_when_there_is_no_difference() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let columns: Vec<_> = (0..1000).map(|_| null(&mut random, 60)).collect();
        let p: Vec<f64> = p_values(&columns, &config(2000)).into_iter().flatten().collect();
        assert_eq!(p.len(), 1000);
        for level in [0.05, 0.2, 0.5, 0.8] {
            let share = p.iter().filter(|p| **p <= level).count() as f64 / 1000.0;
            // Four standard deviations.
            let bound = 4.0 * (level * (1.0 - level) / 1000.0f64).sqrt();
            assert!((share - level).abs() < bound, "{share} of the p-values are at most {level}");
        }
    }

    #[test]
    fn a_real_difference_has_a_small_p_and_no_difference_has_1() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let real = null(&mut random, 400).into_iter().map(|value| value + 0.8).collect();
        let p = p_values(&[real, vec![0.0; 400]], &config(1000));
        assert_eq!(p, [Some(1.0 / 1001.0), Some(1.0)]);
        assert_eq!(p_values(&[vec![1.0]], &config(0)), [None]);
    }

    #[test]
    fn p_is_that_of_all_patterns_of_signs() {
        let differences: [f32; 10] = [0.5, -0.25, 0.1, 0.0, 0.7, 0.3, -0.2, 0.05, 0.4, -0.1];
        let sum_of = |pattern: u32| -> f64 {
            let signed =
                |(place, value): (usize, &f32)| f64::from(*value) * if pattern >> place & 1 == 1 { -1.0 } else { 1.0 };
            differences.iter().enumerate().map(signed).sum::<f64>().abs()
        };
        let exact = (0..1 << 10).filter(|pattern| sum_of(*pattern) >= sum_of(0) - 1e-6).count() as f64 / 1024.0;
        let p = p_values(&[differences.to_vec()], &config(40_000))[0].unwrap();
        assert!((p - exact).abs() < 4.0 * (exact / 40_000.0).sqrt(), "{p} is not {exact}");
    }

    #[test]
    fn holm_steps_down_and_never_lets_a_larger_p_pass_a_smaller() {
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!(holm(&[0.5, 0.9]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
