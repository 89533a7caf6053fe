//! The page of an experiment: the verdict first, then what it rests on.

use super::{Axis, Page, Plot, Point, Series, Table};
use crate::experiment::{ComparisonReport, ExperimentReport, Role};

/// The page of a report.
pub fn experiment_page(report: &ExperimentReport) -> String {
    let mut page = Page::new(&format!("Savor: experiment {}", report.experiment));
    page.text(&report.words);
    page.note(&format!("From {} to {}; {}.", report.started, report.until, report.state.word()));
    let mut who = Table::new(["variant", "users", "answers", "promised share"]);
    for variant in &report.variants {
        let share = format!("{:.1} %", variant.share * 100.0);
        who.row([variant.name.clone(), variant.users.to_string(), variant.answers.to_string(), share]);
    }
    page.table(&who);
    page.note(&format!(
        "p of the promised shares: {:.4}; an alarm is raised below .001. {} users were shown several variants and count for none.",
        report.mismatch_p, report.crossed
    ));
    if let Some(found) = &report.preferences {
        page.heading("Whose items were clicked");
        let mut table = Table::new(["", "users"]);
        for (name, users) in [
            ("more of the control's", found.control),
            ("more of the variant's", found.variant),
            ("as many of both", found.ties),
        ] {
            table.row([name.to_owned(), users.to_string()]);
        }
        page.table(&table).note(&format!("Lead of the variant {:+.3}, p {:.4}.", found.lead, found.p));
    }
    if !report.comparisons.is_empty() {
        let mut metrics = Table::new(METRIC_COLUMNS);
        metric_rows(report, |users| users.to_string()).into_iter().for_each(|row| {
            metrics.row(row);
        });
        page.heading("Metrics").table(&metrics);
        page.figures(&[forest(report)]);
    }
    page.heading("How to read this");
    page.list([
        &*format!(
            "Intervals and p-values hold at every look: looking daily and stopping when it suits is wrong with a probability of \
             {} at most.",
            report.alpha
        ),
        "corrected: p corrected for the number of metrics and variants; it decides. Guardrails are not among them.",
        "less variance: what users' past took away (CUPED). users needed: of both variants, to find the change that matters.",
    ]);
    page.html()
}

/// The columns of [`metric_rows`].
pub const METRIC_COLUMNS: [&str; 11] = [
    "metric",
    "",
    "variant",
    "control",
    "value",
    "change",
    "interval",
    "p",
    "corrected",
    "less variance",
    "users needed",
];

/// Each metric of each variant beside the control's, as pages and terminals show it; `count` writes a number of users. A row
/// ends early where nothing is known yet.
pub fn metric_rows(report: &ExperimentReport, count: impl Fn(u64) -> String) -> Vec<Vec<String>> {
    let row = |of: &ComparisonReport| {
        let guards = of.guardrail.map(|state| format!("{}, {}", of.role.word(), state.word()));
        let mut row = vec![of.metric.clone(), guards.unwrap_or_else(|| of.role.word().into()), of.variant.clone()];
        if let Some(effect) = &of.effect {
            let [low, high] = relative(of).unwrap_or_default();
            row.extend([
                format!("{:.4}", effect.control),
                format!("{:.4}", effect.value),
                format!("{:+.1} %", effect.relative * 100.0),
                format!("{low:+.1} to {high:+.1} %"),
                format!("{:.4}", effect.p),
                format!("{:.4}", effect.adjusted_p),
                format!("{:.0} %", effect.variance_reduction * 100.0),
                count(effect.users_needed.min(1e15).round() as u64),
            ]);
        }
        row
    };
    report.comparisons.iter().map(row).collect()
}

/// The ends of the interval in percent of the control's figure.
fn relative(of: &ComparisonReport) -> Option<[f64; 2]> {
    let effect = of.effect.as_ref()?;
    let base = effect.control.abs().max(f64::MIN_POSITIVE) / 100.0;
    Some([effect.low / base, effect.high / base])
}

/// One line a variant for the metric that decides: from the lower end of its interval to the upper.
fn forest(report: &ExperimentReport) -> Plot {
    let mut plot = Plot::new("The deciding metric", Axis::linear("change, %"), Axis::linear("variant"));
    let deciding = report.comparisons.iter().filter(|of| of.role == Role::Deciding);
    for (place, of) in deciding.enumerate() {
        let height = place as f64 + 1.0;
        if let Some([low, high]) = relative(of) {
            plot = plot.line(Series::new(&of.variant, [Point::new(low, height), Point::new(high, height)]));
        }
    }
    plot
}
