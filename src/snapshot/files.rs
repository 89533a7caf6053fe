//! Where a snapshot lies on disk, and how it goes away.
//!
//! `index/<id>` is the item index (memory-mapped), `index/<id>.parts` the dense id of each row and what was learned
//! beside the vectors. Both are written before the manifest says `validated`; user and item vectors are rows of the store.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Manifest, SnapshotState};
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::record::SnapshotId;
use crate::store::{Records, Store};

/// The folder of all index files.
pub fn folder(dir: &Path) -> PathBuf {
    dir.join("index")
}

/// The index file of a snapshot.
pub fn index_path(dir: &Path, id: SnapshotId) -> PathBuf {
    folder(dir).join(id.to_string())
}

/// The file beside the index.
pub fn parts_path(dir: &Path, id: SnapshotId) -> PathBuf {
    folder(dir).join(format!("{id}.parts"))
}

/// Bytes of a snapshot's files.
pub fn bytes(dir: &Path, id: SnapshotId) -> Result<u64> {
    let size = |path: PathBuf| fs::metadata(&path).map(|file| file.len()).map_err(Error::io(&path));
    Ok(size(index_path(dir, id))? + size(parts_path(dir, id))?)
}

/// Whether a snapshot's files are there.
pub fn has_files(dir: &Path, id: SnapshotId) -> bool {
    index_path(dir, id).exists() && parts_path(dir, id).exists()
}

/// Removes a snapshot: its manifest says first that it is not whole and goes last, so that an interrupted removal is
/// taken up again by [`remove_leftovers`]. Readers that still hold it keep what they have mapped.
pub fn remove(store: &Store, dir: &Path, id: SnapshotId) -> Result<()> {
    if let Some(manifest) = store.record::<Manifest>(Records::Snapshots, id.0)? {
        store.put_record(Records::Snapshots, id.0, &Manifest { state: SnapshotState::Building, ..manifest })?;
    }
    fault::reach(Point::RetentionMarked);
    store.delete_factors(id)?;
    fault::reach(Point::RetentionFactorsGone);
    for path in [index_path(dir, id), parts_path(dir, id)] {
        remove_file(&path)?;
    }
    fault::reach(Point::RetentionFilesGone);
    store.delete_record(Records::Snapshots, id.0)
}

/// Removes what a crash left behind: snapshots still `building`, and files that belong to no snapshot. Call it once,
/// before anything is built.
pub fn remove_leftovers(store: &Store, dir: &Path) -> Result<()> {
    let folder = folder(dir);
    fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let mut known = HashSet::new();
    for (id, manifest) in store.records::<Manifest>(Records::Snapshots)? {
        if manifest.state == SnapshotState::Building {
            tracing::warn!(snapshot = id, "removing a snapshot that was never finished");
            remove(store, dir, SnapshotId(id))?;
        } else {
            known.insert(index_path(dir, SnapshotId(id)));
            known.insert(parts_path(dir, SnapshotId(id)));
        }
    }
    for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
        let path = entry.map_err(Error::io(&folder))?.path();
        if !known.contains(&path) {
            tracing::warn!(file = %path.display(), "removing a file that belongs to no snapshot");
            remove_file(&path)?;
        }
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}
