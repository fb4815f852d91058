//! UDP sockets for tasks.

use crate::datalink::InterfaceId;
use crate::session::net::Net;
use crate::transport::udp::{Received, SendOptions, UdpId};
use bytes::Bytes;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

/// A UDP socket. Dropping it closes it.
#[derive(Debug)]
pub struct UdpSocket {
    net: Net,
    id: UdpId,
    local: SocketAddr,
}

impl UdpSocket {
    /// Binds to `local`; an unspecified address means all of ours, port 0 one of the stack's choice (RFC 6056).
    ///
    /// # Errors
    /// `AddrInUse`, `PermissionDenied` for a reserved port that the configuration does not name,
    /// `AddrNotAvailable` for an address that is not ours.
    pub fn bind(net: &Net, local: SocketAddr) -> io::Result<Self> {
        let (id, local) = net.with_stack(|stack| stack.udp_bind(local))?;
        Ok(UdpSocket { net: net.clone(), id, local })
    }

    /// Talks to `remote` alone: other senders' datagrams are not for this socket, and ICMP errors about it
    /// come back from [`UdpSocket::recv`].
    ///
    /// # Errors
    /// `HostUnreachable` without a route.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<()> {
        self.net.with_stack(|stack| stack.udp_connect(self.id, remote))
    }

    /// Sends one datagram to `to`.
    ///
    /// # Errors
    /// `InvalidInput` for more than fits a datagram, `HostUnreachable` without a route, `WouldBlock` when the
    /// queue is full.
    pub fn send_to(&self, data: Bytes, to: SocketAddr) -> io::Result<()> {
        let now = self.net.now();
        self.net.with_stack(|stack| stack.udp_send_to(now, self.id, data, to, SendOptions::default()))
    }

    /// Sends one datagram as an answer to `received`: from the address it was sent to, out of the
    /// interface it came in on.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`].
    pub fn reply(&self, data: Bytes, received: &Received) -> io::Result<()> {
        let now = self.net.now();
        let source = Some(received.destination.ip());
        let options = SendOptions { source, interface: Some(received.interface), ..SendOptions::default() };
        self.net.with_stack(|stack| stack.udp_send_to(now, self.id, data, received.source, options))
    }

    /// Sends one datagram to the connected peer.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`]; `NotConnected` without a peer.
    pub fn send(&self, data: Bytes) -> io::Result<()> {
        let now = self.net.now();
        self.net.with_stack(|stack| stack.udp_send(now, self.id, data))
    }

    /// The next datagram and its sender.
    ///
    /// # Errors
    /// What ICMP said for certain about a connected socket's datagrams: `ConnectionRefused`, `PermissionDenied`. That
    /// a peer can't be reached at the moment is no error (RFC 1122 §4.1.3.3).
    pub async fn recv_from(&self) -> io::Result<(Bytes, SocketAddr)> {
        let received = self.receive().await?;
        Ok((received.data, received.source))
    }

    /// The next datagram of the connected peer.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub async fn recv(&self) -> io::Result<Bytes> {
        Ok(self.receive().await?.data)
    }

    /// The next datagram with everything known about it.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub async fn receive(&self) -> io::Result<Received> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// As [`UdpSocket::receive`], for a task that polls by itself.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        match self.net.with_stack(|stack| stack.udp_receive(self.id)) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(Some(received)) => Poll::Ready(Ok(received)),
            Ok(None) => {
                self.net.wakers(|wakers| wakers.wait_datagram(self.id, cx.waker()));
                Poll::Pending
            }
        }
    }

    /// Allows or forbids sending to the limited broadcast; forbidden at first.
    ///
    /// # Errors
    /// `NotConnected` never in practice: the socket is open as long as this handle lives.
    pub fn set_broadcast(&self, may_broadcast: bool) -> io::Result<()> {
        self.net.with_stack(|stack| stack.udp_set_broadcast(self.id, may_broadcast))
    }

    /// Joins a multicast group on an interface (RFC 1112, RFC 3376).
    ///
    /// # Errors
    /// `InvalidInput` if it is no multicast address, `OutOfMemory` if the interface is in too many groups.
    pub fn join_group(&self, group: IpAddr, interface: InterfaceId) -> io::Result<()> {
        let now = self.net.now();
        self.net.with_stack(|stack| stack.udp_join(now, self.id, group, interface))
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// `NotFound` if the socket is not in it.
    pub fn leave_group(&self, group: IpAddr, interface: InterfaceId) -> io::Result<()> {
        let now = self.net.now();
        self.net.with_stack(|stack| stack.udp_leave(now, self.id, group, interface))
    }

    /// Our address and port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The stack it belongs to.
    pub fn net(&self) -> &Net {
        &self.net
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let (now, id) = (self.net.now(), self.id);
        self.net.with_stack(|stack| stack.udp_close(now, id));
        self.net.wakers(|wakers| wakers.forget_datagram(id));
    }
}
