//! **Savor is an embedded recommendation engine.** It keeps users, items and interactions in RocksDB, learns embeddings
//! from them, indexes these with HNSW, and answers "what should this user see next?" while new events stream in. No other
//! service has to run: what SQLite is to SQL, Savor is to recommendations.
//!
//! Savor is not a data warehouse, not a feature platform for other models, and not a cluster: one directory, one process.
//! Where one machine is no longer enough, a trainer exports snapshots as bundles and a fleet of readers imports them.
//!
//! ```
//! use savor::{Config, Engine, Event, Gate, Query, TrainOptions};
//!
//! # let dir = tempfile::tempdir()?; let data = dir.path().join("data");
//! let engine = Engine::open(&data, Config::default())?;
//! for user in 0..20 {
//!     for item in 0..5 {
//!         let item = (user + item * 3) % 10;
//!         engine.append_events(&[Event::new(format!("u{user}"), format!("i{item}"), "click")])?;
//!     }
//! }
//!
//! let snapshot = engine.train(&TrainOptions::default())?;
//! engine.activate_if(snapshot, &Gate::no_worse("ndcg@10", 0.01))?;
//!
//! let answer = engine.recommend(&Query::for_user("u1").limit(3).explain())?;
//! for item in &answer.items {
//!     println!("{} {:.3} from {:?}", item.item, item.score, item.source);
//! }
//! assert_eq!(answer.items.len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The rooms follow the data: [`record`] → `ingest` → `store` → `features` → `train`, `eval`, `index` → `snapshot` →
//! `recommend` → [`Engine`] → `server`, `cli`. ARCHITECTURE.md walks through them.

mod config;
mod counters;
mod engine;
mod error;
mod eval;
mod experiment;
#[cfg(feature = "fault-points")]
pub mod fault;
#[cfg(not(feature = "fault-points"))]
mod fault;
mod features;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod index;
pub mod ingest;
mod linalg;
mod monitor;
mod progress;
mod recommend;
pub mod record;
pub mod report;
mod snapshot;
mod store;
mod train;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "server")]
pub mod server;

pub use config::{
    AuditConfig, BackupConfig, BlendConfig, Bounded, ColdConfig, Config, CorsConfig, Durability, EvaluateConfig,
    EventsConfig, ExploreConfig, ExposuresConfig, FeatureDefinition, FeatureKind, FeatureOf, FeaturesConfig,
    FilterConfig, HalfLife, IndexChoice, IndexConfig, LinearConfig, Metric, Missing, ModelKind, MonitorConfig,
    OverloadConfig, PrivacyConfig, Quotas, RankerConfig, RatingsConfig, RecommendConfig, Repeats, RetentionConfig,
    RetrainConfig, ServerConfig, SgdConfig, Similarity, SnapshotConfig, Solver, Split, StoreConfig, TenantsConfig,
    TlsConfig, TrainConfig, TransitionsConfig,
};
pub use engine::{
    Activate, Appended, AuditQuery, Bundled, Contender, Engine, EvaluateOptions, Evaluation, Expired, Fading,
    FeatureColumn, FeatureReport, FeatureValue, FeatureValues, Finding, Gate, IndexReport, Job, JobState, KeyRefusal,
    Merged, Page, Put, Refusal, ReplayOptions, ServedFeatures, SnapshotComparison, SpaceStats, Stats, TenantSettings,
    TenantState, TenantStatus, TenantUsage, Tenants, Tended, TrainOptions, Trained, TriedHalfLife, TuneOptions, Tuned,
    TunedTrial, UserCounter, UserExport, UserVector, VectorFile, build_bundle,
};
pub use engine::{BackupGeneration, BackupLog, Fault, PendingPurge, Purged, Until};
pub use error::{Error, Result};
pub use eval::{
    Comparison, CurvePoint, Difference, Estimate, ListFigures, ModelReport, RatingErrors, RatingReport, Report, Slice,
    SliceKind,
};
pub use experiment::{
    ComparisonReport, Effect, ExperimentForecast, ExperimentReport, GuardrailState, Interval, MetricForecast,
    OffPolicy, PreferenceReport, Role, VariantReport, Verdict,
};
pub use monitor::{Alert, Check, ClickRate, Decision, DecisionKind, DriftReport, Drifted, Outcomes, Reason, Watch};
pub use progress::{Progress, Silent, Step};
pub use recommend::{LeftOut, Ranker, RankerQuestion, Rule, RulePlace, RuleQuestion, Shown, ShownItem};
pub use record::*;
pub use snapshot::{Faded, Manifest, OfflineMetric, SnapshotState};
pub use store::{DATA_FORMAT, Holder, Trouble};
pub use train::ranker::{FeatureImportance, RankerReport};

/// The code of the README, compiled by the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
