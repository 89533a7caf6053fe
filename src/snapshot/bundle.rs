//! One portable file that holds a whole snapshot, with external ids in place of dense ones: a trainer machine exports,
//! a fleet imports. Every byte is under a checksum, and all of it is verified before any of it counts.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use super::build::{Beside, Draft, forget_deleted, write_files};
use super::files::{index_path, remove};
use super::sections::{SectionFile, SectionWriter, read_texts, write_floats, write_text};
use super::{Manifest, Snapshot, SnapshotState, learned};
use crate::config::{ModelKind, TrainConfig};
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::index::VectorIndex;
use crate::linalg::{Matrix, Rows};
use crate::record::{Item, ItemId, SnapshotId, Timestamp, User, UserId, validate_id};
use crate::store::{Records, Side, Store};
use crate::train::FoldIn;

/// Users and items that an import brings are made known in batches of this size.
const BATCH: usize = 10_000;

/// Writes a snapshot as one bundle, which appears under its name when it is complete.
pub fn export(store: &Store, dir: &Path, snapshot: &Snapshot, to: &Path) -> Result<()> {
    let mut bundle = SectionWriter::create(to)?;
    bundle.section("manifest", |out| Ok(serde_json::to_writer(out, snapshot.manifest())?))?;
    let index = index_path(dir, snapshot.manifest().id);
    bundle.section("index", |out| io::copy(&mut std::fs::File::open(&index)?, out).map(drop))?;
    learned::write(&mut bundle, snapshot.fold_in())?;
    snapshot.beside().write(&mut bundle)?;
    let items = (0..snapshot.vectors().len() as u32).filter_map(|row| snapshot.item(row));
    let names = items.map(|item| Ok(store.item_name(item)?.unwrap_or_default())).collect::<Result<Vec<_>>>()?;
    bundle.section("items", |out| names.iter().try_for_each(|name| write_text(out, name)))?;
    let mut names = Vec::new();
    bundle.section("user_factors", |out| {
        let write = &mut |id, factor: &[f32]| {
            if let Some(name) = store.user_name(UserId::new(id))? {
                names.push(name);
                write_floats(out, factor).map_err(Error::io(to))?;
            }
            Ok(())
        };
        store.for_each_factor(Side::Users, snapshot.manifest().id, write).map_err(io::Error::other)
    })?;
    bundle.section("users", |out| names.iter().try_for_each(|name| write_text(out, name)))?;
    bundle.finish()
}

/// Writes vectors that were learned elsewhere as a bundle: items with their ids, and users if there are any. `train`
/// says how new histories are folded in, as factors of iALS are.
pub fn write_vectors(
    to: &Path,
    index: &VectorIndex,
    items: &[String],
    users: Option<(&[String], Rows<'_>)>,
    train: &TrainConfig,
) -> Result<()> {
    let vectors = index.vectors();
    let fold_in = FoldIn::from_factors(vectors, train)?;
    let manifest = Manifest {
        id: SnapshotId(0),
        state: SnapshotState::Validated,
        created: Timestamp::now(),
        activated: None,
        origin: to.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        users: users.map_or(0, |(names, _)| names.len() as u64),
        items: items.len() as u64,
        pairs: 0,
        events: 0,
        log_changes: 0,
        newest_event: None,
        train: TrainConfig { model: ModelKind::Ials, dimension: vectors.dim(), ..train.clone() },
        loss: None,
        faded: None,
        last_gain: None,
        index: Some(index.plan().clone()),
        seconds: 0.0,
        metrics: Vec::new(),
        ranker: None,
        note: None,
    };
    let folder = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
    let file = folder.path().join("index");
    index.write(&file)?;
    let mut bundle = SectionWriter::create(to)?;
    bundle.section("manifest", |out| Ok(serde_json::to_writer(out, &manifest)?))?;
    bundle.section("index", |out| io::copy(&mut std::fs::File::open(&file)?, out).map(drop))?;
    learned::write(&mut bundle, &fold_in)?;
    bundle.section("items", |out| items.iter().try_for_each(|name| write_text(out, name)))?;
    bundle.section("user_factors", |out| users.map_or(Ok(()), |(_, rows)| write_floats(out, rows.data())))?;
    let names = users.map_or(&[][..], |(names, _)| names);
    bundle.section("users", |out| names.iter().try_for_each(|name| write_text(out, name)))?;
    bundle.finish()
}

/// Verifies a bundle whole (a user deleted here after it was made becomes known again with it), gives its users and items dense ids here, and stores it as a `validated` snapshot. Errors:
/// [`Error::Corrupt`] when any byte or any count does not fit; nothing is visible then.
pub fn import(store: &Store, dir: &Path, from: &Path) -> Result<Manifest> {
    let content = Content::read(from)?;
    let draft = Draft::begin(store, &content.manifest.origin, &content.manifest.train)?;
    let id = draft.id();
    store_content(store, dir, id, content, draft.manifest()).inspect_err(|_| {
        if let Err(error) = remove(store, dir, id) {
            tracing::warn!(snapshot = id.0, %error, "a failed import is cleaned up at the next start");
        }
    })
}

/// A verified bundle in memory.
pub(super) struct Content {
    pub manifest: Manifest,
    pub index: VectorIndex,
    pub items: Vec<String>,
    pub users: Vec<String>,
    pub user_factors: Matrix,
    pub fold_in: FoldIn,
    pub beside: Beside,
    _folder: tempfile::TempDir,
}

impl Content {
    pub fn read(from: &Path) -> Result<Self> {
        let file = SectionFile::open(from)?;
        let bytes = file.bytes("manifest")?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| file.damaged(format!("its manifest: {error}")))?;
        manifest.train.validate()?;
        let folder = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
        let index_file = folder.path().join("index");
        let mut index = std::fs::File::create(&index_file).map_err(Error::io(&index_file))?;
        io::copy(&mut file.reader("index")?, &mut index).and_then(|_| index.flush()).map_err(Error::io(&index_file))?;
        let index = VectorIndex::open(&index_file)?;
        index.verify()?;
        let names = |section| -> Result<Vec<String>> {
            let names = read_texts(&file.bytes(section)?);
            let names = names.ok_or_else(|| file.damaged(format!("the ids in section \"{section}\" make no sense")))?;
            let mut seen = HashSet::new();
            // An item that was deleted before the export has an empty name, and keeps its row.
            for name in names.iter().filter(|name| section == "users" || !name.is_empty()) {
                validate_id(section, name)?;
                if !seen.insert(name) {
                    return Err(file.damaged(format!("section \"{section}\" names \"{name}\" twice")));
                }
            }
            Ok(names)
        };
        let (items, users) = (names("items")?, names("users")?);
        let dimension = index.vectors().dim();
        if items.len() != index.vectors().len() {
            return Err(file.damaged(format!("{} item ids for {} vectors", items.len(), index.vectors().len())));
        }
        let user_factors = Matrix::new(dimension, file.floats("user_factors")?)?;
        if users.len() != user_factors.rows() {
            return Err(file.damaged(format!("{} user ids for {} factors", users.len(), user_factors.rows())));
        }
        let fold_in = learned::read(&file, items.len(), dimension, &manifest.train)?;
        let beside = Beside::read(&file, items.len(), dimension)?;
        Ok(Self { manifest, index, items, users, user_factors, fold_in, beside, _folder: folder })
    }
}

fn store_content(store: &Store, dir: &Path, id: SnapshotId, content: Content, draft: &Manifest) -> Result<Manifest> {
    let items = known_items(store, &content.items)?;
    let users = known_users(store, &content.users)?;
    fault::reach(Point::BundleKnown);
    let items: Vec<u32> = items.iter().map(|item| item.get()).collect();
    let users: Vec<u32> = users.iter().map(|user| user.get()).collect();
    store.put_factors(Side::Items, id, &items, content.index.vectors())?;
    store.put_factors(Side::Users, id, &users, content.user_factors.as_rows())?;
    write_files(dir, id, &content.index, &items, &content.fold_in, &content.beside)?;
    forget_deleted(store, id, &users)?;
    let manifest =
        Manifest { id, state: SnapshotState::Validated, created: draft.created, activated: None, ..content.manifest };
    store.put_record(Records::Snapshots, id.0, &manifest)?;
    Ok(manifest)
}

/// The dense ids of items, new ones for those that are unknown here.
fn known_items(store: &Store, names: &[String]) -> Result<Vec<ItemId>> {
    let mut unknown = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        if store.item_id(name)?.is_none() {
            unknown.push(Item::new(name));
        }
    }
    for batch in unknown.chunks(BATCH) {
        store.put_items(batch, crate::config::Durability::Sync)?;
    }
    let known = |name: &String| match name.is_empty() {
        true => Ok(Snapshot::NO_ITEM),
        false => store.item_id(name)?.ok_or_else(|| deleted_meanwhile(name)),
    };
    names.iter().map(known).collect()
}

/// The dense ids of users, new ones for those that are unknown here.
fn known_users(store: &Store, names: &[String]) -> Result<Vec<UserId>> {
    let mut unknown = Vec::new();
    for name in names {
        if store.user_id(name)?.is_none() {
            unknown.push(User::new(name));
        }
    }
    for batch in unknown.chunks(BATCH) {
        store.put_users(batch, crate::config::Durability::Sync)?;
    }
    names.iter().map(|name| store.user_id(name)?.ok_or_else(|| deleted_meanwhile(name))).collect()
}

fn deleted_meanwhile(name: &str) -> Error {
    Error::Conflict(format!("\"{name}\" was deleted during the import; import again"))
}
