//! Splits into a part to learn from and a part to be measured on (the protocols are those of EVALUATION: whole
//! catalogue, split by time where there are times, nothing of the test part in training).

use rustc_hash::FxHashSet;

use super::interactions::{Interactions, TimedSignal, interactions, read_signals};
use super::weights::{EventWeights, Signal};
use crate::config::{EventsConfig, Split};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::record::Timestamp;
use crate::store::View;

/// A training part and the test pairs of its users.
pub struct Holdout {
    /// What to learn from.
    pub train: Interactions,
    /// For each test user, by row of the training matrix: the columns to be found, ascending.
    pub test: Vec<(u32, Vec<u32>)>,
    /// Test pairs that cannot be found: user or item unknown in training, or pair seen there.
    pub dropped: u64,
    /// How it was split.
    pub split: String,
}

impl Holdout {
    /// Test pairs.
    pub fn pairs(&self) -> u64 {
        self.test.iter().map(|(_, items)| items.len() as u64).sum()
    }
}

/// Decides which events are for testing.
pub trait Splitter {
    /// For each event, in the order of time, whether it is for testing.
    fn is_test(&self, events: &[TimedSignal]) -> Vec<bool>;

    /// How it splits, for reports.
    fn describe(&self) -> String;
}

/// The first share of all events is for training: what was before decides about what came after.
pub struct TimeSplit {
    /// The share, between 0 and 1.
    pub train: f64,
}

impl Splitter for TimeSplit {
    fn is_test(&self, events: &[TimedSignal]) -> Vec<bool> {
        let training = (events.len() as f64 * self.train) as usize;
        (0..events.len()).map(|place| place >= training).collect()
    }

    fn describe(&self) -> String {
        format!("time, the first {} % are for training", (self.train * 1000.0).round() / 10.0)
    }
}

/// Each user's last positive event is for testing.
pub struct LeaveLastOut;

impl Splitter for LeaveLastOut {
    fn is_test(&self, events: &[TimedSignal]) -> Vec<bool> {
        let mut done = FxHashSet::default();
        let mut is_test: Vec<bool> = events
            .iter()
            .rev()
            .map(|event| matches!(event.signal, Signal::Positive(_)) && done.insert(event.user))
            .collect();
        is_test.reverse();
        is_test
    }

    fn describe(&self) -> String {
        "each user's last positive event is for testing".into()
    }
}

/// Splits the events of a view. Errors: [`Error::NoData`] when a part is empty.
pub fn holdout(view: &View<'_>, config: &EventsConfig, split: Split, progress: &dyn Progress) -> Result<Holdout> {
    let splitter: &dyn Splitter = match split {
        Split::Time { train } => &TimeSplit { train },
        Split::LeaveLastOut => &LeaveLastOut,
    };
    let weights = EventWeights::new(config);
    let mut events = read_signals(view, &weights, progress)?;
    order_ties(view, &mut events)?;
    let is_test = splitter.is_test(&events);
    let part =
        |wanted: bool| events.iter().zip(&is_test).filter(move |(_, test)| **test == wanted).map(|(event, _)| event);
    let now = part(false).next_back().map_or(Timestamp::MIN, |event| event.time);
    let signals = part(false).map(|event| (event.user, event.item, weights.decayed(event.signal, event.time, now)));
    let train = Interactions::from_signals(signals.collect(), &weights);
    let signals = part(true).map(|event| (event.user, event.item, event.signal)).collect();
    let test = Interactions::from_signals(signals, &weights);
    let pairs = (0..test.matrix.n_rows()).flat_map(|row| {
        let (columns, _) = test.matrix.row(row);
        let pair = |column: u32| Some((*test.users.get(row)?, *test.items.get(column as usize)?));
        columns.iter().map(move |column| pair(*column)).collect::<Vec<_>>()
    });
    let pairs = pairs.flatten().map(|(user, item)| train.row_of(user).zip(train.column_of(item))).collect();
    finish(train, pairs, splitter.describe())
}

/// Everything in the view is for training; test pairs are given by external ids. Errors: [`Error::NoData`] when no pair
/// is left that could be found.
pub fn holdout_given(
    view: &View<'_>,
    config: &EventsConfig,
    pairs: &[(String, String)],
    progress: &dyn Progress,
) -> Result<Holdout> {
    let train = interactions(view, config, progress)?;
    let mut known = Vec::new();
    for (user, item) in pairs {
        let row = view.user_id(user)?.and_then(|user| train.row_of(user));
        known.push(row.zip(view.item_id(item)?.and_then(|item| train.column_of(item))));
    }
    finish(train, known, "given test pairs, everything stored is for training".into())
}

/// The log orders events of one millisecond by dense id, which depends on what was imported first. A split must not: here
/// they are ordered by external id, numbers by value.
fn order_ties(view: &View<'_>, events: &mut [TimedSignal]) -> Result<()> {
    for tied in events.chunk_by_mut(|a, b| a.time == b.time).filter(|tied| tied.len() > 1) {
        let mut keyed = Vec::with_capacity(tied.len());
        for event in tied.iter() {
            let user = view.user_name(event.user)?.unwrap_or_default();
            let item = view.item_name(event.item)?.unwrap_or_default();
            keyed.push(((user.parse::<u64>().ok(), user), (item.parse::<u64>().ok(), item), *event));
        }
        keyed.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        tied.iter_mut().zip(keyed).for_each(|(slot, (.., event))| *slot = event);
    }
    Ok(())
}

fn finish(train: Interactions, pairs: Vec<Option<(u32, u32)>>, split: String) -> Result<Holdout> {
    if train.matrix.nnz() == 0 {
        return Err(Error::no_data(
            "the training part has no positive event",
            "import more events, or check [events] in the configuration",
        ));
    }
    let given = pairs.len() as u64;
    let is_new = |(row, column): &(u32, u32)| train.matrix.row(*row as usize).0.binary_search(column).is_err();
    let mut found: Vec<(u32, u32)> = pairs.into_iter().flatten().filter(is_new).collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Err(Error::no_data(
            format!("none of {given} test pairs has a user and an item known in training and is new"),
            "import more events, or split so that users are on both sides",
        ));
    }
    let dropped = given - found.len() as u64;
    let test = found
        .chunk_by(|a, b| a.0 == b.0)
        .filter_map(|of_user| Some((of_user.first()?.0, of_user.iter().map(|(_, column)| *column).collect())))
        .collect();
    Ok(Holdout { train, test, dropped, split })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ItemId, UserId};

    fn event(time: i64, user: u32, item: u32, signal: Signal) -> TimedSignal {
        let time = Timestamp::from_millis(time).unwrap();
        TimedSignal { time, user: UserId::new(user), item: ItemId::new(item), signal }
    }

    #[test]
    fn a_time_split_takes_the_first_share_of_all_events() {
        let events: Vec<_> = (0..10).map(|time| event(time, 0, 0, Signal::Ignored)).collect();
        let is_test = TimeSplit { train: 0.8 }.is_test(&events);
        assert_eq!(is_test, [false, false, false, false, false, false, false, false, true, true]);
    }

    #[test]
    fn leave_last_out_takes_each_users_last_positive() {
        let yes = Signal::Positive(1.0);
        let events = [event(0, 1, 1, yes), event(1, 2, 1, yes), event(2, 1, 2, yes), event(3, 1, 3, Signal::Negative)];
        assert_eq!(LeaveLastOut.is_test(&events), [false, true, true, false]);
    }

    #[test]
    fn pairs_that_cannot_be_found_are_dropped_and_counted() {
        let yes = Signal::Positive(1.0);
        let weights = EventWeights::new(&EventsConfig::default());
        let signals = vec![(UserId::new(0), ItemId::new(0), yes), (UserId::new(1), ItemId::new(1), yes)];
        let train = Interactions::from_signals(signals, &weights);
        let pairs = vec![Some((0, 0)), Some((0, 1)), Some((0, 1)), None];
        let holdout = finish(train, pairs, String::new()).unwrap();
        assert_eq!(holdout.test, [(0, vec![1])]);
        assert_eq!((holdout.pairs(), holdout.dropped), (1, 3));
    }
}
