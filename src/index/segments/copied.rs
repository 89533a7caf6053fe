//! A copy of vectors that are to be frozen, and what becomes of it.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{Metric, VectorIndex, exactly};
use crate::config::{IndexChoice, IndexConfig};
use crate::error::Result;
use crate::linalg::Matrix;
use crate::progress::Progress;

/// How much is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All vectors: a new base.
    Whole,
    /// What changed lately, beside the base.
    Recent,
}

/// An index, and what its rows stand for.
pub struct Frozen {
    pub(super) index: VectorIndex,
    /// `[n]`, rising.
    pub(super) ids: Vec<u32>,
    pub(super) extent: Extent,
}

/// What is to be frozen: the living rows of some indexes, and vectors beside them.
pub struct Copied {
    metric: Metric,
    dim: usize,
    pub(super) extent: Extent,
    /// Indexes and their dead rows.
    pub(super) layers: Vec<(Arc<Frozen>, RoaringBitmap)>,
    /// `[n]`: ids of the vectors beside them.
    ids: Vec<u32>,
    /// `[n, dim]`
    data: Vec<f32>,
}

impl Copied {
    /// All vectors of a space, to be read from elsewhere.
    pub fn new(metric: Metric, dim: usize) -> Self {
        Self { metric, dim, extent: Extent::Whole, layers: Vec::new(), ids: Vec::new(), data: Vec::new() }
    }

    /// Takes one more vector, with an id that is not there yet.
    pub fn push(&mut self, id: u32, vector: &[f32]) {
        self.ids.push(id);
        self.data.extend_from_slice(vector);
    }

    /// How much it is.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Whether a graph would be built for as many as these, if the configuration leaves it open.
    pub fn is_large(&self, config: &IndexConfig) -> bool {
        let frozen = |(frozen, dead): &(Arc<Frozen>, RoaringBitmap)| frozen.len() - dead.len() as usize;
        let rows = self.ids.len() + self.layers.iter().map(frozen).sum::<usize>();
        config.kind == IndexChoice::Hnsw || (config.kind == IndexChoice::Auto && rows >= config.graph_from)
    }

    /// Indexes the vectors: as configured if they are all, else to be scanned. Errors: as [`VectorIndex::build`].
    pub fn freeze(mut self, config: &IndexConfig, progress: &dyn Progress) -> Result<Frozen> {
        if !(self.layers.is_empty() && self.ids.is_sorted()) {
            self = self.gathered();
        }
        let exact = exactly();
        let config = if self.extent == Extent::Whole { config } else { &exact };
        let index = VectorIndex::of(Matrix::new(self.dim, self.data)?, self.metric, config, None, progress)?;
        Ok(Frozen { index, ids: self.ids, extent: self.extent })
    }

    /// The same vectors without the indexes, by rising ids.
    fn gathered(self) -> Self {
        let mut all: Vec<(u32, &[f32])> =
            self.ids.iter().copied().zip(self.data.chunks_exact(self.dim.max(1))).collect();
        for (frozen, dead) in &self.layers {
            let vectors = frozen.index.vectors();
            let living = frozen.ids.iter().enumerate().filter(|(row, _)| !dead.contains(*row as u32));
            all.extend(living.map(|(row, id)| (*id, vectors.row(row))));
        }
        all.sort_unstable_by_key(|(id, _)| *id);
        let mut data = Vec::with_capacity(all.len() * self.dim);
        all.iter().for_each(|(_, vector)| data.extend_from_slice(vector));
        let ids = all.into_iter().map(|(id, _)| id).collect();
        Self { ids, data, layers: Vec::new(), ..self }
    }
}

impl Frozen {
    /// Rows, dead ones among them.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The row of an id.
    pub(super) fn row(&self, id: u32) -> Option<u32> {
        self.ids.binary_search(&id).ok().map(|row| row as u32)
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.index.bytes() + 4 * self.ids.len() as u64
    }
}
