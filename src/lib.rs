//! Savor is an embedded recommendation engine.

mod config;
mod engine;
mod error;
mod eval;
mod features;
pub mod index;
pub mod ingest;
mod linalg;
mod progress;
mod recommend;
pub mod record;
mod snapshot;
mod store;
mod train;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "server")]
pub mod server;

pub use config::{
    Config, Durability, EvaluateConfig, EventsConfig, IndexChoice, IndexConfig, Metric, RecommendConfig, Repeats,
    ServerConfig, SnapshotConfig, Solver, Split, StoreConfig, TrainConfig,
};
pub use engine::{
    Activate, Appended, Bundled, Engine, EvaluateOptions, Evaluation, Finding, Gate, Job, JobState, Merged, Page, Put,
    SpaceStats, Stats, TrainOptions, VectorFile, build_bundle,
};
pub use error::{Error, Result};
pub use eval::{Estimate, ListFigures, ModelReport, Report};
pub use progress::{Progress, Silent, Step};
pub use record::*;
pub use snapshot::{Manifest, OfflineMetric, SnapshotState};
pub use store::Holder;
