//! SEGMENT ARRIVES in SYN-SENT (RFC 9293 §3.10.7.3): the answer to our SYN, a crossing SYN (simultaneous
//! open, MUST-10), or a refusal.

use super::Connection;
use super::arrives::{Step, dropped};
use super::handshake::Agreed;
use super::interface::Error;
use super::output::AckDue;
use crate::base::drops::{DropReason, Outcome};
use crate::transport::Context;
use crate::transport::tcp::segment::Segment;
use crate::transport::tcp::state::State;
use std::ops::ControlFlow::{Break, Continue};

impl Connection {
    pub(super) fn arrives_in_syn_sent(&mut self, mut segment: Segment, cx: &mut Context) -> Step {
        let seg = &mut segment;
        self.check_ack_in_syn_sent(seg)?; //     first
        self.check_rst_in_syn_sent(seg, cx)?; // second
        //                                       third, security: there is none here
        self.check_syn_in_syn_sent(seg, cx)?; // fourth
        // RFC 9293: "If there are other controls or text in the segment, then continue processing at the sixth step".
        self.check_urg_bit(seg);
        self.process_text(seg, cx)?;
        self.check_fin_bit(seg, cx)
    }

    /// First: an ACK of something we did not send is refused.
    fn check_ack_in_syn_sent(&mut self, seg: &Segment) -> Step {
        if !seg.flags.ack() || (seg.ack.after(self.snd.iss) && seg.ack.at_or_before(self.snd.nxt)) {
            return Continue(());
        }
        if !seg.flags.rst() {
            self.refuse(seg.ack);
        }
        dropped(DropReason::TcpBadAck)
    }

    /// Second: a reset counts only if it acknowledges our SYN.
    fn check_rst_in_syn_sent(&mut self, seg: &Segment, cx: &mut Context) -> Step {
        if !seg.flags.rst() {
            return Continue(());
        }
        if !seg.flags.ack() {
            return dropped(DropReason::TcpBadReset);
        }
        self.fail(Error::Refused, cx);
        Break(Outcome::Consumed)
    }

    /// Fourth: the peer's SYN. With an ACK of ours the connection is open; without, the two SYNs crossed.
    fn check_syn_in_syn_sent(&mut self, seg: &mut Segment, cx: &mut Context) -> Step {
        if !seg.flags.syn() {
            return dropped(DropReason::TcpNoAck);
        }
        let offset = self.agreed.timestamps.map_or(0, |clock| clock.offset);
        self.agreed = Agreed::new(&self.config, &seg.options, offset, cx.now);
        self.on_peer_syn(seg.seq, seg.options.mss, cx.now);
        self.liveness.heard_at = cx.now;
        self.note_user_timeout(seg, cx);
        if !seg.flags.ack() {
            self.snd.set_window(seg.seq, self.snd.iss, u32::from(seg.window));
            self.agree_on_crossing_syn(seg);
            self.enter(State::SynReceived);
            self.pending.syn = true;
            // Data that came with it is not acknowledged by our SYN-ACK and comes again.
            return Break(Outcome::Consumed);
        }
        self.pending.syn = false;
        let was_syn_marked = self.agree_on_ecn(seg);
        self.pending.ack = AckDue::Now;
        self.on_syn_acknowledged(seg, cx);
        if was_syn_marked {
            self.reduce_for_marked_syn(cx.now);
        }
        // What follows begins after the SYN.
        seg.flags = seg.flags.without(crate::transport::tcp::segment::Flags::SYN);
        seg.seq += 1;
        let room = self.rcv.edge.past(seg.seq) as usize;
        seg.payload.truncate(room);
        Continue(())
    }
}
