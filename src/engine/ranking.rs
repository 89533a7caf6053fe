//! What a ranker is learned from: a view of the log, the feature table that the configuration and the data suggest, and
//! windows of time.

use super::Engine;
use crate::config::{EvaluateConfig, TrainConfig};
use crate::counters::CounterSet;
use crate::error::Result;
use crate::features::table::{FactTable, FeatureTable, Survey};
use crate::features::{Csr, Holdout, Log, TimePoint};
use crate::progress::Progress;
use crate::record::{Shown, Span, Timestamp};
use crate::store::{LoggedOutcome, View};
use crate::train::Model;
use crate::train::ranker::{self, Judged, LearnedRanker, Past, RankedScorer, ShownAnswer, Window};

/// With so many users in the latest window, fewer windows say enough.
const MANY_USERS: usize = 1_000;
/// The circumstances of events as old as this tell what circumstances there are.
const CONTEXTS: Span = Span::days(7);
/// So many: one to learn from, one to stop by, one to be judged on.
const FEW_WINDOWS: usize = 3;
/// Answers that were shown, of all windows, about.
const MOST_SHOWN: usize = 20_000;

/// Learns and measures rankers from one view.
pub(super) struct Ranking<'a> {
    engine: &'a Engine,
    view: &'a View<'a>,
}

/// The table of a view, and what it takes from all items and users.
struct Surveyed {
    table: FeatureTable,
    items: FactTable,
    users: FactTable,
}

impl<'a> Ranking<'a> {
    /// From this view.
    pub fn new(engine: &'a Engine, view: &'a View<'a>) -> Self {
        Self { engine, view }
    }

    /// Learns a ranker from a log, of which all is before a time, on top of retrieval under settled settings.
    pub fn learn(
        &self,
        log: &Log<'_>,
        before: Timestamp,
        settled: &TrainConfig,
        evaluate: &EvaluateConfig,
        progress: &dyn Progress,
    ) -> Result<Judged> {
        if !log.has_times() {
            return Ok(Judged::refused(
                "events have no times of their own, or too few, so that nothing is before anything else",
            ));
        }
        let mut windows = log.timed_windows();
        if windows.first().is_some_and(|(_, latest)| latest.test.len() >= MANY_USERS) {
            windows.truncate(FEW_WINDOWS);
        }
        windows.reverse();
        let next: Vec<Csr> = windows.iter().map(|(at, holdout)| self.next(log, *at, holdout)).collect();
        let windows = windows.iter().zip(&next).map(|((at, holdout), next)| Window { at: *at, holdout, next });
        let windows: Vec<Window<'_>> = windows.collect();
        let Surveyed { table, items, users } = self.survey(before)?;
        let shown = windows.first().map_or(Ok(Vec::new()), |first| self.shown(first.at, before))?;
        let past = Past { view: self.view, log, table: &table, items: &items, users: &users, shown: &shown };
        ranker::learn(&past, &windows, settled, &self.engine.inner.config.ranker, evaluate, progress)
    }

    /// Retrieval and ranker together on a hold-out that begins at a time.
    pub fn scorer<'m>(
        &self,
        name: String,
        ranker: &LearnedRanker,
        model: &'m Model,
        log: &Log<'_>,
        holdout: &'m Holdout,
        at: Timestamp,
    ) -> Result<RankedScorer<'m>> {
        let (items, users) = self.facts(ranker.table().table())?;
        let table = ranker.table().table();
        let past = Past { view: self.view, log, table, items: &items, users: &users, shown: &[] };
        let next = self.next(log, at, holdout);
        let window = Window { at, holdout, next: &next };
        let config = &self.engine.inner.config.ranker;
        RankedScorer::new(name, &past, ranker, model, &holdout.train.matrix, &window, config)
    }

    /// What people had taken next by then.
    fn next(&self, log: &Log<'_>, at: Timestamp, holdout: &Holdout) -> Csr {
        let (before, _) = log.split(&TimePoint(Timestamp::from_millis(at.millis() - 1).unwrap_or(at)));
        before.transitions(&holdout.train.items, &self.engine.inner.config.train.transitions)
    }

    /// Answers of a span of time of which something was taken within it, evenly spaced where there are many.
    fn shown(&self, from: Timestamp, before: Timestamp) -> Result<Vec<ShownAnswer>> {
        let store = &self.engine.inner.store;
        let (mut shown, mut number, mut step) = (Vec::new(), 0usize, 1);
        let counts = |event: &LoggedOutcome<'_>| event.counted.time < before && self.engine.is_positive(event);
        self.engine.for_each_shown(from, before, &counts, &mut |exposure, taken| {
            if taken.is_empty() {
                return Ok(());
            }
            number += 1;
            let user = exposure.user.as_deref().map_or(Ok(None), |user| store.user_id(user))?;
            if let Some(user) = user.filter(|_| number.is_multiple_of(step)) {
                let item = |(position, shown): (u32, &Shown)| {
                    Some(store.item_id(&shown.item).transpose()?.map(|id| (position, id)))
                };
                let items = (0u32..).zip(&exposure.items).filter_map(item).collect::<Result<_>>()?;
                let (at, before) = (exposure.time, exposure.before);
                let context = exposure.question.map(|question| question.context).unwrap_or_default();
                shown.push(ShownAnswer { at, user, context, items, before, taken: taken.into_iter().collect() });
            }
            if shown.len() >= 2 * MOST_SHOWN {
                let mut place = 0;
                shown.retain(|_| {
                    place += 1;
                    place % 2 == 0
                });
                step *= 2;
            }
            Ok(())
        })?;
        Ok(shown)
    }

    /// The table that metadata and the events before a time suggest.
    fn survey(&self, before: Timestamp) -> Result<Surveyed> {
        let mut survey = Survey::default();
        for (space, dimension) in self.engine.inner.store.spaces()? {
            survey.space(&space, dimension);
        }
        self.view.for_each_item(&mut |_, item| {
            survey.item(&item);
            Ok(())
        })?;
        self.view.for_each_user(&mut |_, user| {
            survey.user(&user.attributes);
            Ok(())
        })?;
        let (mut counters, recent) = (CounterSet::default(), before.before(CONTEXTS));
        self.view.for_each_counted(None, &mut |event| {
            if event.counted.time < before {
                counters.add(event.user, event.item, event.kind, event.counted);
                if event.counted.time >= recent {
                    survey.context(&event.context);
                }
            }
            Ok(())
        })?;
        survey.events(&counters);
        let table = FeatureTable::new(&self.engine.inner.config.features, &survey, &[ranker::NEXT]);
        let (items, users) = self.facts(&table)?;
        Ok(Surveyed { table, items, users })
    }

    fn facts(&self, table: &FeatureTable) -> Result<(FactTable, FactTable)> {
        let (mut items, mut users) = (FactTable::default(), FactTable::default());
        let has_vectors = table.spaces().next().is_some();
        self.view.for_each_item(&mut |id, item| {
            // Listings leave vectors out.
            let item = if has_vectors { self.engine.inner.store.item(&item.id)?.unwrap_or(item) } else { item };
            items.set(id.get(), Some(table.item_facts(&item)));
            Ok(())
        })?;
        self.view.for_each_user(&mut |id, user| {
            users.set(id.get(), Some(table.user_facts(&user.attributes)));
            Ok(())
        })?;
        Ok((items, users))
    }
}
