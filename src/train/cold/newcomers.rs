//! For how many pairs counts what is foretold of somebody: chosen on people whom a model has not seen, as those are whom it will be
//! asked about. Users of the training will not do: their pairs are in the item-item lists, and whatever they are shown foretells
//! the rest too well. So a fifth of the users is left out of a training of its own, in as many rounds as it takes to have
//! enough of them; of each a few pairs are shown, and the others are to be found.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{ColdStart, Profiles, Sparse, users};
use crate::config::TrainConfig;
use crate::error::Result;
use crate::features::{Csr, ProfileEncoder};
use crate::linalg::dot;
use crate::progress::{Progress, Quiet};
use crate::train::model::{Model, TrainingData, check};
use crate::train::pool::in_pool;
use crate::train::trainer::train_settled;

/// Numbers of pairs that are tried.
const PRIORS: [f32; 10] = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0];
/// So many of a newcomer's pairs are shown.
const SHOWN: [usize; 3] = [1, 2, 5];
/// A newcomer has so many pairs at least.
const LEAST: usize = 10;
/// The list whose hits are counted.
const LIST: usize = 20;
/// One user in so many is a newcomer in each round, and in one alone.
const ROUNDS: u64 = 5;
/// Fewer newcomers say too little; then a profile counts for one pair, and what everybody has for none.
const FEWEST: usize = 50;
const UNMEASURED: f32 = 1.0;
/// So many newcomers are enough.
const ENOUGH: usize = 500;
/// Pairs that a round learns from, at most: of more a part of the users.
const MOST_PAIRS: usize = 1_000_000;
/// Without a profile to go by, what everybody has is weighed only where that takes little time.
const FEW_PAIRS: usize = 250_000;

/// Recall of newcomers under each prior.
type Recalls = [f64; PRIORS.len()];

impl ColdStart {
    /// Chooses the prior by the mean recall@20 of what newcomers are not shown. Takes up to five trainings of retrieval under settled
    /// settings, one where there are many users. `profiles` are those of the rows of the matrix.
    ///
    /// # Errors
    /// Those of training and of fold-in.
    pub fn weigh_prior(
        &mut self,
        data: &TrainingData<'_>,
        profiles: &Profiles,
        settled: &TrainConfig,
        progress: &dyn Progress,
    ) -> Result<()> {
        // Without profiles the map has a mean and no columns.
        let has_profiles = self.users.as_ref().is_some_and(|map| map.encoder().columns() > 0);
        if self.prior_items.is_empty() || (!has_profiles && data.matrix.nnz() > FEW_PAIRS) {
            return Ok(());
        }
        let (encoder, rows) =
            super::encoded(profiles.users.iter().map(|user| user.as_ref().map(Into::into)), None, &settled.cold);
        let world = World { matrix: data.matrix, trend: data.trend, encoder, rows };
        let recalls = in_pool(settled.threads, || world.recalls(settled, &Quiet(progress)))??;
        let mut sums = [0.0; PRIORS.len()];
        recalls.iter().for_each(|of| sums.iter_mut().zip(of).for_each(|(sum, recall)| *sum += recall));
        let best = sums.into_iter().zip(PRIORS).reduce(|best, other| if other.0 > best.0 { other } else { best });
        self.prior_pairs = match best.filter(|_| recalls.len() >= FEWEST) {
            Some((_, pairs)) => pairs,
            None if has_profiles => UNMEASURED,
            None => 0.0,
        };
        let (newcomers, pairs) = (recalls.len(), self.prior_pairs);
        tracing::debug!(?sums, priors = ?PRIORS, "recall of newcomers");
        tracing::info!(pairs, newcomers, "cold-start prior of users");
        Ok(())
    }
}

/// What is known, from which newcomers are left out.
struct World<'a> {
    matrix: &'a Csr,
    trend: &'a [f32],
    encoder: ProfileEncoder,
    /// Encoded profiles, by row of the matrix.
    rows: Vec<Sparse>,
}

impl World<'_> {
    /// Of each newcomer.
    fn recalls(&self, settled: &TrainConfig, progress: &dyn Progress) -> Result<Vec<Recalls>> {
        let mut all = Vec::new();
        for round in 0..ROUNDS {
            if all.len() >= ENOUGH {
                break;
            }
            let part = self.without(round, settled.seed);
            if check(&part.matrix).is_err() {
                continue;
            }
            let data =
                TrainingData { matrix: &part.matrix, trend: &part.trend, validation: &[], ratings: None, warm: None };
            let model = train_settled(&data, settled, progress)?;
            let rows: Vec<Sparse> = part.users.iter().filter_map(|row| self.rows.get(*row)).cloned().collect();
            let ridge = settled.cold.ridge;
            let cold = ColdStart::of_users(&part.matrix, self.encoder.clone(), &rows, ridge, settled.seed)?;
            let newcomers: Vec<usize> = (0..self.matrix.n_rows())
                .filter(|row| drawn(*row, settled.seed) % ROUNDS == round && self.matrix.row(*row).0.len() >= LEAST)
                .take(ENOUGH)
                .collect();
            let found = newcomers.par_iter().map(|row| self.recall_of(*row, &part, &model, &cold));
            all.extend(found.collect::<Result<Vec<_>>>()?.into_iter().flatten());
        }
        Ok(all)
    }

    /// The pairs of all who are not newcomers in a round, of items that any of them has.
    fn without(&self, round: u64, seed: u64) -> Part {
        let share = (MOST_PAIRS as f64 / self.matrix.nnz().max(1) as f64).min(1.0);
        let is_in = |row: &usize| {
            let drawn = drawn(*row, seed);
            drawn % ROUNDS != round && (drawn / ROUNDS) as f64 <= share * (u64::MAX / ROUNDS) as f64
        };
        let users: Vec<usize> = (0..self.matrix.n_rows()).filter(is_in).collect();
        let mut columns = vec![None; self.matrix.n_cols()];
        for id in users.iter().flat_map(|row| self.matrix.row(*row).0) {
            columns[*id as usize] = Some(0);
        }
        columns.iter_mut().flatten().zip(0u32..).for_each(|(column, place)| *column = place);
        let row = |row: &usize| mapped(self.matrix.row(*row), &columns);
        let rows = users.iter().map(row).collect();
        let known = columns.iter().flatten().count();
        let trend = self.trend.iter().zip(&columns).filter(|(_, column)| column.is_some());
        Part { matrix: Csr::from_rows(known, rows), trend: trend.map(|(trend, _)| *trend).collect(), columns, users }
    }

    /// `None` of one who has too few pairs that the part knows.
    fn recall_of(&self, row: usize, part: &Part, model: &Model, cold: &ColdStart) -> Result<Option<Recalls>> {
        let mut pairs = mapped(self.matrix.row(row), &part.columns);
        if pairs.len() < LEAST {
            return Ok(None);
        }
        let wanted: Vec<u32> = pairs.iter().map(|(item, _)| *item).collect();
        pairs.sort_by_key(|(item, _)| xxh3_64_with_seed(&item.to_le_bytes(), row as u64));
        let (items, unit) = (model.items.as_rows(), model.fold_in.mix().unit);
        let foretold = cold.foretold(self.rows.get(row).map_or(&[], Vec::as_slice));
        let mut recalls = [0.0; PRIORS.len()];
        for shown in SHOWN {
            let own = pairs.get(..shown).unwrap_or_default();
            let mut vector = vec![0.0; items.dim()];
            model.fold_in.solve(items, own, &mut vector)?;
            let mut scores: Vec<f32> = (0..items.len()).map(|item| dot(&vector, items.row(item))).collect();
            model.fold_in.add_lists(own, &mut scores);
            let scale = users::scale(&foretold, |row| scores.get(row as usize).copied().unwrap_or(0.0));
            let mass = own.iter().map(|(_, weight)| weight).sum::<f32>() / unit;
            for (recall, prior) in recalls.iter_mut().zip(PRIORS) {
                let mut blended = scores.clone();
                for (item, share) in &foretold {
                    blended[*item as usize] += prior / mass * scale * share;
                }
                own.iter().for_each(|(item, _)| blended[*item as usize] = f32::NEG_INFINITY);
                *recall += hits(&blended, &wanted) / (wanted.len() - shown) as f64;
            }
        }
        Ok(Some(recalls))
    }
}

/// What a round learns from.
struct Part {
    matrix: Csr,
    trend: Vec<f32>,
    /// Where each column of the whole is, if it is there.
    columns: Vec<Option<u32>>,
    /// The rows of the whole that it has.
    users: Vec<usize>,
}

/// A number for a row, the same at every call.
fn drawn(row: usize, seed: u64) -> u64 {
    xxh3_64_with_seed(&(row as u64).to_le_bytes(), seed)
}

fn mapped((ids, weights): (&[u32], &[f32]), columns: &[Option<u32>]) -> Vec<(u32, f32)> {
    let pairs = ids.iter().zip(weights);
    pairs.filter_map(|(id, weight)| Some(((*columns.get(*id as usize)?)?, *weight))).collect()
}

/// How many of these items are among the best.
fn hits(scores: &[f32], wanted: &[u32]) -> f64 {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    let by_score = |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
    if order.len() > LIST {
        order.select_nth_unstable_by(LIST - 1, by_score);
        order.truncate(LIST);
    }
    order.iter().filter(|item| wanted.binary_search(item).is_ok()).count() as f64
}
