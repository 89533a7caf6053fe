//! Snapshots: one trained, immutable state each. This room writes one beside serving, loads it, exports and imports it
//! as one portable file, and removes what a crash left behind. Nothing of a snapshot is visible before it is complete
//! and on disk; which snapshot answers is for the engine to decide.

mod build;
mod bundle;
mod cold;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod learned;
mod live;
mod manifest;
mod rows;
mod scorer;
mod sections;

pub use build::{Draft, write};
pub use bundle::{export, import, write_vectors};
pub use files::{bytes, has_files, remove, remove_leftovers};
pub use live::{RowMap, Snapshot};
pub use manifest::{Faded, Manifest, OfflineMetric, SnapshotState};
pub use scorer::SnapshotScorer;
