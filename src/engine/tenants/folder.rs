//! Where the backups lie that clients of a server ask for: in a folder that its operator has chosen, those of a tenant in one of its
//! own.

use std::fs;
use std::path::{Path, PathBuf};

use super::Tenants;
use crate::error::{Error, Result};
use crate::record::{TenantName, Timestamp};

impl Tenants {
    /// The folder of the backups of the data directory, or of a tenant: in `backup.directory`, else beside the data directory.
    pub fn backup_folder(&self, tenant: Option<&TenantName>) -> PathBuf {
        let home = self.home();
        match (&home.config().backup.directory, tenant) {
            (Some(folder), None) => folder.clone(),
            // No name begins with a point.
            (Some(folder), Some(tenant)) => folder.join(".tenants").join(tenant.as_str()),
            (None, tenant) => beside(home.path(), tenant),
        }
    }

    /// Backups of a tenant that is deleted are not those of whoever is given its name next: they are put aside, for the operator.
    /// Tells where, if there are any.
    pub(super) fn put_backups_aside(&self, tenant: &TenantName) -> Result<Option<PathBuf>> {
        let folder = self.backup_folder(Some(tenant));
        let aside = folder.with_file_name(format!(".deleted-{tenant}-{}", Timestamp::now().millis()));
        match fs::rename(&folder, &aside) {
            Ok(()) => {
                tracing::info!(%tenant, path = %aside.display(), "backups of a deleted tenant are put aside");
                Ok(Some(aside))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&folder)(error)),
        }
    }

    /// The tenant stays after all.
    pub(super) fn put_backups_back(&self, tenant: &TenantName, aside: Option<&Path>) {
        if let Some(aside) = aside
            && let Err(error) = fs::rename(aside, self.backup_folder(Some(tenant)))
        {
            tracing::error!(%tenant, path = %aside.display(), %error, "backups of a tenant stay aside; move them back");
        }
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
    use crate::config::Config;
    use crate::engine::TenantSettings;

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
            let name: TenantName = "acme".parse().unwrap();
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
