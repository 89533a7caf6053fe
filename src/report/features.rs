//! The page of the feature table: how each column is distributed, and how often nothing is known.

use super::{Axis, Page, Plot, Point, Series, Table};
use crate::engine::{FeatureColumn, FeatureReport};

/// The page of a feature table.
pub fn features_page(report: &FeatureReport) -> String {
    let mut page = Page::new("Savor: features");
    page.text(&format!("{} rows, {} columns.", report.rows, report.columns.len()));
    page.note(
        "A row is an event with its item, or with an item drawn from the catalogue, and knows what was known before the \
         event. Lines show which share of the rows has at most a value.",
    );
    let mut table = Table::new(["feature", "of", "mean", "deviation", "missing", "if unknown"]);
    for column in &report.columns {
        table.row([
            column.name.clone(),
            column.scope.clone(),
            format!("{:.4}", column.mean),
            format!("{:.4}", column.deviation),
            format!("{:.1} %", column.missing * 100.0),
            column.policy.clone(),
        ]);
    }
    page.table(&table);
    page.heading("How often nothing is known").figures(&[missing(&report.columns)]);
    page.heading("Distributions");
    let varied: Vec<Plot> = report.columns.iter().filter(|column| varies(column)).map(distribution).collect();
    page.figures(&varied);
    page.html()
}

fn missing(columns: &[FeatureColumn]) -> Plot {
    let some: Vec<&FeatureColumn> = columns.iter().filter(|column| column.missing > 0.0).collect();
    let bars =
        some.iter().enumerate().map(|(place, column)| Point::new(place as f64, column.missing).note(&column.name));
    let names = Axis::names("", (1..=some.len()).map(|place| place.to_string()));
    Plot::new("Share of rows, by column", names, Axis::linear("missing").from_zero()).bars(Series::new("", bars))
}

/// A column of zeros and ones has its share in the table.
fn varies(column: &FeatureColumn) -> bool {
    column.deciles.iter().any(|value| *value != 0.0 && *value != 1.0)
}

fn distribution(column: &FeatureColumn) -> Plot {
    let points =
        column.deciles.iter().enumerate().map(|(part, value)| Point::new(f64::from(*value), part as f64 / 10.0));
    let share = Axis::linear("share of rows").from_zero();
    Plot::new(column.name.clone(), Axis::linear("value"), share).line(Series::new("", points))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_in_the_table_and_those_that_vary_are_plotted() {
        let column = |name: &str, deciles: Vec<f32>, missing| FeatureColumn {
            name: name.into(),
            scope: "item".into(),
            policy: "mean".into(),
            mean: 1.0,
            deviation: 2.0,
            missing,
            deciles,
        };
        let columns = vec![
            column("item.<price>", (0..=10).map(|n| n as f32 / 3.0).collect(), 0.25),
            column("item.is_new", vec![0.0; 11], 0.0),
        ];
        let html = features_page(&FeatureReport { rows: 7, columns });
        assert_eq!(html.matches("<svg").count(), 2);
        assert!(html.contains("item.&lt;price&gt;") && html.contains("item.is_new") && html.contains("25.0 %"));
    }
}
