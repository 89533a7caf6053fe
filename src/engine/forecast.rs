//! How long an experiment would take, told before anybody is shown anything else.

use rustc_hash::FxHashMap;

use super::Engine;
use super::experiments::hear;
use super::scenarios::DEFAULT;
use crate::error::{Error, Result};
use crate::experiment::{Arrivals, ExperimentForecast, Tally, forecast, is_target};
use crate::record::{Assignment, Exposure, Span, Timestamp};

/// What was shown so long ago is looked at.
const LOOKED_AT: Span = Span::days(28);

impl Engine {
    /// How many users and days an experiment would take, and which change it would find, by what was shown in the last four
    /// weeks to those whom it is for, and by how much of its variance what they had done before explains (the design's
    /// `covariate`). They come as they came, each on the same days, and are let in by the steps of its ramp-up. Of an interleaved one, what it would take to compare two groups instead. Reads these
    /// exposures and what came of them. Errors: [`Error::NotFound`]; [`Error::NoData`] where fewer than two users were shown
    /// anything.
    pub fn experiment_forecast(&self, id: &str) -> Result<ExperimentForecast> {
        let design = self.experiment(id)?.design;
        let until = Timestamp::now();
        let mut targets: FxHashMap<String, bool> = FxHashMap::default();
        // As when answers are treated: a scenario may name the one experiment that it takes part in.
        let is_about = |exposure: &Exposure| {
            let scenario = exposure.scenario.as_deref().unwrap_or(DEFAULT);
            match self.inner.scenarios.experiment_of(scenario) {
                Some(named) => named == id,
                None => design.scenario.as_deref().is_none_or(|of| of == scenario),
            }
        };
        let control = design.variants.first().map(|variant| variant.name.clone());
        self.flush_exposures();
        let view = self.inner.store.view();
        let mut tally = Tally::daily(&design, self.period(until.before(LOOKED_AT), until));
        self.show_to(&view, &mut tally, &mut |exposure| {
            let Some(user) = exposure.user.clone().filter(|_| is_about(&exposure)) else { return Ok(None) };
            let is_meant = match targets.get(&user) {
                Some(known) => *known,
                None => is_target(&design, &user, &|| self.inner.store.user(&user))?,
            };
            targets.insert(user, is_meant);
            if !is_meant {
                return Ok(None);
            }
            let experiment = Some(Assignment { id: id.to_owned(), variant: control.clone() });
            Ok(Some(Exposure { experiment, ..exposure }))
        })?;
        // What users did before the first of them was shown anything is to them what the time before the start will be.
        let first = tally.started();
        hear(&view, &design, first, &mut tally)?;
        let mut arrivals = Arrivals::new(&design, (first, until));
        tally.courses().for_each(|course| arrivals.add(&course));
        let totals = tally.finish();
        if totals.users.iter().sum::<u64>() < 2 {
            let what = format!("fewer than two users whom experiment \"{id}\" is for were shown anything");
            return Err(Error::no_data(what, "serve with exposures.enabled, or wait"));
        }
        Ok(forecast(id, &design, &totals, &arrivals))
    }
}
