//! Initial sequence numbers that nobody outside can guess: RFC 6528, RFC 9293 §3.4.1.
//!
//! ISN = M + F(local address, local port, remote address, remote port, secret). M ticks every four
//! microseconds, so that the numbers of one pair of sockets rise from one connection to the next
//! (RFC 9293 MUST-8); F is SipHash with a key of this run, so that the numbers of one pair tell nothing
//! about those of another (MUST-9). The offsets of the timestamps clock (RFC 7323 §5.4) come the same way
//! from a key of their own: they hold for a pair of sockets, so that timestamps rise across its connections.

use crate::base::hash::HashKey;
use crate::base::random::Random;
use crate::base::seq::Seq;
use crate::base::time::Instant;
use std::hash::BuildHasher;
use std::net::SocketAddr;

/// RFC 9293 §3.4.1: the clock ticks every 4 µs.
const TICK_MICROS: u64 = 4;

/// The secrets behind initial sequence numbers and timestamps.
#[derive(Clone, Debug)]
pub struct InitialNumbers {
    sequence_key: HashKey,
    timestamp_key: HashKey,
}

impl InitialNumbers {
    /// Draws the secrets.
    pub fn new(random: &mut Random) -> Self {
        InitialNumbers { sequence_key: HashKey::random(random), timestamp_key: HashKey::random(random) }
    }

    /// The ISS of a connection that is opened at `now`.
    pub fn sequence(&self, local: SocketAddr, remote: SocketAddr, now: Instant) -> Seq {
        Seq(self.sequence_key.hash_one((local, remote)) as u32) + (now.as_micros() / TICK_MICROS) as u32
    }

    /// What is added to the timestamps clock towards this peer.
    pub fn timestamp_offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        self.timestamp_key.hash_one((local, remote)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use std::collections::BTreeSet;

    fn socket(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 2], port))
    }

    #[test]
    fn the_numbers_of_one_pair_rise_with_the_clock() {
        // RFC 9293 MUST-8: 250,000 a second.
        let numbers = InitialNumbers::new(&mut Random::from_seed(1));
        let now = Instant::from_secs(17);
        let first = numbers.sequence(socket(80), socket(1000), now);
        assert_eq!(numbers.sequence(socket(80), socket(1000), now + Duration::from_micros(3)), first);
        assert_eq!(numbers.sequence(socket(80), socket(1000), now + Duration::from_micros(4)), first + 1);
        assert_eq!(numbers.sequence(socket(80), socket(1000), now + Duration::from_secs(1)), first + 250_000);
    }

    #[test]
    fn pairs_and_runs_have_numbers_of_their_own() {
        // RFC 9293 MUST-9, RFC 6528 §3.
        let of = |seed, local, remote| {
            let numbers = InitialNumbers::new(&mut Random::from_seed(seed));
            (
                numbers.sequence(socket(local), socket(remote), Instant::ZERO).0,
                numbers.timestamp_offset(socket(local), socket(remote)),
            )
        };
        let all: BTreeSet<_> = (0..100).flat_map(|n| [of(1, 80, n), of(1, n, 80), of(2, 80, n)]).collect();
        assert_eq!(all.iter().map(|numbers| numbers.0).collect::<BTreeSet<_>>().len(), 299);
        assert_eq!(all.iter().map(|numbers| numbers.1).collect::<BTreeSet<_>>().len(), 299);
    }
}
