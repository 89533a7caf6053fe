//! Which method learns which model.

use super::blend::{Parts, assemble};
use super::ials::ials;
use super::model::{Model, Trainer, TrainingData};
use super::ratings::Ratings;
use super::settle::settle;
use super::sgd::{Bpr, Softmax};
use crate::config::{BlendConfig, ModelKind, TrainConfig};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Learns the configured model; settings that are left to the data are settled first. Returns the settled configuration
/// with it, by which it is served.
///
/// # Errors
/// Those of [`Trainer::train`].
pub fn train(data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<(Model, TrainConfig)> {
    config.validate().map_err(|error| error.within("train"))?;
    let settled = settle(config, data.matrix);
    let model = trainer(config.model)?.train(data, &settled, progress)?;
    Ok((model, settled))
}

/// The method of a model.
pub fn trainer(kind: ModelKind) -> Result<&'static dyn Trainer> {
    match kind {
        ModelKind::Ials | ModelKind::Blend => Ok(&Ials),
        ModelKind::Bpr => Ok(&Bpr),
        ModelKind::Softmax => Ok(&Softmax),
        ModelKind::Ratings => Ok(&Ratings),
        ModelKind::Popularity => Ok(&Popularity),
        other => Err(Error::invalid("train.model", format!("{other:?} cannot be trained yet"))),
    }
}

/// Factors by implicit alternating least squares.
struct Ials;

impl Trainer for Ials {
    fn name(&self) -> &'static str {
        "ials"
    }

    fn train(&self, data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
        let factors = ials(data.matrix, config, progress)?;
        let alone = BlendConfig { ials: 1.0, ..BlendConfig::default() };
        assemble(Parts { ials: Some(factors) }, &alone, data.matrix, config)
    }
}

/// The number of an item's users.
struct Popularity;

impl Trainer for Popularity {
    fn name(&self) -> &'static str {
        "popularity"
    }

    fn train(&self, data: &TrainingData<'_>, config: &TrainConfig, _: &dyn Progress) -> Result<Model> {
        let alone = BlendConfig { popularity: 1.0, ..BlendConfig::default() };
        assemble(Parts::default(), &alone, data.matrix, config)
    }
}
