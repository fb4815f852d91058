//! What two hosts agree on about ECN: RFC 3168 §6.1.1, RFC 9768 §3.1.
//!
//! ```text
//!   SYN        AE CWR ECE        SYN-ACK    AE CWR ECE
//!   no ECN      0  0   0                     0  0   0
//!   RFC 3168    0  1   1                     0  0   1
//!   RFC 9768    1  1   1                     0  1   0   the SYN came without ECT
//!                                            0  1   1   with ECT(1)
//!                                            1  0   0   with ECT(0)
//!                                            1  1   0   with CE
//! ```
//!
//! The four answers are the handshake encoding, with which the initiator tells in turn how the SYN-ACK came (RFC 9768
//! §3.2.2.1). What was agreed on with the first SYN, or the first SYN-ACK, holds for good (§3.1.5); a later one without
//! ECN only ends the sending of ECT.

use crate::transport::tcp::config::{self, ECN_MASK};
use crate::transport::tcp::segment::{Flags, Segment};

/// The ECN field of an IP header (RFC 3168 §5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Codepoint {
    /// The transport does not know marks.
    #[default]
    NotEct,
    /// ECT(1).
    Ect1,
    /// ECT(0).
    Ect0,
    /// A router met congestion.
    Ce,
}

impl Codepoint {
    /// Of a traffic class.
    pub fn of(traffic_class: u8) -> Self {
        match traffic_class & ECN_MASK {
            0b00 => Codepoint::NotEct,
            0b01 => Codepoint::Ect1,
            0b10 => Codepoint::Ect0,
            _ => Codepoint::Ce,
        }
    }

    /// The handshake encoding (RFC 9768 tables 2 and 3).
    pub(super) fn ace(self) -> u8 {
        match self {
            Codepoint::NotEct => 0b010,
            Codepoint::Ect1 => 0b011,
            Codepoint::Ect0 => 0b100,
            Codepoint::Ce => 0b110,
        }
    }

    /// What the handshake encoding says, if it says anything.
    pub(super) fn of_ace(ace: u8) -> Option<Self> {
        [Codepoint::NotEct, Codepoint::Ect1, Codepoint::Ect0, Codepoint::Ce].into_iter().find(|one| one.ace() == ace)
    }
}

/// How a receiver tells of marks: both directions of a connection in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// There is no ECN.
    #[default]
    Off,
    /// RFC 3168.
    Classic,
    /// RFC 9768.
    Accurate,
}

impl Mode {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Off => "off",
            Mode::Classic => "classic",
            Mode::Accurate => "accurate",
        }
    }
}

/// ACE of a SYN: three of the eight values that RFC 9768 §3.1.3 tells apart.
const NONE: u8 = 0b000;
const CLASSIC: u8 = 0b011;

/// What a passive opener has agreed to, as its half-open record keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Agreement {
    /// How marks are told of.
    pub mode: Mode,
    /// How the last SYN came.
    pub arrived: Codepoint,
    /// A SYN or SYN-ACK of this handshake had no ECN: the peer may not know of it, and nothing may be ECN-capable
    /// (RFC 9768 §3.1.5, RFC 3168 §6.1.1).
    pub is_doubtful: bool,
    /// Our SYN-ACK was lost perhaps for its AccECN option: none is sent (RFC 9768 §3.2.3.2.2).
    pub is_without_option: bool,
    /// And perhaps for its flags.
    pub gives_up: bool,
}

impl Agreement {
    /// What `syn` asks for, as far as we take part. Values that nobody sends today count as 111 (RFC 9768 §3.1.3).
    pub fn with(ecn: config::Ecn, syn: &Segment) -> Self {
        let mode = match syn.flags.ace() {
            _ if ecn == config::Ecn::Off => Mode::Off,
            NONE => Mode::Off,
            CLASSIC => Mode::Classic,
            _ => Mode::Accurate,
        };
        Agreement { arrived: Codepoint::of(syn.traffic_class), ..Agreement::on(mode) }
    }

    /// What is in force when a SYN cookie comes back (RFC 9768 §5.1): no ACE field of a connection with accurate ECN
    /// begins with 000 or 001. RFC 3168 needs something that remembers it.
    pub fn of_cookie(ecn: config::Ecn, ack: &Segment, was_classic: bool) -> Self {
        let mode = match ack.flags.ace() {
            _ if ecn == config::Ecn::Off => Mode::Off,
            _ if was_classic => Mode::Classic,
            0b000 | 0b001 => Mode::Off,
            _ => Mode::Accurate,
        };
        Agreement::on(mode)
    }

    /// Of this mode, with no doubts.
    pub(super) fn on(mode: Mode) -> Self {
        Agreement { mode, ..Agreement::default() }
    }

    /// The SYN came again. False if the two ask for what no host asks for in one connection: it MUST be reset
    /// (RFC 9768 §3.1.5).
    pub fn on_syn_again(&mut self, ecn: config::Ecn, syn: &Segment) -> bool {
        let again = Agreement::with(ecn, syn);
        self.arrived = again.arrived;
        self.is_without_option = true;
        self.is_doubtful |= again.mode == Mode::Off;
        !matches!((self.mode, again.mode), (Mode::Classic, Mode::Accurate) | (Mode::Accurate, Mode::Classic))
    }

    /// The SYN-ACK is sent for the `n`th time after the first because nobody answered (RFC 9768 §3.2.3.2.2).
    pub fn on_timeout(&mut self, n: u8) {
        self.is_without_option = true;
        if self.mode == Mode::Accurate && n >= 2 {
            self.gives_up = true;
            self.is_doubtful = true;
        }
    }

    /// The flags of our SYN-ACK.
    pub(in crate::transport::tcp) fn answer(&self) -> Flags {
        match self.mode {
            Mode::Accurate if !self.gives_up => Flags::NONE.with_ace(self.arrived.ace()),
            // RFC 3168 §6.1.1.1: the flags of an ECN-setup SYN-ACK may be why nobody answered it.
            Mode::Classic if !self.is_doubtful => Flags::ECE,
            _ => Flags::NONE,
        }
    }
}

/// The flags of our SYN, sent again `n` times: RFC 3168 gives up with the second (§6.1.1.1), RFC 9768 with the third
/// (§3.1.4.1), since the flags may be why nobody answers.
pub(super) fn syn_flags(ecn: config::Ecn, n: u32) -> Flags {
    match ecn {
        config::Ecn::On if n == 0 => Flags::ECE | Flags::CWR,
        config::Ecn::Accurate if n <= 1 => Flags::ECE | Flags::CWR | Flags::AE,
        _ => Flags::NONE,
    }
}

/// What the answer to our SYN agrees to, and how the SYN came where it says so. `was_lost`: the SYN was sent more than
/// once.
///
/// Who asked for accurate ECN goes by the first answer whichever SYN it is to (RFC 9768 §3.1.4.1); 101 is reserved and
/// counts as a SYN that came as it was sent (§3.1.3), 111 is a mere reflection (§3.1.2).
pub(super) fn answered(ecn: config::Ecn, syn_ack: &Segment, was_lost: bool) -> (Mode, Codepoint) {
    let flags = syn_ack.flags;
    match (ecn, flags.ace()) {
        (config::Ecn::Accurate, 0b000 | 0b111) => (Mode::Off, Codepoint::NotEct),
        (config::Ecn::Accurate, 0b001) => (Mode::Classic, Codepoint::NotEct),
        (config::Ecn::Accurate, ace) => (Mode::Accurate, Codepoint::of_ace(ace).unwrap_or_default()),
        (config::Ecn::On, _) if !was_lost && flags.has(Flags::ECE) && !flags.has(Flags::CWR) => {
            (Mode::Classic, Codepoint::NotEct)
        }
        _ => (Mode::Off, Codepoint::NotEct),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Ecn;

    fn segment(ace: u8, codepoint: u8) -> Segment {
        Segment { flags: Flags::SYN.with_ace(ace), traffic_class: 0xb8 | codepoint, ..Segment::default() }
    }

    #[test]
    fn the_answer_says_how_the_syn_came() {
        // RFC 9768 table 2, first block.
        let answers = [(0b00, 0b010), (0b01, 0b011), (0b10, 0b100), (0b11, 0b110)];
        for (codepoint, ace) in answers {
            for ecn in [Ecn::Passive, Ecn::On, Ecn::Accurate] {
                let agreement = Agreement::with(ecn, &segment(0b111, codepoint));
                assert_eq!((agreement.mode, agreement.answer().ace()), (Mode::Accurate, ace));
            }
            assert_eq!(Agreement::with(Ecn::Off, &segment(0b111, codepoint)).answer(), Flags::NONE);
            let (mode, arrived) = answered(Ecn::Accurate, &segment(ace, 0), true);
            assert_eq!((mode, arrived), (Mode::Accurate, Codepoint::of(codepoint)));
        }
    }

    #[test]
    fn what_an_older_peer_knows_is_what_is_done() {
        // RFC 9768 table 2, second to fourth block, and §3.1.3 for 101.
        let mode = |ace| answered(Ecn::Accurate, &segment(ace, 0), false).0;
        assert_eq!([0b000, 0b001, 0b101, 0b111].map(mode), [Mode::Off, Mode::Classic, Mode::Accurate, Mode::Off]);
        let answer = |ace| Agreement::with(Ecn::Passive, &segment(ace, 0b10)).answer().ace();
        assert_eq!([0b000, 0b011].map(answer), [0b000, 0b001]);
    }

    #[test]
    fn flags_of_the_future_are_taken_for_accurate_ecn() {
        // RFC 9768 §3.1.3.
        for ace in [0b001, 0b010, 0b100, 0b101, 0b110] {
            assert_eq!(Agreement::with(Ecn::Passive, &segment(ace, 0)).answer().ace(), 0b010);
        }
    }

    #[test]
    fn a_syn_asks_twice_for_accurate_ecn_and_once_for_that_of_rfc_3168() {
        // RFC 9768 §3.1.4.1, RFC 3168 §6.1.1.1.
        let asked = |ecn| [0, 1, 2, 3].map(|n| syn_flags(ecn, n).ace());
        assert_eq!(asked(Ecn::Accurate), [0b111, 0b111, 0, 0]);
        assert_eq!(asked(Ecn::On), [0b011, 0, 0, 0]);
        assert_eq!((asked(Ecn::Passive), asked(Ecn::Off)), ([0; 4], [0; 4]));
    }

    #[test]
    fn the_mode_stays_and_what_is_doubtful_is_not_marked() {
        // RFC 9768 §3.1.5: the latest SYN is told of; one without ECN is answered with what was agreed on.
        let mut agreement = Agreement::with(Ecn::Passive, &segment(0b111, 0b00));
        assert!(agreement.on_syn_again(Ecn::Passive, &segment(0b111, 0b11)));
        assert_eq!((agreement.answer().ace(), agreement.is_doubtful), (0b110, false));
        assert!(agreement.on_syn_again(Ecn::Passive, &segment(0b000, 0b00)));
        assert_eq!((agreement.answer().ace(), agreement.is_doubtful), (0b010, true));
        // Without ECN at first, it stays without.
        let mut without = Agreement::with(Ecn::Passive, &segment(0b000, 0b00));
        assert!(without.on_syn_again(Ecn::Passive, &segment(0b111, 0b00)));
        assert_eq!((without.mode, without.answer()), (Mode::Off, Flags::NONE));
    }

    #[test]
    fn syns_that_ask_for_both_kinds_reset_the_connection() {
        // RFC 9768 §3.1.5.
        for (first, second) in [(0b011, 0b111), (0b111, 0b011)] {
            let mut agreement = Agreement::with(Ecn::Passive, &segment(first, 0));
            assert!(!agreement.on_syn_again(Ecn::Passive, &segment(second, 0)));
        }
    }

    #[test]
    fn a_syn_ack_that_nobody_answers_loses_first_its_option_and_then_its_flags() {
        // RFC 9768 §3.2.3.2.2.
        let mut agreement = Agreement::with(Ecn::Passive, &segment(0b111, 0));
        assert!(!agreement.is_without_option);
        agreement.on_timeout(1);
        assert_eq!((agreement.is_without_option, agreement.answer().ace()), (true, 0b010));
        agreement.on_timeout(2);
        assert_eq!((agreement.mode, agreement.is_doubtful, agreement.answer()), (Mode::Accurate, true, Flags::NONE));
    }

    #[test]
    fn a_cookie_remembers_accurate_ecn_by_the_field_of_the_ack() {
        // RFC 9768 §5.1, table 4 note 3.
        let mode = |ace, was_classic| Agreement::of_cookie(Ecn::Passive, &segment(ace, 0), was_classic).mode;
        assert_eq!([0b000, 0b001].map(|ace| mode(ace, false)), [Mode::Off; 2]);
        assert_eq!([0b010, 0b011, 0b100, 0b101, 0b110].map(|ace| mode(ace, false)), [Mode::Accurate; 5]);
        assert_eq!(mode(0b000, true), Mode::Classic);
        assert_eq!(Agreement::of_cookie(Ecn::Off, &segment(0b101, 0), true).mode, Mode::Off);
    }
}
