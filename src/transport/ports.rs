//! Ports: the three ranges, who may have which, and how one is chosen when nobody asked for one.
//!
//! The ranges are those of RFC 6335 §6. Reserved (system) ports are bindable only where the [`Policy`]
//! names them. Ephemeral ports are chosen by RFC 6056 §3.3.4, "double-hash port selection" (algorithm 4):
//! towards one destination they are used one after the other, so that a port comes back as late as
//! possible, and what is seen of them at one destination tells nothing about another. Where there is no
//! destination (a UDP socket that talks to anyone), they are simply random (RFC 6056 §3.3.1).
//!
//! Not here: which ports are in use. Each transport knows its own and says so when it asks.

use crate::base::hash::HashKey;
use crate::base::random::Random;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// The transport a port belongs to: UDP and TCP have separate ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        })
    }
}

/// The ranges of RFC 6335 §6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Range {
    /// System ports, also "well known": 0 to 1023.
    Reserved,
    /// User ports, also "registered": 1024 to 49151.
    User,
    /// Dynamic ports, also "private" or "ephemeral": 49152 to 65535, never assigned to anything.
    Dynamic,
}

/// The dynamic range, from which ephemeral ports are taken.
pub const DYNAMIC: RangeInclusive<u16> = 49_152..=65_535;

impl Range {
    /// The range that `port` lies in.
    pub fn of(port: u16) -> Range {
        match port {
            0..=1_023 => Range::Reserved,
            1_024..=49_151 => Range::User,
            49_152..=65_535 => Range::Dynamic,
        }
    }
}

/// Which reserved ports may be bound: only those that the configuration names. All other ports are free
/// to anyone.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    allowed: BTreeSet<(Protocol, u16)>,
}

/// A reserved port that the configuration does not name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAllowed {
    /// The transport.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotAllowed { protocol, port } = self;
        write!(f, "{protocol} port {port} is reserved (below 1024) and no configured service names it")
    }
}

impl std::error::Error for NotAllowed {}

impl Policy {
    /// No reserved port may be bound.
    pub fn new() -> Self {
        Policy::default()
    }

    /// Lets `port` be bound although it may be reserved.
    pub fn allow(&mut self, protocol: Protocol, port: u16) {
        self.allowed.insert((protocol, port));
    }

    /// Takes back what [`Policy::allow`] gave. Sockets that are bound already stay so.
    pub fn revoke(&mut self, protocol: Protocol, port: u16) {
        self.allowed.remove(&(protocol, port));
    }

    /// Whether `port` may be bound. Port 0 always may: it asks for any port.
    ///
    /// # Errors
    /// The port is reserved and not named.
    pub fn check(&self, protocol: Protocol, port: u16) -> Result<(), NotAllowed> {
        if port == 0 || Range::of(port) != Range::Reserved || self.allowed.contains(&(protocol, port)) {
            return Ok(());
        }
        Err(NotAllowed { protocol, port })
    }
}

/// Entries of the table that spaces the destinations apart (RFC 6056 §3.3.4 suggests 10 or more).
const TABLE: usize = 256;

/// Which of `count` stacks that are one host takes `port` as an ephemeral one; `None` for ports that are none.
pub fn owner(port: u16, count: u16) -> Option<u16> {
    DYNAMIC.contains(&port).then(|| port.checked_rem(count).unwrap_or(0))
}

/// Chooses ephemeral ports.
#[derive(Clone, Debug)]
pub struct Ephemeral {
    range: RangeInclusive<u16>,
    /// Every so manyth port of the range is ours to choose.
    stride: u16,
    /// F's secret: where a destination starts.
    offset_key: HashKey,
    /// G's secret: which counter a destination shares.
    table_key: HashKey,
    table: Vec<u16>,
}

impl Ephemeral {
    /// Chooses from the dynamic range with secrets of its own.
    pub fn new(random: &mut Random) -> Self {
        Ephemeral::within(DYNAMIC, random)
    }

    /// Chooses from another range; an empty one never yields a port.
    pub fn within(range: RangeInclusive<u16>, random: &mut Random) -> Self {
        let offset_key = HashKey::random(random);
        let table_key = HashKey::random(random);
        // RFC 6056 §3.3.4: the table starts with random values.
        let table = (0..TABLE).map(|_| random.next_u16()).collect();
        Ephemeral { range, stride: 1, offset_key, table_key, table }
    }

    /// Chooses from now on only ports whose [`owner`] is stack `index` of `count`.
    pub fn take_share(&mut self, index: u16, count: u16) {
        // A range has more ports than there are stacks.
        if let Some(first) = self.range.clone().find(|port| owner(*port, count) == Some(index)) {
            self.range = first..=*self.range.end();
            self.stride = count.max(1);
        }
    }

    fn count(&self) -> u64 {
        self.range.clone().count().div_ceil(usize::from(self.stride)) as u64
    }

    fn port(&self, step: u64) -> u16 {
        self.range.start() + step as u16 * self.stride
    }

    /// A free port for a conversation from `local` to `remote`. `None` if every port of the range is
    /// taken towards it.
    pub fn towards(&mut self, local: IpAddr, remote: SocketAddr, mut is_free: impl FnMut(u16) -> bool) -> Option<u16> {
        let count = self.count();
        let offset = self.offset_key.hash_one((local, remote));
        let index = self.table_key.hash_one((local, remote)) as usize % TABLE;
        let next = self.table.get_mut(index)?;
        for _ in 0..count {
            let step = offset.wrapping_add(u64::from(*next)) % count;
            *next = next.wrapping_add(1);
            let port = self.range.start() + step as u16 * self.stride;
            if is_free(port) {
                return Some(port);
            }
        }
        None
    }

    /// A free port for conversations with anyone: the first free one after a random start.
    pub fn any(&mut self, random: &mut Random, mut is_free: impl FnMut(u16) -> bool) -> Option<u16> {
        let count = self.count();
        let start = random.below(count);
        (0..count).map(|step| self.port((start + step) % count)).find(|port| is_free(*port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(n: u8) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, n], 80))
    }

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn the_ranges_are_those_of_rfc_6335() {
        let borders = [0, 1023, 1024, 49_151, 49_152, 65_535].map(Range::of);
        use Range::{Dynamic, Reserved, User};
        assert_eq!(borders, [Reserved, Reserved, User, User, Dynamic, Dynamic]);
    }

    #[test]
    fn a_reserved_port_needs_to_be_named_for_its_protocol() {
        let mut policy = Policy::new();
        policy.allow(Protocol::Tcp, 80);
        assert_eq!(policy.check(Protocol::Tcp, 80), Ok(()));
        assert_eq!(policy.check(Protocol::Udp, 80), Err(NotAllowed { protocol: Protocol::Udp, port: 80 }));
        assert!(policy.check(Protocol::Tcp, 1023).is_err());
        assert_eq!(policy.check(Protocol::Tcp, 1024), Ok(()));
        assert_eq!(policy.check(Protocol::Udp, 0), Ok(()));
        policy.revoke(Protocol::Tcp, 80);
        assert!(policy.check(Protocol::Tcp, 80).is_err());
    }

    #[test]
    fn ports_towards_one_destination_come_back_only_after_the_whole_range() {
        let mut ports = Ephemeral::new(&mut Random::from_seed(7));
        let used: BTreeSet<u16> =
            (0..16_384).map(|_| ports.towards(LOCAL, destination(1), |_| true).unwrap()).collect();
        assert_eq!(used.len(), 16_384);
        assert!(used.iter().all(|port| Range::of(*port) == Range::Dynamic));
    }

    #[test]
    fn destinations_and_runs_start_at_ports_of_their_own() {
        let first =
            |seed, n| Ephemeral::new(&mut Random::from_seed(seed)).towards(LOCAL, destination(n), |_| true).unwrap();
        let by_destination: BTreeSet<u16> = (0..100).map(|n| first(1, n)).collect();
        let by_run: BTreeSet<u16> = (0..100).map(|seed| first(seed, 1)).collect();
        assert!(by_destination.len() > 95 && by_run.len() > 95);
    }

    #[test]
    fn a_run_does_not_go_on_where_another_with_the_same_secrets_began() {
        // RFC 6056 §3.3.4: the counters start with random values, so that they tell nothing about how many ports were
        // used.
        let ports = Ephemeral::new(&mut Random::from_seed(7));
        let counters: BTreeSet<u16> = ports.table.iter().copied().collect();
        assert!(counters.len() > TABLE / 2, "{} different ones", counters.len());
    }

    #[test]
    fn ports_for_anyone_are_random() {
        // RFC 6056 §3.3.1.
        let random = &mut Random::from_seed(7);
        let mut ports = Ephemeral::new(random);
        let chosen: BTreeSet<u16> = (0..100).map(|_| ports.any(random, |_| true).unwrap()).collect();
        assert!(chosen.len() > 95);
    }

    #[test]
    fn stacks_that_are_one_host_share_the_range_out() {
        let random = &mut Random::from_seed(7);
        for count in [1, 2, 3, 64] {
            let mut all = BTreeSet::new();
            for index in 0..count {
                let mut ports = Ephemeral::new(random);
                ports.take_share(index, count);
                let own: BTreeSet<u16> =
                    (0..16_384).map(|_| ports.towards(LOCAL, destination(1), |_| true).unwrap()).collect();
                assert!(own.iter().all(|port| owner(*port, count) == Some(index)));
                assert!((0..50).all(|_| own.contains(&ports.any(random, |_| true).unwrap())));
                all.extend(own);
            }
            assert_eq!(all.len(), 16_384);
        }
        assert_eq!([owner(80, 4), owner(49_151, 4), owner(49_153, 4)], [None, None, Some(1)]);
    }

    #[test]
    fn only_free_ports_are_chosen_and_none_if_there_is_none() {
        let random = &mut Random::from_seed(7);
        let mut ports = Ephemeral::within(50_000..=50_009, random);
        for _ in 0..20 {
            assert_eq!(ports.towards(LOCAL, destination(1), |port| port == 50_007), Some(50_007));
            assert_eq!(ports.any(random, |port| port == 50_003), Some(50_003));
        }
        assert_eq!(ports.towards(LOCAL, destination(1), |_| false), None);
        assert_eq!(ports.any(random, |_| false), None);
    }
}
