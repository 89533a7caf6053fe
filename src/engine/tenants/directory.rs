//! The folder `tenants` of a data directory, in which each tenant has a directory under its name. One comes and goes by a rename: what
//! is being made or removed has a name that no tenant can have, and is removed when a crash leaves it. Who changes this
//! folder holds the lock of the data directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::record::TenantName;

/// The folder.
const FOLDER: &str = "tenants";
/// What begins the name of a directory in the making, and of one that is being removed. The first is also what a restore is called
/// until it is whole.
const UNFINISHED: [&str; 2] = [MADE, DELETED];
const MADE: &str = ".savor-";
const DELETED: &str = ".deleted-";

/// The folder of tenants.
pub struct Directory {
    path: PathBuf,
}

/// A deleted tenant's files: where they were, and the directory in which they are now under the same name.
pub struct Gone {
    from: PathBuf,
    stage: PathBuf,
}

impl Directory {
    /// Of a data directory.
    pub fn of(data: &Path) -> Self {
        Self { path: data.join(FOLDER) }
    }

    /// Where a tenant lies.
    pub fn of_tenant(&self, name: &TenantName) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// All tenants.
    pub fn names(&self) -> Result<Vec<TenantName>> {
        let mut names = Vec::new();
        for path in self.entries()? {
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            match name {
                Some(name) if path.is_dir() => names.push(name),
                _ => tracing::warn!(path = %path.display(), "this is no tenant, and is left alone"),
            }
        }
        Ok(names)
    }

    /// Removes what a crash left of making and deleting.
    pub fn remove_leftovers(&self) -> Result<()> {
        for path in self.entries()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && UNFINISHED.iter().any(|prefix| name.starts_with(prefix)) {
                tracing::info!(path = %path.display(), "removing what was left of a tenant");
                fs::remove_dir_all(&path).map_err(Error::io(&path))?;
            }
        }
        Ok(())
    }

    /// Makes a tenant's directory, filled by `fill`: it appears under its name when it is on disk.
    pub fn create(&self, name: &TenantName, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        fs::create_dir_all(&self.path).map_err(Error::io(&self.path))?;
        let stage = tempfile::Builder::new().prefix(MADE).tempdir_in(&self.path).map_err(Error::io(&self.path))?;
        let inner = stage.path().join(name.as_str());
        fs::create_dir(&inner).map_err(Error::io(&inner))?;
        fill(&inner)?;
        sync(&inner)?;
        let target = self.of_tenant(name);
        fs::rename(&inner, &target).map_err(Error::io(&target))?;
        sync(&self.path)
    }

    /// Takes a tenant's directory away: from now on there is none. Errors: [`Error::Locked`] while anybody has it open.
    pub fn delete(&self, name: &TenantName) -> Result<Gone> {
        let dir = self.of_tenant(name);
        if let Some(holder) = crate::store::holder(&dir) {
            return Err(Error::Locked { path: dir, holder: format!("process {}", holder.pid) });
        }
        let stage =
            tempfile::Builder::new().prefix(DELETED).tempdir_in(&self.path).map_err(Error::io(&self.path))?.keep();
        fs::rename(&dir, stage.join(name.as_str())).map_err(Error::io(&dir))?;
        let gone = Gone { from: dir, stage };
        // Where it is now before where it was: whatever a power cut leaves, one of them has it.
        match sync(&gone.stage).and_then(|()| sync(&self.path)) {
            Ok(()) => Ok(gone),
            Err(error) => {
                gone.put_back()?;
                Err(error)
            }
        }
    }

    /// Tenants whose deletion a crash has cut off, so that what they have elsewhere may still be there.
    pub fn half_deleted(&self) -> Result<Vec<TenantName>> {
        let mut names = Vec::new();
        for stage in self.entries()? {
            let is_deleted = stage.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DELETED));
            if !is_deleted || !stage.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&stage).map_err(Error::io(&stage))? {
                let entry = entry.map_err(Error::io(&stage))?;
                let name = entry.file_name().to_str().and_then(|name| name.parse::<TenantName>().ok());
                // What one has who was given the name since is not the deleted one's.
                names.extend(name.filter(|name| !self.of_tenant(name).exists()));
            }
        }
        Ok(names)
    }

    fn entries(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(&self.path)(error)),
        };
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io(&self.path))).collect()
    }
}

impl Gone {
    /// The tenant stays after all.
    pub fn put_back(self) -> Result<()> {
        let name = self.from.file_name().unwrap_or_default();
        fs::rename(self.stage.join(name), &self.from).map_err(Error::io(&self.from))?;
        // Empty: the next start removes it where this does not.
        let _ = fs::remove_dir(&self.stage);
        Ok(())
    }

    /// Removes the files. What cannot be removed says from now on that nothing else is left of the tenant.
    pub fn remove(self) -> Result<()> {
        let name = self.stage.file_name().unwrap_or_default().to_string_lossy();
        let settled = self.stage.with_file_name(name.replacen(DELETED, MADE, 1));
        fs::rename(&self.stage, &settled).map_err(Error::io(&self.stage))?;
        fs::remove_dir_all(&settled).map_err(Error::io(&settled))
    }
}

/// Puts a directory's entries on disk.
pub fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> TenantName {
        name.parse().unwrap()
    }

    #[test]
    fn one_that_cannot_be_filled_is_not_there() {
        let data = tempfile::tempdir().unwrap();
        let directory = Directory::of(data.path());
        let failed = directory.create(&name("a"), |dir| {
            fs::write(dir.join("half"), "x").unwrap();
            Err(Error::Conflict("as asked".into()))
        });
        assert!(failed.is_err() && directory.names().unwrap().is_empty());
        assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 0);
    }

    #[test]
    fn what_a_crash_left_is_removed_and_what_is_not_ours_is_left() {
        let data = tempfile::tempdir().unwrap();
        let directory = Directory::of(data.path());
        directory.create(&name("a"), |dir| fs::write(dir.join("x"), "x").map_err(Error::io(dir))).unwrap();
        let folder = data.path().join(FOLDER);
        for left in [".savor-abc/b", ".deleted-xyz/c"] {
            fs::create_dir_all(folder.join(left)).unwrap();
        }
        fs::create_dir(folder.join("Not A Tenant")).unwrap();
        fs::write(folder.join("note"), "ours").unwrap();
        directory.remove_leftovers().unwrap();
        assert_eq!(directory.names().unwrap(), [name("a")]);
        let mut left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["Not A Tenant", "a", "note"]);
    }

    #[test]
    fn a_deleted_one_is_gone_before_its_files_are() {
        let data = tempfile::tempdir().unwrap();
        let directory = Directory::of(data.path());
        directory.create(&name("a"), |dir| fs::write(dir.join("x"), "x").map_err(Error::io(dir))).unwrap();
        let gone = directory.delete(&name("a")).unwrap();
        assert!(directory.names().unwrap().is_empty());
        assert_eq!(directory.half_deleted().unwrap(), [name("a")]);
        gone.put_back().unwrap();
        assert_eq!((directory.names().unwrap(), directory.half_deleted().unwrap()), (vec![name("a")], vec![]));
        assert!(directory.of_tenant(&name("a")).join("x").is_file());
        directory.delete(&name("a")).unwrap().remove().unwrap();
        assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 0);
    }
}
