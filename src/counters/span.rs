//! What counts by time say of a span: how many events a window has, how many are left after decay. Spans are prepared once
//! and asked of many counters.

use super::buckets::{Bucket, Buckets, LEVELS, Level};
use crate::record::Timestamp;

/// A span that ends now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    level: Level,
    /// The bucket that now is in; of windows that are longer than a month the day.
    newest: i32,
    extent: Extent,
}

/// Where a window begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Extent {
    /// With a bucket: windows of so many times the width of one (1 h, 1 d, 7 d, 30 d) are so many whole buckets, the newest of
    /// them the one that now is in.
    Bucket(i32),
    /// Within a bucket, which counts by its share: the others, and all that are longer than a month.
    Time(f64),
}

impl Window {
    /// So many milliseconds that end at a time.
    pub fn new(millis: i64, now: Timestamp) -> Self {
        let level = Level::of_window(millis);
        let width = level.width();
        // Of months the days are looked at.
        let newest = level.min(Level::Days).bucket(now);
        let is_whole = level != Level::Months && millis >= width && millis % width == 0;
        let extent = match is_whole {
            true => Extent::Bucket(newest.saturating_sub((millis / width - 1) as i32)),
            false => Extent::Time(now.millis() as f64 - millis as f64),
        };
        Self { level, newest, extent }
    }

    /// Whether it begins with a bucket.
    pub fn is_of_whole_buckets(&self) -> bool {
        matches!(self.extent, Extent::Bucket(_))
    }

    /// The share of a span of time that is in a window that begins within a bucket.
    fn share(start: f64, (begin, end): (f64, f64)) -> f64 {
        ((end - start) / (end - begin)).clamp(0.0, 1.0)
    }
}

/// Weights that halve with age.
#[derive(Clone, Debug)]
pub struct Fading {
    now: f64,
    half_life: f64,
    days: Weights<{ Level::Days.most() + 1 }>,
    months: Weights<{ Level::Months.most() + 1 }>,
}

/// Those of the newest buckets of a resolution: of now, of the one before, and so on.
#[derive(Clone, Debug)]
struct Weights<const N: usize> {
    level: Level,
    newest: i32,
    weights: [f64; N],
}

impl Fading {
    /// Halved with every `half_life` milliseconds until a time.
    pub fn new(half_life: f64, now: Timestamp) -> Self {
        let (days, months) = (Weights::new(Level::Days, half_life, now), Weights::new(Level::Months, half_life, now));
        Self { now: now.millis() as f64, half_life, days, months }
    }

    /// The weight at the middle of a bucket: 1 from now on.
    fn weight<const N: usize>(&self, of: &Weights<N>, at: i32) -> f64 {
        let back = of.newest.checked_sub(at).and_then(|back| usize::try_from(back).ok());
        let known = back.and_then(|back| of.weights.get(back));
        known.copied().unwrap_or_else(|| weight(of.level, self.half_life, self.now, at))
    }
}

impl<const N: usize> Weights<N> {
    fn new(level: Level, half_life: f64, now: Timestamp) -> Self {
        let newest = level.bucket(now);
        let of = |back: usize| weight(level, half_life, now.millis() as f64, newest.saturating_sub(back as i32));
        let step = (-(level.width() as f64) / half_life).exp2();
        // The newest may be in its first half: from the second on each is a step older.
        let (mut weights, mut next) = ([of(0); N], of(1));
        for weight in weights.iter_mut().skip(1) {
            *weight = next;
            next *= step;
        }
        Self { level, newest, weights }
    }
}

fn weight(level: Level, half_life: f64, now: f64, at: i32) -> f64 {
    let age = now - (f64::from(at) + 0.5) * level.width() as f64;
    if age <= 0.0 { 1.0 } else { (-age / half_life).exp2() }
}

impl Buckets {
    /// Events in a window; what is later than its end is not counted.
    pub fn within(&self, window: &Window) -> f64 {
        let until_now = |level: Level, newest: i32| {
            let buckets = self.of(level);
            buckets.get(buckets.partition_point(|bucket| bucket.at > newest)..).unwrap_or_default()
        };
        match window.extent {
            Extent::Bucket(oldest) => {
                let of_window = until_now(window.level, window.newest).iter().take_while(|bucket| bucket.at >= oldest);
                of_window.fold(0i64, |sum, bucket| bucket.count.max(0).saturating_add(sum)) as f64
            }
            Extent::Time(start) if window.level == Level::Months => self.since(start, window.newest),
            Extent::Time(start) => {
                let of_window =
                    until_now(window.level, window.newest).iter().take_while(|bucket| bucket.span().1 > start);
                of_window.map(|bucket| bucket.events() * Window::share(start, bucket.span())).sum()
            }
        }
    }

    /// Events since a time until today: of days as far as they are kept, and of what else four weeks have, which was before those.
    fn since(&self, start: f64, today: i32) -> f64 {
        let (mut days, mut sum) = (self.of(Level::Days), 0.0);
        for month in self.of(Level::Months) {
            let (begin, mut end) = month.span();
            if end <= start {
                break;
            }
            let others = others(month, &mut days, |day| {
                if day.at <= today {
                    sum += day.events() * Window::share(start, day.span());
                    end = day.span().0;
                }
            });
            if month.at <= today.div_euclid(28) {
                sum += others as f64 * Window::share(start, (begin, end.max(begin + 1.0)));
            }
        }
        sum
    }

    /// Events that are dated later than now, to five minutes; where there are many, to the resolution that still holds them.
    pub fn dated_after(&self, now: Timestamp) -> i64 {
        let later = |level: &Level| {
            let newest = level.bucket(now);
            let later = self.of(*level).iter().take_while(move |bucket| bucket.at > newest);
            later.fold((0, 0i64), |(count, sum), bucket| (count + 1, sum.saturating_add(bucket.count)))
        };
        let of_all = LEVELS.iter().map(|level| (level, later(level)));
        of_all.filter(|(level, (count, _))| *count < level.most()).map(|(_, (_, sum))| sum).next().unwrap_or(0).max(0)
    }

    /// Events, each halved with every half-life between the middle of its bucket and now: days as far as they are kept, four
    /// weeks before that.
    pub fn decayed(&self, fading: &Fading) -> f64 {
        let (mut days, mut sum) = (self.of(Level::Days), 0.0);
        for month in self.of(Level::Months) {
            let others = others(month, &mut days, |day| {
                if day.at <= fading.days.newest {
                    sum += day.events() * fading.weight(&fading.days, day.at);
                }
            });
            if others > 0 {
                sum += others as f64 * fading.weight(&fading.months, month.at);
            }
        }
        // Days whose month is no longer kept.
        let days = days.iter().filter(|day| day.at <= fading.days.newest);
        sum += days.map(|day| day.events() * fading.weight(&fading.days, day.at)).sum::<f64>();
        sum
    }
}

/// Passes on the days that are kept of four weeks, the newest first, and tells how many events there were on others. `days` are
/// those that are not of later weeks, and become those of earlier ones.
fn others(month: &Bucket, days: &mut &[Bucket], mut f: impl FnMut(&Bucket)) -> i64 {
    let (first, mut others) = (month.at.saturating_mul(28), month.count);
    while let Some((day, before)) = days.split_first().filter(|(day, _)| day.at >= first) {
        if day.at.saturating_sub(first) < 28 {
            others = others.saturating_sub(day.count);
        }
        f(day);
        *days = before;
    }
    others.max(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn counted(times: &[i64]) -> Buckets {
        let mut buckets = Buckets::default();
        times.iter().for_each(|time| buckets.add(at(*time), 1));
        buckets
    }

    fn within(buckets: &Buckets, window: i64, now: i64) -> f64 {
        buckets.within(&Window::new(window, at(now)))
    }

    /// Times that crowd some buckets and reach over years.
    fn times() -> impl Strategy<Value = Vec<i64>> {
        let time = prop_oneof![0..DAY / 2, 0..60 * DAY, -900 * DAY..900 * DAY];
        proptest::collection::vec(time, 0..120)
    }

    proptest! {
        #[test]
        fn a_window_of_whole_buckets_counts_what_a_scan_of_the_events_counts(
            times in times(),
            window in prop_oneof![Just(HOUR), Just(DAY), Just(7 * DAY), Just(30 * DAY)],
        ) {
            let now = times.iter().copied().max().unwrap_or(0);
            let level = Level::of_window(window);
            let first = level.bucket(at(now)) as i64 - window / level.width() + 1;
            let expected = times.iter().filter(|time| i64::from(level.bucket(at(**time))) >= first).count();
            prop_assert_eq!(within(&counted(&times), window, now), expected as f64);
        }

        #[test]
        fn a_window_between_those_counts_all_but_the_bucket_that_it_begins_in(
            times in times(),
            window in prop_oneof![HOUR + 1..DAY, DAY + 1..30 * DAY],
            later in 0..DAY,
        ) {
            let now = times.iter().copied().max().unwrap_or(0) + later;
            let level = Level::of_window(window);
            prop_assume!(window % level.width() != 0);
            let first = level.bucket(at(now - window));
            let counts = |from: i32| times.iter().filter(|time| level.bucket(at(**time)) >= from).count() as f64;
            let found = within(&counted(&times), window, now);
            prop_assert!(counts(first + 1) <= found && found <= counts(first), "{found}");
        }

        #[test]
        fn decay_is_that_of_the_events_to_the_resolution(times in proptest::collection::vec(0i64..400 * DAY, 1..200)) {
            let now = 400 * DAY;
            let half_life = 60.0 * DAY as f64;
            let exact: f64 = times.iter().map(|time| (-((now - time) as f64) / half_life).exp2()).sum();
            let found = counted(&times).decayed(&Fading::new(half_life, at(now)));
            prop_assert!((found / exact - 1.0).abs() < 0.19, "{found} {exact}");
        }
    }

    /// An event every half hour, for two years: windows of every length have as many as their length says.
    #[test]
    fn the_events_of_a_steady_stream_are_those_of_the_span() {
        for begun in [0, 5 * HOUR + 60_000, 11 * DAY + 13 * HOUR, 27 * DAY + 1] {
            let now = 700 * DAY + begun;
            let buckets = counted(&(0..700 * 48).map(|n| now - n * HOUR / 2).collect::<Vec<_>>());
            for (hours, tolerance) in [
                (1.5, 1.0),
                (7.5, 1.0),
                (36.0, 1.0),
                (100.0, 1.0),
                (31.0 * 24.0, 25.0),
                (45.0 * 24.0, 25.0),
                (56.0 * 24.0, 25.0),
                (90.0 * 24.0, 25.0),
            ] {
                let found = within(&buckets, (hours * HOUR as f64) as i64, now) / 2.0;
                assert!((found - hours).abs() <= tolerance, "{hours} h: {found}");
            }
            let month = within(&buckets, 30 * DAY, now);
            let longer: Vec<f64> = (31..100).map(|days| within(&buckets, days * DAY, now)).collect();
            assert!(longer[0] >= month && longer.is_sorted(), "{month} {longer:?}");
        }
    }

    #[test]
    fn seldom_events_are_in_long_windows_to_the_day() {
        let buckets = counted(&[0, 10 * DAY, 40 * DAY]);
        let now = 45 * DAY;
        assert_eq!([31, 36, 44, 46].map(|days| within(&buckets, days * DAY, now)), [1.0, 2.0, 2.0, 3.0]);
    }

    #[test]
    fn events_of_the_future_are_not_counted_now() {
        let buckets = counted(&[0, DAY, 2 * DAY, 3 * DAY, 2_000_000 * DAY]);
        let now = at(2 * DAY);
        for days in [7, 40] {
            assert_eq!(within(&buckets, days * DAY, 2 * DAY), 3.0, "{days} days");
        }
        assert_eq!(buckets.dated_after(now), 2);
        assert_eq!(buckets.dated_after(at(4 * DAY)), 1);
        let many = counted(&(0..40).map(|n| n * DAY).collect::<Vec<_>>());
        assert_eq!(many.dated_after(at(9 * DAY)), 30, "more than there are buckets of five minutes");
    }

    /// What damaged bytes may hold.
    #[test]
    fn the_largest_counts_at_the_ends_of_time_are_asked_without_overflow() {
        let of = |buckets: [(i32, i64); 2]| {
            let bucket = |level, (at, count)| Bucket { level, at, count };
            Buckets::from_all(LEVELS.map(|level| buckets.map(|of| bucket(level, of))).concat()).unwrap()
        };
        let ends = of([(i32::MAX, i64::MAX), (i32::MIN, i64::MAX)]);
        let fading = Fading::new(1e9, Timestamp::MAX);
        assert!(ends.decayed(&fading) >= 0.0 && ends.dated_after(Timestamp::MIN) >= 0);
        let all = within(&of([(1, i64::MAX), (0, i64::MAX)]), i64::MAX, 90 * DAY);
        assert!(all >= i64::MAX as f64 && all.is_finite(), "{all}");
    }
}
