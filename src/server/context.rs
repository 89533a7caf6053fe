//! What every handler is given: the engine, the metrics and whether the server is stopping.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::metrics::Metrics;
use crate::engine::Engine;
use crate::record::Answer;

/// Shared by all requests.
pub struct Context {
    /// Answers the questions.
    pub engine: Engine,
    /// Counts.
    pub metrics: Metrics,
    /// Held by the one comparison of snapshots that may be in work: it reads the whole log.
    pub comparing: Mutex<()>,
    stopping: AtomicBool,
}

impl Context {
    /// A context for a running server.
    pub fn new(engine: Engine) -> Self {
        Self { engine, metrics: Metrics::new(), comparing: Mutex::default(), stopping: AtomicBool::new(false) }
    }

    /// From now on the server is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the server takes no new work.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Counts an answer that fell back to something less than what was asked for.
    pub fn note(&self, answer: Answer) -> Answer {
        if let Some(reason) = answer.degraded {
            self.metrics.degraded(reason);
        }
        answer
    }
}
