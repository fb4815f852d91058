//! The identification field of the datagrams we send.
//!
//! Implements RFC 6864: an atomic datagram (not fragmented and never to be) may carry anything, and carries
//! 0 ([`ATOMIC`]); any other carries a value that does not come again soon for its source, destination and
//! protocol. The values start at a place that nobody outside can guess and step by a counter that is shared
//! by few others (RFC 7739 §5.3, the scheme of RFC 6528 for another field), so that they tell nothing of our
//! other traffic.
//!
//! Not here: waiting when 65,536 fragmented datagrams leave for one destination within a segment lifetime
//! (RFC 6864 §4.3 leaves the rate to the sender).

use crate::base::hash::HashKey;
use crate::base::random::Random;
use std::hash::BuildHasher;
use std::net::IpAddr;

/// The identification of a datagram that will not be fragmented (RFC 6864 §4.1).
pub const ATOMIC: u16 = 0;

/// Values that the field can have.
const VALUES: u32 = 1 << 16;

/// Counters; one serves every destination that hashes to it.
const COUNTERS: usize = 2_048;

/// Gives out identifications.
#[derive(Clone, Debug)]
pub struct Identifications {
    offset_key: HashKey,
    counter_key: HashKey,
    counters: Vec<u16>,
    /// The first value to give out, and how many there are: all of them, unless several stacks are one host.
    share: (u32, u32),
}

impl Identifications {
    /// A new sequence for every path.
    pub fn new(random: &mut Random) -> Self {
        Identifications {
            offset_key: HashKey::random(random),
            counter_key: HashKey::random(random),
            counters: (0..COUNTERS).map(|_| random.next_u16()).collect(),
            share: (0, VALUES),
        }
    }

    /// Gives out only the values of stack `index` of `count` that are one host, so that two of them never send
    /// fragments of different datagrams as those of one.
    pub fn take_share(&mut self, index: u16, count: u16) {
        // A power of two divides the round of the counters.
        let size = VALUES / u32::from(count.max(1)).next_power_of_two();
        self.share = (u32::from(index) * size, size);
    }

    /// The next identification on the way from `source` to `destination`.
    pub fn next(&mut self, source: IpAddr, destination: IpAddr, protocol: u8) -> u16 {
        self.next_of(source, destination, protocol, 1)
    }

    /// The first of the next `count` identifications: whoever cuts a train gives each datagram the next one.
    pub fn next_of(&mut self, source: IpAddr, destination: IpAddr, protocol: u8, count: u16) -> u16 {
        let path = (source, destination, protocol);
        let offset = self.offset_key.hash_one(path) as u16;
        let slot = self.counter_key.hash_one(path) as usize % COUNTERS;
        let Some(counter) = self.counters.get_mut(slot) else { return offset };
        let (first, size) = self.share;
        let mut next = counter.wrapping_add(1);
        let place = u32::from(offset.wrapping_add(next)) % size;
        if place + u32::from(count) > size {
            // A train does not leave our share of the values.
            next = next.wrapping_add((size - place) as u16);
        }
        *counter = next.wrapping_add(count.saturating_sub(1));
        (first + u32::from(offset.wrapping_add(next)) % size) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn one_path_sees_no_value_twice_in_a_whole_round() {
        // RFC 6864 §4.3: not repeated within one maximum datagram lifetime.
        let mut identifications = Identifications::new(&mut Random::from_seed(1));
        let values: HashSet<u16> = (0..65_536).map(|_| identifications.next(A, B, 17)).collect();
        assert_eq!(values.len(), 65_536);
    }

    #[test]
    fn stacks_that_are_one_host_share_the_values_out() {
        let values = |index| -> HashSet<u16> {
            let mut identifications = Identifications::new(&mut Random::from_seed(u64::from(index)));
            identifications.take_share(index, 3);
            (0..16_384).map(|_| identifications.next(A, B, 17)).collect()
        };
        let all: HashSet<u16> = (0..3).flat_map(values).collect();
        assert_eq!(all.len(), 3 * 16_384, "no value is used again before all were, nor by two");
    }

    #[test]
    fn the_datagrams_of_a_train_take_a_value_each() {
        let mut identifications = Identifications::new(&mut Random::from_seed(1));
        let first = identifications.next_of(A, B, 17, 10);
        assert_eq!(identifications.next(A, B, 17), first.wrapping_add(10));
        // A share has an end, which no train crosses.
        identifications.take_share(1, 4);
        let firsts: Vec<u16> = (0..300).map(|_| identifications.next_of(A, B, 17, 64)).collect();
        assert!(firsts.iter().all(|first| (16_384..=32_768 - 64).contains(first)), "{firsts:?}");
    }

    #[test]
    fn the_values_of_one_path_tell_nothing_of_another() {
        let starts: HashSet<u16> = (0..100u64)
            .map(|seed| {
                let mut identifications = Identifications::new(&mut Random::from_seed(seed));
                let here = identifications.next(A, B, 17);
                here.wrapping_sub(identifications.next(B, A, 17))
            })
            .collect();
        assert!(starts.len() > 95, "the distance between two paths' values differs from run to run");
    }
}
