//! What a user of an experiment was shown and did, day by day, and what that comes to from one of the days on.

use crate::record::{MetricKind, Timestamp};

/// A metric of a user: above the line and below it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Clicks, revenue.
    pub of: f64,
    /// Answers, dwell times, sessions; or 1 where the metric is an average over users.
    pub over: f64,
}

impl Sum {
    /// Takes in what the same user did on another day.
    pub fn join(&mut self, kind: MetricKind, other: Self) {
        match kind {
            MetricKind::Conversion => *self = Self { of: self.of.max(other.of), over: 1.0 },
            MetricKind::Revenue => *self = Self { of: self.of + other.of, over: 1.0 },
            MetricKind::ClickThrough | MetricKind::Dwell | MetricKind::SessionLength => {
                *self = Self { of: self.of + other.of, over: self.over + other.over };
            }
        }
    }
}

/// A day of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct Day {
    /// Which, counted from 0.
    pub number: u32,
    /// Answers that were given.
    pub answers: u32,
    /// What came of the answers of that day, by metric.
    pub sums: Vec<Sum>,
}

impl Day {
    /// What the day comes to by the metric at a place.
    pub fn figure(&self, kind: MetricKind, place: usize) -> Sum {
        let sum = self.sums.get(place).copied().unwrap_or_default();
        match kind {
            MetricKind::ClickThrough => Sum { over: f64::from(self.answers), ..sum },
            MetricKind::Conversion | MetricKind::Revenue => Sum { over: 1.0, ..sum },
            MetricKind::Dwell | MetricKind::SessionLength => sum,
        }
    }
}

/// All days of a user.
#[derive(Clone, Copy, Debug)]
pub struct Course<'t> {
    /// When the first answer was given.
    pub first: Timestamp,
    /// The days on which anything happened, in their order.
    pub days: &'t [Day],
    /// What the user did before the experiment, by metric.
    pub before: &'t [f64],
}
