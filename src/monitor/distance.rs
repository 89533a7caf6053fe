//! How far one distribution is from another. All are 0 for equal ones and grow with the difference. What chance alone gives
//! with so few events is taken off: both sides are samples, and a statistic of two small samples of the same thing is not 0.

use std::collections::BTreeMap;

/// Bins of a population stability index over numbers: the deciles of the reference.
const BINS: usize = 10;
/// What an empty bin counts as, in events: so that no logarithm is of nothing.
const EMPTY: f64 = 0.5;

/// Shares of two samples, name by name, with their sizes.
struct Shares {
    pairs: Vec<(f64, f64)>,
    sizes: (f64, f64),
}

impl Shares {
    fn of(pairs: Vec<(f64, f64)>) -> Option<Self> {
        let sizes = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
        (sizes.0 > 0.0 && sizes.1 > 0.0).then_some(Self { pairs, sizes })
    }

    /// 1/n + 1/m.
    fn noise(&self) -> f64 {
        self.sizes.0.recip() + self.sizes.1.recip()
    }

    fn freedom(&self) -> f64 {
        self.pairs.len().saturating_sub(1) as f64
    }
}

/// Counts of both sides, name by name; a name that one side lacks is 0 there.
pub fn side_by_side(reference: &BTreeMap<String, u64>, current: &BTreeMap<String, u64>) -> Vec<(f64, f64)> {
    let count = |of: &BTreeMap<String, u64>, name: &String| of.get(name).copied().unwrap_or(0) as f64;
    let mut pairs: Vec<_> = reference.keys().map(|name| (count(reference, name), count(current, name))).collect();
    pairs.extend(current.keys().filter(|name| !reference.contains_key(*name)).map(|name| (0.0, count(current, name))));
    pairs
}

/// The population stability index Σ (q − p) ln(q / p) of two samples by their counts (Siddiqi 2006), less (bins − 1)(1/n + 1/m),
/// which is what two samples of one thing have on average (Yurdakul 2018). By convention below 0.1 nothing has changed, above 0.25
/// much has.
pub fn stability_index(counts: Vec<(f64, f64)>) -> f64 {
    let Some(shares) = Shares::of(counts) else { return 0.0 };
    let term = |(p, q): &(f64, f64)| {
        let (p, q) = (p.max(EMPTY) / shares.sizes.0, q.max(EMPTY) / shares.sizes.1);
        (q - p) * (q / p).ln()
    };
    let index: f64 = shares.pairs.iter().map(term).sum();
    (index - shares.freedom() * shares.noise()).max(0.0)
}

/// The same over numbers, in the deciles of the reference.
pub fn stability_of_numbers(reference: &[f32], current: &[f32]) -> f64 {
    stability_index(binned(reference, current))
}

/// The Jensen–Shannon divergence in bits, 0 to 1 (Lin 1991), of two samples by their counts, less what chance gives:
/// (bins − 1)(1/n + 1/m) / (8 ln 2), from its expansion to second order.
pub fn jensen_shannon(counts: Vec<(f64, f64)>) -> f64 {
    let Some(shares) = Shares::of(counts) else { return 0.0 };
    let part = |share: f64, mean: f64| if share > 0.0 { share * (share / mean).log2() } else { 0.0 };
    let term = |(p, q): &(f64, f64)| {
        let (p, q) = (p / shares.sizes.0, q / shares.sizes.1);
        let mean = f64::midpoint(p, q);
        f64::midpoint(part(p, mean), part(q, mean))
    };
    let divergence: f64 = shares.pairs.iter().map(term).sum();
    (divergence - shares.freedom() * shares.noise() / (8.0 * std::f64::consts::LN_2)).clamp(0.0, 1.0)
}

/// The same over numbers, in the deciles of the reference.
pub fn divergence_of_numbers(reference: &[f32], current: &[f32]) -> f64 {
    jensen_shannon(binned(reference, current))
}

/// The two-sample statistic of Kolmogorov (1933) and Smirnov (1948), the largest distance of the two distribution functions, 0 to 1;
/// 0 where chance alone reaches it in one of a hundred cases: below 1.628 √(1/n + 1/m).
pub fn kolmogorov_smirnov(reference: &[f32], current: &[f32]) -> f64 {
    let (a, b) = (sorted(reference), sorted(current));
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let (mut i, mut j, mut largest) = (0, 0, 0f64);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let at = x.min(*y);
        i += a.iter().skip(i).take_while(|value| **value <= at).count();
        j += b.iter().skip(j).take_while(|value| **value <= at).count();
        largest = largest.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    let chance = 1.628 * ((a.len() as f64).recip() + (b.len() as f64).recip()).sqrt();
    if largest > chance { largest } else { 0.0 }
}

/// Spearman's rank correlation (1904) of the counts of two lists, −1 to 1; ties share their mean rank. 1 with fewer than three names.
pub fn rank_correlation(counts: &[(f64, f64)]) -> f64 {
    if counts.len() < 3 {
        return 1.0;
    }
    let first = ranks(&counts.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let second = ranks(&counts.iter().map(|pair| pair.1).collect::<Vec<_>>());
    let mean = (counts.len() - 1) as f64 / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let length = (product(&first, &first) * product(&second, &second)).sqrt();
    if length > 0.0 { product(&first, &second) / length } else { 1.0 }
}

fn sorted(values: &[f32]) -> Vec<f32> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted
}

/// Counts of both in the deciles of the reference; deciles that coincide are one bin.
fn binned(reference: &[f32], current: &[f32]) -> Vec<(f64, f64)> {
    let order = sorted(reference);
    let mut edges: Vec<f32> = (1..BINS).filter_map(|decile| order.get(decile * order.len() / BINS)).copied().collect();
    edges.dedup();
    let mut counts = vec![(0.0, 0.0); edges.len() + 1];
    let bin = |value: f32| edges.partition_point(|edge| *edge <= value);
    for value in reference {
        if let Some(count) = counts.get_mut(bin(*value)) {
            count.0 += 1.0;
        }
    }
    for value in current {
        if let Some(count) = counts.get_mut(bin(*value)) {
            count.1 += 1.0;
        }
    }
    counts
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let of = |place: &usize| values.get(*place).copied().unwrap_or(0.0);
    order.sort_by(|a, b| of(a).total_cmp(&of(b)));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for tied in order.chunk_by(|a, b| of(a) == of(b)) {
        let rank = below as f64 + (tied.len() - 1) as f64 / 2.0;
        tied.iter().for_each(|place| ranks.iter_mut().skip(*place).take(1).for_each(|slot| *slot = rank));
        below += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_stability_index_is_that_of_a_worked_example() {
        // Shares .2 .3 .5 against .3 .3 .4 of a million each: .1 ln 1.5 + 0 + (−.1) ln .8.
        let counts = vec![(200e3, 300e3), (300e3, 300e3), (500e3, 400e3)];
        let expected = 0.1 * 1.5f64.ln() - 0.1 * 0.8f64.ln();
        assert!((stability_index(counts) - expected).abs() < 1e-5);
    }

    #[test]
    fn the_divergence_of_disjoint_samples_is_one_bit_and_of_halves_a_known_number() {
        assert!((jensen_shannon(vec![(1e6, 0.0), (0.0, 1e6)]) - 1.0).abs() < 1e-5);
        // p = (1, 0), q = (½, ½): H(¾, ¼) − ½.
        let expected = -(0.75 * 0.75f64.log2() + 0.25 * 0.25f64.log2()) - 0.5;
        assert!((jensen_shannon(vec![(1e6, 5e5), (0.0, 5e5)]) - expected).abs() < 1e-5);
    }

    #[test]
    fn the_distance_of_distribution_functions_is_found_where_it_is_largest() {
        let uniform: Vec<f32> = (0..1000).map(|value| value as f32 / 1000.0).collect();
        let squared: Vec<f32> = uniform.iter().map(|value| value * value).collect();
        // max √x − x = ¼ at x = ¼.
        assert!((kolmogorov_smirnov(&uniform, &squared) - 0.25).abs() < 2e-3);
        assert_eq!(kolmogorov_smirnov(&uniform, &uniform), 0.0);
    }

    #[test]
    fn small_samples_of_one_thing_have_not_drifted() {
        let draw = |seed: u64, n: u64| -> Vec<f32> {
            let of = |at: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&at.to_le_bytes(), seed);
            (0..n).map(|at| (of(at) % 10_000) as f32).collect()
        };
        let mean = |of: &dyn Fn(u64) -> f64| (0..200).map(of).sum::<f64>() / 200.0;
        let index = mean(&|seed| stability_of_numbers(&draw(seed, 100), &draw(seed + 1000, 100)));
        let smirnov = mean(&|seed| kolmogorov_smirnov(&draw(seed, 100), &draw(seed + 1000, 100)));
        let divergence = mean(&|seed| divergence_of_numbers(&draw(seed, 100), &draw(seed + 1000, 100)));
        assert!(index < 0.08 && smirnov < 0.01 && divergence < 0.01, "{index} {smirnov} {divergence}");
    }

    #[test]
    fn order_is_correlated_by_rank_alone() {
        let counts = [(1.0, 10.0), (2.0, 1000.0), (3.0, 1001.0), (4.0, 1e9)];
        assert!((rank_correlation(&counts) - 1.0).abs() < 1e-12);
        let reversed: Vec<_> = counts.iter().map(|(a, b)| (*a, -b)).collect();
        assert!((rank_correlation(&reversed) + 1.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn all_are_within_their_bounds_and_nothing_for_equals(
            a in proptest::collection::vec(-1e3f32..1e3, 0..200), b in proptest::collection::vec(-1e3f32..1e3, 0..200),
        ) {
            prop_assert!((0.0..=1.0).contains(&kolmogorov_smirnov(&a, &b)));
            prop_assert!((0.0..=1.0).contains(&divergence_of_numbers(&a, &b)));
            prop_assert!(stability_of_numbers(&a, &b) >= 0.0);
            prop_assert!((kolmogorov_smirnov(&a, &b) - kolmogorov_smirnov(&b, &a)).abs() < 1e-12);
            prop_assert_eq!(stability_of_numbers(&a, &a), 0.0);
            prop_assert_eq!(divergence_of_numbers(&a, &a), 0.0);
        }
    }
}
