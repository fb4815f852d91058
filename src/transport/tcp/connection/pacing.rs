//! When data goes out: spread over the round trip in place of one burst, so that a short queue on the way holds it.
//!
//! The rate is the congestion control's own (BBR), or the window over the round-trip time with some room to grow. After
//! each piece the next waits until the rate allows it; BBR makes up for a timer that came late, within bounds. Not
//! paced are the initial window, whose burst every path has to take (RFC 6928), a retransmission that recovery calls
//! urgent, and everything where the round trip is shorter than [`LEAST_RTT`]: there a timer is coarser than the gaps,
//! and the queue between the ends is our own.

use super::Connection;
use crate::base::time::{Duration, Instant};

/// Shorter round trips are not worth a timer for each piece.
const LEAST_RTT: Duration = Duration::from_millis(1);
/// Percent of the window in a round trip, while it may double in one.
const SLOW_START_PERCENT: u64 = 200;
/// And otherwise: enough that pacing never is what keeps the window from growing.
const AVOIDANCE_PERCENT: u64 = 120;
/// A millisecond's worth goes out at once.
const QUANTUM_PER_SECOND: u64 = 1000;
/// But only a quarter of that where it is more than so many octets: the queue of a fast line is as long as that of a slow
/// one, and a timer is worth its cost.
const LARGE_QUANTUM: u64 = 64 << 10;
const LARGE_PER_SECOND: u64 = 4 * QUANTUM_PER_SECOND;
/// A late timer, or a pause, is made up for by so much where a model of the path says how much that takes (BBR), and not
/// at all where the window already says what may be out: ACKs that come back to back after a pause would let go as many
/// pieces, which is the burst that pacing is to spread. Beside a flow of larger pieces that is what fills the queue of a
/// bottleneck to the brim, and pays for it.
const CREDIT: Duration = Duration::from_millis(2);
/// Segments at the beginning that are not held back.
const UNPACED_SEGMENTS: u64 = 10;

/// The release time.
#[derive(Clone, Debug, Default)]
pub(super) struct Pacing {
    /// No data goes before this.
    pub(super) release_at: Instant,
}

impl Pacing {
    /// True if data has to wait.
    pub(super) fn holds_back(&self, now: Instant) -> bool {
        now < self.release_at
    }
}

/// Octets that may go out at once at `rate` octets a second.
fn quantum(rate: u64) -> u32 {
    let octets = (rate / QUANTUM_PER_SECOND).min(LARGE_QUANTUM.max(rate / LARGE_PER_SECOND));
    u32::try_from(octets).unwrap_or(u32::MAX)
}

impl Connection {
    /// Octets a second at which data goes out; `None` as fast as the window lets.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        let window = self.congestion.window();
        if window.pacing_rate.is_some() {
            return window.pacing_rate;
        }
        if !self.config.pacing || self.rtt.min()? < LEAST_RTT {
            return None;
        }
        let percent = if window.cwnd < window.ssthresh / 2 { SLOW_START_PERCENT } else { AVOIDANCE_PERCENT };
        let nanos = u64::try_from(self.rtt.srtt()?.as_nanos()).unwrap_or(u64::MAX).max(1);
        Some((u64::from(window.cwnd) * percent * 10_000_000 / nanos).max(1))
    }

    /// The most octets that go out at once: about a millisecond's worth or, if that is much, a quarter; whole segments, at
    /// least two.
    pub(super) fn pacing_quantum(&self) -> u32 {
        let Some(rate) = self.pacing_rate() else { return u32::MAX };
        let mss = self.mss();
        quantum(rate).max(2 * mss) / mss * mss
    }

    /// `octets` went out: what follows waits as long as they take.
    pub(super) fn note_paced(&mut self, octets: u32, now: Instant) {
        let Some(rate) = self.pacing_rate() else { return };
        if self.totals.bytes_sent <= UNPACED_SEGMENTS * u64::from(self.mss()) {
            return;
        }
        let nanos = u64::from(octets) * 1_000_000_000 / rate.max(1);
        let credit = if self.congestion.is_rate_based() { CREDIT } else { Duration::ZERO };
        self.pacing.release_at = self.pacing.release_at.max(now - credit) + Duration::from_nanos(nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::quantum;

    #[test]
    fn a_quantum_is_a_millisecond_long_or_a_quarter_where_that_is_much() {
        let of_mbit = |rate: u64| quantum(rate * 1_000_000 / 8);
        assert_eq!([20, 400, 1_000, 2_000].map(of_mbit), [2_500, 50_000, 64 << 10, 64 << 10]);
        assert_eq!([4_000, 40_000].map(of_mbit), [125_000, 1_250_000]);
    }
}
