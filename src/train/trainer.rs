//! Which method learns which model, and what is settled before.

use super::blend::{PRIOR, Part, Parts, Weighing, assemble, blend, trend_factors};
use super::early_stop::EarlyStop;
use super::ials::{Guide, Observer};
use super::model::{Model, Trainer, TrainingData, check};
use super::pool::in_pool;
use super::ratings::Ratings;
use super::settle::settle;
use super::sgd::{self, Bpr, Softmax};
use crate::config::{BlendConfig, ModelKind, TrainConfig};
use crate::error::Result;
use crate::features::{Csr, Holdout, Interactions};
use crate::progress::Progress;

/// Learns the configured model; settings that are left to the data are settled first. Returns the settled configuration
/// with it, by which it is served.
///
/// # Errors
/// Those of [`Trainer::train`].
pub fn train(data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<(Model, TrainConfig)> {
    config.validate().map_err(|error| error.within("train"))?;
    if config.model != ModelKind::Ratings {
        check(data.matrix)?;
    }
    in_pool(config.threads, || learn(data, config, progress))?
}

fn learn(data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<(Model, TrainConfig)> {
    let mut settled = settle(config, data.matrix);
    settle_by_measuring(&mut settled, data, progress)?;
    Ok((train_settled(data, &settled, progress)?, settled))
}

/// Learns the model of a configuration that leaves nothing to the data.
///
/// # Errors
/// Those of [`Trainer::train`].
pub fn train_settled(data: &TrainingData<'_>, settled: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
    let model = trainer(settled.model)?.train(data, settled, progress)?;
    Ok(following(model, data.trend, settled))
}

/// The model with scores that follow what people turn to of late.
fn following(model: Model, trend: &[f32], settled: &TrainConfig) -> Model {
    let factors = trend_factors(trend, settled);
    if factors.is_empty() { model } else { model.scaled(&factors) }
}

/// Learns a model on the training part of each hold-out and hands it to `use_model`. A blend that is weighed by measuring
/// has, on each, the weights that were found on the others: its figures are then those of somebody who has not looked. A
/// single hold-out has those that were found on itself.
///
/// # Errors
/// Those of [`Trainer::train`] and of `use_model`.
pub fn train_each(
    holdouts: &[Holdout],
    config_for: &dyn Fn(&Csr) -> TrainConfig,
    progress: &dyn Progress,
    use_model: &mut dyn FnMut(&Holdout, &Model) -> Result<()>,
) -> Result<()> {
    let configs: Vec<TrainConfig> = holdouts.iter().map(|holdout| config_for(&holdout.train.matrix)).collect();
    let can_be_weighed = |config: &TrainConfig| is_weighed(config) && config.patience == 0;
    if !configs.iter().all(can_be_weighed) {
        for (holdout, config) in holdouts.iter().zip(&configs) {
            let validation = std::slice::from_ref(holdout);
            let Interactions { matrix, trend, .. } = &holdout.train;
            let data = TrainingData { matrix, trend, validation, ratings: None, warm: None };
            use_model(holdout, &train(&data, config, progress)?.0)?;
        }
        return Ok(());
    }
    let (mut weighing, mut trained) = (Weighing::default(), Vec::new());
    for (holdout, config) in holdouts.iter().zip(&configs) {
        let matrix = &holdout.train.matrix;
        config.validate().map_err(|error| error.within("train"))?;
        check(matrix)?;
        let settled = settle(config, matrix);
        let parts = Parts::train(matrix, &PRIOR, &settled, Guide::default(), progress)?;
        weighing.add(&parts, holdout, holdouts.len(), &settled, progress)?;
        trained.push((parts, settled));
    }
    for (place, ((parts, mut settled), holdout)) in trained.into_iter().zip(holdouts).enumerate() {
        let weights = weighing.weigh(Some(place).filter(|_| holdouts.len() > 1));
        let model = put_together(parts, &holdout.train.matrix, &mut settled, weights)?;
        use_model(holdout, &following(model, &holdout.train.trend, &settled))?;
    }
    Ok(())
}

/// Whether a blend's weights are left to the data.
pub fn is_weighed(config: &TrainConfig) -> bool {
    config.model == ModelKind::Blend && config.blend.is_open()
}

/// Whether anything is chosen by measuring on validation parts.
pub fn is_measured(config: &TrainConfig) -> bool {
    is_weighed(config) || stops_early(config)
}

fn stops_early(config: &TrainConfig) -> bool {
    config.patience > 0 && (is_descended(config) || [ModelKind::Blend, ModelKind::Ials].contains(&config.model))
}

/// Whether it is learned by gradient descent.
fn is_descended(config: &TrainConfig) -> bool {
    [ModelKind::Bpr, ModelKind::Softmax].contains(&config.model)
}

/// A blend of these parts under weights for scores on one scale; what else is configured of a blend stays.
fn put_together(parts: Parts, matrix: &Csr, settled: &mut TrainConfig, weights: BlendConfig) -> Result<Model> {
    settled.blend = BlendConfig { mass_exponent: settled.blend.mass_exponent, ..weights };
    let scaled = parts.on_one_scale(matrix, &settled.blend)?;
    assemble(parts, &scaled, matrix, settled)
}

/// Settles what takes measuring on the validation parts: the blend's weights on all of them, and the number of epochs on
/// the first. Where there are none, the prior weights answer and all epochs are gone through.
fn settle_by_measuring(settled: &mut TrainConfig, data: &TrainingData<'_>, progress: &dyn Progress) -> Result<()> {
    let (is_open, stops_early) = (is_weighed(settled), stops_early(settled));
    if is_open {
        settled.blend = BlendConfig { mass_exponent: settled.blend.mass_exponent, ..PRIOR };
    }
    if !is_open && !stops_early {
        return Ok(());
    }
    let usable = data.validation.iter().filter(|holdout| check(&holdout.train.matrix).is_ok());
    let usable: Vec<&Holdout> = usable.take(if is_open { usize::MAX } else { 1 }).collect();
    if is_descended(settled) {
        return usable.first().map_or(Ok(()), |validation| stop_descent(settled, validation, progress));
    }
    let factors = BlendConfig { ials: 1.0, ..BlendConfig::default() };
    let wanted = if is_open { &PRIOR } else { &factors };
    let mut weighing = Weighing::default();
    for (place, validation) in usable.iter().enumerate() {
        let mut early_stop = EarlyStop::new(validation, settled.patience);
        let observer = (stops_early && place == 0).then_some(&mut early_stop as &mut dyn Observer);
        let guide = Guide { warm: None, observer };
        let parts = Parts::train(&validation.train.matrix, wanted, settled, guide, progress)?;
        if stops_early && place == 0 {
            settled.epochs = early_stop.best_epoch().max(1);
            settled.patience = 0;
        }
        if is_open {
            weighing.add(&parts, validation, usable.len(), settled, progress)?;
        }
    }
    if is_open && !usable.is_empty() {
        let weights = weighing.weigh(None);
        settled.blend = BlendConfig { mass_exponent: settled.blend.mass_exponent, ..weights };
    }
    Ok(())
}

/// Settles the epochs of gradient descent on a validation part. The step size falls as it would have over all of them: what
/// is then trained goes the way that was judged, to its best place.
fn stop_descent(settled: &mut TrainConfig, validation: &Holdout, progress: &dyn Progress) -> Result<()> {
    let mut early_stop = EarlyStop::new(validation, settled.patience);
    sgd::watch(&validation.train.matrix, settled, &mut early_stop, progress)?;
    if settled.sgd.decay_epochs == 0 {
        settled.sgd.decay_epochs = settled.sgd.epochs;
    }
    settled.sgd.epochs = early_stop.best_epoch().max(1);
    settled.patience = 0;
    Ok(())
}

/// The method of a model.
pub fn trainer(kind: ModelKind) -> Result<&'static dyn Trainer> {
    const IALS: &Alone = &Alone { name: "ials", part: Part::Ials };
    const LINEAR: &Alone = &Alone { name: "linear", part: Part::Linear };
    const POPULARITY: &Alone = &Alone { name: "popularity", part: Part::Popularity };
    match kind {
        ModelKind::Blend => Ok(&Blend),
        ModelKind::Ials => Ok(IALS),
        ModelKind::Linear => Ok(LINEAR),
        ModelKind::Filter => Ok(&Filter),
        ModelKind::Popularity => Ok(POPULARITY),
        ModelKind::Bpr => Ok(&Bpr),
        ModelKind::Softmax => Ok(&Softmax),
        ModelKind::Ratings => Ok(&Ratings),
    }
}

/// All parts that have a weight.
struct Blend;

impl Trainer for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn train(&self, data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
        blend(data, config, progress)
    }
}

/// The graph filter, its low-pass part under the weight of the configuration.
struct Filter;

impl Trainer for Filter {
    fn name(&self) -> &'static str {
        "filter"
    }

    fn train(&self, data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
        let both = BlendConfig { filter: 1.0, low_pass: config.filter.low_pass, ..BlendConfig::default() };
        let parts = Parts::train(data.matrix, &both, config, data.guide(), progress)?;
        let scaled = parts.on_one_scale(data.matrix, &both)?;
        assemble(parts, &scaled, data.matrix, config)
    }
}

/// One part as the whole model.
struct Alone {
    name: &'static str,
    part: Part,
}

impl Trainer for Alone {
    fn name(&self) -> &'static str {
        self.name
    }

    fn train(&self, data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
        let alone = self.part.with_weight(BlendConfig::default(), 1.0);
        let parts = Parts::train(data.matrix, &alone, config, data.guide(), progress)?;
        assemble(parts, &alone, data.matrix, config)
    }
}
