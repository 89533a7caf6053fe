//! Snapshots: what they are made of and how good they are.

use super::{count, pairs, table, weights};
use crate::config::{HalfLife, RankerConfig};
use crate::index::{IndexKind, IndexPlan};
use crate::snapshot::{Faded, Manifest, SnapshotState};
use crate::train::ranker::RankerReport;

/// The metric that stands for all where there is room for one.
const USUAL: &str = "ndcg@10";

/// One snapshot a row.
pub fn list(snapshots: &[Manifest]) -> String {
    if snapshots.is_empty() {
        return "no snapshot yet; `savor train` makes one".into();
    }
    let measured: Vec<&str> =
        snapshots.iter().flat_map(|manifest| &manifest.metrics).map(|of| of.name.as_str()).collect();
    let metric = if measured.contains(&USUAL) { USUAL } else { measured.first().copied().unwrap_or(USUAL) };
    let header = ["snapshot", "state", "created", "users", "items", "pairs", "dimension", metric, "popularity", "note"];
    let mut table = table(&header, &[0, 3, 4, 5, 6, 7, 8]);
    for manifest in snapshots {
        let measured = manifest.metrics.iter().find(|of| of.name == metric);
        table.add_row([
            manifest.id.to_string(),
            state(manifest.state).to_owned(),
            manifest.created.to_string(),
            count(manifest.users),
            count(manifest.items),
            count(manifest.pairs),
            manifest.train.dimension.to_string(),
            measured.map(|of| format!("{:.4}", of.mean)).unwrap_or_default(),
            measured.map(|of| format!("{:.4}", of.popularity)).unwrap_or_default(),
            manifest.note.clone().unwrap_or_default(),
        ]);
    }
    table.trim_fmt()
}

/// Everything about one; `serving` are the settings of rankers under which it answers, where they are known.
pub fn one(manifest: &Manifest, serving: Option<&RankerConfig>) -> String {
    let train = &manifest.train;
    let mut text = format!("snapshot {} · {}\n", manifest.id, state(manifest.state));
    text += &pairs(
        &[
            (
                "trained on",
                format!(
                    "{} users × {} items, {} pairs",
                    count(manifest.users),
                    count(manifest.items),
                    count(manifest.pairs)
                ),
            ),
            ("events", count(manifest.events)),
            ("newest event", manifest.newest_event.map(|time| time.to_string()).unwrap_or_default()),
            (
                "model",
                format!(
                    "{}, dimension {}, {} epochs, seed {}",
                    train.model.name(),
                    train.dimension,
                    train.epochs,
                    train.seed
                ),
            ),
            ("weights", weights(train).unwrap_or_default()),
            ("half-life", manifest.faded.as_ref().map(faded).unwrap_or_default()),
            ("loss", manifest.loss.map(|loss| format!("{loss:.6}")).unwrap_or_default()),
            ("index", manifest.index.as_ref().map(index).unwrap_or_default()),
            ("origin", manifest.origin.clone()),
            ("created", manifest.created.to_string()),
            ("seconds", format!("{:.1}", manifest.seconds)),
            ("ranker", manifest.ranker.as_ref().map(|report| asked(report, serving)).unwrap_or_default()),
            ("note", manifest.note.clone().unwrap_or_default()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if !manifest.metrics.is_empty() {
        let mut metrics = table(&["metric", "popularity", "model", "interval"], &[1, 2, 3]);
        for metric in &manifest.metrics {
            metrics.add_row([
                metric.name.clone(),
                format!("{:.4}", metric.popularity),
                format!("{:.4}", metric.mean),
                format!("{:.4} to {:.4}", metric.low, metric.high),
            ]);
        }
        text += &format!("\n{}", metrics.trim_fmt());
    }
    text
}

fn faded(faded: &Faded) -> String {
    let half_life = HalfLife::from(faded.half_life);
    match faded.found_in {
        Some(events) => format!("{half_life}, found in {} events", count(events)),
        None => half_life.to_string(),
    }
}

/// The same of a snapshot's ranker, which the configuration may turn off.
fn asked(report: &RankerReport, serving: Option<&RankerConfig>) -> String {
    match serving {
        Some(config) if report.is_used && !config.enabled => {
            format!("turned off by ranker.enabled, answers are in the order of retrieval: {}", ranker(report))
        }
        _ => ranker(report),
    }
}

/// What puts answers in order: a ranker with what was measured of it and the features that are worth most; or retrieval, and why.
pub fn ranker(report: &RankerReport) -> String {
    let worth: Vec<String> =
        report.importance.iter().take(5).map(|of| format!("{} {:+.4}", of.feature, of.drop)).collect();
    if !report.is_used {
        return format!("none, answers are in the order of retrieval: {}", report.note);
    }
    let worth = if worth.is_empty() { String::new() } else { format!("; worth most: {}", worth.join(", ")) };
    let from = match report.least_pairs {
        0 | 1 => String::new(),
        pairs => format!(", for those of whom {pairs} liked items or more are known"),
    };
    format!("{}, {}{from}{worth}", report.model, report.note)
}

fn index(plan: &IndexPlan) -> String {
    match plan.kind {
        IndexKind::Exact => format!("exact scan: {}", plan.why),
        IndexKind::Hnsw => format!("HNSW, recall {:.3}: {}", plan.recall, plan.why),
    }
}

fn state(of: SnapshotState) -> &'static str {
    match of {
        SnapshotState::Building => "building",
        SnapshotState::Validated => "validated",
        SnapshotState::Active => "active",
        SnapshotState::Retired => "retired",
        SnapshotState::Rejected => "rejected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ranker_that_the_gate_refused_is_not_spoken_of_as_if_it_answered() {
        let importance = vec![crate::train::ranker::FeatureImportance { feature: "item.trend".into(), drop: 0.1 }];
        let judged = |is_used| RankerReport {
            is_used,
            note: "NDCG@10 +0.0100".into(),
            model: "network".into(),
            least_pairs: 5,
            importance: importance.clone(),
            ..RankerReport::default()
        };
        assert_eq!(ranker(&judged(false)), "none, answers are in the order of retrieval: NDCG@10 +0.0100");
        let used = ranker(&judged(true));
        assert!(
            used.starts_with("network, ") && used.contains("5 liked items") && used.contains("item.trend"),
            "{used}"
        );
        let serving = |enabled| RankerConfig { enabled, ..RankerConfig::default() };
        let off = asked(&judged(true), Some(&serving(false)));
        assert!(off.starts_with("turned off by ranker.enabled, ") && off.ends_with(&used), "{off}");
        assert_eq!(asked(&judged(true), Some(&serving(true))), used);
        assert_eq!(asked(&judged(true), None), used);
        assert_eq!(asked(&judged(false), Some(&serving(false))), ranker(&judged(false)));
    }
}
