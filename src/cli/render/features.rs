//! The feature table.

use super::{count, table};
use crate::engine::{FeatureColumn, FeatureReport, FeatureValues};

/// The columns, one a line.
pub fn columns(columns: &[FeatureColumn]) -> String {
    let mut table = table(&["feature", "of", "if unknown"], &[]);
    for column in columns {
        table.add_row([&column.name, &column.scope, &column.policy]);
    }
    table.trim_fmt()
}

/// Their distributions.
pub fn statistics(report: &FeatureReport) -> String {
    let header = ["feature", "of", "mean", "deviation", "least", "median", "most", "missing", "if unknown"];
    let mut table = table(&header, &[2, 3, 4, 5, 6, 7]);
    for column in &report.columns {
        let decile = |place: usize| column.deciles.get(place).map(|value| format!("{value:.3}")).unwrap_or_default();
        table.add_row([
            column.name.clone(),
            column.scope.clone(),
            format!("{:.3}", column.mean),
            format!("{:.3}", column.deviation),
            decile(0),
            decile(5),
            decile(10),
            format!("{:.1} %", column.missing * 100.0),
            column.policy.clone(),
        ]);
    }
    format!("{}\nof {} rows", table.trim_fmt(), count(report.rows))
}

/// The values of a user and an item.
pub fn values(values: &FeatureValues) -> String {
    let mut table = table(&["feature", "of", "value"], &[2]);
    for value in &values.values {
        let shown = value.value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.4}"));
        table.add_row([value.name.clone(), value.scope.clone(), shown]);
    }
    table.trim_fmt()
}
