//! What a new snapshot must show, number by number, and what is remembered of each decision about it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::distance::{jensen_shannon, side_by_side};
use crate::record::{SnapshotId, Timestamp};

/// One number of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// What was seen.
    pub value: f64,
    /// What it was held against.
    pub limit: f64,
    /// Whether it is good enough.
    pub passed: bool,
    /// What the numbers are, for a human reader.
    pub detail: String,
}

impl Check {
    /// Passes if the value is not below the limit.
    pub fn at_least(name: &str, value: f64, limit: f64, detail: impl Into<String>) -> Self {
        Self { name: name.into(), value, limit, passed: value >= limit, detail: detail.into() }
    }

    /// Passes if the value is not above the limit.
    pub fn at_most(name: &str, value: f64, limit: f64, detail: impl Into<String>) -> Self {
        Self { name: name.into(), value, limit, passed: value <= limit, detail: detail.into() }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// A training begins.
    Train,
    /// A training that failed or was cut off begins again.
    Retry,
    /// It is not tried again before something new happens.
    GiveUp,
    /// The snapshot may not answer.
    Reject,
    /// The snapshot answers everybody.
    Swap,
    /// The snapshot answers some users.
    Canary,
    /// The snapshot stays.
    Keep,
    /// The one before comes back.
    RollBack,
}

impl DecisionKind {
    /// Its name, as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Retry => "retry",
            Self::GiveUp => "give_up",
            Self::Reject => "reject",
            Self::Swap => "swap",
            Self::Canary => "canary",
            Self::Keep => "keep",
            Self::RollBack => "roll_back",
        }
    }
}

/// A decision and its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// When.
    pub time: Timestamp,
    /// What.
    pub kind: DecisionKind,
    /// About which snapshot.
    pub snapshot: Option<SnapshotId>,
    /// Why.
    pub reason: String,
    /// The numbers.
    pub checks: Vec<Check>,
}

impl Decision {
    /// A decision without numbers.
    pub fn new(time: Timestamp, kind: DecisionKind, snapshot: Option<SnapshotId>, reason: String) -> Self {
        Self { time, kind, snapshot, reason, checks: Vec::new() }
    }
}

/// Whether a snapshot's lists have moved away from what people take. Counts of items by external id: in the first places of some users' lists by the
/// old and by the new snapshot, and in the newest events. Lists may change as much as they like while they come nearer
/// to the events; away from them by no more than `tolerance` bits, unless they have hardly changed.
pub fn judge_lists(
    old: &BTreeMap<String, u64>,
    new: &BTreeMap<String, u64>,
    taken: &BTreeMap<String, u64>,
    tolerance: f64,
) -> Check {
    let distance = |a, b| jensen_shannon(side_by_side(a, b));
    let (moved, was, is) = (distance(old, new), distance(taken, old), distance(taken, new));
    let detail =
        format!("lists moved by {moved:.3} bits; from the newest events they were {was:.3} and are {is:.3} bits away");
    Check::at_most("top lists", (is - was).min(moved), tolerance, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(items: std::ops::Range<u64>) -> BTreeMap<String, u64> {
        items.map(|item| (item.to_string(), 100)).collect()
    }

    #[test]
    fn lists_may_follow_the_events_but_not_leave_them() {
        let (then, now) = (counts(0..50), counts(40..90));
        assert!(judge_lists(&then, &now, &now, 0.1).passed);
        assert!(judge_lists(&then, &then, &now, 0.1).passed);
        assert!(!judge_lists(&now, &then, &now, 0.1).passed);
    }
}
