//! The sixth to eighth step of SEGMENT ARRIVES: urgent pointer, text and FIN (RFC 9293 §3.10.7.4), and when an
//! ACK is due for them (§3.8.6.3, RFC 5681 §4.2).

use super::Connection;
use super::arrives::{Step, dropped};
use super::interface::Readiness;
use super::output::AckDue;
use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::base::ranges::Range;
use crate::transport::Context;
use crate::transport::tcp::segment::Segment;
use crate::transport::tcp::state::State;
use std::ops::ControlFlow::{Break, Continue};

impl Connection {
    /// Sixth: the urgent pointer. The data stays in line (RFC 6093 §3.4); the user is told that there is some and
    /// may ask how much (RFC 9293 MUST-32, MUST-33).
    pub(super) fn check_urg_bit(&mut self, seg: &Segment) {
        if !seg.flags.urg() || !self.state.may_receive() {
            return;
        }
        let up = seg.seq + u32::from(seg.urgent);
        if self.urgent().rcv_up.is_none_or(|known| up.after(known)) && up.after(self.read_seq()) {
            self.extras().urgent.rcv_up = Some(up);
            self.user.readiness.add(Readiness::URGENT);
        }
    }

    /// Seventh: the text.
    pub(super) fn process_text(&mut self, seg: &mut Segment, cx: &mut Context) -> Step {
        self.note_fin(seg);
        if seg.payload.is_empty() || !self.state.may_receive() {
            return Continue(());
        }
        if self.user.is_gone {
            // RFC 9293 §3.6.1 and SHLD-3: nobody will read this, and the peer must know.
            self.reset_peer(cx);
            return dropped(DropReason::TcpDataAfterClose);
        }
        self.note_mark(seg);
        let segment_size = seg.segment_size.map_or(u32::MAX, u32::from);
        self.rcv.on_segment_size(segment_size.min(seg.payload.len() as u32));
        if seg.seq.after(self.rcv.nxt) {
            return self.hold_text(seg, cx);
        }
        let had_gap = self.input.held_len() > 0;
        let unread = self.input.ready_len();
        let nxt = self.input.append(self.rcv.nxt, std::mem::take(&mut seg.payload));
        self.totals.bytes_received += u64::from(nxt - self.rcv.nxt);
        self.rcv.nxt = nxt;
        if self.input.held_len() == 0 {
            self.rcv.clear_recent();
        }
        self.user.readiness.add(Readiness::READABLE);
        self.tune_receive_buffer(unread, cx.now);
        self.acknowledge_text(had_gap);
        match self.check_fin_bit(seg, cx) {
            Continue(()) => Break(Outcome::Delivered),
            done => done,
        }
    }

    /// Text beyond a gap is kept (RFC 9293 SHLD-31) and acknowledged at once, so that the peer learns of the gap
    /// (RFC 5681 §4.2).
    fn hold_text(&mut self, seg: &mut Segment, cx: &mut Context) -> Step {
        self.pending.ack = AckDue::Now;
        if !self.agreed.sack {
            // Without SACK the peer counts ACKs; they must not be joined.
            self.pending.duplicates = self.pending.duplicates.saturating_add(1);
        }
        let arrived = Range::starting(seg.seq, seg.payload.len() as u32);
        let twice = self.input.held_ranges().map(|held| held.intersection(arrived)).find(|twice| !twice.is_empty());
        let Ok(kept) = self.input.hold(seg.seq, std::mem::take(&mut seg.payload)) else {
            return dropped(DropReason::TcpReassemblyFull);
        };
        self.rcv.on_out_of_order(seg.seq);
        if let Some(twice) = twice.filter(|_| self.agreed.sack) {
            // RFC 2883 §4.2: the block that holds it follows in the ACK.
            self.rcv.on_duplicate(twice);
        }
        cx.counters.add(Counter::TcpOfoQueue, u64::from(kept));
        Break(Outcome::Consumed)
    }

    /// At once for every second full-sized segment (RFC 9293 SHLD-19) and for what fills a gap (RFC 5681 §4.2);
    /// otherwise after a delay (SHLD-18), which the first segments of a connection don't wait for: its peer counts
    /// ACKs to get under way.
    fn acknowledge_text(&mut self, had_gap: bool) {
        let unacknowledged = self.rcv.nxt - self.rcv.last_ack;
        let is_young = self.rcv.quick_acks > 0;
        self.rcv.quick_acks = self.rcv.quick_acks.saturating_sub(1);
        let is_second = unacknowledged >= 2 * self.rcv.full_segment;
        let at_once = had_gap || is_second || is_young || self.config.delayed_ack.is_none();
        if at_once {
            self.pending.ack = AckDue::Now;
        } else if self.pending.ack == AckDue::No {
            self.pending.ack = AckDue::Delayed;
        }
    }

    /// Remembers where the peer's FIN stands; data beyond it is not believed.
    fn note_fin(&mut self, seg: &mut Segment) {
        if seg.flags.fin() && self.state.may_receive() && self.rcv.fin.is_none() {
            let fin = seg.seq + seg.payload.len() as u32;
            if self.input.held_end().is_none_or(|end| end.at_or_before(fin)) {
                self.rcv.fin = Some(fin);
            }
        }
        if let Some(fin) = self.rcv.fin {
            let room = fin.past(seg.seq) as usize;
            seg.payload.truncate(room);
        }
    }

    /// Eighth: the FIN, once everything before it is received.
    pub(super) fn check_fin_bit(&mut self, seg: &Segment, cx: &mut Context) -> Step {
        if seg.flags.fin() && self.state.is_synchronized() {
            // Also one that came again, or that must wait for what is missing before it.
            self.pending.ack = AckDue::Now;
        }
        if self.rcv.fin != Some(self.rcv.nxt) || !self.state.may_receive() {
            return Continue(());
        }
        self.rcv.nxt += 1;
        self.pending.ack = AckDue::Now;
        self.user.readiness.add(Readiness::READABLE);
        match self.state {
            State::Established => self.enter(State::CloseWait),
            // The fifth step has seen to the ACK of our FIN: if it had come, this would be FIN-WAIT-2.
            State::FinWait1 => self.enter(State::Closing),
            State::FinWait2 => self.enter_time_wait(cx.now),
            _ => {}
        }
        Break(Outcome::Consumed)
    }
}
