//! An index as one file: written beside its place, synced, then renamed into it; at open mapped, and verified once, whole,
//! so that search may trust every offset and row number in it. No byte of the file is outside a checksum.
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
//! `[n]`, inner product only); and where there is a graph 5 shape (u32 `[4]`), 6 links (u32 `[n, degree]`), 7 places,
//! 8 below and 9 links of the upper layers, 10 rows by place (u32 `[n]`), 11 coded vectors (`[n, stride]` bytes, see `codes`)
//! and 12 their mean (f32 `[dim]`, squared distance only).

#![allow(unsafe_code)] // The file is mapped into memory.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use xxhash_rust::xxh3::xxh3_64;

use super::codes::{Codes, LONGEST, stride};
use super::graph::Graph;
use super::plan::IndexPlan;
use super::section::{Number, Section};
use super::space::Space;
use crate::config::Metric;
use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"SAVORIX\0";
const VERSION: u32 = 1;
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
const PLACED: u32 = 10;
const CODES: u32 = 11;
const CENTRE: u32 = 12;

/// Writes an index to `path`; whatever was there is replaced at once, or not at all.
pub(super) fn write(path: &Path, space: &Space, graph: Option<&Graph>, plan: &IndexPlan) -> Result<()> {
    let plan = serde_json::to_vec(plan).map_err(|error| Error::corrupt("the plan of an index", error.to_string()))?;
    let mut sections: Vec<(u32, &[u8])> = vec![
        (PLAN, &plan),
        (VECTORS, space.vectors.as_bytes()),
        (NORMS, space.norms.as_bytes()),
        (ORDER, space.order.as_bytes()),
    ];
    if let Some(graph) = graph {
        sections.extend([
            (SHAPE, graph.shape.as_bytes()),
            (LINKS, graph.links.as_bytes()),
            (UPPER_PLACES, graph.upper_places.as_bytes()),
            (UPPER_BELOW, graph.upper_below.as_bytes()),
            (UPPER_LINKS, graph.upper_links.as_bytes()),
            (PLACED, graph.rows.as_bytes()),
            (CODES, graph.codes.records.as_bytes()),
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

/// Maps and verifies the index at `path`. The file must not be written to while it is open; [`write`] never does.
pub(super) fn open(path: &Path) -> Result<(Space, Option<Graph>, IndexPlan)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let damaged = |reason: String| {
        let what = format!("index file {}", path.display());
        Error::corrupt(what, format!("{reason}; build the index again or restore the file"))
    };
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
    Opened::read(&map).map_err(damaged)
}

/// The verified header: where each section lies.
struct Opened<'a> {
    map: &'a Arc<Mmap>,
    sections: Vec<(u32, usize, usize)>,
}

impl<'a> Opened<'a> {
    fn read(map: &'a Arc<Mmap>) -> std::result::Result<(Space, Option<Graph>, IndexPlan), String> {
        let short = || "it ends within its header".to_string();
        if u32_at(map, 8) != Some(VERSION) {
            return Err("its format version is 0, which never was".into());
        }
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
            if u64_at(map, entry + 24) != Some(xxh3_64(&map[offset..end])) {
                return Err(format!("the checksum of section {kind} is wrong"));
            }
            sections.push((kind, offset, length));
            at = end;
        }
        if at != map.len() {
            return Err("there is something after its last section".into());
        }

        let opened = Self { map, sections };
        let metric = match u32_at(map, 16) {
            Some(0) => Metric::Dot,
            Some(1) => Metric::Cosine,
            Some(2) => Metric::L2,
            _ => return Err("its metric is none that is known".into()),
        };
        let dim = u32_at(map, 20).ok_or_else(short)? as usize;
        let rows = usize_at(map, 24).ok_or_else(short)?;
        let space = opened.space(metric, dim, rows)?;
        let graph = match opened.find(SHAPE) {
            Some(_) => Some(opened.graph(rows, dim, metric)?),
            None => None,
        };
        let (offset, length) = opened.find(PLAN).ok_or("its plan is missing")?;
        let plan =
            serde_json::from_slice(&map[offset..offset + length]).map_err(|error| format!("its plan: {error}"))?;
        Ok((space, graph, plan))
    }

    fn space(&self, metric: Metric, dim: usize, rows: usize) -> std::result::Result<Space, String> {
        if dim == 0 || rows >= u32::MAX as usize {
            return Err(format!("it claims {rows} vectors of {dim} values"));
        }
        let values = rows.checked_mul(dim).ok_or("it claims more vectors than memory has addresses")?;
        let space = Space {
            metric,
            dim,
            vectors: self.section(VECTORS, values)?,
            norms: self.section(NORMS, rows)?,
            order: self.section(ORDER, if metric == Metric::Dot { rows } else { 0 })?,
        };
        let norms = space.norms.as_slice();
        if norms.iter().any(|norm| !norm.is_finite() || *norm < 0.0) {
            return Err("a norm is not one".into());
        }
        let order = space.order.as_slice();
        let mut seen = fixedbitset::FixedBitSet::with_capacity(rows);
        if order.iter().any(|row| *row as usize >= rows || seen.put(*row as usize)) {
            return Err("its order does not name every row once".into());
        }
        if order.windows(2).any(|pair| norms[pair[0] as usize] < norms[pair[1] as usize]) {
            return Err("its order is not that of the norms".into());
        }
        Ok(space)
    }

    fn graph(&self, rows: usize, dim: usize, metric: Metric) -> std::result::Result<Graph, String> {
        let shape: Section<u32> = self.section(SHAPE, 4)?;
        let (degree, upper_degree) = (shape.as_slice()[0] as usize, shape.as_slice()[1] as usize);
        let (_, upper_bytes) = self.find(UPPER_PLACES).ok_or("section 7 is missing")?;
        let slots = upper_bytes / size_of::<u32>();
        let bytes =
            stride(dim).checked_mul(rows).filter(|_| dim < LONGEST).ok_or("its vectors are too long for a graph")?;
        let graph = Graph {
            shape,
            rows: self.section(PLACED, rows)?,
            codes: Codes {
                dim,
                records: self.section(CODES, bytes)?,
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

    fn find(&self, kind: u32) -> Option<(usize, usize)> {
        self.sections.iter().find(|section| section.0 == kind).map(|(_, offset, length)| (*offset, *length))
    }

    /// The section of this kind, which must hold `count` numbers.
    fn section<T: Number>(&self, kind: u32, count: usize) -> std::result::Result<Section<T>, String> {
        let (offset, length) = self.find(kind).ok_or_else(|| format!("section {kind} is missing"))?;
        if count.checked_mul(size_of::<T>()) != Some(length) {
            return Err(format!("section {kind} has {length} bytes where {count} numbers are due"));
        }
        Section::mapped(self.map, offset, length).ok_or_else(|| format!("section {kind} is out of place"))
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
