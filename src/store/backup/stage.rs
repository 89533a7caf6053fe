//! Directories in the making, and the plain work with files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fault::{self, Point};

/// A directory in the making, beside the place where it will be; removed if it is not published.
pub struct Stage {
    pub path: PathBuf,
    parent: PathBuf,
    is_published: bool,
}

impl Stage {
    pub fn beside(target: &Path) -> Result<Self> {
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
        let made = tempfile::Builder::new().prefix(".savor-").tempdir_in(&parent).map_err(Error::io(&parent))?;
        Ok(Self { path: made.keep(), parent, is_published: false })
    }

    pub fn publish(mut self, target: &Path) -> Result<()> {
        sync_tree(&self.path)?;
        fs::rename(&self.path, target).map_err(Error::io(target))?;
        self.is_published = true;
        fault::reach(Point::CopyNamed);
        sync(&self.parent)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.is_published {
            remove_tree(&self.path);
        }
    }
}

/// Removes what is of no use any more.
pub fn remove_tree(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "an unfinished copy is left behind");
    }
}

pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::io(to))?;
    for entry in fs::read_dir(from).map_err(Error::io(from))? {
        let entry = entry.map_err(Error::io(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(Error::io(&source))?;
        }
    }
    Ok(())
}

/// Links the files of finished snapshots, or copies them where the file system has no links.
pub fn link_snapshots(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::io(to))?;
    for entry in fs::read_dir(from).map_err(Error::io(from))? {
        let entry = entry.map_err(Error::io(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        // Others are being written: a link to one would grow while it is read.
        if !is_of_snapshot(&entry.file_name().to_string_lossy()) || fs::hard_link(&source, &target).is_ok() {
            continue;
        }
        match fs::copy(&source, &target) {
            // A training that fails removes its files.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied.map_err(Error::io(&source))?),
        }
    }
    Ok(())
}

/// Whether a file has its name, `<id>` or `<id>.parts`, which it is given when it is complete.
fn is_of_snapshot(name: &str) -> bool {
    name.strip_suffix(".parts").unwrap_or(name).parse::<u64>().is_ok()
}

pub fn sync_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        if path.is_dir() { sync_tree(&path)? } else { sync(&path)? }
    }
    sync(dir)
}

pub fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path))
}
