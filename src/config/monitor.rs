//! What is watched, when it is too much, and when to train again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::{Error, Result};
use crate::record::Span;

/// What is watched, and when it is too much. All levels are of statistics from which chance has been taken off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MonitorConfig {
    /// How often a server looks.
    pub every: Span,
    /// The newest events of this span are held beside the newest of the training.
    pub window: Span,
    /// With fewer events on either side nothing is said.
    pub min_events: u64,
    /// An alarm rises, and falls, after so many looks in a row.
    pub looks: u32,
    /// An alarm falls below this share of its level.
    pub clear: f64,
    /// Too much of a population stability index.
    pub psi: f64,
    /// Too much of a Kolmogorov–Smirnov distance.
    pub ks: f64,
    /// Too much of a Jensen–Shannon divergence, in bits.
    pub js: f64,
    /// The same between the most taken items then and now.
    pub popularity: f64,
    /// So many times as many events a day, or as few, are too much.
    pub volume: f64,
    /// So many times as many different users or items in equally many events, or as few, are too much.
    pub cardinality: f64,
    /// Too much of a change in the share of events without a value.
    pub missing: f64,
    /// Too much of a rise in the share of events that are the first of their user or item.
    pub new: f64,
    /// Too large a share of positive events with items that the snapshot does not know.
    pub uncovered: f64,
    /// Too large a distance of the clicks that a ranker's scores foretell from those that came, as a share of them.
    pub calibration: f64,
    /// Alarms and decisions are posted here, as JSON: `http(s)://HOST[:PORT]/PATH`. It is shown nowhere: who knows it may post there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            every: Span::seconds(600),
            window: Span::days(7),
            min_events: 500,
            looks: 3,
            clear: 0.6,
            psi: 0.25,
            ks: 0.25,
            js: 0.1,
            popularity: 0.3,
            volume: 3.0,
            cardinality: 2.0,
            missing: 0.2,
            new: 0.2,
            uncovered: 0.3,
            calibration: 0.3,
            webhook: None,
        }
    }
}

/// When to train again without being asked, and how a new snapshot comes to answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetrainConfig {
    /// Whether a server trains by itself.
    pub enabled: bool,
    /// When the snapshot is so old; absent: never for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// When there are so many events that it has not seen; 0: never for that.
    pub events: u64,
    /// When tastes have drifted.
    pub on_drift: bool,
    /// When click-through has fallen by this share of what it was, certain to 1 − `alpha`; 0: never for that.
    pub click_fall: f64,
    /// At least so long between two trainings.
    pub pause: Span,
    /// Threads of a training; they stand back for those that answer.
    pub threads: usize,
    /// A training that fails or is cut off by a crash is begun so many times in all.
    pub attempts: u32,
    /// A new snapshot has at least this share of the events of the old one.
    pub least_events: f64,
    /// A new snapshot may take so many times as long to search.
    pub slower: f64,
    /// The lists of a new snapshot may be so many bits farther from the newest events than the old one's.
    pub list_drift: f64,
    /// A new snapshot answers this share of users first; 0: all at once.
    pub canary: f64,
    /// A new snapshot is watched so long.
    pub watch: Span,
    /// Error probability of the watch, however often it looks.
    pub alpha: f64,
    /// Decisions and their numbers are kept so long; those of the last hundred jobs longer, of more than 2,000 older ones none.
    pub history: Span,
}

impl Default for RetrainConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            every: Some(Span::days(1)),
            events: 0,
            on_drift: true,
            click_fall: 0.1,
            pause: Span::seconds(6 * 3600),
            threads: 1,
            attempts: 3,
            least_events: 0.8,
            slower: 3.0,
            list_drift: 0.1,
            canary: 0.0,
            watch: Span::seconds(12 * 3600),
            alpha: 0.05,
            history: Span::days(365),
        }
    }
}

impl MonitorConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("every", self.every.millis() as f64, 1_000.0..=f64::MAX)?;
        check("window", self.window.millis() as f64, 1_000.0..=f64::MAX)?;
        check("looks", f64::from(self.looks), 1.0..=1000.0)?;
        check("clear", self.clear, 0.0..=1.0)?;
        let levels = [("psi", self.psi), ("ks", self.ks), ("js", self.js), ("popularity", self.popularity)];
        let shares = [("missing", self.missing), ("new", self.new), ("uncovered", self.uncovered)];
        for (name, level) in levels.into_iter().chain(shares).chain([("calibration", self.calibration)]) {
            check(name, level, 1e-6..=100.0)?;
        }
        check("volume", self.volume, 1.01..=1e6)?;
        check("cardinality", self.cardinality, 1.01..=1e6)?;
        match &self.webhook {
            Some(url)
                if !["http://", "https://"]
                    .iter()
                    .any(|of| url.strip_prefix(of).is_some_and(|rest| !rest.is_empty())) =>
            {
                Err(Error::invalid("webhook", "is no address, expected http://HOST/PATH or https://HOST/PATH"))
            }
            _ => Ok(()),
        }
    }

    /// The same without what may be a secret: of the webhook's address the host stays.
    pub fn shown(&self) -> Self {
        let host = |url: &String| {
            let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/…")
        };
        Self { webhook: self.webhook.as_ref().map(host), ..self.clone() }
    }
}

impl RetrainConfig {
    pub(super) fn validate(&self) -> Result<()> {
        if let Some(every) = self.every {
            check("every", every.millis() as f64, 1_000.0..=f64::MAX)?;
        }
        check("click_fall", self.click_fall, 0.0..=1.0)?;
        check("pause", self.pause.millis() as f64, 0.0..=f64::MAX)?;
        check("threads", self.threads as f64, 1.0..=1024.0)?;
        check("attempts", f64::from(self.attempts), 1.0..=100.0)?;
        check("least_events", self.least_events, 0.0..=1.0)?;
        check("slower", self.slower, 1.0..=1e6)?;
        check("list_drift", self.list_drift, 0.0..=1.0)?;
        check("canary", self.canary, 0.0..=1.0)?;
        check("watch", self.watch.millis() as f64, 0.0..=f64::MAX)?;
        check("history", self.history.millis() as f64, 0.0..=f64::MAX)?;
        check("alpha", self.alpha, 1e-6..=0.5)
    }
}
