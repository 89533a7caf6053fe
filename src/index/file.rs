//! An index as one file: written beside its place, synced, then renamed into it; at open mapped, and checked, so that search
//! may trust every offset and row number in it. No byte of the file is outside a checksum. Those of a large file are compared
//! later: a wrong number in its vectors or codes makes a wrong answer and nothing worse, and reading all of it takes time.
//!
//! ```text
//! 0   magic "SAVORIX\0"            8 bytes
//! 8   format version               u32
//! 12  length of this header        u32
//! 16  metric (0 dot, 1 cosine, 2 l2)   u32
//! 20  dimension                    u32
//! 24  vectors                      u64
//! 32  length of the file           u64
//! 40  number of sections           u32, then 4 bytes of zero
//! 48  for each section, in the order of the file: kind u32, zero u32, offset u64, length u64, xxh3 u64
//! …   xxh3 of the header until here   u64
//! …   the sections, each at a multiple of 64, zero bytes between them
//! ```
//!
//! All numbers are little-endian. Section kinds: 1 plan (JSON), 2 vectors (f32 `[n, dim]`), 3 norms (f32 `[n]`), 4 order (u32
//! `[n]`, inner product only); of the sieve 10 shape (u32 `[3]`), 11 axes (f32), 12 lead (u8), 13 bounds (f32), 14 codes (u8), 15
//! bounds of the codes (f32), 16 shift (f32) (see `sieve`); and where there is a graph 5 shape (u32 `[4]`), 6 links (u32
//! `[n, degree]`), 7 places, 8 below and 9 links of the upper layers, 17 rows by place (u32 `[n]`), 18 coded vectors
//! (`[n, stride]` bytes, see `codes`) and 19 their mean (f32 `[dim]`, squared distance only). Version 1 had no sieve and a graph
//! of another form: a sieve is made when such a file is opened, and answers.

#![allow(unsafe_code)] // The file is mapped into memory.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::Mmap;
use xxhash_rust::xxh3::xxh3_64;

use super::codes::{Codes, LONGEST, stride};
use super::graph::Graph;
use super::plan::{IndexKind, IndexPlan};
use super::section::{Number, Section};
use super::sieve::{PANEL, Sieve, Working};
use super::space::Space;
use crate::config::Metric;
use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"SAVORIX\0";
const VERSION: u32 = 2;
/// From this version on a file has a sieve.
const SIEVED: u32 = 2;
const ALIGNMENT: usize = 64;
const FIXED: usize = 48;
const ENTRY: usize = 32;

const PLAN: u32 = 1;
const VECTORS: u32 = 2;
const NORMS: u32 = 3;
const ORDER: u32 = 4;
const SHAPE: u32 = 5;
const LINKS: u32 = 6;
const UPPER_PLACES: u32 = 7;
const UPPER_BELOW: u32 = 8;
const UPPER_LINKS: u32 = 9;
const SIEVE: u32 = 10;
const AXES: u32 = 11;
const LEAD: u32 = 12;
const BOUNDS: u32 = 13;
const CODES: u32 = 14;
const CODE_BOUNDS: u32 = 15;
const SHIFT: u32 = 16;
const PLACED: u32 = 17;
const RECORDS: u32 = 18;
const CENTRE: u32 = 19;

/// Writes an index to `path`; whatever was there is replaced at once, or not at all.
pub(super) fn write(path: &Path, space: &Space, sieve: &Sieve, graph: Option<&Graph>, plan: &IndexPlan) -> Result<()> {
    let plan = serde_json::to_vec(plan).map_err(|error| Error::corrupt("the plan of an index", error.to_string()))?;
    let mut sections: Vec<(u32, &[u8])> = vec![
        (PLAN, &plan),
        (VECTORS, space.vectors.as_bytes()),
        (NORMS, space.norms.as_bytes()),
        (ORDER, sieve.order.as_bytes()),
        (SIEVE, sieve.shape.as_bytes()),
        (AXES, sieve.axes.as_bytes()),
        (LEAD, sieve.lead.as_bytes()),
        (BOUNDS, sieve.bounds.as_bytes()),
        (CODES, sieve.codes.as_bytes()),
        (CODE_BOUNDS, sieve.code_bounds.as_bytes()),
        (SHIFT, sieve.shift.as_bytes()),
    ];
    if let Some(graph) = graph {
        sections.extend([
            (SHAPE, graph.shape.as_bytes()),
            (LINKS, graph.links.as_bytes()),
            (UPPER_PLACES, graph.upper_places.as_bytes()),
            (UPPER_BELOW, graph.upper_below.as_bytes()),
            (UPPER_LINKS, graph.upper_links.as_bytes()),
            (PLACED, graph.rows.as_bytes()),
            (RECORDS, graph.codes.records.as_bytes()),
            (CENTRE, graph.codes.centre.as_bytes()),
        ]);
    }

    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".index-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any other file of the user: temporary files alone are closed to everybody else.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(directory).map_err(Error::io(directory))?;
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(Error::io(path));
    put(&header(space, &sections))?;
    let mut at = header_length(sections.len());
    for (_, bytes) in &sections {
        put(&[0; ALIGNMENT][..aligned(at) - at])?;
        put(bytes)?;
        at = aligned(at) + bytes.len();
    }
    file.as_file().sync_all().map_err(Error::io(path))?;
    file.persist(path).map_err(|error| Error::io(path)(error.error))?;
    // The rename itself is durable once its directory is.
    #[cfg(unix)]
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::io(directory))?;
    Ok(())
}

fn header(space: &Space, sections: &[(u32, &[u8])]) -> Vec<u8> {
    let length = header_length(sections.len());
    let mut table = Vec::with_capacity(length);
    let mut at = length;
    for (kind, bytes) in sections {
        let offset = aligned(at);
        table.extend([kind.to_le_bytes(), [0; 4]].concat());
        table.extend((offset as u64).to_le_bytes());
        table.extend((bytes.len() as u64).to_le_bytes());
        table.extend(xxh3_64(bytes).to_le_bytes());
        at = offset + bytes.len();
    }
    let metric: u32 = match space.metric {
        Metric::Dot => 0,
        Metric::Cosine => 1,
        Metric::L2 => 2,
    };
    let mut header = Vec::with_capacity(length);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend((length as u32).to_le_bytes());
    header.extend(metric.to_le_bytes());
    header.extend((space.dim as u32).to_le_bytes());
    header.extend((space.len() as u64).to_le_bytes());
    header.extend((at as u64).to_le_bytes());
    header.extend((sections.len() as u32).to_le_bytes());
    header.extend([0; 4]);
    header.extend(table);
    header.extend(xxh3_64(&header).to_le_bytes());
    header
}

fn header_length(sections: usize) -> usize {
    FIXED + sections * ENTRY + 8
}

fn aligned(at: usize) -> usize {
    at.next_multiple_of(ALIGNMENT)
}

/// What is in a file.
pub(super) struct Contents {
    pub space: Space,
    pub sieve: Sieve,
    pub graph: Option<Graph>,
    pub plan: IndexPlan,
    pub sums: Sums,
}

/// The checksums of an open file.
pub(super) struct Sums {
    path: PathBuf,
    map: Arc<Mmap>,
    sections: Vec<Entry>,
    /// Whether all have been compared.
    pub are_right: AtomicBool,
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
    /// Compares them all. Error: `Corrupt`, with the file and the section.
    pub fn verify(&self) -> Result<()> {
        self.sections
            .iter()
            .try_for_each(|entry| entry.verify(&self.map))
            .map_err(|reason| damaged(&self.path, &reason))?;
        self.are_right.store(true, Ordering::Relaxed);
        Ok(())
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

/// Maps and checks the index at `path`; its checksums too, unless the file is larger than `most` bytes. The file must not be
/// written to while it is open; [`write`] never does.
pub(super) fn open(path: &Path, most: u64) -> Result<Contents> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let damaged = |reason: String| damaged(path, &reason);
    if length < (FIXED + 8) as u64 {
        return Err(damaged(format!("it has {length} bytes, which is too short for its header")));
    }
    // SAFETY: index files are made whole under another name and then renamed: nobody who follows that writes into a mapped
    // one. All that is read of it is numbers of which every bit pattern is valid, and indices are bounds-checked in use.
    let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(Error::io(path))?);
    if !map.starts_with(MAGIC) {
        return Err(damaged("it does not begin like an index of Savor".into()));
    }
    let version = u32_at(&map, 8).unwrap_or(0);
    if version > VERSION {
        return Err(Error::NewerFormat { path: path.to_path_buf(), found: version, supported: VERSION });
    }
    let (opened, version) = Opened::read(&map).map_err(damaged)?;
    if length <= most {
        opened.sections.iter().try_for_each(|entry| entry.verify(&map)).map_err(damaged)?;
    }
    let (space, graph, plan) = opened.contents(version).map_err(damaged)?;
    let sieve = match version {
        SIEVED.. => opened.sieve(&space).map_err(damaged)?,
        _ => Sieve::new(&space, None)?,
    };
    let sections = opened.sections;
    let sums = Sums { path: path.to_path_buf(), map, sections, are_right: AtomicBool::new(length <= most) };
    Ok(Contents { space, sieve, graph, plan, sums })
}

/// A file whose header is right: where each section lies.
struct Opened {
    map: Arc<Mmap>,
    sections: Vec<Entry>,
}

impl Opened {
    /// The file, and its format version.
    fn read(map: &Arc<Mmap>) -> std::result::Result<(Self, u32), String> {
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
        let space = Space { metric, dim, vectors: self.section(VECTORS, values)?, norms: self.section(NORMS, rows)? };
        let norms = space.norms.as_slice();
        if norms.iter().any(|norm| !norm.is_finite() || *norm < 0.0) {
            return Err("a norm is not one".into());
        }
        Ok(space)
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
        sieve.check(space)?;
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
        graph.check(rows)?;
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

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

fn usize_at(bytes: &[u8], at: usize) -> Option<usize> {
    u64_at(bytes, at)?.try_into().ok()
}

#[cfg(test)]
mod tests;
