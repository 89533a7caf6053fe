//! A rate, kept as a bucket that fills steadily and may be overdrawn once: what comes is taken whole while anything is in it.
//! In the long run no more is taken than flows in, and at once no more than a second's worth and one batch.

use std::time::{Duration, Instant};

/// Fills at a rate, holds a second's worth.
pub struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(now: Instant) -> Self {
        Self { level: f64::INFINITY, at: now }
    }

    /// Takes so many out at this rate a second. Errors: how long until something is in it.
    pub fn take(&mut self, count: f64, rate: f64, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * rate).min(rate.max(1.0));
        self.at = now;
        if self.level < 1.0 {
            return Err(Duration::from_secs_f64(((1.0 - self.level) / rate).min(86_400.0)));
        }
        self.level -= count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_long_run_no_more_is_taken_than_flows_in() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let mut taken = 0.0;
        for step in 0..100_000 {
            let now = start + Duration::from_millis(step);
            if bucket.take(25.0, 10.0, now).is_ok() {
                taken += 25.0;
            }
        }
        // 100 s at 10 a second, and what may come at once.
        assert!((1_000.0..=1_000.0 + 10.0 + 25.0).contains(&taken), "{taken}");
    }

    #[test]
    fn who_is_refused_is_told_when_to_come_again() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert!(bucket.take(12.0, 2.0, start).is_ok());
        let wait = bucket.take(1.0, 2.0, start).unwrap_err();
        assert!(bucket.take(1.0, 2.0, start + wait - Duration::from_millis(1)).is_err());
        assert!(bucket.take(1.0, 2.0, start + wait + Duration::from_millis(1)).is_ok());
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start + Duration::from_secs(5));
        assert!(bucket.take(1.0, 1.0, start + Duration::from_secs(5)).is_ok());
        assert!(bucket.take(1.0, 1.0, start).is_err());
    }
}
