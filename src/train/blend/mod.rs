//! The blend: factors, graph filter, linear item model and popularity on one scale, weighed on a validation part of the
//! data, and put together into what serving needs: one vector for each user and item, and one short list for each item.

mod assemble;
mod candidates;
mod parts;
mod scores;
#[cfg(test)]
mod tests;
mod weigh;

pub use assemble::{assemble, trend_factors};
pub use parts::{Part, Parts};
pub use weigh::Weighing;

use super::model::{Model, TrainingData};
use crate::config::{BlendConfig, TrainConfig};
use crate::error::Result;
use crate::progress::Progress;

/// Where weighing begins, the parts being on one scale: found on validation pairs inside Gowalla's training part.
pub const PRIOR: BlendConfig =
    BlendConfig { ials: 1.0, filter: 0.8, low_pass: 0.3, linear: 0.5, popularity: 0.0, mass_exponent: 0.0 };

/// Learns the parts that have a weight under a settled configuration and puts them together.
///
/// # Errors
/// Those of [`crate::train::Trainer::train`].
pub fn blend(data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
    let parts = Parts::train(data.matrix, &config.blend, config, data.guide(), progress)?;
    let scaled = parts.on_one_scale(data.matrix, &config.blend)?;
    assemble(parts, &scaled, data.matrix, config)
}
