//! Where the backups lie that clients of a server ask for: in a folder that its operator has chosen, those of a tenant in one of its
//! own; how much of it a tenant may take; and what becomes of it with the tenant.

use std::fs;
use std::path::{Path, PathBuf};

use super::Tenants;
use super::directory::sync;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::{TenantName, Timestamp};
use crate::store::tree_bytes;

impl Tenants {
    /// The folder of the backups of the data directory, or of a tenant: in `backup.directory`, else beside the data directory.
    pub fn backup_folder(&self, tenant: Option<&TenantName>) -> PathBuf {
        folder(self.home(), tenant)
    }

    /// Makes a backup of a tenant's engine in its folder if all that are there take less than they may; then the oldest generations
    /// of this one go as long as they take more. An engine of no tenant has no such bounds. Errors: [`Error::Quota`];
    /// [`Error::Conflict`] while another backup of the tenant is made.
    pub fn backup_within<T, E: From<Error>>(
        &self,
        engine: &Engine,
        path: &Path,
        make: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let allowance = engine.inner.allowance.get();
        let (Some(allowance), Some(tenant)) = (allowance, engine.tenant()) else { return make() };
        let busy = || Error::Conflict(format!("another backup of tenant \"{tenant}\" is being made; try again later"));
        let _turn = allowance.backup_turn().ok_or_else(busy)?;
        let Some(most) = engine.quotas().backup_bytes() else { return make() };
        let folder = self.backup_folder(Some(tenant));
        trim_all(&folder, most)?;
        let bytes = tree_bytes(&folder)?;
        if bytes >= most {
            let reason = format!("its backups take {bytes} of {most}; have some removed on the server, or raise it");
            let tenant = tenant.to_string();
            return Err(Error::Quota { tenant, quota: "backup_bytes", reason, retry_after_ms: None }.into());
        }
        let made = make()?;
        if let Err(error) = trim(&folder, path, most) {
            tracing::warn!(%tenant, %error, "old backups of a tenant are not removed; the next backup tries again");
        }
        Ok(made)
    }
}

/// [`trim`], for every backup of a folder: what failed may have left something, and another backup have old generations. Nothing is
/// removed where that would not be enough.
fn trim_all(folder: &Path, most: u64) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(folder)(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let paths = paths.map_err(Error::io(folder))?;
    let newest = |path: &PathBuf| Some(Engine::backups(path).ok()?.last()?.bytes);
    if paths.iter().filter_map(newest).sum::<u64>() >= most {
        return Ok(());
    }
    paths.iter().try_for_each(|path| trim(folder, path, most))
}

/// Removes what failed backups left, and the oldest generations of a backup, but not its newest, as long as a folder takes all that it
/// may.
fn trim(folder: &Path, backup: &Path, most: u64) -> Result<()> {
    let generations = Engine::backups(backup).map_or(0, |generations| generations.len());
    for keep in (1..=generations).rev() {
        if tree_bytes(folder)? < most {
            break;
        }
        Engine::prune_backup(backup, keep)?;
    }
    Ok(())
}

/// What is left to do for a tenant that is deleted once its directory has gone. It may be done twice. Errors: the tenant must not
/// be made anew.
pub(super) fn settle(home: &Engine, tenant: &TenantName) -> Result<()> {
    let aside = put_backups_aside(home, tenant)?;
    // Last, as it cannot be taken back.
    home.revoke_keys_of(tenant.as_str()).inspect_err(|_| {
        if let Some(aside) = &aside
            && let Err(error) = fs::rename(aside, folder(home, Some(tenant)))
        {
            tracing::error!(%tenant, path = %aside.display(), %error, "backups of a tenant stay aside; move them back");
        }
    })?;
    Ok(())
}

/// Backups of a tenant that is deleted are not those of whoever is given its name next: they are put aside, for the operator.
/// Tells where, if there are any.
fn put_backups_aside(home: &Engine, tenant: &TenantName) -> Result<Option<PathBuf>> {
    let folder = folder(home, Some(tenant));
    let aside = folder.with_file_name(format!(".deleted-{tenant}-{}", Timestamp::now().millis()));
    match fs::rename(&folder, &aside) {
        Ok(()) => {
            tracing::info!(%tenant, path = %aside.display(), "backups of a deleted tenant are put aside");
            if let Err(error) = aside.parent().map_or(Ok(()), sync) {
                fs::rename(&aside, &folder).map_err(Error::io(&aside))?;
                return Err(error);
            }
            Ok(Some(aside))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(&folder)(error)),
    }
}

fn folder(home: &Engine, tenant: Option<&TenantName>) -> PathBuf {
    match (&home.config().backup.directory, tenant) {
        (Some(folder), None) => folder.clone(),
        // No name begins with a point.
        (Some(folder), Some(tenant)) => folder.join(".tenants").join(tenant.as_str()),
        (None, tenant) => beside(home.path(), tenant),
    }
}

/// `data.backups` beside `data`; those of a tenant in `data.tenants.backups`, each in a folder of its own.
fn beside(data: &Path, tenant: Option<&TenantName>) -> PathBuf {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    let mut name = data.file_name().unwrap_or_default().to_os_string();
    name.push(if tenant.is_some() { ".tenants.backups" } else { ".backups" });
    let folder = data.with_file_name(name);
    tenant.map_or_else(|| folder.clone(), |tenant| folder.join(tenant.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Quotas};
    use crate::engine::TenantSettings;
    use crate::record::{ApiKey, KeyDesign, KeyState, Scope};

    fn acme() -> TenantName {
        "acme".parse().unwrap()
    }

    /// A data directory with a tenant that has a key and a backup, and what a server would call its key.
    fn with_tenant(dir: &Path) -> (Tenants, String) {
        let tenants = Tenants::open(dir.join("data"), Config::default()).unwrap();
        tenants.create(&acme(), TenantSettings::default()).unwrap();
        let design = KeyDesign { tenant: Some("acme".into()), ..KeyDesign::new("shop", [Scope::Read]) };
        let key = tenants.home().create_key(&design).unwrap().key.id;
        fs::create_dir_all(tenants.backup_folder(Some(&acme())).join("default")).unwrap();
        (tenants, key)
    }

    /// Those of the folder of backups of tenants.
    fn backups(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir.join("data.tenants.backups")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn key(tenants: &Tenants, id: &str) -> ApiKey {
        tenants.home().keys().into_iter().find(|key| key.id == id).unwrap()
    }

    #[test]
    fn a_deletion_that_a_crash_cut_off_is_finished_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let (tenants, id) = with_tenant(dir.path());
        drop(tenants);
        let folder = dir.path().join("data/tenants");
        // The moment after the rename.
        fs::create_dir(folder.join(".deleted-x1")).unwrap();
        fs::rename(folder.join("acme"), folder.join(".deleted-x1/acme")).unwrap();
        for _ in 0..2 {
            let tenants = Tenants::open(dir.path().join("data"), Config::default()).unwrap();
            assert!(tenants.names().is_empty() && fs::read_dir(&folder).unwrap().count() == 0);
            let key = key(&tenants, &id);
            assert!(key.revoked.is_some() && key.tenant.as_deref() == Some(".deleted-acme"), "{key:?}");
            let left = backups(dir.path());
            assert!(left.len() == 1 && left[0].starts_with(".deleted-acme-"), "{left:?}");
        }
    }

    #[test]
    fn files_of_a_deleted_tenant_that_were_left_take_nothing_from_who_has_its_name_now() {
        let dir = tempfile::tempdir().unwrap();
        let (tenants, id) = with_tenant(dir.path());
        drop(tenants);
        fs::create_dir_all(dir.path().join("data/tenants/.deleted-x1/acme")).unwrap();
        let tenants = Tenants::open(dir.path().join("data"), Config::default()).unwrap();
        assert_eq!(tenants.names(), [acme()]);
        assert_eq!(key(&tenants, &id).state(Timestamp::now()), KeyState::Active);
        assert_eq!(backups(dir.path()), ["acme"]);
        assert_eq!(fs::read_dir(dir.path().join("data/tenants")).unwrap().count(), 1);
    }

    #[test]
    fn backups_of_a_tenant_take_no_more_than_they_may() {
        const FILE: usize = 1 << 20;
        let dir = tempfile::tempdir().unwrap();
        let tenants = Tenants::open(dir.path().join("data"), Config::default()).unwrap();
        let of = |bytes| TenantSettings {
            quotas: Quotas { backup_bytes: Some(bytes), ..Quotas::default() },
            ..TenantSettings::default()
        };
        let most = 7 * FILE as u64 / 2;
        tenants.create(&acme(), of(most)).unwrap();
        let engine = tenants.get(&acme()).unwrap();
        let folder = tenants.backup_folder(Some(&acme()));
        let path = folder.join("default");
        let back_up = || tenants.backup_within(&engine, &path, || engine.backup_with_settings(&path));
        for n in 1..=6u8 {
            // Each generation has an index that none before had.
            fs::create_dir_all(engine.path().join("index")).unwrap();
            fs::write(engine.path().join("index/9"), vec![n; FILE]).unwrap();
            back_up().unwrap();
            let (bytes, generations) = (tree_bytes(&folder).unwrap(), Engine::backups(&path).unwrap());
            assert!(bytes <= most, "{bytes} of {most}");
            assert_eq!(generations.last().unwrap().generation, u64::from(n), "the newest stays");
            assert!(generations.len() >= usize::from(n).min(2), "no more go than have to");
        }
        tenants.set(&acme(), of(1)).unwrap();
        match back_up() {
            Err(Error::Quota { quota, .. }) => assert_eq!(quota, "backup_bytes"),
            other => unreachable!("{other:?}"),
        }
        assert_eq!(Engine::backups(&path).unwrap().len(), 3, "a refusal takes nothing away");
    }

    #[test]
    fn backups_lie_beside_the_data() {
        let data = Path::new("/srv/no-such/data");
        assert_eq!(beside(data, None), Path::new("/srv/no-such/data.backups"));
        let tenant = "acme".parse().unwrap();
        assert_eq!(beside(data, Some(&tenant)), Path::new("/srv/no-such/data.tenants.backups/acme"));
    }

    #[test]
    fn those_of_a_deleted_tenant_are_not_the_next_ones() {
        let dir = tempfile::tempdir().unwrap();
        for directory in [None, Some(dir.path().join("chosen"))] {
            let mut config = Config::default();
            config.backup.directory = directory;
            let tenants = Tenants::open(dir.path().join("data"), config).unwrap();
            let name = acme();
            tenants.create(&name, TenantSettings::default()).unwrap();
            let folder = tenants.backup_folder(Some(&name));
            fs::create_dir_all(folder.join("default")).unwrap();
            assert!(tenants.delete(&name, "no").is_err() && folder.join("default").is_dir());
            tenants.delete(&name, "acme").unwrap();
            assert!(!folder.exists());
            let left: Vec<_> = fs::read_dir(folder.parent().unwrap()).unwrap().map(|entry| entry.unwrap()).collect();
            assert!(left.len() == 1 && left[0].path().join("default").is_dir(), "{left:?}");
            assert!(left[0].file_name().to_string_lossy().starts_with(".deleted-acme-"));
        }
    }
}
