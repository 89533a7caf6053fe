//! How long an experiment would take, told before it begins: from what was shown until now, as if all of it had been the
//! control's. By each day another number of users would have entered, and would have done other amounts since: the test is over when
//! those are as many as it takes by their own figures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arrivals::Arrivals;
use super::plan::Plan;
use super::report::{Role, role};
use super::tally::{Totals, metrics};
use super::{Explained, Moments};
use crate::record::{ExperimentDesign, MetricDefinition, Timestamp};

/// How long an experiment would take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentForecast {
    /// Which.
    pub experiment: String,
    /// Since when what was shown is looked at.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Users whom the experiment is for, and who were shown what it is about.
    pub users: u64,
    /// Answers that they were given.
    pub answers: u64,
    /// The relative change that is to be found.
    pub effect: f64,
    /// What it takes by each metric; guardrails come last.
    pub metrics: Vec<MetricForecast>,
}

/// What it takes to see a change of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricForecast {
    /// The metric.
    pub metric: String,
    /// What it is for.
    pub role: Role,
    /// What it is now.
    pub value: f64,
    /// Users of all variants that it takes to find the change with the planned power, who have done by then as much as they would have; absent
    /// where nothing has come of any answer.
    pub users_needed: Option<f64>,
    /// In so many days they come: those who came again and again as they did, at the shares of the ramp-up. Beyond the days that were
    /// looked at, at the latest: newcomers alone are counted.
    pub days_needed: Option<f64>,
    /// The relative change that would be found in as many days as were looked at.
    pub smallest_effect: Option<f64>,
    /// The share of variance that users' past takes away (CUPED), as it would have in the time that was looked at.
    #[serde(default)]
    pub variance_reduction: f64,
}

/// The forecast from the users who were looked at, all of them the control's: the sums over them, and when they would have come.
pub fn forecast(id: &str, design: &ExperimentDesign, totals: &Totals, arrivals: &Arrivals<'_>) -> ExperimentForecast {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let (users, answers) = (sum(&totals.users), sum(&totals.answers));
    let weights = design.variants.iter().map(|variant| f64::from(variant.weight));
    let all: f64 = weights.clone().sum();
    let control = weights.clone().next().unwrap_or(1.0);
    let treated = weights.skip(1).fold(f64::INFINITY, f64::min);
    let shares = [control / all, treated / all];
    let of = |(place, (metric, moments)): (usize, (&MetricDefinition, &Vec<Moments>))| {
        let Explained { value, share, .. } = moments.first().and_then(Moments::explained).unwrap_or_default();
        let found = Found::of(arrivals, place, design, shares, design.effect * value);
        MetricForecast {
            metric: metric.name().to_owned(),
            role: role(design, place),
            value,
            users_needed: found.users,
            days_needed: found.days,
            smallest_effect: found.smallest.map(|smallest| smallest / value.abs()).filter(|of| of.is_finite()),
            variance_reduction: share,
        }
    };
    let metrics = metrics(design).into_iter().zip(&totals.moments).enumerate().map(of).collect();
    let (from, until) = arrivals.span();
    ExperimentForecast { experiment: id.to_owned(), from, until, users, answers, effect: design.effect, metrics }
}

/// Of fewer users nobody knows how much they differ.
const FEWEST_USERS: f64 = 30.0;

/// When a change of a metric is found.
#[derive(Default)]
struct Found {
    users: Option<f64>,
    days: Option<f64>,
    /// The change that is found at the end of what was looked at, absolute.
    smallest: Option<f64>,
}

impl Found {
    fn of(arrivals: &Arrivals<'_>, metric: usize, design: &ExperimentDesign, shares: [f64; 2], effect: f64) -> Self {
        let known = |number: f64| Some(number).filter(|number| number.is_finite());
        let mut found = Self::default();
        let (mut before, mut reached_before) = (0.0, 0.0);
        let mut last = None;
        for (day, users, moments) in arrivals.by_day(metric) {
            let deviation = moments.explained().map_or(0.0, |of| of.error * moments.users().sqrt());
            if deviation <= 0.0 || moments.users() < FEWEST_USERS {
                continue;
            }
            let plan = Plan { alpha: design.alpha, power: design.power, deviation, shares };
            let needed = plan.users(effect);
            let reached = users / needed;
            if reached >= 1.0 && found.days.is_none() {
                let part = (1.0 - reached_before) / (reached - reached_before);
                (found.users, found.days) = (known(needed), known(before + part * (day - before)));
            }
            (before, reached_before) = (day, reached);
            found.smallest = known(plan.effect(users));
            last = Some((users, needed));
        }
        if let (None, Some((users, needed))) = (found.days, last) {
            (found.users, found.days) = (known(needed), known(arrivals.day_of_more(needed - users)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::course::{Course, Day, Sum};
    use crate::experiment::interleave::Preferences;
    use crate::experiment::{Moments, UserFigure};
    use crate::record::Timestamp;

    fn at(days: f64) -> Timestamp {
        Timestamp::from_millis((days * 86_400_000.0) as i64).unwrap()
    }

    /// What is said after ten days, on each of which as many users came for the first time, were shown ten answers each, and clicked three
    /// on average. They come again on each of so many days.
    fn forecast_again(users: u32, again: u32, rest: &str) -> ExperimentForecast {
        let design = format!(
            r#"{{"variants":[{{"name":"A"}},{{"name":"B"}}],"metrics":[{{"kind":"click_through"}},{{"kind":"revenue"}}]{rest}}}"#
        );
        let design: ExperimentDesign = serde_json::from_str(&design).unwrap();
        let mut arrivals = Arrivals::new(&design, (at(10.0), at(20.0)));
        let mut all = Moments::default();
        for user in 0..users {
            let first = user % 10;
            let clicks = [1.0, 5.0][(user / 10) as usize % 2];
            let day = |number| Day { number, answers: 10, sums: vec![Sum { of: clicks, over: 0.0 }, Sum::default()] };
            let days: Vec<Day> = (first..=first + again).filter(|day| *day < 10).map(day).collect();
            let came = f64::from(first) + 0.5;
            arrivals.add(&Course { first: at(10.0 + came), days: &days, before: &[0.0; 2] });
            let days = days.len() as f64;
            all.add(UserFigure { of: clicks * days, over: 10.0 * days, before: 0.0 });
        }
        let none = Moments::default();
        let totals = Totals {
            users: vec![u64::from(users), 0],
            answers: vec![10 * u64::from(users), 0],
            crossed: 0,
            moments: vec![vec![all, none], vec![none, none]],
            preferences: Preferences::default(),
        };
        forecast("x", &design, &totals, &arrivals)
    }

    fn forecast_of(users: u32, rest: &str) -> ExperimentForecast {
        forecast_again(users, 0, rest)
    }

    #[test]
    fn the_users_of_the_formula_come_at_the_pace_of_before() {
        let found = forecast_of(10_000, "");
        let clicks = &found.metrics[0];
        // (3.03 + 0.84)² · .2² · 4 / (.05 · .3)².
        let needed = clicks.users_needed.unwrap();
        assert!((needed - 10_650.0).abs() < 100.0, "{clicks:?}");
        assert!((clicks.days_needed.unwrap() - needed / 1_000.0).abs() < 1e-9, "{clicks:?}");
        let smallest = clicks.smallest_effect.unwrap();
        assert!((smallest - 0.05 * (needed / 10_000.0).sqrt()).abs() < 1e-9, "{clicks:?}");
        let revenue = &found.metrics[1];
        assert_eq!((revenue.users_needed, revenue.days_needed, revenue.smallest_effect), (None, None, None));
    }

    #[test]
    fn a_tenth_of_the_traffic_takes_ten_times_as_long_and_a_small_variant_longer_too() {
        let days = |rest: &str| forecast_of(10_000, rest).metrics[0].days_needed.unwrap();
        assert!((days(r#","traffic":1000"#) / days("") - 10.0).abs() < 1e-9);
        assert!((days(r#","effect":0.1"#) / days("") - 0.25).abs() < 1e-3);
    }

    #[test]
    fn a_ramp_up_takes_as_long_as_its_steps_let_few_in() {
        let ramp = r#","ramp":[{"until":"2d","traffic":500},{"until":"5d","traffic":2000}]"#;
        let [plain, ramped] = ["", ramp].map(|rest| forecast_of(10_000, rest).metrics.swap_remove(0));
        assert!((ramped.users_needed.unwrap() / plain.users_needed.unwrap() - 1.0).abs() < 1e-3);
        // A thousand a day: 50 in each of two days and 200 in each of three, in place of 5,000.
        let late = ramped.days_needed.unwrap() - plain.days_needed.unwrap();
        assert!((late - 4.3).abs() < 0.01, "{late}");
        let smaller = (plain.smallest_effect.unwrap() / ramped.smallest_effect.unwrap()).powi(2);
        assert!((smaller - 0.57).abs() < 1e-3, "5,700 of 10,000 within ten days: {smaller}");
        // What is found within the ramp-up.
        let quick = forecast_of(10_000, &format!(r#"{ramp},"effect":0.5"#)).metrics.swap_remove(0);
        let needed = quick.users_needed.unwrap();
        assert!((100.0..700.0).contains(&needed), "{quick:?}");
        assert!((quick.days_needed.unwrap() - (2.0 + (needed - 100.0) / 200.0)).abs() < 0.02, "{quick:?}");
    }

    #[test]
    fn who_is_left_out_at_first_and_comes_again_takes_part_then() {
        let ramp = r#","effect":0.08,"ramp":[{"until":"2d","traffic":500},{"until":"5d","traffic":2000}]"#;
        let days = |again: u32| forecast_again(10_000, again, ramp).metrics.swap_remove(0).days_needed.unwrap();
        // 4,160 of them, who do alike: 3,700 are there on the eighth evening if they come once. If they come on three days more, 4,400 are
        // there on the sixth, but those who have come more often than others weigh more: they are as good as fewer.
        let (once, again) = (days(0), days(3));
        assert!((8.0..9.0).contains(&once) && (6.0..7.0).contains(&again), "{once} {again}");
    }
}
