//! How the session floor reaches the transports: the checks that need the whole host, then the transport.

use crate::base::time::{Duration, Instant};
use crate::datalink::InterfaceId;
use crate::network::packet::Paths;
use crate::stack::Stack;
use crate::stack::outbound::is_group;
use crate::transport::ports::Protocol;
use crate::transport::tcp::config::{Config, Keepalive};
use crate::transport::tcp::connection::{Error, Read};
use crate::transport::tcp::info::Info;
use crate::transport::tcp::state::State;
use crate::transport::tcp::table::{ConnectionId, ListenerId};
use crate::transport::udp::{Received, SendOptions, UdpId};
use bytes::Bytes;
use std::io;
use std::net::{IpAddr, SocketAddr};

impl Stack {
    /// Refuses an address that is not ours and a reserved port that nobody named (RFC 6335 §6).
    fn check_local(&self, protocol: Protocol, local: SocketAddr) -> io::Result<()> {
        let is_ours = local.ip().is_unspecified() || self.internet.is_configured(local.ip());
        let is_joined = protocol == Protocol::Udp && is_group(local.ip());
        if !is_ours && !is_joined {
            let message = format!("{} is not an address of this host", local.ip());
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
        }
        self.ports
            .check(protocol, local.port())
            .map_err(|not_allowed| io::Error::new(io::ErrorKind::PermissionDenied, not_allowed))
    }

    /// Listens; see [`crate::session::tcp::TcpListener::bind`].
    ///
    /// # Errors
    /// As there.
    pub fn tcp_listen(
        &mut self,
        local: SocketAddr,
        backlog: Option<usize>,
        config: Option<Config>,
    ) -> io::Result<ListenerId> {
        self.check_local(Protocol::Tcp, local)?;
        let backlog = backlog.unwrap_or(crate::base::limits::TCP_BACKLOG);
        let now = self.internet.now;
        Ok(self.with_tcp(now, |tcp, cx| tcp.listen(local, backlog, config, cx))?)
    }

    pub(crate) fn tcp_accept(&mut self, id: ListenerId) -> Option<(ConnectionId, SocketAddr, SocketAddr)> {
        let (connection, peer) = self.tcp.accept(id)?;
        let local = self.tcp.local_addr(connection).ok()?;
        Some((connection, local, peer))
    }

    pub(crate) fn tcp_close_listener(&mut self, now: Instant, id: ListenerId) {
        self.with_tcp(now, |tcp, cx| tcp.close_listener(id, cx));
    }

    pub(crate) fn tcp_connect(
        &mut self,
        now: Instant,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        config: Option<Config>,
    ) -> io::Result<(ConnectionId, SocketAddr)> {
        if let Some(local) = local {
            self.check_local(Protocol::Tcp, local)?;
        }
        let id = self.with_tcp(now, |tcp, cx| tcp.connect(local, remote, config, cx))?;
        Ok((id, self.tcp.local_addr(id)?))
    }

    pub(crate) fn tcp_connect_with_data(
        &mut self,
        now: Instant,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        config: Option<Config>,
        data: &mut Bytes,
    ) -> io::Result<(ConnectionId, SocketAddr)> {
        if let Some(local) = local {
            self.check_local(Protocol::Tcp, local)?;
        }
        let id = self.with_tcp(now, |tcp, cx| tcp.connect_with_data(local, remote, config, data, cx))?;
        Ok((id, self.tcp.local_addr(id)?))
    }

    pub(crate) fn tcp_read(&mut self, now: Instant, id: ConnectionId, max: usize) -> Result<Read, Error> {
        self.with_tcp(now, |tcp, cx| tcp.read(id, max, cx))
    }

    pub(crate) fn tcp_write(&mut self, now: Instant, id: ConnectionId, data: &mut Bytes) -> Result<usize, Error> {
        self.with_tcp(now, |tcp, cx| tcp.write(id, data, cx))
    }

    pub(crate) fn tcp_send_room(&self, id: ConnectionId) -> Result<usize, Error> {
        self.tcp.write_room(id)
    }

    pub(crate) fn tcp_is_connected(&self, id: ConnectionId) -> Result<bool, Error> {
        match self.tcp.state(id)? {
            State::SynSent | State::SynReceived => Ok(false),
            State::Closed => Err(self.tcp.error(id)?.unwrap_or(Error::NotConnected)),
            _ => Ok(true),
        }
    }

    pub(crate) fn tcp_shutdown_write(&mut self, now: Instant, id: ConnectionId) {
        // A connection that is gone has nothing left to shut down.
        let _ = self.with_tcp(now, |tcp, cx| tcp.shutdown_write(id, cx));
    }

    pub(crate) fn tcp_close(&mut self, now: Instant, id: ConnectionId) {
        self.with_tcp(now, |tcp, cx| tcp.close(id, cx));
    }

    pub(crate) fn tcp_abort(&mut self, now: Instant, id: ConnectionId) {
        self.with_tcp(now, |tcp, cx| tcp.abort(id, cx));
    }

    pub(crate) fn tcp_set_nodelay(&mut self, now: Instant, id: ConnectionId, nodelay: bool) {
        let _ = self.with_tcp(now, |tcp, cx| tcp.set_nodelay(id, nodelay, cx));
    }

    pub(crate) fn tcp_set_keepalive(&mut self, now: Instant, id: ConnectionId, idle: Option<Duration>) {
        let keepalive = idle.map(|idle| Keepalive { idle, ..Keepalive::default() });
        let _ = self.with_tcp(now, |tcp, cx| tcp.set_keepalive(id, keepalive, cx));
    }

    pub(crate) fn tcp_set_user_timeout(&mut self, now: Instant, id: ConnectionId, timeout: Option<Duration>) {
        let _ = self.with_tcp(now, |tcp, cx| tcp.set_user_timeout(id, timeout, cx));
    }

    pub(crate) fn tcp_set_window_clamp(&mut self, now: Instant, id: ConnectionId, clamp: Option<u32>) {
        let _ = self.with_tcp(now, |tcp, cx| tcp.set_window_clamp(id, clamp, cx));
    }

    pub(crate) fn tcp_set_notsent_lowat(&mut self, now: Instant, id: ConnectionId, octets: Option<u32>) {
        let _ = self.with_tcp(now, |tcp, cx| tcp.set_notsent_lowat(id, octets, cx));
    }

    pub(crate) fn tcp_set_traffic_class(&mut self, now: Instant, id: ConnectionId, class: u8) {
        let _ = self.with_tcp(now, |tcp, cx| tcp.set_traffic_class(id, class, cx));
    }

    pub(crate) fn tcp_set_hop_limit(&mut self, now: Instant, id: ConnectionId, hop_limit: u8) {
        let _ = self.with_tcp(now, |tcp, cx| tcp.set_hop_limit(id, hop_limit, cx));
    }

    pub(crate) fn tcp_mark_urgent(&mut self, now: Instant, id: ConnectionId) {
        let _ = self.with_tcp(now, |tcp, cx| tcp.mark_urgent(id, cx));
    }

    /// Urgent octets to be read; an error once the connection is over.
    pub(crate) fn tcp_urgent_ahead(&self, id: ConnectionId) -> Result<u32, Error> {
        match self.tcp.urgent_ahead(id)? {
            0 if self.tcp.state(id)? == State::Closed => Err(self.tcp.error(id)?.unwrap_or(Error::Closed)),
            ahead => Ok(ahead),
        }
    }

    pub(crate) fn tcp_info(&self, id: ConnectionId) -> Option<Info> {
        self.tcp.info_at(id, self.internet.now).ok()
    }

    pub(crate) fn udp_bind(&mut self, local: SocketAddr) -> io::Result<(UdpId, SocketAddr)> {
        self.check_local(Protocol::Udp, local)?;
        let now = self.internet.now;
        let id = self.with_udp(now, |udp, cx| udp.bind(local, cx))?;
        Ok((id, self.udp.local_addr(id)?))
    }

    pub(crate) fn udp_connect(&mut self, id: UdpId, remote: SocketAddr) -> io::Result<()> {
        let now = self.internet.now;
        Ok(self.with_udp(now, |udp, cx| udp.connect(id, remote, cx))?)
    }

    pub(crate) fn udp_set_broadcast(&mut self, id: UdpId, may_broadcast: bool) -> io::Result<()> {
        Ok(self.udp.set_broadcast(id, may_broadcast)?)
    }

    pub(crate) fn udp_send(&mut self, now: Instant, id: UdpId, data: Bytes) -> io::Result<()> {
        Ok(self.with_udp(now, |udp, cx| udp.send(id, data, cx))?)
    }

    pub(crate) fn udp_send_to(
        &mut self,
        now: Instant,
        id: UdpId,
        data: Bytes,
        to: SocketAddr,
        mut options: SendOptions,
    ) -> io::Result<()> {
        // An answer comes from the address that was asked, but never from a group or broadcast address.
        options.source = options.source.filter(|source| self.internet.is_local(*source));
        Ok(self.with_udp(now, |udp, cx| udp.send_with(id, data, to, options, cx))?)
    }

    pub(crate) fn udp_receive(&mut self, id: UdpId) -> io::Result<Option<Received>> {
        Ok(self.udp.recv_from(id)?)
    }

    pub(crate) fn udp_join(&mut self, now: Instant, id: UdpId, group: IpAddr, on: InterfaceId) -> io::Result<()> {
        let IpAddr::V4(v4) = group else { return Err(io::ErrorKind::Unsupported.into()) };
        let interface = self.internet.interface_mut(on).ok_or(io::ErrorKind::NotFound)?;
        if !self.udp.join_group(id, group, Some(on))? {
            return Ok(());
        }
        if !interface.membership.join(v4, now) {
            self.udp.leave_group(id, group, Some(on))?;
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the interface is in too many groups"));
        }
        self.send_reports(now);
        Ok(())
    }

    pub(crate) fn udp_leave(&mut self, now: Instant, id: UdpId, group: IpAddr, on: InterfaceId) -> io::Result<()> {
        let IpAddr::V4(v4) = group else { return Err(io::ErrorKind::Unsupported.into()) };
        if !self.udp.leave_group(id, group, Some(on))? {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the socket is not in the group"));
        }
        let interface = self.internet.interface_mut(on).ok_or(io::ErrorKind::NotFound)?;
        interface.membership.leave(v4, now);
        self.send_reports(now);
        Ok(())
    }

    /// Closes a UDP socket: what it has queued still goes out, and the groups it was in are left.
    pub fn udp_close(&mut self, now: Instant, id: UdpId) {
        for (group, on) in self.udp.close(id) {
            let interface = on.and_then(|on| self.internet.interface_mut(on));
            if let (IpAddr::V4(v4), Some(interface)) = (group, interface) {
                interface.membership.leave(v4, now);
            }
        }
        self.send_reports(now);
    }
}
