//! Training and evaluation, beside serving: from a consistent view of the events to a complete snapshot on disk.

use std::sync::Mutex;
use std::sync::TryLockError;
use std::time::Instant;

use super::{Engine, EvaluateOptions, Evaluation, TrainOptions, lock};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::eval::{self, FactorScorer, PopularityScorer, Report};
use crate::features::{self, Holdout};
use crate::ingest;
use crate::progress::{Progress, Silent, Step};
use crate::record::SnapshotId;
use crate::snapshot::{self, Draft, OfflineMetric};
use crate::store::View;
use crate::train;

impl Engine {
    /// Trains a snapshot and leaves it `validated`; [`Engine::activate_if`] lets it answer. Serving goes on meanwhile.
    /// Errors: [`Error::NoData`] says what is missing; [`Error::Conflict`] while another training runs.
    pub fn train(&self, options: &TrainOptions) -> Result<SnapshotId> {
        self.train_with(options, &Silent)
    }

    /// The same with progress, and a way to cancel: [`Error::Cancelled`], and nothing is left behind.
    pub fn train_with(&self, options: &TrainOptions, progress: &dyn Progress) -> Result<SnapshotId> {
        let _training = match self.inner.training.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Error::Conflict("a training is already running".into())),
        };
        let config = options.train.as_ref().unwrap_or(&self.inner.config.train);
        config.validate().map_err(|error| error.within("train"))?;
        let draft = Draft::begin(&self.inner.store, "local", config)?;
        let id = draft.id();
        tracing::info!(snapshot = id.0, "training");
        self.build(draft, config, options.measure, progress).inspect_err(|_| {
            if let Err(error) = snapshot::remove(&self.inner.store, &self.inner.dir, id) {
                tracing::warn!(snapshot = id.0, %error, "an unfinished snapshot is cleaned up at the next start");
            }
        })?;
        Ok(id)
    }

    /// Trains on one part of the events and measures on the other, over the whole catalogue, with the popularity
    /// baseline in the same run. Nothing is stored. Errors: [`Error::NoData`] when a part is empty.
    pub fn evaluate(&self, options: &EvaluateOptions, progress: &dyn Progress) -> Result<Evaluation> {
        let config = options.train.as_ref().unwrap_or(&self.inner.config.train);
        config.validate().map_err(|error| error.within("train"))?;
        let view = self.inner.store.view();
        let events = &self.inner.config.events;
        let holdout = match &options.test {
            Some(file) => features::holdout_given(&view, events, &ingest::pairs(file)?, progress)?,
            None => {
                let split = options.split.unwrap_or(self.inner.config.evaluate.split);
                features::holdout(&view, events, split, progress)?
            }
        };
        self.measure(&holdout, config, progress)
    }

    fn build(&self, mut draft: Draft, config: &TrainConfig, measure: bool, progress: &dyn Progress) -> Result<()> {
        let inner = &*self.inner;
        let seen = inner.freshness.now();
        let view = inner.store.view();
        draft.trained_on(view.event_count()?, view.log_changes()?, view.newest_event()?);
        if measure {
            match self.offline_metrics(&view, config, progress) {
                Ok(metrics) => draft.measured(metrics, None),
                Err(Error::NoData { missing, .. }) => {
                    draft.measured(Vec::new(), Some(format!("not measured: {missing}")))
                }
                Err(error) => return Err(error),
            }
        }
        let interactions = features::interactions(&view, &inner.config.events, progress)?;
        drop(view);
        let last = LastLoss { progress, loss: Mutex::new(None) };
        let settled = train::settle(config, &interactions.matrix);
        let model = train::ials(&interactions.matrix, &settled, &last)?;
        draft.trained(settled, *lock(&last.loss));
        let id = draft.id();
        snapshot::write(&inner.store, &inner.dir, draft, &interactions, &model, &inner.config.index, progress)?;
        inner.jobs.note_seen(id, seen);
        Ok(())
    }

    fn offline_metrics(
        &self,
        view: &View<'_>,
        config: &TrainConfig,
        progress: &dyn Progress,
    ) -> Result<Vec<OfflineMetric>> {
        let split = self.inner.config.evaluate.split;
        let holdout = features::holdout(view, &self.inner.config.events, split, progress)?;
        let report = self.measure(&holdout, config, progress)?.report;
        Ok(offline_metrics(&report))
    }

    fn measure(&self, holdout: &Holdout, config: &TrainConfig, progress: &dyn Progress) -> Result<Evaluation> {
        let last = LastLoss { progress, loss: Mutex::new(None) };
        let began = Instant::now();
        let settled = train::settle(config, &holdout.train.matrix);
        let model = train::ials(&holdout.train.matrix, &settled, &last)?;
        let train_seconds = began.elapsed().as_secs_f64();
        let scorer = FactorScorer::new("ials", model.users.as_rows(), model.items.as_rows());
        let popularity = PopularityScorer::new(&holdout.train.matrix);
        let report = eval::evaluate(holdout, &[&popularity, &scorer], &self.inner.config.evaluate, progress)?;
        let loss = lock(&last.loss).unwrap_or(f64::NAN);
        Ok(Evaluation { train: settled, train_seconds, loss, report })
    }
}

/// Passes every step on and keeps the last loss.
struct LastLoss<'a> {
    progress: &'a dyn Progress,
    loss: Mutex<Option<f64>>,
}

impl Progress for LastLoss<'_> {
    fn report(&self, step: &Step) {
        if let Step::Epoch { loss, .. } = step {
            *lock(&self.loss) = Some(*loss);
        }
        self.progress.report(step);
    }

    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}

/// The model's metrics beside the baseline's.
fn offline_metrics(report: &Report) -> Vec<OfflineMetric> {
    let [baseline, model, ..] = &report.models[..] else { return Vec::new() };
    let beside = model.metrics.iter().zip(&baseline.metrics);
    beside
        .map(|(estimate, popularity)| OfflineMetric {
            name: estimate.name.clone(),
            mean: estimate.mean,
            low: estimate.low,
            high: estimate.high,
            popularity: popularity.mean,
        })
        .collect()
}
