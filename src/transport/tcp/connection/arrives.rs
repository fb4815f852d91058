//! SEGMENT ARRIVES (RFC 9293 §3.10.7), in the RFC's order, with the defences of RFC 5961 and the timestamps of
//! RFC 7323 where they belong.
//!
//! Each step is one function. `Continue` goes on to the next; `Break` ends with what became of the segment.

use super::interface::Error;
use super::output::AckDue;
use super::{CHALLENGES_PER_SECOND, Connection, Timer};
use crate::base::bucket::Bucket;
use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::transport::Context;
use crate::transport::tcp::segment::{Flags, Segment};
use crate::transport::tcp::state::State;
use std::ops::ControlFlow::{self, Break, Continue};

/// On to the next step, or done.
pub(super) type Step = ControlFlow<Outcome>;

pub(super) const fn dropped(reason: DropReason) -> Step {
    Break(Outcome::Dropped(reason))
}

impl Connection {
    /// A segment for this connection arrived. What is to be sent in answer waits in
    /// [`poll_transmit`](Self::poll_transmit).
    pub fn receive(&mut self, segment: Segment, cx: &mut Context) -> Outcome {
        self.count_received(&segment, cx.now);
        let step = match self.state {
            State::Closed | State::Listen => dropped(DropReason::TcpNoConnection),
            State::SynSent => self.arrives_in_syn_sent(segment, cx),
            _ => self.arrives_otherwise(segment, cx),
        };
        if self.flight.is_empty() {
            self.flight.settle();
            self.recovery.settle();
        }
        self.arm_timers(cx.now);
        match step {
            Break(outcome) => outcome,
            Continue(()) => Outcome::Consumed,
        }
    }

    /// RFC 9293 §3.10.7.4.
    fn arrives_otherwise(&mut self, mut segment: Segment, cx: &mut Context) -> Step {
        let seg = &mut segment;
        let octets = seg.payload.len() as u32;
        self.check_repeated_syn(seg, cx)?; //    RFC 7413: a SYN that opened the connection with its data
        self.check_timestamp(seg, cx)?; //       RFC 7323 §5.3 R1, before anything else
        self.check_sequence_number(seg, cx)?; // first
        self.check_rst_bit(seg, cx)?; //         second
        //                                       third, security and compartment: there are none here
        self.check_syn_bit(seg, cx)?; //         fourth
        self.check_ack_field(seg, cx)?; //       fifth
        self.note_codepoint(seg, octets); //     RFC 9768 §3.2: what is acceptable counts, whole
        self.check_urg_bit(seg); //              sixth
        self.process_text(seg, cx)?; //          seventh
        self.check_fin_bit(seg, cx) //           eighth
    }

    /// PAWS (RFC 7323 §5.3): a timestamp from before the last one makes the segment an old duplicate. A segment
    /// without timestamps on a connection that uses them is dropped (§3.2), but for a reset, and for the SYN of a
    /// peer that forgot the connection and is to hear of it (RFC 5961 §4.2).
    fn check_timestamp(&mut self, seg: &Segment, cx: &mut Context) -> Step {
        let Some(clock) = self.agreed.timestamps else { return Continue(()) };
        if seg.flags.rst() {
            return Continue(());
        }
        match seg.options.timestamps {
            Some(timestamps) if !clock.is_old(timestamps.value, cx.now) => Continue(()),
            Some(timestamps) if self.is_late_ack(seg, timestamps.value.wrapping_sub(clock.recent)) => Continue(()),
            Some(_) => {
                cx.counters.count(Counter::TcpPawsEstab);
                self.answer_unacceptable(seg, cx);
                dropped(DropReason::TcpPaws)
            }
            None if seg.flags.syn() => Continue(()),
            None => dropped(DropReason::TcpPaws),
        }
    }

    /// DEVIATION(RFC 7323 §5.3): an ACK that others overtook on the way is no old duplicate. It acknowledges nothing new,
    /// but its SACK blocks may tell something; where ACKs are reordered most would be lost. One from more than an RTO
    /// ago is dropped, `ago` being how far its timestamp lies before the last, in ticks.
    fn is_late_ack(&self, seg: &Segment, ago: u32) -> bool {
        let ticks = u128::from(ago.wrapping_neg());
        let is_bare = seg.is_empty() && !seg.flags.syn() && seg.flags.ack() && seg.seq == self.rcv.nxt;
        let window = u32::from(seg.window) << self.agreed.their_shift();
        let changes_nothing = seg.ack.before(self.snd.una) || (seg.ack == self.snd.una && window == self.snd.wnd);
        is_bare && changes_nothing && ticks <= self.rtt.rto(&self.config).as_millis()
    }

    /// First: is any of the segment in the window? If so, only that part is processed further.
    fn check_sequence_number(&mut self, seg: &mut Segment, cx: &mut Context) -> Step {
        let is_probe_of_closed_window = self.rcv.wnd() == 0 && seg.seq == self.rcv.nxt;
        if !self.rcv.is_acceptable(seg) && !is_probe_of_closed_window {
            if !seg.flags.rst() {
                self.note_syn_ack_again(seg);
                if seg.seq.before(self.rcv.nxt) && seg.seq + seg.len() == self.rcv.nxt {
                    // The last we acknowledged came again: our ACK was lost. The next one must echo this copy, or the
                    // peer would measure its own timeout.
                    self.take_timestamp(seg, cx);
                }
                self.note_duplicate(seg);
                self.answer_unacceptable(seg, cx);
                if self.state == State::TimeWait && seg.flags.fin() {
                    // A retransmitted FIN: our ACK of it was lost (eighth step, TIME-WAIT).
                    self.timers.set(Timer::Close, cx.now + self.config.time_wait);
                }
            }
            return dropped(DropReason::TcpOutOfWindow);
        }
        self.take_timestamp(seg, cx);
        self.note_user_timeout(seg, cx);
        self.liveness.heard_at = cx.now;
        self.liveness.keepalives = 0;
        self.trim_to_window(seg);
        Continue(())
    }

    /// RFC 7323 §5.3 R3: TS.Recent is the timestamp of what the last ACK waits for.
    fn take_timestamp(&mut self, seg: &Segment, cx: &Context) {
        if let (Some(clock), Some(timestamps)) = (&mut self.agreed.timestamps, seg.options.timestamps)
            && seg.seq.at_or_before(self.rcv.last_ack)
            && !clock.is_old(timestamps.value, cx.now)
            && !seg.flags.rst()
        {
            clock.accept(timestamps.value, cx.now);
        }
    }

    /// Cuts off what is outside of the window. Where the window is closed nothing is left but ACK, RST and URG,
    /// which are processed all the same (RFC 9293 MUST-66).
    fn trim_to_window(&mut self, seg: &mut Segment) {
        if seg.is_empty() || seg.flags.syn() {
            return;
        }
        let before = self.rcv.nxt.past(seg.seq).min(seg.payload.len() as u32);
        if before > 0 {
            self.note_duplicate(seg);
            self.pending.ack = AckDue::Now;
            seg.payload = seg.payload.slice(before as usize..);
            seg.seq += before;
        }
        let room = self.rcv.edge.past(seg.seq);
        if seg.len() > room {
            seg.payload.truncate(room as usize);
            seg.flags = seg.flags.without(Flags::FIN);
            self.pending.ack = AckDue::Now;
        }
    }

    /// Octets that were received before came again (RFC 2883 §4.1).
    fn note_duplicate(&mut self, seg: &Segment) {
        let received = Range::new(seg.seq, self.rcv.nxt);
        let twice = Range::starting(seg.seq, seg.payload.len() as u32).intersection(received);
        if self.agreed.sack && !twice.is_empty() {
            self.rcv.on_duplicate(twice);
        }
    }

    /// An unacceptable segment is answered by an ACK. Those without data are limited, so that two ends which
    /// disagree do not answer each other for ever.
    fn answer_unacceptable(&mut self, seg: &Segment, cx: &mut Context) {
        if seg.payload.is_empty() && !seg.flags.fin() {
            self.challenge(cx);
        } else {
            self.pending.ack = AckDue::Now;
        }
    }

    /// Sends a challenge ACK (RFC 5961 §3.2) unless there were too many (§7).
    pub(super) fn challenge(&mut self, cx: &mut Context) {
        let limit = || Bucket::new(CHALLENGES_PER_SECOND, CHALLENGES_PER_SECOND);
        if self.extras().challenges.get_or_insert_with(limit).take(cx.now) {
            cx.counters.count(Counter::TcpChallengeAck);
            self.pending.challenge |= self.pending.ack != AckDue::Now;
            self.pending.ack = AckDue::Now;
        } else {
            cx.counters.count(Counter::TcpChallengeAckSkipped);
        }
    }

    /// Takes back a challenge that waits to be sent, for an owner whose limit for all connections is reached. True
    /// if there was one.
    pub fn withhold_challenge(&mut self) -> bool {
        let challenge = std::mem::take(&mut self.pending.challenge);
        if challenge {
            self.pending.ack = AckDue::No;
        }
        challenge
    }

    /// Second: RST. Only the exact next sequence number resets; any other in the window is answered by a challenge
    /// (RFC 5961 §3.2; RFC 9293 §3.10.7.4). In TIME-WAIT it is ignored (RFC 1337).
    fn check_rst_bit(&mut self, seg: &Segment, cx: &mut Context) -> Step {
        if !seg.flags.rst() {
            return Continue(());
        }
        if seg.seq != self.rcv.nxt {
            self.challenge(cx);
            return dropped(DropReason::TcpBadReset);
        }
        match self.state {
            State::TimeWait => return dropped(DropReason::TcpBadReset),
            State::SynReceived => self.fail(Error::Refused, cx),
            _ => self.fail(Error::Reset, cx),
        }
        Break(Outcome::Consumed)
    }

    /// Fourth: a SYN inside a connection is answered by a challenge (RFC 5961 §4.2).
    fn check_syn_bit(&mut self, seg: &Segment, cx: &mut Context) -> Step {
        if !seg.flags.syn() {
            return Continue(());
        }
        self.challenge(cx);
        dropped(DropReason::TcpBadSyn)
    }

    /// Answers with `<SEQ=seq><CTL=RST>` without leaving the state.
    pub(super) fn refuse(&mut self, seq: Seq) {
        self.pending.reset = Some(super::output::Reset { seq, with_ack: false });
    }
}
