//! The services' view of the stack's sockets: what each asks of a stream, a listener or a datagram socket,
//! answered by floor 5.

use crate::application::server::{Accept, Connection};
use crate::application::small::{ByteStream, Datagrams};
use crate::session::tcp::{TcpListener, TcpStream};
use crate::session::udp::UdpSocket;
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;

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

    fn abort(&mut self) {
        TcpStream::abort(self);
    }
}

impl ByteStream for TcpStream {
    async fn read_bytes(&mut self, most: usize) -> io::Result<Bytes> {
        TcpStream::read_bytes(self, most).await
    }

    async fn write_bytes(&mut self, octets: Bytes) -> io::Result<()> {
        TcpStream::write_bytes(self, octets).await
    }

    fn shutdown_write(&mut self) {
        TcpStream::shutdown_write(self);
    }
}

impl Datagrams for UdpSocket {
    async fn recv_from(&self) -> io::Result<(Bytes, SocketAddr)> {
        UdpSocket::recv_from(self).await
    }

    fn send_to(&self, payload: Bytes, to: SocketAddr) -> io::Result<()> {
        UdpSocket::send_to(self, payload, to)
    }
}
