//! How long work tells its caller where it stands, and how the caller stops it. Typed steps, so that a face can draw a
//! bar, a log can have fields and a test can count.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Span;

/// Where a long operation stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "step")]
#[non_exhaustive]
pub enum Step {
    /// Trainings of other tenants come first.
    Waiting {
        /// So many of them.
        ahead: u64,
    },
    /// It is this one's turn.
    Started,
    /// Rows of a file have been read and their records stored.
    Importing {
        /// So many rows until now.
        rows: u64,
        /// So many of them could not be stored.
        rejected: u64,
        /// So many bytes of the file.
        bytes: u64,
        /// Of so many, if the size is known.
        total_bytes: Option<u64>,
    },
    /// Events have been read from the log.
    Reading {
        /// So many until now.
        events: u64,
    },
    /// A part of the model is about to be trained.
    Training {
        /// Which, as the configuration's `blend` names it.
        part: String,
    },
    /// A pass over both sides is done.
    Epoch {
        /// The pass, counted from 1.
        epoch: usize,
        /// Of so many.
        epochs: usize,
        /// The training objective after it.
        loss: f64,
    },
    /// Vectors have been put into the graph.
    Indexing {
        /// So many until now.
        done: usize,
        /// Of so many.
        total: usize,
    },
    /// Test users have been ranked.
    Evaluating {
        /// So many until now.
        done: usize,
        /// Of so many.
        total: usize,
    },
    /// A half-life is about to be tried.
    Fading {
        /// After so long an event weighs half; absent: none fades.
        half_life: Option<Span>,
    },
    /// A trial of a search has been measured.
    Tuning {
        /// Trials with a result until now.
        trial: usize,
        /// Of so many.
        trials: usize,
        /// The best metric until now.
        best: Option<f64>,
        /// How long the rest may take.
        seconds_left: Option<f64>,
    },
    /// Factors and index are being written.
    Writing,
}

/// Receives the steps of a long operation; called from worker threads.
pub trait Progress: Send + Sync {
    /// Called at each step.
    fn report(&self, step: &Step);

    /// Asked often; once it is true the operation stops with [`crate::Error::Cancelled`] and leaves nothing behind.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Passes on that the work is to stop, and no steps: those of work side by side would be a jumble.
pub struct Quiet<'a>(pub &'a dyn Progress);

impl Progress for Quiet<'_> {
    fn report(&self, _: &Step) {}

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// Reports to nobody and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _: &Step) {}
}
