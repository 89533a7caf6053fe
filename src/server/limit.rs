//! How much may be in work at once. Work is timed; where it takes longer than it does alone, more at once only makes all of it
//! later, and the limit falls; where all places were taken and nothing took longer, it rises. So the limit finds the number of
//! processors for work that computes, and a larger one for work that waits for a disk. The idea is that of Netflix's
//! concurrency limits (gradient) and of Envoy's adaptive concurrency; the clock is the caller's.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::record::Effort;

/// So much longer than alone work may take on average before the limit falls.
const TOLERANCE: f64 = 1.5;
/// A window ends when it has so many samples and is so long.
const SAMPLES: u32 = 16;
const WINDOW: Duration = Duration::from_millis(100);
/// The share of a new figure in what work takes alone.
const SHARE: f64 = 0.3;
/// After so long without a window of little work, the limit is at its least for one window: what work takes alone is measured anew.
const PROBE: Duration = Duration::from_secs(30);

/// What is timed together: a route at a step of the ladder.
pub type Kind = (&'static str, Effort);

/// A limit that follows measured times.
pub struct Limit {
    least: usize,
    most: usize,
    current: f64,
    /// Seconds that each kind of work takes where little is in work.
    alone: FxHashMap<Kind, f64>,
    window: Window,
    /// When there was a window of little work.
    calm: Instant,
    is_probing: bool,
}

struct Window {
    began: Instant,
    samples: u32,
    most_in_work: usize,
    times: FxHashMap<Kind, (u32, f64)>,
}

impl Limit {
    /// From `least`, which does no harm, to `most`. It begins at four times the least.
    pub fn new(least: usize, most: usize, now: Instant) -> Self {
        let (least, most) = (least.clamp(1, most.max(1)), most.max(1));
        let window = Window { began: now, samples: 0, most_in_work: 0, times: FxHashMap::default() };
        let current = (4 * least).min(most) as f64;
        Self { least, most, current, alone: FxHashMap::default(), window, calm: now, is_probing: false }
    }

    /// So much may be in work.
    pub fn get(&self) -> usize {
        if self.is_probing { self.least } else { (self.current as usize).clamp(self.least, self.most) }
    }

    /// What a kind of work takes where little else is in work; `None` if it was never seen.
    pub fn alone(&self, kind: Kind) -> Option<Duration> {
        self.alone.get(&kind).map(|seconds| Duration::from_secs_f64(*seconds))
    }

    /// Work has ended that took so long, with so much in work, itself among it.
    pub fn observe(&mut self, now: Instant, kind: Kind, took: Duration, in_work: usize) {
        let window = &mut self.window;
        window.samples += 1;
        window.most_in_work = window.most_in_work.max(in_work);
        let (count, sum) = window.times.entry(kind).or_default();
        *count += 1;
        *sum += took.as_secs_f64();
        if window.samples >= SAMPLES && now.saturating_duration_since(window.began) >= WINDOW {
            self.close(now);
        }
    }

    fn close(&mut self, now: Instant) {
        let is_calm = self.window.most_in_work <= self.least;
        let (mut expected, mut seen) = (0.0, 0.0);
        for (kind, (count, sum)) in self.window.times.drain() {
            let mean = sum / f64::from(count);
            let alone = self.alone.entry(kind).or_insert(mean);
            *alone = if is_calm { *alone + SHARE * (mean - *alone) } else { alone.min(mean) };
            expected += *alone * f64::from(count);
            seen += sum;
        }
        let inflation = if expected > 0.0 { seen / expected } else { 1.0 };
        let (was_probing, places) = (self.is_probing, self.get());
        if is_calm {
            (self.calm, self.is_probing) = (now, false);
        } else {
            let is_due = now.saturating_duration_since(self.calm) >= PROBE;
            self.is_probing = is_due && self.current >= 2.0 * self.least as f64;
        }
        // What a window of little work shows says nothing of more.
        if !was_probing {
            if inflation > TOLERANCE {
                self.current *= (TOLERANCE / inflation).max(0.5);
            } else if self.window.most_in_work >= places {
                self.current += (self.current / 10.0).max(1.0);
            }
            self.current = self.current.clamp(self.least as f64, self.most as f64);
        }
        (self.window.began, self.window.samples, self.window.most_in_work) = (now, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = ("/work", Effort::Full);

    /// Lets a limit see so many windows of work that takes `time(in_work)` seconds with all places taken.
    fn after(limit: &mut Limit, start: Instant, windows: u32, time: impl Fn(usize) -> f64) -> Instant {
        let mut now = start;
        for _ in 0..windows {
            for _ in 0..SAMPLES {
                now += WINDOW / SAMPLES;
                let in_work = limit.get();
                limit.observe(now, KIND, Duration::from_secs_f64(time(in_work)), in_work);
            }
        }
        now
    }

    #[test]
    fn work_that_computes_gets_about_as_many_places_as_there_are_processors() {
        let start = Instant::now();
        let mut limit = Limit::new(2, 256, start);
        let on_two = |in_work: usize| 0.001 * (in_work as f64 / 2.0).max(1.0);
        // Once it is seen alone.
        (0..SAMPLES).for_each(|n| limit.observe(start + WINDOW * n, KIND, Duration::from_millis(1), 1));
        let now = after(&mut limit, start + WINDOW * SAMPLES, 100, on_two);
        assert!((2..=5).contains(&limit.get()), "{}", limit.get());
        after(&mut limit, now, 3_000, on_two);
        assert!((2..=5).contains(&limit.get()), "after five minutes {}", limit.get());
    }

    #[test]
    fn work_that_waits_for_a_disk_gets_more_until_it_takes_longer() {
        let start = Instant::now();
        let mut limit = Limit::new(2, 256, start);
        after(&mut limit, start, 200, |in_work| 0.005 * (in_work as f64 / 64.0).max(1.0));
        assert!((60..=110).contains(&limit.get()), "{}", limit.get());
    }

    #[test]
    fn it_does_not_rise_where_nobody_takes_the_places_and_keeps_its_bounds() {
        let start = Instant::now();
        let begun = Limit::new(2, 16, start).get();
        let mut limit = Limit::new(2, 16, start);
        for n in 0..200 {
            limit.observe(start + WINDOW * n, KIND, Duration::from_millis(1), 3);
        }
        assert_eq!(limit.get(), begun);
        after(&mut limit, start + WINDOW * 200, 100, |_| 0.001);
        assert_eq!(limit.get(), 16);
        assert_eq!(Limit::new(4, 1, start).get(), 1);
    }

    #[test]
    fn what_work_takes_alone_is_measured_anew_under_a_load_that_does_not_end() {
        let start = Instant::now();
        let mut limit = Limit::new(2, 64, start);
        let now = after(&mut limit, start, 100, |_| 0.001);
        assert_eq!(limit.alone(KIND), Some(Duration::from_millis(1)));
        // The same work takes longer now, however little there is of it: more data.
        after(&mut limit, now, 2_000, |_| 0.004);
        assert!(limit.get() >= 32, "{}", limit.get());
        assert!(limit.alone(KIND).unwrap() > Duration::from_millis(3));
    }
}
