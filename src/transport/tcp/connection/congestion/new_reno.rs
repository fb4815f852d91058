//! Slow start and congestion avoidance by RFC 5681, for the recoveries of RFC 6582 and RFC 6675.

use super::hystart::HyStart;
use super::loss_based::{Before, LossBased};
use super::{AckSample, CongestionControl, Phase, Window};
use crate::base::time::Instant;

/// What is left of the window after a loss.
const BETA: f64 = 0.5;
/// And after a mark of a router that drops nothing yet (RFC 8511 §3.1).
const BETA_ECN: f64 = 0.8;

/// The controller.
#[derive(Clone, Debug)]
pub(in super::super) struct NewReno {
    base: LossBased,
    /// Octets acknowledged in congestion avoidance since the window last grew.
    acked: u32,
    memory: Option<Box<Memory>>,
}

/// What only a connection needs that fills its window.
#[derive(Clone, Debug, Default)]
struct Memory {
    hystart: HyStart,
    before: Option<Before>,
}

impl NewReno {
    pub(super) fn new(base: LossBased) -> Self {
        NewReno { base, acked: 0, memory: None }
    }

    fn reduce(&mut self, outstanding: u32, beta: f64) {
        self.base.reduce(outstanding, beta);
        self.acked = 0;
    }

    fn remember(&mut self) {
        self.memory.get_or_insert_default().before = Some(self.base.remember());
    }
}

impl CongestionControl for NewReno {
    fn name(&self) -> &'static str {
        "newreno"
    }

    fn window(&self) -> Window {
        self.base.window()
    }

    fn on_sent(&mut self, _now: Instant, _in_flight_bytes: u32) {}

    fn on_ack(&mut self, sample: &AckSample) {
        let mut acked = sample.acked_bytes;
        if sample.phase == Phase::Fast || sample.app_limited || acked == 0 {
            return;
        }
        if self.base.is_in_slow_start() {
            let hystart = self.base.is_watched().then(|| &mut self.memory.get_or_insert_default().hystart);
            acked = self.base.slow_start(sample, hystart);
        }
        // One MSS for each window's worth of octets (RFC 5681 §3.1, equation (2) of RFC 3465).
        self.acked = self.acked.saturating_add(acked);
        while self.acked >= self.base.cwnd {
            self.acked -= self.base.cwnd;
            self.base.cwnd = self.base.cwnd.saturating_add(self.base.mss);
        }
    }

    fn on_loss(&mut self, _now: Instant, outstanding_bytes: u32) {
        self.remember();
        self.reduce(outstanding_bytes, BETA);
        self.base.cwnd = self.base.ssthresh;
    }

    fn on_recovered(&mut self, _now: Instant, _in_flight_bytes: u32) {
        self.base.recovered();
    }

    fn on_timeout(&mut self, _now: Instant, outstanding_bytes: u32, again: bool) {
        if !again {
            self.remember();
            self.reduce(outstanding_bytes, BETA);
        }
        self.base.cwnd = self.base.mss;
        self.acked = 0;
    }

    fn on_spurious_loss(&mut self) {
        if let Some(before) = self.memory.as_mut().and_then(|memory| memory.before.take()) {
            self.base.restore(before);
        }
    }

    fn on_ecn(&mut self, _now: Instant, outstanding_bytes: u32) {
        self.reduce(outstanding_bytes, BETA_ECN);
        self.base.cwnd = self.base.ssthresh;
    }

    fn on_unused(&mut self) {
        self.base.unused();
    }

    fn on_mss(&mut self, mss: u32) {
        self.base.on_mss(mss);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn reno() -> NewReno {
        NewReno::new(LossBased::new(MSS, 10 * MSS, true))
    }

    fn ack(bytes: u32) -> AckSample {
        AckSample { acked_bytes: bytes, delivered_bytes: bytes, ..AckSample::default() }
    }

    #[test]
    fn slow_start_doubles_the_window_each_round_trip() {
        // RFC 9293 MUST-19.
        let mut reno = reno();
        (0..10).for_each(|_| reno.on_ack(&ack(MSS)));
        assert_eq!(reno.window().cwnd, 20 * MSS);
    }

    #[test]
    fn congestion_avoidance_adds_one_segment_each_round_trip() {
        // RFC 9293 MUST-19.
        let mut reno = reno();
        reno.on_loss(Instant::ZERO, 20 * MSS);
        reno.on_recovered(Instant::ZERO, 10 * MSS);
        assert_eq!(reno.window().cwnd, 10 * MSS);
        (0..10).for_each(|_| reno.on_ack(&ack(MSS)));
        assert_eq!(reno.window().cwnd, 11 * MSS);
    }

    #[test]
    fn slow_start_ends_at_ssthresh() {
        let mut reno = reno();
        reno.on_timeout(Instant::ZERO, 8 * MSS, false);
        (0..4).for_each(|_| reno.on_ack(&ack(MSS)));
        assert_eq!(reno.window().cwnd, 4 * MSS);
    }

    #[test]
    fn a_timeout_leaves_one_segment_and_halves_only_once() {
        let mut reno = reno();
        reno.on_timeout(Instant::ZERO, 10 * MSS, false);
        assert_eq!((reno.window().cwnd, reno.window().ssthresh), (MSS, 5 * MSS));
        reno.on_timeout(Instant::ZERO, 10 * MSS, true);
        reno.on_timeout(Instant::ZERO, MSS, true);
        assert_eq!((reno.window().cwnd, reno.window().ssthresh), (MSS, 5 * MSS));
    }

    #[test]
    fn after_a_timeout_one_ack_grows_the_window_by_one_segment_at_most() {
        let mut reno = reno();
        reno.on_timeout(Instant::ZERO, 20 * MSS, false);
        reno.on_ack(&AckSample { phase: Phase::Timeout, ..ack(8 * MSS) });
        assert_eq!(reno.window().cwnd, 2 * MSS);
    }

    #[test]
    fn the_window_does_not_grow_while_the_application_is_the_limit() {
        let mut reno = reno();
        reno.on_ack(&AckSample { app_limited: true, ..ack(MSS) });
        reno.on_ack(&AckSample { phase: Phase::Fast, ..ack(MSS) });
        assert_eq!(reno.window().cwnd, 10 * MSS);
    }

    #[test]
    fn a_window_that_is_not_used_is_halved_down_to_the_initial_one() {
        // RFC 7661 §4.4.3.
        let mut reno = reno();
        (0..50).for_each(|_| reno.on_ack(&ack(MSS)));
        for expected in [30, 15, 10, 10] {
            reno.on_unused();
            assert_eq!(reno.window().cwnd, expected * MSS);
        }
    }

    #[test]
    fn a_loss_that_was_none_gives_the_window_back_once() {
        let mut reno = reno();
        reno.on_loss(Instant::ZERO, 10 * MSS);
        reno.on_spurious_loss();
        assert_eq!((reno.window().cwnd, reno.window().ssthresh), (10 * MSS, u32::MAX));
        reno.on_timeout(Instant::ZERO, 10 * MSS, false);
        reno.on_spurious_loss();
        reno.on_spurious_loss();
        assert_eq!((reno.window().cwnd, reno.window().ssthresh), (10 * MSS, u32::MAX));
    }

    #[test]
    fn a_mark_costs_less_than_a_loss() {
        // RFC 8511 §3.1.
        let mut reno = reno();
        reno.on_ecn(Instant::ZERO, 10 * MSS);
        assert_eq!((reno.window().cwnd, reno.window().ssthresh), (8 * MSS, 8 * MSS));
    }
}
