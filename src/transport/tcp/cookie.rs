//! SYN cookies: opening a connection without keeping anything of the SYN (RFC 4987 §3.6).
//!
//! When a listener has as many half-open connections as it may, the SYN-ACK's sequence number carries what
//! would have been kept, under a code that only we can make. The ACK that completes the handshake brings it
//! back:
//!
//! ```text
//!   ISS    31                            3 2      0
//!         +-------------------------------+--------+
//!         | code of sockets, IRS and MSS  |  MSS   |    index into MSS_TABLE
//!         +-------------------------------+--------+
//!   TSval  31                          6 5 4 3      0
//!         +----------------------------+-+-+--------+
//!         | clock                      |E|S| scale  |   ECN of RFC 3168, SACK permitted; 15: no window scale
//!         +----------------------------+-+-+--------+
//! ```
//!
//! Accurate ECN takes no bit: the ACE field of the ACK itself tells of it (RFC 9768 §5.1).
//!
//! The options travel in the low bits of the timestamp, which the peer echoes; without timestamps there is
//! no room for them, and the connection does without. The code's secret changes every 64 seconds and the
//! previous one is accepted too, so that a cookie holds for one to two minutes.
//!
//! Not kept of the SYN: its window (the ACK brings one), and data on it (the peer sends it again).

use crate::base::hash::HashKey;
use crate::base::random::Random;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use crate::transport::tcp::mss::MIN_MSS;
use std::hash::BuildHasher;
use std::net::SocketAddr;

/// How long one secret is used for new cookies.
const EPOCH: Duration = Duration::from_secs(64);
/// How long a cookie may be accepted at most.
pub const VALIDITY: Duration = Duration::from_secs(2 * EPOCH.as_secs());

/// Common sizes: the least we ever use, the default, IPv6's, tunnels and PPPoE, Ethernet, jumbo frames. A
/// peer gets the greatest that is not above its own.
const MSS_TABLE: [u16; 8] = [MIN_MSS, 536, 1220, 1360, 1400, 1440, 1460, 8960];
const MSS_BITS: u32 = 3;

/// The low bits of a timestamp that carry options.
const TIMESTAMP_BITS: u32 = 6;
const ECN_BIT: u32 = 1 << 5;
const SACK_BIT: u32 = 1 << 4;
const SCALE_MASK: u32 = 0xf;
const NO_SCALE: u32 = 0xf;

/// Makes and checks cookies.
#[derive(Clone, Debug)]
pub struct Cookies {
    random: Random,
    epoch: u64,
    current: HashKey,
    previous: HashKey,
}

impl Cookies {
    /// Draws the first secrets.
    pub fn new(random: &mut Random) -> Self {
        let mut random = random.fork();
        let (current, previous) = (HashKey::random(&mut random), HashKey::random(&mut random));
        Cookies { random, epoch: 0, current, previous }
    }

    /// A secret key for something else.
    pub(super) fn secret(&mut self) -> HashKey {
        HashKey::random(&mut self.random)
    }

    /// The ISS that stands for the SYN with sequence number `irs` and this MSS.
    pub fn make(&mut self, local: SocketAddr, remote: SocketAddr, irs: Seq, mss: u16, now: Instant) -> Seq {
        self.rotate(now);
        let index = MSS_TABLE.iter().rposition(|entry| *entry <= mss).unwrap_or(0);
        cookie(self.current, local, remote, irs, index as u32)
    }

    /// The MSS of the SYN that `iss` was made for, if it is a cookie that still holds.
    pub fn check(&mut self, local: SocketAddr, remote: SocketAddr, irs: Seq, iss: Seq, now: Instant) -> Option<u16> {
        self.rotate(now);
        let index = iss.0 & ((1 << MSS_BITS) - 1);
        let is_ours =
            [self.current, self.previous].into_iter().any(|key| cookie(key, local, remote, irs, index) == iss);
        if is_ours { MSS_TABLE.get(index as usize).copied() } else { None }
    }

    fn rotate(&mut self, now: Instant) {
        let epoch = now.as_nanos() / EPOCH.as_nanos() as u64;
        if epoch == self.epoch {
            return;
        }
        self.previous = if epoch == self.epoch + 1 { self.current } else { HashKey::random(&mut self.random) };
        self.current = HashKey::random(&mut self.random);
        self.epoch = epoch;
    }
}

fn cookie(key: HashKey, local: SocketAddr, remote: SocketAddr, irs: Seq, index: u32) -> Seq {
    let code = key.hash_one((local, remote, irs, index)) as u32;
    Seq(code << MSS_BITS | index)
}

/// What a timestamp carries of a SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// The peer's shift.
    pub window_scale: Option<u8>,
    /// Both sides permit SACK.
    pub sack: bool,
    /// Both sides do ECN as RFC 3168 has it.
    pub ecn: bool,
}

/// A timestamp that carries the options in its low bits, and is not after `clock`.
pub fn timestamp_with_options(clock: u32, kept: Kept) -> u32 {
    let scale = kept.window_scale.map_or(NO_SCALE, |scale| u32::from(scale) & SCALE_MASK);
    let bits = scale | if kept.sack { SACK_BIT } else { 0 } | if kept.ecn { ECN_BIT } else { 0 };
    let value = clock >> TIMESTAMP_BITS << TIMESTAMP_BITS | bits;
    // Timestamps must not run backwards when the connection goes on with the plain clock.
    if value > clock { value.wrapping_sub(1 << TIMESTAMP_BITS) } else { value }
}

/// What the timestamp that the peer echoed carries.
pub fn options_of_timestamp(echo: u32) -> Kept {
    let scale = echo & SCALE_MASK;
    let window_scale = (scale != NO_SCALE).then_some(scale as u8);
    Kept { window_scale, sack: echo & SACK_BIT != 0, ecn: echo & ECN_BIT != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sockets() -> (SocketAddr, SocketAddr) {
        (SocketAddr::from(([192, 0, 2, 2], 80)), SocketAddr::from(([192, 0, 2, 9], 40_000)))
    }

    const IRS: Seq = Seq(77);

    fn cookies(seed: u64) -> Cookies {
        Cookies::new(&mut Random::from_seed(seed))
    }

    #[test]
    fn a_cookie_brings_back_the_greatest_size_that_is_not_above_the_peers() {
        let (local, remote) = sockets();
        let mut cookies = cookies(1);
        for (mss, kept) in [(0, MIN_MSS), (535, MIN_MSS), (536, 536), (1459, 1440), (1460, 1460), (u16::MAX, 8960)] {
            let iss = cookies.make(local, remote, IRS, mss, Instant::ZERO);
            assert_eq!(cookies.check(local, remote, IRS, iss, Instant::ZERO), Some(kept));
        }
    }

    #[test]
    fn a_cookie_holds_at_least_one_minute_and_at_most_two() {
        let (local, remote) = sockets();
        for made in [0, 30, 63, 64, 1000] {
            let mut cookies = cookies(1);
            let made = Instant::from_secs(made);
            let iss = cookies.make(local, remote, IRS, 1460, made);
            assert!(cookies.clone().check(local, remote, IRS, iss, made + Duration::from_secs(60)).is_some());
            assert_eq!(cookies.check(local, remote, IRS, iss, made + VALIDITY), None);
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_own_connection_and_secret_only() {
        let (local, remote) = sockets();
        let mut ours = cookies(1);
        let iss = ours.make(local, remote, IRS, 1460, Instant::ZERO);
        let other = SocketAddr::from(([192, 0, 2, 9], 40_001));
        assert_eq!(ours.check(local, other, IRS, iss, Instant::ZERO), None);
        assert_eq!(ours.check(local, remote, IRS + 1, iss, Instant::ZERO), None);
        assert_eq!(ours.check(local, remote, IRS, iss + 1, Instant::ZERO), None);
        assert_eq!(cookies(2).check(local, remote, IRS, iss, Instant::ZERO), None);
    }

    proptest! {
        #[test]
        fn a_timestamp_carries_the_options_and_is_not_after_the_clock(
            clock: u32, window_scale in proptest::option::of(0u8..15), sack: bool, ecn: bool,
        ) {
            let kept = Kept { window_scale, sack, ecn };
            let value = timestamp_with_options(clock, kept);
            prop_assert_eq!(options_of_timestamp(value), kept);
            prop_assert!(clock.wrapping_sub(value) < 128);
        }
    }
}
