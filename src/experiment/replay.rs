//! What another policy would have earned, from logged answers and the propensities of their items. The reward of an answer
//! is the sum over its items, and an item's reward does not depend on its neighbours: the item-position model, under which
//! inclusion propensities are enough (Li et al., KDD 2018; Swaminathan et al., NIPS 2017).
//!
//! Three estimates: inverse propensity scores (Horvitz & Thompson 1952), self-normalised (Swaminathan & Joachims, NIPS
//! 2015), and doubly robust (Dudík, Langford & Li, ICML 2011). What the log never showed no estimate can know: how much of
//! the policy that is, `support` says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::moments::{Moments, UserFigure};
use super::plan::normal_quantile;

/// No item counts more than so many times: a rare draw must not decide alone.
const LARGEST_WEIGHT: f64 = 100.0;

/// An item that was shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoggedItem {
    /// What came of it.
    pub reward: f64,
    /// The probability with which the log's policy showed it.
    pub logged: f64,
    /// The probability with which the policy in question would show it.
    pub target: f64,
    /// What a model of rewards expects of it.
    pub expected: f64,
}

/// An answer that was shown.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LoggedAnswer {
    /// The items that were shown.
    pub items: Vec<LoggedItem>,
    /// What the model of rewards expects of the answer of the policy in question.
    pub expected: f64,
    /// How many items the policy in question would have shown.
    pub target_items: f64,
}

/// A figure with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// What a policy would have earned an answer. Intervals are for one look, by users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OffPolicy {
    /// Answers that were looked at.
    pub answers: u64,
    /// Users whose answers they are.
    pub users: u64,
    /// What the answers have earned as they were shown.
    pub logged: Interval,
    /// By inverse propensity scores.
    pub ips: Option<Interval>,
    /// The same, self-normalised: less variance, a bias that vanishes.
    pub snips: Option<Interval>,
    /// Doubly robust: right if either the propensities or the model of rewards are.
    pub doubly_robust: Option<Interval>,
    /// The share of the policy's items that the log has shown in the same answer: the rest counts as nothing in `ips`, and as
    /// the model says in `doubly_robust`.
    pub support: f64,
    /// The share of what was shown that was drawn, with a propensity below 1. Where nothing was, propensities say nothing of what
    /// this policy would have shown instead.
    #[serde(default)]
    pub drawn: f64,
    /// How many evenly weighted items the weighted ones are worth.
    pub effective_items: f64,
    /// What the estimates cannot say, where nothing was drawn.
    pub note: Option<String>,
}

/// Estimates from the answers of each user. `None` where there is no answer.
pub fn off_policy(users: &[Vec<LoggedAnswer>], confidence: f64) -> Option<OffPolicy> {
    let mut logged = Moments::default();
    let (mut ips, mut robust, mut normal) = (Moments::default(), Moments::default(), Moments::default());
    let (mut answers, mut hit, mut wanted) = (0, 0.0, 0.0);
    let (mut weights, mut squares) = (0.0, 0.0);
    let (mut shown, mut drawn) = (0.0, 0.0);
    for user in users.iter().filter(|answers| !answers.is_empty()) {
        let over = user.len() as f64;
        let (mut earned, mut weighted, mut corrected, mut weight_sum, mut items_wanted) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for answer in user {
            corrected += answer.expected;
            items_wanted += answer.target_items;
            for item in &answer.items {
                let weight = (item.target / item.logged.max(f64::MIN_POSITIVE)).min(LARGEST_WEIGHT);
                earned += item.reward;
                weighted += weight * item.reward;
                corrected += weight * (item.reward - item.expected);
                weight_sum += weight;
                weights += weight;
                squares += weight * weight;
                hit += item.target;
                shown += 1.0;
                drawn += f64::from(u8::from(item.logged < 1.0));
            }
        }
        answers += user.len() as u64;
        wanted += items_wanted;
        logged.add(UserFigure { of: earned, over, before: 0.0 });
        ips.add(UserFigure { of: weighted, over, before: 0.0 });
        robust.add(UserFigure { of: corrected, over, before: 0.0 });
        // Earned an item, by weight; scaled to the length of the policy's answers below.
        normal.add(UserFigure { of: weighted, over: weight_sum, before: 0.0 });
    }
    let undrawn = || {
        "nothing of what was shown was drawn: the estimates tell little of what another policy would have earned. Serve \
         with recommend.explore.share above 0 for a while first"
            .to_owned()
    };
    let width = normal_quantile(0.5 + confidence / 2.0);
    let of = |moments: &Moments, scale: f64| {
        let (value, error) = moments.value_and_error()?;
        let (value, reach) = (value * scale, width * error * scale);
        Some(Interval { value, low: value - reach, high: value + reach })
    };
    Some(OffPolicy {
        answers,
        users: logged.users() as u64,
        logged: of(&logged, 1.0)?,
        ips: of(&ips, 1.0),
        snips: of(&normal, wanted / answers as f64),
        doubly_robust: of(&robust, 1.0),
        support: if wanted > 0.0 { hit / wanted } else { 0.0 },
        drawn: if shown > 0.0 { drawn / shown } else { 0.0 },
        effective_items: if squares > 0.0 { weights * weights / squares } else { 0.0 },
        note: (drawn == 0.0).then(undrawn),
    })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const ITEMS: usize = 12;
    const SHOWN: usize = 3;

    /// Item `i` is clicked with this probability, by one of two kinds of users.
    fn rate(kind: usize, item: usize) -> f64 {
        0.02 + 0.03 * ((item * 7 + kind * 5) % ITEMS) as f64
    }

    /// The logging policy shows each item independently: some often, all at times.
    fn logged(item: usize) -> f64 {
        0.1 + 0.5 * (item % 4) as f64 / 3.0
    }

    /// The policy in question shows the three that its kind of user likes best; what that earns is known.
    fn target(kind: usize, item: usize) -> f64 {
        let better = (0..ITEMS).filter(|other| rate(kind, *other) > rate(kind, item)).count();
        f64::from(u8::from(better < SHOWN))
    }

    fn truth() -> f64 {
        (0..2).flat_map(|kind| (0..ITEMS).map(move |item| rate(kind, item) * target(kind, item) / 2.0)).sum()
    }

    /// A log of users of both kinds, with a model of rewards that is off by this factor.
    fn log(users: usize, off: f64, lie: f64, seed: u64) -> Vec<Vec<LoggedAnswer>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut answer = |kind: usize| {
            let mut answer = LoggedAnswer::default();
            for item in 0..ITEMS {
                let expected = rate(kind, item) * off;
                answer.expected += expected * target(kind, item);
                answer.target_items += target(kind, item);
                if random.random::<f64>() < logged(item) {
                    let reward = f64::from(u8::from(random.random::<f64>() < rate(kind, item)));
                    let logged = (logged(item) * lie).min(1.0);
                    answer.items.push(LoggedItem { reward, logged, target: target(kind, item), expected });
                }
            }
            answer
        };
        (0..users).map(|user| (0..4).map(|_| answer(user % 2)).collect()).collect()
    }

    #[test]
    fn all_three_find_what_the_policy_would_have_earned() {
        let mut held = [0; 3];
        let mut sums = [0.0; 3];
        for seed in 0..200 {
            let found = off_policy(&log(500, 0.7, 1.0, seed), 0.95).unwrap();
            let all = [found.ips, found.snips, found.doubly_robust].map(Option::unwrap);
            for ((held, sum), interval) in held.iter_mut().zip(&mut sums).zip(all) {
                *held += usize::from((interval.low..=interval.high).contains(&truth()));
                *sum += interval.value / 200.0;
            }
        }
        println!(
            "off-policy: truth {:.4}; ips, snips, doubly robust on average {sums:.4?}; {held:?} of 200 intervals hold it",
            truth()
        );
        assert!(held.iter().all(|held| (180..=200).contains(held)), "{held:?}");
        assert!(sums.iter().all(|sum| (sum / truth() - 1.0).abs() < 0.01), "{sums:?} {}", truth());
    }

    #[test]
    fn a_good_model_narrows_the_doubly_robust_interval() {
        let found = off_policy(&log(4_000, 1.0, 1.0, 3), 0.95).unwrap();
        let width = |interval: Option<Interval>| interval.map(|of| of.high - of.low).unwrap();
        assert!(width(found.doubly_robust) < 0.9 * width(found.ips), "{found:?}");
        assert!(found.support < 1.0 && found.effective_items > 1_000.0);
        assert_eq!(found.note, None);
    }

    #[test]
    fn with_wrong_propensities_a_right_model_still_leads_to_the_truth() {
        let found = off_policy(&log(4_000, 1.0, 1.5, 4), 0.95).unwrap();
        let off = |interval: Option<Interval>| (interval.unwrap().value / truth() - 1.0).abs();
        assert!(off(found.ips) > 0.2 && off(found.doubly_robust) < 0.05, "{found:?}");
    }

    #[test]
    fn a_log_without_draws_says_that_it_tells_little() {
        let item = LoggedItem { reward: 1.0, logged: 1.0, target: 1.0, expected: 0.1 };
        let answer = LoggedAnswer { items: vec![item; 3], expected: 0.3, target_items: 3.0 };
        let found = off_policy(&vec![vec![answer]; 2], 0.95).unwrap();
        assert_eq!(found.drawn, 0.0);
        assert!(found.note.is_some_and(|note| note.contains("recommend.explore")));
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert!(off_policy(&[], 0.95).is_none());
    }
}
