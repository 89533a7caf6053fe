//! Experiments: who is shown which variant, what came of it, and what may be concluded while it still runs. Pure: records
//! in, figures out; storing, serving and deciding when to look belong to the engine.
//!
//! - [`assign`]: deterministic, sticky, exclusive within a layer; a ramp-up only ever adds users.
//! - [`tally`]: exposures and outcomes become figures of users; [`report`] makes a verdict of them.
//! - [`moments`], [`sequence`], [`correct`]: metrics of users, differences with intervals that hold at every look, and
//!   p-values of many differences together.
//! - [`mismatch`]: whether users came in the shares that were promised.
//! - [`plan`]: how long it takes to see an effect of a size that matters; [`forecast`]: the same before it begins, by who
//!   came on which days ([`course`]) and is let in by the ramp-up ([`arrivals`]).
//! - [`interleave`]: two lists in one, and whose items are clicked.
//! - [`replay`]: what another policy would have earned, from logged propensities.

mod arrivals;
mod assign;
mod correct;
mod course;
mod forecast;
mod interleave;
mod mismatch;
mod moments;
mod plan;
mod replay;
mod report;
mod sequence;
mod tally;
#[cfg(test)]
mod tests;

pub use arrivals::Arrivals;
pub use assign::{allot, assign, is_target, layer_of};
pub use forecast::{ExperimentForecast, MetricForecast, forecast};
pub use interleave::{Team, team_draft};
pub use moments::{Explained, Moments, UserFigure};
pub use replay::{Interval, LoggedAnswer, LoggedItem, OffPolicy, off_policy};
pub use report::{
    ComparisonReport, Effect, ExperimentReport, GuardrailState, PreferenceReport, Role, VariantReport, Verdict, report,
};
pub use tally::{Outcome, Period, Tally, Totals};
