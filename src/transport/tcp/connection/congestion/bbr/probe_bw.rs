//! ProbeBW: most of the time BBR cruises a little below what the path carries; every few seconds it fills the pipe
//! (REFILL), asks for more until losses or the bandwidth say no (UP), and lets the queue drain (DOWN).

use super::super::{AckSample, RateSample};
use super::{Bbr, CWND_GAIN, State};
use crate::base::time::{Duration, Instant};

/// Pacing gains in percent.
const DOWN_PACING_GAIN: u64 = 90;
const UP_PACING_GAIN: u64 = 125;
const UP_CWND_GAIN: u64 = 225;
/// BBR.Headroom in percent: what is left to others below the long-term bound.
const HEADROOM_PERCENT: u64 = 15;
/// BBR.Beta in percent: what a probe that lost too much leaves at least.
const BETA_PERCENT: u64 = 70;
/// Seconds between probes: two to three.
const LEAST_WAIT: Duration = Duration::from_secs(2);
const MORE_WAIT: Duration = Duration::from_secs(1);
/// A Reno flow would grow by as many segments in as many rounds; BBR waits no longer than that.
const MOST_ROUNDS_BETWEEN_PROBES: u32 = 63;

/// BBR.ack_phase: of which part of the probe the acknowledgments tell that arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AckPhase {
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

/// The cycle.
#[derive(Clone, Debug)]
pub(super) struct Cycle {
    /// BBR.cycle_stamp.
    since: Instant,
    ack_phase: AckPhase,
    /// BBR.bw_probe_wait.
    wait: Duration,
    rounds_since_probe: u32,
    /// BBR.bw_probe_up_rounds.
    up_rounds: u32,
    /// BBR.bw_probe_up_acks, in octets.
    up_acked: u32,
    /// BBR.probe_up_cnt, in octets for each segment.
    up_count: u32,
    /// BBR.bw_probe_samples: what is lost was sent by the probe.
    pub(super) bw_probe_samples: bool,
}

impl Cycle {
    pub(super) fn new(now: Instant) -> Self {
        Cycle {
            since: now,
            ack_phase: AckPhase::Init,
            wait: LEAST_WAIT,
            rounds_since_probe: 0,
            up_rounds: 0,
            up_acked: 0,
            up_count: u32::MAX,
            bw_probe_samples: false,
        }
    }

    pub(super) fn count_round(&mut self, is_round_start: bool) {
        self.rounds_since_probe += u32::from(is_round_start);
    }
}

impl Bbr {
    /// BBRStartProbeBW_DOWN.
    pub(super) fn enter_probe_bw_down(&mut self, now: Instant) {
        self.model.reset_congestion_signals();
        self.cycle.up_count = u32::MAX;
        // BBRPickProbeWait: flows that share a bottleneck do not probe at once.
        self.cycle.rounds_since_probe = self.random.below(2) as u32;
        self.cycle.wait = self.random.duration(LEAST_WAIT, LEAST_WAIT + MORE_WAIT);
        self.cycle.since = now;
        self.stop_probing();
        self.model.start_round();
        self.enter_phase(State::ProbeBwDown, DOWN_PACING_GAIN, CWND_GAIN);
    }

    /// BBRStartProbeBW_CRUISE.
    pub(super) fn enter_probe_bw_cruise(&mut self) {
        self.enter_phase(State::ProbeBwCruise, 100, CWND_GAIN);
    }

    /// BBRStartProbeBW_REFILL.
    fn enter_probe_bw_refill(&mut self) {
        self.model.reset_shortterm();
        self.cycle.up_rounds = 0;
        self.cycle.up_acked = 0;
        self.cycle.ack_phase = AckPhase::Refilling;
        self.model.start_round();
        self.enter_phase(State::ProbeBwRefill, 100, CWND_GAIN);
    }

    /// BBRStartProbeBW_UP.
    pub(super) fn enter_probe_bw_up(&mut self, bw: u64) {
        self.cycle.ack_phase = AckPhase::ProbeStarting;
        self.model.start_round();
        self.full_bw.reset(bw);
        self.enter_phase(State::ProbeBwUp, UP_PACING_GAIN, UP_CWND_GAIN);
        self.raise_inflight_longterm_slope();
    }

    fn enter_phase(&mut self, state: State, pacing_gain: u64, cwnd_gain: u64) {
        self.state = state;
        self.pacing_gain = pacing_gain;
        self.cwnd_gain = cwnd_gain;
    }

    /// What arrives from now on was sent before the probe stopped.
    pub(super) fn stop_probing(&mut self) {
        self.cycle.ack_phase = AckPhase::ProbeStopping;
    }

    /// BBRUpdateProbeBWCyclePhase.
    pub(super) fn update_probe_bw_cycle_phase(&mut self, sample: &AckSample, rs: &RateSample) {
        if !self.full_bw.reached {
            return;
        }
        self.adapt_longterm_model(sample, rs);
        let is_up_over = self.state == State::ProbeBwUp && self.is_time_to_go_down(sample, rs);
        match self.state {
            State::ProbeBwDown if self.is_time_to_probe(sample) => self.enter_probe_bw_refill(),
            State::ProbeBwDown if self.is_time_to_cruise(sample.in_flight_bytes) => self.enter_probe_bw_cruise(),
            State::ProbeBwCruise if self.is_time_to_probe(sample) => self.enter_probe_bw_refill(),
            State::ProbeBwRefill if self.model.is_round_start() => {
                self.cycle.bw_probe_samples = true;
                self.enter_probe_bw_up(rs.delivery_rate);
            }
            State::ProbeBwUp if is_up_over => self.enter_probe_bw_down(sample.now),
            _ => {}
        }
    }

    /// BBRIsTimeToProbeBW.
    fn is_time_to_probe(&self, sample: &AckSample) -> bool {
        let reno_rounds = self.target_inflight() / self.mss;
        sample.now.since(self.cycle.since) > self.cycle.wait
            || self.cycle.rounds_since_probe >= reno_rounds.min(MOST_ROUNDS_BETWEEN_PROBES)
    }

    /// BBRIsTimeToCruise.
    fn is_time_to_cruise(&self, in_flight: u32) -> bool {
        in_flight <= self.inflight_with_headroom() && in_flight <= self.inflight(100)
    }

    /// BBRIsTimeToGoDown.
    fn is_time_to_go_down(&mut self, sample: &AckSample, rs: &RateSample) -> bool {
        if !sample.app_limited && self.cwnd >= self.model.inflight_longterm {
            // The bandwidth can't grow while the bound holds it.
            self.full_bw.reset(rs.delivery_rate);
            return false;
        }
        self.full_bw.now
    }

    /// BBRTargetInflight.
    fn target_inflight(&self) -> u32 {
        self.bdp_multiple(100).min(self.cwnd)
    }

    /// BBRInflightWithHeadroom.
    pub(super) fn inflight_with_headroom(&self) -> u32 {
        let longterm = self.model.inflight_longterm;
        if longterm == u32::MAX {
            return longterm;
        }
        let headroom = ((u64::from(longterm) * HEADROOM_PERCENT / 100) as u32).max(self.mss);
        longterm.saturating_sub(headroom).max(self.min_pipe_cwnd())
    }

    /// BBRAdaptLongTermModel.
    fn adapt_longterm_model(&mut self, sample: &AckSample, rs: &RateSample) {
        if self.model.is_round_start() {
            match self.cycle.ack_phase {
                AckPhase::ProbeStarting => self.cycle.ack_phase = AckPhase::ProbeFeedback,
                AckPhase::ProbeStopping => {
                    self.cycle.bw_probe_samples = false;
                    self.cycle.ack_phase = AckPhase::Init;
                    if self.state.is_probe_bw() && !rs.is_app_limited {
                        self.model.advance_max_bw_filter();
                    }
                }
                _ => {}
            }
        }
        if super::model::is_inflight_too_high(rs.lost, rs.tx_in_flight) {
            if self.cycle.bw_probe_samples {
                self.handle_inflight_too_high(rs.tx_in_flight, rs.is_app_limited, sample.now);
            }
            return;
        }
        if self.model.inflight_longterm == u32::MAX {
            return;
        }
        self.model.inflight_longterm = self.model.inflight_longterm.max(rs.tx_in_flight);
        if self.state == State::ProbeBwUp {
            self.probe_inflight_longterm_upward(sample, rs);
        }
    }

    /// BBRHandleInflightTooHigh.
    pub(super) fn handle_inflight_too_high(&mut self, tx_in_flight: u32, is_app_limited: bool, now: Instant) {
        self.cycle.bw_probe_samples = false;
        if !is_app_limited {
            let least = (u64::from(self.target_inflight()) * BETA_PERCENT / 100) as u32;
            self.model.inflight_longterm = tx_in_flight.max(least);
        }
        if self.state == State::ProbeBwUp {
            self.enter_probe_bw_down(now);
        }
    }

    /// BBRProbeInflightLongtermUpward.
    fn probe_inflight_longterm_upward(&mut self, sample: &AckSample, rs: &RateSample) {
        if sample.app_limited || self.cwnd < self.model.inflight_longterm {
            return;
        }
        self.cycle.up_acked = self.cycle.up_acked.saturating_add(rs.newly_acked);
        if self.cycle.up_acked >= self.cycle.up_count {
            let delta = self.cycle.up_acked / self.cycle.up_count;
            self.cycle.up_acked -= delta * self.cycle.up_count;
            let grown = self.model.inflight_longterm.saturating_add(delta.saturating_mul(self.mss));
            self.model.inflight_longterm = grown.min(u32::MAX - 1);
        }
        if self.model.is_round_start() {
            self.raise_inflight_longterm_slope();
        }
    }

    /// BBRRaiseInflightLongtermSlope: by one segment in the first round, then twice as many in each.
    fn raise_inflight_longterm_slope(&mut self) {
        let growth = 1u32 << self.cycle.up_rounds.min(30);
        self.cycle.up_rounds = (self.cycle.up_rounds + 1).min(30);
        self.cycle.up_count = (self.cwnd / growth).max(self.mss);
    }
}
