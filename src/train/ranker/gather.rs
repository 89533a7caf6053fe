//! Questions of the past, as they would have been met: in each window of time a model that knows only what was before finds
//! candidates for every user who comes back, and their features are what was known when the user came. Of a user whom
//! answers were shown the questions are those answers, with what was known at their moment: what was taken beside what was
//! shown and passed over, and beside what retrieval would have found as well.

use rustc_hash::{FxHashMap, FxHashSet};

use super::found::{Found, find, inverse_propensity};
use super::inputs::{SCORES, Sources, following};
use super::question::Question;
use crate::config::{RankerConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::features::table::{Asked, FactTable, FeatureRequest, FeatureTable, FittedTable, PastEvent, replay_asked};
use crate::features::{Csr, Holdout, Interactions, Log};
use crate::linalg::Matrix;
use crate::progress::Progress;
use crate::record::{Attributes, ItemId, Timestamp, UserId};
use crate::store::View;
use crate::train::TrainingData;
use crate::train::trainer::train_settled;

/// Questions of all windows together, at most.
const MOST_QUESTIONS: usize = 2_000;
/// Numbers of all their rows together, at most: they are in memory, half a GiB of them.
const MOST_NUMBERS: usize = 1 << 27;

/// Where features come from.
pub struct Past<'a> {
    /// The log.
    pub view: &'a View<'a>,
    /// The same in memory: that which is learned from.
    pub log: &'a Log<'a>,
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
    /// Under which circumstances.
    pub context: Attributes,
    /// What, by position from 0; those that are gone are left out.
    pub items: Vec<(u32, ItemId)>,
    /// So many items were on the pages before: its first item was looked at as seldom as their next.
    pub before: u32,
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
    let columns = SCORES + past.table.columns().len();
    let fitting_in = MOST_NUMBERS / columns.saturating_mul(config.candidates).max(1);
    let most = MOST_QUESTIONS.min(fitting_in).div_ceil(windows.len().max(1)).max(1);
    let mut all = Vec::new();
    for (number, window) in windows.iter().enumerate() {
        let Interactions { matrix, trend, .. } = &window.holdout.train;
        let data = TrainingData { matrix, trend, validation: &[], ratings: None, warm: None };
        let model = train_settled(&data, train, progress)?;
        let until = end_of(windows, number);
        let of_window =
            past.shown.partition_point(|of| of.at < window.at)..past.shown.partition_point(|of| of.at < until);
        let shown = past.shown.get(of_window).unwrap_or_default();
        all.extend(find(&model, past, window, shown, most, config).into_iter().map(|one| (number, one)));
        if progress.cancelled() {
            return Err(Error::Cancelled("training the ranker"));
        }
    }
    all.sort_by_key(|(_, one)| one.at);
    learn_of_events(past.view, windows, &mut all, config.position_bias)?;
    let asked: Vec<Asked> =
        all.iter().map(|(_, one)| Asked { at: one.at, user: one.user, context: one.context.clone() }).collect();
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
            let label = f64::from(u8::from(is_taken));
            // What is taken in a window is known when it is over; an answer may be taken from somewhat later.
            let known = end_of(windows, *number + usize::from(one.shown.is_some()));
            fitting.label(known, request.user, past.items.get(*item), label);
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
        let (question, whole) = match &one.shown {
            Some(shown) => (whole.only(shown), Some(whole)),
            None => (whole, None),
        };
        let posed = Posed { user: one.user, question, whole, held: one.held, pairs: one.pairs };
        if let Some(of_window) = questions.get_mut(number) {
            of_window.push(posed);
        }
    }
    Ok((questions, fitted))
}

/// When a window is over: where the next one begins.
fn end_of(windows: &[Window<'_>], number: usize) -> Timestamp {
    windows.get(number + 1).map_or(Timestamp::MAX, |next| next.at)
}

/// What events say of the questions that are guessed: under which circumstances their users came; and at which place they were
/// shown what they took, by which it is weighed: by the first event with the item that names one, from the moment of the
/// question on. What comes later is the same take again, from wherever it was found then.
fn learn_of_events(view: &View<'_>, windows: &[Window<'_>], all: &mut [(usize, Found)], bias: f64) -> Result<()> {
    let mut asked: FxHashMap<UserId, Vec<usize>> = FxHashMap::default();
    let guessed = all.iter().enumerate().filter(|(_, (_, one))| one.shown.is_none());
    guessed.for_each(|(place, (_, one))| asked.entry(one.user).or_default().push(place));
    let mut weighed: FxHashSet<(usize, ItemId)> = FxHashSet::default();
    view.for_each_counted(windows.first().map(|window| window.at), &mut |event| {
        let time = event.counted.time;
        let begin = |number: usize| windows.get(number).map(|window| window.at);
        let is_in = |number: usize| begin(number).is_some_and(|at| time >= at) && time < end_of(windows, number);
        for place in asked.get(&event.user).map(Vec::as_slice).unwrap_or_default() {
            let Some((_, one)) = all.get_mut(*place).filter(|(number, _)| is_in(*number)) else { continue };
            if time < one.at {
                continue;
            }
            if time == one.at && one.context.is_empty() {
                one.context.clone_from(&event.context);
            }
            let Some(shown) = event.position.filter(|_| weighed.insert((*place, event.item))) else { continue };
            let Found { items, taken, .. } = one;
            let taken = taken.iter_mut().find(|(place, _)| items.get(*place as usize) == Some(&event.item));
            taken.into_iter().for_each(|(_, weight)| *weight = inverse_propensity(shown, bias));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Durability, EventsConfig, StoreConfig};
    use crate::features::{EventWeights, Signal};
    use crate::record::Event;
    use crate::store::Store;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    /// The weights of what user u0 takes, items i0 and i1, in a question of moment 120 in a window from 100 on.
    fn weights(events: &[(i64, &str, Option<u32>)]) -> Vec<f32> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
        let event = |&(time, item, position): &(i64, &str, Option<u32>)| Event {
            position,
            ..Event::new("u0", item, "view").at(at(time))
        };
        let events: Vec<Event> = events.iter().map(event).collect();
        store.append_events(&events, Durability::Async).unwrap();
        let user = store.user_id("u0").unwrap().unwrap();
        let items: Vec<ItemId> = ["i0", "i1"].map(|name| store.item_id(name).unwrap().unwrap()).to_vec();
        let signals = [(UserId::new(9), items[0]), (UserId::new(8), items[1])];
        let signals = signals.map(|(user, item)| (user, item, Signal::Positive(1.0))).to_vec();
        let known = Interactions::from_signals(signals, &EventWeights::new(&EventsConfig::default()));
        let pairs = vec![Some((UserId::new(8), items[0]))];
        let holdout = Holdout::from_pairs(known, pairs, String::new()).unwrap();
        let next = Csr::default();
        let windows = [Window { at: at(100), holdout: &holdout, next: &next }];
        let taken = (0..items.len() as u32).map(|place| (place, 1.0)).collect();
        let found = Found {
            user,
            at: at(120),
            context: Attributes::new(),
            scores: Matrix::zeros(items.len(), SCORES),
            held: items.len(),
            items,
            taken,
            shown: None,
            pairs: 1,
        };
        let mut all = [(0, found)];
        learn_of_events(&store.view(), &windows, &mut all, 1.0).unwrap();
        all[0].1.taken.iter().map(|(_, weight)| *weight).collect()
    }

    #[test]
    fn a_take_weighs_by_the_place_at_which_it_was_shown_first_from_the_question_on() {
        let before = [(110, "i0", Some(9)), (120, "i0", Some(3)), (125, "i1", None)];
        let again = [(130, "i0", Some(0)), (140, "i1", Some(1)), (150, "i1", Some(7))];
        assert_eq!(weights(&[&before[..], &again[..]].concat()), [4.0, 2.0]);
    }
}
