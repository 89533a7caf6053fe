//! What a fuzzer does to bundles: any bytes at all, and sections of any content under right checksums. A bundle that is
//! accepted fits together: histories are folded in, what is new is placed, items move, the index is searched.
//!
//! ```text
//! A bundle to be signed: for each section its place in NAMES u8, length u16 (little-endian), bytes
//! ```

#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::bundle::Content;
use super::sections::SectionWriter;
#[cfg(fuzzing)]
pub use super::sections::fuzzing::{any as sections_any, signed as sections_signed};
use crate::counters::CounterSet;
use crate::error::Error;
use crate::features::Profile;
use crate::features::table::{FactTable, Known, UserState};
use crate::index::Ask;
use crate::linalg::Matrix;
use crate::record::{Item, ItemId, Timestamp, User};
use crate::train::ranker::{Candidates, LearnedRanker};
use crate::train::{Base, Mix, NewEvent};

/// What sections are called.
const NAMES: [&str; 33] = [
    "manifest",
    "index",
    "mix",
    "gramian",
    "scales",
    "degrees",
    "confidences",
    "list_ends",
    "list_items",
    "list_values",
    "cold",
    "item_map",
    "user_map",
    "known_ends",
    "known_items",
    "known_values",
    "prior_items",
    "item_space",
    "evidence",
    "user_sample",
    "next_ends",
    "next_items",
    "next_values",
    "portrait",
    "user_gramian",
    "item_weights",
    "ranker",
    "features",
    "items",
    "user_factors",
    "users",
    "unknown",
    "prior_shares",
];

/// Opens any bytes.
pub fn bundle(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    open(file.path());
}

/// Opens sections with right checksums.
pub fn bundle_signed(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle");
    let mut writer = SectionWriter::create(&path).unwrap();
    let mut rest = bytes;
    while let Some(([name, low, high], more)) = rest.split_first_chunk() {
        let (section, more) = more.split_at(more.len().min(u16::from_le_bytes([*low, *high]).into()));
        writer.section(NAMES[usize::from(*name) % NAMES.len()], |out| out.write_all(section)).unwrap();
        rest = more;
    }
    writer.finish().unwrap();
    open(&path);
}

fn open(path: &Path) {
    let content = match Content::read(path) {
        Ok(content) => content,
        Err(error) => return assert!(!matches!(error, Error::Io { .. }), "{error}"),
    };
    let Content { manifest, index, items, users, user_factors, fold_in, beside, .. } = &content;
    let vectors = index.vectors();
    assert_eq!((items.len(), users.len()), (vectors.len(), user_factors.rows()));
    assert!(serde_json::to_string(manifest).is_ok());
    let (n, dim) = (vectors.len() as u32, vectors.dim());
    let history: Vec<(u32, f32)> = (0..n).step_by(2).take(8).map(|row| (row, 1.0)).collect();

    let mut user = vec![0.0; dim];
    if fold_in.solve(vectors, &history, &mut user).is_ok() {
        index.answer(&user, Ask::best(5));
    }
    fold_in.add_lists(&history, &mut vec![0.0; items.len()]);
    let factors = fold_in.factors(vectors, &history);
    if n > 0 {
        let _ = fold_in.explain(vectors, &history, n - 1);
    }
    if let Some((refresh, factors)) = beside.refresh.as_ref().zip(factors.ok()) {
        let base = Base { fold_in, items: vectors, train: &manifest.train, users: users.len(), pairs: 3.0 };
        let _ = refresh.shift(base, n.saturating_sub(1), &[NewEvent { user: factors, weight: 1.0 }], 2);
    }
    assert!((0..items.len()).all(|row| beside.next.row(row).0.iter().all(|item| *item < n)));

    let cold = &beside.cold;
    let item: Item =
        serde_json::from_str(r#"{"id":"i","categories":["a"],"attributes":{"t":"x y","n":1.5},"time":5}"#).unwrap();
    if let Some(map) = &cold.items {
        let placed = map.vector(Profile::from(&item));
        let _ = cold.shift(&placed, &[vec![1.0; placed.len()]], 3);
        cold.score_variance(&placed, 1);
        cold.visitor(&user, &history, fold_in.mix().unit);
    }
    if let Some(map) = &cold.users {
        let profile = map.encoder().encode(Profile::from(&User::new("u")));
        assert!(cold.prior_history(&profile, 1.0).iter().all(|(row, _)| *row < n));
    }
    cold.prior_share(n.saturating_sub(1));
    beside.ranker.iter().for_each(|ranker| try_ranker(ranker, &item));
}

fn try_ranker(ranker: &LearnedRanker, item: &Item) {
    let table = ranker.table().table();
    let mut items = FactTable::default();
    items.set(1, Some(table.item_facts(item)));
    let (mut state, context) = (UserState::default(), item.attributes.clone());
    state.visit(table.past_event(ItemId::new(1), "view", Timestamp::default(), None));
    let inputs =
        Candidates { mix: &Mix::default(), vector: &[], items: vec![&[], &[]], totals: &[1.0, 0.5], lists: &[] };
    let (request, counters) = (state.request(Timestamp::default(), &context, &[]), CounterSet::default());
    let known = Known { items: &items, counters: &counters };
    let candidates = [0, 1].map(ItemId::new);
    let follows = vec![f32::NAN; candidates.len()];
    let scores = ranker.score(&inputs.inputs(), follows, &request, known, &candidates, &mut Matrix::zeros(0, 1));
    assert_eq!(scores.len(), candidates.len());
}

#[cfg(test)]
pub use seeds::{bundle_seeds, bundle_signed_seeds};

#[cfg(test)]
mod seeds {
    use super::super::sections::SectionFile;
    use super::*;

    fn golden(version: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version).join("model.bundle")
    }

    /// Inputs to begin with.
    pub fn bundle_seeds() -> Vec<Vec<u8>> {
        ["v1", "v3"].map(|version| std::fs::read(golden(version)).unwrap()).into()
    }

    /// Inputs to begin with.
    pub fn bundle_signed_seeds() -> Vec<Vec<u8>> {
        let taken_apart = |version| {
            let file = SectionFile::open(&golden(version)).unwrap();
            let section = |(place, name): (usize, &&str)| {
                let bytes = file.bytes(name).ok()?;
                Some([&[place as u8][..], &(bytes.len() as u16).to_le_bytes(), &bytes].concat())
            };
            NAMES.iter().enumerate().filter_map(section).collect::<Vec<_>>().concat()
        };
        ["v1", "v2", "v3"].map(taken_apart).into()
    }
}
