//! What an application wants of a stream of octets, whatever carries it: octets without a copy, who is at the other
//! end, an end in order, and a way to give up.
//!
//! [`TcpStream`](super::tcp::TcpStream) is one, and so is what encrypts it one floor up; a protocol that is written
//! against [`Connection`] runs over both. All of it is by polling, so that a task keeps nothing but what it waits for.

use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

/// A stream of octets in both directions.
pub trait Connection {
    /// Who is at the other end.
    fn peer(&self) -> SocketAddr;

    /// What came, up to `most` octets; empty when the peer closed its side.
    ///
    /// # Errors
    /// What ended the connection; `UnexpectedEof` where the peer's end is not to be believed, because whoever is on the
    /// path could have made it.
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>>;

    /// Takes what there is room for off the front of `octets`, and says how much.
    ///
    /// What was taken goes out as far as the peer takes it whenever this, [`Connection::poll_read_bytes`] or
    /// [`Connection::poll_shutdown_write`] is polled.
    ///
    /// # Errors
    /// What ended the connection; `BrokenPipe` after our side was closed.
    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, octets: &mut Bytes) -> Poll<io::Result<usize>>;

    /// Closes our side behind what was written; reading goes on. To be polled until it is ready, and may be polled again.
    ///
    /// # Errors
    /// What ended the connection.
    fn poll_shutdown_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Resets the connection: what is queued for a peer that takes nothing is not kept for it.
    fn abort(&mut self);
}
