//! How fast events fade: before a search for settings, the half-life under which the configured model ranks held-out events
//! best. No other setting does as much where tastes or catalogues move, and all others depend on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Engine, TuneOptions};
use crate::config::{ModelKind, TrainConfig};
use crate::error::Result;
use crate::features::Log;
use crate::progress::{Progress, Quiet, Step};
use crate::record::{Span, UserId};
use crate::store::Records;
use crate::train::tune::{self, Course, Difference, Plan, Record, Space, Trial};

/// The longest half-life that is tried is the time that the events cover, under which hardly anything fades; it is halved so
/// many times.
const HALVINGS: u32 = 6;
/// So many in a row that are no better than the best before them end it, once they are shorter than the configured one.
const WORSE_IN_A_ROW: usize = 2;
/// The share of a search's time that this may take.
const SHARE_OF_TIME: f64 = 0.25;

/// What a search found about how fast events fade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fading {
    /// The half-life under which all trials were measured: what `events.half_life` is to be.
    pub half_life: Option<Span>,
    /// Why.
    pub reason: String,
    /// What was measured, the configured one first.
    pub tried: Vec<TriedHalfLife>,
}

/// One half-life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TriedHalfLife {
    /// After so long an event weighs half; absent: none fades.
    pub half_life: Option<Span>,
    /// The mean metric of the configured model.
    pub score: f64,
    /// How far it is ahead of the configured half-life, paired by user.
    pub ahead: Option<f64>,
    /// The standard error of that.
    pub error: Option<f64>,
}

impl Engine {
    /// Finds the half-life and leaves the log with it, and tells how many seconds went into it, those of an interrupted run
    /// included. `None` in a log without times, or with too few users to measure by time, and where the time is up.
    pub(super) fn fading(
        &self,
        log: &mut Log<'_>,
        base: &TrainConfig,
        options: &TuneOptions,
        plan_for: &dyn Fn(&Course) -> Result<Plan>,
        progress: &dyn Progress,
    ) -> Result<(Option<Fading>, f64)> {
        let began = Instant::now();
        let spent = |tried: &[Tried]| {
            let measured = tried.iter().map(|tried| tried.trial.seconds()).sum::<f64>();
            measured.max(began.elapsed().as_secs_f64())
        };
        let is_late = |tried: &[Tried]| options.minutes.is_some_and(|all| spent(tried) >= SHARE_OF_TIME * all * 60.0);
        if is_late(&[]) {
            return Ok((None, 0.0));
        }
        let configured = self.inner.config.events.half_life;
        let measure = |log: &mut Log<'_>, half_life: Option<Span>| {
            progress.report(&Step::Fading { half_life });
            log.fade(half_life);
            self.under(log, base, options.fresh, plan_for, progress)
        };
        let Some((first, users)) = measure(log, configured)? else { return Ok((None, spent(&[]))) };
        let mut tried = vec![Tried { half_life: configured, trial: first, ahead: None }];
        let (mut best, mut worse) = (0, 0);
        for halving in 0..=HALVINGS {
            let half_life = rounded(log.covered(), halving);
            if is_late(&tried) || worse >= WORSE_IN_A_ROW {
                break;
            }
            let is_known = |tried: &Tried| tried.half_life == Some(half_life);
            if half_life.millis() == 0 || tried.iter().any(is_known) {
                continue;
            }
            let Some((trial, ..)) = measure(log, Some(half_life))? else { continue };
            let ahead = tried.first().map(|first| tune::difference(&trial, &first.trial, 0, &users));
            let is_better = trial.score(0) > tried.get(best).and_then(|best| best.trial.score(0));
            tried.push(Tried { half_life: Some(half_life), trial, ahead });
            let is_shorter = configured.is_none_or(|configured| half_life < configured);
            (best, worse) = if is_better { (tried.len() - 1, 0) } else { (best, worse + usize::from(is_shorter)) };
        }
        let luck = tune::largest_of(tried.len());
        let (chosen, reason) = match tried.get(best).and_then(|best| Some((best, best.ahead?))) {
            None => (configured, "as configured: no other is better".into()),
            Some((best, ahead)) => {
                let is_told_apart = ahead.mean > luck.max(1.0) * ahead.error;
                let Difference { mean, error } = ahead;
                let (chosen, verdict) = if is_told_apart {
                    (best.half_life, "ahead of the configured one")
                } else {
                    (configured, "as configured: the best is not told apart from it, ahead")
                };
                (chosen, format!("{verdict} by {mean:.4} with a standard error of {error:.4}"))
            }
        };
        log.fade(chosen);
        let fading = Fading { half_life: chosen, reason, tried: tried.iter().map(Tried::told).collect() };
        Ok((Some(fading), spent(&tried)))
    }

    /// The configured model as it is under the log's half-life, measured on the shortest course that tells candidates apart,
    /// with the users whose values it has.
    fn under(
        &self,
        log: &Log<'_>,
        base: &TrainConfig,
        fresh: bool,
        plan_for: &dyn Fn(&Course) -> Result<Plan>,
        progress: &dyn Progress,
    ) -> Result<Option<(Trial, Vec<UserId>)>> {
        let course = Course::new(log, progress)?.brief();
        let largest = course.largest().filter(|_| course.is_by_time);
        let Some(matrix) = largest.map(|largest| &largest.matrix) else { return Ok(None) };
        let model = match base.model {
            ModelKind::Popularity | ModelKind::Ratings => ModelKind::Blend,
            model => model,
        };
        let space = Space::new(&TrainConfig { model, ..base.clone() }, matrix);
        let plan = plan_for(&course)?;
        // Apart from the search itself, which may have the same hold-outs as another rung.
        let alone =
            Plan { study: !plan.study, models: vec![model], configured: model, trials: 1, seconds: None, ..plan };
        let (records, last) = self.records_of(alone.study, fresh)?;
        let next = AtomicU64::new(last + 1);
        let store = &self.inner.store;
        let keep = |record: &Record| store.put_record(Records::Trials, next.fetch_add(1, Ordering::Relaxed), record);
        let trials = tune::search(&space, &course, &alone, records, &keep, &Quiet(progress))?;
        let measured = trials.into_iter().next().filter(|trial| trial.score(0).is_some());
        Ok(measured.map(|trial| (trial, course.users())))
    }
}

struct Tried {
    half_life: Option<Span>,
    trial: Trial,
    ahead: Option<Difference>,
}

impl Tried {
    fn told(&self) -> TriedHalfLife {
        TriedHalfLife {
            half_life: self.half_life,
            score: self.trial.score(0).unwrap_or(0.0),
            ahead: self.ahead.map(|ahead| ahead.mean),
            error: self.ahead.map(|ahead| ahead.error).filter(|error| error.is_finite()),
        }
    }
}

/// `whole` halved so many times, in whole days, hours or minutes where it has three or more of them.
fn rounded(whole: Span, halvings: u32) -> Span {
    let millis = whole.millis() >> halvings;
    let units = [Span::days(1), Span::seconds(3_600), Span::seconds(60), Span::millis_of(1)];
    let unit = units.into_iter().find(|unit| millis >= 3 * unit.millis()).unwrap_or(Span::millis_of(1));
    unit.times((millis + unit.millis() / 2) / unit.millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_life_is_told_in_units_that_people_use() {
        let half = |whole: &str, halvings| rounded(whole.parse().unwrap(), halvings).to_string();
        assert_eq!((half("215d", 1), half("215d", 4)), ("108d".into(), "13d".into()));
        assert_eq!((half("14d", 1), half("3d", 1)), ("1w".into(), "36h".into()));
        assert_eq!((half("30m", 1), half("3ms", 2)), ("15m".into(), "0w".into()));
    }
}
