//! What has changed since a snapshot was trained: the portrait of the newest events beside the one that was kept with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::distance::{
    divergence_of_numbers, jensen_shannon, kolmogorov_smirnov, rank_correlation, side_by_side, stability_index,
    stability_of_numbers,
};
use crate::config::MonitorConfig;
use crate::features::Portrait;
use crate::record::{SnapshotId, Timestamp};

/// Fewer numbers say nothing of a spread.
const FEWEST: usize = 30;

/// What has changed since the snapshot that answers was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DriftReport {
    /// When it was looked at.
    pub time: Timestamp,
    /// The snapshot that answers.
    pub snapshot: Option<SnapshotId>,
    /// Events that the snapshot's own figures are of.
    pub reference_events: u64,
    /// Events since then that are held beside them.
    pub events: u64,
    /// Spearman's rank correlation of the most taken items, then and now.
    pub top_correlation: Option<f64>,
    /// What differs, and by how much.
    pub differences: Vec<Drifted>,
    /// Why nothing can be said, where that is so.
    pub note: Option<String>,
}

/// One statistic and the level at which it is too much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drifted {
    /// What it is of, and which statistic: `value ks`, `popularity js`, `volume`.
    pub name: String,
    /// How much differs; 0 for nothing.
    pub value: f64,
    /// Above this it is too much.
    pub level: f64,
    /// Whether a training can answer it: changed tastes, not broken input.
    pub is_cause: bool,
    /// Whether its alarm is up.
    pub is_raised: bool,
}

/// What is known beside the events.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// The share of the newest positive events that are with items the snapshot knows.
    pub coverage: Option<f64>,
    /// The calibration error of foretold clicks, where exposures are kept.
    pub calibration: Option<f64>,
}

/// All differences, in a fixed order; empty with fewer events than are wanted. Two numbers that are compared as a ratio differ by the
/// logarithm of it to base 2.
pub fn differences(reference: &Portrait, current: &Portrait, beside: &Beside, config: &MonitorConfig) -> Vec<Drifted> {
    let mut found = Found(Vec::new());
    if reference.events < config.min_events || current.events < config.min_events {
        return found.0;
    }
    let is_daylong = |portrait: &Portrait| portrait.days() >= 1.0;
    let nothing = Default::default();
    for (name, now) in &current.names {
        // Part of a day has other hours than a week.
        if name == "hour" && !(is_daylong(reference) && is_daylong(current)) {
            continue;
        }
        let counts = side_by_side(&reference.names.get(name).unwrap_or(&nothing).0, &now.0);
        found.add(name, "psi", stability_index(counts.clone()), config.psi, false);
        found.add(name, "js", jensen_shannon(counts), config.js, false);
    }
    for (name, now) in &current.spreads {
        let Some(then) = reference.spreads.get(name) else { continue };
        // Vectors lengthen as histories do: that alone is no change of taste.
        let is_cause = ["vector.axis", "score."].iter().any(|prefix| name.starts_with(prefix));
        if then.sample.len() >= FEWEST && now.sample.len() >= FEWEST {
            found.add(name, "psi", stability_of_numbers(&then.sample, &now.sample), config.psi, is_cause);
            found.add(name, "ks", kolmogorov_smirnov(&then.sample, &now.sample), config.ks, is_cause);
            found.add(name, "js", divergence_of_numbers(&then.sample, &now.sample), config.js, is_cause);
        }
        if then.missing + now.missing > 0 {
            found.add(name, "missing", (now.missing_share() - then.missing_share()).abs(), config.missing, false);
        }
    }
    found.add("popularity", "js", popularity_shift(reference, current), config.popularity, true);
    let doubled = |then: f64, now: f64| if then > 0.0 && now > 0.0 { (now / then).log2().abs() } else { 0.0 };
    if is_daylong(reference) && is_daylong(current) {
        let daily = |portrait: &Portrait| portrait.events as f64 / portrait.days();
        found.add("volume", "", doubled(daily(reference), daily(current)), config.volume.log2(), false);
    }
    let level = config.cardinality.log2();
    found.add("users", "cardinality", doubled(reference.in_block.0, current.in_block.0), level, false);
    found.add("items", "cardinality", doubled(reference.in_block.1, current.in_block.1), level, false);
    let first = |firsts: u64, portrait: &Portrait| firsts as f64 / portrait.events.max(1) as f64;
    let new = |of: fn(&Portrait) -> u64| first(of(current), current) - first(of(reference), reference);
    found.add("users", "new", new(|portrait| portrait.firsts.0).max(0.0), config.new, true);
    found.add("items", "new", new(|portrait| portrait.firsts.1).max(0.0), config.new, true);
    if let Some(coverage) = beside.coverage {
        found.add("uncovered", "", 1.0 - coverage, config.uncovered, true);
    }
    if let Some(calibration) = beside.calibration {
        // By day and by season people click more or less: a training would not change that.
        found.add("calibration", "", calibration, config.calibration, false);
    }
    found.0
}

/// How long no event has come, as a share of the longest that is usual: the time that `min_events` take at the reference's pace, or half
/// a day, as nights are quiet. `None` where the reference is too short to have a pace.
pub fn silence(reference: &Portrait, newest: Timestamp, now: Timestamp, config: &MonitorConfig) -> Option<Drifted> {
    let has_pace = reference.events >= config.min_events && reference.days() >= 1.0;
    let usual = (config.min_events as f64 / (reference.events as f64 / reference.days())).max(0.5);
    let days = (now.millis() - newest.millis()).max(0) as f64 / 86_400_000.0;
    has_pace.then(|| Drifted {
        name: "silence".into(),
        value: days / usual,
        level: 1.0,
        is_cause: false,
        is_raised: false,
    })
}

/// Spearman's correlation over the items that are among the most taken then or now.
pub fn top_correlation(reference: &Portrait, current: &Portrait) -> f64 {
    rank_correlation(&side_by_side(&reference.top, &current.top))
}

/// Over the items that are among the most taken on either side, and all others as one. An item that is not among the most taken
/// of a side counts there as nothing, so lists of equals turn over a little by themselves: the level is above that.
fn popularity_shift(reference: &Portrait, current: &Portrait) -> f64 {
    let mut counts = side_by_side(&reference.top, &current.top);
    let rest = |portrait: &Portrait| portrait.positive.saturating_sub(portrait.top.values().sum()) as f64;
    counts.push((rest(reference), rest(current)));
    jensen_shannon(counts)
}

struct Found(Vec<Drifted>);

impl Found {
    fn add(&mut self, of: &str, statistic: &str, value: f64, level: f64, is_cause: bool) {
        let name = if statistic.is_empty() { of.to_owned() } else { format!("{of} {statistic}") };
        self.0.push(Drifted { name, value, level, is_cause, is_raised: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Spread;

    fn portrait(events: u64, first_item: u64) -> Portrait {
        let mut value = Spread::default();
        (0..events).for_each(|event| value.add(Some((event % 7) as f32)));
        Portrait {
            events,
            between: (0, 7 * 86_400_000),
            spreads: [("value".to_owned(), value)].into(),
            top: (0..50).map(|item| ((first_item + item).to_string(), events / 100)).collect(),
            positive: events,
            in_block: (100.0, 50.0),
            ..Portrait::default()
        }
    }

    fn above(reference: &Portrait, current: &Portrait, beside: &Beside) -> Vec<String> {
        let found = differences(reference, current, beside, &MonitorConfig::default());
        found.into_iter().filter(|found| found.value > found.level).map(|found| found.name).collect()
    }

    #[test]
    fn silence_is_told_after_half_a_day_or_as_long_as_some_events_take() {
        let after = |events: u64, hours: i64| {
            let newest = Timestamp::from_millis(1_000 * 3_600_000).unwrap();
            let now = Timestamp::from_millis((1_000 + hours) * 3_600_000).unwrap();
            silence(&portrait(events, 0), newest, now, &MonitorConfig::default()).map(|of| of.value > of.level)
        };
        assert_eq!((after(100_000, 11), after(100_000, 13)), (Some(false), Some(true)));
        // 500 in seven days: seven days without any are nothing new.
        assert_eq!((after(500, 167), after(500, 169)), (Some(false), Some(true)));
        assert_eq!(after(499, 999), None);
    }

    #[test]
    fn the_same_again_has_not_drifted() {
        assert!(above(&portrait(10_000, 0), &portrait(5_000, 0), &Beside::default()).is_empty());
    }

    #[test]
    fn each_change_is_named() {
        let reference = portrait(10_000, 0);
        let shifted = portrait(10_000, 500);
        assert_eq!(above(&reference, &shifted, &Beside::default()), ["popularity js"]);
        let mut broken = portrait(10_000, 0);
        let values = broken.spreads.get_mut("value").unwrap();
        values.missing = values.count;
        assert_eq!(above(&reference, &broken, &Beside::default()), ["value missing"]);
        let beside = Beside { coverage: Some(0.2), calibration: Some(0.5) };
        assert_eq!(above(&reference, &reference, &beside), ["uncovered", "calibration"]);
        assert_eq!(above(&reference, &portrait(1_500, 0), &Beside::default()), ["volume"]);
        let mut one_robot = portrait(10_000, 0);
        one_robot.in_block = (1.0, 50.0);
        assert_eq!(above(&reference, &one_robot, &Beside::default()), ["users cardinality"]);
    }

    #[test]
    fn a_few_events_say_nothing() {
        assert!(
            differences(&portrait(10_000, 0), &portrait(10, 500), &Beside::default(), &MonitorConfig::default())
                .is_empty()
        );
    }
}
