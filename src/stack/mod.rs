//! The lift: carries a frame up and down through floors 2 to 4, and owns the timers and limits.
//!
//! [`Stack`] wires the floors together and decides nothing that a floor can decide: what arrived goes up
//! ([`inbound`]), what is sent goes down ([`outbound`]), what is for others goes across ([`forwarding`]).
//! Sockets ([`sockets`]) are how the session floor reaches the transports.

mod arp;
pub mod config;
mod errors;
mod foresight;
mod forwarding;
mod icmp;
mod inbound;
mod interface;
mod internet;
mod outbound;
pub mod siblings;
pub mod snapshot;
mod sockets;
#[cfg(test)]
mod tests;

use crate::base::counters::Counters;
use crate::base::drops::{DropReason, Ledger, Outcome};
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::datalink::neighbours::Neighbours;
use crate::network::icmp::errors::ErrorLimit;
use crate::network::identification::Identifications;
use crate::network::packet::Cast;
use crate::network::packet::{Datagram, Packet, Paths};
use crate::network::reassembly::Reassembly;
use crate::physical::frame::{DeviceId, Frame, OutFrame, ReceivedChecksum};
use crate::transport::tcp::connection::Readiness;
use crate::transport::tcp::table::{ConnectionId, ListenerId, Tcp};
use crate::transport::udp::{Udp, UdpId};
use crate::transport::{Context, ports, tcp};
use config::Config;
use inbound::LinkCast;
use internet::Internet;
use outbound::{Outbox, Waiting, contiguous};
use siblings::{Messages, Place};
use std::collections::VecDeque;

/// Packets to ourselves that one turn carries up before others get theirs.
const LOOPBACK_AT_ONCE: usize = 256;

/// Something happened to a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A connection can be read or written, or ended.
    Stream(ConnectionId, Readiness),
    /// A connection waits to be accepted.
    Listener(ListenerId),
    /// A datagram or an error waits.
    Datagram(UdpId),
}

/// A host's network stack: a deterministic machine without clock, descriptors or threads.
///
/// Its driver owns all of those, and keeps this contract:
///
/// 1. hand in every received frame with the time ([`Stack::receive`]), and the time when a deadline has
///    passed ([`Stack::handle_timeout`]); time never goes back;
/// 2. then let the tasks run that [`Stack::poll_event`] names;
/// 3. then take frames ([`Stack::poll_transmit`]) until there are none or the device is full: a segment is
///    built when it is taken, with the newest ACK and window;
/// 4. then sleep until [`Stack::deadline`] or the next frame.
///
/// [`crate::session::host::Host`] does 2 for async tasks. The same seed, frames and times give the same run.
#[derive(Debug)]
pub struct Stack {
    internet: Internet,
    neighbours: Neighbours<Waiting>,
    reassembly: Reassembly,
    identifications: Identifications,
    error_limit: ErrorLimit,
    forwarding: bool,
    udp: Udp,
    tcp: Tcp,
    ports: ports::Policy,
    random: Random,
    counters: Counters,
    /// What became of every frame that was handed in.
    ledger: Ledger,
    /// What did not leave: packets of ours and in transit that were dropped on the way out.
    lost: Ledger,
    outbox: Outbox,
    loopback: VecDeque<Datagram>,
    is_udp_next: bool,
    unix_origin_millis: u64,
    place: Place,
    messages: Messages,
}

impl Stack {
    /// A stack as configured. All its randomness comes from `random`.
    pub fn new(config: Config, mut random: Random) -> Self {
        let internet = Internet::new(&config, &mut random);
        let Place { index, count } = config.place;
        let (mut udp, mut tcp) = (Udp::new(&mut random), Tcp::new(&mut random, config.tcp));
        udp.take_share(index, count);
        tcp.take_share(index, count);
        let mut identifications = Identifications::new(&mut random);
        identifications.take_share(index, count);
        let mut neighbours = Neighbours::new(&mut random);
        for (interface, address, mac) in &config.neighbours {
            neighbours.insert_static(*interface, *address, *mac);
        }
        Stack {
            internet,
            neighbours,
            reassembly: Reassembly::new(&mut random),
            identifications,
            error_limit: ErrorLimit::new(&mut random),
            forwarding: config.forwarding,
            udp,
            tcp,
            ports: config.ports,
            random,
            counters: Counters::default(),
            ledger: Ledger::default(),
            lost: Ledger::default(),
            outbox: Outbox::default(),
            loopback: VecDeque::new(),
            is_udp_next: false,
            unix_origin_millis: config.unix_origin_millis,
            place: config.place,
            messages: Messages::default(),
        }
    }

    /// A frame arrived at `device`. What became of it is counted and returned.
    pub fn receive(&mut self, now: Instant, device: DeviceId, frame: Frame) -> Outcome {
        self.internet.now = now;
        let outcome = self.receive_frame(now, device, frame);
        self.ledger.count(outcome);
        outcome
    }

    /// Does what is due at `now`. Harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.internet.now = now;
        self.receive_loopback(now);
        self.neighbours.handle_timeout(now);
        self.solicit(now);
        self.send_claims(now);
        self.send_reports(now);
        for expired in self.reassembly.handle_timeout(now) {
            self.counters.count(crate::base::counters::Counter::IpReasmFails);
            if let Some(first) = expired.first_fragment {
                self.report_about(now, &first, crate::network::icmp::errors::ErrorKind::ReassemblyTimeExceeded);
            }
        }
        self.with_tcp(now, |tcp, cx| tcp.handle_timeout(cx));
    }

    /// When [`Stack::handle_timeout`] is due next; `None` if nothing is awaited. A moment that is not in
    /// the future means at once.
    pub fn deadline(&self) -> Option<Instant> {
        let claims = self.internet.interfaces.iter().flat_map(|interface| &interface.addresses);
        let claims = claims.filter_map(|own| own.claim.as_ref()?.deadline());
        let groups = self.internet.interfaces.iter().filter_map(|interface| interface.membership.deadline());
        let loopback = (!self.loopback.is_empty()).then_some(self.internet.now);
        let single = [self.neighbours.deadline(), self.reassembly.deadline(), self.tcp.deadline(), loopback];
        single.into_iter().flatten().chain(claims).chain(groups).min()
    }

    /// The next frame to send and its device, built now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(DeviceId, OutFrame)> {
        self.internet.now = now;
        loop {
            if let Some((interface, device, frame)) = self.outbox.pop() {
                if let Some(out) = self.internet.interface_mut(interface) {
                    out.traffic.sent_frames += 1;
                    out.traffic.sent_bytes += frame.len() as u64;
                }
                return Some((device, frame));
            }
            let datagram = self.next_datagram(now)?;
            let about = (datagram.protocol, datagram.source, datagram.destination);
            log::trace!("down: protocol {} {} -> {}, {} bytes", about.0, about.1, about.2, datagram.payload_len());
            // What could not leave is counted; the transport's own timers deal with it.
            let _ = self.send(now, datagram);
        }
    }

    /// The next datagram of a transport. They take turns, so that neither keeps the other from the device.
    fn next_datagram(&mut self, now: Instant) -> Option<Datagram> {
        self.is_udp_next = !self.is_udp_next;
        let udp = |stack: &mut Self| stack.with_udp(now, |udp, cx| udp.poll_transmit(cx));
        let tcp = |stack: &mut Self| stack.with_tcp(now, |tcp, cx| tcp.poll_transmit(cx));
        if self.is_udp_next { udp(self).or_else(|| tcp(self)) } else { tcp(self).or_else(|| udp(self)) }
    }

    /// The next thing that happened to a socket.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.tcp.poll_event() {
            return Some(match event {
                tcp::table::Event::Connection(id, readiness) => Event::Stream(id, readiness),
                tcp::table::Event::Acceptable(id) => Event::Listener(id),
            });
        }
        self.udp.poll_event().map(Event::Datagram)
    }

    /// True if [`Stack::poll_event`] would return something.
    pub fn has_events(&self) -> bool {
        self.tcp.has_events() || self.udp.has_events()
    }

    /// What became of every frame handed in: the counts add up to the number of frames.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Packets that were dropped on their way out, by reason.
    pub fn lost(&self) -> &Ledger {
        &self.lost
    }

    /// What the stack counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// TCP as a driver of its own sees it, with the context of this moment: what [`Stack`]'s own calls for sockets are
    /// made of. They also check what TCP can't know: that an address is one of ours, that a port may be bound.
    pub fn with_tcp<R>(&mut self, now: Instant, f: impl FnOnce(&mut Tcp, &mut Context<'_>) -> R) -> R {
        self.internet.now = now;
        let mut cx = Context {
            now,
            random: &mut self.random,
            counters: &mut self.counters,
            paths: &self.internet,
            may_refuse: true,
        };
        f(&mut self.tcp, &mut cx)
    }

    /// UDP in the same way.
    pub fn with_udp<R>(&mut self, now: Instant, f: impl FnOnce(&mut Udp, &mut Context<'_>) -> R) -> R {
        self.internet.now = now;
        let mut cx = Context {
            now,
            random: &mut self.random,
            counters: &mut self.counters,
            paths: &self.internet,
            may_refuse: true,
        };
        f(&mut self.udp, &mut cx)
    }

    /// Carries packets to ourselves back up.
    fn receive_loopback(&mut self, now: Instant) {
        for _ in 0..LOOPBACK_AT_ONCE {
            let Some(datagram) = self.loopback.pop_front() else { return };
            let owner = self.internet.interfaces.iter().find(|own| own.has(datagram.destination));
            let Some(interface) = owner.map(|own| own.id) else { continue };
            let packet = Packet {
                source: datagram.source,
                destination: datagram.destination,
                protocol: datagram.protocol,
                hop_limit: datagram.hop_limit,
                traffic_class: datagram.traffic_class,
                cast: Cast::Unicast,
                payload: contiguous(&datagram.header, &datagram.body),
                datagram: outbound::outbound_bytes(&datagram),
                checksum: ReceivedChecksum::Vouched,
                segment_size: datagram.segment_size,
                interface,
            };
            self.deliver(now, &packet, LinkCast::Host, None);
        }
    }

    /// Takes an interface up or down: down, it neither receives nor sends, its routes are passed over and
    /// its neighbours forgotten; up again, its addresses are claimed anew.
    pub fn set_up(&mut self, now: Instant, id: crate::datalink::InterfaceId, up: bool) {
        let Some(interface) = self.internet.interface_mut(id) else { return };
        if interface.up == up {
            return;
        }
        interface.up = up;
        if up {
            interface.claim_again(now, &mut self.random);
        }
        self.internet.routes.set_interface_up(id, up);
        if !up {
            for _ in self.neighbours.flush(id) {
                self.dropped_on_the_way_out(DropReason::InterfaceDown);
            }
        }
    }

    /// Checks what must hold between any two calls; for tests and simulations.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.tcp.check_invariants()
    }

    /// How many TCP connections there are, half-open ones and those in TIME-WAIT among them.
    pub fn connections(&self) -> usize {
        self.tcp.connections() + self.tcp.embryos() + self.tcp.time_waits()
    }

    /// Gives up the room that tables have for more than they hold.
    pub fn shrink_to_fit(&mut self) {
        self.tcp.shrink_to_fit();
    }

    /// True while a TCP connection is open or opening; listeners and TIME-WAIT do not count.
    pub fn has_connections(&self) -> bool {
        self.tcp.connections() + self.tcp.embryos() > 0
    }

    /// Resets every TCP connection: the host goes, and its peers need not wait for it.
    pub fn abort_connections(&mut self, now: Instant) {
        self.with_tcp(now, |tcp, cx| tcp.abort_all(cx));
    }

    /// A device refused a frame that it was given: counted among what was lost.
    pub fn on_device_error(&mut self) {
        self.dropped_on_the_way_out(DropReason::DeviceError);
    }

    /// True if `address` is one of ours and may be used.
    pub fn has_address(&self, address: std::net::IpAddr) -> bool {
        self.internet.is_local(address)
    }
}
