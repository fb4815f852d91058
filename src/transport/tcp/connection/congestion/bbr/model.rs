//! What BBR knows of the path: the most bandwidth of late, the least round trip, and what losses say of both in
//! the short and in the long term (draft-ietf-ccwg-bbr, "Network Path Model Algorithms").

use super::super::{LostPacket, RateSample};
use super::aggregation::AckAggregation;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};

/// BBR.LossThresh: more than one in so many lost is too many.
const LOSS_THRESH: u64 = 50;
/// BBR.Beta in percent: what a round with losses leaves of the short-term bounds.
const BETA_PERCENT: u64 = 70;
/// BBR.MinRTTFilterLen.
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// BBR.ProbeRTTInterval.
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);

/// Octets a second if `octets` take `time`.
pub(in super::super) fn rate(octets: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(octets) * 1_000_000_000 / time.as_nanos().max(1)).unwrap_or(u64::MAX)
}

/// BBRIsInflightTooHigh: more than 2 % of what was in flight is lost.
pub(super) fn is_inflight_too_high(lost: u32, tx_in_flight: u32) -> bool {
    u64::from(lost) * LOSS_THRESH > u64::from(tx_in_flight)
}

/// BBRInflightAtLoss: how much was in flight when losses reached 2 %, somewhere within the lost packet.
pub(super) fn inflight_at_loss(packet: &LostPacket) -> u32 {
    let inflight_prev = i64::from(packet.tx_in_flight) - i64::from(packet.size);
    let lost_prev = i64::from(packet.lost) - i64::from(packet.size);
    let thresh = LOSS_THRESH as i64;
    // (LossThresh * inflight_prev - lost_prev) / (1 - LossThresh), both multiplied by 50.
    let lost_prefix = (inflight_prev - thresh * lost_prev) / (thresh - 1);
    u32::try_from((inflight_prev + lost_prefix).max(0)).unwrap_or(u32::MAX)
}

/// The model.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// BBR.MaxBwFilter: the most of this cycle and of the one before.
    max_bw: [u64; 2],
    /// BBR.bw_shortterm; all there is if losses say nothing.
    pub(super) bw_shortterm: u64,
    /// BBR.inflight_shortterm, likewise.
    pub(super) inflight_shortterm: u32,
    /// BBR.inflight_longterm, likewise.
    pub(super) inflight_longterm: u32,

    min_rtt: Option<Duration>,
    min_rtt_at: Instant,
    probe_rtt_min_delay: Option<Duration>,
    probe_rtt_min_at: Instant,
    is_probe_rtt_due: bool,

    /// C.delivered as the last sample had it.
    total_delivered: Seq,
    next_round_delivered: Seq,
    is_round_start: bool,

    bw_latest: u64,
    inflight_latest: u32,
    loss_round_delivered: Seq,
    is_loss_round_start: bool,
    is_loss_in_round: bool,
    losses_in_round: u32,

    pub(super) aggregation: AckAggregation,
}

impl Model {
    pub(super) fn new(srtt: Option<Duration>, now: Instant) -> Self {
        Model {
            max_bw: [0; 2],
            bw_shortterm: u64::MAX,
            inflight_shortterm: u32::MAX,
            inflight_longterm: u32::MAX,
            min_rtt: srtt,
            min_rtt_at: now,
            probe_rtt_min_delay: srtt,
            probe_rtt_min_at: now,
            is_probe_rtt_due: false,
            total_delivered: Seq(0),
            next_round_delivered: Seq(0),
            is_round_start: false,
            bw_latest: 0,
            inflight_latest: 0,
            loss_round_delivered: Seq(0),
            is_loss_round_start: false,
            is_loss_in_round: false,
            losses_in_round: 0,
            aggregation: AckAggregation::new(now),
        }
    }

    /// BBR.max_bw.
    pub(super) fn max_bw(&self) -> u64 {
        self.max_bw[0].max(self.max_bw[1])
    }

    /// BBR.bw, which BBRBoundBWForModel keeps below the short-term bound.
    pub(super) fn bw(&self) -> u64 {
        self.max_bw().min(self.bw_shortterm)
    }

    pub(super) fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt
    }

    /// BBR.round_start.
    pub(super) fn is_round_start(&self) -> bool {
        self.is_round_start
    }

    pub(super) fn is_loss_round_start(&self) -> bool {
        self.is_loss_round_start
    }

    pub(super) fn losses_in_round(&self) -> u32 {
        self.losses_in_round
    }

    pub(super) fn inflight_latest(&self) -> u32 {
        self.inflight_latest
    }

    /// BBR.probe_rtt_expired.
    pub(super) fn is_probe_rtt_due(&self) -> bool {
        self.is_probe_rtt_due
    }

    /// BBRStartRound: the round ends when what is out by now is delivered.
    pub(super) fn start_round(&mut self) {
        self.next_round_delivered = self.total_delivered;
    }

    /// BBRUpdateLatestDeliverySignals.
    pub(super) fn update_latest_delivery_signals(&mut self, rs: &RateSample) {
        self.total_delivered = rs.total_delivered;
        self.is_loss_round_start = false;
        self.bw_latest = self.bw_latest.max(rs.delivery_rate);
        self.inflight_latest = self.inflight_latest.max(rs.delivered);
        if rs.prior_delivered.at_or_after(self.loss_round_delivered) {
            self.loss_round_delivered = rs.total_delivered;
            self.is_loss_round_start = true;
        }
    }

    /// BBRAdvanceLatestDeliverySignals.
    pub(super) fn advance_latest_delivery_signals(&mut self, rs: &RateSample) {
        if self.is_loss_round_start {
            self.bw_latest = rs.delivery_rate;
            self.inflight_latest = rs.delivered;
            self.losses_in_round = 0;
        }
    }

    /// BBRUpdateCongestionSignals, with BBRUpdateRound, BBRUpdateMaxBw and BBRAdaptLowerBoundsFromCongestion.
    pub(super) fn update_congestion_signals(&mut self, rs: &RateSample, is_probing: bool, cwnd: u32) {
        self.is_round_start = rs.prior_delivered.at_or_after(self.next_round_delivered);
        if self.is_round_start {
            self.start_round();
        }
        if rs.delivery_rate >= self.max_bw() || !rs.is_app_limited {
            self.max_bw[0] = self.max_bw[0].max(rs.delivery_rate);
        }
        if !self.is_loss_round_start {
            return;
        }
        if !is_probing && self.is_loss_in_round {
            self.adapt_lower_bounds(cwnd);
        }
        self.is_loss_in_round = false;
    }

    /// BBRInitLowerBounds and BBRLossLowerBounds.
    fn adapt_lower_bounds(&mut self, cwnd: u32) {
        if self.bw_shortterm == u64::MAX {
            self.bw_shortterm = self.max_bw();
        }
        if self.inflight_shortterm == u32::MAX {
            self.inflight_shortterm = cwnd;
        }
        self.bw_shortterm = self.bw_latest.max(self.bw_shortterm / 100 * BETA_PERCENT);
        self.inflight_shortterm =
            self.inflight_latest.max((u64::from(self.inflight_shortterm) * BETA_PERCENT / 100) as u32);
    }

    /// BBRResetCongestionSignals.
    pub(super) fn reset_congestion_signals(&mut self) {
        self.is_loss_in_round = false;
        self.losses_in_round = 0;
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }

    /// BBRResetShortTermModel.
    pub(super) fn reset_shortterm(&mut self) {
        self.bw_shortterm = u64::MAX;
        self.inflight_shortterm = u32::MAX;
    }

    /// BBRAdvanceMaxBwFilter: one cycle more.
    pub(super) fn advance_max_bw_filter(&mut self) {
        let [current, before] = self.max_bw;
        self.max_bw = [0, if current == 0 { before } else { current }];
    }

    /// BBRNoteLoss; `delivered` is C.delivered.
    pub(super) fn note_loss(&mut self, delivered: Seq) {
        if !self.is_loss_in_round {
            self.loss_round_delivered = delivered;
        }
        self.is_loss_in_round = true;
        self.losses_in_round = self.losses_in_round.saturating_add(1);
    }

    /// A router's mark counts as a loss of the round.
    pub(super) fn note_mark(&mut self) {
        self.is_loss_in_round = true;
    }

    /// The losses of this round were none.
    pub(super) fn forget_loss(&mut self) {
        self.is_loss_in_round = false;
    }

    /// BBRUpdateMinRTT.
    pub(super) fn update_min_rtt(&mut self, rtt: Option<Duration>, now: Instant) {
        self.is_probe_rtt_due = now.since(self.probe_rtt_min_at) > PROBE_RTT_INTERVAL;
        if let Some(rtt) = rtt
            && (self.is_probe_rtt_due || self.probe_rtt_min_delay.is_none_or(|min| rtt < min))
        {
            self.probe_rtt_min_delay = Some(rtt);
            self.probe_rtt_min_at = now;
        }
        let is_expired = now.since(self.min_rtt_at) > MIN_RTT_FILTER;
        if let Some(delay) = self.probe_rtt_min_delay
            && (is_expired || self.min_rtt.is_none_or(|min| delay < min))
        {
            self.min_rtt = Some(delay);
            self.min_rtt_at = self.probe_rtt_min_at;
        }
    }

    /// ProbeRTT was done: the next comes an interval later.
    pub(super) fn schedule_probe_rtt(&mut self, now: Instant) {
        self.probe_rtt_min_at = now;
    }
}
