//! Whole experiments simulated against known truth: users who differ, come back and are looked at every day.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::arrivals::Arrivals;
use super::course::{Course, Day, Sum};
use super::forecast::{ExperimentForecast, forecast};
use super::interleave::Preferences;
use super::moments::{Moments, Pair, UserFigure};
use super::plan::Plan;
use super::sequence::Boundary;
use super::tally::Totals;
use crate::record::{ExperimentDesign, RampStep, Span, Timestamp};

/// A population: click-through differs by user, and some come back on each day.
struct World {
    days: usize,
    newcomers: usize,
    returns: f64,
    answers: u32,
    rate: f64,
    /// Rates of users lie evenly within `rate` times 1 ± this.
    spread: f64,
    lift: f64,
    /// Whether users are counted who have clicked at all, over users, rather than clicks over answers.
    converts: bool,
    /// Until which days, and what share of users takes part; all of them later.
    ramp: &'static [(usize, f64)],
}

#[derive(Clone, Copy)]
struct User {
    rate: f64,
    treated: bool,
    /// The share of users that lets this one in.
    part: f64,
    clicks: f64,
    shown: f64,
    /// Clicks of as many days before, by the same taste.
    before: f64,
}

impl World {
    /// The first day on which the p-value is below 5 %.
    fn found(&self, seed: u64, planned: f64) -> Option<usize> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let boundary = Boundary::planned(0.05, planned);
        let mut users: Vec<User> = Vec::new();
        (1..=self.days).find(|day| {
            let newest = users.len();
            users.extend((0..self.newcomers).map(|_| self.newcomer(&mut random)));
            let share = self.share_of(*day);
            let mut moments = [Moments::default(); 2];
            let mut observed = 0.0;
            for (place, user) in users.iter_mut().enumerate() {
                let is_there = place >= newest || random.random::<f64>() < self.returns;
                if is_there && user.part < share {
                    let lift = if user.treated { 1.0 + self.lift } else { 1.0 };
                    user.clicks += f64::from(clicks(&mut random, user.rate * lift, self.answers));
                    user.shown += f64::from(self.answers);
                }
                if user.shown == 0.0 {
                    continue;
                }
                observed += user.shown;
                let (of, over) = match self.converts {
                    true => (user.clicks.min(1.0), 1.0),
                    false => (user.clicks, user.shown),
                };
                let figure = UserFigure { of, over, before: user.before };
                moments[usize::from(user.treated)].add(figure);
            }
            let counts = moments.map(|moments| moments.users());
            let pair = Pair::of(&moments[0], &moments[1]);
            let difference = pair.and_then(|pair| boundary.difference(&pair, counts, observed));
            difference.is_some_and(|difference| difference.p < 0.05)
        })
    }
}

impl World {
    fn share_of(&self, day: usize) -> f64 {
        self.ramp.iter().find(|(until, _)| day <= *until).map_or(1.0, |(_, share)| *share)
    }

    fn newcomer(&self, random: &mut ChaCha8Rng) -> User {
        let rate = self.rate * (1.0 + self.spread * (2.0 * random.random::<f64>() - 1.0));
        let before = f64::from(clicks(random, rate, 10));
        let treated = random.random();
        let part = if self.ramp.is_empty() { 0.0 } else { random.random() };
        User { rate, treated, part, clicks: 0.0, shown: 0.0, before }
    }

    /// What a forecast says of a test on these people, after so many days in which nothing was tested.
    fn forecast(&self, days: usize, design: &ExperimentDesign) -> ExperimentForecast {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let at = |day: f64| Timestamp::from_millis((day * 86_400_000.0) as i64).unwrap();
        let mut arrivals = Arrivals::new(design, (at(100.0), at(100.0 + days as f64)));
        let mut moments = Moments::default();
        for first in (0..days).flat_map(|day| std::iter::repeat_n(day, self.newcomers)) {
            let user = self.newcomer(&mut random);
            let mut visits = Vec::new();
            for day in first..days {
                if day == first || random.random::<f64>() < self.returns {
                    let of = f64::from(clicks(&mut random, user.rate, self.answers));
                    visits.push(Day { number: day as u32, answers: self.answers, sums: vec![Sum { of, over: 0.0 }] });
                }
            }
            arrivals.add(&Course { first: at(100.5 + first as f64), days: &visits, before: &[user.before] });
            let of = visits.iter().map(|day| day.sums[0].of).sum();
            moments.add(UserFigure { of, over: (visits.len() as u32 * self.answers).into(), before: user.before });
        }
        let (users, answers) = (moments.users() as u64, moments.sums().1 as u64);
        let totals = Totals {
            users: vec![users, 0],
            answers: vec![answers, 0],
            crossed: 0,
            moments: vec![vec![moments, Moments::default()]],
            preferences: Preferences::default(),
        };
        forecast("x", design, &totals, &arrivals)
    }
}

fn clicks(random: &mut ChaCha8Rng, rate: f64, answers: u32) -> u32 {
    (0..answers).map(|_| u32::from(random.random::<f64>() < rate)).sum()
}

fn false_positives(world: &World, planned: f64) -> usize {
    (0..1_000u64).into_par_iter().filter(|seed| world.found(*seed, planned).is_some()).count()
}

#[test]
fn of_a_thousand_tests_of_nothing_looked_at_daily_no_more_than_5_percent_find_something() {
    let base = World {
        days: 30,
        newcomers: 60,
        returns: 0.2,
        answers: 2,
        rate: 0.2,
        spread: 0.9,
        lift: 0.0,
        converts: false,
        ramp: &[],
    };
    let worlds = [
        ("users who differ come and return", World { ..base }),
        (
            "users who are alike come back every day",
            World { days: 60, newcomers: 20, returns: 1.0, spread: 0.0, ..base },
        ),
        ("users convert once, most of them in the end", World { converts: true, rate: 0.05, ..base }),
        ("users come once", World { returns: 0.0, newcomers: 120, answers: 1, ..base }),
    ];
    for (name, world) in worlds {
        let rate = false_positives(&world, 5_000.0) as f64 / 1_000.0;
        println!("A/A, {name}: {:.1} % of 1,000 tests find something at any of {} looks", rate * 100.0, world.days);
        assert!(rate <= 0.05, "{name}: {rate}");
    }
}

#[test]
fn a_planted_lift_of_5_percent_is_found_with_the_planned_power() {
    // Once each, ten answers: the deviation of a user's click-through is known.
    let (rate, answers) = (0.3, 10u32);
    let deviation = (rate * (1.0 - rate) / f64::from(answers)).sqrt();
    let plan = Plan { alpha: 0.05, power: 0.8, deviation, shares: [0.5, 0.5] };
    let users = plan.users(rate * 0.05).ceil();
    let world = World {
        days: 20,
        newcomers: (users / 20.0).ceil() as usize,
        returns: 0.0,
        answers,
        rate,
        spread: 0.0,
        lift: 0.05,
        converts: false,
        ramp: &[],
    };
    let runs = 400;
    let planned = users * f64::from(answers);
    let found: Vec<usize> = (0..runs).into_par_iter().filter_map(|seed| world.found(seed, planned)).collect();
    let power = found.len() as f64 / runs as f64;
    let mean = found.iter().sum::<usize>() as f64 / found.len() as f64;
    println!(
        "a lift of 5 % among {users} users: found in {:.1} % of {runs} tests, after {mean:.1} of 20 days",
        power * 100.0
    );
    // Looks before the end only add; 400 runs are off by 2 % (one standard deviation).
    assert!((0.76..=0.92).contains(&power), "{power}");
}

/// Users with a past, who differ, and are let in by steps.
const BY_STEPS: World = World {
    days: 0,
    newcomers: 600,
    returns: 0.0,
    answers: 10,
    rate: 0.3,
    spread: 0.9,
    lift: 0.05,
    converts: false,
    ramp: &[(4, 0.1), (8, 0.3)],
};

/// A design that looks for that lift, with and without those steps.
fn by_steps() -> [ExperimentDesign; 2] {
    let plain: ExperimentDesign =
        serde_json::from_str(r#"{"variants":[{"name":"A"},{"name":"B"}],"effect":0.05}"#).unwrap();
    let steps = [(4, 1_000), (8, 3_000)].map(|(until, traffic)| RampStep { until: Span::days(until), traffic });
    [ExperimentDesign { ramp: steps.to_vec(), ..plain.clone() }, plain]
}

const RUNS: usize = 400;

/// The days by which the lift is found in so many experiments, in their order; those in which it is not found until a last one are left out.
fn found_days(world: &World, planned: f64, last: f64) -> Vec<usize> {
    let world = World { days: last.ceil() as usize, ..*world };
    let found = (0..RUNS as u64).into_par_iter().filter_map(|seed| world.found(seed, planned));
    let mut days: Vec<usize> = found.collect();
    days.sort_unstable();
    days
}

/// The share of experiments in which it is found by a day.
fn power(found: &[usize], by: f64) -> f64 {
    found.iter().filter(|day| (**day as f64) <= by).count() as f64 / RUNS as f64
}

#[test]
fn a_forecast_of_users_with_a_past_who_are_let_in_by_steps_is_what_the_test_takes() {
    let [ramped, plain] = by_steps();
    let told = BY_STEPS.forecast(28, &ramped).metrics.swap_remove(0);
    // Of the variance of clicks in ten answers .0429, a third is of tastes that the ten before show: .0243² / .0429².
    assert!((told.variance_reduction - 0.32).abs() < 0.03, "{told:?}");
    let (needed, last) = (told.users_needed.unwrap(), told.days_needed.unwrap());
    let without_ramp = BY_STEPS.forecast(28, &plain).metrics[0].days_needed.unwrap();
    let found = found_days(&BY_STEPS, needed * 10.0, last);
    let (by_last, early) = (power(&found, last.ceil()), power(&found, without_ramp));
    println!(
        "a lift of 5 % in {needed:.0} users let in by steps: found in {:.1} % of {RUNS} tests by day {last:.1}, in {:.1} % by \
         day {without_ramp:.1}, which is what it would take without steps",
        100.0 * by_last,
        100.0 * early,
    );
    assert!((0.76..=0.93).contains(&by_last), "{by_last}");
    assert!(early < 0.6, "{early}");
}

#[test]
fn a_forecast_of_users_who_come_again_is_what_the_test_takes() {
    let [ramped, _] = by_steps();
    let world = World { newcomers: 400, returns: 0.1, ..BY_STEPS };
    let told = world.forecast(28, &ramped).metrics.swap_remove(0);
    let (needed, last) = (told.users_needed.unwrap(), told.days_needed.unwrap());
    let once = World { returns: 0.0, ..world }.forecast(28, &ramped).metrics[0].days_needed.unwrap();
    let answers = needed * 10.0 * (1.0 + world.returns * last / 2.0);
    let found = found_days(&world, answers, last + 6.0);
    let (by_last, four_of_five) = (power(&found, last.ceil()), found[RUNS * 4 / 5 - 1] as f64);
    println!(
        "a lift of 5 % in {needed:.0} users who come again on a tenth of the days, let in by steps: found in {:.1} % of {RUNS} \
         tests by day {last:.1}, in four of five by day {four_of_five}; if nobody came again it would take {once:.1} days",
        100.0 * by_last,
    );
    assert!((0.76..=0.93).contains(&by_last), "{by_last}");
    assert!((last - four_of_five).abs() <= 2.0 && once - last > 2.0, "{last} {four_of_five} {once}");
}
