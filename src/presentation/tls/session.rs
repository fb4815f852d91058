//! The session: what stands between plaintext and ciphertext, with the buffers of both.
//!
//! ```text
//!   HANDSHAKE ──► OPEN ──close_notify──► CLOSING       either direction ends by itself (RFC 8446 §6.1)
//!       │           │
//!       ├─ in time? ┴─ is what comes TLS? ──no──► FAREWELL ──► FAILED
//!       │                                    alert, our FIN, a moment of patience: a reset, which closing with unread
//!       ▼                                    data would be, could destroy the alert
//!     reset
//! ```
//!
//! What is kept is bounded: plaintext of one record, ciphertext of one record (64 KiB of a handshake message) on the way
//! in, and [`Buffer::CAPACITY`] on the way out, beyond which nothing is taken from the application.

use super::settings::Acceptor;
use super::time_limit::TimeLimit;
use crate::base::buffers::Buffer;
use crate::base::time::Duration;
use crate::session::clock::Clock;
use crate::session::connection::Connection;
use bytes::{Buf, Bytes};
use rustls::ServerConnection;
use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Ciphertext taken from the stream below at once.
const READ_AT_ONCE: usize = 64 << 10;
/// Plaintext encrypted at once: four records of the largest size, whose ciphertext fits one buffer.
const WRITE_AT_ONCE: usize = 64 << 10;
/// Up to this much is copied into a buffer of its own size, so that a few octets do not keep 64 KiB.
const SMALL: usize = 4 << 10;
/// How often the stream below is asked in one turn; then others first.
const READS_IN_ONE_TURN: u32 = 16;
/// How long a peer that was sent an alert may take to read it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a session is no more.
#[derive(Clone, Debug)]
struct Failure {
    kind: ErrorKind,
    reason: String,
}

impl From<&Failure> for io::Error {
    fn from(failure: &Failure) -> Self {
        io::Error::new(failure.kind, failure.reason.clone())
    }
}

#[derive(Debug)]
enum Phase {
    Handshake,
    Open,
    /// Our close_notify is written.
    Closing,
    /// An alert is on its way, and the peer may still be sending.
    Farewell(Failure),
    Failed(Failure),
}

/// One end of a TLS connection, without the stream it runs over.
pub(super) struct Session {
    tls: ServerConnection,
    phase: Phase,
    clock: Rc<dyn Clock>,
    /// Of the handshake, or of the farewell.
    time_limit: Option<TimeLimit>,
    /// Ciphertext that came and is not looked at yet.
    incoming: Bytes,
    /// The stream below has ended.
    has_ended: bool,
    /// Ciphertext that the stream below has not taken yet.
    outgoing: Bytes,
}

impl Session {
    /// A session whose handshake is to come, and has its time limit from now on.
    pub(super) fn new(acceptor: &Acceptor) -> io::Result<Self> {
        let tls = acceptor.connection().map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        let clock = acceptor.clock();
        let time_limit = Some(TimeLimit::new(&clock, acceptor.handshake_timeout()));
        let (incoming, outgoing) = (Bytes::new(), Bytes::new());
        Ok(Session { tls, phase: Phase::Handshake, clock, time_limit, incoming, has_ended: false, outgoing })
    }

    /// What was agreed.
    pub(super) fn tls(&self) -> &ServerConnection {
        &self.tls
    }

    /// Ready once the handshake is done.
    pub(super) fn poll_handshake<S: Connection>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &self.phase {
                Phase::Open | Phase::Closing => return Poll::Ready(Ok(())),
                Phase::Failed(failure) => return Poll::Ready(Err(failure.into())),
                Phase::Farewell(_) => ready!(self.poll_farewell(stream, cx)),
                Phase::Handshake => match self.poll_shake(stream, cx) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => {
                        ready!(self.poll_time_limit(cx));
                        stream.abort();
                        self.fail(ErrorKind::TimedOut, "the TLS handshake took too long");
                    }
                },
            }
        }
    }

    /// Goes on with the handshake: a flight of ours is gone, or a flight of theirs is here.
    fn poll_shake<S: Connection>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(stream, cx))?;
        if !self.tls.is_handshaking() {
            (self.phase, self.time_limit) = (Phase::Open, None);
            return Poll::Ready(Ok(()));
        }
        if self.has_ended {
            self.fail(ErrorKind::UnexpectedEof, "the peer left during the TLS handshake");
            return Poll::Ready(Ok(()));
        }
        self.poll_feed(stream, cx)
    }

    /// As [`Connection::poll_read_bytes`].
    pub(super) fn poll_read<S: Connection>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<io::Result<Bytes>> {
        for _ in 0..READS_IN_ONE_TURN {
            ready!(self.poll_handshake(stream, cx))?;
            // Whether there was room or not: who reads must not wait for who writes.
            if let Poll::Ready(Err(error)) = self.poll_drain(stream, cx) {
                return Poll::Ready(Err(error));
            }
            if let Some(octets) = self.take_plaintext(most)? {
                return Poll::Ready(Ok(octets));
            }
            ready!(self.poll_feed(stream, cx))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// As [`Connection::poll_write_bytes`].
    pub(super) fn poll_write<S: Connection>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        octets: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        if octets.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_handshake(stream, cx))?;
        if matches!(self.phase, Phase::Closing) {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_drain(stream, cx))?;
        let plaintext = octets.get(..octets.len().min(WRITE_AT_ONCE)).unwrap_or_default();
        let taken = self.tls.writer().write(plaintext)?;
        octets.advance(taken);
        // What finds no room waits here, and goes out when anything is polled.
        match self.poll_drain(stream, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Ready when everything that was written is with the stream below.
    pub(super) fn poll_flush<S: Connection>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_handshake(stream, cx))?;
        self.poll_drain(stream, cx)
    }

    /// As [`Connection::poll_shutdown_write`]: a close_notify, and then the end of the stream below.
    ///
    /// DEVIATION(RFC 5246 §7.2.1): a peer's close_notify does not end what is being written to it, in TLS 1.2 either: that
    /// its side is closed says nothing about ours (RFC 8446 §6.1).
    pub(super) fn poll_shutdown<S: Connection>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Phase::Farewell(_) = self.phase {
            ready!(self.poll_farewell(stream, cx));
        }
        if let Phase::Open = self.phase {
            self.tls.send_close_notify();
            self.phase = Phase::Closing;
        }
        // Without a handshake there is nobody to tell.
        if let Phase::Closing = self.phase {
            ready!(self.poll_drain(stream, cx))?;
        }
        stream.poll_shutdown_write(cx)
    }

    /// Hands ciphertext to the stream below; ready when there is no more.
    fn poll_drain<S: Connection>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.outgoing.is_empty() {
                if ready!(stream.poll_write_bytes(cx, &mut self.outgoing))? == 0 {
                    return Poll::Ready(Err(ErrorKind::WriteZero.into()));
                }
            }
            if !self.tls.wants_write() {
                return Poll::Ready(Ok(()));
            }
            self.outgoing = self.take_ciphertext()?;
        }
    }

    fn take_ciphertext(&mut self) -> io::Result<Bytes> {
        let mut gathered = Gathered { buffer: Buffer::take(), filled: 0 };
        while self.tls.wants_write() && self.tls.write_tls(&mut gathered)? > 0 {}
        Ok(gathered.into_bytes())
    }

    /// Gives the session the next ciphertext, which is waited for if there is none here.
    fn poll_feed<S: Connection>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.incoming.is_empty() {
            self.incoming = ready!(stream.poll_read_bytes(cx, READ_AT_ONCE))?;
            if self.incoming.is_empty() {
                self.has_ended = true;
                self.tls.read_tls(&mut io::empty())?;
                return Poll::Ready(Ok(()));
            }
        }
        self.feed();
        Poll::Ready(Ok(()))
    }

    /// Gives the session some of what is here.
    fn feed(&mut self) {
        match self.tls.read_tls(&mut self.incoming.as_ref()) {
            // What follows a close_notify is nobody's (RFC 8446 §6.1).
            Ok(0) => self.incoming.clear(),
            Ok(read) => self.incoming.advance(read),
            Err(error) => return self.fail(ErrorKind::InvalidData, &error.to_string()),
        }
        if let Err(error) = self.tls.process_new_packets() {
            self.fail(ErrorKind::InvalidData, &format!("TLS: {error}"));
        }
        if self.incoming.is_empty() {
            // Not even an empty slice keeps the buffer it was cut from.
            self.incoming = Bytes::new();
        }
    }

    /// Plaintext that has come, as much as is here up to `most`: empty at the peer's close_notify, `None` if there is
    /// none yet.
    fn take_plaintext(&mut self, most: usize) -> io::Result<Option<Bytes>> {
        match self.tls.reader().fill_buf() {
            Ok([]) => return Ok(Some(Bytes::new())),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection ended without a close_notify"));
            }
            Err(error) => return Err(error),
        }
        let mut gathered = Gathered { buffer: Buffer::take(), filled: 0 };
        while let Some(room) = gathered.room(most).filter(|room| !room.is_empty()) {
            match self.tls.reader().read(room) {
                Ok(read) if read > 0 => gathered.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.incoming.is_empty() => self.feed(),
                // An end, or an error, is there the next time as well.
                _ => break,
            }
        }
        Ok(Some(gathered.into_bytes()))
    }

    /// Ends the session. rustls has an alert ready where the peer is to be told one.
    fn fail(&mut self, kind: ErrorKind, reason: &str) {
        let failure = Failure { kind, reason: reason.to_owned() };
        let has_alert = self.tls.wants_write();
        self.time_limit = has_alert.then(|| TimeLimit::new(&self.clock, FAREWELL));
        self.phase = if has_alert { Phase::Farewell(failure) } else { Phase::Failed(failure) };
    }

    /// Ready when the peer has the alert, or has had time enough.
    fn poll_farewell<S: Connection>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_say_farewell(stream, cx).is_pending() {
            ready!(self.poll_time_limit(cx));
        }
        self.time_limit = None;
        (self.incoming, self.outgoing) = (Bytes::new(), Bytes::new());
        if let Phase::Farewell(failure) = &self.phase {
            self.phase = Phase::Failed(failure.clone());
        }
        Poll::Ready(())
    }

    fn poll_say_farewell<S: Connection>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(stream, cx))?;
        ready!(stream.poll_shutdown_write(cx))?;
        for _ in 0..READS_IN_ONE_TURN {
            if ready!(stream.poll_read_bytes(cx, READ_AT_ONCE))?.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready when the time is over.
    fn poll_time_limit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.time_limit.as_mut().map_or(Poll::Ready(()), |limit| limit.poll(cx))
    }
}

/// A buffer that fills up.
struct Gathered {
    buffer: Buffer,
    filled: usize,
}

impl Gathered {
    /// What is free, if no more than `most` is wanted in all.
    fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        let end = most.min(Buffer::CAPACITY);
        self.buffer.room().get_mut(self.filled..end)
    }

    fn into_bytes(mut self) -> Bytes {
        match self.buffer.room().get(..self.filled) {
            Some(small) if small.len() <= SMALL => Bytes::copy_from_slice(small),
            _ => self.buffer.freeze(0..self.filled),
        }
    }
}

impl Write for Gathered {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let Some(room) = self.room(Buffer::CAPACITY) else { return Ok(0) };
        let taken = octets.len().min(room.len());
        if let (Some(room), Some(octets)) = (room.get_mut(..taken), octets.get(..taken)) {
            room.copy_from_slice(octets);
        }
        self.filled += taken;
        Ok(taken)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        for piece in pieces {
            let of_piece = self.write(piece)?;
            taken += of_piece;
            if of_piece < piece.len() {
                break;
            }
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
