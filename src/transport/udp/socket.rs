//! One UDP socket: what it is bound and connected to, and its two bounded queues.

use super::{Error, Received};
use crate::base::limits;
use crate::datalink::InterfaceId;
use crate::network::packet::{DEFAULT_HOP_LIMIT, Datagram};
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// What a queued datagram costs beside its bytes, so that empty ones are bounded too.
const OVERHEAD: usize = 128;
/// Up to this size a payload is copied out of its frame: a few bytes must not pin a buffer of 64 KiB.
const COPY_BREAK: usize = 512;
/// How many sent datagrams a socket remembers, to tell real ICMP errors from invented ones.
const REMEMBERED: usize = 16;

/// A queue of datagrams with a bound on number and bytes.
#[derive(Debug)]
pub(super) struct Queue<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { items: VecDeque::new(), bytes: 0 }
    }
}

impl<T> Queue<T> {
    /// Appends `item`, or gives it back if there is no room.
    pub(super) fn push(&mut self, item: T, bytes: usize) -> Result<(), T> {
        let cost = bytes + OVERHEAD;
        let is_full = self.items.len() >= limits::UDP_QUEUE_DATAGRAMS || self.bytes + cost > limits::UDP_QUEUE_BYTES;
        if is_full && !self.items.is_empty() {
            return Err(item);
        }
        self.bytes += cost;
        self.items.push_back((item, cost));
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let (item, cost) = self.items.pop_front()?;
        self.bytes -= cost;
        if self.items.is_empty() {
            // An idle socket owns no buffers.
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Takes the first item if `wanted` says so.
    pub(super) fn pop_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        self.items.front().filter(|(item, _)| wanted(item))?;
        self.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Payload bytes queued.
    pub(super) fn payload_bytes(&self) -> usize {
        self.bytes - self.items.len() * OVERHEAD
    }
}

/// A multicast group that a socket listens to; on any interface if it names none.
pub(crate) type Membership = (IpAddr, Option<InterfaceId>);

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    pub(super) remote: Option<SocketAddr>,
    /// May share its port with others that may.
    pub(super) is_shared: bool,
    /// Hears and speaks on this interface only.
    pub(super) interface: Option<InterfaceId>,
    pub(super) groups: SmallVec<[Membership; 1]>,
    pub(super) receive_queue: Queue<Received>,
    pub(super) transmit_queue: Queue<Datagram>,
    /// It is in the table's turn of sockets with output.
    pub(super) has_turn: bool,
    /// It is in the table's list of events.
    pub(super) has_event: bool,
    /// A send was refused for want of room: when there is room, that is an event.
    pub(super) wants_room: bool,
    pub(super) dont_fragment: bool,
    pub(super) hop_limit: u8,
    pub(super) multicast_hop_limit: u8,
    pub(super) may_broadcast: bool,
    error: Option<Error>,
    /// Lengths, header included, of the last datagrams sent to the connected peer.
    sent_lengths: SmallVec<[u16; REMEMBERED]>,
    sent_next: u8,
    pub(super) drops: u64,
}

impl Socket {
    pub(super) fn new(local: SocketAddr, is_shared: bool) -> Self {
        Socket {
            local,
            remote: None,
            is_shared,
            interface: None,
            groups: SmallVec::new(),
            receive_queue: Queue::default(),
            transmit_queue: Queue::default(),
            has_turn: false,
            has_event: false,
            wants_room: false,
            dont_fragment: false,
            hop_limit: DEFAULT_HOP_LIMIT,
            // RFC 1112 §6.1: 1 unless the application asks for more.
            multicast_hop_limit: 1,
            may_broadcast: false,
            error: None,
            sent_lengths: SmallVec::new(),
            sent_next: 0,
            drops: 0,
        }
    }

    /// Forgets what was sent and went wrong: it was about another peer.
    pub(super) fn set_remote(&mut self, remote: Option<SocketAddr>) {
        self.remote = remote;
        self.error = None;
        self.sent_lengths = SmallVec::new();
        self.sent_next = 0;
    }

    /// Whether a unicast datagram is for this socket, and how well it fits: a connected peer counts most,
    /// then a bound interface, then a bound address.
    pub(super) fn fit(&self, to: SocketAddr, from: SocketAddr, interface: InterfaceId) -> Option<u8> {
        let address = Self::score(self.local.ip(), IpAddr::is_unspecified, &to.ip())?;
        let on = self.interface.map_or(Some(0), |bound| (bound == interface).then_some(1))?;
        let peer = self.remote.map_or(Some(0), |remote| (remote == from).then_some(1))?;
        Some(peer << 2 | on << 1 | address)
    }

    fn score<T: PartialEq>(bound: T, is_any: fn(&T) -> bool, actual: &T) -> Option<u8> {
        if is_any(&bound) { Some(0) } else { (bound == *actual).then_some(1) }
    }

    /// Whether a datagram to a group or broadcast address is for this socket.
    pub(super) fn hears(&self, to: IpAddr, from: SocketAddr, interface: InterfaceId) -> bool {
        let is_member = !to.is_multicast()
            || self.groups.iter().any(|(group, on)| *group == to && on.is_none_or(|on| on == interface));
        let is_bound = self.local.ip().is_unspecified() || self.local.ip() == to;
        is_member
            && is_bound
            && self.interface.is_none_or(|bound| bound == interface)
            && self.remote.is_none_or(|remote| remote == from)
    }

    /// Queues a datagram for the application. False if there is no room.
    pub(super) fn deliver(&mut self, mut received: Received) -> bool {
        let bytes = received.data.len();
        if bytes <= COPY_BREAK {
            received.data = Bytes::copy_from_slice(&received.data);
        }
        let is_queued = self.receive_queue.push(received, bytes).is_ok();
        self.drops += u64::from(!is_queued);
        is_queued
    }

    /// Remembers that a datagram of this length went to the connected peer.
    pub(super) fn remember_sent(&mut self, length: u16) {
        if let Some(slot) = self.sent_lengths.get_mut(usize::from(self.sent_next)) {
            *slot = length;
        } else {
            self.sent_lengths.push(length);
        }
        self.sent_next = (self.sent_next + 1) % REMEMBERED as u8;
    }

    /// True if one of the last datagrams sent to the connected peer had this length.
    pub(super) fn has_sent(&self, length: u16) -> bool {
        self.sent_lengths.contains(&length)
    }

    /// Keeps an error for the application. A hard one is not overwritten by a soft one.
    pub(super) fn fail(&mut self, error: Error) {
        if error.is_hard() || self.error.is_none() {
            self.error = Some(error);
        }
    }

    /// The error that came in for this socket, and forgets it.
    pub(super) fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    /// A hard error fails the next call, once.
    pub(super) fn check_error(&mut self) -> Result<(), Error> {
        match self.error {
            Some(error) if error.is_hard() => {
                self.error = None;
                Err(error)
            }
            _ => Ok(()),
        }
    }
}
