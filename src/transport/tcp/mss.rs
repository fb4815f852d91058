//! How large a segment may be: RFC 9293 §3.7.1, RFC 6691's rule that the MSS option counts no options.

use crate::transport::tcp::segment::HEADER_LEN;
use std::net::IpAddr;

/// Never cut smaller than this, whatever a peer or a router asks for: the smallest MTU that RFC 791 allows
/// less 40 octets of headers is 28, which would let a stranger multiply the packets we send. Where the path
/// takes less, segments go out without DF and are fragmented.
pub const MIN_MSS: u16 = 88;

/// The header of the network below, without options.
fn network_header_len(peer: IpAddr) -> u16 {
    match peer {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    }
}

/// The largest TCP payload without options that fits an `mtu` on the way to `peer`: what the MSS option
/// announces (RFC 9293 MUST-67) and what bounds what we send (MUST-16).
pub fn mss_for(peer: IpAddr, mtu: u16) -> u16 {
    mtu.saturating_sub(network_header_len(peer) + HEADER_LEN as u16).max(MIN_MSS)
}

/// The packet that carries a payload of `mss` octets to `peer`, options not counted.
pub fn mtu_for(peer: IpAddr, mss: u16) -> u32 {
    u32::from(mss) + u32::from(network_header_len(peer)) + HEADER_LEN as u32
}

/// The MSS of a peer that announced none (RFC 9293 MUST-15).
pub fn default_mss(peer: IpAddr) -> u16 {
    match peer {
        IpAddr::V4(_) => 536,
        IpAddr::V6(_) => 1220,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mss_is_the_mtu_less_both_headers() {
        // RFC 9293 MUST-16, MUST-67.
        assert_eq!(mss_for("192.0.2.1".parse().unwrap(), 1500), 1460);
        assert_eq!(mss_for("2001:db8::1".parse().unwrap(), 1500), 1440);
        assert_eq!(mss_for("192.0.2.1".parse().unwrap(), 10), MIN_MSS);
    }

    #[test]
    fn a_peer_that_says_nothing_gets_the_default() {
        // RFC 9293 MUST-15.
        assert_eq!(default_mss("192.0.2.1".parse().unwrap()), 536);
        assert_eq!(default_mss("2001:db8::1".parse().unwrap()), 1220);
    }
}
