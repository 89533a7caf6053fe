//! Tenants: how many, how they share the process, and what each may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{Config, check};
use crate::error::{Error, Result};

/// What a tenant may say otherwise than the data directory's configuration. Everything else belongs to the process: where it
/// listens, its threads, its memory.
const OWN: [&str; 11] = [
    "events",
    "features",
    "train",
    "ranker",
    "evaluate",
    "index",
    "snapshot",
    "recommend",
    "exposures",
    "monitor",
    "retrain",
];
/// Keys inside those that are of the process all the same.
const SHARED: [(&str, &str); 4] =
    [("train", "threads"), ("retrain", "threads"), ("recommend", "cache_mib"), ("recommend", "filter_cache_mib")];

/// Backups take so many times the bytes that a tenant may store, where nothing else is said.
const BACKUPS: u64 = 4;

/// How tenants share the process. All of it is without effect until there is a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantsConfig {
    /// How many there may be; bounds what they take together, and the series of metrics.
    pub max: usize,
    /// Memory of each for what it has written and not yet flushed, in MiB. It is counted against `store.cache_mib`, which all
    /// share.
    pub write_buffer_mib: usize,
    /// Memory of each for kept answers, and as much for the parts of filters, in MiB.
    pub cache_mib: usize,
    /// Trainings at once, of all tenants and the data directory itself; others wait for their turn.
    pub trainings: usize,
    /// Threads of a training, and of a batch of questions or a comparison, of one tenant; 0: half of the processors.
    pub threads: usize,
    /// The quotas of a tenant that has none of its own.
    pub quotas: Quotas,
}

impl Default for TenantsConfig {
    fn default() -> Self {
        let quotas = Quotas { concurrent_requests: Some(8), ..Quotas::default() };
        Self { max: 100, write_buffer_mib: 32, cache_mib: 8, trainings: 1, threads: 0, quotas }
    }
}

/// What a tenant may use; what is absent is not limited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Items. Exact: checked in the turn of the write that would add one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// Users, also those known from events alone. Exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<u64>,
    /// Events in the log. Exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// Events a second, in the long run. A request is taken whole while the rate is kept, and refused whole while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<f64>,
    /// Requests a second, in the long run; as many may come at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
    /// Requests in work at once; others wait a moment for their turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<usize>,
    /// Bytes on disk. Measured every second; what was written since then counts as it was sent. Deletions are never refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
    /// Bytes of its backups on the server, of all together; absent: four times `storage_bytes`, where that is limited. One that
    /// would begin beyond it is refused, so that they take a generation more at most for each that is made at a time; then the oldest
    /// generations go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_bytes: Option<u64>,
    /// Bytes of a snapshot's files, which are what it takes in memory when it answers. A larger one is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_bytes: Option<u64>,
    /// Minutes of training in 24 hours. A training that would take longer than what is left is ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_minutes: Option<f64>,
}

impl Quotas {
    /// These, and those of `others` where nothing is said.
    pub fn or(&self, others: &Self) -> Self {
        Self {
            items: self.items.or(others.items),
            users: self.users.or(others.users),
            events: self.events.or(others.events),
            events_per_second: self.events_per_second.or(others.events_per_second),
            requests_per_second: self.requests_per_second.or(others.requests_per_second),
            concurrent_requests: self.concurrent_requests.or(others.concurrent_requests),
            storage_bytes: self.storage_bytes.or(others.storage_bytes),
            backup_bytes: self.backup_bytes.or(others.backup_bytes),
            snapshot_bytes: self.snapshot_bytes.or(others.snapshot_bytes),
            training_minutes: self.training_minutes.or(others.training_minutes),
        }
    }

    /// Bytes that its backups on a server may take.
    pub fn backup_bytes(&self) -> Option<u64> {
        self.backup_bytes.or_else(|| Some(self.storage_bytes?.saturating_mul(BACKUPS)))
    }

    /// Checks every value; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        let rate = |field: &str, value: Option<f64>| value.map_or(Ok(()), |value| check(field, value, 1e-3..=1e9));
        rate("events_per_second", self.events_per_second)?;
        rate("requests_per_second", self.requests_per_second)?;
        if let Some(requests) = self.concurrent_requests {
            check("concurrent_requests", requests as f64, 1.0..=1e6)?;
        }
        self.training_minutes.map_or(Ok(()), |minutes| check("training_minutes", minutes, 0.0..=1440.0))
    }
}

impl TenantsConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("max", self.max as f64, 0.0..=1000.0)?;
        check("write_buffer_mib", self.write_buffer_mib as f64, 1.0..=65_536.0)?;
        check("cache_mib", self.cache_mib as f64, 0.0..=65_536.0)?;
        check("trainings", self.trainings as f64, 1.0..=1024.0)?;
        check("threads", self.threads as f64, 0.0..=1024.0)?;
        self.quotas.validate().map_err(|error| error.within("quotas"))
    }

    /// Threads of a training.
    pub fn threads(&self) -> usize {
        let half = || std::thread::available_parallelism().map_or(1, |processors| processors.get() / 2);
        if self.threads == 0 { half().max(1) } else { self.threads }
    }
}

impl Config {
    /// The configuration of a tenant: this one with what the tenant says otherwise in its place. Errors:
    /// [`Error::Invalid`] for a key that belongs to the process, and for what is wrong in itself.
    pub fn of_tenant(&self, own: &Table) -> Result<Self> {
        for (room, value) in own {
            let inner = value.as_table();
            let shared =
                SHARED.iter().find(|(of, key)| of == room && inner.is_some_and(|inner| inner.contains_key(*key)));
            let field = match (OWN.contains(&room.as_str()), shared) {
                (true, None) => continue,
                (true, Some((room, key))) => format!("{room}.{key}"),
                (false, _) => room.clone(),
            };
            let reason = "belongs to the whole process, not to a tenant; set it in the data directory's savor.toml";
            return Err(Error::invalid(field, reason));
        }
        let unreadable = |error: String| Error::invalid("configuration", error);
        let mut table = Table::try_from(self).map_err(|error| unreadable(error.to_string()))?;
        put(&mut table, own);
        let mut config: Self =
            table.try_into().map_err(|error: toml::de::Error| unreadable(error.message().to_owned()))?;
        config.recommend.cache_mib = config.recommend.cache_mib.min(self.tenants.cache_mib);
        config.recommend.filter_cache_mib = config.recommend.filter_cache_mib.min(self.tenants.cache_mib.max(1));
        config.train.threads = 0;
        config.retrain.threads = self.tenants.threads();
        config.validate()?;
        Ok(config)
    }
}

/// Puts values into the places of others, table by table.
fn put(into: &mut Table, own: &Table) {
    for (key, value) in own {
        match (into.get_mut(key), value) {
            // A map whose keys are the user's, and a choice with fields of its own, are replaced whole.
            (Some(Value::Table(inner)), Value::Table(own)) if !is_whole(key, inner) => put(inner, own),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

fn is_whole(key: &str, table: &Table) -> bool {
    key == "split" || table.contains_key("by")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Durability, StoreConfig};

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_tenant_says_otherwise_only_what_is_its_own() {
        let base = Config {
            store: StoreConfig { durability: Durability::Async, ..StoreConfig::default() },
            ..Config::default()
        };
        let own =
            table("[train]\ndimension = 7\n[events.weights]\nbuy = 3.0\n[evaluate.split]\nby = \"leave-last-out\"\n");
        let config = base.of_tenant(&own).unwrap();
        assert_eq!((config.train.dimension, config.train.epochs), (7, base.train.epochs));
        assert_eq!(config.events.weights.get("buy"), Some(&3.0));
        assert_eq!(config.evaluate.split, crate::config::Split::LeaveLastOut);
        assert_eq!(config.store.durability, Durability::Async);
        for (text, field) in [
            ("[server]\nlisten = \"0.0.0.0:80\"\n", "server"),
            ("[store]\ncache_mib = 100000\n", "store"),
            ("[tenants]\nmax = 5\n", "tenants"),
            ("[train]\nthreads = 64\n", "train.threads"),
            ("[recommend]\ncache_mib = 100000\n", "recommend.cache_mib"),
            ("[train]\ndimensions = 7\n", "configuration"),
            ("[train]\ndimension = 100000\n", "train.dimension"),
        ] {
            match base.of_tenant(&table(text)) {
                Err(Error::Invalid { field: wrong, .. }) => assert_eq!(wrong, field, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn quotas_of_its_own_come_before_those_of_all() {
        let all = Quotas { items: Some(5), users: Some(6), ..Quotas::default() };
        let own = Quotas { items: Some(50), ..Quotas::default() };
        assert_eq!(own.or(&all), Quotas { items: Some(50), users: Some(6), ..Quotas::default() });
        let stored = Quotas { storage_bytes: Some(10), ..Quotas::default() };
        assert_eq!((own.backup_bytes(), stored.backup_bytes()), (None, Some(40)));
        assert_eq!(Quotas { backup_bytes: Some(7), ..stored }.backup_bytes(), Some(7));
        assert!(Quotas { events_per_second: Some(f64::NAN), ..Quotas::default() }.validate().is_err());
        assert!(Quotas { concurrent_requests: Some(0), ..Quotas::default() }.validate().is_err());
    }
}
