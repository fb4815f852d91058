//! The table of TCP: every listener, half-open connection, connection and TIME-WAIT record, and what the stack
//! and the session floor call.
//!
//! ```text
//!                         ┌─ Connection (RFC 9293 §3.10.7.3, .4)
//!  Packet ─► (local,remote)┼─ Embryo     SYN-RECEIVED of a passive open
//!                         ├─ TimeWait   ── a SYN that may reopen ──┐
//!                         └─ none ─► most specific listener ◄──────┘
//!                                     ├─ SYN: embryo, or cookie when there are too many
//!                                     ├─ ACK: cookie that comes back, or reset
//!                                     └─ no listener: reset (§3.10.7.1)
//! ```
//!
//! One mutation, then settle: after every call into a connection its events are taken, its timer is armed, it
//! gets a turn if it has output, a closed one whose application let go leaves only a TIME-WAIT record, and a
//! finished one is freed. Output is pulled: answers that belong to no connection first, then connections in
//! turn, one segment each.
//!
//! Every bound stands in [`crate::base::limits`]. Not here: what a segment means to a connection
//! ([`super::connection`]), and who may bind a reserved port ([`crate::transport::ports::Policy`]).

mod calls;
mod fast_open;
mod foresight;
mod owners;
mod passive;
mod rows;
mod slot;
#[cfg(test)]
mod tests;

pub use calls::{ConnectError, ListenError};
use foresight::Due;
pub use foresight::Foreseen;
pub use rows::Row;

use crate::base::counters::Counter;
use crate::base::drops::{DropReason, Outcome};
use crate::base::hash::{HashKey, KeyedMap};
use crate::base::limits;
use crate::base::random::Random;
use crate::base::seq::Seq;
use crate::base::time::Instant;
use crate::base::timers::Timers;
use crate::network::packet::{Cast, Datagram, Packet, PathError, PathErrorKind};
use crate::transport::Context;
use crate::transport::ports::Ephemeral;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::connection::Readiness;
use crate::transport::tcp::cookie::Cookies;
use crate::transport::tcp::embryo::Embryo;
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::fast_open::{FastOpenCache, FastOpenKeys};
use crate::transport::tcp::flood::Flood;
use crate::transport::tcp::isn::InitialNumbers;
use crate::transport::tcp::key_ring::KeyRing;
use crate::transport::tcp::listener::Listener;
use crate::transport::tcp::metrics::MetricsCache;
use crate::transport::tcp::replies::Replies;
use crate::transport::tcp::segment::Segment;
use crate::transport::tcp::state::State;
use crate::transport::tcp::time_wait::{self, TimeWait, TimeWaitId, TimeWaits};
use crate::transport::tcp::trace::Trace;
use owners::Owners;
use slot::{EventSource, Owner, Slot, TimerKey};
use slotmap::{SlotMap, new_key_type};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

new_key_type! {
    /// A connection. Once freed it names nothing, also when its place is used again.
    pub struct ConnectionId;
    /// A listener.
    pub struct ListenerId;
    /// A half-open connection.
    struct EmbryoId;
}

/// Something the session floor should look at. Events are edges: told once when it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Something became possible on a connection, or it ended.
    Connection(ConnectionId, Readiness),
    /// A connection waits to be accepted.
    Acceptable(ListenerId),
}

/// Both ends of a connection, ours first.
type Pair = (SocketAddr, SocketAddr);

/// All of TCP's state.
#[derive(Debug)]
pub struct Tcp {
    owners: Owners,
    /// Boxed, so that the table stays small when they are gone, and need not move them when it grows.
    connections: SlotMap<ConnectionId, Box<Slot>>,
    embryos: SlotMap<EmbryoId, Embryo>,
    time_waits: TimeWaits,
    listeners: SlotMap<ListenerId, Listener>,
    listeners_by_port: KeyedMap<u16, SmallVec<[ListenerId; 2]>>,
    timers: Timers<TimerKey>,
    /// Connections with output, each once, in turn.
    turns: VecDeque<ConnectionId>,
    replies: Replies,
    events: VecDeque<EventSource>,
    numbers: InitialNumbers,
    cookies: Cookies,
    flood: Flood,
    ephemeral: Ephemeral,
    /// What earlier connections have learned.
    metrics: MetricsCache,
    trace: Trace,
    key_ring: KeyRing,
    /// Made when they are first needed.
    fast_open_keys: Option<FastOpenKeys>,
    fast_open_cache: Option<FastOpenCache>,
    defaults: Rc<Config>,
}

impl Tcp {
    /// No sockets. `defaults` are for the connections and listeners that bring no configuration.
    pub fn new(random: &mut Random, defaults: Config) -> Self {
        Tcp::with_time_waits(limits::TCP_TIME_WAITS, random, defaults)
    }

    fn with_time_waits(limit: usize, random: &mut Random, defaults: Config) -> Self {
        Tcp {
            owners: Owners::new(HashKey::random(random)),
            connections: SlotMap::with_key(),
            embryos: SlotMap::with_key(),
            time_waits: TimeWaits::new(limit),
            listeners: SlotMap::with_key(),
            listeners_by_port: KeyedMap::with_hasher(HashKey::random(random)),
            timers: Timers::new(),
            turns: VecDeque::new(),
            replies: Replies::new(),
            events: VecDeque::new(),
            numbers: InitialNumbers::new(random),
            cookies: Cookies::new(random),
            flood: Flood::default(),
            ephemeral: Ephemeral::new(random),
            metrics: MetricsCache::new(random),
            trace: Trace::default(),
            key_ring: KeyRing::new(Rc::clone(&defaults.keys), random),
            fast_open_keys: None,
            fast_open_cache: None,
            defaults: Rc::new(defaults),
        }
    }

    /// What acknowledgments did to the connections that are traced.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Takes ephemeral ports only of the share of stack `index` of `count` that are one host.
    pub fn take_share(&mut self, index: u16, count: u16) {
        self.ephemeral.take_share(index, count);
    }

    /// Takes a packet from the network floor.
    pub fn receive(&mut self, packet: &Packet, cx: &mut Context<'_>) -> Outcome {
        cx.counters.count(Counter::TcpInSegs);
        // RFC 9293 MUST-57 and MUST-63: neither end may be a broadcast or multicast address.
        if packet.cast != Cast::Unicast || !is_host(packet.source) {
            return Outcome::Dropped(DropReason::TcpNotUnicast);
        }
        let (source_port, destination_port, segment) = match Segment::parse(packet) {
            Ok(parsed) => parsed,
            Err(reason) => return Outcome::Dropped(reason),
        };
        let local = SocketAddr::new(packet.destination, destination_port);
        let remote = SocketAddr::new(packet.source, source_port);
        let owner = self.owner_of(&Ends::new(local, remote));
        if self.key_ring.is_for(remote.ip()) {
            let is_open = match owner {
                Some(Owner::Connection(id)) => {
                    self.connections.get(id).is_some_and(|slot| slot.connection.state().is_synchronized())
                }
                _ => false,
            };
            if let Err(reason) = self.key_ring.check(packet, (local, remote), &segment, is_open) {
                return Outcome::Dropped(reason);
            }
        }
        match owner {
            Some(Owner::Connection(id)) => self.arrives_at_connection(id, segment, cx),
            Some(Owner::Embryo(id)) => self.arrives_at_embryo(id, segment, cx),
            Some(Owner::TimeWait(id)) => self.arrives_in_time_wait(id, &segment, cx),
            None => self.arrives_at_listener((local, remote), &segment, None, cx),
        }
    }

    /// Who answers for a pair of sockets.
    fn owner_of(&self, ends: &Ends) -> Option<Owner> {
        let Tcp { connections, embryos, time_waits, .. } = self;
        self.owners.find(ends, |owner| owner.has(ends, connections, embryos, time_waits))
    }

    fn arrives_at_connection(&mut self, id: ConnectionId, segment: Segment, cx: &mut Context<'_>) -> Outcome {
        let Some(slot) = self.connections.get_mut(id) else {
            return Outcome::Dropped(DropReason::TcpNoConnection);
        };
        let was_opening = slot.connection.state() == State::SynSent;
        let challenges = cx.counters.of(Counter::TcpChallengeAck);
        let outcome = slot.connection.receive(segment, cx);
        if let Some(point) = slot.connection.trace_point(cx.now) {
            self.trace.add(point);
        }
        // RFC 5961 §7: a connection bounds its own challenges, the table those of all.
        if cx.counters.of(Counter::TcpChallengeAck) > challenges && !self.replies.may_challenge(cx.now) {
            slot.connection.withhold_challenge();
            cx.counters.count(Counter::TcpChallengeAckSkipped);
        }
        if was_opening
            && let Some(news) = slot.connection.take_fast_open_news()
            && let Some(cache) = &mut self.fast_open_cache
        {
            cache.note(slot.connection.remote().ip(), news, cx.now);
        }
        self.settle(id, cx);
        outcome
    }

    fn arrives_in_time_wait(&mut self, id: TimeWaitId, segment: &Segment, cx: &mut Context<'_>) -> Outcome {
        let Some(record) = self.time_waits.get_mut(id) else {
            return Outcome::Dropped(DropReason::TcpNoConnection);
        };
        let pair = (record.ends.local(), record.ends.remote());
        match record.receive(segment, cx.now) {
            time_wait::Verdict::Consume => Outcome::Consumed,
            time_wait::Verdict::Drop(reason) => Outcome::Dropped(reason),
            time_wait::Verdict::AcknowledgeFin => {
                let ack = record.ack(cx.now);
                self.replies.push(ack, cx.counters);
                Outcome::Answered
            }
            time_wait::Verdict::Challenge(reason) => {
                let ack = record.ack(cx.now);
                self.replies.challenge(ack, cx.now, cx.counters);
                Outcome::Dropped(reason)
            }
            time_wait::Verdict::Reopen if self.listener_for(pair.0).is_none() => {
                Outcome::Dropped(DropReason::TcpBadSyn)
            }
            time_wait::Verdict::Reopen => self.reopen(id, pair, segment, cx),
        }
    }

    /// RFC 6191: the record makes way for the connection that the SYN opens, if the listener takes it.
    fn reopen(&mut self, id: TimeWaitId, pair: Pair, segment: &Segment, cx: &mut Context<'_>) -> Outcome {
        let iss = self.numbers.sequence(pair.0, pair.1, cx.now);
        let iss = self.time_waits.get(id).map(|record| record.next_iss(iss));
        let outcome = self.arrives_at_listener(pair, segment, iss, cx);
        // An embryo has taken the record's place; with a cookie nothing has, and the record must not swallow the ACK
        // that brings it back.
        if matches!(outcome, Outcome::Answered) {
            if let Some(record) = self.time_waits.remove(id) {
                self.owners.remove(&record.ends, Owner::TimeWait(id));
            }
            cx.counters.count(Counter::TcpTimeWaitRecycled);
        }
        outcome
    }

    /// Takes an ICMP error about a segment of ours.
    pub fn handle_path_error(&mut self, error: &PathError, cx: &mut Context<'_>) -> Outcome {
        let Some([a, b, c, d, e, f, g, h]) = error.quote.first_chunk::<8>().copied() else {
            return Outcome::Dropped(DropReason::IcmpMalformed);
        };
        let local = SocketAddr::new(error.local, u16::from_be_bytes([a, b]));
        let remote = SocketAddr::new(error.remote, u16::from_be_bytes([c, d]));
        let seq = Seq(u32::from_be_bytes([e, f, g, h]));
        if self.key_ring.is_for(error.remote) {
            // RFC 5925 §7.8: what nobody can sign is not believed.
            return Outcome::Dropped(DropReason::TcpUnsigned);
        }
        match self.owner_of(&Ends::new(local, remote)) {
            Some(Owner::Connection(id)) => {
                let Some(slot) = self.connections.get_mut(id) else {
                    return Outcome::Dropped(DropReason::IcmpNotInFlight);
                };
                let outcome = slot.connection.handle_path_error(error, cx);
                self.settle(id, cx);
                outcome
            }
            Some(Owner::Embryo(id)) if self.embryos.get(id).is_some_and(|embryo| embryo.has_sent(seq)) => {
                let is_hard = matches!(error.kind, PathErrorKind::PortUnreachable | PathErrorKind::ProtocolUnreachable);
                if is_hard {
                    self.remove_embryo(id);
                }
                Outcome::Consumed
            }
            // RFC 5927 §4.1: nothing is in flight.
            _ => Outcome::Dropped(DropReason::IcmpNotInFlight),
        }
    }

    /// When [`Tcp::handle_timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Handles everything that is due.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(first) = self.timers.poll(cx.now) {
            // What is set on the way is not due, so nothing comes between these.
            let others = std::iter::from_fn(|| self.timers.poll(cx.now)).take(foresight::AT_ONCE - 1);
            let due: Due = std::iter::once(first).chain(others).collect();
            self.foresee_due(&due);
            for key in due {
                match key {
                    TimerKey::Connection(id) => self.on_connection_timer(id, cx),
                    TimerKey::Embryo(id) => self.on_embryo_timer(id, cx),
                    TimerKey::TimeWait(id) => self.on_time_wait_timer(id, cx),
                }
            }
        }
    }

    fn on_connection_timer(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let Some(slot) = self.connections.get_mut(id) else { return };
        slot.alarms.on_fired(cx.now);
        match slot.connection.deadline() {
            Some(deadline) if deadline <= cx.now => {
                slot.connection.handle_timeout(cx);
                if let Some(point) = slot.connection.trace_point(cx.now) {
                    self.trace.add(point);
                }
                self.settle(id, cx);
            }
            // What it was set for is over: nothing has changed since the connection settled.
            Some(deadline) => slot.arm(&mut self.timers, id, deadline, cx.now),
            None => {}
        }
    }

    fn on_time_wait_timer(&mut self, id: TimeWaitId, cx: &mut Context<'_>) {
        let Some(record) = self.time_waits.get(id) else { return };
        if record.deadline > cx.now {
            // A retransmitted FIN moved it.
            self.timers.set(TimerKey::TimeWait(id), record.deadline);
        } else if let Some(record) = self.time_waits.remove(id) {
            self.owners.remove(&record.ends, Owner::TimeWait(id));
        }
    }

    /// Asks authenticated peers to sign with the key of this `receive_id` from now on, where they have it (RFC 5925 §3.3).
    pub fn prefer_key(&mut self, receive_id: u8) {
        self.key_ring.prefer(receive_id);
    }

    /// The next segment for the network floor.
    pub fn poll_transmit(&mut self, cx: &mut Context<'_>) -> Option<Datagram> {
        loop {
            let mut datagram = self.poll_unsigned(cx)?;
            if self.key_ring.sign(&mut datagram, cx.counters) {
                return Some(datagram);
            }
        }
    }

    fn poll_unsigned(&mut self, cx: &mut Context<'_>) -> Option<Datagram> {
        if let Some(reply) = self.replies.pop() {
            return Some(reply);
        }
        for _ in 0..self.turns.len() {
            let id = self.turns.pop_front()?;
            let Some(slot) = self.connections.get_mut(id) else { continue };
            slot.has_turn = false;
            let datagram = slot.connection.poll_transmit(cx);
            self.settle(id, cx);
            if datagram.is_some() {
                return datagram;
            }
        }
        None
    }

    /// Gives up the room that tables have for more than they hold, and the timers of those who are gone. It looks
    /// at everything there is: for after a crowd.
    pub fn shrink_to_fit(&mut self) {
        self.owners.shrink_to_fit();
        self.turns.shrink_to_fit();
        self.events.shrink_to_fit();
        self.time_waits.shrink_to_fit();
        let (connections, embryos, time_waits) = (&self.connections, &self.embryos, &self.time_waits);
        self.timers.retain(|key| match key {
            TimerKey::Connection(id) => connections.contains_key(id),
            TimerKey::Embryo(id) => embryos.contains_key(id),
            TimerKey::TimeWait(id) => time_waits.get(id).is_some(),
        });
    }

    /// True if [`Tcp::poll_event`] may return something.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Checks what must hold between any two calls, of the table and of every connection; for tests and
    /// simulations.
    ///
    /// # Errors
    /// What does not hold, and for which connection.
    pub fn check_invariants(&self) -> Result<(), String> {
        let open = self.connections.values().filter(|slot| !slot.connection.is_finished()).count();
        let (kept, owned) = (open + self.embryos.len() + self.time_waits.len(), self.owners.len());
        if kept != owned {
            return Err(format!("{kept} connections of all kinds own {owned} pairs of sockets"));
        }
        for (id, listener) in &self.listeners {
            let embryos = self.embryos.values().filter(|embryo| embryo.listener == id).count();
            let is_waiting = |id: &ConnectionId| self.connections.get(*id).is_some_and(|slot| slot.listener.is_some());
            if embryos != listener.embryos || !listener.waiting.iter().all(is_waiting) {
                return Err(format!("the listener on {} has lost count", listener.local));
            }
        }
        for slot in self.connections.values() {
            let (local, remote) = (slot.connection.local(), slot.connection.remote());
            slot.connection.check_invariants().map_err(|broken| format!("{local} - {remote}: {broken}"))?;
        }
        Ok(())
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        while let Some(source) = self.events.pop_front() {
            match source {
                EventSource::Connection(id) => {
                    let Some(slot) = self.connections.get_mut(id) else { continue };
                    slot.has_event = false;
                    let readiness = std::mem::take(&mut slot.readiness);
                    if !slot.is_let_go && !readiness.is_empty() {
                        return Some(Event::Connection(id, readiness));
                    }
                }
                EventSource::Listener(id) => {
                    let Some(listener) = self.listeners.get_mut(id) else { continue };
                    listener.has_event = false;
                    return Some(Event::Acceptable(id));
                }
            }
        }
        None
    }

    /// What follows every mutation of a connection.
    fn settle(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        let Some(slot) = self.connections.get_mut(id) else { return };
        slot.readiness = slot.readiness | slot.connection.take_readiness();
        if slot.may_tell() {
            slot.has_event = true;
            self.events.push_back(EventSource::Connection(id));
        }
        if slot.connection.is_finished() {
            // CLOSED is no connection: the next segment between these sockets finds the listener, or nobody.
            self.owners.remove(slot.connection.ends(), Owner::Connection(id));
            // An application that has not accepted it need not learn of it.
            if slot.is_let_go || slot.listener.is_some() {
                self.remove_connection(id, cx.now);
            }
            return;
        }
        let has_output = slot.connection.has_output(cx.now);
        if has_output && !std::mem::replace(&mut slot.has_turn, true) {
            self.turns.push_back(id);
        }
        if slot.is_let_go
            && !has_output
            && let Some(facts) = slot.connection.time_wait()
        {
            self.remove_connection(id, cx.now);
            self.keep_time_wait(TimeWait::new(&facts));
            return;
        }
        if let Some(deadline) = slot.connection.deadline() {
            slot.arm(&mut self.timers, id, deadline, cx.now);
        }
    }

    fn keep_time_wait(&mut self, record: TimeWait) {
        let (ends, deadline) = (record.ends.clone(), record.deadline);
        let (id, evicted) = self.time_waits.insert(record);
        if let Some((evicted, record)) = evicted {
            self.owners.remove(&record.ends, Owner::TimeWait(evicted));
        }
        self.owners.insert(&ends, Owner::TimeWait(id));
        self.timers.set(TimerKey::TimeWait(id), deadline);
    }

    fn remove_connection(&mut self, id: ConnectionId, now: Instant) {
        let Some(slot) = self.connections.remove(id) else { return };
        self.owners.remove(slot.connection.ends(), Owner::Connection(id));
        if let Some(metrics) = slot.connection.metrics(now) {
            self.metrics.note(slot.connection.remote().ip(), metrics);
        }
        if let Some(listener) = slot.listener.and_then(|listener| self.listeners.get_mut(listener)) {
            listener.waiting.retain(|waiting| *waiting != id);
        }
    }

    /// True if there is no room for one more connection.
    fn is_table_full(&self) -> bool {
        self.connections.len() + self.embryos.len() >= limits::TCP_CONNECTIONS
    }
}

/// True for an address that can be one end of a connection.
fn is_host(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST)
}
