//! What an operator's Prometheus scrapes: requests by route and status, what is in flight, answers that fell back, and how
//! much the engine holds. Routes are labelled by template, never by id, so the number of series is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::admission::Admission;
use super::load::Load;
use crate::engine::{Stats, TenantState, TenantStatus, Tended};
use crate::record::{Degraded, TenantName};

/// Upper bounds of the duration buckets, in seconds.
const BUCKETS: [f64; 15] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Size = Gauge<u64, AtomicU64>;

/// All metrics of a server.
pub struct Metrics {
    /// Admission and connections.
    pub load: Load,
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RequestLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    degraded: Family<ReasonLabels, Counter>,
    drift: Family<DriftLabels, Gauge<f64, AtomicU64>>,
    alarms: Family<DriftLabels, Gauge>,
    decisions: Family<DecisionLabels, Counter>,
    /// What those three have series of, by tenant.
    told: Mutex<BTreeMap<String, Told>>,
    refused: Family<ReasonLabels, Counter>,
    webhook_lost: Size,
    users: Size,
    items: Size,
    events: Size,
    events_since_snapshot: Size,
    active_snapshot: Size,
    snapshots: Size,
    cache_hits: Size,
    cache_misses: Size,
    exposures_dropped: Size,
    exposures_evicted: Size,
    exposures: Size,
    disk: Size,
    tenants: OfTenants,
}

/// What is counted by tenant: few series for each, of as many tenants as there may be, and none of one that is deleted.
#[derive(Default)]
struct OfTenants {
    requests: Family<TenantRequestLabels, Counter>,
    broken: Size,
    users: Family<TenantLabels, Size>,
    items: Family<TenantLabels, Size>,
    events: Family<TenantLabels, Size>,
    disk: Family<TenantLabels, Size>,
}

/// The classes of answers that are counted by tenant.
const CLASSES: [&str; 4] = ["2xx", "4xx", "429", "5xx"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DriftLabels {
    of: String,
    /// Empty, which is to Prometheus as if it were not there, for the data directory's own.
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    kind: &'static str,
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabels {
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantRequestLabels {
    tenant: String,
    /// `2xx`, `4xx`, `429`, `5xx`.
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// What has series of a tenant.
#[derive(Default)]
struct Told {
    /// What was compared, or had an alarm.
    differences: BTreeSet<String>,
    /// The kinds of decisions.
    kinds: BTreeSet<&'static str>,
}

/// Counts one up, and down again when it is dropped.
pub struct Held(Gauge);

impl Held {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("savor");
        let durations: Family<RequestLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let requests = Family::default();
        let degraded = Family::default();
        registry.register("requests", "Requests answered", requests.clone());
        let help = "Time from the request's headers to its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, durations.clone());
        registry.register("answers_degraded", "Answers that fell back to a lesser list", degraded.clone());
        let refused = Family::default();
        registry.register("requests_refused", "Requests that were not let in, by the reason", refused.clone());
        let (drift, alarms, decisions) = (Family::default(), Family::default(), Family::default());
        registry.register("drift_ratio", "How far the events have drifted, as a share of the level", drift.clone());
        registry.register("alarm", "Alarms: 1 up, 0 down", alarms.clone());
        registry.register("decisions", "Decisions of the retraining policy", decisions.clone());
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let in_flight = gauge("requests_in_flight", "Requests being answered");
        let connections = gauge("connections_open", "Open client connections");
        let mut size = |name: &str, help: &str| {
            let size = Size::default();
            registry.register(name, help, size.clone());
            size
        };
        let users = size("users", "Users with a profile or an event");
        let items = size("items", "Items with metadata or an event");
        let events = size("events", "Events in the log");
        let events_since_snapshot = size("events_since_snapshot", "Events since the active snapshot was trained");
        let active_snapshot = size("active_snapshot", "Number of the snapshot that answers; 0 when there is none");
        let snapshots = size("snapshots", "Snapshots kept");
        let cache_hits = size("cache_hits", "Recommendations answered by an answer kept from before");
        let cache_misses = size("cache_misses", "Recommendations that might have been, and were not");
        let exposures_dropped = size("exposures_dropped", "Answers that were not kept for outcomes to join");
        let exposures_evicted = size("exposures_evicted", "Answers that were removed before their time to make room");
        let webhook_lost = size("webhook_lost", "Messages of the webhook that found nobody");
        let load = Load::new(&mut registry);
        let (exposures, disk) = (Size::default(), Size::default());
        registry.register_with_unit("exposures", "Bytes of the answers that are kept", Unit::Bytes, exposures.clone());
        registry.register_with_unit("disk", "Bytes of the data directory on disk", Unit::Bytes, disk.clone());
        let tenants = OfTenants::default();
        registry.register("tenant_requests", "Requests answered, by tenant", tenants.requests.clone());
        registry.register("tenants_broken", "Tenants that cannot be opened", tenants.broken.clone());
        registry.register("tenant_users", "Users of a tenant", tenants.users.clone());
        registry.register("tenant_items", "Items of a tenant", tenants.items.clone());
        registry.register("tenant_events", "Events of a tenant", tenants.events.clone());
        registry.register_with_unit("tenant_disk", "Bytes of a tenant on disk", Unit::Bytes, tenants.disk.clone());
        Self {
            load,
            registry,
            requests,
            durations,
            in_flight,
            connections,
            degraded,
            drift,
            alarms,
            decisions,
            told: Mutex::default(),
            refused,
            webhook_lost,
            users,
            items,
            events,
            events_since_snapshot,
            active_snapshot,
            snapshots,
            cache_hits,
            cache_misses,
            exposures_dropped,
            exposures_evicted,
            exposures,
            disk,
            tenants,
        }
    }

    /// A request is being answered until the guard is dropped.
    pub fn in_flight(&self) -> Held {
        Held::new(&self.in_flight)
    }

    /// A connection is open until the guard is dropped.
    pub fn connection(&self) -> Held {
        Held::new(&self.connections)
    }

    /// Counts an answered request.
    pub fn answered(&self, method: &'static str, route: &'static str, status: u16, seconds: f64) {
        let labels = RequestLabels { method, route, status };
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&labels).observe(seconds);
    }

    /// Counts an answered request of a tenant that is there.
    pub fn answered_tenant(&self, tenant: &TenantName, status: u16) {
        let class = match status {
            429 => "429",
            ..400 => "2xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.tenants.requests.get_or_create(&TenantRequestLabels { tenant: tenant.to_string(), class }).inc();
    }

    /// Notes how tenants stand.
    fn know_tenants(&self, tenants: &[TenantStatus]) {
        let is_broken = |of: &&TenantStatus| of.state == TenantState::Broken;
        self.tenants.broken.set(tenants.iter().filter(is_broken).count() as u64);
        for TenantStatus { name, usage, .. } in tenants {
            let Some(usage) = usage else { continue };
            let labels = TenantLabels { tenant: name.to_string() };
            self.tenants.users.get_or_create(&labels).set(usage.users);
            self.tenants.items.get_or_create(&labels).set(usage.items);
            self.tenants.events.get_or_create(&labels).set(usage.events);
            self.tenants.disk.get_or_create(&labels).set(usage.storage_bytes);
        }
    }

    /// Nothing is told any more of a tenant that is deleted.
    pub fn forget_tenant(&self, name: &TenantName) {
        let labels = TenantLabels { tenant: name.to_string() };
        for sizes in [&self.tenants.users, &self.tenants.items, &self.tenants.events, &self.tenants.disk] {
            sizes.remove(&labels);
        }
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(name.as_str());
        let Told { differences, kinds } = told.unwrap_or_default();
        differences.into_iter().for_each(|of| self.forget_difference(of, name.as_str()));
        for kind in kinds {
            self.decisions.remove(&DecisionLabels { kind, tenant: name.to_string() });
        }
        for class in CLASSES {
            self.tenants.requests.remove(&TenantRequestLabels { tenant: name.to_string(), class });
        }
    }

    /// Counts an answer that fell back.
    pub fn degraded(&self, reason: Degraded) {
        self.degraded.get_or_create(&ReasonLabels { reason: reason.word() }).inc();
    }

    /// Counts a request that was not let in.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Notes what a look of the policy found and did.
    pub fn tended(&self, tenant: Option<&str>, tended: &Tended, lost: u64) {
        let tenant = tenant.unwrap_or_default().to_owned();
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry(tenant.clone()).or_default();
        if tended.report.is_some() {
            // What is not compared any more has no series.
            std::mem::take(&mut told.differences).into_iter().for_each(|of| self.forget_difference(of, &tenant));
        }
        let reported = tended.report.iter().flat_map(|report| &report.differences).map(|of| &of.name);
        told.differences.extend(reported.chain(tended.alerts.iter().map(|alert| &alert.name)).cloned());
        told.kinds.extend(tended.decisions.iter().map(|decision| decision.kind.word()));
        for of in tended.report.iter().flat_map(|report| &report.differences) {
            let labels = DriftLabels { of: of.name.clone(), tenant: tenant.clone() };
            self.drift.get_or_create(&labels).set(of.value / of.level);
            self.alarms.get_or_create(&labels).set(i64::from(of.is_raised));
        }
        for alert in &tended.alerts {
            self.alarms
                .get_or_create(&DriftLabels { of: alert.name.clone(), tenant: tenant.clone() })
                .set(i64::from(alert.raised));
        }
        for decision in &tended.decisions {
            self.decisions.get_or_create(&DecisionLabels { kind: decision.kind.word(), tenant: tenant.clone() }).inc();
        }
        self.webhook_lost.set(lost);
    }

    fn forget_difference(&self, of: String, tenant: &str) {
        let labels = DriftLabels { of, tenant: tenant.to_owned() };
        self.drift.remove(&labels);
        self.alarms.remove(&labels);
    }

    /// The text that Prometheus reads, in the OpenMetrics format.
    pub fn text(
        &self,
        stats: &Stats,
        tenants: &[TenantStatus],
        admission: &Admission,
    ) -> Result<String, std::fmt::Error> {
        self.know_tenants(tenants);
        self.load.look(admission);
        self.users.set(stats.users);
        self.items.set(stats.items);
        self.events.set(stats.events);
        self.events_since_snapshot.set(stats.events_since_snapshot);
        self.active_snapshot.set(stats.active_snapshot.map_or(0, |id| id.0));
        self.snapshots.set(stats.snapshots);
        self.cache_hits.set(stats.cache_hits);
        self.cache_misses.set(stats.cache_misses);
        self.exposures_dropped.set(stats.exposures_dropped);
        self.exposures_evicted.set(stats.exposures_evicted);
        self.exposures.set(stats.exposures_bytes);
        self.disk.set(stats.disk_bytes);
        let mut text = String::with_capacity(16 << 10);
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, ServerConfig};
    use crate::engine::Engine;
    use crate::monitor::{Alert, Decision, DecisionKind};
    use crate::record::Timestamp;
    use crate::server::admission::Class;
    use crate::server::gate::Refusal;

    fn text(metrics: &Metrics) -> String {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), Config::default()).unwrap();
        let admission = Admission::new(&ServerConfig::default(), 2);
        metrics.text(&engine.figures().unwrap(), &[], &admission).unwrap()
    }

    #[test]
    fn no_family_is_told_twice() {
        let metrics = Metrics::new();
        // A family without a series is not told at all.
        metrics.refused("no_key");
        metrics.load.refused(Class::Read, Refusal::Full);
        metrics.answered("GET", "/", 200, 0.1);
        metrics.load.admitted(Class::Read, Duration::ZERO);
        let text = text(&metrics);
        let mut families: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let count = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), count);
        assert!(count > 22, "{text}");
    }

    #[test]
    fn nothing_is_told_of_a_tenant_that_is_deleted() {
        let metrics = Metrics::new();
        let time = Timestamp::from_millis(0).unwrap();
        let alert = Alert { name: "volume".into(), raised: true, value: 2.0, level: 1.0, time };
        let decision =
            Decision { time, kind: DecisionKind::Train, snapshot: None, reason: String::new(), checks: Vec::new() };
        let tended = Tended { report: None, alerts: vec![alert], decisions: vec![decision] };
        for tenant in [Some("acme"), None] {
            metrics.tended(tenant, &tended, 0);
        }
        let before = text(&metrics);
        assert!(before.contains("savor_alarm{of=\"volume\",tenant=\"acme\"} 1"), "{before}");
        assert!(before.contains("savor_decisions_total{kind=\"train\",tenant=\"acme\"} 1"), "{before}");
        metrics.forget_tenant(&"acme".parse().unwrap());
        let after = text(&metrics);
        assert!(!after.contains("acme") && after.contains("savor_alarm{of=\"volume\",tenant=\"\"} 1"), "{after}");
    }
}
