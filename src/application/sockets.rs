//! The services on the stack's own sockets: what [`server`](super::server) and [`small`](super::small) want
//! of a listener, a connection and a datagram socket, said of those of floor 5.

use super::server::{Accept, Connection};
use super::small::Datagrams;
use crate::session::tcp::{TcpListener, TcpStream};
use crate::session::udp::UdpSocket;
use crate::transport::udp::Received;
use bytes::Bytes;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        TcpListener::accept(self).await
    }
}

impl Connection for TcpStream {
    fn peer(&self) -> SocketAddr {
        self.peer_addr()
    }

    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        TcpStream::poll_read_bytes(self, cx, most)
    }

    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, octets: &mut Bytes) -> Poll<io::Result<usize>> {
        TcpStream::poll_write_bytes(self, cx, octets)
    }

    fn shutdown_write(&mut self) {
        TcpStream::shutdown_write(self);
    }

    fn abort(&mut self) {
        TcpStream::abort(self);
    }
}

impl Datagrams for UdpSocket {
    async fn receive(&self) -> io::Result<Received> {
        UdpSocket::receive(self).await
    }

    fn reply(&self, answer: Bytes, to: &Received) -> io::Result<()> {
        UdpSocket::reply(self, answer, to)
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.net().with_stack(|stack| stack.has_address(address))
    }
}

#[cfg(test)]
#[path = "sockets_tests.rs"]
mod tests;
