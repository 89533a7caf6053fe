//! Experiments: plans, forecasts, reports and replays.

use super::{count, pairs, table};
use crate::experiment::{ExperimentForecast, ExperimentReport, Interval, OffPolicy};
use crate::record::{Experiment, PARTS};
use crate::report::{METRIC_COLUMNS, metric_rows};

/// One experiment a row.
pub fn list(experiments: &[Experiment]) -> String {
    if experiments.is_empty() {
        return "no experiment yet; `savor experiment put` plans one".into();
    }
    let mut table = table(&["experiment", "state", "started", "scenario", "traffic", "variants", "winner"], &[4]);
    for experiment in experiments {
        let design = &experiment.design;
        let names: Vec<&str> = design.variants.iter().map(|variant| variant.name.as_str()).collect();
        table.add_row([
            experiment.id.clone(),
            experiment.state.word().to_owned(),
            experiment.started.map(|time| time.to_string()).unwrap_or_default(),
            design.scenario.clone().unwrap_or_default(),
            format!("{} %", f64::from(design.traffic) * 100.0 / f64::from(PARTS)),
            names.join(" / "),
            experiment.decision.as_ref().and_then(|decision| decision.winner.clone()).unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

/// Everything about one.
pub fn one(experiment: &Experiment) -> String {
    let time = |time: Option<crate::record::Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    let decision = experiment.decision.as_ref().map(|decision| decision.reason.clone()).unwrap_or_default();
    let head = pairs(
        &[
            ("state", experiment.state.word().to_owned()),
            ("version", experiment.version.to_string()),
            ("created", experiment.created.to_string()),
            ("started", time(experiment.started)),
            ("stopped", time(experiment.stopped)),
            ("decision", decision),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let design = serde_json::to_string_pretty(&experiment.design).unwrap_or_default();
    format!("experiment {}\n{head}\n{design}", experiment.id)
}

/// What it takes by each metric.
pub fn forecast(forecast: &ExperimentForecast) -> String {
    let looked_at = (forecast.until.millis() - forecast.from.millis()) as f64 / 86_400_000.0;
    let within = format!("found in {looked_at:.1} days");
    let needed = format!("users for {:.1} %", forecast.effect * 100.0);
    let mut table = table(&["metric", "for", "now", "explained", &needed, "days", &within], &[2, 3, 4, 5, 6]);
    for of in &forecast.metrics {
        table.add_row([
            of.metric.clone(),
            of.role.word().to_owned(),
            format!("{:.4}", of.value),
            format!("{:.0} %", of.variance_reduction * 100.0),
            of.users_needed.map(|users| count(users.min(1e15).round() as u64)).unwrap_or_default(),
            of.days_needed.map(|days| format!("{days:.1}")).unwrap_or_default(),
            of.smallest_effect.map(|effect| format!("{:.1} %", effect * 100.0)).unwrap_or_default(),
        ]);
    }
    format!(
        "experiment {}: by {} answers to {} users in the last {looked_at:.1} days\n{}",
        forecast.experiment,
        count(forecast.answers),
        count(forecast.users),
        table.trim_fmt()
    )
}

/// The verdict, who took part, and each metric beside the control's.
pub fn report(report: &ExperimentReport) -> String {
    let mut text = format!("experiment {} · {}\n{}\n\n", report.experiment, report.state.word(), report.words);
    let mut who = table(&["variant", "users", "answers", "promised share"], &[1, 2, 3]);
    for variant in &report.variants {
        who.add_row([
            variant.name.clone(),
            count(variant.users),
            count(variant.answers),
            format!("{:.1} %", variant.share * 100.0),
        ]);
    }
    text += &who.trim_fmt();
    if report.comparisons.iter().any(|of| of.effect.is_some()) {
        text += &format!("\n\n{}", metrics(report));
    }
    if report.crossed > 0 {
        text += &format!("\n\n{} users were shown several variants and count for none", count(report.crossed));
    }
    text
}

fn metrics(report: &ExperimentReport) -> String {
    let mut table = table(&METRIC_COLUMNS, &[3, 4, 5, 6, 7, 8, 9, 10]);
    metric_rows(report, count).into_iter().for_each(|row| {
        table.add_row(row);
    });
    table.trim_fmt()
}

/// What a policy would have earned.
pub fn replay(found: &OffPolicy) -> String {
    let mut table = table(&["an answer earned", "estimate", "interval"], &[1, 2]);
    let logged = Some(found.logged);
    for (name, interval) in [
        ("as it was shown", logged),
        ("by inverse propensities", found.ips),
        ("self-normalised", found.snips),
        ("doubly robust", found.doubly_robust),
    ] {
        let row = |of: Interval| [format!("{:.4}", of.value), format!("{:.4} to {:.4}", of.low, of.high)];
        let [value, ends] = interval.map(row).unwrap_or_default();
        table.add_row([name.to_owned(), value, ends]);
    }
    format!(
        "{} answers of {} users; {:.1} % of this policy's items were shown in the same answers, {:.1} % of what was shown was drawn\n{}",
        count(found.answers),
        count(found.users),
        found.support * 100.0,
        found.drawn * 100.0,
        table.trim_fmt()
    )
}
