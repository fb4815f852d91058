//! The path MTU of destinations that told us of one smaller than our link's.
//!
//! Implements RFC 1191 §6: remembered per destination, lowered by "fragmentation needed" (whose figure is
//! checked in [`super::icmp::received`]), forgotten after ten minutes so that a larger one is found again (§6.3).
//! Not here: probing without ICMP (RFC 4821).

use crate::base::hash::HashKey;
use crate::base::limits;
use crate::base::lru::LruMap;
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::network::ipv4::MIN_MTU;
use std::net::IpAddr;

/// How long a path MTU is believed (RFC 1191 §6.3).
pub const LIFETIME: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug)]
struct PathMtu {
    mtu: u16,
    expires: Instant,
}

/// The path MTUs, the least recently used of them forgotten first.
#[derive(Clone, Debug)]
pub struct PathMtus {
    table: LruMap<IpAddr, PathMtu>,
}

impl PathMtus {
    /// An empty table with the bound of [`limits::PATH_MTUS`].
    pub fn new(random: &mut Random) -> Self {
        PathMtus { table: LruMap::new(limits::PATH_MTUS, HashKey::random(random)) }
    }

    /// The path MTU to `destination`, unless the link's is all that is known.
    pub fn mtu_to(&self, destination: IpAddr, now: Instant) -> Option<u16> {
        self.table.get(&destination).filter(|path| now < path.expires).map(|path| path.mtu)
    }

    /// Takes in a smaller path MTU. Returns true if it is smaller than what was known. A larger one is never
    /// believed (RFC 1191 §3).
    pub fn lower(&mut self, destination: IpAddr, mtu: u16, now: Instant) -> bool {
        let mtu = mtu.max(MIN_MTU);
        let expires = now + LIFETIME;
        match self.table.touch(&destination) {
            Some(known) if now < known.expires && known.mtu < mtu => false,
            Some(known) => {
                let news = known.mtu != mtu || now >= known.expires;
                *known = PathMtu { mtu, expires };
                news
            }
            None => {
                self.table.insert(destination, PathMtu { mtu, expires });
                true
            }
        }
    }

    /// All that is still believed, the one heard of last first.
    pub fn entries(&self, now: Instant) -> impl Iterator<Item = (IpAddr, u16, Instant)> + '_ {
        self.table
            .iter()
            .filter(move |(_, path)| now < path.expires)
            .map(|(destination, path)| (*destination, path.mtu, path.expires))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn table() -> PathMtus {
        PathMtus::new(&mut Random::from_seed(1))
    }

    #[test]
    fn a_path_mtu_goes_down_and_not_up() {
        // RFC 1191 §3: a host MUST NOT increase its estimate in response to a Datagram Too Big message.
        let mut table = table();
        let now = Instant::from_secs(1);
        assert_eq!(table.mtu_to(A, now), None);
        assert!(table.lower(A, 1400, now));
        assert!(!table.lower(A, 1450, now));
        assert_eq!(table.mtu_to(A, now), Some(1400));
        assert!(table.lower(A, 576, now));
        assert_eq!(table.mtu_to(A, now), Some(576));
    }

    #[test]
    fn a_path_mtu_is_forgotten_after_ten_minutes() {
        // RFC 1191 §6.3.
        let mut table = table();
        let now = Instant::from_secs(1);
        table.lower(A, 576, now);
        assert_eq!(table.mtu_to(A, now + LIFETIME - Duration::from_nanos(1)), Some(576));
        assert_eq!(table.mtu_to(A, now + LIFETIME), None);
        assert_eq!(table.entries(now + LIFETIME).count(), 0);
        assert!(table.lower(A, 1400, now + LIFETIME), "a larger one is news when the smaller one is too old");
    }

    #[test]
    fn no_path_mtu_is_below_the_minimum() {
        // RFC 1191 §3: never below 68 octets.
        let mut table = table();
        table.lower(A, 20, Instant::ZERO);
        assert_eq!(table.mtu_to(A, Instant::ZERO), Some(68));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = table();
        for n in 0..10_000u32 {
            table.lower(Ipv4Addr::from(n).into(), 1000, Instant::ZERO);
        }
        assert_eq!(table.entries(Instant::ZERO).count(), limits::PATH_MTUS);
    }
}
