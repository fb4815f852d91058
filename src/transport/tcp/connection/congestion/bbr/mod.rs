//! BBR, version 3, as draft-ietf-ccwg-bbr has it: the window and the rate follow a model of the path, its bandwidth and
//! its round-trip time without a queue, and losses bound the model in place of halving the window.
//!
//! ```text
//!             bandwidth stops growing,          little enough in flight
//!   Startup ---------- or 2 % lost ---> Drain -----------------> ProbeBW: DOWN -> CRUISE -> REFILL -> UP
//!      ^                                                            |       ^-----------------------'
//!      |                     every 5 s without a lower RTT          v
//!      '----------------------------------------------------- ProbeRTT (200 ms with half a BDP)
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `model` | what is known of the path: bandwidth, round trip, what losses allow |
//! | `aggregation` | how much ACKs are bunched |
//! | `probe_bw` | the cycle that looks for more bandwidth, and how much may be in flight |
//! | this | the other states, and the three numbers |
//!
//! Names are the draft's. Not here: ECN as a signal of its own (a mark counts as a loss in the round, which RFC 3168
//! demands), and packet conservation in recovery (the model bounds what is in flight).

mod aggregation;
mod model;
mod probe_bw;
#[cfg(test)]
mod tests;

use super::{AckSample, CongestionControl, LostPacket, RateSample, Window};
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
pub(super) use aggregation::AckAggregation;
use model::Model;
pub(super) use model::rate;
use probe_bw::Cycle;

/// BBR.StartupPacingGain, in percent: 4 ln 2.
const STARTUP_PACING_GAIN: u64 = 277;
/// BBR.DrainPacingGain.
const DRAIN_PACING_GAIN: u64 = 50;
/// BBR.DefaultCwndGain, and BBR.StartupCwndGain.
const CWND_GAIN: u64 = 200;
/// BBR.ProbeRTTCwndGain.
const PROBE_RTT_CWND_GAIN: u64 = 50;
/// BBR.PacingMarginPercent: a little slower than the model, so that a queue empties.
const PACING_MARGIN_PERCENT: u64 = 1;
/// BBR.MinPipeCwnd in segments.
const MIN_PIPE_SEGMENTS: u32 = 4;
/// BBR.ProbeRTTDuration.
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
/// BBR.StartupFullLossCnt: ranges lost in a round that say that the pipe is full.
const STARTUP_FULL_LOSS_COUNT: u32 = 6;
/// Rounds without a quarter more bandwidth that say so too.
const FULL_BW_ROUNDS: u8 = 3;
/// The most of BBR.send_quantum.
const MOST_SEND_QUANTUM: u64 = 64 << 10;

/// Where it is in the figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Startup,
    Drain,
    ProbeBwDown,
    ProbeBwCruise,
    ProbeBwRefill,
    ProbeBwUp,
    ProbeRtt,
}

impl State {
    /// BBRIsInAProbeBWState.
    fn is_probe_bw(self) -> bool {
        matches!(self, State::ProbeBwDown | State::ProbeBwCruise | State::ProbeBwRefill | State::ProbeBwUp)
    }

    /// BBRIsProbingBW: losses are the probe's own doing.
    fn is_probing(self) -> bool {
        matches!(self, State::Startup | State::ProbeBwRefill | State::ProbeBwUp)
    }
}

/// Whether the bandwidth has stopped growing.
#[derive(Clone, Copy, Debug, Default)]
struct FullBw {
    /// BBR.full_bw.
    bw: u64,
    /// BBR.full_bw_count.
    count: u8,
    /// BBR.full_bw_now.
    now: bool,
    /// BBR.full_bw_reached.
    reached: bool,
}

impl FullBw {
    /// BBRResetFullBW, with `bw` to begin from.
    fn reset(&mut self, bw: u64) {
        *self = FullBw { bw, reached: self.reached, ..FullBw::default() };
    }
}

/// What to go back to if a loss was none.
#[derive(Clone, Copy, Debug)]
struct Undo {
    state: State,
    bw_shortterm: u64,
    inflight_shortterm: u32,
    inflight_longterm: u32,
}

/// The controller.
#[derive(Clone, Debug)]
pub(in super::super) struct Bbr {
    mss: u32,
    cwnd: u32,
    initial: u32,
    pacing_rate: u64,
    random: Random,
    state: State,
    pacing_gain: u64,
    cwnd_gain: u64,
    full_bw: FullBw,
    model: Model,
    cycle: Cycle,
    /// Sending resumed with nothing in flight, and nothing was delivered since.
    idle_restart: bool,
    /// When ProbeRTT ends, once little enough is in flight.
    probe_rtt_done_at: Option<Instant>,
    probe_rtt_round_done: bool,
    /// The window before ProbeRTT or a timeout.
    prior_cwnd: u32,
    undo: Option<Undo>,
    /// As much as the initial window was delivered.
    has_begun: bool,
}

impl Bbr {
    /// BBRInit. `srtt` is known from the handshake, as a rule.
    pub(super) fn new(mss: u32, initial: u32, srtt: Option<Duration>, seed: u64, now: Instant) -> Self {
        let nominal = srtt.unwrap_or(Duration::from_millis(1));
        Bbr {
            mss,
            cwnd: initial,
            initial,
            pacing_rate: model::rate(u64::from(initial), nominal) * STARTUP_PACING_GAIN / 100,
            random: Random::from_seed(seed),
            state: State::Startup,
            pacing_gain: STARTUP_PACING_GAIN,
            cwnd_gain: CWND_GAIN,
            full_bw: FullBw::default(),
            model: Model::new(srtt, now),
            cycle: Cycle::new(now),
            idle_restart: false,
            probe_rtt_done_at: None,
            probe_rtt_round_done: false,
            prior_cwnd: 0,
            undo: None,
            has_begun: false,
        }
    }

    fn min_pipe_cwnd(&self) -> u32 {
        MIN_PIPE_SEGMENTS * self.mss
    }

    /// BBRBDPMultiple, `gain` in percent.
    fn bdp_multiple(&self, gain: u64) -> u32 {
        let Some(min_rtt) = self.model.min_rtt() else { return self.initial };
        let bdp = u128::from(self.model.bw()) * min_rtt.as_nanos() / 1_000_000_000;
        u32::try_from(bdp * u128::from(gain) / 100).unwrap_or(u32::MAX / 2)
    }

    /// BBR.send_quantum.
    fn send_quantum(&self) -> u32 {
        ((self.pacing_rate / 1000).min(MOST_SEND_QUANTUM) as u32).max(2 * self.mss)
    }

    /// BBRQuantizationBudget.
    fn quantization_budget(&self, inflight: u32) -> u32 {
        let up = if self.state == State::ProbeBwUp { 2 * self.mss } else { 0 };
        inflight.max(3 * self.send_quantum()).max(self.min_pipe_cwnd()) + up
    }

    /// BBRInflight, `gain` in percent.
    fn inflight(&self, gain: u64) -> u32 {
        self.quantization_budget(self.bdp_multiple(gain))
    }

    /// BBRCheckFullBWReached.
    fn check_full_bw_reached(&mut self, rs: &RateSample) {
        if self.full_bw.now || rs.is_app_limited {
            return;
        }
        if rs.delivery_rate >= self.full_bw.bw + self.full_bw.bw / 4 {
            return self.full_bw.reset(rs.delivery_rate);
        }
        if !self.model.is_round_start() {
            return;
        }
        self.full_bw.count += 1;
        self.full_bw.now = self.full_bw.count >= FULL_BW_ROUNDS;
        self.full_bw.reached |= self.full_bw.now;
    }

    /// BBRCheckStartupDone, with BBRCheckStartupHighLoss.
    fn check_startup_done(&mut self, rs: &RateSample) {
        if self.state != State::Startup {
            return;
        }
        let is_lossy = self.model.is_loss_round_start()
            && self.model.losses_in_round() >= STARTUP_FULL_LOSS_COUNT
            && model::is_inflight_too_high(rs.lost, rs.tx_in_flight);
        if is_lossy {
            self.full_bw.reached = true;
            self.model.inflight_longterm = self.bdp_multiple(100).max(self.model.inflight_latest());
        }
        if self.full_bw.reached {
            self.state = State::Drain;
            self.pacing_gain = DRAIN_PACING_GAIN;
            self.cwnd_gain = CWND_GAIN;
        }
    }

    /// BBRCheckDrainDone.
    fn check_drain_done(&mut self, sample: &AckSample) {
        if self.state == State::Drain && sample.in_flight_bytes <= self.inflight(100) {
            self.enter_probe_bw_down(sample.now);
        }
    }

    /// BBRCheckProbeRTT.
    fn check_probe_rtt(&mut self, sample: &AckSample, rs: &RateSample) {
        if self.state != State::ProbeRtt && self.model.is_probe_rtt_due() && !self.idle_restart {
            self.state = State::ProbeRtt;
            self.pacing_gain = 100;
            self.cwnd_gain = PROBE_RTT_CWND_GAIN;
            self.prior_cwnd = self.cwnd;
            self.probe_rtt_done_at = None;
            self.stop_probing();
            self.model.start_round();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(sample);
        }
        if rs.delivered > 0 {
            self.idle_restart = false;
        }
    }

    /// BBRHandleProbeRTT.
    fn handle_probe_rtt(&mut self, sample: &AckSample) {
        match self.probe_rtt_done_at {
            None if sample.in_flight_bytes <= self.probe_rtt_cwnd() => {
                self.probe_rtt_done_at = Some(sample.now + PROBE_RTT_DURATION);
                self.probe_rtt_round_done = false;
                self.model.start_round();
            }
            None => {}
            Some(_) => {
                self.probe_rtt_round_done |= self.model.is_round_start();
                if self.probe_rtt_round_done {
                    self.check_probe_rtt_done(sample.now);
                }
            }
        }
    }

    /// BBRProbeRTTCwnd.
    fn probe_rtt_cwnd(&self) -> u32 {
        self.bdp_multiple(PROBE_RTT_CWND_GAIN).max(self.min_pipe_cwnd())
    }

    /// BBRCheckProbeRTTDone, with BBRExitProbeRTT.
    fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done_at.is_none_or(|done| now <= done) {
            return;
        }
        self.model.schedule_probe_rtt(now);
        self.cwnd = self.cwnd.max(self.prior_cwnd);
        self.model.reset_shortterm();
        if self.full_bw.reached {
            self.enter_probe_bw_down(now);
            self.enter_probe_bw_cruise();
        } else {
            self.enter_startup();
        }
    }

    fn enter_startup(&mut self) {
        self.state = State::Startup;
        self.pacing_gain = STARTUP_PACING_GAIN;
        self.cwnd_gain = CWND_GAIN;
    }

    /// BBRSetPacingRateWithGain.
    fn set_pacing_rate(&mut self, gain: u64) {
        let rate = self.model.bw() / 100 * gain / 100 * (100 - PACING_MARGIN_PERCENT);
        if rate > 0 && (self.full_bw.reached || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
    }

    /// BBRSetCwnd.
    fn set_cwnd(&mut self, rs: &RateSample) {
        let inflight = self.bdp_multiple(self.cwnd_gain).saturating_add(self.model.aggregation.extra_acked());
        let max_inflight = self.quantization_budget(inflight);
        let grown = self.cwnd.saturating_add(rs.newly_acked);
        if self.full_bw.reached {
            self.cwnd = grown.min(max_inflight);
        } else if self.cwnd < max_inflight || !self.has_begun {
            self.cwnd = grown;
        }
        self.has_begun |= rs.total_delivered.0 >= self.initial;
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd_for_model();
    }

    /// BBRBoundCwndForModel.
    fn bound_cwnd_for_model(&mut self) {
        let longterm = match self.state {
            State::ProbeBwDown | State::ProbeBwRefill | State::ProbeBwUp => self.model.inflight_longterm,
            State::ProbeRtt | State::ProbeBwCruise => self.inflight_with_headroom(),
            State::Startup | State::Drain => u32::MAX,
        };
        let cap = longterm.min(self.model.inflight_shortterm).max(self.min_pipe_cwnd());
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd()).min(cap);
    }

    fn remember(&mut self) {
        let Model { bw_shortterm, inflight_shortterm, inflight_longterm, .. } = self.model;
        self.undo = Some(Undo { state: self.state, bw_shortterm, inflight_shortterm, inflight_longterm });
    }
}

impl CongestionControl for Bbr {
    fn name(&self) -> &'static str {
        "bbr"
    }

    fn window(&self) -> Window {
        Window { cwnd: self.cwnd, ssthresh: u32::MAX, pacing_rate: Some(self.pacing_rate.max(1)) }
    }

    fn is_rate_based(&self) -> bool {
        true
    }

    fn is_holding_back(&self) -> bool {
        self.state == State::ProbeRtt
    }

    /// BBRHandleRestartFromIdle.
    fn on_sent(&mut self, now: Instant, in_flight_bytes: u32) {
        if in_flight_bytes > 0 {
            return;
        }
        self.idle_restart = true;
        self.model.aggregation.restart(now);
        if self.state.is_probe_bw() {
            self.set_pacing_rate(100);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(now);
        }
    }

    /// BBRUpdateModelAndState and BBRUpdateControlParameters.
    fn on_ack(&mut self, sample: &AckSample) {
        let Some(rs) = sample.rate else { return };
        self.model.update_latest_delivery_signals(&rs);
        self.model.update_congestion_signals(&rs, self.state.is_probing(), self.cwnd);
        self.cycle.count_round(self.model.is_round_start());
        if self.model.is_round_start() {
            self.model.aggregation.start_round(!self.full_bw.reached);
        }
        let bw = self.model.bw();
        self.model.aggregation.update(rs.newly_acked, bw, self.cwnd, sample.now);
        self.check_full_bw_reached(&rs);
        self.check_startup_done(&rs);
        self.check_drain_done(sample);
        self.update_probe_bw_cycle_phase(sample, &rs);
        self.model.update_min_rtt(sample.rtt, sample.now);
        self.check_probe_rtt(sample, &rs);
        self.model.advance_latest_delivery_signals(&rs);
        self.set_pacing_rate(self.pacing_gain);
        self.set_cwnd(&rs);
    }

    /// BBRHandleLostPacket.
    fn on_packet_lost(&mut self, packet: &LostPacket, now: Instant) {
        self.model.note_loss(packet.delivered);
        if self.cycle.bw_probe_samples && model::is_inflight_too_high(packet.lost, packet.tx_in_flight) {
            self.handle_inflight_too_high(model::inflight_at_loss(packet), packet.is_app_limited, now);
        }
    }

    fn on_loss(&mut self, _now: Instant, _outstanding_bytes: u32) {
        self.remember();
    }

    fn on_recovered(&mut self, _now: Instant, _in_flight_bytes: u32) {}

    /// BBROnEnterRTO: everything out counts as lost, and what was lost goes out again one by one.
    fn on_timeout(&mut self, _now: Instant, _outstanding_bytes: u32, again: bool) {
        if !again {
            self.remember();
            self.prior_cwnd = self.cwnd;
        }
        self.cwnd = self.mss;
    }

    /// BBRHandleSpuriousLossDetection.
    fn on_spurious_loss(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        self.model.forget_loss();
        self.full_bw.reset(0);
        self.model.bw_shortterm = self.model.bw_shortterm.max(undo.bw_shortterm);
        self.model.inflight_shortterm = self.model.inflight_shortterm.max(undo.inflight_shortterm);
        self.model.inflight_longterm = self.model.inflight_longterm.max(undo.inflight_longterm);
        self.cwnd = self.cwnd.max(self.prior_cwnd);
        if self.state != State::ProbeRtt && self.state != undo.state {
            match undo.state {
                State::Startup => self.enter_startup(),
                State::ProbeBwUp => self.enter_probe_bw_up(undo.bw_shortterm.min(self.model.max_bw())),
                _ => {}
            }
        }
    }

    fn on_ecn(&mut self, _now: Instant, _outstanding_bytes: u32) {
        self.model.note_mark();
    }

    fn on_unused(&mut self) {}

    fn on_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
    }
}
