//! Backups of all tenants together, and of one: each part is consistent in itself, the whole appears when it is complete.

use std::fs;
use std::path::Path;

use super::Tenants;
use super::directory::{Directory, sync};
use super::settings::FILES;
use crate::engine::{Engine, lock};
use crate::error::{Error, Result};
use crate::record::TenantName;

impl Tenants {
    /// Writes a copy of the data directory and all its tenants, while reading and writing go on. `to` must not exist yet; it
    /// appears when the copy is complete. A broken tenant fails it: a backup without it would be found wanting too late.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<()> {
        self.open_all();
        let _changing = lock(&self.set.changing);
        let names = self.names();
        if names.is_empty() {
            return self.set.home.backup(to);
        }
        published(to.as_ref(), |whole| {
            self.set.home.backup(whole)?;
            let copies = Directory::of(whole);
            names.iter().try_for_each(|name| {
                let missing = |error| Error::Conflict(format!("{error}; it would be missing: mend it, or delete it"));
                let engine = self.opened(name).map_err(missing)?;
                let target = copies.of_tenant(name);
                engine.backup(&target)?;
                copy_files(engine.path(), &target)
            })
        })
    }

    /// Writes a copy of one tenant, from which [`Tenants::restore_one`] makes it again, here or elsewhere, under any name.
    pub fn backup_one(&self, name: &TenantName, to: impl AsRef<Path>) -> Result<()> {
        backup_tenant(&self.get(name)?, to.as_ref())
    }

    /// Makes a data directory with its tenants from a backup. `to` must not exist or be empty; it appears when it is complete.
    pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (copies, names) = (Directory::of(from), Directory::of(from).names()?);
        if names.is_empty() {
            return Engine::restore(from, to);
        }
        if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::Conflict(format!("{} is not empty; restore to a new place", to.display())));
        }
        published(to, |whole| {
            Engine::restore(from, whole)?;
            let targets = Directory::of(whole);
            names.iter().try_for_each(|name| restore_tenant(&copies.of_tenant(name), &targets.of_tenant(name)))
        })
    }

    /// Makes a tenant from a backup of one. Errors: [`Error::Conflict`] when there is one of that name; nothing is overwritten.
    pub fn restore_one(&self, name: &TenantName, from: impl AsRef<Path>) -> Result<()> {
        let _changing = lock(&self.set.changing);
        if self.slot(name).is_some() {
            return Err(Error::Conflict(format!(
                "there is a tenant \"{name}\"; restore under another name, or delete it"
            )));
        }
        self.set.directory.create(name, |dir| {
            // A restore wants a place that is empty.
            restore_tenant(from.as_ref(), dir)
        })?;
        self.take_in(name)
    }
}

/// Writes a copy of a tenant that is open.
pub fn backup_tenant(engine: &Engine, to: &Path) -> Result<()> {
    published(to, |whole| {
        engine.backup(whole)?;
        copy_files(engine.path(), whole)
    })
}

fn restore_tenant(from: &Path, to: &Path) -> Result<()> {
    if !from.join(FILES[0]).is_file() {
        let reason = format!("it holds no {}: it is no backup of a tenant", FILES[0]);
        return Err(Error::NotSavor { path: from.to_path_buf(), reason });
    }
    Engine::restore(from, to)?;
    copy_files(from, to)
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for name in FILES {
        let (source, target) = (from.join(name), to.join(name));
        if source.is_file() {
            fs::copy(&source, &target).map_err(Error::io(&source))?;
            fs::File::open(&target).and_then(|file| file.sync_all()).map_err(Error::io(&target))?;
        }
    }
    sync(to)
}

/// Fills a directory beside the place where it is to be, and puts it there when it is complete.
fn published(to: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let is_taken = fs::read_dir(to).map_or_else(|_| to.exists(), |mut entries| entries.next().is_some());
    if is_taken {
        return Err(Error::Conflict(format!("{} exists already; choose a new place", to.display())));
    }
    let stage = tempfile::Builder::new().prefix(".savor-").tempdir_in(parent).map_err(Error::io(parent))?;
    let whole = stage.path().join("whole");
    fill(&whole)?;
    if to.exists() {
        fs::remove_dir(to).map_err(Error::io(to))?;
    }
    fs::rename(&whole, to).map_err(Error::io(to))?;
    sync(parent)
}

impl Engine {
    /// A backup as [`Engine::backup`] makes it, with what is said of the tenant whose engine this is.
    pub fn backup_with_settings(&self, to: impl AsRef<Path>) -> Result<()> {
        match self.tenant() {
            Some(_) => backup_tenant(self, to.as_ref()),
            None => self.backup(to),
        }
    }
}
