//! Slow start and congestion avoidance by RFC 5681, for the recoveries of RFC 6582 and RFC 6675.
//!
//! DEVIATION(RFC 5681 §3.1): slow start grows the window by the octets acknowledged, not by at most one MSS
//! an ACK. Receivers that join segments acknowledge dozens of them at once; counting ACKs would starve
//! them (RFC 3465 argues the same with a smaller limit). After a timeout the limit of one MSS holds, since
//! one ACK may then cover much that left the network long ago.

use super::{AckSample, CongestionControl, Phase, Window};
use crate::base::time::Instant;

/// The controller.
#[derive(Clone, Debug)]
pub(in super::super) struct NewReno {
    mss: u32,
    cwnd: u32,
    ssthresh: u32,
    initial: u32,
    /// Octets acknowledged in congestion avoidance since the window last grew.
    acked: u32,
}

impl NewReno {
    pub(super) fn new(mss: u32, initial: u32) -> Self {
        NewReno { mss, cwnd: initial, ssthresh: u32::MAX, initial, acked: 0 }
    }

    /// RFC 5681 equation (4).
    fn halve(&mut self, outstanding: u32) {
        self.ssthresh = (outstanding / 2).max(2 * self.mss);
        self.acked = 0;
    }
}

impl CongestionControl for NewReno {
    fn name(&self) -> &'static str {
        "newreno"
    }

    fn window(&self) -> Window {
        Window { cwnd: self.cwnd, ssthresh: self.ssthresh, pacing_rate: None }
    }

    fn on_ack(&mut self, sample: &AckSample) {
        let mut acked = sample.acked_bytes;
        if sample.phase == Phase::Fast || sample.app_limited || acked == 0 {
            return;
        }
        if self.cwnd < self.ssthresh {
            let limit = if sample.phase == Phase::Timeout { self.mss } else { u32::MAX };
            let grow = acked.min(limit).min(self.ssthresh - self.cwnd);
            self.cwnd = self.cwnd.saturating_add(grow);
            acked -= grow;
            if self.cwnd < self.ssthresh || sample.phase == Phase::Timeout {
                return;
            }
        }
        // One MSS for each window's worth of octets (RFC 5681 §3.1, equation (2) of RFC 3465).
        self.acked = self.acked.saturating_add(acked);
        while self.acked >= self.cwnd {
            self.acked -= self.cwnd;
            self.cwnd = self.cwnd.saturating_add(self.mss);
        }
    }

    fn on_loss(&mut self, _now: Instant, outstanding_bytes: u32) {
        self.halve(outstanding_bytes);
        self.cwnd = self.ssthresh;
    }

    fn on_recovered(&mut self, _now: Instant, in_flight_bytes: u32) {
        // RFC 6582 §3.2 step 3 option (1): no burst when little is out.
        self.cwnd = self.ssthresh.min(in_flight_bytes.max(self.mss) + self.mss);
    }

    fn on_timeout(&mut self, _now: Instant, outstanding_bytes: u32, again: bool) {
        if !again {
            self.halve(outstanding_bytes);
        }
        self.cwnd = self.mss;
        self.acked = 0;
    }

    fn on_idle(&mut self) {
        // RFC 5681 §4.1, with RFC 6928's initial window.
        self.cwnd = self.cwnd.min(self.initial);
    }

    fn on_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.cwnd = self.cwnd.max(mss);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn ack(bytes: u32) -> AckSample {
        AckSample {
            now: Instant::ZERO,
            acked_bytes: bytes,
            delivered_bytes: bytes,
            lost_bytes: 0,
            in_flight_before_bytes: 0,
            in_flight_bytes: 0,
            rtt: None,
            app_limited: false,
            phase: Phase::Open,
        }
    }

    #[test]
    fn slow_start_doubles_the_window_each_round_trip() {
        // RFC 9293 MUST-19.
        let mut reno = NewReno::new(MSS, 10 * MSS);
        (0..10).for_each(|_| reno.on_ack(&ack(MSS)));
        assert_eq!(reno.window().cwnd, 20 * MSS);
    }

    #[test]
    fn congestion_avoidance_adds_one_segment_each_round_trip() {
        // RFC 9293 MUST-19.
        let mut reno = NewReno::new(MSS, 10 * MSS);
        reno.on_loss(Instant::ZERO, 20 * MSS);
        reno.on_recovered(Instant::ZERO, 10 * MSS);
        assert_eq!(reno.window().cwnd, 10 * MSS);
        (0..10).for_each(|_| reno.on_ack(&ack(MSS)));
        assert_eq!(reno.window().cwnd, 11 * MSS);
    }

    #[test]
    fn slow_start_ends_at_ssthresh() {
        let mut reno = NewReno::new(MSS, 10 * MSS);
        reno.on_timeout(Instant::ZERO, 8 * MSS, false);
        (0..4).for_each(|_| reno.on_ack(&ack(MSS)));
        assert_eq!(reno.window().cwnd, 4 * MSS);
    }

    #[test]
    fn a_timeout_leaves_one_segment_and_halves_only_once() {
        let mut reno = NewReno::new(MSS, 10 * MSS);
        reno.on_timeout(Instant::ZERO, 10 * MSS, false);
        assert_eq!((reno.window().cwnd, reno.window().ssthresh), (MSS, 5 * MSS));
        reno.on_timeout(Instant::ZERO, 10 * MSS, true);
        reno.on_timeout(Instant::ZERO, MSS, true);
        assert_eq!((reno.window().cwnd, reno.window().ssthresh), (MSS, 5 * MSS));
    }

    #[test]
    fn after_a_timeout_one_ack_grows_the_window_by_one_segment_at_most() {
        let mut reno = NewReno::new(MSS, 10 * MSS);
        reno.on_timeout(Instant::ZERO, 20 * MSS, false);
        reno.on_ack(&AckSample { phase: Phase::Timeout, ..ack(8 * MSS) });
        assert_eq!(reno.window().cwnd, 2 * MSS);
    }

    #[test]
    fn the_window_does_not_grow_while_the_application_is_the_limit() {
        let mut reno = NewReno::new(MSS, 10 * MSS);
        reno.on_ack(&AckSample { app_limited: true, ..ack(MSS) });
        reno.on_ack(&AckSample { phase: Phase::Fast, ..ack(MSS) });
        assert_eq!(reno.window().cwnd, 10 * MSS);
    }

    #[test]
    fn idleness_takes_the_window_back_to_the_initial_one() {
        let mut reno = NewReno::new(MSS, 10 * MSS);
        (0..100).for_each(|_| reno.on_ack(&ack(MSS)));
        reno.on_idle();
        assert_eq!(reno.window().cwnd, 10 * MSS);
    }
}
