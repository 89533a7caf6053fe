//! Maps the file of an index, and finds and checks its parts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::config::Metric;
use crate::error::{Error, Result};
use crate::index::codes::{Codes, LONGEST, stride};
use crate::index::graph::Graph;
use crate::index::map::Map;
use crate::index::plan::{IndexKind, IndexPlan};
use crate::index::section::{Number, Section};
use crate::index::sieve::{PANEL, Sieve, Working};
use crate::index::space::Space;

/// What is in a file.
pub struct Contents {
    pub space: Space,
    pub sieve: Sieve,
    pub graph: Option<Graph>,
    pub plan: IndexPlan,
    pub sums: Sums,
}

/// The checksums of an open file.
pub struct Sums {
    path: PathBuf,
    map: Arc<Map>,
    sections: Vec<Entry>,
}

/// Where a section lies, and its checksum.
#[derive(Clone, Copy)]
struct Entry {
    kind: u32,
    offset: usize,
    length: usize,
    sum: u64,
}

impl Sums {
    /// Bytes of the file.
    pub fn length(&self) -> usize {
        self.map.len()
    }

    /// Compares them all. Error: `Corrupt`, with the file and the section.
    pub fn verify(&self) -> Result<()> {
        self.sections.iter().try_for_each(|entry| entry.verify(&self.map)).map_err(|reason| self.damaged(&reason))
    }

    /// An error about the file.
    pub fn damaged(&self, reason: &str) -> Error {
        damaged(&self.path, reason)
    }
}

impl Entry {
    fn verify(&self, map: &[u8]) -> std::result::Result<(), String> {
        let bytes = map.get(self.offset..self.offset + self.length).unwrap_or_default();
        if xxh3_64(bytes) == self.sum { Ok(()) } else { Err(format!("the checksum of section {} is wrong", self.kind)) }
    }
}

fn damaged(path: &Path, reason: &str) -> Error {
    let what = format!("index file {}", path.display());
    Error::corrupt(what, format!("{reason}; build the index again or restore the file"))
}

/// Maps the index at `path` and checks what search relies on; all checksums beforehand, unless the file is larger than `most`
/// bytes. The file must not be written to while it is open; [`write`] never does.
pub fn open(path: &Path, most: u64) -> Result<Contents> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let damaged = |reason: String| damaged(path, &reason);
    if length < (FIXED + 8) as u64 {
        return Err(damaged(format!("it has {length} bytes, which is too short for its header")));
    }
    let map = Arc::new(Map::of(&file).map_err(Error::io(path))?);
    if !map.starts_with(MAGIC) {
        return Err(damaged("it does not begin like an index of Savor".into()));
    }
    let version = u32_at(&map, 8).unwrap_or(0);
    if version > VERSION {
        return Err(Error::NewerFormat { path: path.to_path_buf(), found: version, supported: VERSION });
    }
    let (opened, version) = Opened::read(&map).map_err(damaged)?;
    let sums = Sums { path: path.to_path_buf(), map, sections: opened.sections.clone() };
    if length <= most {
        sums.verify()?;
    }
    let (space, graph, plan) = opened.contents(version).map_err(damaged)?;
    let sieve = match version {
        SIEVED.. => opened.sieve(&space).map_err(damaged)?,
        _ => {
            // A sieve is made of all vectors, so these must be what was written, and such as an index takes.
            sums.verify()?;
            space.check_all().map_err(|reason| sums.damaged(reason))?;
            Sieve::new(&space, None)?
        }
    };
    Ok(Contents { space, sieve, graph, plan, sums })
}

/// A file whose header is right: where each section lies.
struct Opened {
    map: Arc<Map>,
    sections: Vec<Entry>,
}

impl Opened {
    /// The file, and its format version.
    fn read(map: &Arc<Map>) -> std::result::Result<(Self, u32), String> {
        let short = || "it ends within its header".to_string();
        let version =
            u32_at(map, 8).filter(|version| *version > 0).ok_or("its format version is 0, which never was")?;
        let count = u32_at(map, 40).ok_or_else(short)? as usize;
        let header = u32_at(map, 12).ok_or_else(short)? as usize;
        if count > 64 || header != header_length(count) {
            return Err("the length of its header is wrong".into());
        }
        let signed = map.get(..header - 8).ok_or_else(short)?;
        if u64_at(map, header - 8) != Some(xxh3_64(signed)) {
            return Err("the checksum of its header is wrong".into());
        }
        let length = u64_at(map, 32).ok_or_else(short)?;
        if length != map.len() as u64 {
            return Err(format!("it has {} bytes instead of {length}", map.len()));
        }

        let mut at = header;
        let mut sections = Vec::with_capacity(count);
        for index in 0..count {
            let entry = FIXED + index * ENTRY;
            let kind = u32_at(map, entry).ok_or_else(short)?;
            let offset = usize_at(map, entry + 8).ok_or_else(short)?;
            let length = usize_at(map, entry + 16).ok_or_else(short)?;
            let end = offset.checked_add(length).filter(|end| *end <= map.len() && offset == aligned(at));
            let end = end.ok_or_else(|| format!("section {kind} is out of place"))?;
            if map[at..offset].iter().any(|byte| *byte != 0) {
                return Err(format!("there is something between its sections, before section {kind}"));
            }
            let sum = u64_at(map, entry + 24).ok_or_else(short)?;
            sections.push(Entry { kind, offset, length, sum });
            at = end;
        }
        if at != map.len() {
            return Err("there is something after its last section".into());
        }
        Ok((Self { map: Arc::clone(map), sections }, version))
    }

    fn contents(&self, version: u32) -> std::result::Result<(Space, Option<Graph>, IndexPlan), String> {
        let map = &self.map;
        let short = || "it ends within its header".to_string();
        let metric = match u32_at(map, 16) {
            Some(0) => Metric::Dot,
            Some(1) => Metric::Cosine,
            Some(2) => Metric::L2,
            _ => return Err("its metric is none that is known".into()),
        };
        let dim = u32_at(map, 20).ok_or_else(short)? as usize;
        let rows = usize_at(map, 24).ok_or_else(short)?;
        let space = self.space(metric, dim, rows)?;
        let graph = match self.find(SHAPE).filter(|_| version >= SIEVED) {
            Some(_) => Some(self.graph(rows, dim, metric)?),
            None => None,
        };
        let plan = self.find(PLAN).ok_or("its plan is missing")?;
        plan.verify(map)?;
        let bytes = &map[plan.offset..plan.offset + plan.length];
        let mut plan: IndexPlan = serde_json::from_slice(bytes).map_err(|error| format!("its plan: {error}"))?;
        if graph.is_none() && plan.kind == IndexKind::Hnsw {
            plan.kind = IndexKind::Exact;
            plan.why = "the graph is of an older form; the next build makes a new one".into();
        }
        Ok((space, graph, plan))
    }

    fn space(&self, metric: Metric, dim: usize, rows: usize) -> std::result::Result<Space, String> {
        if dim == 0 || rows >= u32::MAX as usize {
            return Err(format!("it claims {rows} vectors of {dim} values"));
        }
        let values = rows.checked_mul(dim).ok_or("it claims more vectors than memory has addresses")?;
        Ok(Space { metric, dim, vectors: self.section(VECTORS, values)?, norms: self.section(NORMS, rows)? })
    }

    fn sieve(&self, space: &Space) -> std::result::Result<Sieve, String> {
        let (rows, dim) = (space.len(), space.dim);
        let shape: Section<u32> = self.section(SIEVE, 3)?;
        let lead = shape.as_slice()[0] as usize;
        let turned = self.find(AXES).is_some_and(|entry| entry.length > 0);
        let places = rows.div_ceil(PANEL) * PANEL;
        let many =
            |count: usize, each: usize| count.checked_mul(each).ok_or("it claims more than memory has addresses");
        let sieve = Sieve {
            shape,
            order: self.section(ORDER, if space.metric == Metric::Dot { rows } else { 0 })?,
            axes: self.section(AXES, if turned { many(lead, dim)? } else { 0 })?,
            lead: self.section(LEAD, many(places, lead)?)?,
            bounds: self.section(BOUNDS, many(places, 4)?)?,
            codes: self.section(CODES, if turned { many(rows, dim)? } else { 0 })?,
            code_bounds: self.section(CODE_BOUNDS, if turned { many(rows, 2)? } else { 0 })?,
            shift: self.section(SHIFT, if space.metric == Metric::L2 { places } else { 0 })?,
            working: Working::default(),
        };
        sieve.check_bounds(space)?;
        Ok(sieve)
    }

    fn graph(&self, rows: usize, dim: usize, metric: Metric) -> std::result::Result<Graph, String> {
        let shape: Section<u32> = self.section(SHAPE, 4)?;
        let (degree, upper_degree) = (shape.as_slice()[0] as usize, shape.as_slice()[1] as usize);
        let slots = self.find(UPPER_PLACES).ok_or("section 7 is missing")?.length / size_of::<u32>();
        let bytes =
            stride(dim).checked_mul(rows).filter(|_| dim < LONGEST).ok_or("its vectors are too long for a graph")?;
        let graph = Graph {
            shape,
            rows: self.section(PLACED, rows)?,
            codes: Codes {
                dim,
                records: self.section(RECORDS, bytes)?,
                centre: self.section(CENTRE, if metric == Metric::L2 { dim } else { 0 })?,
            },
            links: self.section(LINKS, rows.checked_mul(degree).ok_or("its graph is too large")?)?,
            upper_places: self.section(UPPER_PLACES, slots)?,
            upper_below: self.section(UPPER_BELOW, slots)?,
            upper_links: self.section(UPPER_LINKS, slots.checked_mul(upper_degree).ok_or("its graph is too large")?)?,
        };
        graph.check_bounds(rows)?;
        Ok(graph)
    }

    fn find(&self, kind: u32) -> Option<Entry> {
        self.sections.iter().find(|entry| entry.kind == kind).copied()
    }

    /// The section of this kind, which must hold `count` numbers.
    fn section<T: Number>(&self, kind: u32, count: usize) -> std::result::Result<Section<T>, String> {
        let Entry { offset, length, .. } = self.find(kind).ok_or_else(|| format!("section {kind} is missing"))?;
        if count.checked_mul(size_of::<T>()) != Some(length) {
            return Err(format!("section {kind} has {length} bytes where {count} numbers are due"));
        }
        Section::mapped(&self.map, offset, length).ok_or_else(|| format!("section {kind} is out of place"))
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

pub(super) fn usize_at(bytes: &[u8], at: usize) -> Option<usize> {
    u64_at(bytes, at)?.try_into().ok()
}
