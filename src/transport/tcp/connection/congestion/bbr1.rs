//! BBR, version 1, as draft-cardwell-iccrg-bbr-congestion-control-00 and Linux have it: the window and the rate follow
//! the most bandwidth and the least round trip of late. Losses say nothing of either, which makes it the choice for a
//! path that loses at random, and a hard neighbour on one whose queue overflows; version 3 is [`super::bbr`].
//!
//! ```text
//!             bandwidth stops growing          no more than a BDP in flight
//!   Startup -------------------------> Drain ------------------------------> ProbeBW: 125 %, 75 %, six times 100 %
//!      ^                                                                        |
//!      '------------------- ProbeRTT (200 ms with four segments) <--------------'
//!                               10 s without a lower RTT
//! ```
//!
//! Names are the draft's. From Linux: the window has room for what ACKs come bunched, and the rate stays a hundredth
//! below the model. Not here: Linux's search for a policer.

#[cfg(test)]
mod tests;

use super::bbr::{AckAggregation, rate};
use super::{AckSample, CongestionControl, LostPacket, Phase, RateSample, Window};
use crate::base::random::Random;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};

/// BBRHighGain, in percent: 2 / ln 2, with which the rate can double in each round.
const HIGH_GAIN: u64 = 289;
/// The inverse, which drains in one round what Startup left in the queue.
const DRAIN_GAIN: u64 = 35;
/// The window in ProbeBW: room for ACKs that are late.
const CWND_GAIN: u64 = 200;
/// The gains of ProbeBW, each for a round trip.
const GAIN_CYCLE: [u64; 8] = [125, 75, 100, 100, 100, 100, 100, 100];
/// The place of the cycle where it can't begin: there is no queue to drain.
const DRAINING: usize = 1;
/// BtlBwFilterLen, in rounds.
const BTL_BW_FILTER: u32 = 10;
/// RTpropFilterLen.
const RT_PROP_FILTER: Duration = Duration::from_secs(10);
/// ProbeRTTDuration.
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
/// BBRMinPipeCwnd, in segments.
const MIN_PIPE_SEGMENTS: u32 = 4;
/// Rounds without a quarter more bandwidth after which the pipe is full.
const FULL_PIPE_ROUNDS: u8 = 3;
/// Percent by which the rate is below the model, so that a queue empties.
const PACING_MARGIN: u64 = 1;
/// The most of BBR.send_quantum.
const MOST_SEND_QUANTUM: u64 = 64 << 10;
/// Bunched ACKs get no more room than the bandwidth fills in this time.
const MOST_AGGREGATION: Duration = Duration::from_millis(100);

/// BBR.state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Startup,
    Drain,
    ProbeBw,
    ProbeRtt,
}

/// BBR.BtlBw: the most of the last rounds, a place for each.
#[derive(Clone, Debug, Default)]
struct BtlBw {
    most: [u64; BTL_BW_FILTER as usize],
    /// The round of the last sample.
    round: u32,
}

impl BtlBw {
    fn get(&self) -> u64 {
        self.most.iter().copied().max().unwrap_or(0)
    }

    fn update(&mut self, bw: u64, round: u32) {
        let passed = round.wrapping_sub(std::mem::replace(&mut self.round, round));
        for (place, most) in (0..).zip(&mut self.most) {
            // How many rounds ago this place was used, if none has passed without a sample.
            let age = (round % BTL_BW_FILTER + BTL_BW_FILTER - place) % BTL_BW_FILTER;
            if age < passed {
                *most = 0;
            }
            if age == 0 {
                *most = bw.max(*most);
            }
        }
    }
}

/// Whether Startup has filled the pipe.
#[derive(Clone, Copy, Debug, Default)]
struct FullPipe {
    /// BBR.full_bw.
    bw: u64,
    /// BBR.full_bw_count.
    count: u8,
    /// BBR.filled_pipe.
    is_filled: bool,
}

impl FullPipe {
    /// Looks anew from `bw` on, unless it is filled.
    fn restart(&mut self, bw: u64) {
        *self = FullPipe { bw, count: 0, is_filled: self.is_filled };
    }
}

/// The controller.
#[derive(Clone, Debug)]
pub(in super::super) struct Bbr1 {
    mss: u32,
    cwnd: u32,
    initial: u32,
    pacing_rate: u64,
    random: Random,
    state: State,
    btl_bw: BtlBw,
    full_pipe: FullPipe,
    aggregation: AckAggregation,
    /// BBR.RTprop, and when it was measured.
    rt_prop: Option<Duration>,
    rt_prop_at: Instant,
    /// BBR.round_count.
    round: u32,
    next_round_delivered: Seq,
    is_round_start: bool,
    /// BBR.cycle_index and BBR.cycle_stamp.
    cycle_index: usize,
    cycle_at: Instant,
    /// Sending resumed with nothing in flight, and nothing was delivered since.
    idle_restart: bool,
    /// When ProbeRTT ends, once little enough is in flight.
    probe_rtt_done_at: Option<Instant>,
    probe_rtt_round_done: bool,
    /// The window before ProbeRTT or a loss.
    prior_cwnd: u32,
    /// What recovery did at the last acknowledgment.
    phase: Phase,
    /// BBR.packet_conservation: in the first round of recovery only as much leaves as arrived.
    is_conserving: bool,
    /// A router marked something since the last acknowledgment.
    is_marked: bool,
    /// Octets found lost since then.
    newly_lost: u32,
    /// As much as the initial window was delivered.
    has_begun: bool,
}

impl Bbr1 {
    /// BBRInit. `srtt` is known from the handshake, as a rule.
    pub(super) fn new(mss: u32, initial: u32, srtt: Option<Duration>, seed: u64, now: Instant) -> Self {
        let nominal = srtt.unwrap_or(Duration::from_millis(1));
        Bbr1 {
            mss,
            cwnd: initial,
            initial,
            pacing_rate: rate(u64::from(initial), nominal) * HIGH_GAIN / 100,
            random: Random::from_seed(seed),
            state: State::Startup,
            btl_bw: BtlBw::default(),
            full_pipe: FullPipe::default(),
            aggregation: AckAggregation::new(now),
            rt_prop: srtt,
            rt_prop_at: now,
            round: 0,
            next_round_delivered: Seq(0),
            is_round_start: false,
            cycle_index: 0,
            cycle_at: now,
            idle_restart: false,
            probe_rtt_done_at: None,
            probe_rtt_round_done: false,
            prior_cwnd: 0,
            phase: Phase::Open,
            is_conserving: false,
            is_marked: false,
            newly_lost: 0,
            has_begun: false,
        }
    }

    fn pacing_gain(&self) -> u64 {
        match self.state {
            State::Startup => HIGH_GAIN,
            State::Drain => DRAIN_GAIN,
            State::ProbeBw => GAIN_CYCLE.get(self.cycle_index).copied().unwrap_or(100),
            State::ProbeRtt => 100,
        }
    }

    fn cwnd_gain(&self) -> u64 {
        match self.state {
            State::Startup | State::Drain => HIGH_GAIN,
            State::ProbeBw => CWND_GAIN,
            State::ProbeRtt => 100,
        }
    }

    fn min_pipe_cwnd(&self) -> u32 {
        MIN_PIPE_SEGMENTS * self.mss
    }

    /// BBR.send_quantum.
    fn send_quantum(&self) -> u32 {
        ((self.pacing_rate / 1000).min(MOST_SEND_QUANTUM) as u32).max(2 * self.mss)
    }

    /// `gain` percent of the bandwidth-delay product, and `extra` octets.
    fn bdp(&self, gain: u64, extra: u32) -> u32 {
        let Some(rt_prop) = self.rt_prop else { return self.initial };
        let bdp = u128::from(self.btl_bw.get()) * rt_prop.as_nanos() / 1_000_000_000;
        u32::try_from(bdp * u128::from(gain) / 100 + u128::from(extra)).unwrap_or(u32::MAX / 2)
    }

    /// BBRInflight: `gain` percent of the bandwidth-delay product, and room for what is on its way through both ends.
    fn inflight(&self, gain: u64, extra: u32) -> u32 {
        let probe = if self.state == State::ProbeBw && self.cycle_index == 0 { 2 * self.mss } else { 0 };
        self.bdp(gain, extra).saturating_add(3 * self.send_quantum() + probe)
    }

    /// The room that ACKs need which come bunched.
    fn extra_acked(&self) -> u32 {
        if !self.full_pipe.is_filled {
            return 0;
        }
        let most = u128::from(self.btl_bw.get()) * MOST_AGGREGATION.as_nanos() / 1_000_000_000;
        self.aggregation.extra_acked().min(u32::try_from(most).unwrap_or(u32::MAX))
    }

    /// BBRUpdateBtlBw, with BBRUpdateRound.
    fn update_btl_bw(&mut self, rs: &RateSample) {
        self.is_round_start = rs.prior_delivered.at_or_after(self.next_round_delivered);
        if self.is_round_start {
            self.next_round_delivered = rs.total_delivered;
            self.round = self.round.wrapping_add(1);
        }
        if rs.delivery_rate > 0 && (rs.delivery_rate >= self.btl_bw.get() || !rs.is_app_limited) {
            self.btl_bw.update(rs.delivery_rate, self.round);
        }
    }

    fn update_ack_aggregation(&mut self, rs: &RateSample, now: Instant) {
        if self.is_round_start {
            self.aggregation.start_round(false);
        }
        self.aggregation.update(rs.newly_acked, self.btl_bw.get(), self.cwnd, now);
    }

    /// BBRCheckCyclePhase.
    fn check_cycle_phase(&mut self, sample: &AckSample) {
        if self.state == State::ProbeBw && self.is_next_cycle_phase(sample) {
            self.advance_cycle_phase(sample.now);
        }
    }

    /// BBRIsNextCyclePhase.
    fn is_next_cycle_phase(&self, sample: &AckSample) -> bool {
        let is_full_length = sample.now.since(self.cycle_at) > self.rt_prop.unwrap_or_default();
        let in_flight = sample.in_flight_before_bytes;
        match self.pacing_gain() {
            100 => is_full_length,
            gain if gain > 100 => is_full_length && (self.newly_lost > 0 || in_flight >= self.inflight(gain, 0)),
            _ => is_full_length || in_flight <= self.inflight(100, 0),
        }
    }

    fn advance_cycle_phase(&mut self, now: Instant) {
        self.cycle_at = now;
        self.cycle_index = (self.cycle_index + 1) % GAIN_CYCLE.len();
    }

    /// BBRCheckFullPipe.
    fn check_full_pipe(&mut self, rs: &RateSample) {
        if self.full_pipe.is_filled || !self.is_round_start || rs.is_app_limited {
            return;
        }
        let bw = self.btl_bw.get();
        if bw >= self.full_pipe.bw + self.full_pipe.bw / 4 {
            return self.full_pipe.restart(bw);
        }
        self.full_pipe.count += 1;
        self.full_pipe.is_filled = self.full_pipe.count >= FULL_PIPE_ROUNDS;
    }

    /// BBRCheckDrain.
    fn check_drain(&mut self, sample: &AckSample) {
        if self.state == State::Startup && self.full_pipe.is_filled {
            self.state = State::Drain;
        }
        if self.state == State::Drain && sample.in_flight_bytes <= self.inflight(100, 0) {
            self.enter_probe_bw(sample.now);
        }
    }

    /// BBREnterProbeBW: anywhere in the cycle but where it drains, so that flows which share a bottleneck do not probe
    /// at once.
    fn enter_probe_bw(&mut self, now: Instant) {
        self.state = State::ProbeBw;
        let place = self.random.below(GAIN_CYCLE.len() as u64 - 1) as usize;
        self.cycle_index = if place >= DRAINING { place + 1 } else { place };
        self.cycle_at = now;
    }

    /// BBRUpdateRTprop, and BBRCheckProbeRTT.
    fn update_rt_prop(&mut self, sample: &AckSample, rs: &RateSample) {
        let is_expired = sample.now.since(self.rt_prop_at) > RT_PROP_FILTER;
        if let Some(rtt) = sample.rtt
            && (is_expired || self.rt_prop.is_none_or(|least| rtt <= least))
        {
            self.rt_prop = Some(rtt);
            self.rt_prop_at = sample.now;
        }
        if is_expired && !self.idle_restart && self.state != State::ProbeRtt {
            self.save_cwnd();
            self.state = State::ProbeRtt;
            self.probe_rtt_done_at = None;
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(sample, rs);
        }
        if rs.delivered > 0 {
            self.idle_restart = false;
        }
    }

    /// BBRHandleProbeRTT.
    fn handle_probe_rtt(&mut self, sample: &AckSample, rs: &RateSample) {
        match self.probe_rtt_done_at {
            None if sample.in_flight_bytes <= self.min_pipe_cwnd() => {
                self.probe_rtt_done_at = Some(sample.now + PROBE_RTT_DURATION);
                self.probe_rtt_round_done = false;
                self.next_round_delivered = rs.total_delivered;
            }
            None => {}
            Some(_) => {
                self.probe_rtt_round_done |= self.is_round_start;
                if self.probe_rtt_round_done {
                    self.check_probe_rtt_done(sample.now);
                }
            }
        }
    }

    /// BBRExitProbeRTT, when its time is over.
    fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done_at.is_none_or(|done| now <= done) {
            return;
        }
        self.rt_prop_at = now;
        self.restore_cwnd();
        if self.full_pipe.is_filled {
            self.enter_probe_bw(now);
        } else {
            self.state = State::Startup;
        }
    }

    /// BBRSetPacingRateWithGain.
    fn set_pacing_rate(&mut self, gain: u64) {
        let rate = self.btl_bw.get() / 100 * gain / 100 * (100 - PACING_MARGIN);
        if rate > 0 && (self.full_pipe.is_filled || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
    }

    /// BBRSaveCwnd.
    fn save_cwnd(&mut self) {
        let is_whole = self.phase == Phase::Open && self.state != State::ProbeRtt;
        self.prior_cwnd = if is_whole { self.cwnd } else { self.prior_cwnd.max(self.cwnd) };
    }

    /// BBRRestoreCwnd.
    fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }

    /// BBRModulateCwndForRecovery: `true` if packets are conserved, which says all of the window.
    fn modulate_cwnd_for_recovery(&mut self, sample: &AckSample, rs: &RateSample) -> bool {
        let before = std::mem::replace(&mut self.phase, sample.phase);
        let lost = std::mem::take(&mut self.newly_lost);
        self.cwnd = self.cwnd.saturating_sub(lost).max(self.mss);
        let conserved = sample.in_flight_bytes.saturating_add(rs.newly_acked);
        let is_entered = sample.phase == Phase::Fast && before != Phase::Fast;
        let is_round_over = self.is_conserving && self.is_round_start;
        let is_recovered = sample.phase == Phase::Open && before != Phase::Open;
        if is_entered || std::mem::take(&mut self.is_marked) {
            self.is_conserving = true;
            self.next_round_delivered = rs.total_delivered;
            self.cwnd = conserved.min(self.cwnd);
        } else if is_round_over || is_recovered {
            self.is_conserving = false;
            if sample.phase == Phase::Open {
                self.restore_cwnd();
            }
        }
        if self.is_conserving {
            self.cwnd = self.cwnd.max(conserved);
        }
        self.is_conserving
    }

    /// BBRSetCwnd.
    fn set_cwnd(&mut self, sample: &AckSample, rs: &RateSample) {
        if !self.modulate_cwnd_for_recovery(sample, rs) {
            let target = self.inflight(self.cwnd_gain(), self.extra_acked());
            let grown = self.cwnd.saturating_add(rs.newly_acked);
            if self.full_pipe.is_filled {
                self.cwnd = grown.min(target);
            } else if self.cwnd < target || !self.has_begun {
                self.cwnd = grown;
            }
            self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
        }
        self.has_begun |= rs.total_delivered.0 >= self.initial;
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.min_pipe_cwnd());
        }
    }
}

impl CongestionControl for Bbr1 {
    fn name(&self) -> &'static str {
        "bbr1"
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
        self.aggregation.restart(now);
        match self.state {
            State::ProbeBw => self.set_pacing_rate(100),
            State::ProbeRtt => self.check_probe_rtt_done(now),
            State::Startup | State::Drain => {}
        }
    }

    /// BBRUpdateModelAndState and BBRUpdateControlParameters.
    fn on_ack(&mut self, sample: &AckSample) {
        let Some(rs) = sample.rate else { return };
        self.update_btl_bw(&rs);
        self.update_ack_aggregation(&rs, sample.now);
        self.check_cycle_phase(sample);
        self.check_full_pipe(&rs);
        self.check_drain(sample);
        self.update_rt_prop(sample, &rs);
        self.set_pacing_rate(self.pacing_gain());
        self.set_cwnd(sample, &rs);
    }

    fn on_packet_lost(&mut self, packet: &LostPacket, _now: Instant) {
        self.newly_lost = self.newly_lost.saturating_add(packet.size);
    }

    /// BBROnEnterFastRecovery; the window follows with the acknowledgment.
    fn on_loss(&mut self, _now: Instant, _outstanding_bytes: u32) {
        self.save_cwnd();
    }

    fn on_recovered(&mut self, _now: Instant, _in_flight_bytes: u32) {}

    /// BBROnEnterRTO: everything out counts as lost, and what was lost goes out again one by one.
    fn on_timeout(&mut self, _now: Instant, _outstanding_bytes: u32, again: bool) {
        if !again {
            self.save_cwnd();
        }
        self.phase = Phase::Timeout;
        self.full_pipe.restart(0);
        self.cwnd = self.mss;
        self.is_conserving = false;
    }

    fn on_spurious_loss(&mut self) {
        self.full_pipe.restart(0);
        self.is_conserving = false;
        self.restore_cwnd();
    }

    /// The draft and Linux do nothing. RFC 3168 §5 demands of a mark what a loss leads to: here, a round in which packets
    /// are conserved.
    fn on_ecn(&mut self, _now: Instant, _outstanding_bytes: u32) {
        self.save_cwnd();
        self.is_marked = true;
    }

    fn on_unused(&mut self) {}

    fn on_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
    }
}
