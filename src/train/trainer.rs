//! Which method learns which model, and what is settled before.

use super::blend::{PRIOR, Part, Parts, assemble, blend, weigh};
use super::early_stop::EarlyStop;
use super::ials::{Guide, Observer};
use super::model::{Model, Trainer, TrainingData};
use super::pool::in_pool;
use super::ratings::Ratings;
use super::settle::settle;
use super::sgd::{Bpr, Softmax};
use crate::config::{BlendConfig, ModelKind, TrainConfig};
use crate::error::{Error, Result};
use crate::features::{Csr, Holdout};
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
    let is_same = |part: &&Holdout| std::ptr::eq(&part.train.matrix, data.matrix);
    if let Some(validation) = data.validation.filter(is_same)
        && settled.model == ModelKind::Blend
        && settled.blend.is_open()
        && settled.patience == 0
    {
        // A search weighs on what it measures on: one training does for both.
        let guide = Guide { warm: None, observer: None };
        let parts = Parts::train(data.matrix, &PRIOR, &settled, guide, progress)?;
        settled.blend = weigh(&parts, validation, progress)?;
        let scaled = parts.on_one_scale(data.matrix, &settled.blend)?;
        return Ok((assemble(parts, &scaled, data.matrix, &settled)?, settled));
    }
    settle_by_measuring(&mut settled, data, progress)?;
    let model = trainer(config.model)?.train(data, &settled, progress)?;
    Ok((model, settled))
}

/// Settles what takes measuring on the validation part: the blend's weights and the number of epochs. Where there is no
/// such part, factors alone answer and all epochs are gone through.
fn settle_by_measuring(settled: &mut TrainConfig, data: &TrainingData<'_>, progress: &dyn Progress) -> Result<()> {
    let is_open = settled.model == ModelKind::Blend && settled.blend.is_open();
    let stops_early = settled.patience > 0 && [ModelKind::Blend, ModelKind::Ials].contains(&settled.model);
    let factors = BlendConfig { ials: 1.0, ..BlendConfig::default() };
    if is_open {
        settled.blend = factors.clone();
    }
    let validation = data.validation.filter(|holdout| check(&holdout.train.matrix).is_ok());
    let Some(validation) = validation.filter(|_| is_open || stops_early) else { return Ok(()) };
    let mut early_stop = EarlyStop::new(validation, settled.patience);
    let observer = stops_early.then_some(&mut early_stop as &mut dyn Observer);
    let wanted = if is_open { &PRIOR } else { &factors };
    let guide = Guide { warm: None, observer };
    let parts = Parts::train(&validation.train.matrix, wanted, settled, guide, progress)?;
    if is_open {
        settled.blend = weigh(&parts, validation, progress)?;
    }
    if stops_early {
        settled.epochs = early_stop.best_epoch().max(1);
        settled.patience = 0;
    }
    Ok(())
}

fn check(matrix: &Csr) -> Result<()> {
    let remedy = "import events with a positive weight (see [events] in the configuration)";
    if matrix.nnz() == 0 {
        return Err(Error::no_data("no user prefers any item", remedy));
    }
    if matrix.n_rows() < 2 {
        return Err(Error::no_data("there is one user with preferences, training needs two", remedy));
    }
    if matrix.n_cols() < 2 {
        return Err(Error::no_data("there is one preferred item, training needs two", remedy));
    }
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
        assemble(parts, &both, data.matrix, config)
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
