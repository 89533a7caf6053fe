//! Whether a ranker's scores still say how likely an item is taken. They are learned to order, so a logistic regression on the
//! first answers of a snapshot turns them into probabilities (Platt 1999), beside the place at which an item was shown; later answers
//! tell whether these still hold.

use crate::linalg::solve_spd;

const BINS: usize = 10;
/// Newton's method needs a handful.
const STEPS: usize = 25;
/// The prior on both slopes, in units of standardised inputs: with few takes they stay small.
const RIDGE: f64 = 1.0;
const INPUTS: usize = 3;

/// An item that a ranker put in its place, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impression {
    /// The ranker's score, above the mean of those of its answer: only within an answer do scores compare.
    pub advantage: f64,
    /// Where it was shown, from 0.
    pub position: u32,
    /// Whether it was taken.
    pub taken: bool,
}

/// From scores and places to probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Of 1, the advantage, and the logarithm of the place from 1.
    weights: [f64; INPUTS],
}

impl Calibration {
    /// Learns from impressions; `None` unless some of them were taken and some were not.
    pub fn fit(impressions: &[Impression]) -> Option<Self> {
        let n = impressions.len() as f64;
        let taken = impressions.iter().filter(|of| of.taken).count() as f64;
        if taken == 0.0 || taken == n {
            return None;
        }
        let spread = (impressions.iter().map(|of| of.advantage.powi(2)).sum::<f64>() / n).sqrt();
        let unit = if spread > 0.0 && spread.is_finite() { spread } else { 1.0 };
        let mut fitted = Self { weights: [(taken / (n - taken)).ln(), 0.0, 0.0] };
        for _ in 0..STEPS {
            let (mut curvature, mut slope) = ([0.0f64; INPUTS * INPUTS], [0.0f64; INPUTS]);
            for of in impressions {
                let x = inputs(of, unit);
                let p = sigmoid(product(&fitted.weights, &x));
                let rest = f64::from(u8::from(of.taken)) - p;
                let curve = p * (1.0 - p);
                slope.iter_mut().zip(&x).for_each(|(slope, x)| *slope += rest * x);
                let products = x.iter().flat_map(|a| x.iter().map(move |b| a * b));
                curvature.iter_mut().zip(products).for_each(|(sum, product)| *sum += curve * product);
            }
            for (place, slope) in slope.iter_mut().enumerate().skip(1) {
                *slope -= RIDGE * fitted.weights.get(place).copied().unwrap_or(0.0);
                curvature.get_mut(place * (INPUTS + 1)).into_iter().for_each(|sum| *sum += RIDGE);
            }
            let mut step = slope.map(|slope| slope as f32);
            solve_spd(&mut curvature.map(|sum| sum as f32), &mut step, INPUTS).ok()?;
            fitted.weights.iter_mut().zip(&step).for_each(|(weight, step)| *weight += f64::from(*step));
            if step.iter().all(|step| step.abs() < 1e-6) {
                break;
            }
        }
        let [one, advantage, place] = fitted.weights;
        let weights = [one, advantage / unit, place];
        weights.iter().all(|weight| weight.is_finite()).then_some(Self { weights })
    }

    /// How likely it is taken.
    pub fn probability(&self, of: &Impression) -> f64 {
        sigmoid(product(&self.weights, &inputs(of, 1.0)))
    }
}

fn inputs(of: &Impression, unit: f64) -> [f64; INPUTS] {
    [1.0, of.advantage / unit, (f64::from(of.position) + 1.0).ln()]
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// How far foretold probabilities are from what happened, as a share of what was foretold: the distance of both in ten bins of
/// equal size (expected calibration error; Naeini, Cooper & Hauskrecht, AAAI 2015), less what chance alone makes of it. 0
/// without pairs.
pub fn calibration_error(pairs: &[(f64, bool)]) -> f64 {
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let size = pairs.len().div_ceil(BINS).max(1);
    let gap = |bin: &[(f64, bool)]| {
        let foretold: f64 = bin.iter().map(|pair| pair.0).sum();
        let happened = bin.iter().filter(|pair| pair.1).count() as f64;
        let variance: f64 = bin.iter().map(|(p, _)| p * (1.0 - p)).sum();
        // The mean distance of a normal variable from its mean.
        let by_chance = (variance * std::f64::consts::FRAC_2_PI).sqrt();
        ((foretold - happened).abs() - by_chance).max(0.0)
    };
    let all: f64 = pairs.iter().map(|pair| pair.0).sum();
    if all > 0.0 { pairs.chunks(size).map(gap).sum::<f64>() / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Answers of ten items; one is taken with odds that its advantage doubles and its place divides.
    fn drawn(n: usize, base: f64, seed: u64) -> Vec<Impression> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let shown = (0..n).map(|place| {
            let (advantage, position) = (random.random_range(-2.0..2.0), (place % 10) as u32);
            let p = sigmoid(base.ln() + advantage * 2f64.ln() - 0.5 * f64::from(position + 1).ln());
            Impression { advantage, position, taken: random.random_range(0.0..1.0) < p }
        });
        shown.collect()
    }

    fn error(calibration: &Calibration, later: &[Impression]) -> f64 {
        calibration_error(&later.iter().map(|of| (calibration.probability(of), of.taken)).collect::<Vec<_>>())
    }

    #[test]
    fn weights_are_found_again_and_later_answers_of_the_same_kind_are_foretold() {
        let calibration = Calibration::fit(&drawn(200_000, 0.2, 1)).unwrap();
        for (found, planted) in calibration.weights.iter().zip([0.2f64.ln(), 2f64.ln(), -0.5]) {
            assert!((found - planted).abs() < 0.03, "{calibration:?}");
        }
        let noise = (2..40).map(|seed| error(&calibration, &drawn(2_000, 0.2, seed))).fold(0.0, f64::max);
        assert!(noise < 0.2, "{noise}");
    }

    #[test]
    fn twice_as_many_takes_or_scores_that_say_nothing_any_more_are_seen() {
        let calibration = Calibration::fit(&drawn(20_000, 0.2, 1)).unwrap();
        let more = error(&calibration, &drawn(5_000, 0.5, 2));
        assert!(more > 0.5, "{more}");
        let mut shuffled = drawn(5_000, 0.2, 3);
        let half = shuffled.len() / 2;
        for place in 0..half {
            let other = shuffled[place + half].taken;
            shuffled[place + half].taken = shuffled[place].taken;
            shuffled[place].taken = other;
        }
        let nothing = error(&calibration, &shuffled);
        assert!(nothing > 0.15, "{nothing}");
    }

    #[test]
    fn the_error_is_the_distance_as_a_share_of_what_was_foretold() {
        let pairs = |p: f64| (0..100_000).map(|n| (p, n % 10 == 0)).collect::<Vec<_>>();
        assert_eq!(calibration_error(&pairs(0.1)), 0.0);
        assert!((calibration_error(&pairs(0.4)) - 0.75).abs() < 0.02);
        assert_eq!(calibration_error(&[]), 0.0);
    }

    #[test]
    fn nothing_is_learned_of_one_kind_alone_and_equal_scores_have_no_weight() {
        let of = |taken| Impression { advantage: 0.0, position: 0, taken };
        assert_eq!(Calibration::fit(&[of(true); 9]), None);
        assert_eq!(Calibration::fit(&[of(false); 9]), None);
        assert_eq!(Calibration::fit(&[]), None);
        let even = Calibration::fit(&[of(true), of(false), of(false), of(false)]).unwrap();
        assert!((even.probability(&of(true)) - 0.25).abs() < 1e-3);
    }
}
