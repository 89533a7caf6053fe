//! What an operator sees of load: places, queues, refusals and the ladder, by class of work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::admission::{Admission, Class};
use super::gate::Refusal;
use crate::record::Effort;

/// Upper bounds of the buckets of waits, in seconds.
const BUCKETS: [f64; 9] = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1.0];
/// Who is refused is to ask again after one to so many seconds, so that not all come back at once.
const SPREAD: u64 = 3;

/// Figures of admission and of connections.
pub struct Load {
    waits: Family<ClassLabels, Histogram, fn() -> Histogram>,
    refused: Family<RefusedLabels, Counter>,
    hurried: Family<EffortLabels, Counter>,
    places: Family<ClassLabels, Gauge>,
    in_work: Family<ClassLabels, Gauge>,
    waiting: Family<ClassLabels, Gauge>,
    pressure: Gauge<f64, AtomicU64>,
    closed: Family<ReasonLabels, Counter>,
    /// Refusals that nobody has been told of yet, and all.
    untold: AtomicU64,
    all: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    class: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EffortLabels {
    effort: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl Load {
    /// All at zero, in a registry.
    pub fn new(registry: &mut Registry) -> Self {
        let load = Self {
            waits: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            refused: Family::default(),
            hurried: Family::default(),
            places: Family::default(),
            in_work: Family::default(),
            waiting: Family::default(),
            pressure: Gauge::default(),
            closed: Family::default(),
            untold: AtomicU64::new(0),
            all: AtomicU64::new(0),
        };
        let help = "Time that admitted requests waited for a place";
        registry.register_with_unit("admission_wait", help, Unit::Seconds, load.waits.clone());
        registry.register(
            "admission_refused",
            "Requests that were not begun, by class and reason",
            load.refused.clone(),
        );
        let help = "Questions that were to be answered below full effort, by the step of the ladder";
        registry.register("questions_hurried", help, load.hurried.clone());
        registry.register("admission_places", "Requests that may be in work, by class", load.places.clone());
        registry.register("admission_in_work", "Requests in work, by class", load.in_work.clone());
        registry.register("admission_waiting", "Requests that wait for a place, by class", load.waiting.clone());
        let help = "How long a new question would wait in turn, as a share of server.overload.queue_target";
        registry.register_with_unit("admission_pressure", help, Unit::Ratios, load.pressure.clone());
        registry.register("connections_closed", "Connections that the server closed, by reason", load.closed.clone());
        load
    }

    /// A request has a place after a wait.
    pub fn admitted(&self, class: Class, waited: Duration) {
        self.waits.get_or_create(&ClassLabels { class: class.word() }).observe(waited.as_secs_f64());
    }

    /// A request is refused.
    pub fn refused(&self, class: Class, refusal: Refusal) {
        let reason = match refusal {
            Refusal::Full => "queue_full",
            Refusal::Share => "share",
            Refusal::Waited => "waited",
            Refusal::Late => "deadline",
        };
        self.refused.get_or_create(&RefusedLabels { class: class.word(), reason }).inc();
        self.untold.fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
    }

    /// A question is to be answered below full effort.
    pub fn hurried(&self, effort: Effort) {
        self.hurried.get_or_create(&EffortLabels { effort: effort.word() }).inc();
    }

    /// The server closes a connection.
    pub fn closes(&self, reason: &'static str) {
        self.closed.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Seconds after which the next who is refused may ask again.
    pub fn retry_after(&self) -> u32 {
        1 + (self.all.load(Ordering::Relaxed) % SPREAD) as u32
    }

    /// Refusals since this was asked last.
    pub fn untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }

    /// Takes the figures of this moment.
    pub fn look(&self, admission: &Admission) {
        self.pressure.set(admission.pressure());
        for class in Class::ALL {
            let labels = ClassLabels { class: class.word() };
            let (in_work, waiting, places) = admission.figures(class);
            self.in_work.get_or_create(&labels).set(in_work as i64);
            self.waiting.get_or_create(&labels).set(waiting as i64);
            self.places.get_or_create(&labels).set(places as i64);
        }
    }
}
