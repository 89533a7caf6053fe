//! Scenarios with their versions, in `meta`: they are few and small, an older build that opens the directory passes over them,
//! and so no new format is needed.

use rocksdb::{Direction, IteratorMode};

use super::commit::Turn;
use super::families::Family;
use super::limits::Purpose;
use super::{Store, codec, key, storage};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::record::{Scenario, ScenarioVersion, Timestamp};

/// What the keys begin with: name and version follow, a slash between them.
const SCENARIO: &str = "scenario/";
/// So many versions of a scenario are kept.
const KEPT: usize = 100;

impl Store {
    /// All versions of all scenarios, by name, the oldest first.
    pub fn scenarios(&self) -> Result<Vec<ScenarioVersion>> {
        self.versions(SCENARIO)
    }

    /// All versions of a scenario, the oldest first.
    pub fn scenario_versions(&self, name: &str) -> Result<Vec<ScenarioVersion>> {
        self.versions(&prefix(name))
    }

    /// Puts a new version; without a scenario it is the deletion. Errors: [`Error::Conflict`] if the last version is not the one
    /// that is expected (0: none, or a deletion).
    pub fn put_scenario(
        &self,
        name: &str,
        scenario: Option<Scenario>,
        expected: Option<u64>,
    ) -> Result<ScenarioVersion> {
        self.commit(Durability::Sync, |turn| {
            let versions = self.scenario_versions(name)?;
            let last = versions.last();
            let live = last.filter(|last| last.scenario.is_some()).map_or(0, |last| last.version);
            if let Some(expected) = expected.filter(|expected| *expected != live) {
                let reason = format!("scenario \"{name}\" has version {live}, not {expected}; read it again");
                return Err(Error::Conflict(reason));
            }
            let version = ScenarioVersion {
                name: name.to_owned(),
                version: last.map_or(1, |last| last.version + 1),
                created: Timestamp::now(),
                scenario,
            };
            turn.charged = version.scenario.is_some().then_some(Purpose::Write);
            turn.put(Family::Meta, version_key(name, version.version), codec::encode_json(&version)?)?;
            let too_old = (versions.len() + 1).saturating_sub(KEPT);
            versions.iter().take(too_old).try_for_each(|old| turn.delete_version(old))?;
            Ok(version)
        })
    }

    fn versions(&self, prefix: &str) -> Result<Vec<ScenarioVersion>> {
        let mut versions = Vec::new();
        let mode = IteratorMode::From(prefix.as_bytes(), Direction::Forward);
        for entry in self.db.iterator_cf(Family::Meta.of(&self.db)?, mode) {
            let (key, bytes) = entry.map_err(storage("read the scenarios"))?;
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            versions.push(codec::decode_json("a scenario", &bytes)?);
        }
        Ok(versions)
    }
}

impl Turn<'_> {
    fn delete_version(&mut self, old: &ScenarioVersion) -> Result<()> {
        self.delete(Family::Meta, version_key(&old.name, old.version))
    }
}

/// Names have no slash.
fn prefix(name: &str) -> String {
    format!("{SCENARIO}{name}/")
}

fn version_key(name: &str, version: u64) -> Vec<u8> {
    [prefix(name).as_bytes(), &key::number(version)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;

    #[test]
    fn versions_go_on_after_a_deletion_and_the_oldest_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        store.put_scenario("home2", Some(Scenario::default()), None).unwrap();
        for version in 1..=KEPT as u64 + 20 {
            let scenario = (version != 5).then(Scenario::default);
            assert_eq!(store.put_scenario("home", scenario, None).unwrap().version, version);
        }
        let versions = store.scenario_versions("home").unwrap();
        assert_eq!((versions.len(), versions[0].version), (KEPT, 21));
        assert_eq!(store.scenarios().unwrap().len(), KEPT + 1);
        assert_eq!(store.put_scenario("home", None, Some(119)).unwrap_err().code(), "conflict");
        store.put_scenario("home", None, Some(120)).unwrap();
        assert_eq!(store.put_scenario("home", None, Some(121)).unwrap_err().code(), "conflict");
        store.put_scenario("home", Some(Scenario::default()), Some(0)).unwrap();
    }
}
