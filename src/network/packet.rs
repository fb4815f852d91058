//! The packet as the floors hand it to each other, whichever address family it has.

use crate::datalink::InterfaceId;
use crate::physical::frame::{Body, ReceivedChecksum};
use bytes::Bytes;
use smallvec::SmallVec;
use std::net::IpAddr;

/// Protocol numbers of the IP header.
pub mod protocol {
    /// ICMP (RFC 792).
    pub const ICMP: u8 = 1;
    /// IGMP (RFC 3376).
    pub const IGMP: u8 = 2;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
}

/// To whom a received packet was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cast {
    /// One of our own addresses.
    Unicast,
    /// The limited broadcast or the directed broadcast of a network we are on.
    Broadcast,
    /// A multicast group.
    Multicast,
}

/// A packet for this host whose IP header is checked and whose fragments are joined.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The sender.
    pub source: IpAddr,
    /// The receiver: one of ours, or a group or broadcast address.
    pub destination: IpAddr,
    /// The protocol of the payload.
    pub protocol: u8,
    /// TTL or hop limit as it arrived.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// How it addressed us.
    pub cast: Cast,
    /// The transport header and what follows it.
    pub payload: Bytes,
    /// The datagram from its IP header on, as it arrived (of a reassembled one, its first fragment): what
    /// an ICMP error quotes.
    pub datagram: Bytes,
    /// What is known of the transport checksum.
    pub checksum: ReceivedChecksum,
    /// For a super-segment, the payload bytes of each segment it stands for.
    pub segment_size: Option<u16>,
    /// The interface it came in on.
    pub interface: InterfaceId,
}

/// The header of a transport, built in place. 60 bytes of TCP with all options fit.
pub type TransportHeader = SmallVec<[u8; 64]>;

/// A datagram that a transport hands down.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// The sender, one of ours.
    pub source: IpAddr,
    /// The receiver.
    pub destination: IpAddr,
    /// The protocol of the payload.
    pub protocol: u8,
    /// TTL or hop limit; [`DEFAULT_HOP_LIMIT`] unless the sender asks for another.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// May not be fragmented on the way: a datagram that is too big comes back as an error.
    pub dont_fragment: bool,
    /// IPv4 options, padded to four bytes; empty for nearly all (IGMP sends Router Alert).
    pub options: SmallVec<[u8; 8]>,
    /// The transport header.
    pub header: TransportHeader,
    /// What follows it.
    pub body: Body,
    /// Where in the transport header the checksum field stands. It holds the folded sum of the
    /// pseudo-header, and whoever is last on the way out completes it. `None`: nothing to complete.
    pub checksum_offset: Option<u16>,
    /// For a super-segment, the payload bytes of each segment to cut it into.
    pub segment_size: Option<u16>,
    /// All of those segments keep the CWR flag of TCP (RFC 9768 §3.3.4).
    pub keeps_cwr: bool,
    /// The interface to leave by, where the route must not decide (broadcast, multicast, replies to a link).
    pub interface: Option<InterfaceId>,
}

/// The hop limit of what this host sends (RFC 1122 §3.2.1.7; the value is IANA's recommendation).
pub const DEFAULT_HOP_LIMIT: u8 = 64;

impl Datagram {
    /// A datagram with the default hop limit and nothing special asked for.
    pub fn new(source: IpAddr, destination: IpAddr, protocol: u8, header: TransportHeader, body: Body) -> Self {
        Datagram {
            source,
            destination,
            protocol,
            hop_limit: DEFAULT_HOP_LIMIT,
            traffic_class: 0,
            dont_fragment: false,
            options: SmallVec::new(),
            header,
            body,
            checksum_offset: None,
            segment_size: None,
            keeps_cwr: false,
            interface: None,
        }
    }

    /// The bytes after the IP header.
    pub fn payload_len(&self) -> usize {
        self.header.len() + self.body.iter().map(Bytes::len).sum::<usize>()
    }
}

/// What transports ask about the way to a peer. The stack's network floor answers; tests answer as they like.
pub trait Paths {
    /// The source address to use towards `destination`, or `None` without a route (RFC 1122 §3.3.4.3).
    fn source_for(&self, destination: IpAddr) -> Option<IpAddr>;
    /// The largest IP packet, headers included, that fits the way to `destination` as far as known.
    fn mtu_to(&self, destination: IpAddr) -> u16;
    /// True if `address` is one of ours.
    fn is_local(&self, address: IpAddr) -> bool;
    /// True if nobody has to forward what is sent to `destination`.
    fn is_direct(&self, _destination: IpAddr) -> bool {
        false
    }
}

/// A transport-related ICMP error, as the transports need it: what went wrong, and the quoted beginning
/// of the packet it is about.
#[derive(Clone, Debug)]
pub struct PathError {
    /// What the message says.
    pub kind: PathErrorKind,
    /// Our address: the source of the quoted packet.
    pub local: IpAddr,
    /// The peer's address: the destination of the quoted packet.
    pub remote: IpAddr,
    /// The protocol of the quoted packet.
    pub protocol: u8,
    /// The quoted transport header: at least eight bytes (RFC 792), usually more.
    pub quote: Bytes,
    /// Who sent the error: the peer or a router on the way.
    pub reporter: IpAddr,
}

/// What an ICMP error says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathErrorKind {
    /// The network is unreachable: a soft error (RFC 1122 §4.2.3.9).
    NetworkUnreachable,
    /// The host is unreachable: a soft error.
    HostUnreachable,
    /// The protocol is unreachable: a hard error.
    ProtocolUnreachable,
    /// The port is unreachable: a hard error.
    PortUnreachable,
    /// Forbidden by a filter.
    Prohibited,
    /// The packet did not fit; the MTU of the next hop, already checked against the path's and the minimum.
    PacketTooBig {
        /// The MTU to use.
        mtu: u16,
    },
    /// The TTL ran out on the way.
    TimeExceeded,
    /// A header field was wrong.
    ParameterProblem,
}
