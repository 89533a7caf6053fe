//! How fast events fade: before a training that leaves it to the data and before a search for settings, the half-life under
//! which the configured model ranks held-out events best. No other setting does as much where tastes or catalogues move, and
//! all others depend on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Engine, TuneOptions};
use crate::config::{HalfLife, ModelKind, TrainConfig};
use crate::error::Result;
use crate::eval::MetricAt;
use crate::features::Log;
use crate::progress::{Progress, Quiet, Step};
use crate::record::{Span, UserId};
use crate::store::Records;
use crate::train::in_pool;
use crate::train::tune::{self, Course, Difference, Plan, Record, Space, Trial};

/// The longest half-life that is tried is the time that the events cover, under which hardly anything fades; others are that,
/// halved so many times. What ranks best is flat: a training, which shall not take long, tries every other one.
const IN_A_SEARCH: &[u32] = &[0, 1, 2, 3, 4, 5, 6];
const IN_TRAINING: &[u32] = &[0, 2, 4, 6];
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

/// What `events.half_life` comes to for a training on a log, and leaves the log with it: where it is `auto`, what ranks held-out
/// events best by the model, as far as times tell.
///
/// # Errors
/// [`crate::Error::Cancelled`], and those of training.
pub(super) fn settle(
    log: &mut Log<'_>,
    half_life: HalfLife,
    train: &TrainConfig,
    metric: &str,
    progress: &dyn Progress,
) -> Result<Settled> {
    let is_ranked = ![ModelKind::Popularity, ModelKind::Ratings].contains(&train.model);
    if half_life != HalfLife::Auto || !is_ranked {
        log.fade(half_life.span());
        return Ok(Settled { half_life: half_life.span(), is_found: false });
    }
    let metric = MetricAt::named(metric)?;
    let measure = |log: &Log<'_>| {
        let Some((course, space)) = ground(log, train) else { return Ok(None) };
        let mut trial = Trial::new(space.default_of(train.model), true, 1);
        let top = course.top();
        let measured =
            in_pool(train.threads, || tune::measure(&space, &course, metric, &trial.candidate, top, None, progress))??;
        trial.rungs = vec![Some(measured)];
        Ok(trial.score(0).is_some().then(|| (trial, course.users())))
    };
    let range = Range { configured: None, halvings: IN_TRAINING, seconds: None, errors: 2.0 };
    let (found, _) = find(log, &range, &measure, progress)?;
    if let Some(fading) = &found {
        let half_life = HalfLife::from(fading.half_life);
        tracing::info!(%half_life, reason = fading.reason, "how events fade");
    }
    Ok(Settled { is_found: found.is_some(), half_life: found.and_then(|fading| fading.half_life) })
}

/// How the events of a training fade.
pub(super) struct Settled {
    /// An event weighs half after so long; absent: none fades.
    pub half_life: Option<Span>,
    /// Whether that was found by measuring.
    pub is_found: bool,
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
        let seconds = options.minutes.map(|all| SHARE_OF_TIME * all * 60.0);
        if seconds == Some(0.0) {
            return Ok((None, 0.0));
        }
        let configured = self.inner.config.events.half_life.span();
        let range = Range { configured, halvings: IN_A_SEARCH, seconds, errors: 1.0 };
        find(log, &range, &|log| self.under(log, base, options.fresh, plan_for, progress), progress)
    }

    /// The configured model under the log's half-life, measured or taken from the records of an interrupted search.
    fn under(
        &self,
        log: &Log<'_>,
        base: &TrainConfig,
        fresh: bool,
        plan_for: &dyn Fn(&Course) -> Result<Plan>,
        progress: &dyn Progress,
    ) -> Result<Measured> {
        let model = match base.model {
            ModelKind::Popularity | ModelKind::Ratings => ModelKind::Blend,
            model => model,
        };
        let Some((course, space)) = ground(log, &TrainConfig { model, ..base.clone() }) else { return Ok(None) };
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

/// A measured model with the users whose values it has; none where nothing can be measured.
type Measured = Option<(Trial, Vec<UserId>)>;

/// What a model is measured on under a half-life: the shortest course by time that tells candidates apart.
fn ground(log: &Log<'_>, train: &TrainConfig) -> Option<(Course, Space)> {
    let course = Course::by_time(log)?.brief();
    let space = Space::new(train, &course.largest()?.matrix);
    Some((course, space))
}

/// Which half-lives are tried.
struct Range {
    /// What others must beat.
    configured: Option<Span>,
    /// The time that the events cover, halved so many times, the longest half-life first.
    halvings: &'static [u32],
    /// None is begun after so many seconds.
    seconds: Option<f64>,
    /// A lead must be larger than so many of its standard errors, and than luck explains.
    errors: f64,
}

/// Tries half-lives, and leaves the log with the one that is told apart from the configured one, or with that.
fn find(
    log: &mut Log<'_>,
    range: &Range,
    measure: &dyn Fn(&Log<'_>) -> Result<Measured>,
    progress: &dyn Progress,
) -> Result<(Option<Fading>, f64)> {
    let began = Instant::now();
    let spent = |tried: &[Tried]| {
        let measured = tried.iter().map(|tried| tried.trial.seconds()).sum::<f64>();
        measured.max(began.elapsed().as_secs_f64())
    };
    let half_lives = range.of(log.covered());
    let mut measure = |half_life: Option<Span>| {
        progress.report(&Step::Fading { half_life });
        log.fade(half_life);
        measure(log)
    };
    let configured = range.configured;
    let Some((first, users)) = measure(configured)? else { return Ok((None, spent(&[]))) };
    let mut tried = vec![Tried { half_life: configured, trial: first, ahead: None }];
    let (mut best, mut worse) = (0, 0);
    for half_life in half_lives {
        let is_late = range.seconds.is_some_and(|seconds| spent(&tried) >= seconds);
        if is_late || worse >= WORSE_IN_A_ROW {
            break;
        }
        let is_known = |tried: &Tried| tried.half_life == Some(half_life);
        if half_life.millis() == 0 || tried.iter().any(is_known) {
            continue;
        }
        let Some((trial, ..)) = measure(Some(half_life))? else { continue };
        let ahead = tried.first().map(|first| tune::difference(&trial, &first.trial, 0, &users));
        let is_better = trial.score(0) > tried.get(best).and_then(|best| best.trial.score(0));
        tried.push(Tried { half_life: Some(half_life), trial, ahead });
        let is_shorter = configured.is_none_or(|configured| half_life < configured);
        (best, worse) = if is_better { (tried.len() - 1, 0) } else { (best, worse + usize::from(is_shorter)) };
    }
    let (chosen, reason) = chosen(&tried, best, range.errors);
    log.fade(chosen);
    let fading = Fading { half_life: chosen, reason, tried: tried.iter().map(Tried::told).collect() };
    Ok((Some(fading), spent(&tried)))
}

/// The best, where it is told apart from the first; and why.
fn chosen(tried: &[Tried], best: usize, errors: f64) -> (Option<Span>, String) {
    let configured = tried.first().and_then(|first| first.half_life);
    let Some((best, Difference { mean, error })) = tried.get(best).and_then(|best| Some((best, best.ahead?))) else {
        return (configured, "as configured: no other is better".into());
    };
    let (chosen, verdict) = if mean > tune::largest_of(tried.len()).max(errors) * error {
        (best.half_life, "ahead of the configured one")
    } else {
        (configured, "as configured: the best is not told apart from it, ahead")
    };
    (chosen, format!("{verdict} by {mean:.4} with a standard error of {error:.4}"))
}

impl Range {
    fn of(&self, covered: Span) -> Vec<Span> {
        self.halvings.iter().map(|halvings| rounded(covered, *halvings)).collect()
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
