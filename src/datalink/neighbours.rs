//! The table of neighbours: which Ethernet address an on-link IP address has, and the packets that wait
//! until it is known.
//!
//! The states and their constants are those of RFC 4861 §7.3 (neighbour unreachability detection), used for
//! ARP as well as Linux does; this is the fresh validation that RFC 1122 §2.3.2.1 asks of an ARP cache. The
//! queue is that of RFC 1122 §2.3.2.2.
//!
//! ```text
//!             resolve              answer
//!   (none) ------------> Incomplete ------------> Reachable <--- confirm, answer ---+
//!     ^  ^                   |                      |                               |
//!     |  | held long enough  | no answer            | nothing heard for a while     |
//!     |  +------- Failed <---+                      v     resolve         5 s       |
//!     |                                   +----> Stale ----------> Delay ----> Probe
//!     |                                   |                                      |
//!     |     request to us, another MAC ---+                                      |
//!     +--------------------------------------------------------------------------+ no answer
//! ```
//!
//! No stranger makes the table grow: only what we ask for, or who asks for us, gets an entry, and who asked
//! for us without ever being used is the first to be forgotten. The table never sends: it says what is to be
//! sent ([`Neighbours::poll_action`]), be it by ARP or by NDP.

use crate::base::hash::HashKey;
use crate::base::limits;
use crate::base::lru::LruMap;
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::datalink::{InterfaceId, Mac};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

#[cfg(test)]
mod tests;

/// How long a neighbour counts as reachable after the last sign of life, times 0.5 to 1.5 (RFC 4861 §10).
const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// How long upper layers get to confirm a stale neighbour before it is probed (RFC 4861 §10).
const DELAY_FIRST_PROBE_TIME: Duration = Duration::from_secs(5);
/// The time to the first retry (RFC 4861 §10; RFC 1122 §2.3.2.1 allows one request a second); it doubles.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// Requests before giving up (RFC 4861 §10: MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT).
const MAX_SOLICIT: u32 = 3;
/// How long a neighbour that did not answer is not asked again.
const FAILED_TIME: Duration = Duration::from_secs(2);
/// How long an unused stale neighbour is remembered (20 minutes is what RFC 1122 §2.3.2.1 mentions).
const STALE_TIME: Duration = Duration::from_secs(1200);
/// How long after a change another change is taken for flapping (Linux's `locktime`).
const LOCK_TIME: Duration = Duration::from_secs(1);

/// The state of a neighbour, in the words of RFC 4861 §7.3.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Asked for, not answered.
    Incomplete,
    /// Known to have been alive moments ago.
    Reachable,
    /// Known, but not heard of for a while; checked when next used.
    Stale,
    /// Used while stale: an upper layer may confirm it.
    Delay,
    /// Asked directly whether it is still there.
    Probe,
    /// Did not answer; not asked again for a moment.
    Failed,
    /// Configured by hand.
    Static,
}

/// What became of a packet that needs a neighbour's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolve<P> {
    /// It can go to this address.
    Known(Mac, P),
    /// It waits. What no longer fits the queue, the oldest first, comes back.
    Waiting {
        /// The packets that made room.
        dropped: Vec<P>,
    },
    /// The neighbour did not answer a moment ago, and is not asked again yet.
    Failed(P),
}

/// How an address was learnt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Learn {
    /// From a reply.
    Reply {
        /// It was sent to us alone.
        solicited: bool,
    },
    /// From a request that asks for one of our addresses.
    RequestToUs,
    /// From an announcement, or a request for somebody else.
    Announcement,
}

/// What is to be done on the table's behalf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action<P> {
    /// Ask for an address.
    Solicit {
        /// On this interface.
        interface: InterfaceId,
        /// For this address.
        address: IpAddr,
        /// Ask this station alone, to see if it is still there; `None`: ask everyone.
        unicast_to: Option<Mac>,
    },
    /// The neighbour did not answer; the packets that waited for it are undeliverable.
    GaveUp {
        /// On this interface.
        interface: InterfaceId,
        /// The address that did not answer.
        address: IpAddr,
        /// What waited, the oldest first.
        packets: Vec<P>,
    },
}

/// A neighbour, for display.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Where it is.
    pub interface: InterfaceId,
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address, if it is known.
    pub mac: Option<Mac>,
    /// How sure of it the table is.
    pub state: State,
    /// Packets that wait for it.
    pub waiting: usize,
    /// When its Ethernet address was last learnt, or first asked for.
    pub updated: Instant,
}

type Key = (InterfaceId, IpAddr);

#[derive(Clone, Debug)]
struct Entry<P> {
    state: State,
    mac: Option<Mac>,
    /// When `mac` was learnt.
    updated: Instant,
    /// The last sign of life from this neighbour.
    confirmed: Instant,
    /// Requests sent in this state.
    solicits: u32,
    /// When the state is to be looked at again. Also in `Neighbours::timers`.
    timer: Instant,
    waiting: VecDeque<(P, usize)>,
    waiting_bytes: usize,
}

/// The table, generic over the packets that wait in it.
#[derive(Clone, Debug)]
pub struct Neighbours<P> {
    table: LruMap<Key, Entry<P>>,
    statics: BTreeMap<Key, Mac>,
    timers: BTreeSet<(Instant, Key)>,
    actions: VecDeque<Action<P>>,
    waiting_bytes: usize,
    reachable_time: Duration,
}

impl<P> Neighbours<P> {
    /// An empty table with the bounds of [`limits`].
    pub fn new(random: &mut Random) -> Self {
        Neighbours::with_capacity(limits::NEIGHBOURS, random)
    }

    /// An empty table for so many neighbours, the static ones not counted.
    pub fn with_capacity(capacity: usize, random: &mut Random) -> Self {
        Neighbours {
            table: LruMap::new(capacity, HashKey::random(random)),
            statics: BTreeMap::new(),
            timers: BTreeSet::new(),
            actions: VecDeque::new(),
            waiting_bytes: 0,
            // RFC 4861 §6.3.2: so that hosts that start together don't probe together.
            reachable_time: random.duration(REACHABLE_TIME / 2, REACHABLE_TIME * 3 / 2),
        }
    }

    /// Finds the address of a neighbour for a packet of `bytes` bytes, or keeps the packet while asking.
    pub fn resolve(
        &mut self,
        interface: InterfaceId,
        address: IpAddr,
        packet: P,
        bytes: usize,
        now: Instant,
    ) -> Resolve<P> {
        let key = (interface, address);
        let Some(entry) = self.table.touch(&key) else {
            if let Some(mac) = self.statics.get(&key) {
                return Resolve::Known(*mac, packet);
            }
            self.insert(key, State::Incomplete, None, now, true);
            self.solicit(key, now);
            return Resolve::Waiting { dropped: self.enqueue(key, packet, bytes) };
        };
        match (entry.state, entry.mac) {
            (State::Failed, _) => Resolve::Failed(packet),
            (State::Incomplete, _) | (_, None) => Resolve::Waiting { dropped: self.enqueue(key, packet, bytes) },
            (State::Reachable | State::Stale, Some(mac)) => {
                let fresh = entry.confirmed + self.reachable_time > now;
                if !fresh || entry.state == State::Stale {
                    self.enter(key, State::Delay, now + DELAY_FIRST_PROBE_TIME);
                }
                Resolve::Known(mac, packet)
            }
            (State::Delay | State::Probe | State::Static, Some(mac)) => Resolve::Known(mac, packet),
        }
    }

    /// The Ethernet address of a neighbour if it is known at all; nothing changes.
    pub fn lookup(&self, interface: InterfaceId, address: IpAddr) -> Option<Mac> {
        let key = (interface, address);
        self.statics.get(&key).copied().or_else(|| self.table.get(&key).and_then(|entry| entry.mac))
    }

    /// True if there is an entry for a neighbour, whatever its state.
    pub fn has(&self, interface: InterfaceId, address: IpAddr) -> bool {
        let key = (interface, address);
        self.statics.contains_key(&key) || self.table.get(&key).is_some()
    }

    /// Takes in what a packet told. Returns the packets that can go now.
    pub fn learn(
        &mut self,
        interface: InterfaceId,
        address: IpAddr,
        mac: Mac,
        kind: Learn,
        now: Instant,
    ) -> Vec<(Mac, P)> {
        let key = (interface, address);
        if self.statics.contains_key(&key) {
            return Vec::new();
        }
        let reachable_timer = now + self.reachable_time;
        let Some(entry) = self.table.get_mut(&key) else {
            if kind == Learn::RequestToUs {
                self.insert(key, State::Stale, Some(mac), now, false);
            }
            return Vec::new();
        };
        let asked = matches!(entry.state, State::Incomplete | State::Probe);
        let answered = asked && kind == Learn::Reply { solicited: true };
        let changes = entry.mac != Some(mac);
        if changes && entry.mac.is_some() && now < entry.updated + LOCK_TIME {
            return Vec::new();
        }
        if changes {
            entry.mac = Some(mac);
            entry.updated = now;
        }
        if answered {
            entry.confirmed = now;
            self.enter(key, State::Reachable, reachable_timer);
        } else if changes {
            // Not an answer to a question: good enough to use, to be checked when used.
            self.enter(key, State::Stale, now + STALE_TIME);
        }
        self.release(key, mac, now)
    }

    /// An upper layer made progress with this neighbour: it is alive (RFC 4861 §7.3.1).
    pub fn confirm(&mut self, interface: InterfaceId, address: IpAddr, now: Instant) {
        let key = (interface, address);
        let Some(entry) = self.table.get_mut(&key) else { return };
        match entry.state {
            // The timer stays where it is and looks at `confirmed` when it fires.
            State::Reachable => entry.confirmed = now,
            State::Stale | State::Delay | State::Probe => {
                entry.confirmed = now;
                self.enter(key, State::Reachable, now + self.reachable_time);
            }
            State::Incomplete | State::Failed | State::Static => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, key)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            self.expire(key, now);
        }
    }

    /// What is to be done next, until `None`.
    pub fn poll_action(&mut self) -> Option<Action<P>> {
        self.actions.pop_front()
    }

    /// When [`Neighbours::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Sets an address by hand. What waited for it can go now.
    pub fn insert_static(&mut self, interface: InterfaceId, address: IpAddr, mac: Mac) -> Vec<(Mac, P)> {
        let key = (interface, address);
        self.statics.insert(key, mac);
        let Some(entry) = self.table.remove(&key) else { return Vec::new() };
        self.timers.remove(&(entry.timer, key));
        self.waiting_bytes -= entry.waiting_bytes;
        entry.waiting.into_iter().map(|(packet, _)| (mac, packet)).collect()
    }

    /// Takes back an address set by hand.
    pub fn remove_static(&mut self, interface: InterfaceId, address: IpAddr) -> bool {
        self.statics.remove(&(interface, address)).is_some()
    }

    /// Forgets all neighbours of an interface but the static ones, and returns what waited for them.
    pub fn flush(&mut self, interface: InterfaceId) -> Vec<P> {
        let keys: Vec<Key> = self.table.iter().map(|(key, _)| *key).filter(|key| key.0 == interface).collect();
        keys.into_iter().flat_map(|key| self.remove(key)).collect()
    }

    /// All neighbours: the static ones in order, then the others from the one used last.
    pub fn entries(&self) -> impl Iterator<Item = Neighbour> + '_ {
        let statics = self.statics.iter().map(|(key, mac)| Neighbour {
            interface: key.0,
            address: key.1,
            mac: Some(*mac),
            state: State::Static,
            waiting: 0,
            updated: Instant::ZERO,
        });
        statics.chain(self.table.iter().map(|(key, entry)| Neighbour {
            interface: key.0,
            address: key.1,
            mac: entry.mac,
            state: entry.state,
            waiting: entry.waiting.len(),
            updated: entry.updated,
        }))
    }

    /// The bytes of all packets that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    fn expire(&mut self, key: Key, now: Instant) {
        let reachable_time = self.reachable_time;
        let Some(entry) = self.table.get_mut(&key) else { return };
        match entry.state {
            State::Reachable if entry.confirmed + reachable_time > now => {
                let again = entry.confirmed + reachable_time;
                self.enter(key, State::Reachable, again);
            }
            State::Reachable => self.enter(key, State::Stale, now + STALE_TIME),
            State::Delay => {
                self.enter(key, State::Probe, now);
                self.solicit(key, now);
            }
            State::Incomplete | State::Probe if entry.solicits < MAX_SOLICIT => self.solicit(key, now),
            State::Incomplete => {
                let packets = self.take_waiting(key);
                self.enter(key, State::Failed, now + FAILED_TIME);
                self.actions.push_back(Action::GaveUp { interface: key.0, address: key.1, packets });
            }
            State::Probe => {
                // RFC 4861 §7.3.3: deleted, so that the next packet asks everyone again.
                let packets = self.remove(key);
                self.actions.push_back(Action::GaveUp { interface: key.0, address: key.1, packets });
            }
            State::Stale | State::Failed | State::Static => {
                self.remove(key);
            }
        }
    }

    /// Asks, and sets the timer for asking again: after 1 s, 2 s, 4 s.
    fn solicit(&mut self, key: Key, now: Instant) {
        let Some(entry) = self.table.get_mut(&key) else { return };
        let wait = RETRANS_TIMER * (1 << entry.solicits.min(MAX_SOLICIT));
        entry.solicits += 1;
        let unicast_to = if entry.state == State::Probe { entry.mac } else { None };
        let old = std::mem::replace(&mut entry.timer, now + wait);
        self.timers.remove(&(old, key));
        self.timers.insert((now + wait, key));
        self.actions.push_back(Action::Solicit { interface: key.0, address: key.1, unicast_to });
    }

    fn enter(&mut self, key: Key, state: State, timer: Instant) {
        let Some(entry) = self.table.get_mut(&key) else { return };
        entry.state = state;
        entry.solicits = 0;
        if state == State::Failed {
            entry.mac = None;
        }
        let old = std::mem::replace(&mut entry.timer, timer);
        self.timers.remove(&(old, key));
        self.timers.insert((timer, key));
    }

    fn insert(&mut self, key: Key, state: State, mac: Option<Mac>, now: Instant, used: bool) {
        let timer = now + STALE_TIME;
        let entry = Entry {
            state,
            mac,
            updated: now,
            confirmed: Instant::ZERO,
            solicits: 0,
            timer,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        };
        self.timers.insert((timer, key));
        let evicted = if used { self.table.insert(key, entry) } else { self.table.insert_oldest(key, entry) };
        if let Some((old_key, old)) = evicted {
            self.timers.remove(&(old.timer, old_key));
            self.waiting_bytes -= old.waiting_bytes;
            if !old.waiting.is_empty() {
                let packets = old.waiting.into_iter().map(|(packet, _)| packet).collect();
                self.actions.push_back(Action::GaveUp { interface: old_key.0, address: old_key.1, packets });
            }
        }
    }

    fn remove(&mut self, key: Key) -> Vec<P> {
        let Some(entry) = self.table.remove(&key) else { return Vec::new() };
        self.timers.remove(&(entry.timer, key));
        self.waiting_bytes -= entry.waiting_bytes;
        entry.waiting.into_iter().map(|(packet, _)| packet).collect()
    }

    /// Keeps a packet; returns what has to go for it, the oldest first. A packet that does not fit even
    /// then comes back itself.
    fn enqueue(&mut self, key: Key, packet: P, bytes: usize) -> Vec<P> {
        let mut dropped = Vec::new();
        let Some(entry) = self.table.get_mut(&key) else { return vec![packet] };
        entry.waiting.push_back((packet, bytes));
        entry.waiting_bytes += bytes;
        self.waiting_bytes += bytes;
        while entry.waiting.len() > limits::NEIGHBOUR_QUEUE_PACKETS
            || entry.waiting_bytes > limits::NEIGHBOUR_QUEUE_BYTES
            || self.waiting_bytes > limits::NEIGHBOUR_TOTAL_BYTES
        {
            let Some((oldest, bytes)) = entry.waiting.pop_front() else { break };
            entry.waiting_bytes -= bytes;
            self.waiting_bytes -= bytes;
            dropped.push(oldest);
        }
        dropped
    }

    fn take_waiting(&mut self, key: Key) -> Vec<P> {
        let Some(entry) = self.table.get_mut(&key) else { return Vec::new() };
        self.waiting_bytes -= std::mem::take(&mut entry.waiting_bytes);
        std::mem::take(&mut entry.waiting).into_iter().map(|(packet, _)| packet).collect()
    }

    /// Lets go what waited. That is a use: a stale neighbour will be checked.
    fn release(&mut self, key: Key, mac: Mac, now: Instant) -> Vec<(Mac, P)> {
        let packets = self.take_waiting(key);
        if !packets.is_empty() && self.table.get(&key).is_some_and(|entry| entry.state == State::Stale) {
            self.enter(key, State::Delay, now + DELAY_FIRST_PROBE_TIME);
        }
        packets.into_iter().map(|packet| (mac, packet)).collect()
    }
}
