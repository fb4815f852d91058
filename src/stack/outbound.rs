//! The way down: from a transport's datagram to a frame for a device.
//!
//! ```text
//!   Datagram -> route -> own address? -> loopback, back up in the same turn
//!                     -> too big?     -> fragments, or an error to the sender
//!                     -> next hop     -> neighbour known? -> outbox -> poll_transmit
//!                                                  else waits in the neighbour's queue
//! ```

use crate::base::counters::Counter;
use crate::base::drops::DropReason;
use crate::base::limits;
use crate::base::time::Instant;
use crate::datalink::ethernet::{self, ETHERTYPE_IPV4};
use crate::datalink::neighbours::Resolve;
use crate::datalink::{InterfaceId, Mac};
use crate::network::fragment::{self, Fragment};
use crate::network::icmp::errors::ErrorKind;
use crate::network::ipv4::{self, Part};
use crate::network::packet::{Datagram, Paths};
use crate::physical::frame::{Body, DeviceId, Head, OutFrame, PartialChecksum};
use crate::stack::Stack;
use crate::stack::internet::Way;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

/// A frame whose station address is not known yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) frame: OutFrame,
}

/// Frames that are ready for their devices, bounded.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<(InterfaceId, DeviceId, OutFrame)>,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, interface: InterfaceId, device: DeviceId, frame: OutFrame) -> Result<(), DropReason> {
        if self.frames.len() >= limits::TRANSMIT_QUEUE || self.bytes >= limits::TRANSMIT_QUEUE_BYTES {
            return Err(DropReason::TransmitQueueFull);
        }
        self.bytes += frame.len();
        self.frames.push_back((interface, device, frame));
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<(InterfaceId, DeviceId, OutFrame)> {
        let next = self.frames.pop_front()?;
        self.bytes -= next.2.len();
        Some(next)
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Stack {
    /// Sends a datagram of ours. `Err` names why it went nowhere; it is counted already.
    pub(crate) fn send(&mut self, now: Instant, datagram: Datagram) -> Result<(), DropReason> {
        self.counters.count(Counter::IpOutRequests);
        let sent = self.route_out(now, datagram);
        if let Err(reason) = sent {
            self.dropped_on_the_way_out(reason);
        }
        sent
    }

    fn route_out(&mut self, now: Instant, datagram: Datagram) -> Result<(), DropReason> {
        let destination = datagram.destination;
        if self.internet.is_local(destination) {
            return self.loop_back(datagram);
        }
        let way = match datagram.interface {
            Some(interface) if is_group(destination) || self.internet.is_on_link(interface, destination) => {
                Way { interface, next_hop: destination }
            }
            _ => self.internet.way_to(destination)?.0,
        };
        self.send_by(now, datagram, way)
    }

    /// Sends a datagram by a way that is decided: cuts it if it has to be.
    fn send_by(&mut self, now: Instant, datagram: Datagram, way: Way) -> Result<(), DropReason> {
        let link_mtu = self.internet.link_mtu(way.interface);
        let mtu = self.internet.path_mtus.mtu_to(datagram.destination, now).map_or(link_mtu, |path| path.min(link_mtu));
        let header_len = ipv4::HEADER_LEN + datagram.options.len();
        let packet_len = match datagram.segment_size {
            Some(size) => header_len + datagram.header.len() + usize::from(size),
            None => header_len + datagram.payload_len(),
        };
        let identification = self.identify(&datagram);
        if packet_len <= usize::from(mtu) {
            let frame = self.frame(datagram, identification, way.interface)?;
            return self.send_frame(now, frame, way);
        }
        if datagram.dont_fragment {
            let whole = outbound_bytes(&datagram);
            self.report_about(now, &whole, ErrorKind::FragmentationNeeded { mtu });
            return Err(DropReason::FragmentationNeeded);
        }
        let fragments = fragment::cut(&datagram, mtu, identification).map_err(|_| DropReason::FragmentationNeeded)?;
        self.counters.count(Counter::IpFragOKs);
        self.counters.add(Counter::IpFragCreates, fragments.len() as u64);
        self.send_fragments(now, fragments, way)
    }

    /// Sends fragments, the first first.
    pub(crate) fn send_fragments(
        &mut self,
        now: Instant,
        fragments: Vec<Fragment>,
        way: Way,
    ) -> Result<(), DropReason> {
        for fragment in fragments {
            let mut head = self.link_head(way.interface)?;
            head.extend_from_slice(&fragment.head);
            let frame = OutFrame { head, body: fragment.body, ..OutFrame::default() };
            self.send_frame(now, frame, way)?;
        }
        Ok(())
    }

    /// The identification of a datagram (RFC 6864): any value for an atomic one.
    fn identify(&mut self, datagram: &Datagram) -> u16 {
        if datagram.dont_fragment {
            return 0;
        }
        let payload = datagram.payload_len() - datagram.header.len();
        let count = datagram.segment_size.map_or(1, |size| payload.div_ceil(usize::from(size.max(1))));
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        self.identifications.next_of(datagram.source, datagram.destination, datagram.protocol, count)
    }

    /// An Ethernet header without its destination, which the neighbour's answer fills in.
    pub(crate) fn link_head(&self, interface: InterfaceId) -> Result<Head, DropReason> {
        let interface = self.internet.interface(interface).ok_or(DropReason::InterfaceDown)?;
        let mut head = Head::new();
        ethernet::emit(&mut head, Mac::default(), interface.mac, interface.tag(), ETHERTYPE_IPV4);
        Ok(head)
    }

    fn frame(&self, datagram: Datagram, identification: u16, interface: InterfaceId) -> Result<OutFrame, DropReason> {
        let mut head = self.link_head(interface)?;
        ipv4::emit(&mut head, &datagram, identification, datagram.payload_len(), Part::WHOLE)
            .map_err(|_| DropReason::IpMalformed)?;
        let start = head.len() as u16;
        head.extend_from_slice(&datagram.header);
        let checksum = datagram.checksum_offset.map(|offset| PartialChecksum { start, offset });
        let Datagram { body, segment_size, keeps_cwr, .. } = datagram;
        Ok(OutFrame { head, body, checksum, segment_size, keeps_cwr })
    }

    /// Finds the station a frame goes to and hands it over, now or when the neighbour has answered.
    pub(crate) fn send_frame(&mut self, now: Instant, frame: OutFrame, way: Way) -> Result<(), DropReason> {
        if let Some(mac) = self.group_mac(way) {
            return self.send_to_station(frame, way.interface, mac);
        }
        let bytes = frame.len();
        match self.neighbours.resolve(way.interface, way.next_hop, Waiting { frame }, bytes, now) {
            Resolve::Known(mac, waiting) => self.send_to_station(waiting.frame, way.interface, mac),
            Resolve::Waiting { dropped } => {
                for _ in dropped {
                    self.dropped_on_the_way_out(DropReason::NeighbourQueueFull);
                }
                self.solicit(now);
                Ok(())
            }
            Resolve::Failed(_) => Err(DropReason::NeighbourUnreachable),
        }
    }

    /// The station address of a next hop that needs no resolution (RFC 894, RFC 1112 §6.4).
    fn group_mac(&self, way: Way) -> Option<Mac> {
        let IpAddr::V4(next_hop) = way.next_hop else { return None };
        if next_hop.is_broadcast() || self.internet.interface(way.interface)?.is_directed_broadcast(next_hop) {
            return Some(Mac::BROADCAST);
        }
        next_hop.is_multicast().then(|| multicast_mac(next_hop))
    }

    /// Puts a frame whose station is known into the outbox.
    pub(crate) fn send_to_station(
        &mut self,
        mut frame: OutFrame,
        interface: InterfaceId,
        station: Mac,
    ) -> Result<(), DropReason> {
        let Some(out) = self.internet.interface(interface).filter(|out| out.up) else {
            return Err(DropReason::InterfaceDown);
        };
        if let Some(destination) = frame.head.get_mut(..station.0.len()) {
            destination.copy_from_slice(&station.0);
        }
        self.outbox.push(interface, out.device, frame)
    }

    /// Counts a packet of ours, or one in transit, that did not leave.
    pub(crate) fn dropped_on_the_way_out(&mut self, reason: DropReason) {
        self.lost.count(crate::base::drops::Outcome::Dropped(reason));
    }

    /// A datagram to ourselves: completed, and put where the next turn receives it. Super-segments stay
    /// whole.
    fn loop_back(&mut self, mut datagram: Datagram) -> Result<(), DropReason> {
        if self.loopback.len() >= limits::TRANSMIT_QUEUE {
            return Err(DropReason::TransmitQueueFull);
        }
        complete(&mut datagram);
        self.loopback.push_back(datagram);
        Ok(())
    }
}

/// Completes a checksum that is left to the device, for a datagram that no device will see.
fn complete(datagram: &mut Datagram) {
    if let Some(offset) = datagram.checksum_offset.take() {
        fragment::complete_checksum(&mut datagram.header, &datagram.body, offset, datagram.protocol);
    }
}

/// A datagram as it would stand on the wire, for an ICMP error to quote; empty if it has no IPv4 header.
pub(crate) fn outbound_bytes(datagram: &Datagram) -> Bytes {
    let mut head = Head::new();
    // A super-segment's length fits the field as one packet of 64 KiB does.
    match ipv4::emit(&mut head, datagram, 0, datagram.payload_len(), Part::WHOLE) {
        Ok(()) => {
            head.extend_from_slice(&datagram.header);
            contiguous(&head, &datagram.body)
        }
        Err(_) => Bytes::new(),
    }
}

/// True for a destination that needs an interface rather than a route.
pub(crate) fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// A header and what follows it, in one piece.
pub(crate) fn contiguous(header: &[u8], body: &Body) -> Bytes {
    let mut whole = BytesMut::with_capacity(header.len() + body.iter().map(Bytes::len).sum::<usize>());
    whole.extend_from_slice(header);
    body.iter().for_each(|part| whole.extend_from_slice(part));
    whole.freeze()
}

/// The station address of a multicast group (RFC 1112 §6.4): its lower 23 bits behind 01:00:5e.
fn multicast_mac(group: Ipv4Addr) -> Mac {
    let [_, b, c, d] = group.octets();
    Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d])
}
