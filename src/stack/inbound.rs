//! The way up: from a frame to the transport whose packet it carries. Every frame ends as one [`Outcome`].
//!
//! ```text
//!   frame -> interface (device, VLAN) -> for this station? -> ARP
//!                                                          -> IPv4 -> checks -> for this host? -> fragments -> transport
//!                                                                           \-> forwarding
//! ```

use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::base::time::Instant;
use crate::datalink::InterfaceId;
use crate::datalink::Mac;
use crate::datalink::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, EthernetFrame};
use crate::network::address;
use crate::network::icmp::errors::ErrorKind;
use crate::network::ipv4::{self, Ipv4};
use crate::network::options::{self, Problem};
use crate::network::packet::{Cast, Packet, Paths, protocol};
use crate::physical::frame::{DeviceId, Frame, ReceivedChecksum};
use crate::stack::Stack;
use crate::stack::siblings::Round;
use bytes::Bytes;
use std::net::IpAddr;

/// How the frame addressed this station.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LinkCast {
    /// Our own station address.
    Host,
    /// All stations or a group.
    Group,
}

/// An IPv4 packet on its way up, with what the frame told about it.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) interface: InterfaceId,
    pub(crate) link: LinkCast,
    /// The whole datagram, link padding cut off.
    pub(crate) bytes: Bytes,
    pub(crate) checksum: ReceivedChecksum,
    pub(crate) segment_size: Option<u16>,
}

impl Stack {
    /// Finds the interface, counts, and hands the frame on.
    pub(crate) fn receive_frame(&mut self, now: Instant, device: DeviceId, frame: Frame) -> Outcome {
        let ethernet = match ethernet::parse(&frame.bytes) {
            Ok(ethernet) => ethernet,
            Err(reason) => return Outcome::Dropped(reason),
        };
        // A priority tag (VLAN 0) marks an untagged frame (IEEE 802.1Q §6.9.1).
        let vlan = ethernet.vlan.map(|tag| tag.id).filter(|id| *id != 0);
        let interface = self.internet.interfaces.iter_mut().find(|i| i.device == device && i.vlan == vlan);
        let Some(interface) = interface else { return Outcome::Dropped(DropReason::UnknownVlan) };
        let id = interface.id;
        interface.traffic.received_frames += 1;
        interface.traffic.received_bytes += frame.bytes.len() as u64;
        let outcome = self.receive_ethernet(now, id, ethernet, &frame).unwrap_or_else(Outcome::Dropped);
        if let (Outcome::Dropped(_), Some(interface)) = (outcome, self.internet.interface_mut(id)) {
            interface.traffic.received_dropped += 1;
        }
        outcome
    }

    fn receive_ethernet(
        &mut self,
        now: Instant,
        id: InterfaceId,
        ethernet: EthernetFrame,
        frame: &Frame,
    ) -> Result<Outcome, DropReason> {
        let interface = self.internet.interface(id).filter(|interface| interface.up);
        let interface = interface.ok_or(DropReason::InterfaceDown)?;
        if ethernet.source.is_group() || ethernet.source == interface.mac || ethernet.source == Mac::default() {
            return Err(DropReason::BadSourceMac);
        }
        let link = if ethernet.destination == interface.mac {
            LinkCast::Host
        } else if ethernet.destination.is_group() {
            LinkCast::Group
        } else {
            return Err(DropReason::NotOurMac);
        };
        match ethernet.ether_type {
            ETHERTYPE_ARP => self.receive_arp(now, id, &ethernet.payload),
            ETHERTYPE_IPV4 => {
                let (checksum, segment_size) = (frame.checksum, frame.segment_size);
                let arrival = Arrival { interface: id, link, bytes: ethernet.payload, checksum, segment_size };
                self.receive_ipv4(now, arrival)
            }
            _ => Err(DropReason::UnknownEtherType),
        }
    }

    fn receive_ipv4(&mut self, now: Instant, mut arrival: Arrival) -> Result<Outcome, DropReason> {
        self.counters.count(Counter::IpInReceives);
        let header = ipv4::parse(&arrival.bytes)?;
        arrival.bytes.truncate(header.total_len);
        self.check_addresses(&header)?;
        match options::check(header.options()) {
            Ok(_) => {}
            Err(Problem::Malformed { pointer }) => {
                self.report(now, &arrival, ErrorKind::ParameterProblem { pointer });
                return Err(DropReason::IpOptionMalformed);
            }
            Err(Problem::SourceRoute) => {
                self.report(now, &arrival, ErrorKind::SourceRouteFailed);
                return Err(DropReason::SourceRoute);
            }
        }
        match self.cast_of(&header, arrival.interface) {
            Some(cast) => {
                // RFC 1122 §3.3.6: a unicast datagram in a link broadcast is discarded in silence.
                if cast == Cast::Unicast && arrival.link == LinkCast::Group {
                    return Err(DropReason::LinkBroadcast);
                }
                self.receive_for_us(now, arrival, &header, cast)
            }
            None if header.destination.is_multicast() => Err(DropReason::NotAMember),
            None if arrival.link == LinkCast::Group => Err(DropReason::LinkBroadcast),
            None if self.forwarding => self.forward(now, &arrival, &header),
            None => Err(DropReason::NotForUs),
        }
    }

    /// RFC 1122 §3.2.1.3, RFC 1812 §5.3.7: addresses no datagram may carry.
    fn check_addresses(&self, header: &Ipv4) -> Result<(), DropReason> {
        address::check_source(header.source, header.destination)?;
        address::check_destination(header.destination)?;
        let source = IpAddr::V4(header.source);
        if self.internet.is_local(source) || self.internet.directed_broadcast(source).is_some() {
            return Err(DropReason::MartianSource);
        }
        Ok(())
    }

    /// How the datagram addresses this host, if it does. Any of our addresses will do, on whichever
    /// interface it came in: the weak end system model of RFC 1122 §3.3.4.2.
    fn cast_of(&self, header: &Ipv4, interface: InterfaceId) -> Option<Cast> {
        if self.internet.is_local(IpAddr::V4(header.destination)) {
            return Some(Cast::Unicast);
        }
        self.internet.interface(interface)?.group_cast(header.destination)
    }

    fn receive_for_us(
        &mut self,
        now: Instant,
        arrival: Arrival,
        header: &Ipv4,
        cast: Cast,
    ) -> Result<Outcome, DropReason> {
        let (payload, datagram, checksum, segment_size, traffic_class) = if header.is_fragment() {
            self.counters.count(Counter::IpReasmReqds);
            match self.reassembly.receive(arrival.interface, header, now) {
                Ok(None) => return Ok(Outcome::Consumed),
                Ok(Some(whole)) => {
                    self.counters.count(Counter::IpReasmOKs);
                    (whole.payload, whole.first.bytes, ReceivedChecksum::Unverified, None, whole.first.tos)
                }
                Err(reason) => {
                    self.counters.count(Counter::IpReasmFails);
                    return Err(reason);
                }
            }
        } else {
            (header.payload(), arrival.bytes, arrival.checksum, arrival.segment_size, header.tos)
        };
        let packet = Packet {
            source: IpAddr::V4(header.source),
            destination: IpAddr::V4(header.destination),
            protocol: header.protocol,
            hop_limit: header.ttl,
            traffic_class,
            cast,
            payload,
            datagram,
            checksum,
            segment_size,
            interface: arrival.interface,
        };
        Ok(self.deliver(now, &packet, arrival.link, self.new_round()))
    }

    /// Hands a packet to its transport, and says what a host has to say when there is none. What nobody here is for
    /// goes on its `round` of the other stacks first.
    pub(crate) fn deliver(&mut self, now: Instant, packet: &Packet, link: LinkCast, round: Option<Round>) -> Outcome {
        self.counters.count(Counter::IpInDelivers);
        let next = self.next_stack(packet, round);
        let outcome = self.hand_up(now, packet, next.is_none());
        match (outcome, next) {
            (
                Outcome::Dropped(
                    DropReason::TcpNoConnection
                    | DropReason::TcpBadCookie
                    | DropReason::UdpNoPort
                    | DropReason::IcmpNotInFlight,
                ),
                Some(next),
            ) => return self.pass_on(packet, link, round, next),
            (Outcome::Dropped(DropReason::UdpNoPort), None) => {
                self.report_packet(now, packet, link, ErrorKind::PortUnreachable);
            }
            (Outcome::Dropped(DropReason::UnknownProtocol), _) => {
                self.report_packet(now, packet, link, ErrorKind::ProtocolUnreachable);
            }
            _ => {}
        }
        // Each stack reports the groups that it is in.
        if packet.protocol == protocol::IGMP && round.is_some() {
            self.share_packet(packet, link);
        }
        outcome
    }

    /// Hands a packet to its transport.
    fn hand_up(&mut self, now: Instant, packet: &Packet, may_refuse: bool) -> Outcome {
        match packet.protocol {
            protocol::ICMP => self.receive_icmp(now, packet),
            protocol::IGMP => self.receive_igmp(now, packet),
            protocol::UDP => self.with_udp(now, |udp, cx| udp.receive(packet, cx)),
            protocol::TCP => {
                let outcome = self.with_tcp(now, |tcp, cx| {
                    cx.may_refuse = may_refuse;
                    tcp.receive(packet, cx)
                });
                if outcome == Outcome::Delivered {
                    // RFC 4861 §7.3.1: progress of a connection shows that the neighbour is reachable.
                    self.neighbours.confirm(packet.interface, packet.source, now);
                }
                outcome
            }
            _ => Outcome::Dropped(DropReason::UnknownProtocol),
        }
    }
}
