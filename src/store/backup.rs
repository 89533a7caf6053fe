//! Backup and restore: a consistent copy of a data directory, complete or not there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rocksdb::checkpoint::Checkpoint;

use super::{Store, storage};
use crate::config::StoreConfig;
use crate::error::{Error, Result};
use crate::fault::{self, Point};

impl Store {
    /// Writes a copy to `to`, which must not exist; it appears when it is complete. RocksDB's files and index files are
    /// linked where the file system allows, as neither is ever changed in place. The caller sees to it that no index
    /// file comes or goes meanwhile.
    pub fn backup(&self, to: &Path) -> Result<()> {
        if to.exists() {
            return Err(Error::Conflict(format!("{} exists already; a backup needs a new place", to.display())));
        }
        let stage = Stage::beside(to)?;
        let checkpoint = Checkpoint::new(&self.db).map_err(storage("backup"))?;
        checkpoint.create_checkpoint(stage.path.join("rocksdb")).map_err(storage("backup"))?;
        let index = self.dir.join("index");
        if index.is_dir() {
            copy_tree(&index, &stage.path.join("index"), Copy::Link)?;
        }
        fault::reach(Point::BackupStaged);
        stage.publish(to)
    }

    /// Makes the data directory `to` from a backup. `to` must not exist or be empty. What was copied is opened once
    /// before it becomes visible.
    pub fn restore(from: &Path, to: &Path) -> Result<()> {
        if !from.join("rocksdb").join("CURRENT").is_file() {
            let reason = "it holds no database".into();
            return Err(Error::NotSavor { path: from.to_path_buf(), reason });
        }
        if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::Conflict(format!("{} is not empty; restore to a new place", to.display())));
        }
        let stage = Stage::beside(to)?;
        for part in ["rocksdb", "index"] {
            if from.join(part).is_dir() {
                copy_tree(&from.join(part), &stage.path.join(part), Copy::Bytes)?;
            }
        }
        drop(Store::open(&stage.path, &StoreConfig::default())?);
        fault::reach(Point::RestoreStaged);
        if to.exists() {
            fs::remove_dir(to).map_err(Error::io(to))?;
        }
        stage.publish(to)
    }
}

/// A directory in the making, beside the place where it will be; removed if it is not published.
struct Stage {
    path: PathBuf,
    parent: PathBuf,
    is_published: bool,
}

impl Stage {
    fn beside(target: &Path) -> Result<Self> {
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
        let made = tempfile::Builder::new().prefix(".savor-").tempdir_in(&parent).map_err(Error::io(&parent))?;
        Ok(Self { path: made.keep(), parent, is_published: false })
    }

    fn publish(mut self, target: &Path) -> Result<()> {
        sync_tree(&self.path)?;
        fs::rename(&self.path, target).map_err(Error::io(target))?;
        self.is_published = true;
        fault::reach(Point::CopyNamed);
        sync(&self.parent)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.is_published
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished copy is left behind");
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Copy {
    Link,
    Bytes,
}

fn copy_tree(from: &Path, to: &Path, copy: Copy) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::io(to))?;
    for entry in fs::read_dir(from).map_err(Error::io(from))? {
        let entry = entry.map_err(Error::io(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target, copy)?;
        } else if copy == Copy::Bytes || fs::hard_link(&source, &target).is_err() {
            match fs::copy(&source, &target) {
                // A snapshot that is being built makes and removes files beside those of the finished ones.
                Err(error) if copy == Copy::Link && error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.map_err(Error::io(&source))?),
            }
        }
    }
    Ok(())
}

fn sync_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        if path.is_dir() { sync_tree(&path)? } else { sync(&path)? }
    }
    sync(dir)
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path))
}
