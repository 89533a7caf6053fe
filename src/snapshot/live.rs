//! A loaded snapshot: what a question needs, immutable, shared by all readers.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::build::Beside;
use super::files::{index_path, parts_path};
use super::sections::SectionFile;
use super::{Manifest, learned};
use crate::error::Result;
use crate::features::{Csr, Portrait};
use crate::index::VectorIndex;
use crate::linalg::{Rows, dot};
use crate::record::ItemId;
use crate::train::ranker::LearnedRanker;
use crate::train::{ColdStart, FoldIn, ItemRefresh};

const NO_ROW: u32 = u32::MAX;

/// A loaded snapshot. Rows of its item matrix are numbered from 0; [`Snapshot::item`] and [`Snapshot::row`] translate.
pub struct Snapshot {
    manifest: Manifest,
    index: VectorIndex,
    items: Vec<ItemId>,
    rows: RowMap,
    /// Lengths of the vectors' traits, from the first question that needs them.
    norms: OnceLock<Vec<f32>>,
    fold_in: FoldIn,
    beside: Beside,
}

impl Snapshot {
    /// Stands for an item that was deleted before its bundle was exported; never a dense id.
    pub const NO_ITEM: ItemId = ItemId::new(u32::MAX);

    /// Maps the index, checks it and the parts beside it, and fits them together. Errors name the damaged file.
    pub fn load(dir: &Path, manifest: Manifest) -> Result<Self> {
        let index = VectorIndex::open(&index_path(dir, manifest.id))?;
        let parts = SectionFile::open(&parts_path(dir, manifest.id))?;
        let bytes = parts.bytes("items")?;
        let items: Vec<_> = bytes.as_chunks::<4>().0.iter().map(|id| ItemId::new(u32::from_le_bytes(*id))).collect();
        let vectors = index.vectors();
        if items.len() != vectors.len() {
            return Err(parts.damaged(format!(
                "it names {} items, the index has {} vectors; restore both from a backup or roll back",
                items.len(),
                vectors.len()
            )));
        }
        let fold_in = learned::read(&parts, items.len(), vectors.dim(), &manifest.train)?;
        let beside = Beside::read(&parts, items.len(), vectors.dim())?;
        let rows = RowMap::of(&items);
        Ok(Self { manifest, index, items, rows, norms: OnceLock::new(), fold_in, beside })
    }

    /// What is known of it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The item vectors, searchable.
    pub fn index(&self) -> &VectorIndex {
        &self.index
    }

    /// The item vectors, `[items, dimension]`.
    pub fn vectors(&self) -> Rows<'_> {
        self.index.vectors()
    }

    /// What turns histories into vectors and list scores.
    pub fn fold_in(&self) -> &FoldIn {
        &self.fold_in
    }

    /// Where those stand of whom no event is known.
    pub fn cold(&self) -> &ColdStart {
        &self.beside.cold
    }

    /// What people take next after each row; empty where nobody knows.
    pub fn next(&self) -> &Csr {
        &self.beside.next
    }

    pub(super) fn beside(&self) -> &Beside {
        &self.beside
    }

    /// What puts candidates in order, if one has passed its gate.
    pub fn ranker(&self) -> Option<&LearnedRanker> {
        self.beside.ranker.as_ref()
    }

    /// What the latest part of its events looked like; none in a snapshot of a time before portraits.
    pub fn portrait(&self) -> Option<&Portrait> {
        self.beside.portrait.as_ref()
    }

    /// What moves an item's factors by its new events; none in a model without factors.
    pub fn refresh(&self) -> Option<&ItemRefresh> {
        self.beside.refresh.as_ref()
    }

    /// The item of every row.
    pub fn items(&self) -> &[ItemId] {
        &self.items
    }

    /// The item of a row.
    pub fn item(&self, row: u32) -> Option<ItemId> {
        self.items.get(row as usize).copied()
    }

    /// The row of an item; none if the model has not seen it.
    pub fn row(&self, item: ItemId) -> Option<u32> {
        self.rows.get(item)
    }

    /// The rows of all items.
    pub fn rows(&self) -> &RowMap {
        &self.rows
    }

    /// The part of a user's or an item's vector that says what kind it is: all columns but popularity. Empty for a model
    /// that has no such columns.
    pub fn traits<'a>(&self, vector: &'a [f32]) -> &'a [f32] {
        traits(vector, &self.fold_in)
    }

    /// Length of the traits of a row.
    pub fn norm(&self, row: u32) -> f32 {
        let vectors = self.index.vectors();
        let length = |row| {
            let traits = self.traits(vectors.row(row));
            dot(traits, traits).sqrt()
        };
        let norms = self.norms.get_or_init(|| (0..vectors.len()).map(length).collect());
        norms.get(row as usize).copied().unwrap_or(0.0)
    }
}

/// Dense ids of items to rows of one loaded snapshot; a cheap clone, equal to its clones alone.
#[derive(Clone, Debug)]
pub struct RowMap(Arc<[u32]>);

impl RowMap {
    /// The row of each item is its place.
    pub fn of(items: &[ItemId]) -> Self {
        let known = || items.iter().zip(0..).filter(|(item, _)| **item != Snapshot::NO_ITEM);
        let mut rows = vec![NO_ROW; known().map(|(item, _)| item.index() + 1).max().unwrap_or(0)];
        for (item, row) in known() {
            if let Some(slot) = rows.get_mut(item.index()) {
                *slot = row;
            }
        }
        Self(rows.into())
    }

    /// The row of an item; none if the model has not seen it.
    pub fn get(&self, item: ItemId) -> Option<u32> {
        self.0.get(item.index()).copied().filter(|row| *row != NO_ROW)
    }
}

impl PartialEq for RowMap {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn traits<'a>(vector: &'a [f32], fold_in: &FoldIn) -> &'a [f32] {
    vector.get(..fold_in.mix().traits()).unwrap_or_default()
}
