//! The services on the stack's own sockets: what [`server`](super::server) and [`small`](super::small) want
//! of a listener and a datagram socket, said of those of floor 5.

use super::server::Accept;
use super::small::Datagrams;
use crate::session::tcp::{TcpListener, TcpStream};
use crate::session::udp::UdpSocket;
use crate::transport::udp::Received;
use bytes::Bytes;
use std::io;
use std::net::IpAddr;

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        TcpListener::accept(self).await
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
