//! Round trips, and what happens to files that are not what was written.

use std::sync::LazyLock;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::config::{IndexChoice, IndexConfig, Metric};
use crate::error::Error;
use crate::index::tests::clustered;
use crate::index::{IndexKind, VectorIndex};
use crate::linalg::Rows;
use crate::progress::Silent;

fn build(data: &[f32], dim: usize, metric: Metric, kind: IndexChoice) -> VectorIndex {
    let config = IndexConfig { kind, m: 4, ef_construction: 32, ef_search: 32, recall: 0.5, ..IndexConfig::default() };
    VectorIndex::build(Rows::new(dim, data).unwrap(), metric, &config, None, &Silent).unwrap()
}

fn open_bytes(bytes: &[u8]) -> crate::Result<VectorIndex> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index");
    std::fs::write(&path, bytes).unwrap();
    VectorIndex::open(&path)
}

#[test]
fn an_index_answers_from_its_file_as_it_did_in_memory() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index");
    let data = clustered(1500, 8, 1.0, 1);
    for metric in [Metric::Dot, Metric::Cosine, Metric::L2] {
        for kind in [IndexChoice::Exact, IndexChoice::Hnsw] {
            let built = build(&data, 8, metric, kind);
            built.write(&path).unwrap();
            let opened = VectorIndex::open(&path).unwrap();
            assert_eq!(opened.plan().kind == IndexKind::Hnsw, kind == IndexChoice::Hnsw);
            assert_eq!((opened.plan().ef, &opened.plan().why), (built.plan().ef, &built.plan().why));
            assert_eq!((opened.metric(), opened.vectors().data()), (metric, &data[..]));
            for query in data.chunks(8).step_by(50) {
                assert_eq!(opened.search(query, 7, &|row| row % 3 > 0), built.search(query, 7, &|row| row % 3 > 0));
            }
        }
    }
    // Nothing but the index is left in the directory.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn an_empty_index_has_a_file_too() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index");
    build(&[], 5, Metric::Dot, IndexChoice::Auto).write(&path).unwrap();
    let opened = VectorIndex::open(&path).unwrap();
    assert_eq!((opened.vectors().len(), opened.vectors().dim()), (0, 5));
    assert_eq!(opened.search(&[1.0; 5], 3, &|_| true), []);
}

#[test]
fn an_open_index_serves_on_while_its_file_is_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index");
    build(&[1.0, 2.0], 1, Metric::Dot, IndexChoice::Exact).write(&path).unwrap();
    let old = VectorIndex::open(&path).unwrap();
    build(&[5.0], 1, Metric::Dot, IndexChoice::Exact).write(&path).unwrap();
    assert_eq!(old.search(&[1.0], 1, &|_| true)[0].score, 2.0);
    assert_eq!(VectorIndex::open(&path).unwrap().search(&[1.0], 1, &|_| true)[0].score, 5.0);
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let index = build(&[1.0], 1, Metric::Dot, IndexChoice::Exact);
    let missing = directory.path().join("missing/index");
    let error = index.write(&missing).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("missing"), "{error}");
    // A directory cannot be replaced by a file.
    let taken = directory.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("x"), "x").unwrap();
    assert!(index.write(&taken).is_err());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn foreign_and_newer_files_are_named_with_a_remedy() {
    let foreign = open_bytes(&[7; 300]).err().unwrap();
    assert!(matches!(foreign, Error::Corrupt { .. }));
    let message = foreign.to_string();
    assert!(message.contains("/index is damaged: it does not begin like an index of Savor; build the index again"));

    let mut newer = FILE.clone();
    newer[8] = 3;
    let error = open_bytes(&newer).err().unwrap();
    assert!(matches!(error, Error::NewerFormat { found: 3, supported: 2, .. }), "{error}");

    assert!(open_bytes(&[]).err().unwrap().to_string().contains("it has 0 bytes"));
    let missing = VectorIndex::open(std::path::Path::new("no/such/index")).err().unwrap();
    assert!(missing.to_string().starts_with("no/such/index: "), "{missing}");
}

#[test]
fn numbers_that_a_right_checksum_covers_are_checked_still() {
    // The links of row 0 lead beyond the rows, in a file that is signed all the same.
    let data = clustered(300, 4, 0.0, 2);
    let mut index = build(&data, 4, Metric::Cosine, IndexChoice::Hnsw);
    let graph = index.graph.as_mut().unwrap();
    let mut links = graph.links.as_slice().to_vec();
    links[0] = 300;
    graph.links = crate::index::section::Section::owned(links);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index");
    index.write(&path).unwrap();
    let error = VectorIndex::open(&path).err().unwrap().to_string();
    assert!(error.contains("links to nowhere"), "{error}");
    // A large file is searched before that is known.
    let large = VectorIndex::open_checked(&path, 0).unwrap();
    assert_eq!(large.search(&data[..4], 5, &|_| true).len(), 5);
    assert!(large.search_graph(&data[..4], 5, 300).is_some_and(|hits| hits.len() == 5));
    assert!(!large.is_verified());
    assert_eq!(large.verify().unwrap_err().to_string(), error);
}

#[test]
fn a_file_of_version_1_answers_as_one_of_today() {
    let (directory, data) = (TempDir::new().unwrap(), clustered(1500, 8, 1.0, 4));
    let path = directory.path().join("index");
    for kind in [IndexChoice::Exact, IndexChoice::Hnsw] {
        let built = build(&data, 8, Metric::Dot, kind);
        built.write(&path).unwrap();
        let old = open_bytes(&as_version_1(&std::fs::read(&path).unwrap())).unwrap();
        assert_eq!(old.plan().kind, IndexKind::Exact);
        let exact = build(&data, 8, Metric::Dot, IndexChoice::Exact);
        for query in data.chunks(8).step_by(50) {
            assert_eq!(old.search(query, 7, &|row| row % 3 > 0), exact.search(query, 7, &|row| row % 3 > 0));
        }
    }
}

/// The file without what version 1 did not know.
fn as_version_1(bytes: &[u8]) -> Vec<u8> {
    let (head, mut sections) = super::fuzzing::parts(bytes);
    sections.retain(|(kind, _)| *kind < super::SIEVE);
    let mut file = Vec::new();
    super::write::Head { version: 1, ..head }.write(&sections, &mut file).unwrap();
    file
}

#[test]
fn what_a_large_file_is_spared_at_open_is_found_later() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index");
    let opened = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        VectorIndex::open_checked(&path, 0)
    };
    let whole = opened(&FILE).unwrap();
    assert!(!whole.is_verified());
    whole.verify().unwrap();
    assert!(whole.is_verified());
    drop(whole);
    for (_, section) in super::fuzzing::parts(&FILE).1 {
        if section.is_empty() {
            continue;
        }
        let mut bytes = FILE.clone();
        bytes[section.as_ptr() as usize - FILE.as_ptr() as usize + section.len() / 2] ^= 4;
        // Either search relies on it, or a checksum tells.
        match opened(&bytes) {
            Err(error) => assert!(matches!(error, Error::Corrupt { .. }), "{error}"),
            Ok(index) => {
                let error = index.verify().unwrap_err().to_string();
                assert!(error.contains("/index is damaged: the checksum of section"), "{error}");
            }
        }
    }
}

/// A whole file with every section in it.
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index");
    let index = build(&clustered(400, 3, 1.0, 3), 3, Metric::Dot, IndexChoice::Hnsw);
    assert_eq!(index.plan().kind, IndexKind::Hnsw);
    index.write(&path).unwrap();
    std::fs::read(path).unwrap()
});

#[test]
fn every_flipped_byte_of_the_header_is_found() {
    for at in 0..super::header_length(19) {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = FILE.clone();
            bytes[at] ^= flip;
            assert!(open_bytes(&bytes).is_err(), "byte {at} ^ {flip}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_flipped_byte_is_found(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = FILE.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let error = open_bytes(&bytes).err().expect("a damaged file was opened");
        prop_assert!(matches!(error.code(), "corrupt" | "newer_format"), "{error}");
    }

    #[test]
    fn a_file_cut_short_or_grown_is_found(length in any::<prop::sample::Index>(), more in 1usize..200) {
        let cut = length.index(FILE.len());
        prop_assert!(open_bytes(&FILE[..cut]).is_err());
        let mut grown = FILE.clone();
        grown.resize(FILE.len() + more, 0);
        prop_assert!(open_bytes(&grown).is_err());
    }

    #[test]
    fn bytes_that_only_begin_like_an_index_are_refused(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = FILE[..16].to_vec();
        bytes.extend(noise);
        prop_assert!(open_bytes(&bytes).is_err());
    }
}
