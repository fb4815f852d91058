//! What users call: RFC 9293 §3.10.1 to §3.10.6, by the name of a connection or listener.
//!
//! A name whose connection is gone is [`Error::NotConnected`], never another connection.

use super::slot::{EventSource, Owner, Slot};
use super::{ConnectionId, ListenerId, Tcp, is_host};
use crate::base::time::{Duration, Instant};
use crate::transport::Context;
use crate::transport::tcp::config::{Config, Keepalive};
use crate::transport::tcp::connection::{Connection, Error, Read, Readiness};
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::fast_open::{Attempt, FastOpenCache};
use crate::transport::tcp::info::Info;
use crate::transport::tcp::listener::Listener;
use crate::transport::tcp::state::State;
use bytes::Bytes;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

/// Why a listener could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListenError {
    /// Another listener has the port on this address.
    AddrInUse,
    /// The address is one that no listener can have.
    BadAddress,
    /// No ephemeral port is free.
    NoneLeft,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ListenError::AddrInUse => "the address is in use",
            ListenError::BadAddress => "nobody can listen on this address",
            ListenError::NoneLeft => "no port is left",
        })
    }
}

impl std::error::Error for ListenError {}

/// Why an active open failed at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// The remote socket is one that nobody can be: port 0, a broadcast or multicast address (RFC 9293 MUST-46).
    BadDestination,
    /// The local address is not one of ours.
    AddrNotAvailable,
    /// There is a connection between these two sockets (RFC 9293 §3.10.1).
    AddrInUse,
    /// No route leads to the peer.
    NoRoute,
    /// No ephemeral port is free, or there are too many connections.
    NoneLeft,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectError::BadDestination => "nothing can be reached at this address",
            ConnectError::AddrNotAvailable => "the local address is not one of this host",
            ConnectError::AddrInUse => "there is a connection between these sockets",
            ConnectError::NoRoute => "no route leads to the peer",
            ConnectError::NoneLeft => "no port or connection is left",
        })
    }
}

impl std::error::Error for ConnectError {}

impl Tcp {
    /// A passive OPEN on `local`: one of our addresses, or 0.0.0.0 for all (RFC 9293 MUST-45); port 0 for any free
    /// one. At most `backlog` open connections wait to be accepted. Whether a reserved port may be bound is for
    /// the caller to ask of [`crate::transport::ports::Policy`].
    ///
    /// # Errors
    /// The port is taken, the address is impossible, or no port is left.
    pub fn listen(
        &mut self,
        mut local: SocketAddr,
        backlog: usize,
        config: Option<Config>,
        cx: &mut Context<'_>,
    ) -> Result<ListenerId, ListenError> {
        if !local.ip().is_unspecified() && !is_host(local.ip()) {
            return Err(ListenError::BadAddress);
        }
        if local.port() == 0 {
            let taken = &self.listeners_by_port;
            let port = self.ephemeral.any(cx.random, |port| !taken.contains_key(&port));
            local.set_port(port.ok_or(ListenError::NoneLeft)?);
        } else if self.listeners_at(local.port()).any(|(_, other)| other.local.ip() == local.ip()) {
            // A listener on one address may stand beside one on all: the more specific gets the connection.
            return Err(ListenError::AddrInUse);
        }
        let config = config.map_or_else(|| Rc::clone(&self.defaults), Rc::new);
        let id = self.listeners.insert(Listener::new(local, backlog, config));
        self.listeners_by_port.entry(local.port()).or_default().push(id);
        Ok(id)
    }

    /// The next connection that a peer opened, and the peer.
    pub fn accept(&mut self, id: ListenerId) -> Option<(ConnectionId, SocketAddr)> {
        let waiting = &mut self.listeners.get_mut(id)?.waiting;
        while let Some(id) = waiting.pop_front() {
            let Some(slot) = self.connections.get_mut(id) else { continue };
            slot.listener = None;
            if slot.may_tell() {
                slot.has_event = true;
                self.events.push_back(EventSource::Connection(id));
            }
            return Some((id, slot.connection.remote()));
        }
        None
    }

    /// Closes a listener. Half-open connections go with it, those that nobody accepted are aborted, and accepted
    /// ones stay.
    pub fn close_listener(&mut self, id: ListenerId, cx: &mut Context<'_>) {
        let Some(listener) = self.listeners.get_mut(id) else { return };
        let (local, waiting) = (listener.local, std::mem::take(&mut listener.waiting));
        self.drop_unaccepted(id, waiting.into(), cx);
        self.listeners.remove(id);
        if let Some(ids) = self.listeners_by_port.get_mut(&local.port()) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.listeners_by_port.remove(&local.port());
            }
        }
    }

    /// An active OPEN to `remote`. Without a local address the network floor's choice is taken (RFC 9293 MUST-44),
    /// without a port one by RFC 6056. Readiness tells when the connection is open, or failed.
    ///
    /// # Errors
    /// Why no SYN was sent.
    pub fn connect(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        config: Option<Config>,
        cx: &mut Context<'_>,
    ) -> Result<ConnectionId, ConnectError> {
        self.open_actively(local, remote, config, None, cx)
    }

    /// An active OPEN with what is to be sent first, which leaves with the SYN where the peer has given a Fast Open cookie
    /// (RFC 7413): then it may arrive twice. What there is no room for is left in `data`.
    ///
    /// # Errors
    /// Why no SYN was sent.
    pub fn connect_with_data(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        config: Option<Config>,
        data: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Result<ConnectionId, ConnectError> {
        self.open_actively(local, remote, config, Some(data), cx)
    }

    fn open_actively(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        config: Option<Config>,
        data: Option<&mut Bytes>,
        cx: &mut Context<'_>,
    ) -> Result<ConnectionId, ConnectError> {
        if remote.port() == 0 || !is_host(remote.ip()) {
            return Err(ConnectError::BadDestination);
        }
        if self.is_table_full() {
            return Err(ConnectError::NoneLeft);
        }
        let local = self.local_towards(local, remote, cx)?;
        let iss = self.numbers.sequence(local, remote, cx.now);
        let config = config.map_or_else(|| Rc::clone(&self.defaults), Rc::new);
        let mut connection = Connection::connect(local, remote, iss, config, cx);
        connection.recall(self.metrics.recall(remote.ip(), cx.now));
        let is_signed = self.key_ring.is_for(remote.ip());
        if is_signed {
            connection.authenticate();
        }
        if let Some(data) = data {
            // Two options of that size do not fit a SYN.
            let attempt = if is_signed {
                Attempt::Plain
            } else {
                let cache = self.fast_open_cache.get_or_insert_with(|| FastOpenCache::new(cx.random));
                cache.attempt(remote.ip(), cx.now)
            };
            connection.open_fast(attempt, data, cx);
        }
        let id = self.connections.insert(Box::new(Slot::new(connection, None)));
        self.owners.insert(&Ends::new(local, remote), Owner::Connection(id));
        self.settle(id, cx);
        Ok(id)
    }

    fn local_towards(
        &mut self,
        asked: Option<SocketAddr>,
        remote: SocketAddr,
        cx: &Context<'_>,
    ) -> Result<SocketAddr, ConnectError> {
        let address = match asked.map(|asked| asked.ip()).filter(|asked| !asked.is_unspecified()) {
            Some(asked) if !cx.paths.is_local(asked) => return Err(ConnectError::AddrNotAvailable),
            Some(asked) => asked,
            None => cx.paths.source_for(remote.ip()).ok_or(ConnectError::NoRoute)?,
        };
        let port = asked.map_or(0, |asked| asked.port());
        let local = SocketAddr::new(address, port);
        if port != 0 {
            return if self.is_taken(local, remote) { Err(ConnectError::AddrInUse) } else { Ok(local) };
        }
        let Tcp { owners, connections, embryos, time_waits, listeners_by_port, ephemeral, .. } = self;
        let port = ephemeral.towards(address, remote, |port| {
            let ends = Ends::new(SocketAddr::new(address, port), remote);
            let owner = owners.find(&ends, |owner| owner.has(&ends, connections, embryos, time_waits));
            owner.is_none() && !listeners_by_port.contains_key(&port)
        });
        Ok(SocketAddr::new(address, port.ok_or(ConnectError::NoneLeft)?))
    }

    /// True if somebody answers for these two sockets.
    pub(super) fn is_taken(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.owner_of(&Ends::new(local, remote)).is_some()
    }

    fn slot(&self, id: ConnectionId) -> Result<&Slot, Error> {
        self.connections.get(id).map(Box::as_ref).filter(|slot| !slot.is_let_go).ok_or(Error::NotConnected)
    }

    fn call<R>(
        &mut self,
        id: ConnectionId,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut Connection, &mut Context<'_>) -> R,
    ) -> Result<R, Error> {
        let slot = self.connections.get_mut(id).filter(|slot| !slot.is_let_go).ok_or(Error::NotConnected)?;
        let result = call(&mut slot.connection, cx);
        self.settle(id, cx);
        Ok(result)
    }

    /// RECEIVE: up to `max` octets, without copying.
    ///
    /// # Errors
    /// Why the connection failed, or that there is none of this name.
    pub fn read(&mut self, id: ConnectionId, max: usize, cx: &mut Context<'_>) -> Result<Read, Error> {
        self.call(id, cx, |connection, _| connection.read(max))?
    }

    /// The first octets that a read would give, at most `max`, copied; they stay to be read.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn peek(&self, id: ConnectionId, max: usize) -> Result<Vec<u8>, Error> {
        Ok(self.slot(id)?.connection.peek(max))
    }

    /// SEND: takes from `data` what there is room for and says how much; zero means that an event will tell when
    /// there is room.
    ///
    /// # Errors
    /// Why the connection failed or can't be written to, or that there is none of this name.
    pub fn write(&mut self, id: ConnectionId, data: &mut Bytes, cx: &mut Context<'_>) -> Result<usize, Error> {
        self.call(id, cx, |connection, cx| connection.write(data, cx))?
    }

    /// CLOSE for the writing side: a FIN follows what is queued; reading goes on.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn shutdown_write(&mut self, id: ConnectionId, cx: &mut Context<'_>) -> Result<(), Error> {
        self.call(id, cx, Connection::shutdown_write)
    }

    /// The application lets go: what is queued is sent and the connection closed in order, without anyone to read.
    /// The name is of no more use.
    pub fn close(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        self.let_go(id, cx, Connection::close);
    }

    /// ABORT: everything queued is dropped and the peer gets a reset. The name is of no more use.
    pub fn abort(&mut self, id: ConnectionId, cx: &mut Context<'_>) {
        self.let_go(id, cx, Connection::abort);
    }

    /// ABORT for every connection, also those that were closed and are still ending: the host goes.
    pub fn abort_all(&mut self, cx: &mut Context<'_>) {
        let ids: Vec<ConnectionId> = self.connections.keys().collect();
        for id in ids {
            if let Some(slot) = self.connections.get_mut(id) {
                slot.is_let_go = false;
            }
            self.abort(id, cx);
        }
    }

    fn let_go(&mut self, id: ConnectionId, cx: &mut Context<'_>, how: impl FnOnce(&mut Connection, &mut Context<'_>)) {
        let Some(slot) = self.connections.get_mut(id).filter(|slot| !slot.is_let_go) else { return };
        slot.is_let_go = true;
        if slot.connection.state() != State::Closed {
            how(&mut slot.connection, cx);
        }
        self.settle(id, cx);
    }

    /// What is possible now: the level behind the edges that events are.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn readiness(&self, id: ConnectionId) -> Result<Readiness, Error> {
        Ok(self.slot(id)?.connection.readiness())
    }

    /// The state.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn state(&self, id: ConnectionId) -> Result<State, Error> {
        Ok(self.slot(id)?.connection.state())
    }

    /// Why the connection failed, if it did.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn error(&self, id: ConnectionId) -> Result<Option<Error>, Error> {
        Ok(self.slot(id)?.connection.error())
    }

    /// A snapshot of the connection, but for how long ago things happened.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn info(&self, id: ConnectionId) -> Result<Info, Error> {
        Ok(self.slot(id)?.connection.info())
    }

    /// A snapshot of everything about the connection as it is `now`.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn info_at(&self, id: ConnectionId, now: Instant) -> Result<Info, Error> {
        Ok(self.slot(id)?.connection.info_at(now))
    }

    /// Our end.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn local_addr(&self, id: ConnectionId) -> Result<SocketAddr, Error> {
        Ok(self.slot(id)?.connection.local())
    }

    /// The other end.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn peer_addr(&self, id: ConnectionId) -> Result<SocketAddr, Error> {
        Ok(self.slot(id)?.connection.remote())
    }

    /// Octets a write would take now.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn write_room(&self, id: ConnectionId) -> Result<usize, Error> {
        Ok(self.slot(id)?.connection.write_room())
    }

    /// Octets that can be read now.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn readable_bytes(&self, id: ConnectionId) -> Result<usize, Error> {
        Ok(self.slot(id)?.connection.readable_bytes())
    }

    /// Turns Nagle off or on (RFC 9293 MUST-17).
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_nodelay(&mut self, id: ConnectionId, nodelay: bool, cx: &mut Context<'_>) -> Result<(), Error> {
        self.call(id, cx, |connection, _| connection.set_nodelay(nodelay))
    }

    /// While corked only full segments are sent.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_cork(&mut self, id: ConnectionId, cork: bool, cx: &mut Context<'_>) -> Result<(), Error> {
        self.call(id, cx, |connection, _| connection.set_cork(cork))
    }

    /// The ACKs of the next `segments` segments with text don't wait; zero ends the quick ACKs of the beginning.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_quick_acks(&mut self, id: ConnectionId, segments: u8, cx: &mut Context<'_>) -> Result<(), Error> {
        self.call(id, cx, |connection, _| connection.set_quick_acks(segments))
    }

    /// Octets taken from now on before they are acknowledged, at most.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_send_buffer(&mut self, id: ConnectionId, octets: usize, cx: &mut Context<'_>) -> Result<(), Error> {
        self.call(id, cx, |connection, _| connection.set_send_buffer(octets))
    }

    /// How long FIN-WAIT-2 lasts once the application let go.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_fin_wait_2(&mut self, id: ConnectionId, duration: Duration, cx: &mut Context<'_>) -> Result<(), Error> {
        self.call(id, cx, |connection, _| connection.set_fin_wait_2(duration))
    }

    /// Connections that wait to be accepted; `None` if there is no such listener.
    pub fn acceptable(&self, id: ListenerId) -> Option<usize> {
        Some(self.listeners.get(id)?.waiting.len())
    }

    /// Turns keepalive on or off (RFC 9293 MUST-24).
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_keepalive(
        &mut self,
        id: ConnectionId,
        keepalive: Option<Keepalive>,
        cx: &mut Context<'_>,
    ) -> Result<(), Error> {
        self.call(id, cx, |connection, cx| connection.set_keepalive(keepalive, cx))
    }

    /// Sets how long something may stay unacknowledged (RFC 9293 MUST-21).
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_user_timeout(
        &mut self,
        id: ConnectionId,
        user_timeout: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Result<(), Error> {
        self.call(id, cx, |connection, cx| connection.set_user_timeout(user_timeout, cx))
    }

    /// The most that is announced to the peer.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_window_clamp(
        &mut self,
        id: ConnectionId,
        clamp: Option<u32>,
        cx: &mut Context<'_>,
    ) -> Result<(), Error> {
        self.call(id, cx, |connection, _| connection.set_window_clamp(clamp))
    }

    /// Octets that may wait to be sent for the first time before the connection is no longer writable.
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_notsent_lowat(
        &mut self,
        id: ConnectionId,
        octets: Option<u32>,
        cx: &mut Context<'_>,
    ) -> Result<(), Error> {
        self.call(id, cx, |connection, _| connection.set_notsent_lowat(octets))
    }

    /// Everything written so far is urgent (RFC 9293 MUST-30).
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn mark_urgent(&mut self, id: ConnectionId, cx: &mut Context<'_>) -> Result<(), Error> {
        self.call(id, cx, |connection, _| connection.mark_urgent())
    }

    /// Octets of urgent data still to be read (RFC 9293 MUST-33).
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn urgent_ahead(&self, id: ConnectionId) -> Result<u32, Error> {
        Ok(self.slot(id)?.connection.urgent_ahead())
    }

    /// Sets DSCP and ECN of what is sent from now on (RFC 9293 MUST-48).
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_traffic_class(&mut self, id: ConnectionId, class: u8, cx: &mut Context<'_>) -> Result<(), Error> {
        self.call(id, cx, |connection, _| connection.set_traffic_class(class))
    }

    /// Sets the hop limit of what is sent from now on (RFC 9293 MUST-49).
    ///
    /// # Errors
    /// There is no connection of this name.
    pub fn set_hop_limit(&mut self, id: ConnectionId, hop_limit: u8, cx: &mut Context<'_>) -> Result<(), Error> {
        self.call(id, cx, |connection, _| connection.set_hop_limit(hop_limit))
    }
}
