//! Counts by absolute time at four resolutions, in bounded memory: of each resolution the newest buckets that are not
//! empty. Who is seldom active has a long past in few buckets; who is always active keeps at least the span that the
//! windows of this resolution need.
//!
//! Order does not matter: a bucket is given up only when enough newer ones are taken, and those stay. So what is left is
//! always the newest of all buckets that ever held something, each with all that fell into it.

use std::cmp::Ordering;

use crate::record::Timestamp;

/// A resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Five minutes: recency, and windows up to an hour.
    Minutes,
    /// Hours: windows up to a day.
    Hours,
    /// Days (UTC): windows up to a month.
    Days,
    /// Four weeks: the long past.
    Months,
}

/// From the finest on.
pub const LEVELS: [Level; 4] = [Level::Minutes, Level::Hours, Level::Days, Level::Months];

impl Level {
    /// Length of a bucket, in milliseconds.
    pub const fn width(self) -> i64 {
        match self {
            Self::Minutes => 5 * 60_000,
            Self::Hours => 3_600_000,
            Self::Days => 86_400_000,
            Self::Months => 28 * 86_400_000,
        }
    }

    /// Buckets that are kept at most: one more than the longest window needs, as a window seldom begins with a bucket.
    pub const fn most(self) -> usize {
        match self {
            Self::Minutes => 13,
            Self::Hours => 25,
            Self::Days => 31,
            Self::Months => 26,
        }
    }

    /// The bucket of a time. Fits: a bucket of the years 1 to 9999 is a number of ten digits less than 2^31.
    pub const fn bucket(self, time: Timestamp) -> i32 {
        time.millis().div_euclid(self.width()) as i32
    }

    /// The resolution at which a window is looked at.
    pub const fn of_window(millis: i64) -> Self {
        if millis <= 12 * Self::Minutes.width() {
            Self::Minutes
        } else if millis <= 24 * Self::Hours.width() {
            Self::Hours
        } else if millis <= 30 * Self::Days.width() {
            Self::Days
        } else {
            Self::Months
        }
    }
}

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its resolution.
    pub level: Level,
    /// Its number: its start, divided by its width.
    pub at: i32,
    /// Events in it; negative in a difference that is yet to be added.
    pub count: i64,
}

impl Bucket {
    /// Events in it: none in what is yet to be added to more than it takes out.
    pub fn events(&self) -> f64 {
        self.count.max(0) as f64
    }

    /// When it begins and ends, in milliseconds.
    pub fn span(&self) -> (f64, f64) {
        let width = self.level.width() as f64;
        let begin = f64::from(self.at) * width;
        (begin, begin + width)
    }

    /// The order in which buckets are kept: by resolution, the newest first.
    fn order(&self, other: &Self) -> Ordering {
        self.level.cmp(&other.level).then(other.at.cmp(&self.at))
    }
}

/// Counts by time: buckets, and where those of each resolution end.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Buckets(Vec<Bucket>, [u8; LEVELS.len()]);

impl Buckets {
    /// Counts `count` events at a time.
    pub fn add(&mut self, time: Timestamp, count: i64) {
        for level in LEVELS {
            self.put(Bucket { level, at: level.bucket(time), count });
        }
    }

    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
        self.1 = [0; LEVELS.len()];
    }

    /// Adds one bucket.
    fn put(&mut self, new: Bucket) {
        let within = self.range(new.level);
        let newer = self.of(new.level).partition_point(|bucket| bucket.at > new.at);
        let place = within.start + newer;
        match self.0.get_mut(place).filter(|bucket| place < within.end && bucket.at == new.at) {
            Some(bucket) => {
                bucket.count = bucket.count.saturating_add(new.count);
                if bucket.count == 0 {
                    self.0.remove(place);
                    self.move_ends(new.level, |end| end.saturating_sub(1));
                }
            }
            None if newer < new.level.most() && new.count != 0 => {
                if within.len() == new.level.most() {
                    self.0.remove(within.end - 1);
                    self.move_ends(new.level, |end| end.saturating_sub(1));
                }
                self.0.insert(place, new);
                self.move_ends(new.level, |end| end + 1);
            }
            None => {}
        }
    }

    /// Whether these are all of `all`, or those without the oldest of a resolution: what was given up for newer ones does not come back
    /// when events are taken out.
    pub fn are_newest_of(&self, all: &Self) -> bool {
        LEVELS.into_iter().all(|level| all.of(level).starts_with(self.of(level)))
    }

    fn move_ends(&mut self, from: Level, moved: impl Fn(u8) -> u8) {
        self.1.iter_mut().skip(from as usize).for_each(|end| *end = moved(*end));
    }

    /// 95 buckets at most: an end fits a byte.
    fn note_ends(&mut self) {
        let mut end = 0;
        for (level, slot) in LEVELS.into_iter().zip(&mut self.1) {
            end += self.0.iter().skip(end).take_while(|bucket| bucket.level == level).count();
            *slot = end as u8;
        }
    }

    /// Adds all counts of another.
    pub fn merge(&mut self, other: &Self) {
        if self.0.is_empty() {
            return self.clone_from(other);
        }
        // What a single event has counted: most changes are such.
        if other.0.len() <= LEVELS.len() {
            return other.0.iter().for_each(|bucket| self.put(*bucket));
        }
        let mut kept = [0usize; LEVELS.len()];
        let mut merged: Vec<Bucket> = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            let next = match (mine.peek(), theirs.peek()) {
                (None, None) => break,
                (Some(a), None) => **a,
                (None, Some(b)) => **b,
                (Some(a), Some(b)) => match a.order(b) {
                    Ordering::Less => **a,
                    Ordering::Greater => **b,
                    Ordering::Equal => Bucket { count: a.count.saturating_add(b.count), ..**a },
                },
            };
            mine.next_if(|bucket| bucket.order(&next).is_eq());
            theirs.next_if(|bucket| bucket.order(&next).is_eq());
            let kept = &mut kept[next.level as usize];
            if next.count != 0 && *kept < next.level.most() {
                *kept += 1;
                merged.push(next);
            }
        }
        self.0 = merged;
        self.note_ends();
    }

    /// The buckets of a resolution, the newest first.
    pub fn of(&self, level: Level) -> &[Bucket] {
        self.0.get(self.range(level)).unwrap_or_default()
    }

    fn range(&self, level: Level) -> std::ops::Range<usize> {
        let [minutes, hours, days, months] = self.1.map(usize::from);
        match level {
            Level::Minutes => 0..minutes,
            Level::Hours => minutes..hours,
            Level::Days => hours..days,
            Level::Months => days..months,
        }
    }

    /// From all buckets, by resolution, the newest first; `None` if they are not in this order, too many, or empty.
    pub fn from_all(all: Vec<Bucket>) -> Option<Self> {
        let is_sorted = all.is_sorted_by(|a, b| a.order(b).is_lt());
        let fits = |level| all.iter().filter(|bucket| bucket.level == level).count() <= level.most();
        let is_whole = is_sorted && LEVELS.into_iter().all(fits) && all.iter().all(|bucket| bucket.count != 0);
        is_whole.then(|| {
            let mut buckets = Self(all, [0; LEVELS.len()]);
            buckets.note_ends();
            buckets
        })
    }

    /// When the newest of these events was, to five minutes; events after `now` are not looked at. `None` without any.
    pub fn newest(&self, now: Timestamp) -> Option<i64> {
        LEVELS.iter().find_map(|level| {
            let before = |bucket: &&Bucket| bucket.at <= level.bucket(now);
            self.of(*level).iter().find(before).map(|bucket| i64::from(bucket.at) * level.width())
        })
    }

    /// When the oldest of these events was, to the bucket that is still known; `None` if all are after `now`, to that bucket.
    pub fn oldest(&self, now: Timestamp) -> Option<i64> {
        let is_whole = |level: &Level| self.of(*level).len() < level.most() || *level == Level::Months;
        let level = LEVELS.into_iter().find(is_whole)?;
        let bucket = self.of(level).last().filter(|bucket| bucket.at <= level.bucket(now))?;
        Some(i64::from(bucket.at) * level.width())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn counted(times: &[i64]) -> Buckets {
        let mut buckets = Buckets::default();
        times.iter().for_each(|time| buckets.add(at(*time), 1));
        buckets
    }

    /// Times that crowd some buckets and reach over years.
    fn times() -> impl Strategy<Value = Vec<i64>> {
        let time = prop_oneof![0..DAY / 2, 0..60 * DAY, -900 * DAY..900 * DAY];
        proptest::collection::vec(time, 0..120)
    }

    proptest! {
        #[test]
        fn any_order_and_any_grouping_give_the_same(mut times in times(), seed: u64, cut in 0usize..120) {
            let expected = counted(&times);
            times.sort_by_key(|time| (*time as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            prop_assert_eq!(&counted(&times), &expected);
            let (a, b) = times.split_at(cut.min(times.len()));
            let mut merged = counted(a);
            merged.merge(&counted(b));
            prop_assert_eq!(&merged, &expected);
            prop_assert_eq!(&Buckets::from_all(expected.0.clone()), &Some(expected));
        }

        #[test]
        fn what_is_taken_out_leaves_no_trace_while_all_is_kept(
            times in proptest::collection::vec(0..10 * DAY, 0..12),
            more in proptest::collection::vec(0..10 * DAY, 0..12),
        ) {
            let all: Vec<i64> = times.iter().chain(&more).copied().collect();
            prop_assume!(all.iter().map(|time| Level::Minutes.bucket(at(*time))).collect::<std::collections::BTreeSet<_>>().len() <= 13);
            let mut buckets = counted(&all);
            more.iter().for_each(|time| buckets.add(at(*time), -1));
            prop_assert_eq!(buckets, counted(&times));
        }
    }

    /// What damaged bytes may hold.
    #[test]
    fn the_largest_counts_at_the_ends_of_time_are_added_up_without_overflow() {
        let bucket = |level, at, count| Bucket { level, at, count };
        let all = LEVELS.map(|level| [bucket(level, i32::MAX, i64::MAX), bucket(level, i32::MIN, i64::MAX)]).concat();
        let mut buckets = Buckets::from_all(all).unwrap();
        buckets.merge(&buckets.clone());
        let all = LEVELS.map(|level| [bucket(level, i32::MAX, i64::MAX), bucket(level, i32::MIN, i64::MAX)]).concat();
        assert_eq!(Some(buckets), Buckets::from_all(all));
    }

    #[test]
    fn an_event_of_the_future_is_not_the_newest_now() {
        let buckets = counted(&[0, DAY, 2 * DAY, 2_000_000 * DAY]);
        assert_eq!(buckets.newest(at(2 * DAY + 1)), Some(2 * DAY));
        assert_eq!(buckets.oldest(at(2 * DAY + 1)), Some(0));
        assert_eq!(buckets.oldest(at(-1)), None, "all of it is yet to come");
    }
}
