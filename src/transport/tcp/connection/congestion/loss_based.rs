//! What NewReno and CUBIC share: the window in slow start, after a recovery and after it was not used.
//!
//! DEVIATION(RFC 5681 §3.1): slow start grows the window by the octets acknowledged, not by at most one MSS
//! an ACK. Receivers that join segments acknowledge dozens of them at once; counting ACKs would starve
//! them (RFC 3465 argues the same with a smaller limit). After a timeout the limit of one MSS holds, since one ACK may
//! then cover much that left the network long ago.
//!
//! DEVIATION(RFC 9406 §4.3): nor is there a limit of eight segments an ACK where sending is not paced, for the same
//! reason.

use super::hystart::{Growth, HyStart};
use super::{AckSample, Phase, Window};

/// The window.
#[derive(Clone, Debug)]
pub(super) struct LossBased {
    pub(super) mss: u32,
    pub(super) cwnd: u32,
    pub(super) ssthresh: u32,
    initial: u32,
    uses_hystart: bool,
}

/// Where the window was before a loss that may turn out to be none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    cwnd: u32,
    ssthresh: u32,
}

impl LossBased {
    pub(super) fn new(mss: u32, initial: u32, uses_hystart: bool) -> Self {
        LossBased { mss, cwnd: initial, ssthresh: u32::MAX, initial, uses_hystart }
    }

    pub(super) fn window(&self) -> Window {
        Window { cwnd: self.cwnd, ssthresh: self.ssthresh, pacing_rate: None }
    }

    pub(super) fn is_in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// True if this is the first slow start and a rise of the round-trip time is to end it.
    pub(super) fn is_watched(&self) -> bool {
        self.uses_hystart && self.ssthresh == u32::MAX
    }

    /// Grows by what was acknowledged; the octets that are left for congestion avoidance.
    pub(super) fn slow_start(&mut self, sample: &AckSample, hystart: Option<&mut HyStart>) -> u32 {
        let divisor = match hystart.map_or(Growth::By(1), |hystart| hystart.on_ack(sample)) {
            Growth::By(divisor) => divisor,
            Growth::Exit => {
                self.ssthresh = self.cwnd;
                return sample.acked_bytes;
            }
        };
        let limit = if sample.phase == Phase::Timeout { self.mss } else { u32::MAX };
        let grow = (sample.acked_bytes / divisor).min(limit).min(self.ssthresh - self.cwnd);
        self.cwnd = self.cwnd.saturating_add(grow);
        if self.is_in_slow_start() || sample.phase == Phase::Timeout { 0 } else { sample.acked_bytes - grow }
    }

    /// `ssthresh` after congestion: `beta` of what was out, at least two segments (RFC 5681 equation (4),
    /// RFC 9438 §4.6).
    pub(super) fn reduce(&mut self, outstanding: u32, beta: f64) {
        self.ssthresh = ((f64::from(outstanding) * beta).round() as u32).max(2 * self.mss);
    }

    /// RFC 9937 §6: PRR has brought what is out to ssthresh, or as near as it could.
    pub(super) fn recovered(&mut self) {
        self.cwnd = self.ssthresh;
    }

    /// RFC 7661 §4.4.3: half of an unused window is kept, and what it was is remembered.
    pub(super) fn unused(&mut self) {
        if self.cwnd > self.initial {
            self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
            self.cwnd = (self.cwnd / 2).max(self.initial);
        }
    }

    pub(super) fn on_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.cwnd = self.cwnd.max(mss);
    }

    pub(super) fn remember(&self) -> Before {
        Before { cwnd: self.cwnd, ssthresh: self.ssthresh }
    }

    /// Takes back a reduction (RFC 9438 §4.9.2, RFC 4015 §3): true if there was something to take back.
    pub(super) fn restore(&mut self, before: Before) -> bool {
        let is_lower = self.cwnd < before.cwnd;
        if is_lower {
            self.cwnd = before.cwnd;
            self.ssthresh = before.ssthresh;
        }
        is_lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_slow_start_is_watched() {
        // RFC 9406 §4.3.
        let mut base = LossBased::new(1000, 10_000, true);
        assert!(base.is_in_slow_start() && base.is_watched());
        base.reduce(20_000, 0.5);
        base.cwnd = 1000;
        assert!(base.is_in_slow_start() && !base.is_watched());
    }
}
