//! What is kept of people, and how long.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::Result;
use crate::record::{Span, Timestamp};

/// How long events stay, by type. What is older is removed from the log, from histories and from counters, and so from the next
/// training; models that were trained before stay until they retire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// How long events of a type stay: `view = "90d"`.
    pub events: BTreeMap<String, Span>,
    /// How long events of types that are not listed stay; absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<Span>,
    /// So often a server looks for events that are too old.
    pub every: Span,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { events: BTreeMap::new(), other: None, every: Span::days(1) }
    }
}

impl RetentionConfig {
    /// Whether anything is ever too old.
    pub fn is_limited(&self) -> bool {
        self.other.is_some() || !self.events.is_empty()
    }

    /// Events of a type that happened before this are too old; `None` if none ever is.
    pub fn oldest(&self, kind: &str, now: Timestamp) -> Option<Timestamp> {
        self.events.get(kind).copied().or(self.other).map(|span| now.before(span))
    }

    /// The latest of these times over all types.
    pub fn latest(&self, now: Timestamp) -> Option<Timestamp> {
        self.events.values().copied().chain(self.other).map(|span| now.before(span)).max()
    }

    pub(super) fn validate(&self) -> Result<()> {
        for (kind, span) in &self.events {
            check(&format!("events.{kind}"), span.millis() as f64, 1.0..=f64::MAX)?;
        }
        if let Some(span) = self.other {
            check("other", span.millis() as f64, 1.0..=f64::MAX)?;
        }
        check("every", self.every.millis() as f64, 1.0..=f64::MAX)
    }
}

/// When what is deleted is gone from the files. Logs name no users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PrivacyConfig {
    /// What is deleted can be read no more at once; so long after it a server rewrites the files that still have its bytes.
    pub purge_after: Span,
}

impl Default for PrivacyConfig {
    fn default() -> Self {
        Self { purge_after: Span::days(1) }
    }
}

impl PrivacyConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("purge_after", self.purge_after.millis() as f64, 0.0..=f64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_own_span_and_others_a_common_one_or_none() {
        let now = Timestamp::from_millis(10_000).unwrap();
        let mut config = RetentionConfig::default();
        assert!(!config.is_limited() && config.latest(now).is_none() && config.oldest("view", now).is_none());
        config.events.insert("view".into(), Span::seconds(2));
        assert_eq!(config.oldest("view", now).unwrap().millis(), 8_000);
        assert!(config.oldest("buy", now).is_none());
        config.other = Some(Span::seconds(1));
        assert_eq!(config.oldest("buy", now).unwrap().millis(), 9_000);
        assert_eq!(config.latest(now).unwrap().millis(), 9_000);
    }
}
