//! How long an experiment would take, told before it begins: from what was shown until now, as if all of it had been the
//! control's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::report::{Role, role};
use super::tally::{Totals, metrics};
use super::{Explained, Moments};
use crate::record::{ExperimentDesign, MetricDefinition, PARTS, Timestamp};

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
    /// Users of all variants that it takes to find the change with the planned power; absent where nothing has come of any answer.
    pub users_needed: Option<f64>,
    /// In so many days they come, at the shares of the ramp-up, at the latest: who is left out at first is not awaited again.
    pub days_needed: Option<f64>,
    /// The relative change that would be found in as many days as were looked at.
    pub smallest_effect: Option<f64>,
    /// The share of variance that users' past takes away (CUPED), as it would have in the time that was looked at.
    #[serde(default)]
    pub variance_reduction: f64,
}

/// The forecast from the sums over users, all of them the control's.
pub fn forecast(
    id: &str,
    design: &ExperimentDesign,
    totals: &Totals,
    (from, until): (Timestamp, Timestamp),
) -> ExperimentForecast {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let (users, answers) = (sum(&totals.users), sum(&totals.answers));
    let days = (until.millis() - from.millis()).max(1) as f64 / 86_400_000.0;
    let pace = Pace { design, users_a_day: users as f64 / days };
    let weights = design.variants.iter().map(|variant| f64::from(variant.weight));
    let all: f64 = weights.clone().sum();
    let control = weights.clone().next().unwrap_or(1.0);
    let treated = weights.skip(1).fold(f64::INFINITY, f64::min);
    let of = |(place, (metric, moments)): (usize, (&MetricDefinition, &Vec<Moments>))| {
        let Explained { value, error, share } = moments.first().and_then(Moments::explained).unwrap_or_default();
        let deviation = error * (users as f64).sqrt();
        let (alpha, power) = (design.alpha, design.power);
        let plan = Plan { alpha, power, deviation, shares: [control / all, treated / all] };
        let known = |number: f64| Some(number).filter(|number| number.is_finite() && deviation > 0.0);
        let users_needed = known(plan.users(design.effect * value));
        MetricForecast {
            metric: metric.name().to_owned(),
            role: role(design, place),
            value,
            users_needed,
            days_needed: users_needed.and_then(|needed| known(pace.days(needed))),
            smallest_effect: known(plan.effect(pace.users(days)) / value.abs()),
            variance_reduction: share,
        }
    };
    let metrics = metrics(design).into_iter().zip(&totals.moments).enumerate().map(of).collect();
    ExperimentForecast { experiment: id.to_owned(), from, until, users, answers, effect: design.effect, metrics }
}

/// How users come to take part: as many a day as before, of whom the ramp-up lets more and more in.
struct Pace<'d> {
    design: &'d ExperimentDesign,
    users_a_day: f64,
}

impl Pace<'_> {
    /// The steps of the ramp-up and what follows: when each ends, in days from the start, and how many take part a day.
    fn steps(&self) -> impl Iterator<Item = (f64, f64)> {
        let ramp = self.design.ramp.iter().map(|step| (step.until.millis() as f64 / 86_400_000.0, step.traffic));
        let steps = ramp.chain([(f64::INFINITY, self.design.traffic)]);
        steps.map(|(until, traffic)| (until, self.users_a_day * f64::from(traffic) / f64::from(PARTS)))
    }

    /// Who takes part within so many days.
    fn users(&self, days: f64) -> f64 {
        let (mut users, mut from) = (0.0, 0.0);
        for (until, a_day) in self.steps() {
            users += a_day * (until.min(days) - from).max(0.0);
            from = until;
        }
        users
    }

    /// When so many have taken part, in days from the start.
    fn days(&self, users: f64) -> f64 {
        let (mut missing, mut from) = (users, 0.0);
        for (until, a_day) in self.steps() {
            let day = from + missing / a_day;
            if day <= until {
                return day;
            }
            missing -= a_day * (until - from);
            from = until;
        }
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::interleave::Preferences;
    use crate::experiment::{Moments, UserFigure};

    /// Users who were shown ten answers each, three of which were clicked on average.
    fn totals(users: u64) -> Totals {
        let mut moments = Moments::default();
        for user in 0..users {
            moments.add(UserFigure { of: [1.0, 5.0][user as usize % 2], over: 10.0, before: 0.0 });
        }
        let none = Moments::default();
        Totals {
            users: vec![users, 0],
            answers: vec![10 * users, 0],
            crossed: 0,
            moments: vec![vec![moments, none], vec![none, none]],
            preferences: Preferences::default(),
        }
    }

    fn forecast_of(users: u64, rest: &str) -> ExperimentForecast {
        let design = format!(
            r#"{{"variants":[{{"name":"A"}},{{"name":"B"}}],"metrics":[{{"kind":"click_through"}},{{"kind":"revenue"}}]{rest}}}"#
        );
        let at = |day: i64| Timestamp::from_millis(day * 86_400_000).unwrap();
        forecast("x", &serde_json::from_str(&design).unwrap(), &totals(users), (at(10), at(20)))
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
        assert!((days(r#","effect":0.1"#) / days("") - 0.25).abs() < 1e-9);
    }

    #[test]
    fn a_ramp_up_takes_as_long_as_its_steps_let_few_in() {
        let ramp = r#","ramp":[{"until":"2d","traffic":500},{"until":"5d","traffic":2000}]"#;
        let [plain, ramped] = ["", ramp].map(|rest| forecast_of(10_000, rest).metrics.swap_remove(0));
        assert_eq!(ramped.users_needed, plain.users_needed);
        // A thousand a day: 50 in each of two days and 200 in each of three, in place of 5,000.
        let late = ramped.days_needed.unwrap() - plain.days_needed.unwrap();
        assert!((late - 4.3).abs() < 1e-9, "{late}");
        let smaller = (plain.smallest_effect.unwrap() / ramped.smallest_effect.unwrap()).powi(2);
        assert!((smaller - 0.57).abs() < 1e-9, "5,700 of 10,000 within ten days: {smaller}");
        // What is found within the ramp-up.
        let quick = forecast_of(10_000, &format!(r#"{ramp},"effect":0.5"#)).metrics.swap_remove(0);
        let needed = quick.users_needed.unwrap();
        assert!((100.0..700.0).contains(&needed), "{quick:?}");
        assert!((quick.days_needed.unwrap() - (2.0 + (needed - 100.0) / 200.0)).abs() < 1e-9, "{quick:?}");
    }
}
