//! Which trial is taken in the end. The best mean of many is the best partly by luck, so the simplest of those that are
//! not told apart from it is taken: the model as configured, else the best of the other models' defaults, else the best. This is the
//! one-standard-error rule (Breiman et al. 1984) with differences paired by user, and with the error times what the largest of
//! m equal candidates is expected to exceed the others by, through luck alone. A lead that is no luck may still be of these
//! hold-outs alone, from which what comes will differ: a small one is not worth other settings.

use rustc_hash::FxHashMap;

use super::trial::Trial;
use crate::config::ModelKind;
use crate::record::UserId;

/// A lead over a default, of the same model or another, counts from this share of what the default reaches.
const WORTHWHILE: f64 = 0.01;

/// What is taken and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Its place among the trials.
    pub chosen: usize,
    /// In words.
    pub reason: String,
}

/// A difference of means over users, paired.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The mean difference.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}

/// Decides among the trials of some models that were measured on the top rung, whose values belong to `users` one by one;
/// those of other models are not taken, however good. `None` when no trial got there.
pub fn decide(trials: &[Trial], models: &[ModelKind], configured: ModelKind, users: &[UserId]) -> Option<Decision> {
    let top = trials.first()?.rungs.len().checked_sub(1)?;
    let to_choose = trials.iter().enumerate().filter(|(_, trial)| models.contains(&trial.candidate.model));
    let mut measured: Vec<(usize, f64)> =
        to_choose.filter_map(|(place, trial)| Some((place, trial.score(top)?))).collect();
    measured.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let (best, _) = *measured.first()?;
    let luck = largest_of(measured.len()).max(1.0);
    let of = |place: usize| trials.get(place);
    let is_default = |(place, _): &&(usize, f64)| of(*place).is_some_and(|trial| trial.is_default);
    let defaults = || measured.iter().filter(is_default);
    let is_configured =
        |(place, _): &&(usize, f64)| of(*place).is_some_and(|trial| trial.candidate.model == configured);
    let simple =
        [(defaults().find(is_configured), "the model as configured"), (defaults().next(), "this model's default")];
    for (place, what) in simple {
        let Some((place, reached)) = place else { continue };
        if *place == best {
            return Some(Decision { chosen: best, reason: format!("{what} is the best") });
        }
        let difference = difference(of(best)?, of(*place)?, top, users);
        if difference.mean <= luck * difference.error {
            let reason = format!(
                "{what} is not told apart from the best, which is ahead by {:.4} with a standard error of {:.4}",
                difference.mean, difference.error
            );
            return Some(Decision { chosen: *place, reason });
        }
        if difference.mean < WORTHWHILE * reached {
            let reason = format!(
                "{what} is behind the best by {:.4}, with a standard error of {:.4}: too little for other settings",
                difference.mean, difference.error
            );
            return Some(Decision { chosen: *place, reason });
        }
    }
    let ahead = defaults().next().and_then(|(place, _)| Some(difference(of(best)?, of(*place)?, top, users)));
    let reason = ahead.map_or_else(
        || "it is the best".into(),
        |ahead| {
            format!(
                "ahead of every default, of the best by {:.4} with a standard error of {:.4}",
                ahead.mean, ahead.error
            )
        },
    );
    Some(Decision { chosen: best, reason })
}

/// How far the largest of `n` standard normal numbers is expected to be from their mean, by the limit that it has for large
/// `n` (Fisher & Tippett 1928): less than a fifth of an error too much from 2 on.
pub fn largest_of(n: usize) -> f64 {
    let log = (n.max(2) as f64).ln();
    let bound = (2.0 * log).sqrt();
    bound - (log.ln() + (4.0 * std::f64::consts::PI).ln()) / (2.0 * bound) + EULER / bound
}

/// Euler's constant.
const EULER: f64 = 0.577_215_664_901_532_9;

/// How far `a` is ahead of `b` on a rung. A user who was measured in several folds is one user.
pub fn difference(a: &Trial, b: &Trial, rung: usize, users: &[UserId]) -> Difference {
    let values = |trial: &Trial| -> Vec<f32> {
        trial.rungs.get(rung).and_then(Option::as_ref).map_or_else(Vec::new, |measured| measured.values.clone())
    };
    let mut of_user: FxHashMap<UserId, (f64, f64)> = FxHashMap::default();
    let (mut sum, mut count) = (0.0, 0.0);
    for ((a, b), user) in values(a).iter().zip(&values(b)).zip(users) {
        let ahead = f64::from(*a) - f64::from(*b);
        let (total, times) = of_user.entry(*user).or_default();
        *total += ahead;
        *times += 1.0;
        sum += ahead;
        count += 1.0;
    }
    let n = of_user.len() as f64;
    if n < 2.0 {
        return Difference { mean: 0.0, error: f64::INFINITY };
    }
    let mean = sum / count;
    let mut squares: Vec<f64> = of_user.values().map(|(total, times)| (total - times * mean).powi(2)).collect();
    // A sum that does not depend on the order of the map.
    squares.sort_unstable_by(f64::total_cmp);
    let error = (squares.iter().sum::<f64>() * n / (n - 1.0)).sqrt() / count;
    Difference { mean, error }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::trial::{Candidate, Measured};
    use super::*;

    const USERS: usize = 200;

    fn trial(model: ModelKind, is_default: bool, values: Vec<f32>) -> Trial {
        let rung = Measured { values, failure: None, seconds: 1.0 };
        Trial { candidate: Candidate { model, values: Vec::new() }, is_default, rungs: vec![Some(rung)] }
    }

    fn users() -> Vec<UserId> {
        (0..USERS as u32).map(UserId::new).collect()
    }

    /// Each user has an own level, as in real data, and each trial its noise.
    fn noisy(random: &mut ChaCha8Rng, better: f32) -> Vec<f32> {
        (0..USERS).map(|user| (user % 10) as f32 / 10.0 + better + random.random_range(-0.1..0.1)).collect()
    }

    #[test]
    fn the_largest_of_many_is_as_far_off_as_in_the_tables() {
        // Harter (1961), Expected values of normal order statistics.
        for (n, expected) in [(2, 0.5642), (10, 1.5388), (100, 2.5076), (400, 2.9682)] {
            assert!((-0.01..0.2).contains(&(largest_of(n) - expected)), "{n}: {}", largest_of(n));
        }
    }

    #[test]
    fn the_default_is_not_left_for_noise() {
        let mut left = 0;
        for seed in 0..200 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut trials = vec![trial(ModelKind::Blend, true, noisy(&mut random, 0.0))];
            trials.extend((0..15).map(|_| trial(ModelKind::Blend, false, noisy(&mut random, 0.0))));
            left += usize::from(
                decide(&trials, &[ModelKind::Blend, ModelKind::Linear], ModelKind::Blend, &users()).unwrap().chosen
                    != 0,
            );
        }
        assert!(left <= 60, "left the default for an equal one {left} times of 200");
    }

    #[test]
    fn the_default_is_left_for_what_is_better() {
        for seed in 0..50 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut trials = vec![trial(ModelKind::Blend, true, noisy(&mut random, 0.0))];
            trials.extend(
                (0..15).map(|place| {
                    trial(ModelKind::Blend, false, noisy(&mut random, if place == 7 { 0.05 } else { 0.0 }))
                }),
            );
            let decision = decide(&trials, &[ModelKind::Blend, ModelKind::Linear], ModelKind::Blend, &users()).unwrap();
            assert_eq!(decision.chosen, 8, "{}", decision.reason);
        }
    }

    #[test]
    fn a_lead_that_is_certain_and_small_is_not_worth_other_settings() {
        let level = |level: f32| (0..USERS).map(|user| level + (user % 7) as f32 / 10.0).collect::<Vec<f32>>();
        let chosen = |lead: f32| {
            let trials = [trial(ModelKind::Blend, true, level(0.3)), trial(ModelKind::Blend, false, level(0.3 + lead))];
            decide(&trials, &[ModelKind::Blend], ModelKind::Blend, &users()).unwrap().chosen
        };
        assert_eq!((chosen(0.004), chosen(0.01)), (0, 1), "of .6");
    }

    #[test]
    fn another_models_default_is_preferred_to_a_tuned_one_that_is_hardly_better() {
        let level = |level: f32| (0..USERS).map(|user| level + (user % 7) as f32 / 10.0).collect::<Vec<f32>>();
        let mut hardly = level(0.3);
        hardly[0] += 0.5;
        let trials = [
            trial(ModelKind::Blend, true, level(0.1)),
            trial(ModelKind::Linear, true, level(0.3)),
            trial(ModelKind::Linear, false, hardly),
        ];
        let decision = decide(&trials, &[ModelKind::Blend, ModelKind::Linear], ModelKind::Blend, &users()).unwrap();
        assert_eq!(decision.chosen, 1, "{}", decision.reason);
    }

    #[test]
    fn a_model_that_is_not_among_those_to_choose_from_is_not_taken() {
        let level = |level: f32| (0..USERS).map(|user| level + (user % 7) as f32 / 10.0).collect::<Vec<f32>>();
        let trials = [
            trial(ModelKind::Blend, true, level(0.9)),
            trial(ModelKind::Filter, true, level(0.2)),
            trial(ModelKind::Linear, true, level(0.3)),
        ];
        let of = |models: &[ModelKind]| decide(&trials, models, ModelKind::Blend, &users()).map(|of| of.chosen);
        assert_eq!(of(&[ModelKind::Linear, ModelKind::Filter]), Some(2));
        assert_eq!(of(&[ModelKind::Filter]), Some(1));
        assert_eq!(of(&[ModelKind::Blend, ModelKind::Linear]), Some(0));
        assert_eq!(of(&[ModelKind::Ials]), None);
    }

    #[test]
    fn a_user_of_several_folds_counts_as_one() {
        let values = |better: f32| (0..USERS).map(|place| (place % 2) as f32 * better).collect::<Vec<f32>>();
        let (a, b) = (trial(ModelKind::Ials, false, values(1.0)), trial(ModelKind::Ials, false, values(0.0)));
        let apart = difference(&a, &b, 0, &users());
        let twenty: Vec<UserId> = (0..USERS as u32).map(|place| UserId::new(place % 20)).collect();
        let folded = difference(&a, &b, 0, &twenty);
        assert_eq!(apart.mean, folded.mean);
        assert!(folded.error > 2.0 * apart.error, "{} and {}", folded.error, apart.error);
    }
}
