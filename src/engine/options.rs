//! What long operations take and give back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Metric, Split, TrainConfig};
use crate::error::Error;
use crate::eval::{RatingReport, Report};
use crate::index::IndexPlan;
use crate::ingest::Source;
use crate::monitor::{Alert, Decision, DriftReport, Reason, Watch};
use crate::progress::Step;
use crate::record::{Diversity, SnapshotId, Span, Timestamp};
use crate::store::PendingPurge;
use crate::train::ranker::RankerReport;

/// How a snapshot is trained. The default takes all settings from the engine's configuration and measures the model on
/// a hold-out before it trains on everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainOptions {
    /// Replaces the configuration's training settings.
    pub train: Option<TrainConfig>,
    /// Whether to measure the model on a hold-out first; the gate needs these figures.
    pub measure: bool,
    /// Whether to learn a ranker on top, if the configuration has one enabled.
    pub ranker: bool,
    /// What to do with the finished snapshot; a background job does it, [`crate::Engine::train`] leaves it to the caller.
    pub activate: Activate,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self { train: None, measure: true, ranker: true, activate: Activate::Gate }
    }
}

/// What happens with a freshly trained snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activate {
    /// It goes live if it passes the configuration's gate.
    Gate,
    /// It goes live.
    Always,
    /// It waits.
    Never,
}

/// The condition under which a snapshot may replace the active one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The offline metric that is compared: `ndcg@10`, `recall@20`, …
    pub metric: String,
    /// How much lower than the active snapshot's it may be.
    pub tolerance: f64,
}

impl Gate {
    /// The metric may be lower than the active snapshot's by at most `tolerance`, absolute.
    pub fn no_worse(metric: impl Into<String>, tolerance: f64) -> Self {
        Self { metric: metric.into(), tolerance }
    }

    /// The gate that the configuration names.
    pub fn from_config(config: &Config) -> Self {
        Self::no_worse(&config.snapshot.gate_metric, config.snapshot.gate_tolerance)
    }
}

/// What is evaluated. The default trains with the engine's configuration on the configured split's training part.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateOptions {
    /// Replaces the configuration's training settings.
    pub train: Option<TrainConfig>,
    /// Other settings that are trained and measured on the same split.
    pub compare: Vec<Contender>,
    /// How the lists of the settings, and of the ranker on top, are to differ: they are measured as they are and arranged,
    /// as answers of as many items as the largest cutoff up to 20 has.
    pub diversity: Option<Diversity>,
    /// Replaces the configuration's split.
    pub split: Option<Split>,
    /// Leaves out of every list, and of what is to be found, all that a user had any event with before, as answers do by default;
    /// else what the user liked, which is the usual protocol.
    pub exclude_seen: bool,
    /// Trains on everything stored and tests on the user–item pairs of this file.
    #[serde(skip)]
    pub test: Option<Source>,
}

/// Training settings under a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contender {
    /// What reports call it.
    pub name: String,
    /// The settings.
    pub train: TrainConfig,
}

/// How good models are on data that they have not seen, beside the popularity baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// The model of the engine's or the given settings.
    #[serde(flatten)]
    pub trained: Trained,
    /// The others, in the order they were asked for.
    pub compared: Vec<Trained>,
    /// The metrics.
    pub report: Report,
    /// How far foretold ratings are off, for a model of ratings.
    pub ratings: Option<RatingReport>,
    /// What was measured of the ranker inside the training part; absent where none was learned.
    pub ranker: Option<RankerReport>,
}

/// A model that was trained to be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trained {
    /// What the report calls it.
    pub name: String,
    /// The settings that were measured, none left to the data; in a cross-validation those of the first part.
    pub train: TrainConfig,
    /// After how long an event weighed half, in training and in histories; absent: none faded.
    pub half_life: Option<Span>,
    /// Seconds that training took, for the first model with finding the half-life, without reading the events; in a
    /// cross-validation of all parts together.
    pub train_seconds: f64,
    /// The training objective after the last epoch, for models that have epochs.
    pub loss: Option<f64>,
}

/// Two snapshots on events that neither has seen, beside the popularity baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotComparison {
    /// The snapshot that is compared with.
    pub a: SnapshotId,
    /// The snapshot that is compared.
    pub b: SnapshotId,
    /// The newest event that either was trained on: later ones are for testing.
    pub newest_event: Timestamp,
    /// The metrics.
    pub report: Report,
}

/// What an append of events did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Appended {
    /// Events that are stored now and were not before.
    pub stored: u64,
    /// Events that were stored already; nothing changed.
    pub known: u64,
}

/// An event that a quota left no room for.
#[derive(Debug)]
pub struct Refusal {
    /// Its place among the events given.
    pub place: usize,
    /// Which quota, as [`crate::Error::Quota`].
    pub error: Error,
}

/// What retention removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Expired {
    /// Events that were too old for their type.
    pub events: u64,
}

/// What an upsert of items or users did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Put {
    /// Records that were not there before.
    pub created: u64,
    /// Records that were replaced by different ones.
    pub changed: u64,
    /// Records that were the same already.
    pub unchanged: u64,
}

/// What a merge of two users did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Merged {
    /// Events that moved.
    pub moved: u64,
    /// Events that the remaining user had already.
    pub known: u64,
    /// Attributes that the remaining user did not have and has now.
    #[serde(default)]
    pub attributes: u64,
}

/// A background job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// What it does: `train`, as asked; `retrain`, by the policy; `watch` a new snapshot.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// When it was asked for.
    pub created: Timestamp,
    /// When its training began, if it had to wait for those of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// The last step reported, while it runs.
    pub step: Option<Step>,
    /// The snapshot it made.
    pub snapshot: Option<SnapshotId>,
    /// Why it failed, or why the gate refused its snapshot.
    pub message: Option<String>,
    /// Why the policy began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// How often it has been begun, this time included; 0 for one that is not tried again.
    #[serde(default)]
    pub attempt: u32,
    /// What was decided, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// What is being watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// How the training was asked for, so that it can be begun again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<TrainOptions>,
}

/// What a look of the policy found and did.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Tended {
    /// What has drifted, if a look was due.
    pub report: Option<DriftReport>,
    /// Alarms that have risen or fallen.
    pub alerts: Vec<Alert>,
    /// What was decided since the look before.
    pub decisions: Vec<Decision>,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// In work.
    Running,
    /// Ended well.
    Done,
    /// Ended with an error, or by a crash of the process.
    Failed,
    /// Stopped on request.
    Cancelled,
    /// Stopped as its engine was to be closed, mostly with the process. A server begins it again when it has it open next; see [`crate::Engine::resume_jobs`].
    Interrupted,
}

/// How much there is, and what serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Version of Savor.
    pub version: String,
    /// Users with a profile or an event.
    pub users: u64,
    /// Items with metadata or an event.
    pub items: u64,
    /// Events in the log.
    pub events: u64,
    /// Events since the active snapshot was trained.
    pub events_since_snapshot: u64,
    /// The snapshot that answers.
    pub active_snapshot: Option<SnapshotId>,
    /// Snapshots kept.
    pub snapshots: u64,
    /// Spaces of raw vectors.
    pub spaces: Vec<SpaceStats>,
    /// Answers that were not kept, as too many waited or the store refused them, since the engine was opened.
    #[serde(default)]
    pub exposures_dropped: u64,
    /// Answers that were removed before their time, as all took more than `exposures.max_mib` or a tenant's storage was nearly full,
    /// since the engine was opened.
    #[serde(default)]
    pub exposures_evicted: u64,
    /// Bytes of the answers that are kept, as they were written: on disk they take less.
    #[serde(default)]
    pub exposures_bytes: u64,
    /// What has been deleted and may still be in the files: gone after `privacy.purge_after`, or by a purge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge_pending: Option<PendingPurge>,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Recommendations since the directory was opened that were answered by an answer kept from before.
    #[serde(default)]
    pub cache_hits: u64,
    /// Those that might have been and were not.
    #[serde(default)]
    pub cache_misses: u64,
}

/// A space of vectors that the user brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpaceStats {
    /// Its name.
    pub space: String,
    /// Length of its vectors.
    pub dimension: u64,
    /// How many there are.
    pub vectors: u64,
}

/// An index that answers, how it does and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IndexReport {
    /// `model` for that of the active snapshot, else the name of a space of raw vectors.
    pub name: String,
    /// How vectors are compared.
    pub metric: Metric,
    /// Values of a vector.
    pub dimension: u64,
    /// Vectors that can be found.
    pub vectors: u64,
    /// Whether it is in memory or mapped. A space is read at its first question: nothing below is known before that.
    pub is_loaded: bool,
    /// What was measured when it was built, and what was chosen.
    pub plan: Option<IndexPlan>,
    /// Bytes that it takes: vectors, codes, graph.
    pub bytes: u64,
    /// The same for a vector.
    pub bytes_per_vector: f64,
    /// Vectors in smaller indexes of what changed since it was built, and how many such indexes there are.
    pub recent: u64,
    /// See `recent`.
    pub layers: u64,
    /// Vectors that wait to be indexed: each search scores them one by one.
    pub waiting: u64,
    /// Rows that were replaced or removed and are passed over until all is built anew.
    pub dead: u64,
    /// Whether it is being built anew in the background.
    pub is_freezing: bool,
}

/// One thing that `doctor` looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What was checked.
    pub check: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was seen, and what to do if it is not as it should be.
    pub detail: String,
    /// The index that was looked at, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexReport>,
}

impl Finding {
    /// All is well.
    pub fn well(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(check, true, detail)
    }

    /// Well or not.
    pub fn new(check: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        Self { check: check.into(), ok, detail: detail.into(), index: None }
    }
}

/// A page of a listing, in the order of external ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page begins; absent on the last.
    pub cursor: Option<String>,
}
