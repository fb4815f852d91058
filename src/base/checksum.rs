//! The Internet checksum: the ones' complement sum of 16-bit words (RFC 1071), with the pseudo-header of
//! RFC 9293 §3.1 and RFC 8200 §8.1.

use std::net::IpAddr;

/// Octets that are summed side by side.
const BLOCK: usize = 32;
/// From how many octets on that is worth its while.
const LONG: usize = 128;

/// A running ones' complement sum, not yet folded or complemented. Parts may be added in any order as
/// long as each starts at an even offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// The empty sum.
    pub const ZERO: Sum = Sum(0);

    /// Adds bytes that start at an even offset. An odd last byte counts as if a zero followed it, so
    /// only the last part may have an odd length; see [`Sum::add_at`] for the others.
    #[must_use]
    pub fn add_bytes(self, bytes: &[u8]) -> Sum {
        let (blocks, rest) = if bytes.len() < LONG { (&[][..], bytes) } else { bytes.as_chunks::<BLOCK>() };
        let mut sum = if blocks.is_empty() { self } else { self.add_u16(sum_of_blocks(blocks)) };
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            sum = sum.add(u64::from_be_bytes(*word));
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        for pair in pairs {
            sum = sum.add_u16(u16::from_be_bytes(*pair));
        }
        match odd {
            [last] => sum.add(u64::from(*last) << 8),
            _ => sum,
        }
    }

    /// The end-around carry keeps this sum equal, modulo 2^16 - 1, to that of the 16-bit words.
    fn add(self, word: u64) -> Sum {
        let (added, carry) = self.0.overflowing_add(word);
        Sum(added + u64::from(carry))
    }

    /// Adds bytes that stand at `offset` in the whole: at an odd offset their sum counts byte-swapped
    /// (RFC 1071 §2 (B)).
    #[must_use]
    pub fn add_at(self, offset: usize, bytes: &[u8]) -> Sum {
        if offset.is_multiple_of(2) {
            return self.add_bytes(bytes);
        }
        self.add_u16(Sum::ZERO.add_bytes(bytes).fold().swap_bytes())
    }

    /// Adds one 16-bit word.
    #[must_use]
    pub fn add_u16(self, word: u16) -> Sum {
        self.add(u64::from(word))
    }

    /// Adds the pseudo-header: addresses, protocol and length of what the checksum covers.
    #[must_use]
    pub fn add_pseudo_header(self, source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Sum {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let sum = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.add_bytes(&source.octets()).add_bytes(&destination.octets())
            }
            (source, destination) => {
                let octets = |address| match address {
                    IpAddr::V4(v4) => std::net::Ipv4Addr::to_ipv6_mapped(&v4).octets(),
                    IpAddr::V6(v6) => v6.octets(),
                };
                self.add_bytes(&octets(source)).add_bytes(&octets(destination))
            }
        };
        sum.add_u16(u16::from(protocol)).add_u16((length >> 16) as u16).add_u16(length as u16)
    }

    /// The sum in 16 bits, carries folded in.
    pub fn fold(self) -> u16 {
        let mut sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        sum = (sum >> 16) + (sum & 0xffff);
        sum = (sum >> 16) + (sum & 0xffff);
        sum = (sum >> 16) + (sum & 0xffff);
        sum as u16
    }

    /// What goes into the checksum field: the complement of the folded sum.
    pub fn checksum(self) -> u16 {
        !self.fold()
    }

    /// True if this is the sum of a whole message, checksum field included, that arrived intact.
    pub fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }
}

/// The folded sum of whole blocks. Four sums side by side wait for each other's carries less than one does, and in the
/// machine's own order of bytes: the sum of swapped words is the swapped sum (RFC 1071 §2 (B)).
fn sum_of_blocks(blocks: &[[u8; BLOCK]]) -> u16 {
    let mut sums = [0u128; BLOCK / 8];
    for block in blocks {
        for (sum, word) in sums.iter_mut().zip(block.as_chunks::<8>().0) {
            *sum += u128::from(u64::from_ne_bytes(*word));
        }
    }
    let sum = sums.into_iter().fold(Sum::ZERO, |whole, sum| whole.add(sum as u64).add((sum >> 64) as u64));
    u16::from_be(sum.fold())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_words_one_by_one_whatever_the_length() {
        let bytes: Vec<u8> = (0..70_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for length in (0..500).chain([1_480, 65_535, 65_536, 70_000]) {
            let (pairs, odd) = bytes[..length].as_chunks::<2>();
            let words = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair)));
            let sum: u64 = words.chain(odd.iter().map(|last| u64::from(*last) << 8)).sum();
            assert_eq!(Sum::ZERO.add_bytes(&bytes[..length]).fold(), Sum(sum).fold(), "{length} octets");
        }
        assert_eq!(Sum::ZERO.add_bytes(&[0xff; 4096]).fold(), 0xffff);
    }

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        // RFC 1071 §3: words 0001 f203 f4f5 f6f7 sum to ddf2.
        let sum = Sum::ZERO.add_bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
    }

    #[test]
    fn parts_at_any_offset_give_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1111).map(|b: u8| b.wrapping_mul(73) ^ 0x5a).collect();
        let whole = Sum::ZERO.add_bytes(&bytes).fold();
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(Sum::ZERO.add_at(0, head).add_at(cut, tail).fold(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_message_with_its_checksum_is_valid_and_a_flipped_bit_is_not() {
        let mut message = *b"....the quick brown fox";
        let checksum = Sum::ZERO.add_bytes(&message[2..]).checksum();
        message[..2].copy_from_slice(&checksum.to_be_bytes());
        assert!(Sum::ZERO.add_at(0, &message[..2]).add_at(2, &message[2..]).is_valid());
        message[7] ^= 0x10;
        assert!(!Sum::ZERO.add_bytes(&message).is_valid());
    }
}
