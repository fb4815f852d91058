//! Loss detection as a part of the connection: what becomes of recovery's verdicts, and the timer that RACK and the
//! tail loss probe share (RFC 8985 §6.3, §7.2). They never need it at once.

use super::recovery::{AckFacts, Path, Progress, Spurious, TimeoutFacts, Verdict, pto};
use super::{CaState, Connection, Timer};
use crate::base::counters::Counter;
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use crate::transport::Context;

/// How many segments make fast recovery possible: rrthresh (RFC 7765 §4).
const RR_THRESH: u32 = 4;
/// What a receiver that took back what it said it had is given to prove otherwise, at least.
const RENEGING_PATIENCE: Duration = Duration::from_millis(10);

impl Connection {
    /// What recovery needs to know of the path.
    pub(super) fn path(&self) -> Path {
        Path { srtt: self.rtt.srtt(), rttvar: self.rtt.rttvar(), min_rtt: self.rtt.min(), mss: self.mss() }
    }

    /// What an ACK, or the reordering timer, meant for congestion control and for what may go out.
    ///
    /// DEVIATION(RFC 4015 §3.2 (9)): after a spurious timeout SRTT is not set to what an echo from before it measures: the
    /// ACK of the first transmission may have been lost, and then that is our own timeout. The backoff stays until
    /// there is a sample (RFC 6298 §5), so that the next segment is not sent again too early.
    ///
    /// DEVIATION(RFC 4015 §3.2 (7)): the window is given back whole, not by FlightSize and the octets acknowledged.
    pub(super) fn follow_verdict(&mut self, verdict: &Verdict, acked: u32, cx: &mut Context) {
        let now = cx.now;
        self.tell_of_losses(now);
        if verdict.spurious.is_some() {
            let traffic = self.totals.traffic.record();
            traffic.spurious_undos = traffic.spurious_undos.saturating_add(1);
            cx.counters.count(match verdict.spurious {
                Some(Spurious::Timeout) => Counter::TcpSpuriousRtos,
                _ => Counter::TcpFullUndo,
            });
            self.congestion.on_spurious_loss();
        }
        let is_forgiven = self.forgives(verdict, cx);
        if verdict.recovered && !is_forgiven {
            self.congestion.on_recovered(now, self.recovery.pipe(&self.flight));
        }
        if verdict.entered {
            cx.counters.count(Counter::TcpFastRetrans);
            if !is_forgiven {
                self.react_to_loss(self.snd.outstanding(), now);
            }
        } else if verdict.probe_repaired {
            // RFC 8985 §7.4.2: there was a loss, and it is repaired.
            cx.counters.count(Counter::TcpLossProbeRecovery);
            self.react_to_loss(self.snd.outstanding() + acked, now);
            self.congestion.on_recovered(now, self.recovery.pipe(&self.flight));
        }
        self.recovery.pace_repair(&Progress {
            delivered: verdict.delivered,
            in_flight: self.recovery.pipe(&self.flight),
            ssthresh: self.congestion.window().ssthresh,
            mss: self.mss(),
            is_safe: acked > 0 && verdict.lost == 0,
        });
    }

    /// Congestion control hears of a loss.
    fn react_to_loss(&mut self, outstanding: u32, now: Instant) {
        self.note_reduced();
        let cwnd = self.congestion.window().cwnd;
        let outstanding = self.usage.flight_at_loss(outstanding, cwnd);
        self.congestion.on_loss(now, outstanding);
    }

    /// Octets that may go out: during fast recovery what PRR says, unless congestion control follows a model
    /// of the path and bounds recovery by its window; otherwise what the window leaves.
    pub(super) fn room(&self) -> u32 {
        let window = self.congestion.window();
        let cwnd = self.recovery.window().filter(|_| !self.congestion.is_rate_based()).unwrap_or(window.cwnd);
        let pipe = self.recovery.pipe(&self.flight);
        // With nothing out, nothing would come to make a part of a segment whole.
        if pipe == 0 { cwnd.max(self.mss()) } else { cwnd.saturating_sub(pipe) }
    }

    /// The oldest segment was sent again, which gets the time of a first transmission (RFC 6675 §6).
    pub(super) fn restart_timer_for_resent(&mut self, start: Seq, now: Instant) {
        if start == self.snd.una {
            self.timers.set(Timer::Retransmit, now + self.rtt.rto(&self.config));
        }
    }

    /// The timer of loss detection after an ACK.
    pub(super) fn arm_loss_detection(&mut self, look_again: Option<Instant>, is_advance: bool, now: Instant) {
        match look_again {
            Some(at) => self.timers.set(Timer::LossDetection, at),
            None if is_advance || !self.recovery.may_probe(&self.flight) => self.arm_tail_probe(now),
            None => {}
        }
    }

    /// Schedules a probe after something new was sent or acknowledged (RFC 8985 §7.2).
    pub(super) fn arm_tail_probe(&mut self, now: Instant) {
        if self.recovery.waits_for_order() {
            return;
        }
        if !self.config.tail_loss_probe || !self.state.is_synchronized() || !self.recovery.may_probe(&self.flight) {
            return self.timers.stop(Timer::LossDetection);
        }
        // RFC 5681 §4.2: an ACK may wait until there are two full segments. Smaller ones count by their octets.
        let may_be_delayed = self.snd.outstanding() < 2 * self.mss();
        let rto = self.timers.due(Timer::Retransmit).unwrap_or(now + self.rtt.rto(&self.config));
        let at = now + pto(self.rtt.srtt(), may_be_delayed);
        self.timers.set(Timer::LossDetection, at.min(rto));
    }

    /// RFC 8985 §7.3: a segment of new data if there is some and the peer has room, whatever the congestion window
    /// says; otherwise the last segment again.
    pub(super) fn plan_tail_probe(&self) -> Option<Range> {
        let (from, mss) = (self.snd.nxt, self.mss());
        let unsent = self.output.end().past(from).min(mss).min(self.snd.usable());
        if unsent > 0 && !self.flight.is_full() {
            return Some(Range::starting(from, unsent));
        }
        let last = self.flight.last_unsacked()?;
        // The segment as it was cut, with the FIN if that is behind it.
        let data = self.output.end().min(last.end).past(last.start);
        let start = last.start + data.saturating_sub(1) / mss * mss;
        (!last.end.after(self.snd.edge())).then(|| Range::new(start, last.end))
    }

    /// The timer of loss detection expired.
    pub(super) fn on_loss_detection_timeout(&mut self, cx: &mut Context) {
        if self.flight.is_empty() || self.is_window_closed() || !self.state.is_synchronized() {
            return;
        }
        if self.recovery.waits_for_order() {
            let facts = AckFacts {
                time: super::flight::AckTime { now: cx.now, echo: None, min_rtt: self.rtt.min() },
                una: self.snd.una,
                nxt: self.snd.nxt,
                acked: 0,
                delivery: Default::default(),
                dsack: None,
                is_duplicate: false,
                is_bare: false,
                sack: self.agreed.sack,
                may_send_new: false,
                path: self.path(),
            };
            let verdict = self.recovery.on_reordering_timeout(&facts, &mut self.flight);
            self.follow_verdict(&verdict, 0, cx);
            return self.arm_loss_detection(verdict.look_again, false, cx.now);
        }
        if self.recovery.may_probe(&self.flight) {
            // RFC 8985 §7.3: the RTO counts from the probe.
            self.pending.tail_probe = true;
            self.timers.set(Timer::Retransmit, cx.now + self.rtt.rto(&self.config));
        }
    }

    /// The retransmission timer expired for data: recovery and congestion control begin anew.
    pub(super) fn recover_from_timeout(&mut self, again: bool, cx: &mut Context) {
        if self.flight.has_reneged() {
            cx.counters.count(Counter::TcpSACKReneging);
        }
        let cwnd = self.congestion.window().cwnd;
        self.congestion.on_timeout(cx.now, self.usage.flight_at_loss(self.snd.outstanding(), cwnd), again);
        self.note_reduced();
        let facts = TimeoutFacts {
            now: cx.now,
            una: self.snd.una,
            nxt: self.snd.nxt,
            again,
            sack: self.agreed.sack,
            path: self.path(),
        };
        self.recovery.on_timeout(&facts, &mut self.flight);
        self.tell_of_losses(cx.now);
        self.timers.stop(Timer::LossDetection);
        self.pending.tail_probe = false;
    }

    /// RFC 6298 (5.3); with so little out that duplicates could not tell of a loss, the time that what is out has been
    /// out already counts (RFC 7765 §4).
    pub(super) fn restart_retransmit_timer(&mut self, now: Instant) {
        let Some(earliest) = self.flight.earliest_sent() else { return self.timers.stop(Timer::Retransmit) };
        let mut rto = self.rtt.rto(&self.config);
        let unsent = self.output.end().past(self.snd.nxt).div_ceil(self.mss());
        if unsent < RR_THRESH && self.flight.has_fewer_segments_than(RR_THRESH - unsent, self.mss()) {
            rto = rto.checked_sub(now.since(earliest)).filter(|rest| !rest.is_zero()).unwrap_or(rto);
        }
        self.timers.set(Timer::Retransmit, now + rto);
    }

    /// RFC 2018 §8: a receiver that has what it does not acknowledge took back what it said. It gets half a round trip to
    /// prove otherwise; then all is sent again.
    pub(super) fn watch_for_reneging(&mut self, now: Instant) {
        if self.flight.has_reneged() {
            let patience = (self.rtt.srtt().unwrap_or_default() / 2).max(RENEGING_PATIENCE);
            self.timers.set(Timer::Retransmit, now + patience);
        }
    }

    /// What recovery is doing.
    pub fn ca_state(&self) -> CaState {
        self.recovery.ca_state(&self.flight)
    }

    /// Segments of ours came out of the order they were sent in (RFC 8985 §6.2 step 3).
    pub fn reordering_seen(&self) -> bool {
        self.recovery.reordering_seen()
    }

    /// Octets at the peer beyond a gap.
    pub fn sacked_in_flight(&self) -> u32 {
        self.flight.sacked()
    }

    /// Duplicates that the peer told of.
    pub fn dsacks_received(&self) -> u32 {
        self.traffic().dsacks
    }

    /// Times that a reaction to loss was found to be a mistake and taken back.
    pub fn spurious_undos(&self) -> u32 {
        self.traffic().spurious_undos
    }
}
