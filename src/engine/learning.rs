//! Training, beside serving: from a consistent view of the events to a complete snapshot on disk.

use std::sync::Mutex;
use std::sync::TryLockError;

use super::evaluation::Protocol;
use super::fading::Settled;
use super::ranking::Ranking;
use super::{Contender, Engine, TrainOptions, Trained, evaluation, lock};
use crate::config::{EvaluateConfig, HalfLife, ModelKind, TrainConfig};
use crate::error::{Error, Result};
use crate::eval::Report;
use crate::features::{Interactions, Log};
use crate::progress::{Progress, Silent, Step};
use crate::record::{SnapshotId, Timestamp};
use crate::snapshot::{self, Draft, Faded, Manifest, OfflineMetric};
use crate::train::{self, ColdStart, ItemRefresh, Profiles, TrainingData, Warm};

/// Bytes that a training wants to find free where there is a limit: any snapshot takes more.
const LEAST_ROOM: usize = 1 << 20;

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
        let own = options.train.as_ref().unwrap_or(&self.inner.config.train);
        own.validate().map_err(|error| error.within("train"))?;
        self.inner.store.check_room(LEAST_ROOM)?;
        let Some(allowance) = self.inner.allowance.get() else { return self.train_now(own, options, progress) };
        // A pool of its own would take what others are to have.
        let shared = match self.tenant() {
            Some(_) => &TrainConfig { threads: 0, ..own.clone() },
            None => own,
        };
        allowance.train(progress, |progress| self.train_now(shared, options, progress))
    }

    fn train_now(&self, config: &TrainConfig, options: &TrainOptions, progress: &dyn Progress) -> Result<SnapshotId> {
        let draft = Draft::begin(&self.inner.store, "local", config)?;
        let id = draft.id();
        tracing::info!(snapshot = id.0, "training");
        self.build(draft, config, options, progress).inspect_err(|_| {
            if let Err(error) = snapshot::remove(&self.inner.store, &self.inner.dir, id) {
                tracing::warn!(snapshot = id.0, %error, "an unfinished snapshot is cleaned up at the next start");
            }
        })?;
        Ok(id)
    }

    fn build(
        &self,
        mut draft: Draft,
        config: &TrainConfig,
        options: &TrainOptions,
        progress: &dyn Progress,
    ) -> Result<()> {
        let inner = &*self.inner;
        let seen = inner.freshness.now();
        let view = inner.store.view();
        // One that is dated in the future must not hide all that come after it.
        let newest = view.newest_event()?.map(|newest| newest.min(Timestamp::now()));
        draft.trained_on(view.event_count()?, view.log_changes()?, newest);
        let mut painted = self.paint_trained(&view)?;
        let mut log = Log::read(&view, &inner.weights, progress)?;
        if config.model == ModelKind::Ratings {
            log.know_raters();
        }
        log.order_ties(&view)?;
        let mut config = config.clone();
        let mut fade = self.fade_before(&config, draft.manifest().events);
        if options.measure {
            match self.offline_metrics(&log, &config, fade.half_life, progress) {
                Ok((metrics, Trained { train: settled, half_life, .. })) => {
                    draft.measured(metrics, None);
                    // Where nothing is to fade, or could be told, the whole log may tell.
                    fade.half_life = half_life.map_or(fade.half_life, HalfLife::After);
                    // What was left to the data and took measuring is not measured again.
                    config.blend = settled.blend;
                    config.epochs = settled.epochs;
                    (config.sgd.epochs, config.sgd.decay_epochs) = (settled.sgd.epochs, settled.sgd.decay_epochs);
                    config.patience = settled.patience;
                }
                Err(Error::NoData { missing, .. }) => {
                    draft.measured(Vec::new(), Some(format!("not measured: {missing}")))
                }
                Err(error) => return Err(error),
            }
        }
        let is_known = fade.half_life != HalfLife::Auto;
        let Settled { half_life, is_found } = self.fade(&mut log, fade.half_life, &config, progress)?;
        draft.faded(Faded { half_life, found_in: fade.found_in.filter(|_| is_known || is_found) });
        // An event dated in the future must not age all others.
        let interactions = log.interactions(log.newest().min(Timestamp::now()));
        let is_measured = train::is_measured(&config);
        let hold_out = || if is_measured { log.validation(progress) } else { Ok(Vec::new()) };
        let validation = train::in_pool(config.threads, hold_out)??;
        let ratings = log.ratings().matrix(&interactions);
        let next = log.transitions(&interactions.items, &config.transitions);
        let ranks = options.ranker && inner.config.ranker.enabled && config.model != ModelKind::Ratings;
        let (log, view) = if ranks { (Some(log), Some(view)) } else { (None, None) };
        let last = LastLoss::new(progress);
        let before = config.warm_start.then(|| self.before(&interactions, &config)).flatten();
        let warm = before.as_ref().map(|before| Warm { items: &before.items, enough: before.enough });
        let data = TrainingData {
            matrix: &interactions.matrix,
            trend: &interactions.trend,
            validation: &validation,
            ratings: ratings.as_ref(),
            warm,
        };
        let (model, settled) = train::train(&data, &config, &last)?;
        if let (Some(log), Some(view)) = (log, view) {
            let after = Timestamp::from_millis(log.newest().millis() + 1)?;
            let ranking = Ranking::new(self, &view);
            draft.ranked(ranking.learn(&log, after, &settled, &inner.config.evaluate, progress)?);
        }
        draft.trained(settled.clone(), last.loss(), warm.and_then(|warm| warm.enough).or(last.gain()));
        let id = draft.id();
        let profiles = self.profiles(&interactions)?;
        let mut cold = ColdStart::learn(&model, &interactions.matrix, &profiles, &settled.cold, settled.seed)?;
        cold.weigh_prior(&TrainingData { warm: None, ..data }, &profiles, &settled, progress)?;
        drop(profiles);
        draft.placed(cold, next);
        painted.ask(&model, &interactions)?;
        draft.watched(painted.portrait, ItemRefresh::learn(&model, &interactions.matrix)?);
        let index = &inner.config.index;
        snapshot::write(&inner.store, &inner.dir, draft, &interactions, &model, index, progress)?;
        self.check_snapshot_size(id)?;
        inner.jobs.note_seen(id, seen);
        Ok(())
    }

    /// What is known of the items and users of a matrix beside their events.
    fn profiles(&self, interactions: &Interactions) -> Result<Profiles> {
        let store = &self.inner.store;
        let mut items = vec![None; interactions.items.len()];
        let mut users = vec![None; interactions.users.len()];
        let view = store.view();
        view.for_each_item(&mut |id, item| {
            let slot = interactions.column_of(id).and_then(|column| items.get_mut(column as usize));
            if let Some(slot) = slot {
                *slot = Some(item);
            }
            Ok(())
        })?;
        view.for_each_user(&mut |id, user| {
            let slot = interactions.row_of(id).and_then(|row| users.get_mut(row as usize));
            if let Some(slot) = slot {
                *slot = Some(user);
            }
            Ok(())
        })?;
        drop(view);
        for (space, _) in store.spaces()? {
            store.for_each_vector(&space, &mut |id, vector| {
                let item = interactions.column_of(id).and_then(|column| items.get_mut(column as usize));
                if let Some(item) = item.and_then(Option::as_mut) {
                    item.vectors.insert(space.clone(), vector.to_vec());
                }
                Ok(())
            })?;
        }
        Ok(Profiles { items, users })
    }

    /// What the active snapshot leaves to a training of `interactions` under these settings.
    fn before(&self, interactions: &Interactions, config: &TrainConfig) -> Option<Before> {
        let live = self.inner.live.load_full()?;
        let snapshot = &live.snapshot;
        let fold_in = snapshot.fold_in();
        let Manifest { train, last_gain, .. } = snapshot.manifest();
        // Those of other models are neither on this scale nor in principal axes.
        if ![ModelKind::Blend, ModelKind::Ials].contains(&train.model) {
            return None;
        }
        let factors = |row: u32| {
            let scale = fold_in.parts().scales.get(row as usize).copied().unwrap_or(1.0);
            let columns = snapshot.vectors().row(row as usize).iter().take(fold_in.mix().factors);
            columns.map(|value| value / scale).collect()
        };
        let items = interactions.items.iter().map(|item| snapshot.row(*item).map(factors)).collect();
        let is_alike = train.model == config.model && train.epochs >= config.epochs;
        Some(Before { items, enough: last_gain.filter(|_| is_alike) })
    }

    /// How events are to fade. What an earlier training found is good for a warm start, until the log has twice the events.
    fn fade_before(&self, config: &TrainConfig, events: u64) -> Fade {
        let configured = self.inner.config.events.half_life;
        if configured != HalfLife::Auto {
            return Fade { half_life: configured, found_in: None };
        }
        let live = self.inner.live.load_full().filter(|_| config.warm_start);
        let found = live.and_then(|live| {
            let before = live.snapshot.manifest();
            let faded = before.faded.filter(|_| before.train.model == config.model)?;
            Some((faded.half_life, faded.found_in?))
        });
        match found.filter(|(_, found_in)| events < found_in.saturating_mul(2)) {
            Some((half_life, found_in)) => Fade { half_life: half_life.into(), found_in: Some(found_in) },
            None => Fade { half_life: HalfLife::Auto, found_in: Some(events) },
        }
    }

    fn offline_metrics(
        &self,
        log: &Log<'_>,
        config: &TrainConfig,
        half_life: HalfLife,
        progress: &dyn Progress,
    ) -> Result<(Vec<OfflineMetric>, Trained)> {
        // The gate looks at means; p-values would be thrown away.
        let evaluate = EvaluateConfig { permutations: 0, ..self.inner.config.evaluate.clone() };
        let own = [Contender { name: train::trainer(config.model)?.name().into(), train: config.clone() }];
        let evaluation = {
            let protocol = Protocol { split: evaluate.split, exclude_seen: false };
            let parts = self.parts(log, protocol, &own, half_life, progress)?;
            evaluation::measure(parts, &own, &evaluate, None, None, progress)?
        };
        Ok((offline_metrics(&evaluation.report), evaluation.trained))
    }
}

/// How events are to fade, and in how many events that was found or will be.
struct Fade {
    half_life: HalfLife,
    found_in: Option<u64>,
}

/// Where a warm start begins and how far it goes.
struct Before {
    /// The factors of the items that are to be learned.
    items: Vec<Option<Vec<f32>>>,
    /// What the last epoch gained, if that training was as long as the one to come.
    enough: Option<f64>,
}

/// Passes every step on and keeps the last two losses.
pub(super) struct LastLoss<'a> {
    progress: &'a dyn Progress,
    losses: Mutex<(Option<f64>, Option<f64>)>,
}

impl<'a> LastLoss<'a> {
    pub(super) fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, losses: Mutex::default() }
    }

    /// After the last epoch.
    pub(super) fn loss(&self) -> Option<f64> {
        lock(&self.losses).1
    }

    /// The part of the loss by which the last epoch changed it, where there was one before.
    fn gain(&self) -> Option<f64> {
        let (before, last) = *lock(&self.losses);
        before.zip(last).map(|(before, last)| (before - last).abs() / last).filter(|gain| gain.is_finite())
    }
}

impl Progress for LastLoss<'_> {
    fn report(&self, step: &Step) {
        if let Step::Epoch { epoch, loss, .. } = step {
            let mut losses = lock(&self.losses);
            *losses = (losses.1.filter(|_| *epoch > 1), Some(*loss));
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
