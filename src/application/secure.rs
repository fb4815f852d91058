//! Listeners whose connections are encrypted from their first octet, which makes HTTPS of HTTP and POP3S of POP3
//! (RFC 9110 §4.2.2, RFC 8314 §3), and those whose connections may become so (RFC 2595 §4, RFC 3207 §4).

use super::server::{Accept, Connection};
use crate::presentation::tls::{Acceptor, TlsStream};
use std::io;

/// A listener with TLS on it. The handshake takes place in the conversation, so that nobody waits for another's.
pub struct Secured<L> {
    listener: L,
    acceptor: Acceptor,
}

impl<L> Secured<L> {
    /// `listener` with `acceptor` on it.
    pub fn new(listener: L, acceptor: Acceptor) -> Self {
        Secured { listener, acceptor }
    }
}

impl<L: Accept> Accept for Secured<L>
where
    L::Stream: Connection,
{
    type Stream = TlsStream<L::Stream>;

    async fn accept(&self) -> io::Result<Self::Stream> {
        TlsStream::server(self.listener.accept().await?, &self.acceptor)
    }
}

/// A listener whose connections begin in the clear.
pub struct Upgradable<L>(pub L);

impl<L: Accept> Accept for Upgradable<L>
where
    L::Stream: Connection,
{
    type Stream = TlsStream<L::Stream>;

    async fn accept(&self) -> io::Result<Self::Stream> {
        self.0.accept().await.map(TlsStream::plain)
    }
}
