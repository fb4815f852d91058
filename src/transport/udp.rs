//! UDP: datagrams between ports, as RFC 768 and RFC 1122 §4.1 ask of a host.
//!
//! ```text
//!  Packet ──► parse ──► demux ─┬─ unicast: the socket that fits best ──► receive queue ──► recv_from
//!                              └─ group, broadcast: every socket that listens
//!  send_to ──► transmit queue of the socket ──► poll_transmit: sockets in turn ──► Datagram
//! ```
//!
//! [`datagram`] is the header, `socket` one socket with its two bounded queues; this file is the table of
//! sockets and what the stack and the session floor call.
//!
//! Events are edges: [`Udp::poll_event`] names a socket when its receive queue stops being empty, when an
//! error came in, or when there is room again after [`Error::WouldBlock`].
//!
//! ICMP errors reach connected sockets only, and only when they quote something that the socket has really
//! sent (the spirit of RFC 5927): ports, peer and length must match. `DEVIATION(RFC 1122 §4.1.3.3)`: an
//! unconnected socket hears of none, as on Linux without `IP_RECVERR`, because with many peers on one
//! socket the error could not be told from any other.
//!
//! Not here: joining the group on the link ([`crate::network`] does that), the port unreachable message
//! for [`DropReason::UdpNoPort`] (the lift sends it, to unicast only), and looping multicast back.

pub mod datagram;
mod error;
mod socket;
#[cfg(test)]
mod tests;
mod train;

use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::base::hash::{HashKey, KeyedMap};
use crate::base::limits;
use crate::base::random::Random;
use crate::datalink::InterfaceId;
use crate::network::packet::{Cast, Datagram, Packet, PathError, PathErrorKind};
use crate::transport::Context;
use crate::transport::ports::Ephemeral;
use bytes::Bytes;
pub use error::{BindError, Error};
use slotmap::{SlotMap, new_key_type};
use smallvec::SmallVec;
use socket::{Membership, Queue, Socket};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

new_key_type! {
    /// A UDP socket. After [`Udp::close`] it names nothing, also when its place is used again.
    pub struct UdpId;
}

/// Groups that one socket may join.
const GROUPS_OF_A_SOCKET: usize = 64;

/// A datagram that came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// What it carries.
    pub data: Bytes,
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it was sent to: one of our addresses, or a group or broadcast address (RFC 1122 §4.1.3.5).
    pub destination: SocketAddr,
    /// The interface it came in on.
    pub interface: InterfaceId,
    /// TTL or hop limit as it arrived.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
}

/// How a datagram is sent where the socket's own settings do not say enough.
#[derive(Clone, Copy, Default, Debug)]
pub struct SendOptions {
    /// The source address, also 0.0.0.0 of a host that has none yet.
    pub source: Option<IpAddr>,
    /// The interface to leave by.
    pub interface: Option<InterfaceId>,
    /// TTL or hop limit.
    pub hop_limit: Option<u8>,
    /// DSCP and ECN.
    pub traffic_class: u8,
}

/// A row of `show sockets`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What the socket is bound to.
    pub local: SocketAddr,
    /// Its peer, if it has one.
    pub remote: Option<SocketAddr>,
    /// Bytes that the application has not yet read.
    pub receive_queue: usize,
    /// Bytes that the device has not yet taken.
    pub send_queue: usize,
    /// Datagrams dropped because the receive queue was full.
    pub drops: u64,
}

/// All UDP sockets.
#[derive(Debug)]
pub struct Udp {
    sockets: SlotMap<UdpId, Socket>,
    by_port: KeyedMap<u16, SmallVec<[UdpId; 2]>>,
    ephemeral: Ephemeral,
    /// Sockets with output, each once, in turn.
    turns: VecDeque<UdpId>,
    /// What closed sockets have left to send.
    farewell: Queue<Datagram>,
    events: VecDeque<UdpId>,
}

impl Udp {
    /// No sockets.
    pub fn new(random: &mut Random) -> Self {
        Udp {
            sockets: SlotMap::with_key(),
            by_port: KeyedMap::with_hasher(HashKey::random(random)),
            ephemeral: Ephemeral::new(random),
            turns: VecDeque::new(),
            farewell: Queue::default(),
            events: VecDeque::new(),
        }
    }

    /// Takes ephemeral ports only of the share of stack `index` of `count` that are one host.
    pub fn take_share(&mut self, index: u16, count: u16) {
        self.ephemeral.take_share(index, count);
    }

    /// Opens a socket on `local`: one of our addresses, 0.0.0.0 for all of them, or a multicast group;
    /// port 0 for any free one. Whether a reserved port may be bound is for the caller to ask of
    /// [`crate::transport::ports::Policy`].
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or nothing is left.
    pub fn bind(&mut self, local: SocketAddr, cx: &mut Context<'_>) -> Result<UdpId, BindError> {
        self.open(local, false, cx)
    }

    /// Opens a socket that shares its port with others opened so. Each gets what is sent to groups and
    /// broadcast addresses; of those that fit a unicast datagram equally, the newest gets it.
    ///
    /// # Errors
    /// As [`Udp::bind`].
    pub fn bind_shared(&mut self, local: SocketAddr, cx: &mut Context<'_>) -> Result<UdpId, BindError> {
        self.open(local, true, cx)
    }

    fn open(&mut self, mut local: SocketAddr, is_shared: bool, cx: &mut Context<'_>) -> Result<UdpId, BindError> {
        let address = local.ip();
        if !address.is_unspecified() && !address.is_multicast() && !cx.paths.is_local(address) {
            return Err(BindError::AddrNotAvailable);
        }
        if self.sockets.len() >= limits::UDP_SOCKETS {
            return Err(BindError::NoneLeft);
        }
        if local.port() == 0 {
            let by_port = &self.by_port;
            let port = self.ephemeral.any(cx.random, |port| !by_port.contains_key(&port));
            local.set_port(port.ok_or(BindError::NoneLeft)?);
        } else if self.is_taken(local, is_shared) {
            return Err(BindError::AddrInUse);
        }
        let id = self.sockets.insert(Socket::new(local, is_shared));
        self.by_port.entry(local.port()).or_default().push(id);
        Ok(id)
    }

    fn is_taken(&self, local: SocketAddr, is_shared: bool) -> bool {
        let overlaps = |other: &Socket| {
            let (ours, theirs) = (local.ip(), other.local.ip());
            ours == theirs || ours.is_unspecified() || theirs.is_unspecified()
        };
        self.at_port(local.port()).any(|(_, other)| overlaps(other) && !(is_shared && other.is_shared))
    }

    fn at_port(&self, port: u16) -> impl Iterator<Item = (UdpId, &Socket)> {
        let ids = self.by_port.get(&port).map(SmallVec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| Some((*id, self.sockets.get(*id)?)))
    }

    fn socket(&self, id: UdpId) -> Result<&Socket, Error> {
        self.sockets.get(id).ok_or(Error::Closed)
    }

    fn socket_mut(&mut self, id: UdpId) -> Result<&mut Socket, Error> {
        self.sockets.get_mut(id).ok_or(Error::Closed)
    }

    /// Gives the socket a peer: only its datagrams are received, [`Udp::send`] sends to it, and ICMP errors
    /// about what was sent to it are reported. A socket on all addresses takes the one that leads there.
    ///
    /// # Errors
    /// The socket is closed, or nothing leads to the peer.
    pub fn connect(&mut self, id: UdpId, remote: SocketAddr, cx: &mut Context<'_>) -> Result<(), Error> {
        if remote.port() == 0 || remote.ip().is_unspecified() {
            return Err(Error::BadDestination);
        }
        let socket = self.socket_mut(id)?;
        if socket.local.ip().is_unspecified() && !remote.ip().is_multicast() {
            let source = cx.paths.source_for(remote.ip()).ok_or(Error::NoRoute)?;
            socket.local.set_ip(source);
        }
        socket.set_remote(Some(remote));
        Ok(())
    }

    /// Takes the peer away again. The local address stays.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn disconnect(&mut self, id: UdpId) -> Result<(), Error> {
        self.socket_mut(id)?.set_remote(None);
        Ok(())
    }

    /// Closes the socket. What it has queued to send still goes out. Returns the groups it was in, which the
    /// network floor leaves.
    pub(crate) fn close(&mut self, id: UdpId) -> SmallVec<[Membership; 1]> {
        let Some(mut socket) = self.sockets.remove(id) else { return SmallVec::new() };
        while let Some(datagram) = socket.transmit_queue.pop() {
            // A full queue loses what is last in it, as a device's does.
            let bytes = datagram.payload_len();
            let _ = self.farewell.push(datagram, bytes);
        }
        if let Some(ids) = self.by_port.get_mut(&socket.local.port()) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_port.remove(&socket.local.port());
            }
        }
        socket.groups
    }

    /// Takes a packet from the network floor.
    pub fn receive(&mut self, packet: &Packet, cx: &mut Context<'_>) -> Outcome {
        let parsed = match datagram::parse(packet) {
            Ok(parsed) => parsed,
            Err(reason) => return Outcome::Dropped(reason),
        };
        // RFC 1122 §4.1.3.6: a source that is a group or broadcast address is no sender.
        if packet.source.is_multicast() || packet.source == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Outcome::Dropped(DropReason::MartianSource);
        }
        let source = SocketAddr::new(packet.source, parsed.source_port);
        let destination = SocketAddr::new(packet.destination, parsed.destination_port);
        let listeners: SmallVec<[UdpId; 4]> = match packet.cast {
            Cast::Unicast => self.best_fit(destination, source, packet.interface).into_iter().collect(),
            Cast::Broadcast | Cast::Multicast => self
                .at_port(destination.port())
                .filter(|(_, socket)| socket.hears(destination.ip(), source, packet.interface))
                .map(|(id, _)| id)
                .collect(),
        };
        if listeners.is_empty() {
            return Outcome::Dropped(DropReason::UdpNoPort);
        }
        let mut is_delivered = false;
        for data in train::datagrams(parsed.payload, packet.segment_size) {
            for id in &listeners {
                let received = Received {
                    data: data.clone(),
                    source,
                    destination,
                    interface: packet.interface,
                    hop_limit: packet.hop_limit,
                    traffic_class: packet.traffic_class,
                };
                if self.deliver(*id, received) {
                    cx.counters.count(Counter::UdpInDatagrams);
                    is_delivered = true;
                }
            }
        }
        if is_delivered { Outcome::Delivered } else { Outcome::Dropped(DropReason::UdpQueueFull) }
    }

    fn best_fit(&self, to: SocketAddr, from: SocketAddr, interface: InterfaceId) -> Option<UdpId> {
        self.at_port(to.port())
            .filter_map(|(id, socket)| Some((socket.fit(to, from, interface)?, id)))
            // The last of equals is the newest.
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, id)| id)
    }

    fn deliver(&mut self, id: UdpId, received: Received) -> bool {
        let Some(socket) = self.sockets.get_mut(id) else { return false };
        let was_empty = socket.receive_queue.is_empty();
        let is_delivered = socket.deliver(received);
        if was_empty && is_delivered {
            self.notify(id);
        }
        is_delivered
    }

    fn notify(&mut self, id: UdpId) {
        if let Some(socket) = self.sockets.get_mut(id)
            && !socket.has_event
        {
            socket.has_event = true;
            self.events.push_back(id);
        }
    }

    /// Takes an ICMP error about a datagram of ours.
    pub fn handle_path_error(&mut self, error: &PathError, _cx: &mut Context<'_>) -> Outcome {
        let Some([source, destination, length]) = quoted_fields(&error.quote) else {
            return Outcome::Dropped(DropReason::IcmpMalformed);
        };
        let local = SocketAddr::new(error.local, source);
        let remote = SocketAddr::new(error.remote, destination);
        let connected = self
            .at_port(local.port())
            .find(|(_, socket)| socket.local == local && socket.remote == Some(remote) && socket.has_sent(length))
            .map(|(id, _)| id);
        let Some(id) = connected else { return Outcome::Dropped(DropReason::IcmpNotInFlight) };
        let Some(socket) = self.sockets.get_mut(id) else { return Outcome::Consumed };
        match error.kind {
            PathErrorKind::PortUnreachable | PathErrorKind::ProtocolUnreachable => socket.fail(Error::Refused),
            PathErrorKind::Prohibited => socket.fail(Error::Prohibited),
            // Without the option the network floor fragments what follows, and there is nothing to tell.
            PathErrorKind::PacketTooBig { .. } if !socket.dont_fragment => return Outcome::Consumed,
            PathErrorKind::PacketTooBig { .. } => socket.fail(Error::MessageTooBig),
            PathErrorKind::NetworkUnreachable
            | PathErrorKind::HostUnreachable
            | PathErrorKind::TimeExceeded
            | PathErrorKind::ParameterProblem => socket.fail(Error::Unreachable),
        }
        self.notify(id);
        Outcome::Delivered
    }

    /// Queues a datagram to the connected peer.
    ///
    /// # Errors
    /// As [`Udp::send_with`], and [`Error::NotConnected`].
    pub fn send(&mut self, id: UdpId, data: Bytes, cx: &mut Context<'_>) -> Result<(), Error> {
        let remote = self.socket(id)?.remote.ok_or(Error::NotConnected)?;
        self.send_with(id, data, remote, SendOptions::default(), cx)
    }

    /// Queues a datagram to `destination`.
    ///
    /// # Errors
    /// As [`Udp::send_with`].
    pub fn send_to(
        &mut self,
        id: UdpId,
        data: Bytes,
        destination: SocketAddr,
        cx: &mut Context<'_>,
    ) -> Result<(), Error> {
        self.send_with(id, data, destination, SendOptions::default(), cx)
    }

    /// Queues a datagram to `destination`, sent as `options` say.
    ///
    /// # Errors
    /// What is wrong with the datagram or its destination, that the queue is full, or the hard ICMP error
    /// that came in since the last call.
    pub fn send_with(
        &mut self,
        id: UdpId,
        data: Bytes,
        destination: SocketAddr,
        options: SendOptions,
        cx: &mut Context<'_>,
    ) -> Result<(), Error> {
        let socket = self.socket_mut(id)?;
        socket.check_error()?;
        if destination.port() == 0 || destination.ip().is_unspecified() {
            return Err(Error::BadDestination);
        }
        if destination.ip() == IpAddr::V4(Ipv4Addr::BROADCAST) && !socket.may_broadcast {
            return Err(Error::BroadcastNotAllowed);
        }
        if data.len() > datagram::MAX_PAYLOAD {
            return Err(Error::MessageTooBig);
        }
        let ip_header = if destination.is_ipv4() { 20 } else { 40 };
        let packet_len = ip_header + datagram::HEADER_LEN + data.len();
        if socket.dont_fragment && packet_len > usize::from(cx.paths.mtu_to(destination.ip())) {
            return Err(Error::MessageTooBig);
        }
        let source = socket.source_towards(destination.ip(), options, cx).ok_or(Error::NoRoute)?;
        let length = data.len();
        let emitted = datagram::emit(SocketAddr::new(source, socket.local.port()), destination, data);
        let mut datagram = emitted.ok_or(Error::MessageTooBig)?;
        let default = if destination.ip().is_multicast() { socket.multicast_hop_limit } else { socket.hop_limit };
        datagram.hop_limit = options.hop_limit.unwrap_or(default);
        datagram.traffic_class = options.traffic_class;
        datagram.dont_fragment = socket.dont_fragment;
        datagram.interface = options.interface.or(socket.interface);
        if socket.transmit_queue.push(datagram, length).is_err() {
            socket.wants_room = true;
            return Err(Error::WouldBlock);
        }
        if socket.remote == Some(destination) {
            socket.remember_sent((length + datagram::HEADER_LEN) as u16);
        }
        if !std::mem::replace(&mut socket.has_turn, true) {
            self.turns.push_back(id);
        }
        Ok(())
    }

    /// The next datagram that came in, if there is one.
    ///
    /// # Errors
    /// The socket is closed, or the hard ICMP error that came in since the last call.
    pub fn recv_from(&mut self, id: UdpId) -> Result<Option<Received>, Error> {
        let socket = self.socket_mut(id)?;
        socket.check_error()?;
        Ok(socket.receive_queue.pop())
    }

    /// The next datagram for the network floor: sockets in turn, one datagram or train each.
    pub fn poll_transmit(&mut self, cx: &mut Context<'_>) -> Option<Datagram> {
        if let Some(datagram) = self.farewell.pop() {
            cx.counters.count(Counter::UdpOutDatagrams);
            return Some(datagram);
        }
        while let Some(id) = self.turns.pop_front() {
            let Some(socket) = self.sockets.get_mut(id) else { continue };
            let next = socket.transmit_queue.pop().map(|first| {
                let mtu = cx.paths.mtu_to(first.destination);
                train::couple(first, &mut socket.transmit_queue, mtu)
            });
            socket.has_turn = !socket.transmit_queue.is_empty();
            if socket.has_turn {
                self.turns.push_back(id);
            }
            let Some((datagram, count)) = next else { continue };
            if std::mem::take(&mut socket.wants_room) {
                self.notify(id);
            }
            cx.counters.add(Counter::UdpOutDatagrams, count as u64);
            return Some(datagram);
        }
        None
    }

    /// True if [`Udp::poll_event`] may return something.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next socket that something happened to.
    pub fn poll_event(&mut self) -> Option<UdpId> {
        while let Some(id) = self.events.pop_front() {
            if let Some(socket) = self.sockets.get_mut(id) {
                socket.has_event = false;
                return Some(id);
            }
        }
        None
    }

    /// The ICMP error that came in, hard or soft, and forgets it.
    pub fn take_error(&mut self, id: UdpId) -> Option<Error> {
        self.sockets.get_mut(id)?.take_error()
    }

    /// What the socket is bound to.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn local_addr(&self, id: UdpId) -> Result<SocketAddr, Error> {
        Ok(self.socket(id)?.local)
    }

    /// The connected peer.
    ///
    /// # Errors
    /// The socket is closed or has none.
    pub fn peer_addr(&self, id: UdpId) -> Result<SocketAddr, Error> {
        self.socket(id)?.remote.ok_or(Error::NotConnected)
    }

    /// Lets the socket hear what is sent to `group`, on one interface or all. The network floor has to
    /// join the group on the link. False if it was in the group already.
    ///
    /// # Errors
    /// The socket is closed, the address is no group, or there are too many.
    pub fn join_group(&mut self, id: UdpId, group: IpAddr, interface: Option<InterfaceId>) -> Result<bool, Error> {
        let socket = self.socket_mut(id)?;
        if !group.is_multicast() {
            return Err(Error::BadDestination);
        }
        if socket.groups.contains(&(group, interface)) {
            return Ok(false);
        }
        if socket.groups.len() >= GROUPS_OF_A_SOCKET {
            return Err(Error::TooManyGroups);
        }
        socket.groups.push((group, interface));
        Ok(true)
    }

    /// Takes back [`Udp::join_group`]. False if the socket was not in the group.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn leave_group(&mut self, id: UdpId, group: IpAddr, interface: Option<InterfaceId>) -> Result<bool, Error> {
        let groups = &mut self.socket_mut(id)?.groups;
        let before = groups.len();
        groups.retain(|membership| *membership != (group, interface));
        Ok(groups.len() < before)
    }

    /// Binds the socket to one interface, or none.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn set_interface(&mut self, id: UdpId, interface: Option<InterfaceId>) -> Result<(), Error> {
        self.socket_mut(id)?.interface = interface;
        Ok(())
    }

    /// Forbids fragmentation of what the socket sends: what is too big fails instead.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn set_dont_fragment(&mut self, id: UdpId, dont_fragment: bool) -> Result<(), Error> {
        self.socket_mut(id)?.dont_fragment = dont_fragment;
        Ok(())
    }

    /// Lets the socket send to 255.255.255.255.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn set_broadcast(&mut self, id: UdpId, may_broadcast: bool) -> Result<(), Error> {
        self.socket_mut(id)?.may_broadcast = may_broadcast;
        Ok(())
    }

    /// Sets the TTL or hop limit of what the socket sends (RFC 1122 §4.1.4): to one host, and to groups.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn set_hop_limits(&mut self, id: UdpId, unicast: u8, multicast: u8) -> Result<(), Error> {
        let socket = self.socket_mut(id)?;
        (socket.hop_limit, socket.multicast_hop_limit) = (unicast, multicast);
        Ok(())
    }

    /// All sockets, in the order of their places in the table.
    pub fn sockets(&self) -> impl Iterator<Item = Row> + '_ {
        self.sockets.values().map(|socket| Row {
            local: socket.local,
            remote: socket.remote,
            receive_queue: socket.receive_queue.payload_bytes(),
            send_queue: socket.transmit_queue.payload_bytes(),
            drops: socket.drops,
        })
    }
}

impl Socket {
    /// The source address of a datagram: what the caller says, what the socket is bound to, or what the
    /// network floor would take (RFC 1122 §4.1.3.5).
    fn source_towards(&self, destination: IpAddr, options: SendOptions, cx: &Context<'_>) -> Option<IpAddr> {
        let bound = self.local.ip();
        let is_usable = !bound.is_unspecified() && !bound.is_multicast();
        options.source.or(is_usable.then_some(bound)).or_else(|| cx.paths.source_for(destination))
    }
}

/// Source port, destination port and length of a quoted header.
fn quoted_fields(quote: &[u8]) -> Option<[u16; 3]> {
    let [a, b, c, d, e, f] = *quote.first_chunk::<6>()?;
    Some([[a, b], [c, d], [e, f]].map(u16::from_be_bytes))
}
