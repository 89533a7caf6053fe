//! What is kept of answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::Result;
use crate::record::Span;

/// Bytes that may wait to be written for each answer that may wait: about twice what one of twenty items takes.
pub const EXPOSURE_BYTES: u64 = 2_048;

/// What is kept of answers, so that outcomes join what was shown: needed by experiments' reports and by replays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExposuresConfig {
    /// Whether a server keeps what it shows. In the library, `Engine::keep_exposures` says so.
    pub enabled: bool,
    /// So long they are kept.
    pub retention: Span,
    /// So much of them is kept, in MiB as they are written; beyond it the oldest go before their time. A tenant with a quota of
    /// `storage_bytes` keeps no more than a quarter of that.
    pub max_mib: u64,
    /// Answers that may wait to be written, with 2 KiB each on the average; more are dropped and counted, as no answer waits for the
    /// disk.
    pub queue: usize,
    /// An event that names no answer is an outcome of the last one that showed its item to the user so long before; absent: of
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribution_window: Option<Span>,
}

impl Default for ExposuresConfig {
    fn default() -> Self {
        Self { enabled: true, retention: Span::days(90), max_mib: 16_384, queue: 16_384, attribution_window: None }
    }
}

impl ExposuresConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("retention", self.retention.millis() as f64, 1.0..=f64::MAX)?;
        check("max_mib", self.max_mib as f64, 1.0..=1e9)?;
        check("queue", self.queue as f64, 1.0..=1e6)
    }
}
