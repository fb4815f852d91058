//! ARP in the lift: who has our addresses (RFC 826), and is it only us (RFC 5227).

use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::base::time::Instant;
use crate::datalink::arp::{Arp, Operation};
use crate::datalink::conflict::ClaimEvent;
use crate::datalink::ethernet::{self, ETHERTYPE_ARP};
use crate::datalink::neighbours::{Action, Learn};
use crate::datalink::{InterfaceId, Mac};
use crate::network::address;
use crate::physical::frame::{Head, OutFrame};
use crate::stack::Stack;
use bytes::Bytes;
use std::net::IpAddr;

/// What an ARP packet was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// Somebody else uses an address of ours.
    Conflict,
    /// Anything else.
    News,
}

impl Stack {
    pub(crate) fn receive_arp(
        &mut self,
        now: Instant,
        id: InterfaceId,
        payload: &Bytes,
    ) -> Result<Outcome, DropReason> {
        let arp = Arp::parse(payload)?;
        if self.concerns_us(id, &arp) {
            self.share_arp(id, &arp);
        }
        if self.take_in_arp(now, id, &arp)? == Heard::Conflict {
            return Ok(Outcome::Consumed);
        }
        let interface = self.internet.interface(id).ok_or(DropReason::InterfaceDown)?;
        let own_mac = interface.mac;
        let is_ours = interface.has(IpAddr::V4(arp.target_ip));
        let learned = self.neighbours.lookup(id, IpAddr::V4(arp.sender_ip)).is_some();
        match arp.operation {
            Operation::Request if is_ours => {
                self.counters.count(Counter::ArpRequestsAnswered);
                let reply = Arp::reply(own_mac, arp.target_ip, arp.sender_mac, arp.sender_ip);
                self.send_arp(id, arp.sender_mac, &reply);
                Ok(Outcome::Answered)
            }
            _ if learned => Ok(Outcome::Consumed),
            Operation::Request => Err(DropReason::ArpNotOurs),
            Operation::Reply => Err(DropReason::ArpUnsolicited),
        }
    }

    /// True if the other stacks of this host can learn from it: what is about our addresses, and announcements.
    fn concerns_us(&self, id: InterfaceId, arp: &Arp) -> bool {
        let is_ours = |address| self.internet.is_configured(IpAddr::V4(address));
        let is_to_us = self.internet.interface(id).is_some_and(|interface| interface.mac == arp.target_mac);
        is_to_us || arp.is_announcement() || is_ours(arp.target_ip) || is_ours(arp.sender_ip)
    }

    /// Learns from ARP, whichever stack of this host heard it.
    pub(super) fn take_in_arp(&mut self, now: Instant, id: InterfaceId, arp: &Arp) -> Result<Heard, DropReason> {
        let interface = self.internet.interface_mut(id).ok_or(DropReason::InterfaceDown)?;
        let mut conflict = false;
        for claim in interface.addresses.iter_mut().filter_map(|own| own.claim.as_mut()) {
            match claim.handle_arp(arp, now) {
                ClaimEvent::Nothing | ClaimEvent::Won => {}
                ClaimEvent::Defended { .. } | ClaimEvent::Tolerated { .. } => conflict = true,
                ClaimEvent::Lost { by } => {
                    conflict = true;
                    log::warn!("{}: {} belongs to {by}; it is not used (RFC 5227)", interface.name, claim.address());
                }
            }
        }
        let own_mac = interface.mac;
        let is_ours = interface.has(IpAddr::V4(arp.target_ip));
        let sender_is_us = interface.has(IpAddr::V4(arp.sender_ip));
        if conflict {
            self.counters.count(Counter::ArpConflicts);
            self.send_claims(now);
            return Ok(Heard::Conflict);
        }
        let is_probe = arp.is_probe();
        if arp.sender_mac.is_group() || arp.sender_mac == own_mac || arp.sender_mac == Mac::default() {
            return Err(DropReason::ArpBadSender);
        }
        if sender_is_us || (!is_probe && !address::is_host(arp.sender_ip)) {
            return Err(DropReason::ArpBadSender);
        }
        let sender = IpAddr::V4(arp.sender_ip);
        // Only neighbours on the link's own networks have a place in the table.
        if !is_probe && self.internet.is_on_link(id, sender) {
            let kind = match arp.operation {
                Operation::Request if is_ours => Learn::RequestToUs,
                Operation::Request => Learn::Announcement,
                Operation::Reply => match is_ours && arp.target_mac == own_mac {
                    // Another stack of this host asked: what is good for it is good for us.
                    true if !self.place.is_alone() && !self.neighbours.has(id, sender) => Learn::RequestToUs,
                    solicited => Learn::Reply { solicited },
                },
            };
            for (mac, waiting) in self.neighbours.learn(id, sender, arp.sender_mac, kind, now) {
                if let Err(reason) = self.send_to_station(waiting.frame, id, mac) {
                    self.dropped_on_the_way_out(reason);
                }
            }
        }
        Ok(Heard::News)
    }

    /// Sends what the neighbour table wants asked, and gives up on those who did not answer.
    pub(crate) fn solicit(&mut self, now: Instant) {
        while let Some(action) = self.neighbours.poll_action() {
            match action {
                Action::Solicit { interface, address: IpAddr::V4(target), unicast_to } => {
                    let Some(out) = self.internet.interface(interface) else { continue };
                    let Some(IpAddr::V4(source)) = out.source_towards(IpAddr::V4(target)) else { continue };
                    self.counters.count(Counter::ArpRequestsSent);
                    let request = Arp::request(out.mac, source, target);
                    self.send_arp(interface, unicast_to.unwrap_or(Mac::BROADCAST), &request);
                }
                Action::Solicit { .. } => {}
                Action::GaveUp { packets, .. } => {
                    for waiting in packets {
                        self.dropped_on_the_way_out(DropReason::NeighbourUnreachable);
                        self.report_unreachable(now, &waiting.frame);
                    }
                }
            }
        }
    }

    /// Sends the probes, announcements and defences that are due.
    pub(crate) fn send_claims(&mut self, now: Instant) {
        for index in 0..self.internet.interfaces.len() {
            let Some(interface) = self.internet.interfaces.get_mut(index) else { continue };
            let due = |own: &mut super::interface::Address| {
                let claim = own.claim.as_mut()?;
                claim.handle_timeout(now);
                claim.poll_transmit()
            };
            let (id, arps): (_, Vec<Arp>) = (interface.id, interface.addresses.iter_mut().filter_map(due).collect());
            for arp in arps {
                self.send_arp(id, Mac::BROADCAST, &arp);
            }
        }
        self.share_addresses();
    }

    fn send_arp(&mut self, id: InterfaceId, to: Mac, arp: &Arp) {
        let Some(interface) = self.internet.interface(id) else { return };
        let mut head = Head::new();
        ethernet::emit(&mut head, to, interface.mac, interface.tag(), ETHERTYPE_ARP);
        head.extend_from_slice(&arp.emit());
        if let Err(reason) = self.send_to_station(OutFrame { head, ..OutFrame::default() }, id, to) {
            self.dropped_on_the_way_out(reason);
        }
    }
}
