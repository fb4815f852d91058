//! A token bucket: so many events a second on average, so many at once.

use crate::base::time::{Duration, Instant};

/// Allows `rate` events a second with bursts of up to `burst`.
#[derive(Clone, Debug)]
pub struct Bucket {
    interval: Duration,
    burst: u32,
    /// When the bucket was, or will be, full: each event moves it one interval on.
    full_at: Instant,
}

impl Bucket {
    /// A full bucket. A `rate` of 0 never allows anything.
    pub fn new(rate: u32, burst: u32) -> Self {
        let interval = if rate == 0 { Duration::MAX } else { Duration::from_nanos(1_000_000_000 / u64::from(rate)) };
        Bucket { interval, burst: if rate == 0 { 0 } else { burst }, full_at: Instant::ZERO }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now);
        let debt = full_at.since(now);
        if self.burst == 0 || debt > self.interval.saturating_mul(self.burst - 1) {
            return false;
        }
        self.full_at = full_at + self.interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = Bucket::new(10, 3);
        let start = Instant::from_secs(5);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        assert!(!bucket.take(start + Duration::from_millis(99)));
        assert!(bucket.take(start + Duration::from_millis(100)));
        assert!(!bucket.take(start + Duration::from_millis(101)));
        let passed = (0..1000).filter(|i| bucket.take(start + Duration::from_millis(1000 + i))).count();
        assert_eq!(passed, 3 + 9);
    }

    #[test]
    fn a_rate_of_zero_allows_nothing() {
        assert!(!Bucket::new(0, 10).take(Instant::from_secs(1)));
    }
}
