//! The AccECN option (RFC 9768 §3.2.3): how many octets arrived with each mark, the low 24 bits of up to three counts.
//!
//! ```text
//!   AccECN0 | 172 | length | EE0B | ECEB | EE1B |     fields that did not change may be missing at the end
//!   AccECN1 | 174 | length | EE1B | ECEB | EE0B |
//! ```
//!
//! A length that is none of 2, 5, 8 and 11 holds as many whole fields as fit (§3.2.3).

use super::{OptionBytes, kind};

/// The most fields.
const FIELDS: usize = 3;
/// Kind and length.
const HEAD_LEN: usize = 2;

/// One option as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AccurateEcn {
    /// It is of order 1.
    is_order_1: bool,
    /// How many fields it has.
    len: u8,
    octets: [[u8; 3]; FIELDS],
}

impl AccurateEcn {
    /// The shortest option that has the fields whose bits are set in `wanted`, of `counts` in the same order: ECT(0), CE,
    /// ECT(1), the lowest bit first. `None` if no field is wanted.
    pub fn new(counts: &[u32; FIELDS], wanted: u8) -> Option<Self> {
        let [e0b, ceb, e1b] = *counts;
        let fields = |wanted: [u8; FIELDS]| wanted.iter().rposition(|bit| *bit != 0).map(|last| last as u8 + 1);
        let by_order_0 = fields([wanted & 1, wanted & 2, wanted & 4])?;
        let by_order_1 = fields([wanted & 4, wanted & 2, wanted & 1])?;
        let is_order_1 = by_order_1 < by_order_0;
        let counts = if is_order_1 { [e1b, ceb, e0b] } else { [e0b, ceb, e1b] };
        let octets = counts.map(|count| {
            let [_, a, b, c] = count.to_be_bytes();
            [a, b, c]
        });
        let len = by_order_0.min(by_order_1);
        let mut option = AccurateEcn { is_order_1, len, octets };
        option.octets.iter_mut().skip(usize::from(len)).for_each(|field| *field = [0; 3]);
        Some(option)
    }

    /// Of the octets after kind and length.
    pub(super) fn parse(is_order_1: bool, octets: &[u8]) -> Self {
        let mut option = AccurateEcn { is_order_1, ..AccurateEcn::default() };
        for (field, octets) in option.octets.iter_mut().zip(octets.as_chunks::<3>().0) {
            *field = *octets;
            option.len += 1;
        }
        option
    }

    pub(super) fn emit(&self, out: &mut OptionBytes) {
        let len = HEAD_LEN + 3 * usize::from(self.len);
        out.extend(std::iter::repeat_n(kind::NOP, self.padded_len() - len));
        out.extend_from_slice(&[if self.is_order_1 { kind::ACC_ECN_1 } else { kind::ACC_ECN_0 }, len as u8]);
        self.octets.iter().take(usize::from(self.len)).for_each(|field| out.extend_from_slice(field));
    }

    /// The octets that it takes, with those that fill it up to four.
    pub fn padded_len(&self) -> usize {
        (HEAD_LEN + 3 * usize::from(self.len)).next_multiple_of(4)
    }

    /// EE0B: octets with ECT(0), if it says.
    pub fn ect_0(&self) -> Option<u32> {
        self.field(if self.is_order_1 { 2 } else { 0 })
    }

    /// ECEB: octets with CE, if it says.
    pub fn ce(&self) -> Option<u32> {
        self.field(1)
    }

    /// EE1B: octets with ECT(1), if it says.
    pub fn ect_1(&self) -> Option<u32> {
        self.field(if self.is_order_1 { 0 } else { 2 })
    }

    fn field(&self, index: usize) -> Option<u32> {
        let [a, b, c] = *self.octets.get(..usize::from(self.len))?.get(index)?;
        Some(u32::from_be_bytes([0, a, b, c]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::*;
    use proptest::prelude::*;

    fn parsed(octets: &[u8]) -> AccurateEcn {
        Options::parse(octets).unwrap().accurate_ecn.unwrap()
    }

    #[test]
    fn the_fields_stand_in_either_order() {
        // RFC 9768 §3.2.3, table 5.
        let full = [172, 11, 0, 0, 1, 0, 2, 0, 3, 0, 0];
        let first = parsed(&full);
        assert_eq!((first.ect_0(), first.ce(), first.ect_1()), (Some(1), Some(0x200), Some(0x3_0000)));
        let second = parsed(&[&[174, 11], &full[2..]].concat());
        assert_eq!((second.ect_1(), second.ce(), second.ect_0()), (Some(1), Some(0x200), Some(0x3_0000)));
        let two = parsed(&[174, 8, 0, 0, 1, 0, 2, 0]);
        assert_eq!((two.ect_1(), two.ce(), two.ect_0()), (Some(1), Some(0x200), None));
        let empty = parsed(&[172, 2]);
        assert_eq!((empty.ect_0(), empty.ce(), empty.ect_1()), (None, None, None));
    }

    #[test]
    fn of_a_foreign_length_the_whole_fields_count() {
        // RFC 9768 §3.2.3.
        let odd = parsed(&[172, 7, 0, 0, 1, 9, 9]);
        assert_eq!((odd.ect_0(), odd.ce()), (Some(1), None));
        let long = parsed(&[172, 14, 0, 0, 1, 0, 0, 2, 0, 0, 3, 9, 9, 9]);
        assert_eq!(long, parsed(&[172, 11, 0, 0, 1, 0, 0, 2, 0, 0, 3]));
    }

    #[test]
    fn the_shortest_option_is_chosen() {
        // RFC 9768 §3.2.3.3, "Necessary Option Length"; kind and length without padding.
        let head = |wanted| {
            let mut out = OptionBytes::new();
            AccurateEcn::new(&[1, 2, 3], wanted)?.emit(&mut out);
            assert_eq!(out.len() % 4, 0);
            let at = out.iter().position(|octet| *octet != kind::NOP)?;
            Some((out[at], out[at + 1]))
        };
        assert_eq!(head(0b000), None);
        assert_eq!(head(0b001), Some((172, 5)));
        assert_eq!(head(0b010), Some((172, 8)));
        assert_eq!(head(0b011), Some((172, 8)));
        assert_eq!(head(0b100), Some((174, 5)));
        assert_eq!(head(0b110), Some((174, 8)));
        assert_eq!(head(0b101), Some((172, 11)));
        assert_eq!(head(0b111), Some((172, 11)));
    }

    proptest! {
        #[test]
        fn what_is_wanted_arrives_with_24_bits(counts: [u32; 3], wanted in 1u8..8) {
            let option = AccurateEcn::new(&counts, wanted).unwrap();
            let mut out = OptionBytes::new();
            option.emit(&mut out);
            prop_assert_eq!(out.len(), option.padded_len());
            let parsed = parsed(&out);
            prop_assert_eq!(parsed, option);
            for (bit, (field, count)) in [parsed.ect_0(), parsed.ce(), parsed.ect_1()].into_iter().zip(counts).enumerate() {
                if wanted & 1 << bit != 0 {
                    prop_assert_eq!(field, Some(count & 0xff_ffff));
                }
            }
        }
    }
}
