//! Writes an index as a file: beside its place, synced, then renamed into it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::config::Metric;
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::index::graph::Graph;
use crate::index::plan::IndexPlan;
use crate::index::sieve::Sieve;
use crate::index::space::Space;

/// Writes an index to `path`; whatever was there is replaced at once, or not at all.
pub fn write(path: &Path, space: &Space, sieve: &Sieve, graph: Option<&Graph>, plan: &IndexPlan) -> Result<()> {
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
    let metric = match space.metric {
        Metric::Dot => 0,
        Metric::Cosine => 1,
        Metric::L2 => 2,
    };
    let head = Head { version: VERSION, metric, dim: space.dim as u32, rows: space.len() as u64 };
    head.write(&sections, &mut file).map_err(Error::io(path))?;
    file.as_file().sync_all().map_err(Error::io(path))?;
    fault::reach(Point::IndexStaged);
    file.persist(path).map_err(|error| Error::io(path)(error.error))?;
    // The rename itself is durable once its directory is.
    #[cfg(unix)]
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::io(directory))?;
    Ok(())
}

/// The numbers at the head of a file.
pub struct Head {
    pub version: u32,
    pub metric: u32,
    pub dim: u32,
    pub rows: u64,
}

impl Head {
    /// The whole file: its header, and the sections in their order.
    pub fn write(&self, sections: &[(u32, &[u8])], file: &mut dyn Write) -> io::Result<()> {
        file.write_all(&self.header(sections))?;
        let mut at = header_length(sections.len());
        for (_, bytes) in sections {
            file.write_all(&[0; ALIGNMENT][..aligned(at) - at])?;
            file.write_all(bytes)?;
            at = aligned(at) + bytes.len();
        }
        Ok(())
    }

    fn header(&self, sections: &[(u32, &[u8])]) -> Vec<u8> {
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
        let mut header = Vec::with_capacity(length);
        header.extend(MAGIC);
        header.extend(self.version.to_le_bytes());
        header.extend((length as u32).to_le_bytes());
        header.extend(self.metric.to_le_bytes());
        header.extend(self.dim.to_le_bytes());
        header.extend(self.rows.to_le_bytes());
        header.extend((at as u64).to_le_bytes());
        header.extend((sections.len() as u32).to_le_bytes());
        header.extend([0; 4]);
        header.extend(table);
        header.extend(xxh3_64(&header).to_le_bytes());
        header
    }
}
