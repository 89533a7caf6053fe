//! What candidates are measured on: hold-outs inside the data that the search may see, and the rungs, each a cheaper
//! or the whole part of them.
//!
//! With times: the latter half of what each user did in the last 15 % of the events when these are enough users; else in five
//! windows of 8 % each, one after another from 60 % on, since a choice by a hundred users would be noise. What others did in the
//! same span is known, as it is to whoever is trained every day. Without times: a fifth of each user's pairs is measured by the others, at random or in a block; five such folds where
//! there are few users, one where there are many.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::halving::KEPT;
use crate::error::Result;
use crate::features::{Draw, Holdout, Interactions, LatterHalf, Log};
use crate::progress::Progress;
use crate::record::UserId;

/// With so many measured users one hold-out tells candidates apart.
const ENOUGH_USERS: usize = 2_000;
/// More users than this make a figure no more useful.
const MOST_USERS: usize = 20_000;
/// With fewer, all windows together, times are of no use.
const FEWEST_USERS: usize = 50;
/// The training part of a single hold-out by time.
const LATEST: f64 = 0.85;
/// One pair in so many is measured where there are no times, and at most so many such hold-outs.
const FOLDS: usize = 5;
/// A sample for a cheap rung has at least so many users: with fewer, items lose so many of theirs that other settings win.
const SMALLEST_SAMPLE: usize = 5_000;
/// The cheap rung of several folds is so many of them.
const FIRST_FOLDS: usize = 2;

/// Hold-outs, and the rungs that measure on them.
pub struct Course {
    /// Each rung's hold-outs are a range of these.
    holdouts: Vec<Holdout>,
    rungs: Vec<Rung>,
    /// How the data is split, for reports.
    pub split: String,
}

/// A part of the hold-outs.
struct Rung {
    label: String,
    from: usize,
    to: usize,
}

impl Course {
    /// The course through a log. Errors: [`crate::Error::NoData`] when there is too little to measure anything,
    /// [`crate::Error::Cancelled`].
    pub fn new(log: &Log<'_>, progress: &dyn Progress) -> Result<Self> {
        Self::by_time(log).map_or_else(|| Self::by_pairs(log, progress), Ok)
    }

    /// The course through a log with times, in which what is measured of a user came after what is trained on of that user;
    /// others' events of the same span are known. `None` without times, and with too few users to measure by them.
    pub fn by_time(log: &Log<'_>) -> Option<Self> {
        if !log.has_times() {
            return None;
        }
        let latest = log.holdout(&LatterHalf { before: LATEST }).ok();
        if let Some(holdout) = latest.filter(|holdout| holdout.test.len() >= ENOUGH_USERS) {
            return Some(Self::sampled(holdout));
        }
        let windows = log.windows();
        let users: usize = windows.iter().map(|holdout| holdout.test.len()).sum();
        let split = format!("the latter half of what each user did in {} windows of time", windows.len());
        (users >= FEWEST_USERS).then(|| Self::folded(windows, split))
    }

    fn by_pairs(log: &Log<'_>, progress: &dyn Progress) -> Result<Self> {
        let folds = log.block_folds(Draw::Search, FOLDS as u64, progress)?;
        let fold = |fold: usize| log.holdout(&folds.fold(fold as u64));
        let first = fold(0)?;
        if first.test.len() >= ENOUGH_USERS {
            return Ok(Self::sampled(first));
        }
        let others = (1..FOLDS).filter_map(|number| fold(number).ok());
        let folds: Vec<Holdout> = std::iter::once(first).chain(others).collect();
        let split = format!("{} folds of each user's pairs", folds.len());
        Ok(Self::folded(folds, split))
    }

    /// Few users: rungs of more and more folds.
    pub fn folded(holdouts: Vec<Holdout>, split: String) -> Self {
        let count = holdouts.len();
        let rung = |to: usize| Rung { label: format!("{to} of {count}"), from: 0, to };
        let first = (count > FIRST_FOLDS).then(|| rung(FIRST_FOLDS));
        Self { rungs: first.into_iter().chain([rung(count)]).collect(), holdouts, split }
    }

    /// Many users: rungs of larger and larger samples of them.
    pub fn sampled(mut whole: Holdout) -> Self {
        let users = whole.test.len();
        let share = MOST_USERS as f64 / users as f64;
        let Holdout { train, test, .. } = &mut whole;
        test.retain(|(row, _)| train.users.get(*row as usize).is_some_and(|user| is_drawn(*user, share)));
        let split = whole.split.clone();
        let samples = [KEPT * KEPT, KEPT].into_iter().filter(|part| users / part >= SMALLEST_SAMPLE);
        let mut holdouts = Vec::new();
        let mut labels = Vec::new();
        for part in samples {
            if let Ok(sample) = sample(&whole, 1.0 / part as f64) {
                holdouts.push(sample);
                labels.push(format!("1/{part} of the users"));
            }
        }
        holdouts.push(whole);
        labels.push("all users".into());
        let rungs = labels.into_iter().enumerate().map(|(place, label)| Rung { label, from: place, to: place + 1 });
        Self { rungs: rungs.collect(), holdouts, split }
    }

    /// The shortest course that tells candidates apart: the cheapest sample of many users, all folds of few.
    pub fn brief(mut self) -> Self {
        let rung = if self.shared(self.top()) > 0 { self.rungs.pop() } else { self.rungs.drain(..).next() };
        if let Some(Rung { label, from, to }) = rung {
            self.holdouts = self.holdouts.drain(from..to).collect();
            self.rungs = vec![Rung { label, from: 0, to: to - from }];
        }
        self
    }

    /// What each rung measures on, for reports.
    pub fn labels(&self) -> Vec<String> {
        self.rungs.iter().map(|rung| rung.label.clone()).collect()
    }

    /// The rung that measures on everything.
    pub fn top(&self) -> usize {
        self.rungs.len().saturating_sub(1)
    }

    /// The hold-outs of a rung.
    pub fn holdouts(&self, rung: usize) -> &[Holdout] {
        self.rungs.get(rung).and_then(|rung| self.holdouts.get(rung.from..rung.to)).unwrap_or(&[])
    }

    /// The hold-outs of a rung whose values the rung below has already: the first so many.
    pub fn shared(&self, rung: usize) -> usize {
        let below = rung.checked_sub(1).and_then(|below| self.rungs.get(below));
        let same = below.zip(self.rungs.get(rung)).filter(|(below, rung)| below.from == rung.from);
        same.map_or(0, |(below, _)| below.to - below.from)
    }

    /// Whose values the top rung's are, one after another.
    pub fn users(&self) -> Vec<UserId> {
        let of = |holdout: &Holdout| -> Vec<UserId> {
            holdout.test.iter().filter_map(|(row, _)| holdout.train.users.get(*row as usize).copied()).collect()
        };
        self.holdouts(self.top()).iter().flat_map(of).collect()
    }

    /// The largest training matrix, by which memory is judged.
    pub fn largest(&self) -> Option<&Interactions> {
        self.holdouts.iter().map(|holdout| &holdout.train).max_by_key(|train| train.matrix.nnz())
    }

    /// A number that differs when anything that is trained on or measured differs.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        for holdout in &self.holdouts {
            holdout.train.trend.iter().for_each(|value| hash.update(&value.to_le_bytes()));
            for row in 0..holdout.train.matrix.n_rows() {
                let (columns, weights) = holdout.train.matrix.row(row);
                hash.update(&columns.len().to_le_bytes());
                columns.iter().for_each(|column| hash.update(&column.to_le_bytes()));
                weights.iter().for_each(|weight| hash.update(&weight.to_le_bytes()));
            }
            for (row, columns) in &holdout.test {
                hash.update(&row.to_le_bytes());
                columns.iter().for_each(|column| hash.update(&column.to_le_bytes()));
            }
        }
        hash.digest()
    }
}

/// The hold-out of some of its users, in training and in measuring.
fn sample(holdout: &Holdout, share: f64) -> Result<Holdout> {
    let is_in = |user: UserId| is_drawn(user, share);
    let train = holdout.train.of_users(is_in);
    let mut pairs = Vec::new();
    for (row, columns) in &holdout.test {
        let user = holdout.train.users.get(*row as usize).copied().filter(|user| is_in(*user));
        let Some(user) = user else { continue };
        let items = columns.iter().filter_map(|column| holdout.train.items.get(*column as usize));
        pairs.extend(items.map(|item| Some((user, *item))));
    }
    Holdout::from_pairs(train, pairs, holdout.split.clone())
}

/// Whether a user is in a sample; smaller samples are parts of larger ones.
fn is_drawn(user: UserId, share: f64) -> bool {
    (xxh3_64(&user.get().to_le_bytes()) as f64) < share * u64::MAX as f64
}

impl std::fmt::Display for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; measured on {}", self.split, self.labels().join(", then "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Csr;
    use crate::record::ItemId;

    fn holdout(users: u32) -> Holdout {
        let rows = (0..users).map(|user| (0..4).map(|step| ((user + step * 3) % 50, 1.0)).collect()).collect();
        let train = Interactions {
            users: (0..users).map(UserId::new).collect(),
            items: (0..50).map(ItemId::new).collect(),
            matrix: Csr::from_rows(50, rows),
            trend: Vec::new(),
        };
        let pairs = (0..users).map(|user| Some((UserId::new(user), ItemId::new((user + 1) % 50)))).collect();
        Holdout::from_pairs(train, pairs, "all".into()).unwrap()
    }

    #[test]
    fn many_users_are_sampled_and_smaller_samples_lie_in_larger_ones() {
        let course = Course::sampled(holdout(24_000));
        assert_eq!(course.labels(), ["1/3 of the users", "all users"].map(str::to_owned));
        let users = |rung: usize| {
            let holdout = &course.holdouts(rung)[0];
            holdout.test.iter().map(|(row, _)| holdout.train.users[*row as usize]).collect::<Vec<_>>()
        };
        let (some, all) = (users(0), users(1));
        assert!((7_300..8_700).contains(&some.len()) && (19_500..=20_500).contains(&all.len()), "{}", all.len());
        assert!(some.iter().all(|user| all.contains(user)));
        assert_eq!(course.users(), all);
        assert_eq!(Course::sampled(holdout(24_000)).brief().users(), some, "one rung is left");
        assert_eq!(course.holdouts(1)[0].train.users.len(), 24_000, "all are trained on");
    }

    #[test]
    fn few_users_are_measured_on_all_folds_in_the_end() {
        let course = Course::folded((0..5).map(|_| holdout(40)).collect(), "folds".into());
        assert_eq!((course.holdouts(0).len(), course.holdouts(course.top()).len()), (2, 5));
        assert_eq!(course.users().len(), 200);
        assert_eq!((course.shared(0), course.shared(1)), (0, 2), "the first two are not measured again");
        let brief = course.brief();
        assert_eq!((brief.users().len(), brief.labels().len()), (200, 1));
    }

    #[test]
    fn other_data_has_another_fingerprint() {
        let print = |users| Course::folded(vec![holdout(users)], String::new()).fingerprint();
        assert_eq!(print(40), print(40));
        assert_ne!(print(40), print(41));
    }
}
