//! A token bucket: so many a second, and so many at once after a quiet time.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets through what a rate allows.
pub struct Limit {
    per_second: f64,
    burst: f64,
    /// What is left, and when that was so.
    state: Mutex<Option<(f64, Instant)>>,
}

impl Limit {
    /// `per_second` on the average, `burst` at once.
    pub fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, state: Mutex::new(None) }
    }

    /// Takes one, or tells how long to wait for it.
    pub fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let (left, since) = state.unwrap_or((self.burst, now));
        let passed = now.saturating_duration_since(since).as_secs_f64();
        let left = (left + passed * self.per_second).min(self.burst);
        // A clock that stands behind must not give the same time twice.
        let since = since.max(now);
        if left >= 1.0 {
            *state = Some((left - 1.0, since));
            Ok(())
        } else {
            *state = Some((left, since));
            Err(Duration::try_from_secs_f64((1.0 - left) / self.per_second).unwrap_or(Duration::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_may_come_at_once_and_then_the_rate_holds() {
        let (limit, start) = (Limit::new(4.0, 4.0), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!((0..4).all(|_| limit.take(at(0)).is_ok()));
        assert_eq!(limit.take(at(0)), Err(Duration::from_millis(250)));
        assert_eq!(limit.take(at(100)), Err(Duration::from_millis(150)));
        assert!(limit.take(at(250)).is_ok());
        assert!(limit.take(at(250)).is_err());
        // After a long quiet no more than the burst.
        assert!((0..4).all(|_| limit.take(at(1_000_000)).is_ok()));
        assert!(limit.take(at(1_000_000)).is_err());
    }

    #[test]
    fn a_time_before_the_last_gives_nothing() {
        let (limit, start) = (Limit::new(1.0, 1.0), Instant::now() + Duration::from_secs(10));
        assert!(limit.take(start).is_ok());
        assert!(limit.take(start - Duration::from_secs(5)).is_err());
        assert!(limit.take(start + Duration::from_millis(999)).is_err());
        assert!(limit.take(start + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn a_slow_rate_lets_one_through_and_says_how_long() {
        let (limit, start) = (Limit::new(0.01, 1.0), Instant::now());
        assert!(limit.take(start).is_ok());
        assert_eq!(limit.take(start).unwrap_err().as_secs(), 100);
    }
}
