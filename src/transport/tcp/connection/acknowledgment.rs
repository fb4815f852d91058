//! The fifth step of SEGMENT ARRIVES: the ACK field (RFC 9293 §3.10.7.4), as a pipeline. What left the network
//! (`flight`), how long it took (`rtt`), what will not arrive (`recovery`), how much may be out
//! (`congestion`), how much of it now (`recovery` again: PRR).

use super::arrives::{Step, dropped};
use super::congestion::{self, AckSample, Start};
use super::flight::{AckTime, Delivery};
use super::recovery::{AckFacts, duplicate};
use super::{Connection, Timer};
use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::base::ranges::Range;
use crate::base::time::{Duration, Instant};
use crate::transport::Context;
use crate::transport::tcp::config::{Algorithm, Recall};
use crate::transport::tcp::segment::Segment;
use crate::transport::tcp::state::State;
use std::ops::ControlFlow::{Break, Continue};

/// One tick of the timestamp clock.
const TIMESTAMP_TICK: Duration = Duration::from_millis(1);

impl Connection {
    /// Fifth: the ACK field.
    pub(super) fn check_ack_field(&mut self, seg: &Segment, cx: &mut Context) -> Step {
        if !seg.flags.ack() {
            return dropped(DropReason::TcpNoAck);
        }
        if self.state == State::SynReceived {
            self.check_ack_of_syn(seg, cx)?;
        } else {
            self.check_ack_is_plausible(seg, cx)?;
            self.process_acknowledgment(seg, cx);
        }
        self.follow_our_fin(cx)
    }

    /// SYN-RECEIVED: the ACK completes the handshake or is refused.
    fn check_ack_of_syn(&mut self, seg: &Segment, cx: &mut Context) -> Step {
        if !(seg.ack.after(self.snd.una) && seg.ack.at_or_before(self.snd.nxt)) {
            self.refuse(seg.ack);
            return dropped(DropReason::TcpBadAck);
        }
        self.pending.syn = false;
        self.on_syn_acknowledged(seg, cx);
        self.note_handshake_feedback(seg, cx);
        Continue(())
    }

    /// RFC 5961 §5.2: only ACKs of what is out, or was out within the largest window, are believed.
    fn check_ack_is_plausible(&mut self, seg: &Segment, cx: &mut Context) -> Step {
        let oldest = self.snd.una - self.snd.max_wnd;
        if seg.ack.after(self.snd.nxt) || seg.ack.before(oldest) {
            self.challenge(cx);
            return dropped(DropReason::TcpBadAck);
        }
        Continue(())
    }

    /// Our SYN is acknowledged: ESTABLISHED, or at once FIN-WAIT-1 if the user closed meanwhile.
    pub(super) fn on_syn_acknowledged(&mut self, seg: &Segment, cx: &mut Context) {
        // Data that went with the SYN or after it is settled below.
        let una = self.snd.iss + 1;
        let time = AckTime { now: cx.now, ..AckTime::default() };
        let acked = self.flight.on_ack(una, &time);
        self.snd.una = una;
        // The window of a segment with SYN is never scaled (RFC 7323 §2.2).
        let shift = if seg.flags.syn() { 0 } else { self.agreed.their_shift() };
        self.snd.set_window(seg.seq, seg.ack, u32::from(seg.window) << shift);
        if self.rtt.srtt().is_none()
            && let Some(rtt) = acked.rtt.or_else(|| self.echoed_rtt(seg, &acked, cx.now))
        {
            self.rtt.on_sample(rtt);
        }
        if self.snd.syn_was_lost {
            self.rtt.on_handshake_after_lost_syn();
        }
        self.start_path_search(cx.now);
        if self.flight.is_empty() || !self.is_answering_fast() {
            self.start_congestion_control(cx);
        }
        self.timers.stop(Timer::Retransmit);
        self.liveness.progress_at = cx.now;
        self.enter(State::Established);
        if self.snd.closing {
            self.enter(State::FinWait1);
        }
        self.settle_fast_open(seg, cx);
    }

    /// The round trip and the MSS are known: the window is that of RFC 6928.
    pub(super) fn start_congestion_control(&mut self, cx: &mut Context) {
        let recalled = self.extras.as_mut().and_then(|extras| extras.recalled.take());
        self.shed_extras();
        if let Some(metrics) = &recalled {
            self.rtt.on_recalled(metrics.srtt, metrics.rttvar);
        }
        let mut start = Start {
            now: cx.now,
            mss: self.mss(),
            syn_was_lost: self.snd.syn_was_lost,
            srtt: self.rtt.srtt(),
            ssthresh: recalled.and_then(|metrics| metrics.ssthresh).filter(|_| self.config.recall == Recall::All),
            seed: 0,
        };
        if matches!(self.config.congestion, Algorithm::Bbr | Algorithm::Bbr1) {
            start.seed = cx.random.next_u64();
        }
        self.congestion = congestion::start(&self.config, start);
        if self.congestion.is_rate_based() {
            self.flight.measure();
        }
    }

    /// Tells congestion control of each record found lost.
    pub(super) fn tell_of_losses(&mut self, now: Instant) {
        for packet in self.flight.take_losses() {
            self.congestion.on_packet_lost(&packet, now);
        }
    }

    /// The rate of delivery is the application's while that is the limit, and congestion control's own while it holds
    /// back on purpose.
    pub(super) fn note_app_limited(&mut self) {
        if self.flight.delivery().is_none() {
            return;
        }
        let pipe = self.recovery.pipe(&self.flight);
        let has_more = self.output.end().past(self.snd.nxt) >= self.mss() || self.flight.lost() > 0;
        // A user that keeps the buffer full waits for us, not we for it.
        let is_waited_for = !has_more && self.send_room() >= self.send_size() / 2;
        let is_limited = is_waited_for && pipe < self.congestion.window().cwnd || self.congestion.is_holding_back();
        if let Some(delivery) = self.flight.delivery().filter(|_| is_limited) {
            delivery.on_app_limited(pipe);
        }
    }

    /// Advances SND.UNA, updates the send window, takes samples and tells recovery and congestion control.
    pub(super) fn process_acknowledgment(&mut self, seg: &Segment, cx: &mut Context) {
        let now = cx.now;
        let time = self.ack_time(seg, now);
        let shift = if seg.flags.syn() { 0 } else { self.agreed.their_shift() };
        let window = u32::from(seg.window) << shift;
        let in_flight_before = self.recovery.pipe(&self.flight);
        // RFC 5681 §2, "duplicate acknowledgment".
        let is_duplicate =
            seg.ack == self.snd.una && !self.flight.is_empty() && seg.is_empty() && window == self.snd.wnd;
        let acked_bytes = seg.ack.past(self.snd.una);
        let advanced = self.advance_una(seg, &time);
        if seg.ack.at_or_after(self.snd.una) {
            self.take_window(seg, window);
        }
        if seg.ack.at_or_after(self.snd.una) {
            self.note_echo(seg, now);
        }
        self.settle_path_probe(cx);
        let (selected, dsack) = self.take_sack(seg, &time, cx);
        self.note_feedback(seg, advanced.map_or(0, |acked| acked.octets) + selected.octets, cx);
        let is_answer_to_probe = self.recovery.has_probe_out() && seg.is_empty();
        if advanced.is_none() && selected.sacked == 0 && !is_duplicate && dsack.is_none() && !is_answer_to_probe {
            return;
        }
        let acked = advanced.unwrap_or_default();
        let delivery = acked.and(selected);
        if selected.sacked > 0 {
            self.tell_of_room();
        }
        self.count_delivered(delivery.octets, now);
        if delivery.reordered.is_some() {
            let traffic = self.totals.traffic.record();
            traffic.reorderings = traffic.reorderings.saturating_add(1);
        }
        let rtt = delivery.rtt.or_else(|| self.echoed_rtt(seg, &acked, now));
        if let Some(rtt) = rtt {
            self.rtt.on_sample(rtt);
        }
        let facts = AckFacts {
            time,
            una: self.snd.una,
            nxt: self.snd.nxt,
            acked: acked_bytes,
            delivery,
            dsack,
            is_duplicate,
            is_bare: seg.is_empty() && seg.options.sack.is_empty(),
            sack: self.agreed.sack,
            may_send_new: self.has_unsent() && self.snd.usable() > 0,
            path: self.path(),
        };
        let verdict = self.recovery.on_ack(&facts, &mut self.flight);
        self.follow_verdict(&verdict, acked_bytes, cx);
        if advanced.is_some() {
            self.pending.tail_probe = false;
            self.restart_retransmit_timer(now);
        }
        self.watch_for_reneging(now);
        self.arm_loss_detection(verdict.look_again, advanced.is_some(), now);
        let in_flight = self.recovery.pipe(&self.flight);
        let app_limited = self.usage.is_app_limited(self.congestion.window(), facts.path.mss);
        self.congestion.on_ack(&AckSample {
            now,
            una: self.snd.una,
            nxt: self.snd.nxt,
            acked_bytes,
            delivered_bytes: delivery.octets,
            lost_bytes: verdict.lost,
            in_flight_before_bytes: in_flight_before,
            in_flight_bytes: in_flight,
            rtt,
            srtt: self.rtt.srtt(),
            app_limited,
            phase: self.recovery.phase(),
            rate: self.flight.take_rate_sample(self.rtt.min()),
        });
        self.note_app_limited();
        self.validate_window(acked_bytes, in_flight, now);
    }

    /// Notes how much of the window was used, and gives it up by half for each period in which it was not
    /// (RFC 7661 §4.4.3).
    fn validate_window(&mut self, acked: u32, in_flight: u32, now: Instant) {
        let cwnd = self.congestion.window().cwnd;
        let srtt = self.rtt.srtt().unwrap_or_default();
        let periods = self.usage.on_ack((self.snd.una, self.snd.nxt), (acked, in_flight), cwnd, srtt, now);
        (0..periods).for_each(|_| self.congestion.on_unused());
    }

    /// When the ACK came, and what its timestamp says about what it answers.
    fn ack_time(&self, seg: &Segment, now: Instant) -> AckTime {
        let echo = self.echo_age(seg, now).map(|age| (now - age).as_millis());
        AckTime { now, echo, min_rtt: self.rtt.min() }
    }

    /// How long ago the timestamp was sent that the segment echoes.
    fn echo_age(&self, seg: &Segment, now: Instant) -> Option<Duration> {
        self.agreed.timestamps?.elapsed(seg.options.timestamps?.echo, now)
    }

    /// Moves SND.UNA to the acknowledgment and lets go of what it covers.
    fn advance_una(&mut self, seg: &Segment, time: &AckTime) -> Option<Delivery> {
        if !seg.ack.after(self.snd.una) {
            return None;
        }
        let now = time.now;
        let acked = self.flight.on_ack(seg.ack, time);
        let before = self.output.len();
        self.snd.una = seg.ack;
        self.output.advance(seg.ack);
        self.totals.bytes_acked += (before - self.output.len()) as u64;
        self.liveness.progress_at = now;
        self.liveness.soft_error = None;
        if self.snd.small_end.before(seg.ack) {
            self.snd.small_end = seg.ack;
        }
        if self.urgent().snd_up.is_some_and(|up| up.at_or_before(seg.ack)) {
            self.extras().urgent.snd_up = None;
            self.shed_extras();
        }
        self.tell_of_room();
        Some(acked)
    }

    fn take_window(&mut self, seg: &Segment, window: u32) {
        let was_closed = self.snd.wnd == 0;
        self.snd.update_window(seg.seq, seg.ack, window);
        if self.snd.wnd == 0 {
            // The peer lives: its window may stay closed for ever (RFC 9293 MUST-37).
            self.liveness.progress_at = self.liveness.heard_at;
        } else if was_closed {
            if self.liveness.probes > 0 {
                // What was probed with was not taken; it goes out with the rest, and nobody is to blame.
                self.flight.mark_first_lost(u32::MAX / 4);
            }
            self.liveness.probes = 0;
            self.timers.stop(Timer::Persist);
        }
    }

    /// What the SACK blocks tell: what arrived beyond a gap, and what arrived twice (RFC 2883).
    fn take_sack(&mut self, seg: &Segment, time: &AckTime, cx: &mut Context) -> (Delivery, Option<Range>) {
        if !self.agreed.sack || seg.options.sack.is_empty() {
            return (Delivery::default(), None);
        }
        let dsack = duplicate(seg.ack, &seg.options.sack);
        if dsack.is_some() {
            let traffic = self.totals.traffic.record();
            traffic.dsacks = traffic.dsacks.saturating_add(1);
            cx.counters.count(Counter::TcpDSACKRecv);
        }
        (self.flight.on_sack(&seg.options.sack, time), dsack)
    }

    /// RTTM (RFC 7323 §4): the echoed timestamp says when what is acknowledged was sent, also if it was sent twice. An
    /// echo from before it was last sent is no sample: the ACK of the first transmission may have been lost, and
    /// what this one measures is then our own timeout.
    fn echoed_rtt(&self, seg: &Segment, acked: &Delivery, now: Instant) -> Option<Duration> {
        let elapsed = self.echo_age(seg, now)?;
        (elapsed <= acked.since_sent? + TIMESTAMP_TICK).then_some(elapsed)
    }

    /// What the acknowledgment of our FIN does to the state.
    fn follow_our_fin(&mut self, cx: &mut Context) -> Step {
        let is_acknowledged = self.snd.closing && self.snd.una.after(self.output.end());
        match self.state {
            State::FinWait1 if is_acknowledged => {
                self.enter(State::FinWait2);
                if self.user.is_gone {
                    self.timers.set(Timer::Close, cx.now + self.config.fin_wait_2);
                }
            }
            State::Closing if is_acknowledged => self.enter_time_wait(cx.now),
            State::LastAck if is_acknowledged => {
                self.enter(State::Closed);
                return Break(Outcome::Consumed);
            }
            _ => {}
        }
        Continue(())
    }

    pub(super) fn enter_time_wait(&mut self, now: Instant) {
        self.enter(State::TimeWait);
        self.timers.set(Timer::Close, now + self.config.time_wait);
    }
}
