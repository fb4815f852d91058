//! Who waits for which socket.

use crate::base::prefetch::prefetch_line;
use crate::stack::Event;
use crate::transport::tcp::connection::Readiness;
use crate::transport::tcp::table::{ConnectionId, ListenerId};
use crate::transport::udp::UdpId;
use slotmap::{SecondaryMap, SparseSecondaryMap};
use smallvec::SmallVec;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::task::Waker;

/// The direction a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
    /// Urgent data, announced apart from what can be read.
    Urgent,
}

/// Those who wait for something rare, by connection. The keys are our own, so that the hash needs no secret.
type Few = SparseSecondaryMap<ConnectionId, Waker, BuildHasherDefault<DefaultHasher>>;

/// One waker for each direction of a stream, any number for a listener or a datagram socket.
#[derive(Default)]
pub(crate) struct Wakers {
    /// Nearly every connection has somebody who waits for data.
    readers: SecondaryMap<ConnectionId, Waker>,
    writers: Few,
    urgent: Few,
    listeners: SecondaryMap<ListenerId, SmallVec<[Waker; 1]>>,
    datagrams: SecondaryMap<UdpId, SmallVec<[Waker; 1]>>,
}

impl Wakers {
    pub(crate) fn wait_stream(&mut self, id: ConnectionId, direction: Direction, waker: &Waker) {
        let known = match direction {
            Direction::Read => self.readers.get_mut(id),
            Direction::Write => self.writers.get_mut(id),
            Direction::Urgent => self.urgent.get_mut(id),
        };
        if let Some(known) = known {
            return known.clone_from(waker);
        }
        match direction {
            Direction::Read => self.readers.insert(id, waker.clone()),
            Direction::Write => self.writers.insert(id, waker.clone()),
            Direction::Urgent => self.urgent.insert(id, waker.clone()),
        };
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
        self.readers.remove(id);
        self.writers.remove(id);
        self.urgent.remove(id);
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
        self.readers = self.readers.drain().collect();
        if self.writers.is_empty() {
            self.writers = Few::default();
        }
    }

    /// Asks for what the wakers of these connections will touch, before they are called one after the other.
    pub(crate) fn foresee(&self, ids: &[ConnectionId]) {
        ids.iter().filter_map(|id| self.readers.get(*id)).for_each(|waker| prefetch_line(waker.data()));
    }

    /// Takes the wakers that `event` is for.
    pub(crate) fn take(&mut self, event: Event) -> SmallVec<[Waker; 2]> {
        let mut woken = SmallVec::new();
        match event {
            Event::Stream(id, readiness) => {
                let over = readiness.has(Readiness::CLOSED) || readiness.has(Readiness::ERROR);
                if over || readiness.has(Readiness::URGENT) {
                    woken.extend(self.urgent.remove(id));
                }
                if over || readiness.has(Readiness::READABLE) {
                    woken.extend(self.readers.remove(id));
                }
                if over || readiness.has(Readiness::WRITABLE) || readiness.has(Readiness::CONNECTED) {
                    woken.extend(self.writers.remove(id));
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
