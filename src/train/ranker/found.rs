//! What retrieval would have found for the questions of a window: candidates as an answer has them, without what the user had
//! an event with by then.

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::gather::{Past, ShownAnswer, Window};
use super::inputs::Candidates;
use super::join::joined;
use crate::config::RankerConfig;
use crate::eval::{Scorer, unseen};
use crate::features::{Holdout, Touches, likeliest};
use crate::linalg::Matrix;
use crate::record::{Attributes, ItemId, Timestamp, UserId};
use crate::train::{Model, ModelScorer};

/// The largest weight of what was taken far down: more would be noise.
const MOST_WEIGHT: f64 = 10.0;
/// Users that are scored together.
const TOGETHER: usize = 64;

/// A question with what retrieval finds for it.
pub struct Found {
    /// Whose.
    pub user: UserId,
    /// When it was asked, or would have been.
    pub at: Timestamp,
    /// Under which circumstances.
    pub context: Attributes,
    /// Candidates, the best first.
    pub items: Vec<ItemId>,
    /// What retrieval knows of them.
    pub scores: Matrix,
    /// Places of those that were taken, with their weights.
    pub taken: Vec<(u32, f32)>,
    /// Places of those that were shown; `None` where no answer was, so that the question is guessed.
    pub shown: Option<Vec<u32>>,
    /// How many were taken, found or not.
    pub held: usize,
    /// How many liked items were known of the user.
    pub pairs: usize,
}

/// One over the probability that a place, from 0, is looked at.
pub fn inverse_propensity(shown: u32, bias: f64) -> f32 {
    (f64::from(shown) + 1.0).powf(bias).min(MOST_WEIGHT) as f32
}

/// Questions of a window, at most so many and evenly spaced: answers that were shown, and for the others of the test users what
/// might have been.
pub fn find(
    model: &Model,
    past: &Past<'_>,
    window: &Window<'_>,
    shown: &[ShownAnswer],
    most: usize,
    config: &RankerConfig,
) -> Vec<Found> {
    let spaced = |all: Vec<Wanted>, most: usize| -> Vec<Wanted> {
        let step = all.len().div_ceil(most.max(1)).max(1);
        all.into_iter().step_by(step).take(most).collect()
    };
    let holdout = window.holdout;
    let answers = shown.iter().filter_map(|answer| Wanted::of_answer(answer, holdout, config.position_bias)).collect();
    let answers = spaced(answers, most);
    let asked: FxHashSet<u32> = answers.iter().map(|of| of.row).collect();
    let others = holdout.test.iter().filter(|(row, _)| !asked.contains(row));
    let others = others.filter_map(|tested| Wanted::guessed(tested, window)).collect();
    let mut wanted = spaced(others, most - answers.len());
    wanted.extend(answers);
    let touches = past.log.touches(wanted.iter().map(|of| of.user));
    let wanted: Vec<Wanted> = wanted.into_iter().filter_map(|of| of.met(&touches, window)).collect();
    wanted.chunks(TOGETHER).flat_map(|wanted| found_for(model, window, wanted, config)).collect()
}

/// What retrieval finds for a test user at the time at which the window begins; `touches` are the user's among others.
pub fn found(
    model: &Model,
    window: &Window<'_>,
    tested: &(u32, Vec<u32>),
    touches: &Touches,
    config: &RankerConfig,
) -> Option<Found> {
    let mut wanted = Wanted::guessed(tested, window)?;
    wanted.left_out = window.holdout.left_out(tested.0).to_vec();
    wanted.latest = touches.latest(wanted.user, window.at, |item| window.holdout.train.column_of(item));
    found_for(model, window, &[wanted], config).pop()
}

/// What to find candidates for.
struct Wanted {
    row: u32,
    user: UserId,
    at: Timestamp,
    context: Attributes,
    /// Columns of what was taken, with weights, ascending.
    held: Vec<(u32, f32)>,
    /// Columns of what was shown, ascending: they are candidates in any case.
    shown: Option<Vec<u32>>,
    /// Columns that are no candidates, ascending.
    left_out: Vec<u32>,
    /// Columns of the latest items, the newest first.
    latest: Vec<u32>,
}

impl Wanted {
    /// All that a test user took.
    fn guessed((row, held): &(u32, Vec<u32>), window: &Window<'_>) -> Option<Self> {
        let user = *window.holdout.train.users.get(*row as usize)?;
        let held = held.iter().map(|column| (*column, 1.0)).collect();
        let context = Attributes::new();
        let (left_out, latest) = (Vec::new(), Vec::new());
        Some(Self { row: *row, user, at: window.at, context, held, shown: None, left_out, latest })
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
        let weight = |position: u32| inverse_propensity(answer.before.saturating_add(position), bias);
        let mut held: Vec<(u32, f32)> = taken.map(|(position, column)| (*column, weight(*position))).collect();
        held.sort_by_key(|(column, _)| *column);
        held.dedup_by_key(|(column, _)| *column);
        let says_something = !held.is_empty() && held.len() < shown.len();
        let (row, context) = (train.row_of(answer.user)?, answer.context.clone());
        let (user, at, shown) = (answer.user, answer.at, Some(shown));
        let (left_out, latest) = (Vec::new(), Vec::new());
        says_something.then_some(Self { row, user, at, context, held, shown, left_out, latest })
    }

    /// As an answer would have met it: what its user had touched is no candidate. Who was shown nothing asks when they come, at the
    /// first event with what they take; what they had touched before the window is nothing that an answer could have shown.
    fn met(mut self, touches: &Touches, window: &Window<'_>) -> Option<Self> {
        let train = &window.holdout.train;
        let touched = |at: Timestamp| -> Vec<u32> {
            let items = touches.before(self.user, at).into_iter();
            items.filter_map(|item| train.column_of(item)).collect()
        };
        if self.shown.is_none() {
            let earlier = touched(window.at);
            self.held.retain(|(column, _)| earlier.binary_search(column).is_err());
            let held = self.held.iter().filter_map(|(column, _)| train.items.get(*column as usize).copied());
            self.at = touches.first(self.user, window.at, &held.collect::<Vec<_>>())?;
        }
        let mut left_out = touched(self.at);
        left_out.extend(train.matrix.row(self.row as usize).0);
        left_out.sort_unstable();
        left_out.dedup();
        let latest = touches.latest(self.user, self.at, |item| train.column_of(item));
        Some(Self { left_out, latest, ..self })
    }

    /// What people take next after the latest items, the likeliest first, at most so many.
    fn next(&self, window: &Window<'_>, most: usize) -> Vec<u32> {
        let is_allowed = |column: u32| self.left_out.binary_search(&column).is_err();
        likeliest(window.next, self.latest.iter().copied(), is_allowed, most)
    }
}

/// What retrieval finds for some users, scored together, with what comes next.
fn found_for(model: &Model, window: &Window<'_>, wanted: &[Wanted], config: &RankerConfig) -> Vec<Found> {
    let holdout = window.holdout;
    let matrix = &holdout.train.matrix;
    let scorer = ModelScorer::new("retrieval", model, matrix);
    let columns = model.items.rows();
    let rows: Vec<u32> = wanted.iter().map(|of| of.row).collect();
    let mut scores = vec![0.0; rows.len() * columns];
    scorer.score_all(&rows, &mut scores);
    let of_user = |(wanted, scores): (&Wanted, &[f32])| {
        let Wanted { row, held, shown, .. } = wanted;
        let (liked, weights) = matrix.row(*row as usize);
        let score = |column: &u32| scores.get(*column as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let retrieved = unseen(scores, &wanted.left_out, config.candidates, &mut Vec::new());
        let retrieved = retrieved.into_iter().map(|column| (column, score(&column))).collect();
        let next = wanted.next(window, config.next);
        let best = joined(retrieved, &next, config.candidates, |column| Some(score(&column)));
        let mut best: Vec<u32> = best.into_iter().map(|(column, _)| column).collect();
        if let Some(shown) = shown {
            best.retain(|column| shown.binary_search(column).is_err());
            best.extend(shown);
            best.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
        }
        let history: Vec<(u32, f32)> = liked.iter().copied().zip(weights.iter().copied()).collect();
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
        let shown_places = |shown: &Vec<u32>| {
            places().filter(|(_, column)| shown.binary_search(column).is_ok()).map(|(place, _)| place).collect()
        };
        Found {
            user: wanted.user,
            at: wanted.at,
            context: wanted.context.clone(),
            scores: inputs,
            taken: places().filter_map(|(place, column)| Some((place, weight(column)?))).collect(),
            shown: shown.as_ref().map(shown_places),
            items: best.iter().filter_map(|column| holdout.train.items.get(*column as usize)).copied().collect(),
            held: held.len(),
            pairs: liked.len(),
        }
    };
    wanted.par_iter().zip(scores.par_chunks_exact(columns.max(1))).map(of_user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EventsConfig;
    use crate::features::{Csr, EventWeights, Interactions, Signal};

    #[test]
    fn what_is_taken_further_down_weighs_more_up_to_a_bound() {
        assert_eq!([0, 3, 99].map(|shown| inverse_propensity(shown, 0.5)), [1.0, 2.0, 10.0]);
        assert_eq!(inverse_propensity(1_000_000, 1.0), MOST_WEIGHT as f32);
        assert_eq!(inverse_propensity(7, 0.0), 1.0);
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    /// User 0 has liked item 0 of four, and takes 1 and 2.
    fn holdout() -> Holdout {
        let weights = EventWeights::new(&EventsConfig::default());
        let liked = [(0, 0), (1, 1), (1, 2), (1, 3)];
        let signals = liked.map(|(user, item)| (UserId::new(user), ItemId::new(item), Signal::Positive(1.0))).to_vec();
        let pairs = [1, 2].map(|item| Some((UserId::new(0), ItemId::new(item)))).to_vec();
        Holdout::from_pairs(Interactions::from_signals(signals, &weights), pairs, String::new()).unwrap()
    }

    fn met(events: &[(i64, u32)]) -> Option<Wanted> {
        let holdout = holdout();
        let next = Csr::default();
        let window = Window { at: at(100), holdout: &holdout, next: &next };
        let events = events.iter().map(|(time, item)| (at(*time), UserId::new(0), ItemId::new(*item)));
        let touches = Touches::of([UserId::new(0)], events);
        Wanted::guessed(&holdout.test[0], &window)?.met(&touches, &window)
    }

    #[test]
    fn a_question_is_asked_when_its_user_comes_and_what_was_touched_is_no_candidate() {
        let wanted = met(&[(10, 0), (110, 3), (120, 2), (130, 1)]).unwrap();
        assert_eq!(wanted.at, at(120));
        assert_eq!(wanted.left_out, [0, 3], "liked, and looked at on the way");
        assert_eq!(wanted.held, [(1, 1.0), (2, 1.0)]);
        let wanted = met(&[(10, 0), (20, 2), (120, 2), (130, 1)]).unwrap();
        assert_eq!(wanted.at, at(130));
        assert_eq!((wanted.left_out, wanted.held), (vec![0, 2], vec![(1, 1.0)]), "no answer would have shown it");
        assert!(met(&[(10, 0), (20, 2), (30, 1), (120, 2), (130, 1)]).is_none());
    }

    #[test]
    fn a_take_on_a_later_page_weighs_as_one_that_far_down() {
        let holdout = holdout();
        let weight = |before: u32| {
            let items = (0..3).zip([3, 1, 2].map(ItemId::new)).collect();
            let answer = ShownAnswer {
                at: at(110),
                user: UserId::new(0),
                context: Attributes::new(),
                items,
                before,
                taken: vec![2],
            };
            Wanted::of_answer(&answer, &holdout, 1.0).unwrap().held
        };
        assert_eq!([weight(0), weight(5)], [[(2, 3.0)], [(2, 8.0)]]);
    }
}
