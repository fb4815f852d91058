//! ICMP errors that we send: when one may be sent, how often, and what it looks like.
//!
//! Implements RFC 1122 §3.2.2 and RFC 1812 §4.3.2. The source of an error is an address of the interface it
//! leaves by (RFC 1812 §4.3.2.4), or the address the offending packet was sent to if that is ours; the caller
//! knows which.

use super::{Message, kind};
use crate::base::bucket::Bucket;
use crate::base::hash::HashKey;
use crate::base::limits;
use crate::base::lru::LruMap;
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::network::address;
use crate::network::ipv4::{HEADER_LEN, Ipv4};
use crate::network::packet::{Datagram, protocol};
use bytes::Bytes;
use ipnet::Ipv4Net;
use std::net::{IpAddr, Ipv4Addr};

/// The longest error, IP header included (RFC 1812 §4.3.2.3: as much of the packet as fits 576 bytes).
const MAX_ERROR_LEN: usize = 576;
/// The fixed part of every error.
const ICMP_HEADER_LEN: usize = 8;
/// Internetwork Control: the precedence of errors (RFC 1812 §4.3.2.5).
const ERROR_TRAFFIC_CLASS: u8 = 0xc0;
/// Errors to one destination a second, and at once: Linux's `icmp_ratelimit` is one a second with a burst of
/// six, which stalls traceroute; this leaves room for its three probes at a time.
const ERRORS_PER_DESTINATION: u32 = 20;
/// Destinations whose errors are counted.
const DESTINATIONS: usize = 1_024;

/// What is wrong with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// No route.
    NetUnreachable,
    /// The last hop did not answer.
    HostUnreachable,
    /// No transport speaks the protocol.
    ProtocolUnreachable,
    /// Nobody listens on the port.
    PortUnreachable,
    /// It does not fit the next link and must not be fragmented.
    FragmentationNeeded {
        /// The MTU of that link.
        mtu: u16,
    },
    /// It carries a source route, which is refused.
    SourceRouteFailed,
    /// Forbidden, the network.
    NetProhibited,
    /// Forbidden, the host.
    HostProhibited,
    /// Forbidden by a filter.
    CommunicationProhibited,
    /// It ran out of hops.
    TtlExceeded,
    /// Its fragments did not all arrive in time.
    ReassemblyTimeExceeded,
    /// A byte of its header made no sense.
    ParameterProblem {
        /// Which byte.
        pointer: u8,
    },
    /// There is a better first hop on its own link.
    Redirect {
        /// The better hop.
        gateway: Ipv4Addr,
    },
}

impl ErrorKind {
    /// The message that quotes `quote`.
    pub(crate) fn message(self, quote: Bytes) -> Message {
        let unreachable = |code, quote| Message::Unreachable { code, mtu: 0, quote };
        match self {
            ErrorKind::NetUnreachable => unreachable(0, quote),
            ErrorKind::HostUnreachable => unreachable(1, quote),
            ErrorKind::ProtocolUnreachable => unreachable(2, quote),
            ErrorKind::PortUnreachable => unreachable(3, quote),
            ErrorKind::FragmentationNeeded { mtu } => Message::Unreachable { code: 4, mtu, quote },
            ErrorKind::SourceRouteFailed => unreachable(5, quote),
            ErrorKind::NetProhibited => unreachable(9, quote),
            ErrorKind::HostProhibited => unreachable(10, quote),
            ErrorKind::CommunicationProhibited => unreachable(13, quote),
            ErrorKind::TtlExceeded => Message::TimeExceeded { code: 0, quote },
            ErrorKind::ReassemblyTimeExceeded => Message::TimeExceeded { code: 1, quote },
            ErrorKind::ParameterProblem { pointer } => Message::ParameterProblem { code: 0, pointer, quote },
            // RFC 1812 §5.2.7.2: a router sends host redirects only.
            ErrorKind::Redirect { gateway } => Message::Redirect { code: 1, gateway, quote },
        }
    }
}

/// True if an error may be sent about a packet. `link_group` says that its frame was a link broadcast or
/// multicast; `nets` are our addresses and their networks.
///
/// RFC 1122 §3.2.2 and RFC 1812 §4.3.2.7: none about an ICMP error, about what was sent to an IP broadcast or multicast
/// or as a link broadcast, about a fragment other than the first, or to a source that is no single host.
pub fn may_be_sent<'a>(
    offending: &Ipv4,
    link_group: bool,
    nets: impl IntoIterator<Item = &'a Ipv4Net> + Clone,
) -> bool {
    let group = |ip: Ipv4Addr| ip.is_multicast() || address::is_broadcast(ip, nets.clone());
    !link_group
        && offending.fragment_offset == 0
        && !group(offending.destination)
        && !group(offending.source)
        && address::is_host(offending.source)
        && !is_about_icmp_error(offending)
}

/// An ICMP message that is not known to be a question or an answer counts as an error: better one too few.
fn is_about_icmp_error(offending: &Ipv4) -> bool {
    if offending.protocol != protocol::ICMP {
        return false;
    }
    !matches!(
        offending.payload().first().copied(),
        Some(
            kind::ECHO_REPLY | kind::ECHO | kind::ROUTER_ADVERTISEMENT | kind::ROUTER_SOLICITATION | kind::TIMESTAMP
                ..=18
        )
    )
}

/// The error about `offending`, the bytes of a datagram from its IP header on as it arrived, to its sender.
/// `None` if they are not even a header. Whether it may be sent is [`may_be_sent`]'s to say.
pub fn error_datagram(offending: &[u8], what: ErrorKind, own_source: Ipv4Addr) -> Option<Datagram> {
    let (header, _) = offending.split_first_chunk::<HEADER_LEN>()?;
    let [.., a, b, c, d, _, _, _, _] = *header;
    let quote = offending.get(..MAX_ERROR_LEN - HEADER_LEN - ICMP_HEADER_LEN).unwrap_or(offending);
    let message = what.message(Bytes::copy_from_slice(quote));
    let mut datagram = message.datagram(own_source, Ipv4Addr::new(a, b, c, d));
    datagram.traffic_class = ERROR_TRAFFIC_CLASS;
    Some(datagram)
}

/// How many errors may leave (RFC 1812 §4.3.2.8), in all and to each destination.
#[derive(Clone, Debug)]
pub struct ErrorLimit {
    overall: Bucket,
    destinations: LruMap<IpAddr, Bucket>,
}

impl ErrorLimit {
    /// Nothing was sent.
    pub fn new(random: &mut Random) -> Self {
        ErrorLimit {
            overall: Bucket::new(limits::ICMP_ERRORS_PER_SECOND, limits::ICMP_ERRORS_BURST),
            destinations: LruMap::new(DESTINATIONS, HashKey::random(random)),
        }
    }

    /// Takes leave to send one error to `destination`.
    pub fn take(&mut self, destination: IpAddr, now: Instant) -> bool {
        if self.destinations.touch(&destination).is_none() {
            self.destinations.insert(destination, Bucket::new(ERRORS_PER_DESTINATION, ERRORS_PER_DESTINATION));
        }
        // The destination's own limit first, so that one that asks for too many does not use up everyone's.
        self.destinations.get_mut(&destination).is_some_and(|bucket| bucket.take(now)) && self.overall.take(now)
    }
}
