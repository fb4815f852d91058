//! Forwarding in the lift: a packet for somebody else goes on to the next hop (RFC 1812 §5).

use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::base::time::Instant;
use crate::network::forward::{self, Onward, Refusal, WayOut};
use crate::network::icmp::errors::ErrorKind;
use crate::network::ipv4::Ipv4;
use crate::physical::frame::{OutFrame, PartialChecksum};
use crate::stack::Stack;
use crate::stack::inbound::{Arrival, LinkCast};
use crate::stack::internet::Way;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

impl Stack {
    pub(crate) fn forward(&mut self, now: Instant, arrival: &Arrival, ip: &Ipv4) -> Result<Outcome, DropReason> {
        self.forward_or_refuse(now, arrival, ip).map_err(|refusal| {
            if let Some(kind) = refusal.error {
                self.report(now, arrival, kind);
            }
            refusal.reason
        })
    }

    fn forward_or_refuse(&mut self, now: Instant, arrival: &Arrival, ip: &Ipv4) -> Result<Outcome, Refusal> {
        let silent = |reason| Refusal { reason, error: None };
        let seen = forward::check(ip, arrival.link == LinkCast::Group)?;
        let destination = IpAddr::V4(ip.destination);
        // RFC 2644: directed broadcasts are not forwarded.
        if self.internet.directed_broadcast(destination).is_some() {
            return Err(silent(DropReason::MartianDestination));
        }
        let route = *self.internet.routes.lookup(destination).ok_or_else(Refusal::no_route)?;
        let way = Way { interface: route.interface, next_hop: route.next_hop(destination) };
        let out = self.internet.interface(way.interface).ok_or_else(Refusal::no_route)?;
        let own = match out.source_towards(way.next_hop) {
            Some(IpAddr::V4(own)) => own,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let millis = self.unix_origin_millis.wrapping_add(now.as_millis()) as u32;
        let onward = forward::send_on(
            ip,
            seen,
            WayOut { mtu: out.mtu, own, millis, checksum: arrival.checksum, segment_size: arrival.segment_size },
        )?;
        if onward.len() > 1 {
            self.counters.count(Counter::IpFragOKs);
            self.counters.add(Counter::IpFragCreates, onward.len() as u64);
        }
        self.redirect(now, arrival, ip, &way, &route);
        self.counters.count(Counter::IpForwDatagrams);
        for packet in onward {
            let frame = self.onward_frame(packet, way).map_err(silent)?;
            self.send_frame(now, frame, way).map_err(|reason| Refusal {
                reason,
                error: (reason == DropReason::NeighbourUnreachable).then_some(ErrorKind::HostUnreachable),
            })?;
        }
        Ok(Outcome::Forwarded)
    }

    /// Tells the sender of a better first hop on its own link (RFC 1812 §5.2.7.2); the packet goes on all
    /// the same.
    fn redirect(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        ip: &Ipv4,
        way: &Way,
        route: &crate::network::route::Route,
    ) {
        let Some(came_in) = self.internet.interface(arrival.interface) else { return };
        let net = came_in.usable().find_map(|net| match net {
            IpNet::V4(net) if net.contains(&ip.source) => Some(net),
            _ => None,
        });
        if let (Some(net), IpAddr::V4(gateway)) = (net, way.next_hop)
            && forward::is_redirect_due(ip, arrival.interface, route, &net)
        {
            self.report(now, arrival, ErrorKind::Redirect { gateway });
        }
    }

    fn onward_frame(&self, packet: Onward, way: Way) -> Result<OutFrame, DropReason> {
        let mut head = self.link_head(way.interface)?;
        let start = (head.len() + packet.header_len) as u16;
        head.extend_from_slice(&packet.head);
        let checksum = packet.checksum_offset.map(|offset| PartialChecksum { start, offset });
        // What arrives joined has CWR as RFC 3168 means it: `physical::tap::virtio_net`.
        Ok(OutFrame { head, body: packet.body, checksum, segment_size: packet.segment_size, keeps_cwr: false })
    }
}
