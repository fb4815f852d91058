//! TCP options on the wire: RFC 9293 §3.1 (EOL, NOP, MSS), RFC 7323 (window scale, timestamps), RFC 2018
//! (SACK-permitted, SACK).
//!
//! Unknown options are skipped by their length (RFC 9293 MUST-6); an option whose length is impossible
//! makes the segment malformed (MUST-7); options may stand at any alignment (MUST-64). A known option
//! with a length that is not its own is skipped like an unknown one. What an option means for a
//! connection is decided elsewhere.

mod accurate_ecn;

pub use accurate_ecn::AccurateEcn;

use crate::base::drops::DropReason;
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use smallvec::SmallVec;

/// The kinds that are understood (IANA TCP parameters).
mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WINDOW_SCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
    pub(super) const USER_TIMEOUT: u8 = 28;
    pub(super) const FAST_OPEN: u8 = 34;
    pub(super) const ACC_ECN_0: u8 = 172;
    pub(super) const ACC_ECN_1: u8 = 174;
}

/// The longest options area: a data offset of 15 words less the fixed header.
pub const MAX_OPTIONS_LEN: usize = 40;
/// Octets that timestamps take in a segment without SYN: two NOPs and the option.
pub const TIMESTAMPS_LEN: usize = 12;
/// The largest shift (RFC 7323 §2.3); a greater one is read as this.
pub const MAX_WINDOW_SCALE: u8 = 14;

/// The timestamps option (RFC 7323 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the last clock of the other side that the sender saw; valid with ACK only.
    pub echo: u32,
}

/// A Fast Open cookie (RFC 7413 §4.1.1): empty, as a request for one, or 4 to 16 octets, an even number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FastOpenCookie {
    len: u8,
    octets: [u8; 16],
}

impl FastOpenCookie {
    /// Of the octets of an option, if they can be a cookie.
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut cookie = FastOpenCookie { len: octets.len() as u8, ..FastOpenCookie::default() };
        let is_possible = octets.is_empty() || (octets.len() >= 4 && octets.len().is_multiple_of(2));
        cookie.octets.get_mut(..octets.len()).filter(|_| is_possible)?.copy_from_slice(octets);
        Some(cookie)
    }

    /// True if it asks for one.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// SACK blocks, the most recent first (RFC 2018 §4).
pub type SackBlocks = SmallVec<[Range; 4]>;

/// The options of one segment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Maximum segment size (RFC 9293 §3.7.1); on a SYN.
    pub mss: Option<u16>,
    /// The shift for the sender's window field (RFC 7323 §2); on a SYN.
    pub window_scale: Option<u8>,
    /// The sender can take SACK blocks (RFC 2018 §2); on a SYN.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks as they came: nothing says that they make sense.
    pub sack: SackBlocks,
    /// The user timeout option (RFC 5482 §3) as it stands on the wire.
    pub user_timeout: Option<u16>,
    /// A Fast Open cookie, or a request for one (RFC 7413 §2); on a SYN.
    pub fast_open: Option<FastOpenCookie>,
    /// Octets that arrived with each mark (RFC 9768 §3.2.3).
    pub accurate_ecn: Option<AccurateEcn>,
    /// Octets to leave free for what is added later.
    pub reserved: u8,
}

/// The octets of emitted options.
pub type OptionBytes = SmallVec<[u8; MAX_OPTIONS_LEN]>;

impl Options {
    /// Reads the options area of a header.
    ///
    /// # Errors
    /// [`DropReason::TcpMalformed`] for an option that is shorter than its own header or longer than what is left.
    pub fn parse(mut rest: &[u8]) -> Result<Options, DropReason> {
        let mut options = Options::default();
        loop {
            match rest {
                [] | [kind::END, ..] => return Ok(options),
                [kind::NOP, tail @ ..] => rest = tail,
                [kind, length, tail @ ..] => {
                    let value_len = usize::from(*length).checked_sub(2).ok_or(DropReason::TcpMalformed)?;
                    let (value, tail) = tail.split_at_checked(value_len).ok_or(DropReason::TcpMalformed)?;
                    options.understand(*kind, value);
                    rest = tail;
                }
                [_] => return Err(DropReason::TcpMalformed),
            }
        }
    }

    fn understand(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (kind::MSS, [a, b]) => self.mss = Some(u16::from_be_bytes([*a, *b])),
            (kind::WINDOW_SCALE, [shift]) => self.window_scale = Some((*shift).min(MAX_WINDOW_SCALE)),
            (kind::SACK_PERMITTED, []) => self.sack_permitted = true,
            (kind::TIMESTAMPS, [a, b, c, d, e, f, g, h]) => {
                self.timestamps = Some(Timestamps {
                    value: u32::from_be_bytes([*a, *b, *c, *d]),
                    echo: u32::from_be_bytes([*e, *f, *g, *h]),
                });
            }
            (kind::SACK, blocks) => {
                let (blocks, odd) = blocks.as_chunks::<8>();
                if odd.is_empty() {
                    self.sack = blocks.iter().map(sack_block).collect();
                }
            }
            (kind::FAST_OPEN, cookie) => self.fast_open = FastOpenCookie::new(cookie),
            (kind::ACC_ECN_0 | kind::ACC_ECN_1, fields) => {
                self.accurate_ecn = Some(AccurateEcn::parse(kind == kind::ACC_ECN_1, fields));
            }
            (kind::USER_TIMEOUT, [a, b]) => self.user_timeout = Some(u16::from_be_bytes([*a, *b])),
            _ => {}
        }
    }

    /// Writes the options in Linux's order, filled up with NOPs to four octets: on a SYN (recognised by the
    /// options that only a SYN has) MSS, SACK-permitted, timestamps, window scale; otherwise timestamps, AccECN and as
    /// many SACK blocks as fit (RFC 2018 §3).
    pub fn emit(&self) -> OptionBytes {
        let mut out = OptionBytes::new();
        if let Some(mss) = self.mss {
            out.extend_from_slice(&[kind::MSS, 4]);
            out.extend_from_slice(&mss.to_be_bytes());
        }
        match (self.sack_permitted, self.timestamps) {
            (true, Some(_)) => out.extend_from_slice(&[kind::SACK_PERMITTED, 2]),
            (true, None) => out.extend_from_slice(&[kind::NOP, kind::NOP, kind::SACK_PERMITTED, 2]),
            (false, Some(_)) => out.extend_from_slice(&[kind::NOP, kind::NOP]),
            (false, None) => {}
        }
        if let Some(timestamps) = self.timestamps {
            out.extend_from_slice(&[kind::TIMESTAMPS, 10]);
            out.extend_from_slice(&timestamps.value.to_be_bytes());
            out.extend_from_slice(&timestamps.echo.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            out.extend_from_slice(&[kind::NOP, kind::WINDOW_SCALE, 3, shift]);
        }
        if let Some(timeout) = self.user_timeout {
            out.extend_from_slice(&[kind::USER_TIMEOUT, 4]);
            out.extend_from_slice(&timeout.to_be_bytes());
        }
        if let Some(cookie) = &self.fast_open {
            let octets = cookie.octets();
            if octets.len() % 4 == 0 {
                out.extend_from_slice(&[kind::NOP, kind::NOP]);
            }
            out.extend_from_slice(&[kind::FAST_OPEN, 2 + octets.len() as u8]);
            out.extend_from_slice(octets);
        }
        if let Some(accurate_ecn) = &self.accurate_ecn {
            accurate_ecn.emit(&mut out);
        }
        self.emit_sack(&mut out);
        out
    }

    /// Adds the first of `choices` that leaves room for two SACK blocks, or for the one there is: what is lost matters
    /// more (RFC 9768 §3.2.3.3). True if there was one.
    pub fn add_accurate_ecn(&mut self, choices: &[AccurateEcn]) -> bool {
        let others = Options { sack: SackBlocks::new(), ..self.clone() };
        let sack_len = match self.sack.len() {
            0 => 0,
            blocks => 4 + 8 * blocks.min(2),
        };
        let taken = others.emit().len() + usize::from(self.reserved) + sack_len;
        self.accurate_ecn = choices.iter().find(|choice| taken + choice.padded_len() <= MAX_OPTIONS_LEN).copied();
        self.accurate_ecn.is_some()
    }

    fn emit_sack(&self, out: &mut OptionBytes) {
        let room = MAX_OPTIONS_LEN.saturating_sub(out.len() + 4 + usize::from(self.reserved)) / 8;
        let count = self.sack.len().min(room);
        if count == 0 {
            return;
        }
        out.extend_from_slice(&[kind::NOP, kind::NOP, kind::SACK, 2 + 8 * count as u8]);
        for block in self.sack.iter().take(count) {
            out.extend_from_slice(&block.start.0.to_be_bytes());
            out.extend_from_slice(&block.end.0.to_be_bytes());
        }
    }
}

fn sack_block(octets: &[u8; 8]) -> Range {
    let [a, b, c, d, e, f, g, h] = *octets;
    Range { start: Seq(u32::from_be_bytes([a, b, c, d])), end: Seq(u32::from_be_bytes([e, f, g, h])) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn syn_options() -> Options {
        Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 0x0102_0304, echo: 0 }),
            ..Options::default()
        }
    }

    #[test]
    fn a_syn_carries_its_options_in_the_order_of_linux() {
        // RFC 9293 MUST-4, MUST-14, MUST-68.
        let bytes = syn_options().emit();
        assert_eq!(&bytes[..], [2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7]);
        let without = Options { timestamps: None, ..syn_options() };
        assert_eq!(&without.emit()[..], [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7]);
    }

    #[test]
    fn unknown_options_are_skipped_by_their_length() {
        // RFC 9293 MUST-6, MUST-64: kind 254 with four octets of value, then MSS at an odd offset.
        let parsed = Options::parse(&[254, 6, 1, 2, 3, 4, 1, 2, 4, 5, 180]).unwrap();
        assert_eq!(parsed, Options { mss: Some(1460), ..Options::default() });
    }

    #[test]
    fn an_impossible_length_makes_the_segment_malformed() {
        // RFC 9293 MUST-7.
        for bad in [&[2u8, 0, 0, 0][..], &[2, 1], &[2, 5, 0, 0], &[254], &[1, 1, 8], &[5, 200, 0, 0]] {
            assert_eq!(Options::parse(bad), Err(DropReason::TcpMalformed), "{bad:?}");
        }
    }

    #[test]
    fn a_known_option_with_a_foreign_length_is_ignored() {
        assert_eq!(Options::parse(&[2, 3, 9, 3, 4, 1, 1, 5, 7, 0, 0, 0, 0, 1]).unwrap(), Options::default());
    }

    #[test]
    fn nothing_after_the_end_of_the_list_is_read() {
        // RFC 9293 MUST-69 asks senders to pad with zeros; receivers need not look.
        assert_eq!(Options::parse(&[0, 2, 4, 5, 180]).unwrap(), Options::default());
    }

    #[test]
    fn a_window_scale_above_fourteen_counts_as_fourteen() {
        assert_eq!(Options::parse(&[3, 3, 200]).unwrap().window_scale, Some(14));
    }

    #[test]
    fn three_sack_blocks_fit_beside_timestamps_and_four_without() {
        let blocks: SackBlocks = (0..5).map(|i| Range::starting(Seq(i * 100), 10)).collect();
        let mut options = Options { sack: blocks.clone(), ..Options::default() };
        assert_eq!(Options::parse(&options.emit()).unwrap().sack[..], blocks[..4]);
        options.timestamps = Some(Timestamps { value: 1, echo: 2 });
        assert_eq!(Options::parse(&options.emit()).unwrap().sack[..], blocks[..3]);
    }

    #[test]
    fn a_fast_open_cookie_has_a_length_that_rfc_7413_allows() {
        // RFC 7413 §2: 0, or 4 to 16, even.
        for len in 0..=17 {
            let is_possible = len == 0 || ((4..=16).contains(&len) && len % 2 == 0);
            let bytes: Vec<u8> = [34, 2 + len as u8].into_iter().chain(std::iter::repeat_n(7, len)).collect();
            let parsed = Options::parse(&bytes).unwrap().fast_open;
            assert_eq!(parsed.map(|cookie| cookie.octets().len()), is_possible.then_some(len));
            if let Some(cookie) = parsed {
                let options = Options { fast_open: Some(cookie), ..syn_options() };
                let emitted = options.emit();
                assert_eq!((emitted.len() % 4, Options::parse(&emitted).unwrap()), (0, options));
            }
        }
    }

    #[test]
    fn two_sack_blocks_come_before_the_counts_of_marks_and_a_third_after_them() {
        // RFC 9768 §3.2.3.3.
        let [all, two, one] = [0b111, 0b011, 0b001].map(|fields| AccurateEcn::new(&[7, 8, 9], fields).unwrap());
        let with = |blocks: u32, choices: &[AccurateEcn]| {
            let sack = (0..blocks).map(|i| Range::starting(Seq(i * 100), 10)).collect();
            let timestamps = Some(Timestamps { value: 1, echo: 2 });
            let mut options = Options { timestamps, sack, ..Options::default() };
            options.add_accurate_ecn(choices);
            let parsed = Options::parse(&options.emit()).unwrap();
            assert_eq!(parsed.accurate_ecn, options.accurate_ecn);
            (parsed.sack.len(), parsed.accurate_ecn)
        };
        assert_eq!(with(0, &[all, two]), (0, Some(all)));
        assert_eq!(with(1, &[all, two]), (1, Some(all)));
        assert_eq!(with(3, &[all, two, one]), (2, Some(two)));
        assert_eq!(with(2, &[all]), (2, None));
        assert_eq!(with(3, &[]), (3, None));
    }

    proptest! {
        #[test]
        fn any_octets_parse_or_are_malformed(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Options::parse(&octets);
        }

        #[test]
        fn what_is_emitted_parses_to_itself(
            mss: Option<u16>, scale in proptest::option::of(0u8..15), sack: bool, ts: Option<(u32, u32)>, user_timeout: Option<u16>,
        ) {
            let timestamps = ts.map(|(value, echo)| Timestamps { value, echo });
            let options =
                Options { mss, window_scale: scale, sack_permitted: sack, timestamps, user_timeout, ..Options::default() };
            let bytes = options.emit();
            prop_assert_eq!(bytes.len() % 4, 0);
            prop_assert_eq!(Options::parse(&bytes).unwrap(), options);
        }
    }
}
