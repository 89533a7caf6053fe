//! Drift and decisions.

use super::{count, pairs, table};
use crate::monitor::{Decision, DriftReport};

/// The figures in a table, then the decisions.
pub fn shown(drift: &DriftReport, decisions: &[Decision], all: bool) -> String {
    let mut rows = vec![
        ("snapshot".to_owned(), drift.snapshot.map_or_else(|| "none".into(), |id| id.to_string())),
        ("events then".to_owned(), count(drift.reference_events)),
        ("events since".to_owned(), count(drift.events)),
    ];
    if let Some(correlation) = drift.top_correlation {
        rows.push(("rank correlation of the most taken".to_owned(), format!("{correlation:.3}")));
    }
    rows.extend(drift.note.iter().map(|note| ("note".to_owned(), note.clone())));
    let mut text = pairs(&rows);
    let mut differences = drift.differences.clone();
    differences.sort_by(|a, b| (b.value / b.level).total_cmp(&(a.value / a.level)));
    let most = if all { differences.len() } else { 12 };
    if !differences.is_empty() {
        let mut figures = table(&["what", "value", "level", "share", "alarm"], &[1, 2, 3]);
        for of in differences.iter().take(most) {
            let alarm = match (of.is_raised, of.value > of.level) {
                (true, _) => "up",
                (false, true) => "rising",
                (false, false) => "",
            };
            figures.add_row([
                of.name.clone(),
                format!("{:.3}", of.value),
                format!("{:.3}", of.level),
                format!("{:.0} %", 100.0 * of.value / of.level),
                alarm.to_owned(),
            ]);
        }
        text += &format!("\n\n{}", figures.trim_fmt());
    }
    if !decisions.is_empty() {
        let mut made = table(&["when", "decision", "snapshot", "why"], &[2]);
        for decision in decisions {
            made.add_row([
                decision.time.to_string(),
                decision.kind.word().to_owned(),
                decision.snapshot.map(|id| id.to_string()).unwrap_or_default(),
                decision.reason.clone(),
            ]);
            for check in &decision.checks {
                let passed = if check.passed { "passed" } else { "failed" };
                made.add_row([
                    String::new(),
                    format!("  {passed}"),
                    String::new(),
                    format!("{}: {:.4}, limit {:.4}; {}", check.name, check.value, check.limit, check.detail),
                ]);
            }
        }
        text += &format!("\n\n{}", made.trim_fmt());
    }
    text
}
