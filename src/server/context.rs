//! What every handler is given: the engine, the metrics and whether the server is stopping.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::admission::Admission;
use super::metrics::Metrics;
use crate::config::ServerConfig;
use crate::engine::Engine;
use crate::record::Answer;

/// Shared by all requests.
pub struct Context {
    /// Answers the questions.
    pub engine: Engine,
    /// Counts.
    pub metrics: Metrics,
    /// Who may begin.
    pub admission: Admission,
    /// Held by the one comparison of snapshots that may be in work: it reads the whole log.
    pub comparing: Mutex<()>,
    stopping: AtomicBool,
    closed: AtomicBool,
}

impl Context {
    /// A context for a running server.
    pub fn new(engine: Engine, config: &ServerConfig) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            engine,
            metrics: Metrics::new(),
            admission: Admission::new(config, processors),
            comparing: Mutex::default(),
            stopping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

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

    /// Counts an answer that fell back to something less than what was asked for.
    pub fn note(&self, answer: Answer) -> Answer {
        if let Some(reason) = answer.degraded {
            self.metrics.degraded(reason);
        }
        answer
    }
}
