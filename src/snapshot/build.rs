//! Writing a snapshot beside serving: factors into the store, index and parts as files, then the manifest.

use std::path::Path;
use std::time::Instant;

use super::files::{folder, index_path, parts_path};
use super::sections::{SectionFile, SectionWriter, write_floats};
use super::{Faded, Manifest, OfflineMetric, SnapshotState, cold, learned};
use crate::config::{IndexConfig, Metric, TrainConfig};
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::features::{Csr, Interactions, Portrait};
use crate::index::VectorIndex;
use crate::linalg::{Matrix, Rows};
use crate::progress::{Progress, Step};
use crate::record::{SnapshotId, Timestamp, UserId};
use crate::store::{Records, Side, Store};
use crate::train::ranker::{Judged, LearnedRanker};
use crate::train::{ColdStart, FoldIn, ItemRefresh, Model};

/// So many users ask while the recall of a graph is measured.
const SAMPLE_QUERIES: usize = 200;

/// What is learned beside a model.
#[derive(Default)]
pub struct Beside {
    /// Where those stand of whom no event is known.
    pub cold: ColdStart,
    /// What people take next, `[n_items, n_items]`; empty where nobody knows.
    pub next: Csr,
    /// What puts candidates in order, if one has passed its gate.
    pub ranker: Option<LearnedRanker>,
    /// What the latest part of the events looks like that it was trained on.
    pub portrait: Option<Portrait>,
    /// What moves an item's factors by its new events.
    pub refresh: Option<ItemRefresh>,
}

impl Beside {
    pub(super) fn write(&self, to: &mut SectionWriter) -> Result<()> {
        cold::write(to, &self.cold)?;
        to.rows("next", &self.next)?;
        if let Some(portrait) = &self.portrait {
            to.section("portrait", |out| Ok(serde_json::to_writer(out, portrait)?))?;
        }
        if let Some(refresh) = &self.refresh {
            to.section("user_gramian", |out| write_floats(out, refresh.gramian()))?;
            to.section("item_weights", |out| write_floats(out, refresh.weights()))?;
        }
        self.ranker.as_ref().map_or(Ok(()), |ranker| learned::write_ranker(to, ranker))
    }

    pub(super) fn read(from: &SectionFile, items: usize, dim: usize) -> Result<Self> {
        let next = if from.has("next_ends") { from.rows("next", items)? } else { Csr::default() };
        let portrait = match from.has("portrait") {
            true => Some(serde_json::from_slice(&from.bytes("portrait")?))
                .transpose()
                .map_err(|error| from.damaged(format!("its portrait of the events: {error}")))?,
            false => None,
        };
        let refresh = match from.has("user_gramian") {
            true => Some(ItemRefresh::from_parts(from.floats("user_gramian")?, from.floats("item_weights")?, items))
                .transpose()
                .map_err(|error| from.damaged(error.to_string()))?,
            false => None,
        };
        let cold = cold::read(from, items, dim)?;
        Ok(Self { cold, next, ranker: learned::read_ranker(from)?, portrait, refresh })
    }
}

/// A snapshot in the making. Its manifest says `building` from the start, so that a crash leaves something to find.
pub struct Draft {
    manifest: Manifest,
    beside: Beside,
    began: Instant,
}

impl Draft {
    /// Takes a number and announces the snapshot.
    pub fn begin(store: &Store, origin: &str, train: &TrainConfig) -> Result<Self> {
        let manifest = Manifest {
            id: store.next_snapshot_id()?,
            state: SnapshotState::Building,
            created: Timestamp::now(),
            activated: None,
            origin: origin.to_owned(),
            users: 0,
            items: 0,
            pairs: 0,
            events: 0,
            log_changes: 0,
            newest_event: None,
            train: train.clone(),
            faded: None,
            loss: None,
            last_gain: None,
            index: None,
            seconds: 0.0,
            metrics: Vec::new(),
            ranker: None,
            note: None,
        };
        store.put_record(Records::Snapshots, manifest.id.0, &manifest)?;
        fault::reach(Point::SnapshotBegun);
        Ok(Self { manifest, beside: Beside::default(), began: Instant::now() })
    }

    /// Its number.
    pub fn id(&self) -> SnapshotId {
        self.manifest.id
    }

    /// What is known of it until now.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Notes what it is trained on: events in the log, changes of the log ever, and the time of the newest event.
    pub fn trained_on(&mut self, events: u64, log_changes: u64, newest_event: Option<Timestamp>) {
        self.manifest.events = events;
        self.manifest.log_changes = log_changes;
        self.manifest.newest_event = newest_event;
    }

    /// Notes how the events fade that it is trained on.
    pub fn faded(&mut self, faded: Faded) {
        self.manifest.faded = Some(faded);
    }

    /// Notes the offline metrics, or why there are none.
    pub fn measured(&mut self, metrics: Vec<OfflineMetric>, note: Option<String>) {
        self.manifest.metrics = metrics;
        self.manifest.note = note;
    }

    /// Notes the ranker, if one passed its gate, and what was measured of it.
    pub fn ranked(&mut self, judged: Judged) {
        self.beside.ranker = judged.ranker;
        self.manifest.ranker = Some(judged.report);
    }

    /// Notes where those stand of whom no event is known, and what people take next.
    pub fn placed(&mut self, cold: ColdStart, next: Csr) {
        self.beside.cold = cold;
        self.beside.next = next;
    }

    /// Notes what the latest part of its events looks like, and what moves its items by new events.
    pub fn watched(&mut self, portrait: Portrait, refresh: Option<ItemRefresh>) {
        self.beside.portrait = Some(portrait);
        self.beside.refresh = refresh;
    }

    /// Notes the settings that made the model, none left to the data, the objective after the last epoch, and what that epoch
    /// of a training from the beginning gained.
    pub fn trained(&mut self, settled: TrainConfig, loss: Option<f64>, last_gain: Option<f64>) {
        self.manifest.train = settled;
        self.manifest.loss = loss;
        self.manifest.last_gain = last_gain;
    }
}

/// Writes factors, index and parts, then the manifest as `validated`. `dir` is the data directory.
pub fn write(
    store: &Store,
    dir: &Path,
    mut draft: Draft,
    interactions: &Interactions,
    model: &Model,
    config: &IndexConfig,
    progress: &dyn Progress,
) -> Result<Manifest> {
    let queries = sample(model.users.as_rows())?;
    let index = VectorIndex::build(model.items.as_rows(), Metric::Dot, config, Some(queries.as_rows()), progress)?;
    progress.report(&Step::Writing);
    let id = draft.id();
    let users: Vec<u32> = interactions.users.iter().map(|user| user.get()).collect();
    let items: Vec<u32> = interactions.items.iter().map(|item| item.get()).collect();
    store.put_factors(Side::Users, id, &users, model.users.as_rows())?;
    store.put_factors(Side::Items, id, &items, model.items.as_rows())?;
    fault::reach(Point::FactorsWritten);
    write_files(dir, id, &index, &items, &model.fold_in, &draft.beside)?;
    forget_deleted(store, id, &users)?;
    if progress.cancelled() {
        return Err(Error::Cancelled("training"));
    }
    let manifest = &mut draft.manifest;
    manifest.users = users.len() as u64;
    manifest.items = items.len() as u64;
    manifest.pairs = interactions.matrix.nnz() as u64;
    manifest.index = Some(index.plan().clone());
    manifest.state = SnapshotState::Validated;
    manifest.seconds = draft.began.elapsed().as_secs_f64();
    store.put_record(Records::Snapshots, id.0, manifest)?;
    fault::reach(Point::SnapshotValidated);
    Ok(draft.manifest)
}

/// Users deleted since the factors were made must not come back with them; who is deleted later takes the factor along.
pub fn forget_deleted(store: &Store, id: SnapshotId, users: &[u32]) -> Result<()> {
    for user in users {
        if store.user_name(UserId::new(*user))?.is_none() {
            store.delete_factor(Side::Users, id, *user)?;
        }
    }
    Ok(())
}

/// Writes the two files of a snapshot.
pub fn write_files(
    dir: &Path,
    id: SnapshotId,
    index: &VectorIndex,
    items: &[u32],
    fold_in: &FoldIn,
    beside: &Beside,
) -> Result<()> {
    let folder = folder(dir);
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    index.write(&index_path(dir, id))?;
    fault::reach(Point::IndexNamed);
    let mut parts = SectionWriter::create(&parts_path(dir, id))?;
    parts.section("items", |out| items.iter().try_for_each(|item| out.write_all(&item.to_le_bytes())))?;
    learned::write(&mut parts, fold_in)?;
    beside.write(&mut parts)?;
    parts.finish()?;
    fault::reach(Point::FilesNamed);
    Ok(())
}

/// Evenly spaced rows, a deterministic sample, of those that say anything; of all if none does.
fn sample(rows: Rows<'_>) -> Result<Matrix> {
    let mut places: Vec<usize> =
        (0..rows.len()).filter(|row| rows.row(*row).iter().any(|value| *value != 0.0)).collect();
    if places.is_empty() {
        places = (0..rows.len()).collect();
    }
    let step = places.len().div_ceil(SAMPLE_QUERIES).max(1);
    let data = places.into_iter().step_by(step).flat_map(|row| rows.row(row)).copied().collect();
    Matrix::new(rows.dim(), data)
}
