//! Who waits for which socket.

use crate::stack::Event;
use crate::transport::tcp::connection::Readiness;
use crate::transport::tcp::table::{ConnectionId, ListenerId};
use crate::transport::udp::UdpId;
use slotmap::SecondaryMap;
use smallvec::SmallVec;
use std::task::Waker;

/// The direction a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
    /// Urgent data, announced apart from what can be read.
    Urgent,
}

#[derive(Default)]
struct Waiting {
    read: Option<Waker>,
    write: Option<Waker>,
    urgent: Option<Waker>,
}

/// One waker for each direction of a stream, any number for a listener or a datagram socket.
#[derive(Default)]
pub(crate) struct Wakers {
    streams: SecondaryMap<ConnectionId, Waiting>,
    listeners: SecondaryMap<ListenerId, SmallVec<[Waker; 1]>>,
    datagrams: SecondaryMap<UdpId, SmallVec<[Waker; 1]>>,
}

impl Wakers {
    pub(crate) fn wait_stream(&mut self, id: ConnectionId, direction: Direction, waker: &Waker) {
        if !self.streams.contains_key(id) {
            self.streams.insert(id, Waiting::default());
        }
        let Some(pair) = self.streams.get_mut(id) else { return };
        let slot = match direction {
            Direction::Read => &mut pair.read,
            Direction::Write => &mut pair.write,
            Direction::Urgent => &mut pair.urgent,
        };
        match slot {
            Some(known) => known.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }

    pub(crate) fn wait_listener(&mut self, id: ListenerId, waker: &Waker) {
        if !self.listeners.contains_key(id) {
            self.listeners.insert(id, SmallVec::new());
        }
        push(self.listeners.get_mut(id), waker);
    }

    pub(crate) fn wait_datagram(&mut self, id: UdpId, waker: &Waker) {
        if !self.datagrams.contains_key(id) {
            self.datagrams.insert(id, SmallVec::new());
        }
        push(self.datagrams.get_mut(id), waker);
    }

    pub(crate) fn forget_stream(&mut self, id: ConnectionId) {
        self.streams.remove(id);
    }

    pub(crate) fn forget_listener(&mut self, id: ListenerId) {
        self.listeners.remove(id);
    }

    pub(crate) fn forget_datagram(&mut self, id: UdpId) {
        self.datagrams.remove(id);
    }

    /// Gives up the room for sockets that are gone.
    pub(crate) fn shrink_to_fit(&mut self) {
        // A secondary map has no other way to become smaller.
        self.streams = self.streams.drain().collect();
    }

    /// Takes the wakers that `event` is for.
    pub(crate) fn take(&mut self, event: Event) -> SmallVec<[Waker; 2]> {
        let mut woken = SmallVec::new();
        match event {
            Event::Stream(id, readiness) => {
                if let Some(pair) = self.streams.get_mut(id) {
                    let over = readiness.has(Readiness::CLOSED) || readiness.has(Readiness::ERROR);
                    if over || readiness.has(Readiness::URGENT) {
                        woken.extend(pair.urgent.take());
                    }
                    if over || readiness.has(Readiness::READABLE) {
                        woken.extend(pair.read.take());
                    }
                    if over || readiness.has(Readiness::WRITABLE) || readiness.has(Readiness::CONNECTED) {
                        woken.extend(pair.write.take());
                    }
                }
            }
            Event::Listener(id) => {
                if let Some(waiting) = self.listeners.get_mut(id) {
                    woken.extend(waiting.drain(..));
                }
            }
            Event::Datagram(id) => {
                if let Some(waiting) = self.datagrams.get_mut(id) {
                    woken.extend(waiting.drain(..));
                }
            }
        }
        woken
    }
}

fn push(waiting: Option<&mut SmallVec<[Waker; 1]>>, waker: &Waker) {
    if let Some(waiting) = waiting
        && !waiting.iter().any(|known| known.will_wake(waker))
    {
        waiting.push(waker.clone());
    }
}
