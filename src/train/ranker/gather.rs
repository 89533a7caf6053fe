//! Questions of the past, as they would have been met: in each window of time a model that knows what was before finds
//! candidates for every user who comes back, and their features are what was known when the window began. Of a user whom
//! answers were shown the questions are those answers, with what was known at their moment: what was taken beside what was
//! shown and passed over, and beside what retrieval would have found as well.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::inputs::{Candidates, SCORES, Sources, following};
use super::question::Question;
use crate::config::{RankerConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::eval::{Scorer, unseen};
use crate::features::table::{Asked, FactTable, FeatureRequest, FeatureTable, FittedTable, PastEvent, replay_asked};
use crate::features::{Csr, Holdout, Interactions};
use crate::linalg::Matrix;
use crate::progress::Progress;
use crate::record::{ItemId, Timestamp, UserId};
use crate::store::View;
use crate::train::trainer::train_settled;
use crate::train::{Model, ModelScorer, TrainingData};

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
    /// Answers of which something was taken, in the order of time.
    pub shown: &'a [ShownAnswer],
}

/// An answer that was shown, and of which something was taken.
pub struct ShownAnswer {
    /// When.
    pub at: Timestamp,
    /// To whom.
    pub user: UserId,
    /// What, by position; those that are gone are left out.
    pub items: Vec<(u32, ItemId)>,
    /// The positions that were taken.
    pub taken: Vec<u32>,
}

/// A window of time.
pub struct Window<'a> {
    /// When it begins.
    pub at: Timestamp,
    /// What was before, and what was taken in it.
    pub holdout: &'a Holdout,
    /// What people had taken next, by row and column of the hold-out's training part.
    pub next: &'a Csr,
}

impl Window<'_> {
    /// What had been taken after what a user did last.
    pub(super) fn following(&self, past: &[PastEvent], candidates: &[ItemId]) -> Vec<f32> {
        following(self.next, |item| self.holdout.train.column_of(item), past, candidates)
    }
}

/// A question with what came of it.
pub struct Posed {
    /// Whose.
    pub user: UserId,
    /// Candidates in the order of retrieval, `[candidates, inputs]`, and those taken; none of them may be. Of an answer that was
    /// shown only what was shown: nobody knows what would have been taken of the rest.
    pub question: Question,
    /// The same with all that retrieval finds, of an answer that was shown: it has to come before that, too.
    pub whole: Option<Question>,
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
        let Interactions { matrix, trend, .. } = &window.holdout.train;
        let data = TrainingData { matrix, trend, validation: &[], ratings: None, warm: None };
        let model = train_settled(&data, train, progress)?;
        let until = windows.get(number + 1).map(|next| next.at);
        let of_window = past.shown.partition_point(|of| of.at < window.at)
            ..past.shown.partition_point(|of| until.is_none_or(|until| of.at < until));
        let shown = past.shown.get(of_window).unwrap_or_default();
        for one in find(&model, window.holdout, shown, most, config) {
            asked.push(Asked { at: one.at.unwrap_or(window.at), user: one.user });
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
        let Some((number, one)) = all.get(place) else { return Ok(()) };
        let mut out = Matrix::zeros(0, 1);
        let follows = windows.get(*number).map(|window| window.following(request.past, &one.items));
        let sources = Sources::of(&one.scores, follows.unwrap_or_default());
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
        let whole = Question::whole(inputs, one.taken);
        let (question, whole) = match one.at {
            Some(_) => (whole.only(&one.shown), Some(whole)),
            None => (whole, None),
        };
        let posed = Posed { user: one.user, question, whole, held: one.held, pairs: one.pairs };
        if let Some(of_window) = questions.get_mut(number) {
            of_window.push(posed);
        }
    }
    Ok((questions, fitted))
}

/// Weighs what was taken by the inverse of how likely it was looked at, where events say at which place it was shown.
fn weigh_places(view: &View<'_>, windows: &[Window<'_>], all: &mut [(usize, Found)], bias: f64) -> Result<()> {
    let mut asked: FxHashMap<UserId, Vec<usize>> = FxHashMap::default();
    let guessed = all.iter().enumerate().filter(|(_, (_, one))| one.at.is_none());
    guessed.for_each(|(place, (_, one))| asked.entry(one.user).or_default().push(place));
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
    /// When it was asked, if it was.
    at: Option<Timestamp>,
    /// Candidates, the best first.
    pub items: Vec<ItemId>,
    /// What retrieval knows of them.
    pub scores: Matrix,
    taken: Vec<(u32, f32)>,
    /// Places of those that were shown.
    shown: Vec<u32>,
    held: usize,
    pairs: usize,
}

/// What to find candidates for.
#[derive(Default)]
struct Wanted {
    row: u32,
    at: Option<Timestamp>,
    /// Columns of what was taken, with weights, ascending.
    held: Vec<(u32, f32)>,
    /// Columns of what was shown, ascending: they are candidates in any case.
    shown: Vec<u32>,
}

impl Wanted {
    /// All that a test user took.
    fn guessed((row, held): &(u32, Vec<u32>)) -> Self {
        Self { row: *row, held: held.iter().map(|column| (*column, 1.0)).collect(), ..Self::default() }
    }

    /// What was taken of an answer, by somebody and of items that the training part knows; weighed by place.
    fn of_answer(answer: &ShownAnswer, holdout: &Holdout, bias: f64) -> Option<Self> {
        let train = &holdout.train;
        let column = |(position, item): &(u32, ItemId)| Some((*position, train.column_of(*item)?));
        let known: Vec<(u32, u32)> = answer.items.iter().filter_map(column).collect();
        let mut shown: Vec<u32> = known.iter().map(|(_, column)| *column).collect();
        shown.sort_unstable();
        shown.dedup();
        let taken = known.iter().filter(|(position, _)| answer.taken.contains(position));
        let mut held: Vec<(u32, f32)> =
            taken.map(|(position, column)| (*column, inverse_propensity(*position, bias))).collect();
        held.sort_by_key(|(column, _)| *column);
        held.dedup_by_key(|(column, _)| *column);
        let says_something = !held.is_empty() && held.len() < shown.len();
        says_something.then_some(Self { row: train.row_of(answer.user)?, at: Some(answer.at), held, shown })
    }
}

/// At most so many questions of a window, evenly spaced: answers that were shown, and for the others of the test users what
/// might have been.
fn find(model: &Model, holdout: &Holdout, shown: &[ShownAnswer], most: usize, config: &RankerConfig) -> Vec<Found> {
    let spaced = |all: Vec<Wanted>, most: usize| -> Vec<Wanted> {
        let step = all.len().div_ceil(most.max(1)).max(1);
        all.into_iter().step_by(step).take(most).collect()
    };
    let answers = shown.iter().filter_map(|answer| Wanted::of_answer(answer, holdout, config.position_bias)).collect();
    let answers = spaced(answers, most);
    let asked: FxHashSet<u32> = answers.iter().map(|of| of.row).collect();
    let others = holdout.test.iter().filter(|(row, _)| !asked.contains(row)).map(Wanted::guessed).collect();
    let mut wanted = spaced(others, most - answers.len());
    wanted.extend(answers);
    wanted.chunks(TOGETHER).flat_map(|wanted| found_for(model, holdout, wanted, config.candidates)).collect()
}

/// What retrieval finds for one of the test users.
pub(super) fn found(model: &Model, holdout: &Holdout, tested: &(u32, Vec<u32>), candidates: usize) -> Vec<Found> {
    found_for(model, holdout, &[Wanted::guessed(tested)], candidates)
}

/// What retrieval finds for some users, scored together.
fn found_for(model: &Model, holdout: &Holdout, wanted: &[Wanted], candidates: usize) -> Vec<Found> {
    let matrix = &holdout.train.matrix;
    let scorer = ModelScorer::new("retrieval", model, matrix);
    let columns = model.items.rows();
    let rows: Vec<u32> = wanted.iter().map(|of| of.row).collect();
    let mut scores = vec![0.0; rows.len() * columns];
    scorer.score_all(&rows, &mut scores);
    let of_user = |(Wanted { row, at, held, shown }, scores): (&Wanted, &[f32])| {
        let (seen, weights) = matrix.row(*row as usize);
        let score = |column: &u32| scores.get(*column as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let mut best = unseen(scores, seen, candidates, &mut Vec::new());
        best.retain(|column| shown.binary_search(column).is_err());
        best.extend(shown);
        best.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
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
        let weight = |column: &u32| Some(held.get(held.binary_search_by_key(column, |of| of.0).ok()?)?.1);
        let places = || (0u32..).zip(&best);
        Some(Found {
            user: *holdout.train.users.get(*row as usize)?,
            at: *at,
            scores: inputs,
            taken: places().filter_map(|(place, column)| Some((place, weight(column)?))).collect(),
            shown: places().filter(|(_, column)| shown.binary_search(column).is_ok()).map(|(place, _)| place).collect(),
            items: best.iter().filter_map(|column| holdout.train.items.get(*column as usize)).copied().collect(),
            held: held.len(),
            pairs: seen.len(),
        })
    };
    let each: Vec<Option<Found>> =
        wanted.par_iter().zip(scores.par_chunks_exact(columns.max(1))).map(of_user).collect();
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
