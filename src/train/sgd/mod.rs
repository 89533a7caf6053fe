//! Matrix factorisation by stochastic gradient descent over pairs and sampled negatives, in minibatches: Bayesian
//! personalised ranking and sampled softmax. An item's row is `[factors, bias]`, a user's `[factors, 1]`. Threads share
//! no row ([`blocks`]) and the result does not depend on their number.

mod blocks;
mod loss;
mod sampling;
mod serve;
mod step;
#[cfg(test)]
mod tests;

use rand_distr::{Distribution, Normal};
use rayon::prelude::*;

use super::early_stop::EarlyStop;
use super::ials::{self, Observer, Verdict, item_scales};
use super::model::{Model, Trainer, TrainingData};
use super::pool::in_pool;
use crate::config::{ModelKind, TrainConfig};
use crate::error::{Error, Result};
use crate::features::Csr;
use crate::linalg::Matrix;
use crate::progress::{Progress, Step};
use blocks::{Cell, Side, block_count, cells, chance, random};
pub use loss::{BprLoss, Loss, SoftmaxLoss};
use sampling::Sampler;
use step::descend;

/// Factors by Bayesian personalised ranking.
pub struct Bpr;

impl Trainer for Bpr {
    fn name(&self) -> &'static str {
        "bpr"
    }

    fn train(&self, data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
        train(data.matrix, &BprLoss, config, progress)
    }
}

/// Factors by sampled softmax.
pub struct Softmax;

impl Trainer for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn train(&self, data: &TrainingData<'_>, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
        train(data.matrix, &SoftmaxLoss { log_q: config.sgd.log_q }, config, progress)
    }
}

fn train(matrix: &Csr, loss: &dyn Loss, config: &TrainConfig, progress: &dyn Progress) -> Result<Model> {
    in_pool(config.threads, || serve::model(factorise(matrix, loss, config, None, progress)?.items, matrix, config))?
}

/// Learns from the training part of a hold-out for as long as `early_stop` says, and leaves nothing but what that saw: after
/// each epoch, its users solved from their histories, as they are served.
///
/// # Errors
/// Those of [`factorise`].
pub fn watch(
    matrix: &Csr,
    config: &TrainConfig,
    early_stop: &mut EarlyStop<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let softmax = SoftmaxLoss { log_q: config.sgd.log_q };
    let loss: &dyn Loss = if config.model == ModelKind::Bpr { &BprLoss } else { &softmax };
    let rows = early_stop.rows();
    let mut judge = |epoch: usize, items: Matrix| {
        let (users, items) = serve::users(items, matrix, &rows, config)?;
        Ok(early_stop.epoch(epoch, &users, &items))
    };
    in_pool(config.threads, || factorise(matrix, loss, config, Some(&mut judge), progress).map(drop))?
}

/// What gradient descent gives: the inner product of a user's and an item's row is the item's score for the user.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// Rows `[factors, 1]`, `[n_users, dimension + 1]`.
    pub users: Matrix,
    /// Rows `[factors, bias]`, `[n_items, dimension + 1]`.
    pub items: Matrix,
}

/// Is given the items, `[n_items, dimension + 1]`, after each epoch, which counts from 1.
type Judge<'a> = &'a mut (dyn FnMut(usize, Matrix) -> Result<Verdict> + Send);

/// Learns from `matrix`, `[n_users, n_items]`, whose values are the pairs' confidences; `item_frequency_exponent` weighs
/// them. Goes through all epochs, or until `judge` says stop. Reports [`Step::Epoch`] with the mean loss of the epoch's
/// pairs, as it was when each was seen.
///
/// # Errors
/// [`Error::NoData`] when there are no pairs, or fewer than two users or items; [`Error::Invalid`] for a confidence
/// that is not a positive number, or when numbers run out of range; [`Error::Cancelled`].
pub fn factorise(
    matrix: &Csr,
    loss: &dyn Loss,
    config: &TrainConfig,
    mut judge: Option<Judge<'_>>,
    progress: &dyn Progress,
) -> Result<Factors> {
    ials::check(matrix)?;
    let scales = item_scales(matrix, config.item_frequency_exponent);
    let weighed = (!scales.is_empty()).then(|| matrix.scaled(&vec![1.0; matrix.n_rows()], &scales));
    let matrix = weighed.as_ref().unwrap_or(matrix);
    let settings = &config.sgd;
    let falling = if settings.decay_epochs == 0 { settings.epochs } else { settings.decay_epochs };
    let (users, items) = initial(matrix, config)?;
    let count = block_count(matrix.n_rows(), matrix.n_cols());
    let mut dealer = random(config.seed, DEALER);
    let mut users = Side::new(&users, count, &mut dealer);
    let mut items = Side::new(&items, count, &mut dealer);
    let (counts, mean_weight) = summed(matrix);
    for epoch in 1..=settings.epochs {
        let done = ((epoch - 1) as f64 / falling as f64).min(1.0);
        let rate = settings.learning_rate * (1.0 - (1.0 - LAST_RATE) * done);
        items.deal(count, &mut dealer);
        let samplers = items.blocks.iter().map(|block| {
            let counts = block.ids.iter().map(|id| counts.get(*id as usize).copied().unwrap_or(0));
            Sampler::new(counts, settings.negative_exponent)
        });
        let samplers: Vec<Sampler> = samplers.collect::<Result<_>>()?;
        let cells = cells(matrix, &users, &items, mean_weight);
        let mut strata: Vec<_> = items.blocks.iter_mut().zip(&samplers).enumerate().collect();
        let mut total = 0.0;
        for stratum in 0..count {
            let at_once = users.blocks.par_iter_mut().zip(&mut strata).enumerate();
            let losses: Vec<f64> = at_once
                .map(|(of_users, (users, (of_items, (items, sampler))))| {
                    if progress.cancelled() {
                        return Err(Error::Cancelled("training"));
                    }
                    let stream = FIRST_CELL + ((epoch * count + stratum) * count + of_users) as u64;
                    let mut cell = Cell {
                        chance: chance(items.ids.len(), matrix.n_cols()),
                        users,
                        items,
                        sampler,
                        pairs: cells.get(of_users * count + *of_items).map_or(&[][..], Vec::as_slice),
                        random: random(config.seed, stream),
                    };
                    Ok(descend(&mut cell, loss, settings, rate))
                })
                .collect::<Result<_>>()?;
            total += losses.iter().sum::<f64>();
            strata.rotate_left(1);
        }
        let loss = total / matrix.nnz() as f64;
        if !loss.is_finite() {
            let reason = format!("ran out of range in epoch {epoch}; lower learning_rate");
            return Err(Error::invalid("train.sgd", reason));
        }
        progress.report(&Step::Epoch { epoch, epochs: settings.epochs, loss });
        if let Some(judge) = &mut judge
            && judge(epoch, items.collect())? == Verdict::Stop
        {
            break;
        }
    }
    Ok(Factors { users: users.collect(), items: items.collect() })
}

/// The last epoch's step size is this share of the first one's.
const LAST_RATE: f64 = 0.1;
/// Streams of the seed: initial rows, dealing, and from here on one for each cell of each epoch.
const INITIAL: u64 = 0;
const DEALER: u64 = 1;
const FIRST_CELL: u64 = 2;

/// Factors normal with standard deviation init_stddev / √dimension; the users' constant is 1, the items' bias 0.
fn initial(matrix: &Csr, config: &TrainConfig) -> Result<(Matrix, Matrix)> {
    let dim = config.sgd.dimension;
    let stddev = config.init_stddev / (dim as f64).sqrt();
    let normal = Normal::new(0.0, stddev).map_err(|error| Error::invalid("train.init_stddev", error.to_string()))?;
    let mut random = random(config.seed, INITIAL);
    let mut side = |n: usize, last: f32| {
        let mut rows = Matrix::zeros(n, dim + 1);
        for row in rows.data_mut().chunks_exact_mut(dim + 1) {
            row.fill_with(|| normal.sample(&mut random) as f32);
            row.last_mut().into_iter().for_each(|value| *value = last);
        }
        rows
    };
    Ok((side(matrix.n_rows(), 1.0), side(matrix.n_cols(), 0.0)))
}

/// The users of each item, and the mean confidence.
fn summed(matrix: &Csr) -> (Vec<u32>, f32) {
    let mut counts = vec![0; matrix.n_cols()];
    let mut total = 0.0;
    for row in 0..matrix.n_rows() {
        let (ids, weights) = matrix.row(row);
        ids.iter().for_each(|id| counts[*id as usize] += 1);
        total += weights.iter().map(|weight| f64::from(*weight)).sum::<f64>();
    }
    (counts, (total / matrix.nnz().max(1) as f64) as f32)
}
