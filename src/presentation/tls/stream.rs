//! A stream that may be encrypted: from the beginning, or from some word in the conversation on.
//!
//! ```text
//!   accept ───────────────────────► encrypted      HTTPS, POP3S
//!   plain ──start_tls, handshake──► encrypted      STLS (RFC 2595 §4), STARTTLS (RFC 3207 §4)
//! ```
//!
//! Whoever upgrades must forget what was read in the clear behind the word that asked for it (RFC 3207 §4.2, RFC 2595
//! §4): it may be somebody else's. What the stream below still holds becomes part of the handshake, and breaks it if it
//! is no TLS.

use super::session::Session;
use super::settings::Acceptor;
use crate::session::connection::Connection;
use crate::session::io_traits::{Sink, Source, reads, writes};
use bytes::Bytes;
use rustls::HandshakeKind;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

/// The most that one call takes from a lent slice.
const COPY_AT_ONCE: usize = 64 << 10;

/// A stream with TLS on it, or without.
pub struct TlsStream<S> {
    stream: S,
    session: Option<Box<Session>>,
}

/// What two ends have agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: String,
    /// The cipher suite by its name in the registry of IANA.
    pub cipher_suite: String,
    /// How keys were agreed on, by the group's name; `None` where a TLS 1.2 session goes on.
    pub key_exchange: Option<String>,
    /// The protocol that was chosen (ALPN, RFC 7301).
    pub protocol: Option<Vec<u8>>,
    /// Whom the client wanted (SNI, RFC 6066 §3).
    pub server_name: Option<String>,
    /// An earlier session goes on.
    pub is_resumed: bool,
    /// The client has shown a certificate that was found good.
    pub is_client_certified: bool,
}

impl<S: Connection> TlsStream<S> {
    /// A stream in the clear, which may go on encrypted.
    pub fn plain(stream: S) -> Self {
        TlsStream { stream, session: None }
    }

    /// A stream that begins with a handshake, for which the time runs from now on. It takes place when the stream is first
    /// read from or written to, or in [`TlsStream::handshake`].
    ///
    /// # Errors
    /// `acceptor` can't be used; not from outside.
    pub fn server(stream: S, acceptor: &Acceptor) -> io::Result<Self> {
        let mut stream = TlsStream::plain(stream);
        stream.start_tls(acceptor)?;
        Ok(stream)
    }

    /// Shakes hands on a new stream.
    ///
    /// # Errors
    /// As [`TlsStream::handshake`].
    pub async fn accept(stream: S, acceptor: &Acceptor) -> io::Result<Self> {
        let mut stream = TlsStream::server(stream, acceptor)?;
        stream.handshake().await?;
        Ok(stream)
    }

    /// From here on everything is encrypted; a handshake comes first.
    ///
    /// # Errors
    /// `acceptor` can't be used; `AlreadyExists` if it is encrypted already.
    pub fn start_tls(&mut self, acceptor: &Acceptor) -> io::Result<()> {
        if self.session.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.session = Some(Box::new(Session::new(acceptor)?));
        Ok(())
    }

    /// Shakes hands, if that is still to be done.
    ///
    /// # Errors
    /// `TimedOut` after the time limit, `InvalidData` if what came was no TLS or not acceptable, of which the peer was told by
    /// an alert; `UnexpectedEof` if it went away.
    pub async fn handshake(&mut self) -> io::Result<()> {
        poll_fn(|cx| match &mut self.session {
            Some(session) => session.poll_handshake(&mut self.stream, cx),
            None => Poll::Ready(Ok(())),
        })
        .await
    }

    /// True if what goes over it is encrypted, or will be after the handshake.
    pub fn is_encrypted(&self) -> bool {
        self.session.is_some()
    }

    /// What was agreed; `None` in the clear and before the handshake is done.
    pub fn agreement(&self) -> Option<Agreement> {
        let tls = self.session.as_ref()?.tls();
        Some(Agreement {
            version: format!("{:?}", tls.protocol_version().filter(|_| !tls.is_handshaking())?),
            // rustls writes TLS13_ where the registry has TLS_.
            cipher_suite: format!("{:?}", tls.negotiated_cipher_suite()?.suite()).replacen("TLS13_", "TLS_", 1),
            key_exchange: tls.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())),
            protocol: tls.alpn_protocol().map(<[u8]>::to_vec),
            server_name: tls.server_name().map(str::to_owned),
            is_resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
            is_client_certified: tls.peer_certificates().is_some(),
        })
    }

    /// The protocol that was chosen (ALPN, RFC 7301); `None` in the clear and before the handshake is done.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.session.as_ref()?.tls().alpn_protocol()
    }

    /// The stream below.
    pub fn below(&self) -> &S {
        &self.stream
    }
}

impl<S: Connection> Connection for TlsStream<S> {
    fn peer(&self) -> SocketAddr {
        self.stream.peer()
    }

    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        match &mut self.session {
            Some(session) => session.poll_read(&mut self.stream, cx, most),
            None => self.stream.poll_read_bytes(cx, most),
        }
    }

    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, octets: &mut Bytes) -> Poll<io::Result<usize>> {
        match &mut self.session {
            Some(session) => session.poll_write(&mut self.stream, cx, octets),
            None => self.stream.poll_write_bytes(cx, octets),
        }
    }

    fn poll_shutdown_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.session {
            Some(session) => session.poll_shutdown(&mut self.stream, cx),
            None => self.stream.poll_shutdown_write(cx),
        }
    }

    fn abort(&mut self) {
        self.stream.abort();
    }
}

impl<S: Connection> Source for TlsStream<S> {
    fn poll_octets(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        if most == 0 {
            return Poll::Ready(Ok(Bytes::new()));
        }
        self.poll_read_bytes(cx, most)
    }
}

impl<S: Connection> Sink for TlsStream<S> {
    fn poll_slice(&mut self, cx: &mut Context<'_>, slice: &[u8]) -> Poll<io::Result<usize>> {
        let piece = slice.get(..slice.len().min(COPY_AT_ONCE)).unwrap_or(slice);
        let mut octets = Bytes::copy_from_slice(piece);
        self.poll_write_bytes(cx, &mut octets)
    }

    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.session {
            Some(session) => session.poll_flush(&mut self.stream, cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shutdown_write(cx)
    }
}

reads!(TlsStream<S>, S: Connection + Unpin);
writes!(TlsStream<S>, S: Connection + Unpin);
