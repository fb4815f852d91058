//! A TCP socket as the kernel has it: bound, listening or connected, with its errors told once.

use crate::errno::Errno;
use crate::settings::Settings;
use crate::world::World;
use bytes::Bytes;
use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tapstack::transport::tcp::connection::Read;
use tapstack::transport::tcp::info::Info;
use tapstack::transport::tcp::state::State as TcpState;
use tapstack::transport::tcp::table::{ConnectionId, ListenerId};

/// What the stack knows of the socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Fresh,
    Listening(ListenerId),
    Open(ConnectionId),
}

/// One socket.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) settings: Settings,
    pub(crate) bound: Option<SocketAddr>,
    pub(crate) state: State,
    /// `connect` has not said yet that it is done.
    is_connecting: bool,
    /// Why the connection ended was told.
    has_told: bool,
    is_read_shut: bool,
    is_write_shut: bool,
}

impl Stream {
    pub(crate) fn new(settings: Settings) -> Self {
        Stream {
            settings,
            bound: None,
            state: State::Fresh,
            is_connecting: false,
            has_told: false,
            is_read_shut: false,
            is_write_shut: false,
        }
    }

    pub(crate) fn listen(&mut self, world: &mut World, backlog: i32) -> Result<(), Errno> {
        match self.state {
            State::Listening(_) => return Ok(()),
            State::Open(_) => return Err(Errno(libc::EINVAL)),
            State::Fresh => {}
        }
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        // Linux lets one more wait than it was told.
        let backlog = usize::try_from(backlog).unwrap_or(0) + 1;
        let config = self.settings.tcp.clone();
        let local = self.bound.unwrap_or(any);
        let id = world.stack().tcp_listen(local, Some(backlog), Some(config))?;
        self.state = State::Listening(id);
        Ok(())
    }

    /// The next connection and its peer; `None` while there is none.
    pub(crate) fn accept(&mut self, world: &mut World) -> Option<Result<(Stream, SocketAddr), Errno>> {
        let State::Listening(id) = self.state else { return Some(Err(Errno(libc::EINVAL))) };
        let (connection, peer) = world.tcp(|tcp, _| tcp.accept(id))?;
        let mut stream = Stream::new(self.settings.clone());
        stream.state = State::Open(connection);
        stream.bound = world.tcp(|tcp, _| tcp.local_addr(connection)).ok();
        stream.apply_settings(world);
        Some(Ok((stream, peer)))
    }

    /// `connect`, the first time and again; `None` while it is under way.
    pub(crate) fn connect(&mut self, world: &mut World, remote: SocketAddr) -> Option<Result<(), Errno>> {
        match self.state {
            State::Listening(_) => Some(Err(Errno(libc::EISCONN))),
            State::Open(_) if !self.is_connecting => Some(Err(Errno(libc::EISCONN))),
            State::Open(id) => self.connected(world, id),
            State::Fresh => {
                let (local, config) = (self.bound, self.settings.tcp.clone());
                match world.tcp(|tcp, cx| tcp.connect(local, remote, Some(config), cx)) {
                    Ok(id) => {
                        self.state = State::Open(id);
                        self.is_connecting = true;
                        self.has_told = false;
                        self.bound = world.tcp(|tcp, _| tcp.local_addr(id)).ok();
                        self.apply_settings(world);
                        None
                    }
                    Err(error) => Some(Err(error.into())),
                }
            }
        }
    }

    /// True if `connect` was called and has not said how it went.
    pub(crate) fn is_connecting(&self) -> bool {
        self.is_connecting
    }

    fn connected(&mut self, world: &mut World, id: ConnectionId) -> Option<Result<(), Errno>> {
        match self.tcp_state(world) {
            TcpState::SynSent | TcpState::SynReceived => None,
            TcpState::Closed => {
                self.is_connecting = false;
                let error = self.take_error(world).unwrap_or(Errno(libc::ECONNABORTED));
                world.tcp(|tcp, cx| tcp.close(id, cx));
                self.state = State::Fresh;
                Some(Err(error))
            }
            _ => {
                self.is_connecting = false;
                Some(Ok(()))
            }
        }
    }

    /// `connect` to nobody: the connection is dropped, and the socket is fresh again.
    pub(crate) fn disconnect(&mut self, world: &mut World) {
        self.end(world, true);
        *self = Stream { bound: self.bound, ..Stream::new(self.settings.clone()) };
    }

    /// Up to `max` octets, none at the end; `None` while there are none.
    pub(crate) fn read(&mut self, world: &mut World, max: usize, peek: bool) -> Option<Result<Vec<u8>, Errno>> {
        let State::Open(id) = self.state else { return Some(Err(Errno(libc::ENOTCONN))) };
        if peek {
            let octets = world.tcp(|tcp, _| tcp.peek(id, max)).unwrap_or_default();
            if !octets.is_empty() {
                return Some(Ok(octets));
            }
        }
        let mut octets = Vec::new();
        let mut is_end = self.is_read_shut;
        while octets.len() < max && !peek {
            let room = max - octets.len();
            match world.tcp(|tcp, cx| tcp.read(id, room, cx)) {
                Ok(Read::Data(bytes)) => octets.extend_from_slice(&bytes),
                Ok(Read::WouldBlock) => break,
                Ok(Read::End) => {
                    is_end = true;
                    break;
                }
                Err(_) => break,
            }
        }
        if !octets.is_empty() {
            return Some(Ok(octets));
        }
        if let Some(error) = self.take_error(world) {
            return Some(Err(error));
        }
        is_end |= self.tcp_state(world) == TcpState::Closed || (peek && self.is_at_end(world));
        (is_end || max == 0).then_some(Ok(octets))
    }

    /// Takes what there is room for off the front of `data`; `None` if there is no room.
    pub(crate) fn write(&mut self, world: &mut World, data: &mut Bytes) -> Option<Result<usize, Errno>> {
        let State::Open(id) = self.state else { return Some(Err(Errno(libc::EPIPE))) };
        if let Some(error) = self.take_error(world) {
            return Some(Err(error));
        }
        match self.tcp_state(world) {
            _ if self.is_write_shut => return Some(Err(Errno(libc::EPIPE))),
            TcpState::SynSent | TcpState::SynReceived => return None,
            TcpState::Closed => return Some(Err(Errno(libc::EPIPE))),
            _ => {}
        }
        if !self.is_below_low_water(world) {
            return None;
        }
        match world.tcp(|tcp, cx| tcp.write(id, data, cx)) {
            Ok(0) if !data.is_empty() => None,
            Ok(taken) => Some(Ok(taken)),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Octets that a write would take. One that fails takes any.
    pub(crate) fn room(&self, world: &mut World) -> usize {
        let State::Open(id) = self.state else { return usize::MAX };
        if self.tcp_state(world) == TcpState::Closed || self.is_write_shut {
            return usize::MAX;
        }
        world.tcp(|tcp, _| tcp.write_room(id)).unwrap_or(usize::MAX)
    }

    /// Everything written so far is urgent.
    pub(crate) fn mark_urgent(&mut self, world: &mut World) {
        if let State::Open(id) = self.state {
            let _ = world.tcp(|tcp, cx| tcp.mark_urgent(id, cx));
        }
    }

    /// While `more` is to follow small segments wait.
    pub(crate) fn hold(&mut self, world: &mut World, more: bool) {
        if let State::Open(id) = self.state {
            let cork = self.settings.cork || more;
            let _ = world.tcp(|tcp, cx| tcp.set_cork(id, cork, cx));
        }
    }

    pub(crate) fn shutdown(&mut self, world: &mut World, how: i32) -> Result<(), Errno> {
        let (read, write) = match how {
            libc::SHUT_RD => (true, false),
            libc::SHUT_WR => (false, true),
            libc::SHUT_RDWR => (true, true),
            _ => return Err(Errno(libc::EINVAL)),
        };
        match self.state {
            State::Fresh => return Err(Errno(libc::ENOTCONN)),
            State::Listening(_) if read => self.disconnect(world),
            State::Listening(_) => {}
            State::Open(_) if self.tcp_state(world) == TcpState::Closed => return Err(Errno(libc::ENOTCONN)),
            State::Open(id) => {
                self.is_read_shut |= read;
                if write && !std::mem::replace(&mut self.is_write_shut, true) {
                    let _ = world.tcp(|tcp, cx| tcp.shutdown_write(id, cx));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, world: &mut World) {
        self.end(world, self.settings.linger == Some(0));
    }

    fn end(&mut self, world: &mut World, abort: bool) {
        match std::mem::replace(&mut self.state, State::Fresh) {
            State::Fresh => {}
            State::Listening(id) => world.tcp(|tcp, cx| tcp.close_listener(id, cx)),
            State::Open(id) if abort => world.tcp(|tcp, cx| tcp.abort(id, cx)),
            State::Open(id) => world.tcp(|tcp, cx| tcp.close(id, cx)),
        }
    }

    /// Why the connection failed, once.
    pub(crate) fn take_error(&mut self, world: &mut World) -> Option<Errno> {
        if self.has_told {
            return None;
        }
        let error = self.error(world)?;
        self.has_told = true;
        Some(error)
    }

    fn error(&self, world: &mut World) -> Option<Errno> {
        let State::Open(id) = self.state else { return None };
        world.tcp(|tcp, _| tcp.error(id)).ok()?.map(Errno::from)
    }

    /// The state of the connection, or what the kernel would say of the socket.
    pub(crate) fn tcp_state(&self, world: &mut World) -> TcpState {
        match self.state {
            State::Fresh => TcpState::Closed,
            State::Listening(_) => TcpState::Listen,
            State::Open(id) => world.tcp(|tcp, _| tcp.state(id)).unwrap_or(TcpState::Closed),
        }
    }

    /// A snapshot of the connection.
    pub(crate) fn info(&self, world: &mut World) -> Option<Info> {
        let (State::Open(id), now) = (self.state, world.now) else { return None };
        world.tcp(|tcp, _| tcp.info_at(id, now)).ok()
    }

    /// Octets that can be read.
    pub(crate) fn readable_bytes(&self, world: &mut World) -> usize {
        let State::Open(id) = self.state else { return 0 };
        world.tcp(|tcp, _| tcp.readable_bytes(id)).unwrap_or(0)
    }

    /// The peer has sent everything.
    fn is_at_end(&self, world: &mut World) -> bool {
        use TcpState::{CloseWait, Closed, Closing, LastAck, TimeWait};
        matches!(self.tcp_state(world), CloseWait | LastAck | Closing | TimeWait | Closed)
    }

    fn is_below_low_water(&self, world: &mut World) -> bool {
        let Some(most) = self.settings.not_sent_low_water else { return true };
        self.info(world).is_none_or(|info| info.not_sent_bytes < u64::from(most))
    }

    /// What `poll` says.
    pub(crate) fn ready(&mut self, world: &mut World) -> i16 {
        let id = match self.state {
            State::Fresh => return POLLOUT | POLLWRNORM | POLLHUP,
            State::Listening(id) => {
                let waiting = world.tcp(|tcp, _| tcp.acceptable(id)).unwrap_or(0);
                return if waiting > 0 { POLLIN | POLLRDNORM } else { 0 };
            }
            State::Open(id) => id,
        };
        let state = self.tcp_state(world);
        if matches!(state, TcpState::SynSent | TcpState::SynReceived) {
            return 0;
        }
        let (is_over, is_at_end) = (state == TcpState::Closed, self.is_at_end(world) || self.is_read_shut);
        let mut mask = 0;
        if is_over || (is_at_end && self.is_write_shut) {
            mask |= POLLHUP;
        }
        if is_at_end {
            mask |= POLLIN | POLLRDNORM | POLLRDHUP;
        }
        if self.readable_bytes(world) > 0 {
            mask |= POLLIN | POLLRDNORM;
        }
        let has_room = world.tcp(|tcp, _| tcp.write_room(id)).unwrap_or(0) > 0 && self.is_below_low_water(world);
        if has_room || is_over || self.is_write_shut {
            mask |= POLLOUT | POLLWRNORM;
        }
        if !self.has_told && self.error(world).is_some() {
            mask |= POLLERR;
        }
        mask
    }

    /// Tells the connection what the socket was told.
    pub(crate) fn apply_settings(&mut self, world: &mut World) {
        let State::Open(id) = self.state else { return };
        let Settings { tcp: config, keepalive, keep, cork, .. } = &self.settings;
        let keepalive = keepalive.then_some(*keep);
        world.tcp(|tcp, cx| {
            // A connection that is over needs none of it.
            let _ = tcp.set_nodelay(id, !config.nagle, cx);
            let _ = tcp.set_cork(id, *cork, cx);
            let _ = tcp.set_send_buffer(id, config.send_buffer, cx);
            let _ = tcp.set_keepalive(id, keepalive, cx);
            let _ = tcp.set_user_timeout(id, config.user_timeout, cx);
            let _ = tcp.set_traffic_class(id, config.traffic_class, cx);
            let _ = tcp.set_hop_limit(id, config.hop_limit, cx);
            let _ = tcp.set_fin_wait_2(id, config.fin_wait_2, cx);
        });
    }

    /// The ACKs of the next segments don't wait, or all do.
    pub(crate) fn set_quick_ack(&mut self, world: &mut World, on: bool) {
        self.settings.quick_ack = on;
        if let State::Open(id) = self.state {
            let segments = if on { u8::MAX } else { 0 };
            let _ = world.tcp(|tcp, cx| tcp.set_quick_acks(id, segments, cx));
        }
    }
}
