//! Snapshots, what they learn from, and how well they do.

use serde::{Deserialize, Serialize};

use super::LARGEST_PAGE;
use crate::cli::context::Place;
use crate::cli::failure::Failure;
use crate::cli::remote::segment;
use crate::engine::{FeatureColumn, FeatureValues, SnapshotComparison, Stats};
use crate::error::Error;
use crate::monitor::{Decision, DriftReport};
use crate::progress::Progress;
use crate::record::{SnapshotId, Timestamp};
use crate::snapshot::Manifest;

/// The snapshot that answers from now on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Active {
    /// Its number.
    pub active: SnapshotId,
}

impl Place {
    /// All snapshots.
    pub fn snapshots(&self) -> Result<Vec<Manifest>, Failure> {
        #[derive(Deserialize)]
        struct Snapshots {
            snapshots: Vec<Manifest>,
        }
        match self {
            Self::Here(engine) => Ok(engine.snapshots()?),
            Self::There(remote) => Ok(remote.get::<Snapshots>("/v1/snapshots")?.snapshots),
        }
    }

    /// One snapshot.
    pub fn snapshot(&self, id: SnapshotId) -> Result<Manifest, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.snapshot(id)?),
            Self::There(remote) => remote.get(&format!("/v1/snapshots/{id}")),
        }
    }

    /// Holds two snapshots side by side on events that neither has seen.
    pub fn compare(
        &self,
        a: SnapshotId,
        b: SnapshotId,
        progress: &dyn Progress,
    ) -> Result<SnapshotComparison, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.compare_snapshots(a, b, progress)?),
            Self::There(remote) => remote.get(&format!("/v1/snapshots/{a}/compare/{b}")),
        }
    }

    /// Puts a snapshot live.
    pub fn activate(&self, id: SnapshotId) -> Result<(), Failure> {
        match self {
            Self::Here(engine) => Ok(engine.activate(id)?),
            Self::There(remote) => remote.post_nothing::<Active>(&format!("/v1/snapshots/{id}:activate")).map(drop),
        }
    }

    /// Goes back to the snapshot that was live before, and tells which that is.
    pub fn rollback(&self) -> Result<SnapshotId, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.rollback()?),
            Self::There(remote) => Ok(remote.post_nothing::<Active>("/v1/snapshots:rollback")?.active),
        }
    }

    /// The columns of the feature table.
    pub fn feature_columns(&self) -> Result<Vec<FeatureColumn>, Failure> {
        #[derive(Deserialize)]
        struct Features {
            columns: Vec<FeatureColumn>,
        }
        match self {
            Self::Here(engine) => Ok(engine.feature_columns()?),
            Self::There(remote) => Ok(remote.get::<Features>("/v1/features")?.columns),
        }
    }

    /// The features of a user, of an item, or of both.
    pub fn feature_values(&self, user: Option<&str>, item: Option<&str>) -> Result<FeatureValues, Failure> {
        match (self, user, item) {
            (Self::There(remote), Some(user), item) => {
                let item = item.map(|item| format!("?item={}", segment(item))).unwrap_or_default();
                remote.get(&format!("/v1/users/{}/features{item}", segment(user)))
            }
            (Self::There(remote), None, Some(item)) => remote.get(&format!("/v1/items/{}/features", segment(item))),
            (Self::Here(engine), user, item) => Ok(engine.feature_values(user, item)?),
            (Self::There(_), None, None) => {
                Err(Error::invalid("user", "is missing; name a user, an item, or both").into())
            }
        }
    }

    /// What has changed since the snapshot that answers was trained.
    pub fn drift(&self) -> Result<DriftReport, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.drift(Timestamp::now())?),
            Self::There(remote) => remote.get("/v1/drift"),
        }
    }

    /// So many of the latest decisions about snapshots, the newest first.
    pub fn decisions(&self, limit: usize) -> Result<Vec<Decision>, Failure> {
        #[derive(Deserialize)]
        struct Decisions {
            decisions: Vec<Decision>,
        }
        match self {
            Self::Here(engine) => Ok(engine.decisions()?.into_iter().take(limit).collect()),
            Self::There(_) if limit == 0 => Ok(Vec::new()),
            Self::There(remote) => {
                let path = format!("/v1/decisions?limit={}", limit.min(LARGEST_PAGE));
                Ok(remote.get::<Decisions>(&path)?.decisions)
            }
        }
    }

    /// How much there is, and what serves.
    pub fn stats(&self) -> Result<Stats, Failure> {
        match self {
            Self::Here(engine) => Ok(engine.stats()?),
            Self::There(remote) => remote.get("/v1/stats"),
        }
    }
}
