//! Explicit congestion notification, both ways: RFC 3168.
//!
//! ```text
//!   data sender                    router                   data receiver
//!      | ECT(0) ------------------> full: CE ---------------> |
//!      | <--------------------------------------------- ECE   |  on every ACK
//!      | reduces its window, once a round trip                |
//!      | CWR -----------------------------------------------> |  ends ECE
//! ```
//!
//! DEVIATION(RFC 3168 §6.1.2): an ACK that echoes a mark may grow the window, by the little that one ACK is worth.
//!
//! What is sent again, what probes a closed window and what carries no data is not ECN-capable (RFC 3168 §6.1.4 to
//! §6.1.6). Not here: how far the window goes down (a matter of congestion control, RFC 8511), and the more accurate
//! feedback of RFC 9768.

use super::Connection;
use crate::base::seq::Seq;
use crate::base::time::Instant;
use crate::transport::tcp::config;
use crate::transport::tcp::segment::{Flags, Segment};

/// ECT(0): the sender understands a mark.
const ECT_0: u8 = 0b10;
/// CE: a router set the mark.
const CE: u8 = 0b11;
/// Where both stand in the traffic class.
const ECN_MASK: u8 = 0b11;

/// What one connection knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Ecn {
    /// Both ends do it.
    pub(super) is_agreed: bool,
    /// A mark arrived, and the peer has not said that it reduced its window.
    echoes: bool,
    /// The window was reduced, and the peer has not been told.
    owes_cwr: bool,
    /// The window was reduced, and what was out then is not yet acknowledged: a mark of before that is old news.
    is_reduced: bool,
    /// SND.NXT at that time.
    reduced_at: Seq,
}

/// The flags of our SYN (RFC 3168 §6.1.1), unless it had to be sent again: the flags may be why nobody answered
/// (§6.1.1.1).
pub(super) fn syn_flags(ecn: config::Ecn, is_again: bool) -> Flags {
    if ecn == config::Ecn::On && !is_again { Flags::ECE | Flags::CWR } else { Flags::NONE }
}

/// True if a SYN asks for ECN and we take part.
pub(in crate::transport::tcp) fn is_asked_for(ecn: config::Ecn, syn: &Segment) -> bool {
    ecn != config::Ecn::Off && syn.flags.has(Flags::ECE) && syn.flags.has(Flags::CWR)
}

impl Connection {
    /// The answer to our SYN agrees if it has ECE and not CWR (RFC 3168 §6.1.1).
    pub(super) fn agree_on_ecn(&mut self, syn_ack: &Segment) {
        let asked = syn_flags(self.config.ecn, self.snd.syn_was_lost) != Flags::NONE;
        self.ecn.is_agreed = asked && syn_ack.flags.has(Flags::ECE) && !syn_ack.flags.has(Flags::CWR);
    }

    /// A segment with text arrived: CWR ends the echo, and a mark begins it (RFC 3168 §6.1.3).
    pub(super) fn note_mark(&mut self, seg: &Segment) {
        if !self.ecn.is_agreed || seg.payload.is_empty() {
            return;
        }
        if seg.flags.has(Flags::CWR) {
            self.ecn.echoes = false;
        }
        if seg.traffic_class & ECN_MASK == CE {
            self.ecn.echoes = true;
        }
    }

    /// An acknowledgment arrived: the first in a round trip that echoes a mark reduces the window (RFC 3168 §6.1.2).
    pub(super) fn note_echo(&mut self, seg: &Segment, now: Instant) {
        self.ecn.is_reduced &= self.snd.una.before(self.ecn.reduced_at);
        if !self.ecn.is_agreed || !seg.flags.has(Flags::ECE) || self.ecn.is_reduced {
            return;
        }
        let cwnd = self.congestion.window().cwnd;
        self.congestion.on_ecn(now, self.usage.flight_at_loss(self.snd.outstanding(), cwnd));
        self.note_reduced();
    }

    /// The window was reduced, for a mark or a loss: the next new data says so.
    pub(super) fn note_reduced(&mut self) {
        if self.ecn.is_agreed {
            self.ecn.owes_cwr = true;
            self.ecn.is_reduced = true;
            self.ecn.reduced_at = self.snd.nxt;
        }
    }

    /// What the flags of every segment say of marks that arrived.
    pub(super) fn echo_flags(&self, flags: Flags) -> Flags {
        if self.ecn.echoes && flags.ack() && !flags.rst() { flags | Flags::ECE } else { flags }
    }

    /// New data leaves: its flags, and the ECN bits of its traffic class.
    pub(super) fn mark_new_data(&mut self, is_empty: bool) -> (Flags, u8) {
        if !self.ecn.is_agreed || is_empty {
            return (Flags::NONE, 0);
        }
        let cwr = std::mem::take(&mut self.ecn.owes_cwr);
        (if cwr { Flags::CWR } else { Flags::NONE }, ECT_0)
    }

    /// The traffic class: DSCP is the user's, the ECN bits are ours where they are in use.
    pub(super) fn traffic_class(&self, ecn: u8) -> u8 {
        if self.ecn.is_agreed { self.config.traffic_class & !ECN_MASK | ecn } else { self.config.traffic_class }
    }
}
