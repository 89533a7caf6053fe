//! When to train again. A pure function of what is known and of the time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::watch::{ClickRate, fell};
use crate::config::RetrainConfig;
use crate::record::{Span, Timestamp};

/// The longest wait between two attempts.
const LONGEST_WAIT: Span = Span::days(1);

/// What is known when the policy is asked.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When it is.
    pub now: Timestamp,
    /// When the last snapshot was begun that came to answer; `None` before the first.
    pub trained: Option<Timestamp>,
    /// When the last training was begun, however it ended.
    pub attempted: Option<Timestamp>,
    /// Events that came in since it was begun.
    pub new_events: u64,
    /// What has drifted and can be answered by a training.
    pub drifted: Vec<String>,
    /// Click-through before and now, where it is known.
    pub clicks: Option<(ClickRate, ClickRate)>,
}

/// Why a training is due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "because")]
pub enum Reason {
    /// Somebody asked.
    Asked,
    /// There is no snapshot yet.
    NoSnapshot,
    /// The snapshot is so old.
    Age {
        /// Since when it has been there.
        since: Timestamp,
    },
    /// So many events are new.
    Events {
        /// How many.
        new: u64,
    },
    /// The data have drifted.
    Drift {
        /// What has.
        of: Vec<String>,
    },
    /// People take less of what they are shown.
    Clicks {
        /// Click-through before.
        before: f64,
        /// Click-through now.
        now: f64,
    },
}

impl std::fmt::Display for Reason {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked => to.write_str("somebody asked"),
            Self::NoSnapshot => to.write_str("there is no snapshot yet"),
            Self::Age { since } => write!(to, "the snapshot is of {since}"),
            Self::Events { new } => write!(to, "{new} events are new"),
            Self::Drift { of } => write!(to, "drifted: {}", of.join(", ")),
            Self::Clicks { before, now } => write!(to, "click-through fell from {before:.4} to {now:.4}"),
        }
    }
}

/// Why a training is due; `None` when none is. Without any new event none is ever.
pub fn reason(config: &RetrainConfig, facts: &Facts) -> Option<Reason> {
    let has_passed = |span: Span, then: Timestamp| facts.now.is_after(then, span.millis());
    if !config.enabled || !facts.attempted.is_none_or(|then| has_passed(config.pause, then)) {
        return None;
    }
    if facts.new_events == 0 {
        return None;
    }
    let Some(trained) = facts.trained else { return Some(Reason::NoSnapshot) };
    if config.on_drift && !facts.drifted.is_empty() {
        return Some(Reason::Drift { of: facts.drifted.clone() });
    }
    if let Some((before, now)) = facts.clicks
        && config.click_fall > 0.0
        && fell(before, now, config.click_fall, config.alpha)
    {
        return Some(Reason::Clicks { before: before.rate, now: now.rate });
    }
    if config.events > 0 && facts.new_events >= config.events {
        return Some(Reason::Events { new: facts.new_events });
    }
    let is_old = config.every.is_some_and(|every| has_passed(every, trained));
    is_old.then_some(Reason::Age { since: trained })
}

/// How long to wait before a training that failed is tried again: `pause` after the first failure, twice that after the second, …
pub fn retry_after(pause: Span, attempt: u32) -> i64 {
    let longest = LONGEST_WAIT.millis().max(pause.millis());
    pause.millis().saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_millis(hours * 3_600_000).unwrap()
    }

    fn config() -> RetrainConfig {
        RetrainConfig { enabled: true, ..RetrainConfig::default() }
    }

    fn facts(hours: i64) -> Facts {
        Facts {
            now: at(hours),
            trained: Some(at(0)),
            attempted: Some(at(0)),
            new_events: 10,
            drifted: Vec::new(),
            clicks: None,
        }
    }

    #[test]
    fn age_events_drift_and_falling_clicks_each_are_a_reason() {
        let config = RetrainConfig { events: 1_000, ..config() };
        assert_eq!(reason(&config, &facts(12)), None);
        assert_eq!(reason(&config, &facts(24)), Some(Reason::Age { since: at(0) }));
        assert_eq!(reason(&config, &Facts { new_events: 1_000, ..facts(12) }), Some(Reason::Events { new: 1_000 }));
        let drifted = Facts { drifted: vec!["popularity js".into()], ..facts(12) };
        assert_eq!(reason(&config, &drifted), Some(Reason::Drift { of: vec!["popularity js".into()] }));
        let clicks = Some((ClickRate::of(100_000, 10_000), ClickRate::of(100_000, 5_000)));
        let fallen = Facts { clicks, ..facts(12) };
        assert_eq!(reason(&config, &fallen), Some(Reason::Clicks { before: 0.1, now: 0.05 }));
        assert_eq!(reason(&config, &Facts { trained: None, ..facts(12) }), Some(Reason::NoSnapshot));
    }

    #[test]
    fn nothing_is_done_within_the_pause_without_new_events_or_when_it_is_off() {
        let drifted = Facts { drifted: vec!["x".into()], ..facts(100) };
        assert_eq!(reason(&config(), &Facts { attempted: Some(at(99)), ..drifted.clone() }), None);
        assert_eq!(reason(&config(), &Facts { new_events: 0, ..drifted.clone() }), None);
        assert_eq!(reason(&RetrainConfig::default(), &drifted), None);
        assert!(reason(&config(), &drifted).is_some());
        // A clock that was set back does not stop it for as long.
        assert!(reason(&config(), &Facts { attempted: Some(at(1_000)), ..drifted }).is_some());
    }

    #[test]
    fn failures_are_retried_ever_more_rarely() {
        let hours = [1, 2, 3, 30].map(|attempt| retry_after(Span::seconds(3600), attempt) / 3_600_000);
        assert_eq!(hours, [1, 2, 4, 24]);
    }
}
