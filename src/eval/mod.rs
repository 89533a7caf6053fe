//! How good is a model on what it has not seen? Every test user is ranked over the whole catalogue, seen items excluded;
//! no negatives are sampled (Krichene & Rendle, KDD 2020). Models are measured on the same users, popularity first, so
//! that differences are paired: means come with bootstrap intervals over users, differences with p-values besides. For
//! whom, and for which items, a model is good is told by slices; what its lists look like by coverage, novelty and the
//! like, and where items are described, by how different they are and how near they come to the user's mix of categories.

mod assemble;
mod character;
mod evaluator;
mod ground;
mod lists;
mod metric;
mod permutation;
mod rank;
mod ratings;
mod report;
mod resample;
mod scorer;
mod top;
mod values;

pub use character::Character;
pub use evaluator::{Evaluator, answer_length};
pub use metric::{Metric, Ndcg};
pub use ratings::{RatingErrors, RatingMeter, RatingPredictor, RatingReport};
pub use report::{Comparison, CurvePoint, Difference, Estimate, ListFigures, ModelReport, Report, Slice, SliceKind};
pub use resample::{Column, Interval, Resampled};
pub use scorer::{PopularityScorer, Scorer};
pub use top::unseen;
pub use values::{MetricAt, user_values};

use crate::config::EvaluateConfig;
use crate::error::Result;
use crate::features::Holdout;
use crate::progress::Progress;

/// Measures scorers on the test users of one hold-out. The first is the baseline. Errors: [`crate::Error::Cancelled`].
pub fn evaluate(
    holdout: &Holdout,
    scorers: &[&dyn Scorer],
    config: &EvaluateConfig,
    progress: &dyn Progress,
) -> Result<Report> {
    let mut evaluator = Evaluator::new(config);
    let ground = evaluator.begin(holdout);
    for scorer in scorers {
        evaluator.measure(&ground, None, *scorer, progress)?;
    }
    Ok(evaluator.report())
}

#[cfg(test)]
mod tests;
