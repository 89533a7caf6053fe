//! What every handler is given: the engine of the tenant that the request is about, the metrics and whether the server is
//! stopping.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::admission::Admission;
use super::metrics::Metrics;
use super::tenancy::Desk;
use crate::config::ServerConfig;
use crate::engine::{Engine, Tenants};
use crate::record::{Answer, Degraded};

/// What a request is answered with. Made for each: it must not keep a tenant open that is to be closed.
pub struct Context {
    /// Answers the questions.
    pub engine: Engine,
    /// Held by the one comparison of snapshots that may be in work: it reads the whole log.
    pub comparing: Arc<Mutex<()>>,
    shared: Arc<Shared>,
}

/// Shared by all requests.
pub struct Shared {
    /// Counts.
    pub metrics: Metrics,
    /// Who may begin.
    pub admission: Admission,
    /// All tenants.
    pub tenants: Tenants,
    stopping: AtomicBool,
    closed: AtomicBool,
}

impl Deref for Context {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Context {
    /// The context of the data directory itself, for a running server.
    pub fn new(tenants: Tenants, config: &ServerConfig) -> Self {
        let engine = tenants.home().clone();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Shared {
            metrics: Metrics::new(),
            admission: Admission::new(config, processors),
            tenants,
            stopping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        };
        Self { engine, comparing: Arc::default(), shared: Arc::new(shared) }
    }

    /// The same for a tenant.
    pub fn of(&self, engine: Engine, desk: &Desk) -> Self {
        Self { engine, comparing: Arc::clone(&desk.comparing), shared: Arc::clone(&self.shared) }
    }

    /// Counts an answer that fell back to something less than what was asked for.
    pub fn note(&self, answer: Answer) -> Answer {
        self.note_degraded(answer.degraded);
        answer
    }

    /// The same where the answer is bytes already.
    pub fn note_degraded(&self, degraded: Option<Degraded>) {
        if let Some(reason) = degraded {
            self.metrics.degraded(reason);
        }
    }
}

impl Shared {
    /// From now on the server is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the server is not ready any more, though it may still take work.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// From now on no work is begun.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether no work is begun any more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
