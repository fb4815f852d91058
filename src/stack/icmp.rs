//! ICMP in the lift: what this host answers, what it reports, and whom a received error reaches.

use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::base::time::Instant;
use crate::network::icmp::Message;
use crate::network::icmp::errors::{self, ErrorKind};
use crate::network::icmp::received;
use crate::network::packet::{Cast, Packet, PathErrorKind, Paths, protocol};
use crate::network::{ipv4, options};
use crate::physical::frame::OutFrame;
use crate::stack::Stack;
use crate::stack::inbound::{Arrival, LinkCast};
use crate::stack::outbound::contiguous;
use bytes::Bytes;
use ipnet::Ipv4Net;
use std::net::IpAddr;

/// Milliseconds of a day, after which ICMP timestamps start again (RFC 792).
const DAY_MILLIS: u64 = 86_400_000;

impl Stack {
    pub(crate) fn receive_icmp(&mut self, now: Instant, packet: &Packet) -> Outcome {
        self.counters.count(Counter::IcmpInMsgs);
        let message = match Message::parse(&packet.payload) {
            Ok(message) => message,
            Err(reason) => return Outcome::Dropped(reason),
        };
        match message {
            Message::Unreachable { .. } | Message::TimeExceeded { .. } | Message::ParameterProblem { .. } => {
                self.receive_icmp_error(now, &message, packet.source)
            }
            // DEVIATION(RFC 1122 §3.2.2.2): a redirect is not obeyed. It would let any neighbour take over
            // our routes, which are configured.
            Message::Redirect { .. } | Message::EchoReply { .. } | Message::TimestampReply { .. } => Outcome::Consumed,
            Message::Unknown { .. } => Outcome::Dropped(DropReason::IcmpUnknown),
            // RFC 1122 §3.2.2.6, §3.2.2.8: requests to a broadcast or group address may be ignored, and are.
            Message::Echo { .. } | Message::Timestamp { .. } if packet.cast != Cast::Unicast => Outcome::Consumed,
            Message::Echo { .. } | Message::Timestamp { .. } => self.answer_icmp(now, packet, &message),
        }
    }

    fn answer_icmp(&mut self, now: Instant, packet: &Packet, message: &Message) -> Outcome {
        let millis = (self.unix_origin_millis.wrapping_add(now.as_millis()) % DAY_MILLIS) as u32;
        let (IpAddr::V4(own), IpAddr::V4(peer)) = (packet.destination, packet.source) else {
            return Outcome::Dropped(DropReason::IcmpUnknown);
        };
        let Some(answer) = message.answer(millis) else { return Outcome::Dropped(DropReason::IcmpUnknown) };
        let mut reply = answer.datagram(own, peer);
        reply.traffic_class = packet.traffic_class;
        if let Ok(asked) = ipv4::parse(&packet.datagram)
            && !asked.options().is_empty()
        {
            reply.options = options::for_echo_reply(asked.options(), own, millis);
        }
        self.counters.count(Counter::IcmpOutMsgs);
        match self.send(now, reply) {
            Ok(()) => Outcome::Answered,
            Err(reason) => Outcome::Dropped(reason),
        }
    }

    fn receive_icmp_error(&mut self, now: Instant, message: &Message, reporter: IpAddr) -> Outcome {
        let IpAddr::V4(reporter) = reporter else { return Outcome::Dropped(DropReason::IcmpUnknown) };
        let error = match received::path_error(message, reporter, |address| self.internet.is_local(address)) {
            Ok(error) => error,
            Err(reason) => return Outcome::Dropped(reason),
        };
        let outcome = match error.protocol {
            protocol::TCP => self.with_tcp(now, |tcp, cx| tcp.handle_path_error(&error, cx)),
            protocol::UDP => self.with_udp(now, |udp, cx| udp.handle_path_error(&error, cx)),
            _ => Outcome::Dropped(DropReason::IcmpNotInFlight),
        };
        // Only an error about something that is really in flight changes what is known of the path
        // (RFC 5927 §7.2).
        if let (PathErrorKind::PacketTooBig { mtu }, false) = (error.kind, matches!(outcome, Outcome::Dropped(_)))
            && self.internet.path_mtus.lower(error.remote, mtu, now)
        {
            self.share_path_mtu(error.remote, mtu);
        }
        outcome
    }

    /// Answers a datagram that a transport or the way up refused, if it may be answered.
    pub(crate) fn report_packet(&mut self, now: Instant, packet: &Packet, link: LinkCast, kind: ErrorKind) {
        if packet.cast == Cast::Unicast && link == LinkCast::Host {
            self.report_about(now, &packet.datagram, kind);
        }
    }

    /// Answers a datagram on its way up or through.
    pub(crate) fn report(&mut self, now: Instant, arrival: &Arrival, kind: ErrorKind) {
        if arrival.link == LinkCast::Host {
            self.report_about(now, &arrival.bytes, kind);
        }
    }

    /// Tells the sender of a packet whose next hop did not answer. Our own sockets hear of it directly.
    pub(crate) fn report_unreachable(&mut self, now: Instant, frame: &OutFrame) {
        let link_len = if frame.head.get(12..14) == Some(&[0x81, 0x00]) { 18 } else { 14 };
        let Some(head) = frame.head.get(link_len..) else { return };
        let datagram = contiguous(head, &frame.body);
        self.report_about(now, &datagram, ErrorKind::HostUnreachable);
    }

    /// Builds, limits and sends an ICMP error about `offending`, a whole IPv4 datagram. One of our own that
    /// did not get out comes back to its socket in the same way.
    pub(crate) fn report_about(&mut self, now: Instant, offending: &Bytes, kind: ErrorKind) {
        let Ok(header) = ipv4::parse(offending) else { return };
        let nets: Vec<Ipv4Net> = self.internet.ipv4_nets().collect();
        if !errors::may_be_sent(&header, false, &nets) {
            return;
        }
        let to = IpAddr::V4(header.source);
        // RFC 1122 §3.2.2: from the address the datagram was sent to, if it is ours; RFC 1812 §4.3.2.4: else from
        // the interface the error leaves by.
        let destination = IpAddr::V4(header.destination);
        let source = if self.internet.is_local(destination) { Some(destination) } else { self.internet.source_for(to) };
        let Some(IpAddr::V4(source)) = source else { return };
        if self.internet.is_local(to) {
            let message = kind.message(offending.clone());
            self.receive_icmp_error(now, &message, IpAddr::V4(source));
            return;
        }
        if !self.error_limit.take(to, now) {
            self.counters.count(Counter::IcmpOutRateLimited);
            return;
        }
        if let Some(datagram) = errors::error_datagram(offending, kind, source) {
            self.counters.count(Counter::IcmpOutMsgs);
            // A failure is counted on the way out.
            let _ = self.send(now, datagram);
        }
    }

    /// IGMP: a router asks which groups have members here (RFC 3376 §5.2, RFC 2236 §3).
    pub(crate) fn receive_igmp(&mut self, now: Instant, packet: &Packet) -> Outcome {
        let Some(interface) = self.internet.interface_mut(packet.interface) else {
            return Outcome::Dropped(DropReason::InterfaceDown);
        };
        match ipv4::parse(&packet.datagram).and_then(|ip| interface.membership.receive(&ip, now)) {
            Ok(()) => Outcome::Consumed,
            Err(reason) => Outcome::Dropped(reason),
        }
    }

    /// Sends the membership reports that are due.
    pub(crate) fn send_reports(&mut self, now: Instant) {
        for index in 0..self.internet.interfaces.len() {
            while let Some(interface) = self.internet.interfaces.get_mut(index) {
                let source = interface.usable().map(|net| net.addr()).find(IpAddr::is_ipv4);
                if let Some(IpAddr::V4(source)) = source {
                    interface.membership.set_source(source);
                }
                interface.membership.handle_timeout(now);
                let Some(report) = interface.membership.poll_transmit() else { break };
                self.counters.count(Counter::IgmpOutReports);
                let _ = self.send(now, report);
            }
        }
    }
}
