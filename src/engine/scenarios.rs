//! Scenarios: kept in the store with their versions, and in memory ready to answer. A change counts from the next question on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use super::{Engine, lock};
use crate::error::{Error, Result};
use crate::fault::{self, Point};
use crate::recommend::{Policy, Rule};
use crate::record::{Query, Scenario, ScenarioVersion, validate_scenario_name};
use crate::store::Store;

/// The scenario that answers where none is named.
pub(super) const DEFAULT: &str = "default";

/// So many there may be at once, and so many bytes they may take together: all of them are in memory.
const MOST: usize = 1_000;
const MOST_BYTES: usize = 32 << 20;

/// What answers questions beside the configuration.
pub(super) struct Scenarios {
    live: ArcSwap<BTreeMap<String, Live>>,
    /// Rules that always hold.
    rules: ArcSwap<Vec<Arc<dyn Rule>>>,
    /// Held while a scenario is changed, in the store and in memory.
    changing: Mutex<()>,
}

#[derive(Clone)]
struct Live {
    version: Arc<ScenarioVersion>,
    policy: Arc<Policy>,
}

impl Scenarios {
    /// Reads them all.
    pub fn open(store: &Store) -> Result<Self> {
        let mut live = BTreeMap::new();
        for version in store.scenarios()? {
            set(&mut live, version);
        }
        Ok(Self { live: ArcSwap::from_pointee(live), rules: ArcSwap::default(), changing: Mutex::default() })
    }

    /// What answers a question: the named scenario or the default one. Errors: [`Error::Invalid`] for a name that is not there.
    pub fn policy(&self, query: &Query) -> Result<Option<Arc<Policy>>> {
        let live = self.live.load();
        let name = query.scenario.as_deref();
        match (live.get(name.unwrap_or(DEFAULT)), name) {
            (Some(live), _) => Ok(Some(Arc::clone(&live.policy))),
            (None, None) => Ok(None),
            (None, Some(name)) => {
                let known: Vec<&str> = live.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                Err(Error::invalid("scenario", format!("is \"{name}\", which is not there; there: {known}")))
            }
        }
    }

    /// The experiment whose variants answer in the place of a scenario, if it names one.
    pub fn experiment_of(&self, name: &str) -> Option<String> {
        let live = self.live.load();
        live.get(name).and_then(|live| live.version.scenario.as_ref()?.experiment.clone())
    }

    /// The rules that always hold.
    pub fn rules(&self) -> Arc<Vec<Arc<dyn Rule>>> {
        self.rules.load_full()
    }
}

/// The later version of a name comes in the place of the one before.
fn set(live: &mut BTreeMap<String, Live>, version: ScenarioVersion) {
    match Policy::new(&version) {
        Some(policy) => {
            live.insert(version.name.clone(), Live { version: Arc::new(version), policy: Arc::new(policy) })
        }
        None => live.remove(&version.name),
    };
}

impl Engine {
    /// Puts a scenario as a new version; from the next question on it answers those that name it. One called `default` answers
    /// where none is named. With `expected` only if that is still its version (0: if there is none). Errors: [`Error::Invalid`]
    /// names the field that is wrong; [`Error::Conflict`] tells the version that is there, or that there is no room for another one:
    /// a thousand of them, or 32 MiB.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?; let engine = savor::Engine::open(dir.path(), savor::Config::default())?;
    /// use savor::{Query, Scenario};
    /// let scenario = Scenario::from_toml("[[rules]]\nrule = \"pin\"\nitem = \"i9\"\nposition = 0\n")?;
    /// engine.put_items(&[savor::Item::new("i1"), savor::Item::new("i9")])?;
    /// engine.put_scenario("home", scenario, None)?;
    /// let answer = engine.recommend(&Query::for_user("u1").scenario("home"))?;
    /// assert_eq!((answer.items[0].item.as_str(), &answer.items[0].rules[..]), ("i9", &["pin:0".to_string()][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_scenario(&self, name: &str, scenario: Scenario, expected: Option<u64>) -> Result<ScenarioVersion> {
        validate_scenario_name("name", name)?;
        scenario.validate()?;
        self.change_scenario(name, Some(scenario), expected)
    }

    /// A scenario as it answers now. Errors: [`Error::NotFound`].
    pub fn scenario(&self, name: &str) -> Result<ScenarioVersion> {
        let live = self.inner.scenarios.live.load();
        live.get(name).map(|live| (*live.version).clone()).ok_or_else(|| Error::not_found("scenario", name))
    }

    /// Whether there is a scenario of this name.
    pub fn has_scenario(&self, name: &str) -> bool {
        self.inner.scenarios.live.load().contains_key(name)
    }

    /// All scenarios as they answer now, in the order of their names.
    pub fn scenarios(&self) -> Vec<ScenarioVersion> {
        self.inner.scenarios.live.load().values().map(|live| (*live.version).clone()).collect()
    }

    /// The last hundred versions of a scenario, deletions among them, the newest first. Errors: [`Error::NotFound`] for a name that
    /// never was one.
    pub fn scenario_versions(&self, name: &str) -> Result<Vec<ScenarioVersion>> {
        let mut versions = self.inner.store.scenario_versions(name)?;
        versions.reverse();
        if versions.is_empty() { Err(Error::not_found("scenario", name)) } else { Ok(versions) }
    }

    /// Deletes a scenario; its versions stay to be looked up, and a later one goes on counting. Errors: [`Error::NotFound`];
    /// [`Error::Conflict`] as in [`put_scenario`](Self::put_scenario), and while an experiment on it runs or is promoted.
    pub fn delete_scenario(&self, name: &str, expected: Option<u64>) -> Result<()> {
        self.scenario(name)?;
        let experiments = self.inner.experiments.active.load();
        if let Some(using) = experiments.iter().find(|of| of.design.scenarios().any(|used| used == name)) {
            return Err(Error::Conflict(format!(
                "experiment \"{}\" is on scenario \"{name}\"; stop it first",
                using.id
            )));
        }
        self.change_scenario(name, None, expected).map(drop)
    }

    /// Rules of one's own, which hold for every answer to the main question from now on, after those of scenarios.
    pub fn set_rules(&self, rules: Vec<Arc<dyn Rule>>) {
        self.inner.scenarios.rules.store(Arc::new(rules));
        self.inner.answers.all_changed();
    }

    fn change_scenario(
        &self,
        name: &str,
        scenario: Option<Scenario>,
        expected: Option<u64>,
    ) -> Result<ScenarioVersion> {
        let scenarios = &self.inner.scenarios;
        let _changing = lock(&scenarios.changing);
        if let Some(scenario) = &scenario {
            check_room(&scenarios.live.load(), name, scenario)?;
        }
        let version = self.inner.store.put_scenario(name, scenario, expected)?;
        fault::reach(Point::ScenarioStored);
        let mut live = (**scenarios.live.load()).clone();
        set(&mut live, version.clone());
        scenarios.live.store(Arc::new(live));
        self.inner.answers.all_changed();
        tracing::info!(scenario = name, version = version.version, "scenario changed");
        Ok(version)
    }
}

/// Whether a scenario fits beside the others.
fn check_room(live: &BTreeMap<String, Live>, name: &str, scenario: &Scenario) -> Result<()> {
    let others: Vec<&Scenario> = live
        .iter()
        .filter(|(other, _)| *other != name)
        .filter_map(|(_, live)| live.version.scenario.as_ref())
        .collect();
    if others.len() >= MOST {
        return Err(Error::Conflict(format!("there are {MOST} scenarios, as many as may be; delete one")));
    }
    let unwritten = |error: serde_json::Error| Error::invalid("scenario", error.to_string());
    let size = |scenario: &Scenario| serde_json::to_vec(scenario).map(|json| json.len()).map_err(unwritten);
    let mut bytes = size(scenario)?;
    for other in others {
        bytes += size(other)?;
    }
    if bytes > MOST_BYTES {
        let most = MOST_BYTES >> 20;
        return Err(Error::Conflict(format!(
            "all scenarios together would take {bytes} bytes, {most} MiB may be; shorten lists, or delete one"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::record::Query;

    /// As large as one may be: lists of items with long ids.
    fn large() -> Scenario {
        let list: Vec<String> = (0..1_000).map(|n| format!("{n:0500}")).collect();
        let lists: serde_json::Map<String, serde_json::Value> =
            (0..20).map(|n| (format!("list{n}"), serde_json::json!({ "items": list }))).collect();
        serde_json::from_value(serde_json::json!({ "lists": lists })).unwrap()
    }

    #[test]
    fn scenarios_take_no_more_memory_than_they_may() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), Config::default()).unwrap();
        let names: Vec<String> = (0..5).map(|n| format!("s{n}")).collect();
        let refused = names.iter().find_map(|name| engine.put_scenario(name, large(), None).err()).unwrap();
        assert!(refused.code() == "conflict" && refused.to_string().contains("32 MiB may be"), "{refused}");
        // The others go on, may be changed, and one that goes makes room.
        assert_eq!(engine.scenarios().len(), 3);
        assert_eq!(engine.put_scenario("s0", large(), None).unwrap().version, 2);
        engine.delete_scenario("s1", None).unwrap();
        engine.put_scenario("s4", large(), None).unwrap();
        assert!(engine.recommend(&Query::for_user("u").scenario("s4")).is_ok());
    }

    #[test]
    fn there_are_no_more_scenarios_than_there_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.durability = crate::config::Durability::Async;
        let engine = Engine::open(dir.path(), config).unwrap();
        let version = engine.put_scenario("s", Scenario::default(), None).unwrap();
        let policy = engine.inner.scenarios.policy(&Query::for_user("u").scenario("s")).unwrap().unwrap();
        let live = Live { version: Arc::new(version), policy };
        let full = (0..MOST).map(|n| (format!("s{n}"), live.clone())).collect();
        assert_eq!(check_room(&full, "one-more", &Scenario::default()).unwrap_err().code(), "conflict");
        check_room(&full, "s7", &Scenario::default()).unwrap();
    }
}
