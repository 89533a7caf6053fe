//! What a fuzzer does to the file of an index, and what tests replay of what it found: any bytes at all, and files that are
//! signed rightly around contents that are not, so that it is the checks of the contents that are tried. Whatever is opened
//! is searched, before it is verified and after.
//!
//! ```text
//! A file to be signed: metric u8, format version u8, dimension u8, vectors u16,
//! then for each section kind u8, length u16, bytes                                (little-endian)
//! ```

#![allow(clippy::unwrap_used)]

use std::io::Write;

use roaring::RoaringBitmap;

use super::write::Head;
use crate::index::{Ask, Listed, Rows, VectorIndex};

/// Opens any bytes.
pub fn any(bytes: &[u8]) {
    open(|file| file.write_all(bytes));
}

/// Opens a file with right checksums.
pub fn signed(bytes: &[u8]) {
    let Some(([metric, version, dim, low, high], mut rest)) = bytes.split_first_chunk() else { return };
    let mut sections = Vec::new();
    while let Some(([kind, low, high], more)) = rest.split_first_chunk() {
        let (section, more) = more.split_at(more.len().min(u16::from_le_bytes([*low, *high]).into()));
        sections.push((u32::from(*kind), section));
        rest = more;
    }
    let rows = u16::from_le_bytes([*low, *high]).into();
    let head = Head { version: u32::from(*version), metric: u32::from(*metric), dim: u32::from(*dim), rows };
    open(|mut file| head.write(&sections, &mut file));
}

fn open(write: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write(file.as_file_mut()).unwrap();
    for most in [0, u64::MAX] {
        if let Ok(index) = VectorIndex::open_checked(file.path(), most) {
            search(&index);
            assert!(most == 0 || index.is_verified());
            if index.verify().is_ok() {
                search(&index);
            }
        }
    }
}

/// Whatever is in it, answers are rows of it, no more than wanted.
fn search(index: &VectorIndex) {
    let (rows, dim) = (index.vectors().len() as u32, index.vectors().dim());
    let first = index.vectors().data().get(..dim).unwrap_or_default().to_vec();
    let matches: RoaringBitmap = (0..rows).step_by(9).collect();
    let scores: Vec<f32> = (0..rows).map(|row| (row % 5) as f32 - 2.0).collect();
    let listed: Vec<u32> = (0..rows).step_by(3).collect();
    let odd = |row: u32| row % 2 == 1;
    for query in [vec![1.0; dim], first, (0..dim).map(|at| at as f32 - 1.5).collect()] {
        // Miri takes a minute for each.
        for k in [4, 1, rows as usize + 2].into_iter().take(if cfg!(miri) { 1 } else { 3 }) {
            let ask = Ask::best(k);
            let listed = ask.listed(Listed { scores: &scores, rows: &listed });
            for ask in [ask, ask.allow(&odd), ask.within(Some(&matches)), listed] {
                let hits = index.answer(&query, ask);
                assert!(hits.len() <= k && hits.iter().all(|hit| hit.row < rows));
            }
            index.search_graph(&query, k, 3);
        }
    }
    let queries = vec![0.5; 3 * dim];
    index.answer_many(Rows::new(dim, &queries).unwrap(), |_| Ask::best(3));
}

/// Head and sections of a whole file.
#[cfg(test)]
pub fn parts(bytes: &[u8]) -> (Head, Vec<(u32, &[u8])>) {
    use super::open::{u32_at, usize_at};

    let section = |entry: usize| {
        let (offset, length) = (usize_at(bytes, entry + 8).unwrap(), usize_at(bytes, entry + 16).unwrap());
        (u32_at(bytes, entry).unwrap(), &bytes[offset..offset + length])
    };
    let number = |at| u32_at(bytes, at).unwrap();
    let head = Head { version: number(8), metric: number(16), dim: number(20), rows: number(24).into() };
    (head, (0..number(40) as usize).map(|at| section(super::FIXED + at * super::ENTRY)).collect())
}

/// What is committed of the inputs of a target.
#[cfg(test)]
fn corpus(target: &str) -> std::path::PathBuf {
    // The package of the rooms with unsafe code is below the root, and compiles this room too.
    let mut roots = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = roots.find(|root| root.join("fuzz/corpus").is_dir()).unwrap();
    root.join("fuzz/corpus").join(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{IndexConfig, Metric};
    use crate::index::graph::Graph;
    use crate::index::grow::{Meter, grow};
    use crate::index::plan::{GraphForm, IndexKind};
    use crate::index::tests::clustered;
    use crate::progress::Silent;

    #[test]
    fn what_was_ever_found_is_found_no_more() {
        for (target, open) in [("index_any", any as fn(&[u8])), ("index_signed", signed)] {
            let inputs: Vec<_> =
                std::fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(inputs.len() > 3, "{target}");
            inputs.into_iter().for_each(|path| open(&std::fs::read(path).unwrap()));
        }
    }

    #[cfg(not(miri))]
    /// A small index with every section in it, as a file.
    fn whole(metric: Metric, dim: usize, rows: usize) -> Vec<u8> {
        let data = clustered(rows, dim, 1.0, 7);
        let config = IndexConfig { m: 3, ef_construction: 12, ..IndexConfig::default() };
        let mut index = VectorIndex::build(Rows::new(dim, &data).unwrap(), metric, &config, None, &Silent).unwrap();
        let meter = Meter { progress: &Silent, before: 0, total: rows };
        let (graph, _): (Graph, usize) = grow(&index.space, GraphForm::Raw, &config, &meter).unwrap();
        index.graph = Some(graph);
        (index.plan.kind, index.plan.form, index.plan.ef) = (IndexKind::Hnsw, Some(GraphForm::Raw), 4);
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        index.write(&path).unwrap();
        std::fs::read(&path).unwrap()
    }

    /// `SAVOR_BLESS=1` writes the seeds that a fuzzer begins with. hnsw_rs reads a clock that Miri has not.
    #[cfg(not(miri))]
    #[test]
    fn a_signed_file_is_what_was_to_be_signed() {
        let shapes = [(Metric::Dot, 3, 40), (Metric::Cosine, 5, 20), (Metric::L2, 4, 70), (Metric::Dot, 32, 70)];
        for (metric, dim, rows) in shapes {
            let file = whole(metric, dim, rows);
            let (head, sections) = parts(&file);
            let mut again = Vec::new();
            head.write(&sections, &mut again).unwrap();
            assert!(again == file);
            let mut seed = vec![head.metric as u8, head.version as u8, dim as u8, rows as u8, 0];
            for (kind, section) in sections {
                seed.push(kind as u8);
                seed.extend((section.len() as u16).to_le_bytes());
                seed.extend(section);
            }
            signed(&seed);
            if std::env::var_os("SAVOR_BLESS").is_some() {
                for (target, bytes) in [("index_any", &file), ("index_signed", &seed)] {
                    std::fs::create_dir_all(corpus(target)).unwrap();
                    std::fs::write(corpus(target).join(format!("{metric:?}-{dim}").to_lowercase()), bytes).unwrap();
                }
            }
        }
    }
}
