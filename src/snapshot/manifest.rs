//! What is known of a snapshot: kept in the store, written into each bundle, shown by every face; always as JSON, so that
//! it may gain fields. One that is added here has a default, which is what was true before there was the field.

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::{ModelKind, TrainConfig};
use crate::index::IndexPlan;
use crate::record::{SnapshotId, Span, Timestamp};
use crate::train::ranker::RankerReport;

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

/// How the events of a snapshot faded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Faded {
    /// After so long an event weighed half; absent: none faded.
    pub half_life: Option<Span>,
    /// Events in the log in which that was found; absent where it was configured.
    pub found_in: Option<u64>,
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
    #[serde(deserialize_with = "as_trained")]
    pub train: TrainConfig,
    /// How its events faded, and the histories of those who ask it do; absent in a snapshot of a time before this was kept, and in
    /// one that was made from vectors: as configured.
    #[serde(default)]
    pub faded: Option<Faded>,
    /// The training objective after the last epoch.
    pub loss: Option<f64>,
    /// The part of the objective by which the last epoch of a training from the beginning changed it: a warm start that
    /// changes it no more has done enough. It is handed on from one warm start to the next.
    #[serde(default)]
    pub last_gain: Option<f64>,
    /// How its items are searched, and the recall that was measured; absent while it is built.
    pub index: Option<IndexPlan>,
    /// Seconds from the first event read to the last byte written.
    pub seconds: f64,
    /// Hold-out metrics; empty when it was not measured.
    pub metrics: Vec<OfflineMetric>,
    /// What was measured of its ranker; absent if none was learned.
    #[serde(default)]
    pub ranker: Option<RankerReport>,
    /// Why the gate refused it, or how it came to be active.
    pub note: Option<String>,
}

impl Manifest {
    /// Events ever stored by then, those that are gone included: what has come in since is what has been stored beyond them.
    pub fn stored(&self) -> u64 {
        u64::midpoint(self.log_changes, self.events)
    }

    /// The mean of an offline metric.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.mean)
    }
}

/// Reads the settings of a training. Those of a time before there was a choice of models have no model: it was iALS, of
/// which every later setting is what it did.
fn as_trained<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TrainConfig, D::Error> {
    let mut fields = serde_json::Map::deserialize(deserializer)?;
    if !fields.contains_key("model") {
        let plain = TrainConfig {
            model: ModelKind::Ials,
            patience: 0,
            item_frequency_exponent: 0.0,
            debias: 0.0,
            ..TrainConfig::default()
        };
        let plain = serde_json::to_value(plain).map_err(D::Error::custom)?;
        for (name, value) in plain.as_object().into_iter().flatten() {
            fields.entry(name.as_str()).or_insert_with(|| value.clone());
        }
    }
    // Scores did not follow trends before this was kept.
    fields.entry("trend").or_insert(0.0.into());
    TrainConfig::deserialize(serde_json::Value::Object(fields)).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_a_model_are_those_of_ials() {
        let train = r#"{"dimension":8,"epochs":5,"regularization":0.125,"regularization_exponent":1.0,
            "unobserved_weight":0.1,"init_stddev":0.1,"solver":"cg","cg_steps":2,"seed":7,"threads":0}"#;
        let train = as_trained(&mut serde_json::Deserializer::from_str(train)).unwrap();
        assert_eq!((train.model, train.dimension, train.regularization, train.seed), (ModelKind::Ials, 8, 0.125, 7));
        assert_eq!((train.patience, train.debias, train.item_frequency_exponent), (0, 0.0, 0.0));
    }

    #[test]
    fn settings_are_read_as_written_to_the_last_bit() {
        let train = TrainConfig { regularization: 0.1 + 0.2, unobserved_weight: 1.0 / 3.0, ..TrainConfig::default() };
        let text = serde_json::to_string(&train).unwrap();
        assert_eq!(as_trained(&mut serde_json::Deserializer::from_str(&text)).unwrap(), train);
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(as_trained(&mut serde_json::Deserializer::from_str(r#"{"model":"ials","nonsense":1}"#)).is_err());
    }
}
