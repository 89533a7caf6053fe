//! Training and evaluation, beside serving: from a consistent view of the events to a complete snapshot on disk.

use std::sync::Mutex;
use std::sync::TryLockError;
use std::time::Instant;

use super::{Engine, EvaluateOptions, Evaluation, TrainOptions, lock};
use crate::config::{ModelKind, Split, TrainConfig};
use crate::error::{Error, Result};
use crate::eval::{self, PopularityScorer, Report};
use crate::features::{Csr, Holdout, LeaveLastOut, Log, PairFold, RatedSplit, Splitter, TimeSplit};
use crate::ingest;
use crate::progress::{Progress, Silent, Step};
use crate::record::{SnapshotId, Timestamp};
use crate::snapshot::{self, Draft, OfflineMetric};
use crate::store::View;
use crate::train::{self, ModelPredictor, ModelScorer, TrainingData};

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
        let inner = &*self.inner;
        let view = inner.store.view();
        let mut log = self.read_log(&view, config, progress)?;
        if let Some(file) = &options.test {
            let mut pairs = Vec::new();
            for (user, item) in ingest::pairs(file)? {
                pairs.push(view.user_id(&user)?.zip(view.item_id(&item)?));
            }
            let validation = log.validation();
            let train = log.interactions(log.newest().min(Timestamp::now()));
            let split = "given test pairs, everything stored is for training".into();
            let ratings = log.ratings().matrix(&train);
            let holdout = Holdout::from_pairs(train, pairs, split)?;
            return self.measure(&holdout, validation.as_ref(), Rated::All(ratings), config, progress);
        }
        log.order_ties(&view)?;
        let (holdout, validation, rated) = split(&log, options.split.unwrap_or(inner.config.evaluate.split))?;
        self.measure(&holdout, validation.as_ref(), rated, config, progress)
    }

    fn build(&self, mut draft: Draft, config: &TrainConfig, measure: bool, progress: &dyn Progress) -> Result<()> {
        let inner = &*self.inner;
        let seen = inner.freshness.now();
        let view = inner.store.view();
        draft.trained_on(view.event_count()?, view.log_changes()?, view.newest_event()?);
        let mut log = self.read_log(&view, config, progress)?;
        log.order_ties(&view)?;
        drop(view);
        let mut config = config.clone();
        if measure {
            match self.offline_metrics(&log, &config, progress) {
                Ok((metrics, settled)) => {
                    draft.measured(metrics, None);
                    // What was left to the data and took measuring is not measured again.
                    config.blend = settled.blend;
                }
                Err(Error::NoData { missing, .. }) => {
                    draft.measured(Vec::new(), Some(format!("not measured: {missing}")))
                }
                Err(error) => return Err(error),
            }
        }
        // An event dated in the future must not age all others.
        let interactions = log.interactions(log.newest().min(Timestamp::now()));
        let validation = log.validation();
        let ratings = log.ratings().matrix(&interactions);
        drop(log);
        let last = LastLoss { progress, loss: Mutex::new(None) };
        let data =
            TrainingData { matrix: &interactions.matrix, validation: validation.as_ref(), ratings: ratings.as_ref() };
        let (model, settled) = train::train(&data, &config, &last)?;
        draft.trained(settled, *lock(&last.loss));
        let id = draft.id();
        snapshot::write(&inner.store, &inner.dir, draft, &interactions, &model, &inner.config.index, progress)?;
        inner.jobs.note_seen(id, seen);
        Ok(())
    }

    fn read_log<'a>(&'a self, view: &View<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<Log<'a>> {
        let mut log = Log::read(view, &self.inner.weights, progress)?;
        if config.model == ModelKind::Ratings {
            log.know_raters();
        }
        Ok(log)
    }

    fn offline_metrics(
        &self,
        log: &Log<'_>,
        config: &TrainConfig,
        progress: &dyn Progress,
    ) -> Result<(Vec<OfflineMetric>, TrainConfig)> {
        let (holdout, validation, rated) = split(log, self.inner.config.evaluate.split)?;
        let evaluation = self.measure(&holdout, validation.as_ref(), rated, config, progress)?;
        Ok((offline_metrics(&evaluation.report), evaluation.train))
    }

    fn measure(
        &self,
        holdout: &Holdout,
        validation: Option<&Holdout>,
        rated: Rated,
        config: &TrainConfig,
        progress: &dyn Progress,
    ) -> Result<Evaluation> {
        let last = LastLoss { progress, loss: Mutex::new(None) };
        let began = Instant::now();
        let matrix = &holdout.train.matrix;
        let data = TrainingData { matrix, validation, ratings: rated.train() };
        let (model, settled) = train::train(&data, config, &last)?;
        let train_seconds = began.elapsed().as_secs_f64();
        let name = train::trainer(config.model)?.name();
        let scorer = ModelScorer::new(name, &model, matrix);
        let popularity = PopularityScorer::new(matrix);
        let report = eval::evaluate(holdout, &[&popularity, &scorer], &self.inner.config.evaluate, progress)?;
        let loss = lock(&last.loss).unwrap_or(f64::NAN);
        let ratings = rated.split().and_then(|split| {
            let predictor = ModelPredictor::new(&model, &split.train)?;
            Some(eval::evaluate_ratings(split, &predictor, &self.inner.config.evaluate))
        });
        Ok(Evaluation { train: settled, train_seconds, loss, report, ratings })
    }
}

/// The ratings of an evaluation, where the model is one of ratings.
enum Rated {
    /// All are for training.
    All(Option<Csr>),
    /// Some are for testing.
    Split(Option<RatedSplit>),
}

impl Rated {
    fn train(&self) -> Option<&Csr> {
        match self {
            Self::All(ratings) => ratings.as_ref(),
            Self::Split(split) => split.as_ref().map(|split| &split.train),
        }
    }

    fn split(&self) -> Option<&RatedSplit> {
        match self {
            Self::All(_) => None,
            Self::Split(split) => split.as_ref(),
        }
    }
}

/// The hold-out of a log, the hold-out inside its training part, and the same split of its ratings. A log without times
/// is not split by them.
fn split(log: &Log<'_>, split: Split) -> Result<(Holdout, Option<Holdout>, Rated)> {
    let splitter: &dyn Splitter = match split {
        Split::Time { train } if log.has_times() => &TimeSplit { train },
        Split::Time { .. } => &PairFold { folds: 5, fold: 0 },
        Split::LeaveLastOut => &LeaveLastOut,
    };
    let holdout = log.holdout(splitter)?;
    let (train, _) = log.split(splitter);
    let rated = log.rated_split(splitter, &holdout.train);
    Ok((holdout, train.validation(), Rated::Split(rated)))
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
