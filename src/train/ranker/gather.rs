//! Questions of the past, as they would have been met: in each window of time a model that knows what was before finds
//! candidates for every user who comes back, and their features are what was known when the window began.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::inputs::{Candidates, SCORES, Sources};
use super::question::Question;
use crate::config::{RankerConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::eval::{Scorer, unseen};
use crate::features::Holdout;
use crate::features::table::{Asked, FactTable, FeatureRequest, FeatureTable, FittedTable, replay_asked};
use crate::linalg::Matrix;
use crate::progress::Progress;
use crate::record::{ItemId, Timestamp, UserId};
use crate::store::View;
use crate::train::{Model, ModelScorer, TrainingData, trainer};

/// Questions of all windows together, at most: their rows are in memory.
const MOST_QUESTIONS: usize = 2_000;
/// The largest weight of what was taken far down: more would be noise.
const MOST_WEIGHT: f64 = 10.0;
/// Users that are scored together.
const TOGETHER: usize = 64;

/// Where features come from.
pub struct Past<'a> {
    /// The log.
    pub view: &'a View<'a>,
    /// The columns.
    pub table: &'a FeatureTable,
    /// Metadata of items.
    pub items: &'a FactTable,
    /// Attributes of users.
    pub users: &'a FactTable,
}

/// A window of time.
pub struct Window<'a> {
    /// When it begins.
    pub at: Timestamp,
    /// What was before, and what was taken in it.
    pub holdout: &'a Holdout,
}

/// A question with what came of it.
pub struct Posed {
    /// Whose.
    pub user: UserId,
    /// Candidates in the order of retrieval, `[candidates, inputs]`, and those taken; none of them may be.
    pub question: Question,
    /// All that was taken in the window, candidate or not.
    pub held: usize,
    /// How many liked items were known of the user.
    pub pairs: usize,
}

/// Questions of each window, in the order of the windows, which is that of time; and the table fitted on them.
pub fn gather(
    past: &Past<'_>,
    windows: &[Window<'_>],
    train: &TrainConfig,
    config: &RankerConfig,
    progress: &dyn Progress,
) -> Result<(Vec<Vec<Posed>>, FittedTable)> {
    let most = MOST_QUESTIONS.div_ceil(windows.len().max(1));
    let (mut all, mut asked) = (Vec::new(), Vec::new());
    for (number, window) in windows.iter().enumerate() {
        let matrix = &window.holdout.train.matrix;
        let data = TrainingData { matrix, validation: &[], ratings: None, warm: None };
        let model = trainer(train.model)?.train(&data, train, progress)?;
        for one in find(&model, window.holdout, most, config.candidates) {
            asked.push(Asked { at: window.at, user: one.user });
            all.push((number, one));
        }
        if progress.cancelled() {
            return Err(Error::Cancelled("training the ranker"));
        }
    }
    weigh_places(past.view, windows, &mut all, config.position_bias)?;
    let mut fitting = past.table.clone().fit();
    let mut rows = Vec::with_capacity(all.len());
    replay_asked(past.view, past.table, past.items, past.users, &asked, &mut |place, request, known| {
        let Some((_, one)) = all.get(place) else { return Ok(()) };
        let mut out = Matrix::zeros(0, 1);
        let sources = Sources::of(&one.scores);
        let request = &FeatureRequest { scores: &sources.scores(), ..*request };
        fitting.rows(request, known, &one.items, &mut out);
        for (candidate, item) in one.items.iter().enumerate() {
            let is_taken = one.taken.iter().any(|(place, _)| *place as usize == candidate);
            fitting.label(request.user, past.items.get(*item), f64::from(u8::from(is_taken)));
        }
        rows.push(out);
        Ok(())
    })?;
    let fitted = fitting.finish();
    let mut questions: Vec<Vec<Posed>> = windows.iter().map(|_| Vec::new()).collect();
    for ((number, one), mut features) in all.into_iter().zip(rows) {
        fitted.standardise(&mut features);
        let width = if past.table.columns().is_empty() { 0 } else { features.dim() };
        let mut inputs = Matrix::zeros(one.items.len(), SCORES + width);
        for place in 0..one.items.len() {
            let row = inputs.row_mut(place).iter_mut();
            let values = one.scores.row(place).iter().chain(features.row(place).iter().take(width));
            row.zip(values).for_each(|(slot, value)| *slot = *value);
        }
        let question = Question::whole(inputs, one.taken);
        questions.get_mut(number).into_iter().for_each(|of| {
            of.push(Posed { user: one.user, question: question.clone(), held: one.held, pairs: one.pairs });
        });
    }
    Ok((questions, fitted))
}

/// Weighs what was taken by the inverse of how likely it was looked at, where events say at which place it was shown.
fn weigh_places(view: &View<'_>, windows: &[Window<'_>], all: &mut [(usize, Found)], bias: f64) -> Result<()> {
    let mut asked: FxHashMap<UserId, Vec<usize>> = FxHashMap::default();
    all.iter().enumerate().for_each(|(place, (_, one))| asked.entry(one.user).or_default().push(place));
    view.for_each_counted(windows.first().map(|window| window.at), &mut |event| {
        let Some(shown) = event.position else { return Ok(()) };
        let of_user = asked.get(&event.user).map(Vec::as_slice).unwrap_or_default();
        // A window ends where the next one begins.
        let is_in = |number: usize| {
            let begins = |number: usize| windows.get(number).map(|window| window.at);
            begins(number).is_some_and(|at| event.counted.time >= at)
                && begins(number + 1).is_none_or(|next| event.counted.time < next)
        };
        for place in of_user {
            let Some((_, one)) = all.get_mut(*place).filter(|(number, _)| is_in(*number)) else { continue };
            let Found { items, taken, .. } = one;
            let taken = taken.iter_mut().find(|(place, _)| items.get(*place as usize) == Some(&event.item));
            taken.into_iter().for_each(|(_, weight)| *weight = inverse_propensity(shown, bias));
        }
        Ok(())
    })
}

/// One over the probability that a place, from 0, is looked at.
fn inverse_propensity(shown: u32, bias: f64) -> f32 {
    (f64::from(shown) + 1.0).powf(bias).min(MOST_WEIGHT) as f32
}

/// What retrieval finds for a user.
pub(super) struct Found {
    user: UserId,
    /// Candidates, the best first.
    pub items: Vec<ItemId>,
    /// What retrieval knows of them.
    pub scores: Matrix,
    taken: Vec<(u32, f32)>,
    held: usize,
    pairs: usize,
}

/// For `most` of the test users, evenly spaced, so many candidates.
fn find(model: &Model, holdout: &Holdout, most: usize, candidates: usize) -> Vec<Found> {
    let step = holdout.test.len().div_ceil(most.max(1)).max(1);
    let tested: Vec<&(u32, Vec<u32>)> = holdout.test.iter().step_by(step).collect();
    let mut all = Vec::with_capacity(tested.len());
    for tested in tested.chunks(TOGETHER) {
        all.extend(found(model, holdout, tested, candidates));
    }
    all
}

/// What retrieval finds for some of the test users, scored together.
pub(super) fn found(model: &Model, holdout: &Holdout, tested: &[&(u32, Vec<u32>)], candidates: usize) -> Vec<Found> {
    let matrix = &holdout.train.matrix;
    let scorer = ModelScorer::new("retrieval", model, matrix);
    let columns = model.items.rows();
    let rows: Vec<u32> = tested.iter().map(|(row, _)| *row).collect();
    let mut scores = vec![0.0; rows.len() * columns];
    scorer.score_all(&rows, &mut scores);
    let of_user = |((row, held), scores): (&&(u32, Vec<u32>), &[f32])| {
        let (seen, weights) = matrix.row(*row as usize);
        let best = unseen(scores, seen, candidates, &mut Vec::new());
        let history: Vec<(u32, f32)> = seen.iter().copied().zip(weights.iter().copied()).collect();
        let mut lists = vec![0.0; columns];
        model.fold_in.add_lists(&history, &mut lists);
        let of = |values: &[f32]| -> Vec<f32> {
            best.iter().map(|column| values.get(*column as usize).copied().unwrap_or(0.0)).collect()
        };
        let inputs = Candidates {
            mix: model.fold_in.mix(),
            vector: model.users.row(*row as usize),
            items: best.iter().map(|column| model.items.row(*column as usize)).collect(),
            totals: &of(scores),
            lists: &of(&lists),
        }
        .inputs();
        let taken = (0u32..).zip(&best).filter(|(_, column)| held.binary_search(column).is_ok());
        Some(Found {
            user: *holdout.train.users.get(*row as usize)?,
            scores: inputs,
            taken: taken.map(|(place, _)| (place, 1.0)).collect(),
            items: best.iter().filter_map(|column| holdout.train.items.get(*column as usize)).copied().collect(),
            held: held.len(),
            pairs: seen.len(),
        })
    };
    let each: Vec<Option<Found>> =
        tested.par_iter().zip(scores.par_chunks_exact(columns.max(1))).map(of_user).collect();
    each.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_further_down_weighs_more_up_to_a_bound() {
        assert_eq!([0, 3, 99].map(|shown| inverse_propensity(shown, 0.5)), [1.0, 2.0, 10.0]);
        assert_eq!(inverse_propensity(1_000_000, 1.0), MOST_WEIGHT as f32);
        assert_eq!(inverse_propensity(7, 0.0), 1.0);
    }
}
