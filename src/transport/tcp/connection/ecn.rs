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
//! §6.1.6).
//!
//! | file | question it answers |
//! |---|---|
//! | `negotiation` | which ECN is it (RFC 3168 §6.1.1, RFC 9768 §3.1)? |
//! | `accurate` | what does that of RFC 9768 do to handshake, segments and ACKs? |
//! | `receiver` | what is counted of what arrives, and told? |
//! | `sender` | what does the peer tell, and can it be true? |
//!
//! Not here: how far the window goes down (a matter of congestion control, RFC 8511).

mod accurate;
mod negotiation;
mod receiver;
mod sender;

pub use negotiation::{Agreement, Codepoint, Mode};

pub(super) use accurate::Accurate;

use super::Connection;
use crate::base::seq::Seq;
use crate::base::time::Instant;
use crate::transport::tcp::segment::{Flags, Segment};

/// ECT(0): the sender understands a mark.
const ECT_0: u8 = 0b10;

/// What one connection knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Ecn {
    mode: Mode,
    facts: Facts,
    /// SND.NXT when the window was last reduced.
    reduced_at: Seq,
}

/// What is true at the moment, a bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Facts(u8);

impl Facts {
    /// The peer may know of no ECN after all: nothing is sent that could be marked.
    const DOUBTFUL: u8 = 1 << 0;
    /// Something arrived that could be marked.
    const SEEN: u8 = 1 << 1;
    /// A mark arrived, and the peer has not said that it reduced its window (RFC 3168).
    const ECHOES: u8 = 1 << 2;
    /// The window was reduced, and the peer has not been told (RFC 3168).
    const OWES_CWR: u8 = 1 << 3;
    /// The window was reduced, and what was out then is not yet acknowledged: a mark of before that is old news.
    const REDUCED: u8 = 1 << 4;

    fn has(self, fact: u8) -> bool {
        self.0 & fact != 0
    }

    fn set(&mut self, fact: u8, is_true: bool) {
        self.0 = if is_true { self.0 | fact } else { self.0 & !fact };
    }
}

/// The ACE field of what leaves before anything was counted (RFC 9768 §3.2.1).
pub(in crate::transport::tcp) fn initial_ace() -> u8 {
    receiver::Receiver::default().ace()
}

/// The AccECN options of a SYN-ACK that a half-open record sends, the first that fits (RFC 9768 §3.2.3.2.1).
pub(in crate::transport::tcp) fn initial_options() -> receiver::Choices {
    receiver::Receiver::default().test_choices()
}

impl Ecn {
    /// How marks are told of.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// True if something arrived that could be marked.
    pub(super) fn was_seen(&self) -> bool {
        self.facts.has(Facts::SEEN)
    }
}

impl Connection {
    /// The flags of our SYN, or of our SYN-ACK.
    pub(super) fn syn_ecn_flags(&mut self, is_answer: bool) -> Flags {
        if !is_answer {
            return negotiation::syn_flags(self.config.ecn, self.rtt.backoff);
        }
        let n = self.rtt.backoff.min(u32::from(u8::MAX)) as u8;
        self.change_agreement(|agreement| {
            if n > 0 {
                agreement.on_timeout(n);
            }
            agreement.answer()
        })
    }

    fn change_agreement<R>(&mut self, change: impl FnOnce(&mut Agreement) -> R) -> R {
        let mut agreement = match self.accurate() {
            Some(accurate) => accurate.agreement(),
            None => {
                let is_doubtful = self.ecn.facts.has(Facts::DOUBTFUL);
                Agreement { is_doubtful, ..Agreement::on(self.ecn.mode) }
            }
        };
        let result = change(&mut agreement);
        self.ecn.facts.set(Facts::DOUBTFUL, agreement.is_doubtful);
        self.keep_agreement(agreement);
        result
    }

    /// A SYN is answered, or was, with this agreement.
    pub(super) fn agree_as_responder(&mut self, agreement: Agreement) {
        self.ecn.mode = agreement.mode;
        self.ecn.facts.set(Facts::DOUBTFUL, agreement.is_doubtful);
        if agreement.mode == Mode::Accurate {
            self.begin_accurate_as_responder(agreement);
        }
    }

    /// The peer's SYN crossed ours: what it asks for is agreed on, if ours asked as well (RFC 9768 §3.1.2).
    pub(super) fn agree_on_crossing_syn(&mut self, syn: &Segment) {
        if negotiation::syn_flags(self.config.ecn, self.rtt.backoff) != Flags::NONE {
            self.agree_as_responder(Agreement::with(self.config.ecn, syn));
        }
    }

    /// The answer to our SYN agrees, or does not. True if it says that the SYN met congestion.
    pub(super) fn agree_on_ecn(&mut self, syn_ack: &Segment) -> bool {
        let (mode, arrived) = negotiation::answered(self.config.ecn, syn_ack, self.snd.syn_was_lost);
        self.ecn.mode = mode;
        if mode == Mode::Accurate {
            self.begin_accurate_as_initiator(arrived, syn_ack);
        }
        arrived == Codepoint::Ce
    }

    /// The SYN that opened the connection came again. False if it asks for what can't be (RFC 9768 §3.1.5).
    pub(super) fn note_syn_again(&mut self, syn: &Segment) -> bool {
        let ecn = self.config.ecn;
        self.change_agreement(|agreement| agreement.on_syn_again(ecn, syn))
    }

    /// A segment with text arrived: CWR ends the echo, and a mark begins it (RFC 3168 §6.1.3).
    pub(super) fn note_mark(&mut self, seg: &Segment) {
        if self.ecn.mode() != Mode::Classic || seg.payload.is_empty() {
            return;
        }
        if seg.flags.has(Flags::CWR) {
            self.ecn.facts.set(Facts::ECHOES, false);
        }
        if Codepoint::of(seg.traffic_class) == Codepoint::Ce {
            self.ecn.facts.set(Facts::ECHOES, true);
        }
    }

    /// An acknowledgment arrived: the first in a round trip that echoes a mark reduces the window (RFC 3168 §6.1.2).
    pub(super) fn note_echo(&mut self, seg: &Segment, now: Instant) {
        if self.snd.una.at_or_after(self.ecn.reduced_at) {
            self.ecn.facts.set(Facts::REDUCED, false);
        }
        if self.ecn.mode() == Mode::Classic && seg.flags.has(Flags::ECE) {
            self.reduce_for_mark(now);
        }
    }

    /// A mark was told of. The window is reduced once in a round trip, however many there are.
    fn reduce_for_mark(&mut self, now: Instant) {
        if self.ecn.facts.has(Facts::REDUCED) {
            return;
        }
        let cwnd = self.congestion.window().cwnd;
        self.congestion.on_ecn(now, self.usage.flight_at_loss(self.snd.outstanding(), cwnd));
        self.note_reduced();
    }

    /// Our SYN met congestion (RFC 9768 §3.2.2.2): less than the initial window goes out.
    pub(super) fn reduce_for_marked_syn(&mut self, now: Instant) {
        let cwnd = self.congestion.window().cwnd;
        self.congestion.on_ecn(now, cwnd);
        self.note_reduced();
    }

    /// The window was reduced, for a mark or a loss: with RFC 3168 the next new data says so.
    pub(super) fn note_reduced(&mut self) {
        if self.ecn.mode() != Mode::Off {
            self.ecn.facts.set(Facts::OWES_CWR, self.ecn.mode() == Mode::Classic);
            self.ecn.facts.set(Facts::REDUCED, true);
            self.ecn.reduced_at = self.snd.nxt;
        }
    }

    /// What the flags of every segment say of marks that arrived; `is_pure` if it has neither data nor SACK blocks.
    pub(super) fn echo_flags(&mut self, flags: Flags, is_pure: bool) -> Flags {
        match self.ecn.mode() {
            Mode::Classic if self.ecn.facts.has(Facts::ECHOES) && !flags.rst() => flags | Flags::ECE,
            Mode::Accurate => self.ace_flags(flags, is_pure),
            _ => flags,
        }
    }

    /// New data leaves: its flags, and the ECN bits of its traffic class.
    pub(super) fn mark_new_data(&mut self, is_empty: bool) -> (Flags, u8) {
        if self.ecn.mode() == Mode::Off || is_empty {
            return (Flags::NONE, 0);
        }
        let cwr = self.ecn.facts.has(Facts::OWES_CWR);
        self.ecn.facts.set(Facts::OWES_CWR, false);
        let is_doubtful = self.ecn.facts.has(Facts::DOUBTFUL) || self.accurate().is_some_and(Accurate::is_mangled);
        (if cwr { Flags::CWR } else { Flags::NONE }, if is_doubtful { 0 } else { ECT_0 })
    }
}
