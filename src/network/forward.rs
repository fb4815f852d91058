//! What a router does to a packet that is not for it.
//!
//! Implements RFC 1812 §5.2.1 to §5.3: what may be forwarded at all (§5.2.3, §5.3.4, §5.3.5, §5.3.7), the TTL (§5.3.1), the options
//! (§5.3.13), fragmentation (§5.2.6), the checksum changed and not recomputed (RFC 1624), and when the sender is told of a
//! better first hop (§5.2.7.2). The way out is the routing table's to say; whether an error may be sent, [`super::icmp::errors`]'.
//!
//! The payload is not copied: what goes on is a new header before a slice of what came in. For a super-segment the
//! transport header moves into the head too, because the device repeats it for each segment.
//!
//! Not here: directed broadcasts to other networks (RFC 2644: off by default, here always), multicast routing, filters, NAT.

use crate::base::checksum::Sum;
use crate::base::drops::DropReason;
use crate::network::address;
use crate::network::fragment::{self, CannotCut};
use crate::network::icmp::errors::ErrorKind;
use crate::network::ipv4::{HEADER_LEN, Ipv4};
use crate::network::options::{self, OptionBytes, Problem, Seen};
use crate::network::packet::{TransportHeader, protocol};
use crate::network::route::Route;
use crate::physical::frame::{Body, Head, ReceivedChecksum};
use bytes::Bytes;
use ipnet::Ipv4Net;
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr};

#[cfg(test)]
mod tests;

/// Where the checksum stands in a TCP header.
const TCP_CHECKSUM: u16 = 16;
/// Where the checksum stands in a UDP header.
const UDP_CHECKSUM: u16 = 6;

/// Why a packet is not forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// What it counts as.
    pub reason: DropReason,
    /// What its sender is told, if an error may be sent about it.
    pub error: Option<ErrorKind>,
}

impl Refusal {
    fn silent(reason: DropReason) -> Self {
        Refusal { reason, error: None }
    }

    fn told(reason: DropReason, error: ErrorKind) -> Self {
        Refusal { reason, error: Some(error) }
    }

    /// No route leads to the destination (RFC 1812 §5.2.7.1).
    pub fn no_route() -> Self {
        Refusal::told(DropReason::NoRoute, ErrorKind::NetUnreachable)
    }
}

/// A packet on its way out.
#[derive(Clone, Debug, Default)]
pub struct Onward {
    /// The IP header, and behind it the transport header if the device has work to do on it.
    pub head: Head,
    /// The bytes of `head` that are the IP header.
    pub header_len: usize,
    /// What follows the head.
    pub body: Body,
    /// Where in the transport header stands a checksum that is still to be completed, as in
    /// [`crate::network::packet::Datagram`].
    pub checksum_offset: Option<u16>,
    /// For a super-segment, the payload bytes of each segment.
    pub segment_size: Option<u16>,
}

/// Checks a packet that is not for us before its way out is looked up. `link_group` says that its frame was a link broadcast or
/// multicast.
///
/// # Errors
/// [`Refusal`].
pub fn check(ip: &Ipv4, link_group: bool) -> Result<Seen, Refusal> {
    if link_group {
        // RFC 1812 §5.3.4: a packet received as a link broadcast is not forwarded.
        return Err(Refusal::silent(DropReason::LinkBroadcast));
    }
    if !address::may_be_forwarded(ip.source) {
        return Err(Refusal::silent(DropReason::MartianSource));
    }
    if !address::may_be_forwarded(ip.destination) {
        return Err(Refusal::silent(DropReason::MartianDestination));
    }
    let seen = options::check(ip.options()).map_err(|problem| match problem {
        Problem::SourceRoute => Refusal::told(DropReason::SourceRoute, ErrorKind::SourceRouteFailed),
        Problem::Malformed { pointer } => {
            Refusal::told(DropReason::IpOptionMalformed, ErrorKind::ParameterProblem { pointer })
        }
    })?;
    // RFC 1812 §5.3.1: checked for packets that are forwarded only.
    if ip.ttl <= 1 {
        return Err(Refusal::told(DropReason::TtlExpired, ErrorKind::TtlExceeded));
    }
    Ok(seen)
}

/// Where a packet leaves, and what is known of its transport checksum.
#[derive(Clone, Copy, Debug)]
pub struct WayOut {
    /// The MTU of the link.
    pub mtu: u16,
    /// Our address there, for Record Route and Timestamp.
    pub own: Ipv4Addr,
    /// Any time in milliseconds, for Timestamp.
    pub millis: u32,
    /// What the device it came from said of the transport checksum.
    pub checksum: ReceivedChecksum,
    /// For a super-segment, the payload bytes of each segment.
    pub segment_size: Option<u16>,
}

/// Makes of a packet that passed [`check`] what is to be sent on: one packet, or its fragments.
///
/// # Errors
/// [`Refusal`] if it does not fit and must not be fragmented.
pub fn send_on(ip: &Ipv4, seen: Seen, way: WayOut) -> Result<SmallVec<[Onward; 1]>, Refusal> {
    let ttl = ip.ttl.saturating_sub(1);
    let transport = Transport::of(ip, way.checksum, way.segment_size.is_some());
    let header_len = ip.header_len + transport.header.len();
    let longest = match way.segment_size {
        Some(size) => ip.total_len.min(header_len + usize::from(size)),
        None => ip.total_len,
    };
    if longest <= usize::from(way.mtu) {
        let mut head = rewritten_header(ip, seen, way);
        head.extend_from_slice(&transport.header);
        let body = Body::from_iter(Some(transport.payload).filter(|payload| !payload.is_empty()));
        return Ok(SmallVec::from_iter([Onward {
            head,
            header_len: ip.header_len,
            body,
            checksum_offset: transport.checksum_offset,
            segment_size: way.segment_size,
        }]));
    }
    let mut new_options = OptionBytes::from_slice(ip.options());
    options::fill(&mut new_options, way.own, way.millis);
    let payload = transport.completed(ip.protocol);
    let fragments = match fragment::cut_received(ip, payload, ttl, &new_options, way.mtu) {
        Ok(fragments) => fragments,
        Err(CannotCut::DontFragment) => {
            let error = ErrorKind::FragmentationNeeded { mtu: way.mtu };
            return Err(Refusal::told(DropReason::FragmentationNeeded, error));
        }
        Err(CannotCut::MtuTooSmall | CannotCut::Header(_)) => {
            return Err(Refusal::silent(DropReason::FragmentMalformed));
        }
    };
    let onward = |fragment: fragment::Fragment| Onward {
        header_len: fragment.head.len(),
        head: fragment.head,
        body: fragment.body,
        checksum_offset: None,
        segment_size: None,
    };
    Ok(fragments.into_iter().map(onward).collect())
}

/// True if the sender should be told of a better first hop: the packet leaves by the link it came from, to a next hop on
/// the sender's own network (RFC 1812 §5.2.7.2). `net` is our address on that link.
pub fn is_redirect_due(ip: &Ipv4, came_in: crate::datalink::InterfaceId, route: &Route, net: &Ipv4Net) -> bool {
    let IpAddr::V4(next_hop) = route.next_hop(ip.destination.into()) else { return false };
    came_in == route.interface && net.contains(&ip.source) && net.contains(&next_hop) && next_hop != ip.source
}

/// The checksum field after one word of what it covers changed (RFC 1624 §3, equation 3).
pub fn updated_checksum(checksum: u16, old: u16, new: u16) -> u16 {
    Sum::ZERO.add_u16(!checksum).add_u16(!old).add_u16(new).checksum()
}

/// The header with one hop less, and our part of the options filled in.
fn rewritten_header(ip: &Ipv4, seen: Seen, way: WayOut) -> Head {
    let mut head = Head::from_slice(ip.bytes.get(..ip.header_len).unwrap_or(&[]));
    let Some((fixed, options)) = head.split_first_chunk_mut::<HEADER_LEN>() else { return head };
    let old = u16::from_be_bytes([fixed[8], fixed[9]]);
    fixed[8] = fixed[8].saturating_sub(1);
    let new = u16::from_be_bytes([fixed[8], fixed[9]]);
    let mut checksum = updated_checksum(u16::from_be_bytes([fixed[10], fixed[11]]), old, new);
    if seen.record_route || seen.timestamp {
        let before = Sum::ZERO.add_bytes(options).fold();
        options::fill(options, way.own, way.millis);
        checksum = updated_checksum(checksum, before, Sum::ZERO.add_bytes(options).fold());
    }
    [fixed[10], fixed[11]] = checksum.to_be_bytes();
    head
}

/// A packet's payload, divided where the device has to.
struct Transport {
    header: TransportHeader,
    payload: Bytes,
    checksum_offset: Option<u16>,
}

impl Transport {
    /// Divides off the transport header if the device has to repeat it or to complete the checksum in it. A checksum that was
    /// vouched for may be no more than the pseudo-header's sum, so it is written as that and completed on the way out.
    fn of(ip: &Ipv4, checksum: ReceivedChecksum, is_super: bool) -> Self {
        let whole = |payload| Transport { header: TransportHeader::new(), payload, checksum_offset: None };
        let payload = ip.payload();
        let has_work = is_super || checksum == ReceivedChecksum::Vouched;
        let Some((len, offset)) = transport_header(ip.protocol, &payload).filter(|_| has_work && !ip.is_fragment())
        else {
            return whole(payload);
        };
        let Some((header, rest)) = payload.split_at_checked(len) else { return whole(payload) };
        let mut header = TransportHeader::from_slice(header);
        let mut checksum_offset = None;
        if let Some(field) = header.get_mut(usize::from(offset)..).and_then(|rest| rest.first_chunk_mut::<2>()) {
            // RFC 768: a UDP checksum of zero is none, and stays none.
            if *field != [0, 0] || ip.protocol != protocol::UDP {
                let sum =
                    Sum::ZERO.add_pseudo_header(ip.source.into(), ip.destination.into(), ip.protocol, payload.len());
                *field = sum.fold().to_be_bytes();
                checksum_offset = Some(offset);
            }
        }
        let payload = payload.slice_ref(rest);
        Transport { header, payload, checksum_offset }
    }

    /// Header and payload in one piece, with the checksum completed.
    fn completed(mut self, protocol_number: u8) -> Bytes {
        if self.header.is_empty() {
            return self.payload;
        }
        if let Some(offset) = self.checksum_offset {
            let body = Body::from_iter([self.payload.clone()]);
            fragment::complete_checksum(&mut self.header, &body, offset, protocol_number);
        }
        [&self.header[..], &self.payload[..]].concat().into()
    }
}

/// The length of the transport header and where its checksum stands.
fn transport_header(protocol_number: u8, payload: &[u8]) -> Option<(usize, u16)> {
    match protocol_number {
        protocol::TCP => {
            let len = usize::from(payload.get(12)? >> 4) * 4;
            (len >= 20).then_some((len, TCP_CHECKSUM))
        }
        protocol::UDP => Some((8, UDP_CHECKSUM)),
        _ => None,
    }
}
