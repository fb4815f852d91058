//! The receiving side of accurate ECN: what is counted of packets that arrive, when that makes an ACK due, and what is
//! told of it (RFC 9768 §3.2.1, §3.2.2.5.1, §3.2.3.3).
//!
//! The ACE field of every segment has the low three bits of `r.cep`. The octets are told with the ACKs that are due anyway,
//! as soon as one of the three counts has changed: then with a field for each that ever changed, in the order that is
//! shorter. Where options are few, the fields that did change are enough, and SACK comes first.
//!
//! On a segment with data the option goes only where it makes no further segment, since whoever cuts a super-segment repeats
//! it: but for marks of congestion, and before a count could wrap unseen. Marks are told twice, since the segment that has
//! them may be lost and none with room may come for long.

use super::negotiation::Codepoint;
use crate::transport::tcp::options::AccurateEcn;
use smallvec::SmallVec;

/// The fields in the order of [`AccurateEcn::new`].
const ECT_0: usize = 0;
const CE: usize = 1;
const ECT_1: usize = 2;
const CE_FIELD: u8 = 1 << CE;
const ALL_FIELDS: u8 = 0b111;

/// A count may grow by so much untold (RFC 9768 §3.2.3.3).
const UNTOLD: u32 = 1 << 22;

/// How often new marks are told (RFC 9768 §3.2.3.3, "Continual Repetition").
const TELLINGS: u8 = 2;

/// An ACK is due for so many marks: while there is data to acknowledge, and while there is none (RFC 9768 §3.2.2.5.1).
const MARKS_WITH_DATA: u32 = 2;
const MARKS_WITHOUT_DATA: u32 = 3;

/// Options to choose from, the first that fits.
pub(in super::super) type Choices = SmallVec<[AccurateEcn; 4]>;

/// r.*
#[derive(Clone, Debug)]
pub(in super::super) struct Receiver {
    /// r.cep: packets with CE.
    cep: u32,
    /// r.e0b, r.ceb and r.e1b: octets.
    counts: [u32; 3],
    /// The same as the last option told them.
    told: [u32; 3],
    /// Those that ever changed, a bit each.
    changed: u8,
    /// Options that are still to tell of marks.
    tellings: u8,
    /// Packets with CE since the last ACK.
    marks: u32,
    /// The packet before had CE.
    was_marked: bool,
    /// The SYN-ACK had CE, which counts once.
    was_syn_marked: bool,
}

impl Default for Receiver {
    /// RFC 9768 §3.2.1.
    fn default() -> Self {
        let counts = [1, 0, 1];
        Receiver {
            cep: 5,
            counts,
            told: counts,
            changed: 0,
            tellings: 0,
            marks: 0,
            was_marked: false,
            was_syn_marked: false,
        }
    }
}

impl Receiver {
    /// `octets` arrived in `packets` that are one super-segment, and so marked alike. True if an ACK is due at once:
    /// the first data with a mark after a packet without, and every second mark, or third where there is no data to
    /// acknowledge. A super-segment is one event and has one ACK.
    pub(in super::super) fn on_packet(
        &mut self,
        codepoint: Codepoint,
        packets: u32,
        octets: u32,
        is_data_unacknowledged: bool,
    ) -> bool {
        let field = match codepoint {
            Codepoint::NotEct => None,
            Codepoint::Ect0 => Some(ECT_0),
            Codepoint::Ce => Some(CE),
            Codepoint::Ect1 => Some(ECT_1),
        };
        if let Some(field) = field.filter(|_| octets > 0)
            && let Some(count) = self.counts.get_mut(field)
        {
            *count = count.wrapping_add(octets);
            self.changed |= 1 << field;
            if field == CE {
                self.tellings = TELLINGS;
            }
        }
        let is_marked = codepoint == Codepoint::Ce;
        let begins = is_marked && !std::mem::replace(&mut self.was_marked, is_marked) && octets > 0;
        if is_marked {
            self.cep = self.cep.wrapping_add(packets);
            self.marks = self.marks.saturating_add(packets);
        }
        let enough = if is_data_unacknowledged || octets > 0 { MARKS_WITH_DATA } else { MARKS_WITHOUT_DATA };
        is_marked && (begins || self.marks >= enough)
    }

    /// A SYN-ACK arrived: CE counts, but once (RFC 9768 §3.2.2.2).
    pub(in super::super) fn on_syn_ack(&mut self, codepoint: Codepoint, octets: u32) {
        let counted =
            if codepoint == Codepoint::Ce && std::mem::replace(&mut self.was_syn_marked, true) { 0 } else { 1 };
        self.on_packet(codepoint, counted, octets, false);
    }

    /// The ACE field of a segment that leaves.
    pub(in super::super) fn ace(&self) -> u8 {
        (self.cep & 0b111) as u8
    }

    /// Packets that came with CE.
    pub(in super::super) fn marked_packets(&self) -> u32 {
        self.cep.wrapping_sub(5)
    }

    /// A segment leaves, with its ACE field.
    pub(in super::super) fn on_ack_sent(&mut self) {
        self.marks = 0;
    }

    /// What was told, by an option that left.
    pub(in super::super) fn on_option_sent(&mut self) {
        self.told = self.counts;
        self.tellings = self.tellings.saturating_sub(1);
    }

    /// The options that say what is not told yet; none if nothing is.
    pub(in super::super) fn choices(&self) -> Choices {
        let untold = self.untold();
        if untold == 0 {
            return Choices::new();
        }
        [self.changed, untold].into_iter().filter_map(|wanted| AccurateEcn::new(&self.counts, wanted)).collect()
    }

    /// The options for a segment that is to show whether they arrive (RFC 9768 §3.2.3.2.1).
    pub(in super::super) fn test_choices(&self) -> Choices {
        let shorter = [ALL_FIELDS, self.changed | 0b011, self.changed | 0b001];
        let options = shorter.into_iter().filter_map(|wanted| AccurateEcn::new(&self.counts, wanted));
        options.chain((self.untold() == 0).then(AccurateEcn::default)).collect()
    }

    /// True if it can't wait for a segment that has room for it.
    pub(in super::super) fn is_urgent(&self) -> bool {
        self.untold() & CE_FIELD != 0
            || self.counts.iter().zip(&self.told).any(|(count, told)| count.wrapping_sub(*told) >= UNTOLD)
    }

    fn untold(&self) -> u8 {
        let fields = self.counts.iter().zip(&self.told).zip([1, CE_FIELD, 4]);
        let changed = fields.filter(|((count, told), _)| count != told).fold(0, |all, (_, bit)| all | bit);
        changed | if self.tellings > 0 { CE_FIELD } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Codepoint::{Ce, Ect0, Ect1, NotEct};

    #[test]
    fn a_mark_after_none_and_every_second_mark_make_an_ack_due() {
        // RFC 9768 §3.2.2.5.1.
        let mut receiver = Receiver::default();
        let mut data = |codepoint| {
            let due = receiver.on_packet(codepoint, 1, 1000, true);
            if due {
                receiver.on_ack_sent();
            }
            due
        };
        assert_eq!([Ect0, Ce, Ce, Ce, Ce, Ect0, Ce].map(&mut data), [false, true, false, true, false, false, true]);
        // Without data to acknowledge it takes three, and the first is nothing special.
        let mut receiver = Receiver::default();
        assert_eq!([Ce, Ce, Ce].map(|codepoint| receiver.on_packet(codepoint, 1, 0, false)), [false, false, true]);
        // A packet without data is the packet before all the same.
        receiver.on_ack_sent();
        assert!(!receiver.on_packet(Ce, 1, 1000, true), "one mark, after a marked ACK");
    }

    #[test]
    fn marks_of_a_super_segment_are_as_many_as_its_segments() {
        // RFC 9768 §3.2, §3.2.2.5.1.
        let mut receiver = Receiver::default();
        assert!(receiver.on_packet(Ce, 44, 63_000, true));
        assert_eq!((receiver.marked_packets(), receiver.ace()), (44, (5 + 44) & 7));
    }

    #[test]
    fn counts_begin_where_a_zero_would_show_that_somebody_wiped_them() {
        // RFC 9768 §3.2.1.
        let receiver = Receiver::default();
        assert_eq!(receiver.ace(), 5);
        let full = receiver.test_choices()[0];
        assert_eq!((full.ect_0(), full.ce(), full.ect_1()), (Some(1), Some(0), Some(1)));
    }

    #[test]
    fn a_marked_syn_ack_counts_once() {
        // RFC 9768 §3.2.2.2.
        let mut receiver = Receiver::default();
        receiver.on_syn_ack(Ce, 0);
        receiver.on_syn_ack(Ce, 0);
        assert_eq!(receiver.ace(), 6);
    }

    #[test]
    fn marks_are_told_twice_all_else_once_and_what_ever_changed_together() {
        // RFC 9768 §3.2.3.3.
        let fields = |receiver: &Receiver| {
            receiver.choices().iter().map(|option| [option.ect_0(), option.ce(), option.ect_1()]).collect::<Vec<_>>()
        };
        let mut receiver = Receiver::default();
        receiver.on_packet(NotEct, 1, 1000, true);
        assert!(fields(&receiver).is_empty());
        receiver.on_packet(Ect0, 1, 1000, true);
        assert_eq!(fields(&receiver), [[Some(1001), None, None]; 2]);
        assert!(!receiver.is_urgent());
        receiver.on_option_sent();
        assert!(fields(&receiver).is_empty());
        receiver.on_packet(Ce, 1, 500, true);
        assert_eq!(fields(&receiver), [[Some(1001), Some(500), None]; 2]);
        for _ in 0..2 {
            assert!(receiver.is_urgent());
            receiver.on_option_sent();
        }
        assert!(!receiver.is_urgent());
        // Where there is room all three, where there is not the one that changed.
        receiver.on_packet(Ect1, 1, 10, true);
        assert_eq!(fields(&receiver), [[Some(1001), Some(500), Some(11)], [None, None, Some(11)]]);
    }

    #[test]
    fn what_grows_for_long_is_told_before_it_could_wrap() {
        // RFC 9768 §3.2.3.3.
        let mut receiver = Receiver::default();
        receiver.on_packet(Ect0, 1, UNTOLD - 1, true);
        assert!(!receiver.is_urgent());
        receiver.on_packet(Ect0, 1, 1, true);
        assert!(receiver.is_urgent());
    }
}
