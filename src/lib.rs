//! Savor is an embedded recommendation engine.

mod config;
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

pub use config::{
    Config, Durability, EvaluateConfig, EventsConfig, IndexChoice, IndexConfig, Metric, RecommendConfig, Repeats,
    ServerConfig, SnapshotConfig, Solver, Split, StoreConfig, TrainConfig,
};
pub use error::{Error, Result};
pub use eval::{Estimate, ListFigures, ModelReport, Report};
pub use progress::{Progress, Silent, Step};
pub use record::*;
pub use snapshot::{Manifest, OfflineMetric, SnapshotState};
pub use store::Holder;
