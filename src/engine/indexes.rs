//! Which indexes answer, how each was chosen, and what it takes.

use super::{Engine, Finding, IndexReport, read};
use crate::config::Metric;
use crate::error::Result;
use crate::index::{IndexKind, IndexPlan, Layout, VectorIndex};

/// The name of the active snapshot's index.
const MODEL: &str = "model";

impl Engine {
    /// The index of the active snapshot, and those of the spaces of raw vectors. A space that nobody has asked since the
    /// start is not in memory: its vectors are counted, which reads them.
    pub fn indexes(&self) -> Result<Vec<IndexReport>> {
        let inner = &*self.inner;
        let live = inner.live.load_full();
        let mut reports: Vec<IndexReport> =
            live.iter().map(|live| IndexReport::of_index(MODEL, live.snapshot.index())).collect();
        for (space, dimension) in inner.store.spaces()? {
            let loaded = read(&inner.spaces)
                .get(&space)
                .map(|segments| IndexReport::of_layout(&space, segments.metric(), dimension as u64, segments.layout()));
            reports.push(match loaded {
                Some(report) => report,
                None => {
                    let metric = inner.config.index.spaces.get(&space).copied().unwrap_or(Metric::Cosine);
                    let mut vectors = 0;
                    inner.store.for_each_vector(&space, &mut |_, _| {
                        vectors += 1;
                        Ok(())
                    })?;
                    IndexReport { vectors, ..IndexReport::unknown(&space, metric, dimension as u64) }
                }
            });
        }
        Ok(reports)
    }
}

impl IndexReport {
    fn unknown(name: &str, metric: Metric, dimension: u64) -> Self {
        Self {
            name: name.to_owned(),
            metric,
            dimension,
            vectors: 0,
            is_loaded: false,
            plan: None,
            bytes: 0,
            bytes_per_vector: 0.0,
            recent: 0,
            layers: 0,
            waiting: 0,
            dead: 0,
            is_freezing: false,
        }
    }

    fn of_index(name: &str, index: &VectorIndex) -> Self {
        let (rows, bytes) = (index.vectors().len() as u64, index.bytes());
        Self {
            vectors: rows,
            is_loaded: true,
            plan: Some(index.plan().clone()),
            bytes,
            bytes_per_vector: bytes as f64 / rows.max(1) as f64,
            ..Self::unknown(name, index.metric(), index.vectors().dim() as u64)
        }
    }

    fn of_layout(name: &str, metric: Metric, dimension: u64, layout: Layout) -> Self {
        let Layout { plan, base, recent, layers, waiting, dead, bytes, is_freezing } = layout;
        let vectors = base + recent + waiting;
        Self {
            vectors,
            is_loaded: true,
            plan: Some(plan),
            bytes,
            bytes_per_vector: bytes as f64 / vectors.max(1) as f64,
            recent,
            layers,
            waiting,
            dead,
            is_freezing,
            ..Self::unknown(name, metric, dimension)
        }
    }

    /// What `doctor` says of it.
    pub(super) fn into_finding(self) -> Finding {
        let check = if self.name == MODEL { "index of the model".to_owned() } else { format!("space {}", self.name) };
        let detail = self.to_string();
        Finding { index: Some(self), ..Finding::well(check, detail) }
    }
}

impl std::fmt::Display for IndexReport {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { vectors, dimension, metric, .. } = self;
        write!(to, "{vectors} vectors of {dimension} values by {metric}")?;
        let Some(plan) = &self.plan else { return write!(to, "; read and indexed at the first question") };
        write!(to, ", {:.0} bytes each\n{}", self.bytes_per_vector, described(plan))?;
        if self.recent + self.waiting + self.dead > 0 {
            let (recent, layers, waiting, dead) = (self.recent, self.layers, self.waiting, self.dead);
            write!(to, "\n{recent} changed vectors in {layers} smaller indexes, {waiting} wait, {dead} dead rows")?;
        }
        if self.is_freezing { write!(to, "\nbeing built anew") } else { Ok(()) }
    }
}

/// The plan in words: what answers, what was measured, why it was chosen.
fn described(plan: &IndexPlan) -> String {
    let us = |us: Option<f64>| us.map_or("not measured".to_owned(), |us| format!("{us:.1} µs"));
    let mut lines = vec![match (plan.kind, plan.form) {
        (IndexKind::Hnsw, Some(form)) => format!(
            "graph ({form}), ef {}, recall {:.4} of {} wanted, {:.0} vectors visited",
            plan.ef, plan.recall, plan.wanted, plan.visited
        ),
        _ => "exact scan".to_owned(),
    }];
    lines.push(format!(
        "scan {}: {:.0} vectors by {} leading dimensions, {:.0} scored",
        us(plan.scan_us),
        plan.scanned,
        plan.lead,
        plan.scored
    ));
    lines.extend(plan.trials.iter().map(|trial| {
        format!("graph ({}) tried: ef {}, recall {:.4}, {:.1} µs", trial.form, trial.ef, trial.recall, trial.us)
    }));
    lines.push(format!("because {}", plan.why));
    lines.join("\n")
}
