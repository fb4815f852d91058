//! What an IPv4 address is: a host, a group, a broadcast, or one that no packet may carry.
//!
//! Implements RFC 1122 §3.2.1.3, RFC 1812 §5.3.7 (martian filtering) and §4.2.2.11, RFC 6890 as far as a table
//! of special addresses concerns a receiver, RFC 3021 (/31 has no broadcast), RFC 3927 §7 (link-local is not
//! forwarded). The documentation blocks (RFC 5737) and private blocks (RFC 1918) are ordinary addresses here:
//! whether they belong on a link is a matter of routes, not of the stack.

use crate::base::drops::DropReason;
use crate::network::packet::Cast;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Checks the source of a received packet against its destination (RFC 1122 §3.2.1.3, RFC 1812 §5.3.7).
///
/// 0.0.0.0 may be the source of a host that has no address yet (§3.2.1.3 (a)): DHCP's broadcasts, and
/// IGMP's reports (RFC 3376 §4.2.13). It is let through to broadcast and multicast alone.
///
/// # Errors
/// [`DropReason::MartianSource`].
pub fn check_source(source: Ipv4Addr, destination: Ipv4Addr) -> Result<(), DropReason> {
    let unconfigured = source.is_unspecified() && (destination.is_broadcast() || destination.is_multicast());
    if unconfigured || is_host(source) { Ok(()) } else { Err(DropReason::MartianSource) }
}

/// Checks the destination of a received packet: 0/8, 127/8 and 240/4 are not for the wire, but for the
/// limited broadcast.
///
/// # Errors
/// [`DropReason::MartianDestination`].
pub fn check_destination(destination: Ipv4Addr) -> Result<(), DropReason> {
    match destination.octets() {
        [255, 255, 255, 255] => Ok(()),
        [0 | 127 | 240..=255, ..] => Err(DropReason::MartianDestination),
        _ => Ok(()),
    }
}

/// True for an address that one host can have: not in 0/8, 127/8, 224/4 or 240/4.
pub fn is_host(address: Ipv4Addr) -> bool {
    !matches!(address.octets(), [0 | 127 | 224..=255, ..])
}

/// True if `address` is the directed broadcast of `net`: all ones in the host part (RFC 1122 §3.2.1.3 (d)).
/// Networks of two addresses (RFC 3021) and of one have none. All zeros is the obsolete form
/// (RFC 1812 §4.2.3.1 asks to take it in); see [`is_network_address`].
pub fn is_directed_broadcast(address: Ipv4Addr, net: &Ipv4Net) -> bool {
    net.prefix_len() < 31 && address == net.broadcast()
}

/// True if `address` is the network itself: all zeros in the host part, the broadcast of the 4.2BSD days.
/// Never a host's address.
pub fn is_network_address(address: Ipv4Addr, net: &Ipv4Net) -> bool {
    net.prefix_len() < 31 && address == net.network()
}

/// True if `address` is the limited broadcast or the directed broadcast, in either form, of one of `nets`.
pub fn is_broadcast<'a>(address: Ipv4Addr, nets: impl IntoIterator<Item = &'a Ipv4Net>) -> bool {
    address.is_broadcast()
        || nets.into_iter().any(|net| is_directed_broadcast(address, net) || is_network_address(address, net))
}

/// How a packet to `destination` addresses a host that has the addresses and networks `nets`; `None` if it
/// does not.
pub fn cast_of<'a>(destination: Ipv4Addr, nets: impl IntoIterator<Item = &'a Ipv4Net> + Clone) -> Option<Cast> {
    if destination.is_multicast() {
        return Some(Cast::Multicast);
    }
    if nets.clone().into_iter().any(|net| net.addr() == destination) {
        return Some(Cast::Unicast);
    }
    is_broadcast(destination, nets).then_some(Cast::Broadcast)
}

/// True if a router may pass on packets from or to `address`: a host's address that is not link-local
/// (RFC 3927 §7, RFC 1812 §5.3.7).
pub fn may_be_forwarded(address: Ipv4Addr) -> bool {
    is_host(address) && !address.is_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn no_packet_comes_from_a_martian() {
        // RFC 1122 §3.2.1.3: MUST silently discard a datagram whose source is invalid; RFC 1812 §5.3.7.
        for source in ["0.0.0.1", "127.0.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255", "0.0.0.0"] {
            assert_eq!(check_source(ip(source), ip("192.0.2.1")), Err(DropReason::MartianSource), "{source}");
        }
        for source in ["1.0.0.1", "126.255.255.255", "128.0.0.1", "192.0.2.1", "223.255.255.255", "169.254.1.1"] {
            assert_eq!(check_source(ip(source), ip("192.0.2.1")), Ok(()), "{source}");
        }
    }

    #[test]
    fn a_host_without_an_address_may_speak_to_everyone() {
        assert_eq!(check_source(ip("0.0.0.0"), ip("255.255.255.255")), Ok(()));
        assert_eq!(check_source(ip("0.0.0.0"), ip("224.0.0.22")), Ok(()));
        assert_eq!(check_source(ip("0.0.0.1"), ip("255.255.255.255")), Err(DropReason::MartianSource));
    }

    #[test]
    fn no_packet_goes_to_a_martian() {
        for destination in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "240.0.0.1", "255.255.255.254"] {
            assert_eq!(check_destination(ip(destination)), Err(DropReason::MartianDestination), "{destination}");
        }
        for destination in ["255.255.255.255", "224.0.0.1", "192.0.2.255", "10.0.0.0"] {
            assert_eq!(check_destination(ip(destination)), Ok(()), "{destination}");
        }
    }

    #[test]
    fn the_directed_broadcast_is_all_ones() {
        assert!(is_directed_broadcast(ip("192.0.2.255"), &net("192.0.2.1/24")));
        assert!(is_directed_broadcast(ip("192.0.2.7"), &net("192.0.2.1/29")));
        assert!(!is_directed_broadcast(ip("192.0.2.8"), &net("192.0.2.1/29")));
        assert!(!is_directed_broadcast(ip("192.0.2.255"), &net("192.0.2.1/16")));
        assert!(is_network_address(ip("192.0.2.0"), &net("192.0.2.1/24")));
    }

    #[test]
    fn networks_of_two_and_of_one_have_no_broadcast() {
        // RFC 3021 §2.1: in a /31 both addresses are hosts.
        for (address, network) in
            [("192.0.2.1", "192.0.2.0/31"), ("192.0.2.0", "192.0.2.1/31"), ("192.0.2.9", "192.0.2.9/32")]
        {
            assert!(!is_broadcast(ip(address), [&net(network)]), "{address} in {network}");
        }
        assert!(is_broadcast(ip("255.255.255.255"), [&net("192.0.2.9/32")]));
    }

    #[test]
    fn a_destination_addresses_us_in_one_of_three_ways() {
        let nets = [net("192.0.2.2/24"), net("203.0.113.1/30")];
        assert_eq!(cast_of(ip("192.0.2.2"), &nets), Some(Cast::Unicast));
        assert_eq!(cast_of(ip("203.0.113.3"), &nets), Some(Cast::Broadcast));
        assert_eq!(cast_of(ip("255.255.255.255"), &nets), Some(Cast::Broadcast));
        assert_eq!(cast_of(ip("224.0.0.1"), &nets), Some(Cast::Multicast));
        assert_eq!(cast_of(ip("192.0.2.3"), &nets), None);
    }

    #[test]
    fn link_local_addresses_are_not_forwarded() {
        assert!(!may_be_forwarded(ip("169.254.7.7")));
        assert!(!may_be_forwarded(ip("224.0.0.9")));
        assert!(may_be_forwarded(ip("10.1.2.3")));
    }
}
