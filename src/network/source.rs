//! Which of our addresses to send from.
//!
//! Implements RFC 1122 §3.3.4.3 (an address of the interface the datagram leaves by, on the network of the next
//! hop), with two of the rules of RFC 6724 §5 that apply to IPv4 as well: the destination itself if it is ours
//! (rule 1), else the longest matching prefix (rule 8). Not here: RFC 6724's scopes, policy table and temporary addresses.

use crate::datalink::InterfaceId;
use crate::network::route::Route;
use ipnet::IpNet;
use std::net::IpAddr;

/// One of our addresses that is fit for use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The address and its network.
    pub net: IpNet,
    /// Its interface.
    pub interface: InterfaceId,
}

/// The source address towards `destination` by `route`; `None` if we have none of its family.
///
/// An address of another interface is used rather than none (RFC 1122 §3.3.4.2, the weak host model), as by a
/// router whose uplink has no address.
pub fn select<'a>(
    candidates: impl IntoIterator<Item = &'a Candidate>,
    route: &Route,
    destination: IpAddr,
) -> Option<IpAddr> {
    let next_hop = route.next_hop(destination);
    let rank = |candidate: &Candidate| {
        let address = candidate.net.addr();
        (
            address == destination,
            route.source == Some(address),
            candidate.interface == route.interface,
            candidate.net.contains(&next_hop),
            matching_bits(address, destination),
        )
    };
    let mut best: Option<(_, IpAddr)> = None;
    for candidate in candidates {
        let address = candidate.net.addr();
        if address.is_ipv4() != destination.is_ipv4() {
            continue;
        }
        let rank = rank(candidate);
        // Among equals the first configured.
        if best.is_none_or(|(other, _)| rank > other) {
            best = Some((rank, address));
        }
    }
    best.map(|(_, address)| address)
}

fn matching_bits(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::route::Origin;

    const LAN: InterfaceId = InterfaceId(0);
    const WAN: InterfaceId = InterfaceId(1);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn candidates() -> [Candidate; 4] {
        let candidate = |net: &str, interface| Candidate { net: net.parse().unwrap(), interface };
        [
            candidate("192.0.2.2/25", LAN),
            candidate("192.0.2.130/25", LAN),
            candidate("203.0.113.2/24", WAN),
            candidate("2001:db8::2/64", WAN),
        ]
    }

    fn route(via: Option<&str>, interface: InterfaceId, source: Option<&str>) -> Route {
        let to = "0.0.0.0/0".parse().unwrap();
        Route { to, via: via.map(ip), interface, metric: 0, source: source.map(ip), origin: Origin::Static }
    }

    #[test]
    fn the_source_is_on_the_network_of_the_next_hop() {
        // RFC 1122 §3.3.4.3: a source address of the interface over which the datagram is sent.
        let pick = |route: &Route, to: &str| select(&candidates(), route, ip(to));
        assert_eq!(pick(&route(Some("192.0.2.129"), LAN, None), "198.51.100.1"), Some(ip("192.0.2.130")));
        assert_eq!(pick(&route(Some("192.0.2.1"), LAN, None), "198.51.100.1"), Some(ip("192.0.2.2")));
        assert_eq!(pick(&route(None, WAN, None), "203.0.113.9"), Some(ip("203.0.113.2")));
    }

    #[test]
    fn a_route_may_name_its_source_but_only_one_of_ours() {
        let pick =
            |source: &str| select(&candidates(), &route(Some("192.0.2.1"), LAN, Some(source)), ip("198.51.100.1"));
        assert_eq!(pick("203.0.113.2"), Some(ip("203.0.113.2")));
        assert_eq!(pick("203.0.113.77"), Some(ip("192.0.2.2")));
    }

    #[test]
    fn to_ourselves_we_speak_from_the_same_address() {
        let to = ip("203.0.113.2");
        assert_eq!(select(&candidates(), &route(None, LAN, None), to), Some(to));
    }

    #[test]
    fn an_address_of_another_interface_is_better_than_none() {
        assert_eq!(
            select(&candidates()[..1], &route(Some("203.0.113.1"), WAN, None), ip("198.51.100.1")),
            Some(ip("192.0.2.2"))
        );
        assert_eq!(select(&candidates()[..3], &route(None, WAN, None), ip("2001:db8::1")), None);
    }
}
