//! What a ranker is learned from: a view of the log, the feature table that the configuration and the data suggest, and
//! windows of time.

use super::Engine;
use crate::config::{EvaluateConfig, TrainConfig};
use crate::counters::CounterSet;
use crate::error::Result;
use crate::features::table::{FactTable, FeatureTable, Survey};
use crate::features::{Holdout, Log};
use crate::progress::Progress;
use crate::record::{Span, Timestamp};
use crate::store::View;
use crate::train::Model;
use crate::train::ranker::{self, Judged, LearnedRanker, Past, RankedScorer, Window};

/// With so many users in the latest window, fewer windows say enough.
const MANY_USERS: usize = 1_000;
/// The circumstances of events as old as this tell what circumstances there are.
const CONTEXTS: Span = Span::days(7);
/// So many: one to learn from, one to stop by, one to be judged on.
const FEW_WINDOWS: usize = 3;

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
            return Ok(Judged::refused("events have no times, so that nothing is before anything else"));
        }
        let mut windows = log.timed_windows();
        if windows.first().is_some_and(|(_, latest)| latest.test.len() >= MANY_USERS) {
            windows.truncate(FEW_WINDOWS);
        }
        windows.reverse();
        let windows: Vec<Window<'_>> = windows.iter().map(|(at, holdout)| Window { at: *at, holdout }).collect();
        let Surveyed { table, items, users } = self.survey(before)?;
        let past = Past { view: self.view, table: &table, items: &items, users: &users };
        ranker::learn(&past, &windows, settled, &self.engine.inner.config.ranker, evaluate, progress)
    }

    /// Retrieval and ranker together on a hold-out that begins at a time.
    pub fn scorer<'m>(
        &self,
        name: String,
        ranker: &LearnedRanker,
        model: &'m Model,
        holdout: &'m Holdout,
        at: Timestamp,
    ) -> Result<RankedScorer<'m>> {
        let (items, users) = self.facts(ranker.table().table())?;
        let past = Past { view: self.view, table: ranker.table().table(), items: &items, users: &users };
        let window = Window { at, holdout };
        let candidates = self.engine.inner.config.ranker.candidates;
        RankedScorer::new(name, &past, ranker, model, &holdout.train.matrix, &window, candidates)
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
        let table = FeatureTable::new(&self.engine.inner.config.features, &survey, &[]);
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
