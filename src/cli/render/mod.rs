//! Results as tables. Nothing here asks the engine anything or changes a value: numbers that a program wants are in the
//! JSON.

pub mod answer;
pub mod drift;
pub mod experiment;
pub mod features;
pub mod imported;
pub mod report;
pub mod search;
pub mod snapshot;
pub mod stats;
pub mod tenant;
pub mod tune;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle, presets};

use crate::config::{ModelKind, TrainConfig};
use crate::record::Attributes;

/// A line under the header and nothing else: rows copy and paste well.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// An empty table of this project's looks; the columns named in `right` hold numbers.
pub fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(header);
    for &place in right {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Names and values, one pair a line; those without a value are left out.
pub fn pairs(rows: &[(String, String)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row([name, value]);
    }
    table.trim_fmt()
}

/// How much each part of a blend weighs; nothing for other models.
pub fn weights(train: &TrainConfig) -> Option<String> {
    let is_blend = train.model == ModelKind::Blend && !train.blend.is_open();
    let parts = train.blend.weights().into_iter().filter(|(_, weight)| *weight > 0.0);
    let mass = Some(("mass_exponent", train.blend.mass_exponent)).filter(|(_, exponent)| *exponent != 0.0);
    let written = |(name, value): (&str, f64)| format!("{name} {value:.2}");
    is_blend.then(|| parts.chain(mass).map(written).collect::<Vec<_>>().join("  "))
}

/// Attributes as names and values.
pub fn attributes(attributes: &Attributes) -> Vec<(String, String)> {
    attributes.iter().map(|(name, value)| (name.clone(), value.display().into_owned())).collect()
}

/// A number of things with its thousands apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && place % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes with a binary unit: `1.5 MiB`.
pub fn bytes(size: u64) -> String {
    let mut size = size as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{size:.0} B") } else { format!("{size:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BlendConfig;

    #[test]
    fn a_blend_tells_its_weights_and_nobody_else() {
        let mut train = TrainConfig::default();
        assert_eq!(weights(&train), None, "left to the data");
        train.blend = BlendConfig { ials: 1.4, filter: 0.8, mass_exponent: -0.25, ..BlendConfig::default() };
        assert_eq!(weights(&train).unwrap(), "ials 1.40  filter 0.80  mass_exponent -0.25");
        train.model = ModelKind::Ials;
        assert_eq!(weights(&train), None);
    }

    #[test]
    fn numbers_are_written_for_people() {
        let counts: Vec<_> = [0, 12, 999, 1_000, 54_321, 123_456, 1_234_567].map(count).into();
        assert_eq!(counts, ["0", "12", "999", "1,000", "54,321", "123,456", "1,234,567"]);
        assert_eq!([0, 1023, 1536, 5 << 30].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
    }
}
