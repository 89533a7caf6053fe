//! What an import did.

use std::path::Path;

use super::{count, pairs};
use crate::ingest::Summary;

/// One figure a line.
pub fn table(summary: &Summary, file: &Path) -> String {
    let rate = summary.read as f64 / summary.seconds.max(1e-3);
    let mut rows = vec![
        ("read", count(summary.read)),
        ("stored", count(summary.stored)),
        ("already known", count(summary.known)),
        ("rejected", count(summary.rejected)),
        ("seconds", format!("{:.1} ({} rows/s)", summary.seconds, count(rate as u64))),
        ("columns not used", summary.ignored_columns.join(", ")),
    ];
    if !summary.types.is_empty() {
        let types = summary.types.iter().map(|(kind, number)| format!("{kind} {}", count(*number)));
        rows.push(("types", Vec::from_iter(types).join(", ")));
    }
    if summary.untimed > 0 {
        let untimed = count(summary.untimed);
        rows.push((
            "without a time",
            format!("{untimed}: they count as of 1970-01-01; --map time=COLUMN names their column"),
        ));
    }
    if let Some(rejects) = &summary.rejects {
        rows.push(("rejects", rejects.display().to_string()));
    }
    let rows = rows.into_iter().map(|(name, value)| (name.to_owned(), value));
    format!("{}\n{}", file.display(), pairs(&Vec::from_iter(rows)))
}
