//! Who would have taken part in an experiment, and with what figures, had it begun when the first of these users came: each
//! enters on the first of the days on which the ramp-up lets their hash in. The hash is a number that is even over users, so everybody
//! enters in part: on each day by as much as the share has grown since the day before on which they were there.

use super::course::{Course, Sum};
use super::moments::{Moments, UserFigure};
use super::tally::metrics;
use crate::record::{ExperimentDesign, MetricKind, PARTS, Span, Timestamp};

/// The users of an experiment that has not been, day by day.
pub struct Arrivals<'d> {
    design: &'d ExperimentDesign,
    kinds: Vec<MetricKind>,
    from: Timestamp,
    until: Timestamp,
    /// `[day][metric]`: those who have entered by the end of the day, with what they have done since they did. Of all users, whatever
    /// share of them the experiment takes at the end.
    moments: Vec<Vec<Moments>>,
    /// Who came for the first time in the second half.
    newcomers: f64,
}

impl<'d> Arrivals<'d> {
    /// Nobody yet.
    pub fn new(design: &'d ExperimentDesign, (from, until): (Timestamp, Timestamp)) -> Self {
        let kinds: Vec<MetricKind> = metrics(design).into_iter().map(|metric| metric.kind).collect();
        let days = (days_between(from, until).ceil() as usize).max(1);
        let moments = vec![vec![Moments::default(); kinds.len()]; days];
        Self { design, kinds, from, until, moments, newcomers: 0.0 }
    }

    /// Adds a user.
    pub fn add(&mut self, user: &Course<'_>) {
        if days_between(self.from, user.first) >= self.length() / 2.0 {
            self.newcomers += 1.0;
        }
        // Those of the user's parts that have entered, and what each has done since.
        let mut entered: Vec<(f64, Vec<Sum>)> = Vec::new();
        let mut let_in = 0.0;
        let mut days = user.days.iter().peekable();
        for number in 0..self.moments.len() {
            if let Some(day) = days.next_if(|day| day.number as usize == number) {
                let share = self.let_in_on(number as f64);
                if day.answers > 0 && share > let_in {
                    entered.push((share - let_in, vec![Sum::default(); self.kinds.len()]));
                    let_in = share;
                }
                for (_, sums) in &mut entered {
                    for (place, (kind, sum)) in self.kinds.iter().zip(sums).enumerate() {
                        sum.join(*kind, day.figure(*kind, place));
                    }
                }
            }
            let Some(moments) = self.moments.get_mut(number) else { return };
            for (share, sums) in &entered {
                for ((moments, sum), before) in moments.iter_mut().zip(sums).zip(user.before) {
                    moments.add_share(UserFigure { of: sum.of, over: sum.over, before: *before }, *share);
                }
            }
        }
    }

    /// Since when, and until when, users were looked at.
    pub fn span(&self) -> (Timestamp, Timestamp) {
        (self.from, self.until)
    }

    /// Users of a metric by the end of each day: when that is, in days from the start; how many take part; their moments.
    pub fn by_day(&self, metric: usize) -> impl Iterator<Item = (f64, f64, &Moments)> {
        self.moments.iter().enumerate().filter_map(move |(number, moments)| {
            let moments = moments.get(metric)?;
            Some(((number as f64 + 1.0).min(self.length()), moments.users() * self.traffic(), moments))
        })
    }

    /// When so many more have come than within the days that were looked at, in days from the start: newcomers come as in the second
    /// half of those.
    pub fn day_of_more(&self, users: f64) -> f64 {
        let a_day = self.newcomers / (self.length() / 2.0);
        let (mut missing, mut from) = (users, self.length());
        for (until, traffic) in self.steps().filter(|(until, _)| *until > self.length()) {
            let day = from + missing / (a_day * traffic);
            if day <= until {
                return day;
            }
            missing -= a_day * traffic * (until - from);
            from = until;
        }
        f64::INFINITY
    }

    /// How many days were looked at.
    fn length(&self) -> f64 {
        days_between(self.from, self.until)
    }

    /// The share of all users that takes part after the ramp-up.
    fn traffic(&self) -> f64 {
        f64::from(self.design.traffic) / f64::from(PARTS)
    }

    /// The steps of the ramp-up and what follows: when each ends, in days from the start, and the share of all users that takes part.
    fn steps(&self) -> impl Iterator<Item = (f64, f64)> {
        let ramp = self.design.ramp.iter();
        let ramp = ramp.map(|step| (days(step.until), f64::from(step.traffic) / f64::from(PARTS)));
        ramp.chain([(f64::INFINITY, self.traffic())])
    }

    /// Which part of those who take part after the ramp-up is let in on a day.
    fn let_in_on(&self, day: f64) -> f64 {
        let (mut sum, mut at) = (0.0, day);
        for (until, traffic) in self.steps() {
            let until = until.min(day + 1.0);
            if until > at {
                sum += (until - at) * traffic;
                at = until;
            }
        }
        sum / self.traffic()
    }
}

fn days(span: Span) -> f64 {
    span.millis() as f64 / Span::days(1).millis() as f64
}

/// At least a millisecond.
fn days_between(from: Timestamp, until: Timestamp) -> f64 {
    (until.millis() - from.millis()).max(1) as f64 / Span::days(1).millis() as f64
}
