//! Stacks that are one host: what they tell each other, and which of them a packet is for.
//!
//! With several queues a host is several stacks, each on a thread of its own with one queue of every device. They
//! share no memory: what one of them hears that the others need goes to them as a [`Message`].
//!
//! ```text
//!   queue 0 ──► stack 0 ──┐                       a packet nobody here has a socket for: once round all stacks,
//!   queue 1 ──► stack 1 ──┼── Messages            who has the socket takes it, the last one refuses it
//!   queue 2 ──► stack 2 ──┘                       ARP, path MTUs, lost addresses: to all others
//! ```
//!
//! The kernel keeps a flow on the queue we last wrote it to, and a flow that it opened stays on the queue of its
//! first packet. What comes elsewhere: ARP, ICMP errors, fragments (their hash has no ports), and after some
//! seconds of silence whatever we opened. A connection that we open has a local port of its stack's share
//! ([`crate::transport::ports::owner`]), so that two stacks never choose the same pair of sockets, and what comes
//! back on another queue finds its way in one step.
//!
//! The first stack alone probes for our addresses, announces and defends them (RFC 5227). Not here: threads and
//! queues, which are the driver's; a packet in transit, which whichever stack received it forwards.

use crate::base::drops::{DropReason, Outcome};
use crate::base::limits;
use crate::base::time::Instant;
use crate::datalink::InterfaceId;
use crate::datalink::arp::Arp;
use crate::network::packet::{Packet, protocol};
use crate::stack::Stack;
use crate::stack::inbound::LinkCast;
use crate::stack::interface::Interface;
use crate::transport::ports;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

/// Which of a host's stacks this one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its number, from 0.
    pub index: u16,
    /// How many there are.
    pub count: u16,
}

impl Default for Place {
    fn default() -> Self {
        Place { index: 0, count: 1 }
    }
}

impl Place {
    /// True if it has the host for itself.
    pub fn is_alone(self) -> bool {
        self.count <= 1
    }

    /// True for the one that speaks for the host where only one may.
    pub fn is_first(self) -> bool {
        self.index == 0
    }
}

/// How far a packet has come on its way round the stacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Round {
    /// The stack whose queue it came from.
    first: u16,
    /// How many stacks had nobody for it.
    tried: u16,
}

impl Round {
    /// The stack to ask after the one that has the packet. Each is asked once: the one whose queue it came from, the
    /// one whose share `port` is in, then the others in order.
    fn next(self, place: Place, port: u16) -> Option<u16> {
        let Place { count, .. } = place;
        let asked = self.tried + 1;
        if asked >= count {
            return None;
        }
        let owner = ports::owner(port, count).filter(|owner| *owner != self.first);
        let Some(owner) = owner else { return Some((self.first + asked) % count) };
        if asked == 1 {
            return Some(owner);
        }
        // How many steps on from the first the owner is: it is passed over, as it was asked already.
        let owners_step = (owner + count - self.first) % count;
        let step = if asked - 1 < owners_step { asked - 1 } else { asked };
        Some((self.first + step) % count)
    }

    fn gone_on(self) -> Self {
        Round { tried: self.tried + 1, ..self }
    }
}

/// To whom a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    /// The stack of this number.
    One(u16),
    /// All but the sender.
    Others,
}

/// What one stack tells another.
#[derive(Clone, Debug)]
pub struct Message(News);

impl Message {
    /// That a path takes less than was thought.
    pub(crate) fn path_mtu(destination: IpAddr, mtu: u16) -> Self {
        Message(News::PathMtu { destination, mtu })
    }
}

#[derive(Clone, Debug)]
enum News {
    /// A packet that may be for the other; without a round it is for each that gets it.
    Packet { packet: Packet, link: LinkCast, round: Option<Round> },
    /// ARP was heard that concerns this host.
    Arp { interface: InterfaceId, arp: Arp },
    /// A path takes less than was thought.
    PathMtu { destination: IpAddr, mtu: u16 },
    /// An address of ours may be used, or no longer.
    Address { interface: InterfaceId, address: Ipv4Addr, is_usable: bool },
}

/// What waits to be told, bounded.
#[derive(Debug, Default)]
pub(crate) struct Messages(VecDeque<(To, Message)>);

impl Stack {
    /// What to tell another stack next.
    pub fn poll_message(&mut self) -> Option<(To, Message)> {
        self.messages.0.pop_front()
    }

    /// Another stack told this one something.
    pub fn receive_message(&mut self, now: Instant, message: Message) {
        self.internet.now = now;
        match message.0 {
            News::Packet { packet, link, round } => {
                let outcome = self.deliver(now, &packet, link, round);
                self.ledger.count(outcome);
            }
            News::Arp { interface, arp } => {
                // The stack that heard it counts what became of it, and answers.
                let _ = self.take_in_arp(now, interface, &arp);
            }
            News::PathMtu { destination, mtu } => {
                self.internet.path_mtus.lower(destination, mtu, now);
            }
            News::Address { interface, address, is_usable } => {
                if let Some(interface) = self.internet.interface_mut(interface) {
                    interface.on_told(address, is_usable);
                }
            }
        }
    }

    /// A message could not be handed over: its receiver has too many already.
    pub fn on_message_lost(&mut self) {
        self.lost.count(Outcome::Dropped(DropReason::SiblingBusy));
    }

    fn tell(&mut self, to: To, message: Message) -> bool {
        let has_room = self.messages.0.len() < limits::SIBLING_MESSAGES;
        if has_room {
            self.messages.0.push_back((to, message));
        }
        has_room
    }

    /// The way round the stacks that a packet from a queue of ours begins; none if there are no others.
    pub(crate) fn new_round(&self) -> Option<Round> {
        (!self.place.is_alone()).then_some(Round { first: self.place.index, tried: 0 })
    }

    /// Who is to be asked if nobody here is for `packet`.
    pub(crate) fn next_stack(&self, packet: &Packet, round: Option<Round>) -> Option<u16> {
        let round = round?;
        let port = match packet.protocol {
            protocol::TCP | protocol::UDP => packet.payload.get(2..4).map_or(0, be_u16),
            _ => 0,
        };
        round.next(self.place, port)
    }

    /// Lets another stack look for whom `packet` is.
    pub(crate) fn pass_on(&mut self, packet: &Packet, link: LinkCast, round: Option<Round>, next: u16) -> Outcome {
        let (packet, round) = (packet.clone(), round.map(Round::gone_on));
        if self.tell(To::One(next), Message(News::Packet { packet, link, round })) {
            return Outcome::Passed;
        }
        Outcome::Dropped(DropReason::SiblingBusy)
    }

    /// All other stacks get `packet` as well.
    pub(crate) fn share_packet(&mut self, packet: &Packet, link: LinkCast) {
        if !self.tell(To::Others, Message(News::Packet { packet: packet.clone(), link, round: None })) {
            self.on_message_lost();
        }
    }

    /// All other stacks hear what was heard here.
    pub(crate) fn share_arp(&mut self, interface: InterfaceId, arp: &Arp) {
        if !self.place.is_alone() && !self.tell(To::Others, Message(News::Arp { interface, arp: *arp })) {
            self.on_message_lost();
        }
    }

    /// All other stacks learn of a smaller path MTU.
    pub(crate) fn share_path_mtu(&mut self, destination: IpAddr, mtu: u16) {
        if !self.place.is_alone() && !self.tell(To::Others, Message::path_mtu(destination, mtu)) {
            self.on_message_lost();
        }
    }

    /// The first stack tells the others which addresses may be used, where that has changed.
    pub(crate) fn share_addresses(&mut self) {
        if self.place.is_alone() || !self.place.is_first() {
            return;
        }
        let interfaces = self.internet.interfaces.iter_mut();
        let changed: Vec<(InterfaceId, Ipv4Addr, bool)> = interfaces.flat_map(Interface::take_changed).collect();
        for (interface, address, is_usable) in changed {
            if !self.tell(To::Others, Message(News::Address { interface, address, is_usable })) {
                self.on_message_lost();
            }
        }
    }
}

fn be_u16(octets: &[u8]) -> u16 {
    octets.iter().fold(0, |value, octet| value << 8 | u16::from(*octet))
}

#[cfg(test)]
mod tests;
