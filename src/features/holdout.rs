//! Splits into a part to learn from and a part to be measured on (the protocols are those of EVALUATION: whole
//! catalogue, split by time where there are times, nothing of the test part in training).

use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::interactions::Interactions;
use super::log::{Log, TimedSignal};
use super::weights::Signal;
use crate::error::{Error, Result};
use crate::record::{ItemId, Timestamp, UserId};

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
    /// By row, the columns that are in no list of a user, ascending, where these are more than those of the training part.
    pub left_out: FxHashMap<u32, Vec<u32>>,
}

impl Holdout {
    /// Keeps of the test part what could be found: users and items known in training, pairs not seen there. Errors:
    /// [`Error::NoData`] when a part is empty.
    pub fn new(train: Interactions, test: &Interactions, split: String) -> Result<Self> {
        let pairs = (0..test.matrix.n_rows()).flat_map(|row| {
            let user = test.users.get(row).copied();
            let items = test.matrix.row(row).0.iter().map(|column| test.items.get(*column as usize).copied());
            items.map(move |item| user.zip(item))
        });
        Self::from_pairs(train, pairs.collect(), split)
    }

    /// The same from test pairs; `None` stands for a pair whose user or item nobody knows.
    pub fn from_pairs(train: Interactions, pairs: Vec<Option<(UserId, ItemId)>>, split: String) -> Result<Self> {
        if train.matrix.nnz() == 0 {
            return Err(Error::no_data(
                "the training part has no positive event",
                "import more events, or check [events] in the configuration",
            ));
        }
        let given = pairs.len() as u64;
        let known = |(user, item)| train.row_of(user).zip(train.column_of(item));
        let is_new = |(row, column): &(u32, u32)| train.matrix.row(*row as usize).0.binary_search(column).is_err();
        let mut found: Vec<(u32, u32)> = pairs.into_iter().flatten().filter_map(known).filter(is_new).collect();
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
        Ok(Self { train, test, dropped, split, left_out: FxHashMap::default() })
    }

    /// The same as answers have it: what a user had any event with in a log, liked or not, is in no list and not to be found.
    /// Errors: [`Error::NoData`] when nothing is left to be found.
    pub fn without_touched(mut self, log: &Log<'_>) -> Result<Self> {
        let users = &self.train.users;
        let touches = log.touches(self.test.iter().filter_map(|(row, _)| users.get(*row as usize).copied()));
        self.leave_out(|user| touches.before(user, Timestamp::MAX));
        self.split.push_str("; what a user had any event with before is left out");
        match self.test.is_empty() {
            false => Ok(self),
            true => Err(Error::no_data(
                "every test pair had an event before, so that no answer would show its item",
                "import more events, or evaluate without leaving out what was seen",
            )),
        }
    }

    /// Items that from now on are in no list of a user and not to be found; users of whom nothing is to be found go.
    pub fn leave_out(&mut self, items_of: impl Fn(UserId) -> Vec<ItemId>) {
        let train = &self.train;
        for (row, held) in &mut self.test {
            let items = train.users.get(*row as usize).map(|user| items_of(*user)).unwrap_or_default();
            let mut columns = train.matrix.row(*row as usize).0.to_vec();
            columns.extend(items.into_iter().filter_map(|item| train.column_of(item)));
            columns.sort_unstable();
            columns.dedup();
            let given = held.len();
            held.retain(|column| columns.binary_search(column).is_err());
            self.dropped += (given - held.len()) as u64;
            self.left_out.insert(*row, columns);
        }
        self.test.retain(|(_, held)| !held.is_empty());
    }

    /// The columns that are in no list of a row's user, ascending.
    pub fn left_out(&self, row: u32) -> &[u32] {
        self.left_out.get(&row).map_or(self.train.matrix.row(row as usize).0, Vec::as_slice)
    }

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

/// The latter half of what each user does in the last part of the log is for testing: whoever asks has mostly just done
/// something, and the answer knows it. A split by time alone asks for weeks of which nothing is known, where what is popular of late
/// says most, and what people have in common little.
pub struct LatterHalf {
    /// The share of the log before that part, between 0 and 1.
    pub before: f64,
}

impl Splitter for LatterHalf {
    fn is_test(&self, events: &[TimedSignal]) -> Vec<bool> {
        let first = (events.len() as f64 * self.before) as usize;
        let mut counts: FxHashMap<UserId, (usize, usize)> = FxHashMap::default();
        let latest = events.get(first..).unwrap_or_default();
        latest.iter().for_each(|event| counts.entry(event.user).or_default().0 += 1);
        let mut is_late = |event: &TimedSignal| {
            let (of_user, until) = counts.entry(event.user).or_default();
            *until += 1;
            *until > *of_user / 2
        };
        let mut is_test = vec![false; first];
        is_test.extend(latest.iter().map(&mut is_late));
        is_test
    }

    fn describe(&self) -> String {
        let last = ((1.0 - self.before) * 1000.0).round() / 10.0;
        format!("time, the latter half of each user's events in the last {last} % is for testing")
    }
}

/// Events after a moment are for testing.
pub struct TimePoint(pub Timestamp);

impl Splitter for TimePoint {
    fn is_test(&self, events: &[TimedSignal]) -> Vec<bool> {
        events.iter().map(|event| event.time > self.0).collect()
    }

    fn describe(&self) -> String {
        format!("time, events after {} are for testing", self.0)
    }
}

/// Each user's last liked item is for testing, with all its events. A like that was taken back later is none.
pub struct LeaveLastOut;

impl Splitter for LeaveLastOut {
    fn is_test(&self, events: &[TimedSignal]) -> Vec<bool> {
        let mut last: FxHashMap<UserId, ItemId> = FxHashMap::default();
        let mut taken_back = FxHashSet::default();
        for event in events.iter().rev() {
            match event.signal {
                Signal::Positive(_) if !taken_back.contains(&(event.user, event.item)) => {
                    last.entry(event.user).or_insert(event.item);
                }
                Signal::Negative => {
                    taken_back.insert((event.user, event.item));
                }
                _ => {}
            }
        }
        events.iter().map(|event| last.get(&event.user) == Some(&event.item)).collect()
    }

    fn describe(&self) -> String {
        "each user's last liked item is for testing".into()
    }
}

/// What pairs are drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// An evaluation.
    Test = 0,
    /// What training chooses by measuring.
    Validation = 1,
    /// A search over settings.
    Search = 2,
}

/// One pair of a user and an item in `folds` is for testing, with all its events: what is left when there are no times.
pub struct PairFold {
    /// Whose pairs are drawn anew: a split of what another one left must not draw as that did.
    pub draw: Draw,
    /// Number of parts; at least 2.
    pub folds: u64,
    /// The part to be measured on, below `folds`.
    pub fold: u64,
}

impl Splitter for PairFold {
    fn is_test(&self, events: &[TimedSignal]) -> Vec<bool> {
        let fold = |event: &TimedSignal| {
            let pair = [event.user.get().to_le_bytes(), event.item.get().to_le_bytes()].concat();
            xxh3_64_with_seed(&pair, self.draw as u64) % self.folds.max(1) == self.fold
        };
        events.iter().map(fold).collect()
    }

    fn describe(&self) -> String {
        format!("pairs drawn at random, part {} of {} is for testing", self.fold + 1, self.folds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EventsConfig;
    use crate::features::EventWeights;

    fn event(time: i64, user: u32, item: u32, signal: Signal) -> TimedSignal {
        let time = Timestamp::from_millis(time).unwrap();
        TimedSignal { time, user: UserId::new(user), item: ItemId::new(item), signal, session: None }
    }

    #[test]
    fn a_time_split_takes_the_first_share_of_all_events() {
        let events: Vec<_> = (0..10).map(|time| event(time, 0, 0, Signal::Ignored)).collect();
        let is_test = TimeSplit { train: 0.8 }.is_test(&events);
        assert_eq!(is_test, [false, false, false, false, false, false, false, false, true, true]);
    }

    #[test]
    fn the_latter_half_is_that_of_each_user_in_the_last_part() {
        // Ten of user 0, and then in turns: two of user 0, one of user 1, three of user 2.
        let users = [vec![0; 10], vec![2, 0, 2, 1, 0, 2]].concat();
        let events: Vec<_> =
            users.iter().enumerate().map(|(time, user)| event(time as i64, *user, 0, Signal::Ignored)).collect();
        let is_test = LatterHalf { before: 10.0 / 16.0 }.is_test(&events);
        assert_eq!(is_test[..10], [false; 10]);
        assert_eq!(is_test[10..], [false, false, true, true, true, true]);
    }

    #[test]
    fn a_point_in_time_leaves_its_own_events_on_the_near_side() {
        let events: Vec<_> = (0..4).map(|time| event(time, 0, 0, Signal::Ignored)).collect();
        assert_eq!(TimePoint(events[1].time).is_test(&events), [false, false, true, true]);
    }

    #[test]
    fn leave_last_out_takes_each_users_last_liked_item_with_all_its_events() {
        let (yes, no) = (Signal::Positive(1.0), Signal::Negative);
        let events = [event(0, 1, 2, yes), event(1, 2, 1, yes), event(2, 1, 1, yes), event(3, 1, 2, yes)];
        assert_eq!(LeaveLastOut.is_test(&events), [true, true, false, true]);
        let events = [event(0, 1, 1, yes), event(1, 1, 2, yes), event(2, 1, 3, no), event(3, 1, 2, no)];
        assert_eq!(LeaveLastOut.is_test(&events), [true, false, false, false], "what was taken back is not liked");
    }

    #[test]
    fn what_one_draw_left_is_drawn_anew_by_another() {
        let events: Vec<_> = (0..4000).map(|pair| event(0, pair % 80, pair / 80, Signal::Ignored)).collect();
        let is_test = PairFold { draw: Draw::Test, folds: 5, fold: 0 }.is_test(&events);
        let left: Vec<_> = events.iter().zip(is_test).filter(|(_, test)| !test).map(|(event, _)| *event).collect();
        let held = PairFold { draw: Draw::Validation, folds: 10, fold: 0 }.is_test(&left);
        assert!((250..400).contains(&held.iter().filter(|held| **held).count()), "a tenth of 3,200");
    }

    #[test]
    fn every_pair_is_in_one_fold_with_all_its_events() {
        let events: Vec<_> =
            (0..200).map(|time| event(time, time as u32 % 7, time as u32 % 11, Signal::Ignored)).collect();
        let folds: Vec<_> = (0..3).map(|fold| PairFold { draw: Draw::Test, folds: 3, fold }.is_test(&events)).collect();
        for (place, one) in events.iter().enumerate() {
            assert_eq!(folds.iter().filter(|fold| fold[place]).count(), 1);
            let again = events.iter().position(|other| (other.user, other.item) == (one.user, one.item)).unwrap();
            assert!(folds.iter().all(|fold| fold[place] == fold[again]));
        }
    }

    #[test]
    fn pairs_that_cannot_be_found_are_dropped_and_counted() {
        let yes = Signal::Positive(1.0);
        let weights = EventWeights::new(&EventsConfig::default());
        let signals = vec![(UserId::new(0), ItemId::new(0), yes), (UserId::new(1), ItemId::new(1), yes)];
        let train = Interactions::from_signals(signals, &weights);
        let pair = |user, item| Some((UserId::new(user), ItemId::new(item)));
        let pairs = vec![pair(0, 0), pair(0, 1), pair(0, 1), pair(9, 1), None];
        let holdout = Holdout::from_pairs(train, pairs, String::new()).unwrap();
        assert_eq!(holdout.test, [(0, vec![1])]);
        assert_eq!((holdout.pairs(), holdout.dropped), (1, 4));
    }
}
