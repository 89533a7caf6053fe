//! Backups of all tenants together, and of one: each part is consistent in itself, the whole appears when it is complete.

use std::fs;
use std::path::Path;

use super::Tenants;
use super::directory::{Directory, sync};
use super::settings::FILES;
use crate::engine::{BackupGeneration, BackupLog, Engine, Until, lock};
use crate::error::{Error, Result};
use crate::record::TenantName;

impl Tenants {
    /// Adds a generation to a backup of the data directory, and of each tenant to one beside it in `to/tenants`, while reading and writing
    /// go on. `to` is the folder of such a backup, empty, or not there yet; a generation appears when it is complete. A broken
    /// tenant fails it: a backup without it would be found wanting too late.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackupGeneration> {
        self.open_all();
        let _changing = lock(&self.set.changing);
        let engines = self.whole()?;
        let made = self.set.home.backup(&to)?;
        let copies = Directory::of(to.as_ref());
        for (name, engine) in &engines {
            backup_tenant(engine, &copies.of_tenant(name))?;
        }
        Ok(made)
    }

    /// Adds the writes since the last generation to the logs of such a backup, see [`Engine::backup_log`].
    pub fn backup_log(&self, to: impl AsRef<Path>) -> Result<BackupLog> {
        self.open_all();
        let _changing = lock(&self.set.changing);
        let engines = self.whole()?;
        let log = self.set.home.backup_log(&to)?;
        let copies = Directory::of(to.as_ref());
        for (name, engine) in &engines {
            engine.backup_log(copies.of_tenant(name))?;
        }
        Ok(log)
    }

    /// All tenants; none of them may be broken.
    fn whole(&self) -> Result<Vec<(TenantName, Engine)>> {
        let opened = |name: TenantName| {
            let missing = |error| Error::Conflict(format!("{error}; it would be missing: mend it, or delete it"));
            let engine = self.opened(&name).map_err(missing)?;
            Ok((name, engine))
        };
        self.names().into_iter().map(opened).collect()
    }

    /// Adds a generation to the backup of one tenant, from which [`Tenants::restore_one`] makes it again, here or elsewhere,
    /// under any name.
    pub fn backup_one(&self, name: &TenantName, to: impl AsRef<Path>) -> Result<BackupGeneration> {
        backup_tenant(&self.get(name)?, to.as_ref())
    }

    /// Reads every byte of a backup with those of its tenants, see [`Engine::verify_backup`].
    pub fn verify_backup(of: impl AsRef<Path>) -> Result<(u64, u64)> {
        let (mut files, mut bytes) = Engine::verify_backup(&of)?;
        let copies = Directory::of(of.as_ref());
        for name in whole_copies(&copies)? {
            let of_tenant = Engine::verify_backup(copies.of_tenant(&name))?;
            files += of_tenant.0;
            bytes += of_tenant.1;
        }
        Ok((files, bytes))
    }

    /// Removes the oldest generations of a backup and of those of its tenants, see [`Engine::prune_backup`].
    pub fn prune_backup(of: impl AsRef<Path>, keep: usize) -> Result<u64> {
        let pruned = Engine::prune_backup(&of, keep)?;
        let copies = Directory::of(of.as_ref());
        for name in whole_copies(&copies)? {
            Engine::prune_backup(copies.of_tenant(&name), keep)?;
        }
        Ok(pruned)
    }

    /// Makes a data directory with its tenants from the newest moment of a backup. `to` must not exist or be empty; it appears when it is complete.
    pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        Self::restore_until(from, to, Until::Newest)
    }

    /// The same from a chosen moment. Generations and sequence numbers are those of the data directory itself: tenants come
    /// back as they were at a time, or else as they were last. A tenant that was deleted since its last generation is back, too.
    pub fn restore_until(from: impl AsRef<Path>, to: impl AsRef<Path>, until: Until) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let copies = Directory::of(from);
        let names = whole_copies(&copies)?;
        if names.is_empty() {
            return Engine::restore_until(from, to, until);
        }
        if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::Conflict(format!("{} is not empty; restore to a new place", to.display())));
        }
        let of_tenant = if matches!(until, Until::Time(_)) { until } else { Until::Newest };
        published(to, |whole| {
            Engine::restore_until(from, whole, until)?;
            let targets = Directory::of(whole);
            names.iter().try_for_each(|name| {
                match restore_tenant(&copies.of_tenant(name), &targets.of_tenant(name), of_tenant) {
                    // It was not there yet.
                    Err(Error::NotFound { .. }) if of_tenant != Until::Newest => Ok(()),
                    restored => restored,
                }
            })
        })
    }

    /// Makes a tenant from a backup of one, as it was at a moment. Errors: [`Error::Conflict`] when there is one of that name; nothing is
    /// overwritten.
    pub fn restore_one(&self, name: &TenantName, from: impl AsRef<Path>, until: Until) -> Result<()> {
        let _changing = lock(&self.set.changing);
        if self.slot(name).is_some() {
            return Err(Error::Conflict(format!(
                "there is a tenant \"{name}\"; restore under another name, or delete it"
            )));
        }
        self.set.directory.create(name, |dir| {
            // A restore wants a place that is empty.
            restore_tenant(from.as_ref(), dir, until)
        })?;
        self.take_in(name)
    }
}

/// Adds a generation to the backup of a tenant that is open, and what is said of the tenant.
pub fn backup_tenant(engine: &Engine, to: &Path) -> Result<BackupGeneration> {
    let made = engine.backup(to)?;
    copy_files(engine.path(), to)?;
    Ok(made)
}

/// The tenants of a backup. What is said of one comes last: where it is not there, a crash has cut off the first backup that had the
/// tenant. Errors: [`Error::NotSavor`] where there are generations beyond a first one.
fn whole_copies(copies: &Directory) -> Result<Vec<TenantName>> {
    let mut whole = Vec::new();
    for name in copies.names()? {
        let path = copies.of_tenant(&name);
        if path.join(FILES[0]).is_file() {
            whole.push(name);
        } else if Engine::backups(&path).is_ok_and(|generations| generations.len() > 1) {
            return Err(no_tenant(&path));
        } else {
            tracing::warn!(path = %path.display(), "the first backup of a tenant was cut off, and is left out");
        }
    }
    Ok(whole)
}

fn restore_tenant(from: &Path, to: &Path, until: Until) -> Result<()> {
    if !from.join(FILES[0]).is_file() {
        return Err(no_tenant(from));
    }
    Engine::restore_until(from, to, until)?;
    copy_files(from, to)
}

fn no_tenant(path: &Path) -> Error {
    let reason = format!("it holds no {}: it is no backup of a tenant", FILES[0]);
    Error::NotSavor { path: path.to_path_buf(), reason }
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    // What a copy is known by comes last.
    for name in FILES.iter().rev() {
        let (source, target, half) = (from.join(name), to.join(name), to.join(format!(".{name}")));
        if source.is_file() {
            fs::copy(&source, &half).map_err(Error::io(&source))?;
            fs::File::open(&half).and_then(|file| file.sync_all()).map_err(Error::io(&half))?;
            fs::rename(&half, &target).map_err(Error::io(&target))?;
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
    pub fn backup_with_settings(&self, to: impl AsRef<Path>) -> Result<BackupGeneration> {
        match self.tenant() {
            Some(_) => backup_tenant(self, to.as_ref()),
            None => self.backup(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::TenantSettings;

    #[test]
    fn a_tenant_whose_first_backup_a_crash_cut_off_keeps_the_others_from_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
        let [a, b]: [TenantName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let tenants = Tenants::open(&data, Config::default()).unwrap();
        tenants.create(&a, TenantSettings::default()).unwrap();
        tenants.backup(&to).unwrap();
        tenants.create(&b, TenantSettings::default()).unwrap();
        // Its generation is there, and nothing is said of it.
        tenants.get(&b).unwrap().backup(to.join("tenants/b")).unwrap();
        Tenants::verify_backup(&to).unwrap();
        let restored = dir.path().join("restored");
        Tenants::restore(&to, &restored).unwrap();
        assert_eq!(Tenants::open(&restored, Config::default()).unwrap().names(), [a]);
        // The next backup goes on with it.
        tenants.backup(&to).unwrap();
        let again = dir.path().join("again");
        Tenants::restore(&to, &again).unwrap();
        assert_eq!(Tenants::open(&again, Config::default()).unwrap().names().len(), 2);
    }
}
