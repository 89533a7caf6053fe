//! The one configuration: TOML, every field with a default, unknown keys refused, every value checked. Configuration is
//! passed in, never looked up.

mod access;
mod backup;
mod bound;
mod cold;
mod evaluate;
mod exposures;
mod features;
mod half_life;
mod monitor;
mod overload;
mod privacy;
mod ranker;
mod sgd;
mod tenants;
mod train;
mod transitions;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

pub use access::{AuditConfig, CorsConfig, KeysConfig, TlsConfig};
pub use backup::BackupConfig;
pub use bound::Bounded;
#[cfg(feature = "server")]
pub use bound::QUESTIONS_EACH;
pub use cold::ColdConfig;
pub use evaluate::{EvaluateConfig, Split};
pub(crate) use exposures::EXPOSURE_BYTES;
pub use exposures::ExposuresConfig;
pub use features::{FeatureDefinition, FeatureKind, FeatureOf, FeaturesConfig, Missing, SCORE_SOURCES};
pub use half_life::HalfLife;
pub use monitor::{MonitorConfig, RetrainConfig};
pub use overload::OverloadConfig;
pub use privacy::{PrivacyConfig, RetentionConfig};
pub use ranker::RankerConfig;
pub use sgd::SgdConfig;
pub use tenants::{Quotas, TenantsConfig};
pub use train::{BlendConfig, FilterConfig, LinearConfig, ModelKind, RatingsConfig, Similarity, Solver, TrainConfig};

pub use transitions::TransitionsConfig;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::record::Span;

/// All settings of an engine and its server.
///
/// ```
/// let config = savor::Config::from_toml("[train]\ndimension = 32\n")?;
/// assert_eq!(config.train.dimension, 32);
/// # Ok::<(), savor::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How events become preferences.
    pub events: EventsConfig,
    /// How what is known becomes numbers.
    pub features: FeaturesConfig,
    /// How models are learned.
    pub train: TrainConfig,
    /// How candidates are put in order.
    pub ranker: RankerConfig,
    /// How models are measured.
    pub evaluate: EvaluateConfig,
    /// How vectors are indexed.
    pub index: IndexConfig,
    /// When a snapshot goes live and how many stay.
    pub snapshot: SnapshotConfig,
    /// How questions are answered.
    pub recommend: RecommendConfig,
    /// What is kept of answers.
    pub exposures: ExposuresConfig,
    /// What is watched, and when it is too much.
    pub monitor: MonitorConfig,
    /// When to train again without being asked.
    pub retrain: RetrainConfig,
    /// How data is kept.
    pub store: StoreConfig,
    /// How long events stay, by type.
    pub retention: RetentionConfig,
    /// When what is deleted is gone from the files.
    pub privacy: PrivacyConfig,
    /// Where a server backs up to, and what stays of it.
    pub backup: BackupConfig,
    /// How the REST server listens.
    pub server: ServerConfig,
    /// How tenants share the process.
    pub tenants: TenantsConfig,
    /// How many API keys there may be.
    pub keys: KeysConfig,
    /// What is kept of operations.
    pub audit: AuditConfig,
}

/// How events become preferences: each event of a user with an item has a weight, the pair's weight is the largest or
/// the sum of them, and a negative event cancels what came before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventsConfig {
    /// Weight by event type; 0 leaves the type out of training.
    pub weights: BTreeMap<String, f64>,
    /// The weight of types that are not listed.
    pub default_weight: f64,
    /// Types that say no: they cancel earlier events of the pair.
    pub negative: Vec<String>,
    /// Types whose value is a rating: positive from the threshold on, negative below it.
    pub rating: Vec<String>,
    /// The smallest rating that counts as positive.
    pub rating_threshold: f64,
    /// What several events of one pair make together.
    pub repeats: Repeats,
    /// After this span an event weighs half; `never` leaves all events their weight, `auto` finds out by measuring when a model is
    /// trained.
    pub half_life: HalfLife,
    /// After this span an event counts half for what people turn to of late (`train.trend`).
    pub trend_half_life: Span,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            weights: BTreeMap::new(),
            default_weight: 1.0,
            negative: vec!["dislike".into()],
            rating: vec!["rating".into()],
            rating_threshold: 4.0,
            repeats: Repeats::Max,
            half_life: HalfLife::Never,
            trend_half_life: Span::days(30),
        }
    }
}

/// What several events of one user with one item make together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Repeats {
    /// The largest weight.
    Max,
    /// The sum of the weights.
    Sum,
}

/// How vectors are indexed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IndexConfig {
    /// Which structure answers.
    pub kind: IndexChoice,
    /// From so many vectors on, `auto` builds a graph.
    pub graph_from: usize,
    /// MiB that `auto` lets the growth of a graph take, by estimate: 2.5 KiB and two bytes a dimension for each vector. Where
    /// it would take more, the exact scan answers.
    pub graph_memory: usize,
    /// Neighbours of a node of the graph, on its upper layers; twice as many on the lowest.
    pub m: usize,
    /// Breadth of the search while building.
    pub ef_construction: usize,
    /// Breadth of the search while answering, at least; the plan widens it until the wanted recall is reached, and it grows
    /// with the number of items wanted.
    pub ef_search: usize,
    /// The recall against the exact answer that a graph must reach on sampled queries; otherwise the exact scan serves.
    pub recall: f64,
    /// How vectors that the user brings are compared, by space; `cosine` where nothing is said.
    pub spaces: BTreeMap<String, Metric>,
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self {
            kind: IndexChoice::Auto,
            graph_from: 50_000,
            graph_memory: 8192,
            m: 16,
            ef_construction: 200,
            ef_search: 16,
            recall: 0.95,
            spaces: BTreeMap::new(),
        }
    }
}

/// Which structure answers vector questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IndexChoice {
    /// Exact scan for few vectors; for many a graph that reaches the wanted recall.
    Auto,
    /// Always the exact scan.
    Exact,
    /// A graph, unless it misses the wanted recall.
    Hnsw,
}

/// How near two vectors are; larger is nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The inner product.
    Dot,
    /// The cosine of the angle.
    Cosine,
    /// The negative squared Euclidean distance.
    L2,
}

impl std::fmt::Display for Metric {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Self::Dot => "dot",
            Self::Cosine => "cosine",
            Self::L2 => "l2",
        })
    }
}

/// When a snapshot goes live and how many stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotConfig {
    /// How many snapshots stay for roll-back, the active one included.
    pub keep: usize,
    /// The gate's metric: `ndcg@10`, `recall@20`, …
    pub gate_metric: String,
    /// How much worse than the active snapshot's the metric may be, absolute.
    pub gate_tolerance: f64,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        Self { keep: 3, gate_metric: "ndcg@10".into(), gate_tolerance: 0.01 }
    }
}

/// How questions are answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecommendConfig {
    /// After this span an event counts half for the popular list.
    pub popular_half_life: Span,
    /// How many of a user's latest events shape a fold-in. All of them count as seen, and all shape the answer of a user
    /// whose events the snapshot has seen.
    pub history: usize,
    /// Memory for the parts of filters that have been asked for, in MiB.
    pub filter_cache_mib: usize,
    /// Memory for answers that are kept until something changes what is in them, in MiB; 0 keeps none.
    pub cache_mib: usize,
    /// The share of an answer's places for what people took next after what the visitor did last, rounded; 0 has none.
    pub next_share: f64,
    /// What an event of the session weighs beside a stored one of its type.
    pub session_weight: f64,
    /// Each event of the session weighs this share of the one after it; 1 weighs all alike.
    pub session_fading: f64,
    /// New items in answers, to learn who likes them.
    pub explore: ExploreConfig,
    /// The vector of an item that the snapshot knows follows its new events after so many, and whenever they are a quarter more;
    /// 0: it waits for the next training.
    pub refresh_after: usize,
}

/// New items in answers, to learn who likes them: they are drawn by Thompson sampling, a score from each one's distribution,
/// the highest enter. The answer says with which probability each item would have entered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExploreConfig {
    /// The share of an answer's places that new items are drawn for, rounded; 0 draws none.
    pub share: f64,
    /// Items with so many events since the snapshot are not new any more.
    pub events: usize,
    /// The same seed, question and knowledge give the same draw.
    pub seed: u64,
}

impl Default for ExploreConfig {
    fn default() -> Self {
        Self { share: 0.0, events: 100, seed: 42 }
    }
}

impl Default for RecommendConfig {
    fn default() -> Self {
        Self {
            popular_half_life: Span::days(30),
            history: 1_000,
            filter_cache_mib: 64,
            cache_mib: 64,
            next_share: 0.0,
            session_weight: 1.0,
            session_fading: 1.0,
            explore: ExploreConfig::default(),
            refresh_after: 0,
        }
    }
}

/// How data is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// When a write is acknowledged.
    pub durability: Durability,
    /// RocksDB's block cache, in MiB.
    pub cache_mib: usize,
    /// How long the log of writes stays after its writes are in tables, for backups to take it along, so that a moment between
    /// two generations can be restored; 0: no longer than it must.
    pub log_retention: Span,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { durability: Durability::Sync, cache_mib: 256, log_retention: Span::seconds(0) }
    }
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When it is on disk: it survives a power cut.
    Sync,
    /// When the operating system has it: it survives a crash of the process.
    Async,
}

/// How the REST server listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// A client has this long to send its request's headers, and as long again for the body.
    pub read_timeout: Span,
    /// A question that took longer is answered with 503.
    pub request_timeout: Span,
    /// Questions, and likewise writes, in work at once at most; of questions not more than eight for each processor. How many there
    /// really are follows from how long they take: see `overload`.
    pub max_concurrent_requests: usize,
    /// Open connections. One more closes that which has been idle longest; when none is idle it waits to be accepted.
    pub max_connections: usize,
    /// Open connections from one address; 0: as many as there may be. Behind a proxy all come from one.
    pub max_connections_per_address: usize,
    /// A connection on which nothing is asked for so long is closed.
    pub idle_timeout: Span,
    /// A server that is told to stop says for so long that it is not ready, and goes on, before it takes no more connections: load balancers
    /// notice meanwhile.
    pub drain_delay: Span,
    /// Requests in flight have this long to finish when the server stops.
    pub shutdown_timeout: Span,
    /// Whether it may listen beyond loopback though there are no API keys: everybody who reaches it may then do everything.
    pub open_to_everybody: bool,
    /// Encrypted connections.
    pub tls: TlsConfig,
    /// Web pages of other origins.
    pub cors: CorsConfig,
    /// What happens when more is asked than can be answered.
    pub overload: OverloadConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8380)),
            max_body_bytes: 8 << 20,
            read_timeout: Span::seconds(10),
            request_timeout: Span::seconds(30),
            max_concurrent_requests: 256,
            max_connections: 4096,
            max_connections_per_address: 0,
            idle_timeout: Span::seconds(75),
            drain_delay: Span::seconds(0),
            shutdown_timeout: Span::seconds(20),
            open_to_everybody: false,
            tls: TlsConfig::default(),
            cors: CorsConfig::default(),
            overload: OverloadConfig::default(),
        }
    }
}

impl Config {
    /// Reads and checks a configuration text.
    pub fn from_toml(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| Error::invalid("configuration", error.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// Reads and checks a configuration file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::from_toml(&text).map_err(|error| error.within(&path.display().to_string()))
    }

    /// Checks every value; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        self.events.validate().map_err(|error| error.within("events"))?;
        self.features.validate().map_err(|error| error.within("features"))?;
        self.train.validate().map_err(|error| error.within("train"))?;
        self.ranker.validate().map_err(|error| error.within("ranker"))?;
        self.evaluate.validate().map_err(|error| error.within("evaluate"))?;
        self.index.validate().map_err(|error| error.within("index"))?;
        self.monitor.validate().map_err(|error| error.within("monitor"))?;
        self.retrain.validate().map_err(|error| error.within("retrain"))?;
        check("snapshot.keep", self.snapshot.keep as f64, 1.0..=1000.0)?;
        check("snapshot.gate_tolerance", self.snapshot.gate_tolerance, 0.0..=1.0)?;
        check("recommend.history", self.recommend.history as f64, 1.0..=1e6)?;
        check("recommend.popular_half_life", self.recommend.popular_half_life.millis() as f64, 1.0..=f64::MAX)?;
        check("recommend.next_share", self.recommend.next_share, 0.0..=1.0)?;
        check("recommend.session_weight", self.recommend.session_weight, 1e-3..=1e3)?;
        check("recommend.session_fading", self.recommend.session_fading, 1e-3..=1.0)?;
        check("recommend.explore.share", self.recommend.explore.share, 0.0..=1.0)?;
        self.exposures.validate().map_err(|error| error.within("exposures"))?;
        self.tenants.validate().map_err(|error| error.within("tenants"))?;
        self.keys.validate().map_err(|error| error.within("keys"))?;
        self.audit.validate().map_err(|error| error.within("audit"))?;
        self.server.tls.validate().map_err(|error| error.within("server.tls"))?;
        self.server.cors.validate().map_err(|error| error.within("server.cors"))?;
        self.retention.validate().map_err(|error| error.within("retention"))?;
        self.privacy.validate().map_err(|error| error.within("privacy"))?;
        self.backup.validate().map_err(|error| error.within("backup"))?;
        check("server.max_concurrent_requests", self.server.max_concurrent_requests as f64, 1.0..=1e6)?;
        check("server.max_connections", self.server.max_connections as f64, 1.0..=1e6)?;
        self.server.overload.validate().map_err(|error| error.within("server.overload"))?;
        check("server.max_body_bytes", self.server.max_body_bytes as f64, 1024.0..=f64::from(1u32 << 30))
    }
}

impl EventsConfig {
    fn validate(&self) -> Result<()> {
        check("default_weight", self.default_weight, 0.0..=1e6)?;
        check("rating_threshold", self.rating_threshold, -1e6..=1e6)?;
        for (kind, weight) in &self.weights {
            check(&format!("weights.{kind}"), *weight, 0.0..=1e6)?;
        }
        check("trend_half_life", self.trend_half_life.millis() as f64, 1.0..=f64::MAX)?;
        match self.half_life.span() {
            Some(span) => check("half_life", span.millis() as f64, 1.0..=f64::MAX),
            None => Ok(()),
        }
    }
}

impl IndexConfig {
    fn validate(&self) -> Result<()> {
        check("m", self.m as f64, 2.0..=128.0)?;
        check("ef_construction", self.ef_construction as f64, 8.0..=4096.0)?;
        check("ef_search", self.ef_search as f64, 1.0..=65_536.0)?;
        check("recall", self.recall, 0.0..=1.0)
    }
}

fn check(field: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<()> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("is {value}, expected {} to {}", range.start(), range.end())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_survive_a_round_trip() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(Config::from_toml(&text).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = Config::from_toml("[train]\ndimensions = 32\n").unwrap_err().to_string();
        assert!(error.contains("dimensions"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_path() {
        let error = Config::from_toml("[train]\nregularization = -1\n").unwrap_err().to_string();
        assert!(error.starts_with("train.regularization: is -1"), "{error}");
        assert!(Config::from_toml("[train]\nunobserved_weight = nan\n").is_err());
    }
}
