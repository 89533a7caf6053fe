//! Figures of a data directory.

use super::{bytes, count, pairs};
use crate::engine::Stats;

/// One figure a line.
pub fn table(stats: &Stats) -> String {
    let active = stats.active_snapshot.map_or_else(|| "none; `savor train` makes one".into(), |id| id.to_string());
    let mut rows = vec![
        ("users".to_owned(), count(stats.users)),
        ("items".to_owned(), count(stats.items)),
        ("events".to_owned(), count(stats.events)),
        ("events since the snapshot".to_owned(), count(stats.events_since_snapshot)),
        ("active snapshot".to_owned(), active),
        ("snapshots".to_owned(), count(stats.snapshots)),
    ];
    rows.extend(stats.spaces.iter().map(|space| {
        (format!("vectors in {}", space.space), format!("{} × {}", count(space.vectors), space.dimension))
    }));
    if stats.cache_hits + stats.cache_misses > 0 {
        let kept = format!("{} of {}", count(stats.cache_hits), count(stats.cache_hits + stats.cache_misses));
        rows.push(("kept answers given".to_owned(), kept));
    }
    rows.push(("on disk".to_owned(), bytes(stats.disk_bytes)));
    rows.push(("version".to_owned(), stats.version.clone()));
    pairs(&rows)
}
