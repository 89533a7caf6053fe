//! What is said of a tenant, in two files of its directory: `tenant.toml` (what it is, what it may use) is Savor's, `savor.toml`
//! (what its configuration says otherwise) anybody's who may edit it. Each is replaced whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::config::Quotas;
use crate::error::{Error, Result};
use crate::record::{Timestamp, from_object};

/// What the tenant is and may use.
const SETTINGS: &str = "tenant.toml";
/// What its configuration says otherwise.
const CONFIGURATION: &str = "savor.toml";
/// The longest title, in bytes.
const LONGEST_TITLE: usize = 200;

/// What is said of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantSettings {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it may use, where that differs from `tenants.quotas`.
    #[serde(deserialize_with = "from_object")]
    pub quotas: Quotas,
    /// What its configuration says otherwise than the data directory's: any of `events`, `features`, `train`, `ranker`, `evaluate`,
    /// `index`, `snapshot`, `recommend`, `exposures`, `monitor` and `retrain`, as in `savor.toml`.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub config: Table,
}

/// What `tenant.toml` says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default)]
    quotas: Quotas,
}

impl TenantSettings {
    /// Checks what can be checked by itself; the configuration is checked together with the data directory's.
    pub fn validate(&self) -> Result<()> {
        if let Some(title) = &self.title
            && (title.is_empty() || title.len() > LONGEST_TITLE || title.chars().any(char::is_control))
        {
            let reason = format!("expected 1 to {LONGEST_TITLE} bytes without control characters");
            return Err(Error::invalid("title", reason));
        }
        self.quotas.validate().map_err(|error| error.within("quotas"))
    }

    /// Reads what is said of the tenant in a directory, and since when it is there.
    pub(super) fn read(dir: &Path) -> Result<(Self, Timestamp)> {
        let (path, text) = (dir.join(SETTINGS), read(&dir.join(SETTINGS))?);
        let Some(text) = text else {
            return Err(Error::corrupt(path.display().to_string(), "is missing; restore a backup"));
        };
        let bad = |path: &Path, error: toml::de::Error| Error::invalid(path.display().to_string(), error.to_string());
        let kept: Kept = toml::from_str(&text).map_err(|error| bad(&path, error))?;
        let created = kept.created.parse().map_err(|error: Error| error.within(&path.display().to_string()))?;
        let path = dir.join(CONFIGURATION);
        let config = match read(&path)? {
            Some(text) => toml::from_str(&text).map_err(|error| bad(&path, error))?,
            None => Table::new(),
        };
        let settings = Self { title: kept.title, quotas: kept.quotas, config };
        settings.validate().map_err(|error| error.within(&dir.join(SETTINGS).display().to_string()))?;
        Ok((settings, created))
    }

    /// Writes what is said of a tenant into its directory. The configuration's file is left alone where it says the same.
    pub(super) fn write(&self, dir: &Path, created: Timestamp) -> Result<()> {
        let encode =
            |path: &Path, error: toml::ser::Error| Error::invalid(path.display().to_string(), error.to_string());
        let path = dir.join(CONFIGURATION);
        // Comments of whoever has edited it stay where nothing changes.
        let is_same = read(&path)?.is_some_and(|text| toml::from_str::<Table>(&text).is_ok_and(|of| of == self.config));
        if !is_same {
            replace(dir, &path, &toml::to_string(&self.config).map_err(|error| encode(&path, error))?)?;
        }
        let path = dir.join(SETTINGS);
        let kept = Kept { created: created.to_string(), title: self.title.clone(), quotas: self.quotas.clone() };
        replace(dir, &path, &toml::to_string(&kept).map_err(|error| encode(&path, error))?)
    }
}

/// The text of a file; none where there is no file.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}

/// Puts a text into the place of a file, whole.
fn replace(dir: &Path, path: &Path, text: &str) -> Result<()> {
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir).map_err(Error::io(dir))?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(Error::io(path))?;
    file.persist(path).map_err(|error| Error::io(path)(error.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io(dir))
}

/// The files of a tenant that are not the store's, which a backup takes along.
pub(super) const FILES: [&str; 2] = [SETTINGS, CONFIGURATION];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back_and_comments_stay() {
        let dir = tempfile::tempdir().unwrap();
        let settings = TenantSettings {
            title: Some("Acme \"x\" = 1".into()),
            quotas: Quotas { items: Some(5), events_per_second: Some(0.5), ..Quotas::default() },
            config: toml::from_str("[train]\ndimension = 7\n").unwrap(),
        };
        let created = Timestamp::from_millis(1_700_000_000_123).unwrap();
        settings.write(dir.path(), created).unwrap();
        assert_eq!(TenantSettings::read(dir.path()).unwrap(), (settings.clone(), created));
        fs::write(dir.path().join(CONFIGURATION), "# ours\n[train]\ndimension = 7\n").unwrap();
        settings.write(dir.path(), created).unwrap();
        assert!(fs::read_to_string(dir.path().join(CONFIGURATION)).unwrap().contains("# ours"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn what_is_wrong_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(TenantSettings::read(dir.path()).unwrap_err().to_string().contains(SETTINGS));
        TenantSettings::default().write(dir.path(), Timestamp::now()).unwrap();
        fs::write(dir.path().join(CONFIGURATION), "[train\n").unwrap();
        assert!(TenantSettings::read(dir.path()).unwrap_err().to_string().contains(CONFIGURATION));
        let title = TenantSettings { title: Some("a\nb".into()), ..TenantSettings::default() };
        assert!(title.validate().is_err());
    }
}
