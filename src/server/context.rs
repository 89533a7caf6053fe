//! What every handler is given: the engine of the tenant that the request is about, the metrics and whether the server is
//! stopping.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::metrics::Metrics;
use super::tenancy::Desk;
use crate::engine::{Engine, Tenants};
use crate::record::Answer;

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
    /// All tenants.
    pub tenants: Tenants,
    stopping: AtomicBool,
}

impl Deref for Context {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Context {
    /// The context of the data directory itself, for a running server.
    pub fn new(tenants: Tenants) -> Self {
        let engine = tenants.home().clone();
        let shared = Shared { metrics: Metrics::new(), tenants, stopping: AtomicBool::new(false) };
        Self { engine, comparing: Arc::default(), shared: Arc::new(shared) }
    }

    /// The same for a tenant.
    pub fn of(&self, engine: Engine, desk: &Desk) -> Self {
        Self { engine, comparing: Arc::clone(&desk.comparing), shared: Arc::clone(&self.shared) }
    }

    /// Counts an answer that fell back to something less than what was asked for.
    pub fn note(&self, answer: Answer) -> Answer {
        if let Some(reason) = answer.degraded {
            self.metrics.degraded(reason);
        }
        answer
    }
}

impl Shared {
    /// From now on the server is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the server takes no new work.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
