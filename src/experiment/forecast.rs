//! How long an experiment would take, told before it begins: from what was shown until now, as if all of it had been the
//! control's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::report::{Role, role};
use super::tally::{Totals, metrics};
use crate::record::{ExperimentDesign, PARTS, Timestamp};

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
    /// In so many days they come.
    pub days_needed: Option<f64>,
    /// The relative change that would be found in as many days as were looked at.
    pub smallest_effect: Option<f64>,
}

/// The forecast from the sums over users, all of them the control's. CUPED, which only makes it shorter, is left out.
pub fn forecast(
    id: &str,
    design: &ExperimentDesign,
    totals: &Totals,
    (from, until): (Timestamp, Timestamp),
) -> ExperimentForecast {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let (users, answers) = (sum(&totals.users), sum(&totals.answers));
    let days = (until.millis() - from.millis()).max(1) as f64 / 86_400_000.0;
    let taking_part = users as f64 * f64::from(design.traffic) / f64::from(PARTS);
    let weights = design.variants.iter().map(|variant| f64::from(variant.weight));
    let all: f64 = weights.clone().sum();
    let control = weights.clone().next().unwrap_or(1.0);
    let treated = weights.skip(1).fold(f64::INFINITY, f64::min);
    let of = |(place, (metric, moments)): (usize, (&crate::record::MetricDefinition, &Vec<super::Moments>))| {
        let (value, error) = moments.first().and_then(super::Moments::value_and_error).unwrap_or_default();
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
            days_needed: users_needed.and_then(|needed| known(needed / taking_part * days)),
            smallest_effect: known(plan.effect(taking_part) / value.abs()),
        }
    };
    let metrics = metrics(design).into_iter().zip(&totals.moments).enumerate().map(of).collect();
    ExperimentForecast { experiment: id.to_owned(), from, until, users, answers, effect: design.effect, metrics }
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
}
