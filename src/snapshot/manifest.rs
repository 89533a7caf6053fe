//! What is known of a snapshot: kept in the store, written into each bundle, shown by every face.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::index::IndexPlan;
use crate::record::{SnapshotId, Timestamp};

/// The life of a snapshot: `building → validated → active → retired`, or `rejected` by the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// Being written or being removed, and not whole; removed at the next start if it stays so.
    Building,
    /// Complete and checked, never active.
    Validated,
    /// Answers come from it.
    Active,
    /// Was active; kept for roll-back.
    Retired,
    /// Did not pass the gate.
    Rejected,
}

/// One offline metric of a snapshot's hold-out evaluation, with its confidence interval and the popularity baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OfflineMetric {
    /// `ndcg@10`, `recall@20`, …
    pub name: String,
    /// The model's mean over the test users.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// The popularity baseline's mean in the same run.
    pub popularity: f64,
}

/// What a snapshot is made of and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Its number.
    pub id: SnapshotId,
    /// Where it stands.
    pub state: SnapshotState,
    /// When its building began.
    pub created: Timestamp,
    /// When it last went live.
    pub activated: Option<Timestamp>,
    /// Where it was trained: `local`, or the bundle it was imported from.
    pub origin: String,
    /// Users with a factor.
    pub users: u64,
    /// Items with a factor.
    pub items: u64,
    /// User–item pairs it was trained on.
    pub pairs: u64,
    /// Events in the log when it was trained; later ones are folded in at query time.
    pub events: u64,
    /// Events ever stored or removed by then: tells at the next start whether the log was changed behind it.
    pub log_changes: u64,
    /// Time of the newest of them.
    pub newest_event: Option<Timestamp>,
    /// The settings that made it, none left to the data.
    pub train: TrainConfig,
    /// The training objective after the last epoch.
    pub loss: Option<f64>,
    /// How its items are searched, and the recall that was measured; absent while it is built.
    pub index: Option<IndexPlan>,
    /// Seconds from the first event read to the last byte written.
    pub seconds: f64,
    /// Hold-out metrics; empty when it was not measured.
    pub metrics: Vec<OfflineMetric>,
    /// Why the gate refused it, or how it came to be active.
    pub note: Option<String>,
}

impl Manifest {
    /// The mean of an offline metric.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.mean)
    }
}
