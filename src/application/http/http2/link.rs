//! The connection as the HTTP/2 machine sees it: octets by tokio's traits, over a [`Wire`].
//!
//! What the machine writes, a frame at a time, is gathered: 64 KiB and the heads of their four frames go to the stack, or
//! to TLS, in one piece. It goes when the buffer is full or at the end of a turn ([`Link::poll_hand_over`]), not when
//! the machine flushes, which it does after every frame. Each octet is copied once in either direction.

use super::watch::Watch;
use crate::application::http::facts::Facts;
use crate::application::http::wire::{Pace, Wire};
use crate::application::server::Connection;
use crate::base::buffers::Buffer;
use crate::base::time::Instant;
use bytes::{Buf, Bytes};
use h2::Reason;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets taken from the stack at once, without a copy.
const READ_AT_ONCE: usize = 64 << 10;
/// Octets read before other tasks have their turn.
const READ_IN_ONE_TURN: usize = 256 << 10;
/// What is written in so few octets is copied once more, so that it does not keep a whole buffer until it is acknowledged.
const COPIED: usize = 16 << 10;

/// A connection that is read from and written to by the machine.
pub(super) struct Link<'w, S: Connection> {
    wire: &'w mut Wire<S>,
    watch: Watch,
    /// What came and is not taken yet.
    input: Bytes,
    /// Octets that may be read in this turn.
    left_in_turn: usize,
    /// What is gathered, and how much of it there is.
    gathered: Option<(Buffer, usize)>,
    /// What is being handed over.
    output: Bytes,
    /// Since when the stack takes nothing, and how much it took since something was there.
    stalled: Option<Instant>,
    pace: Option<Pace>,
    /// What the client has done that ends the connection.
    fault: Option<Reason>,
}

impl<'w, S: Connection + Facts> Link<'w, S> {
    /// A link that begins with `first`, which was read already.
    pub(super) fn new(wire: &'w mut Wire<S>, first: Bytes) -> Self {
        let mut link = Link {
            wire,
            watch: Watch::default(),
            input: Bytes::new(),
            left_in_turn: READ_IN_ONE_TURN,
            gathered: None,
            output: Bytes::new(),
            stalled: None,
            pace: None,
            fault: None,
        };
        link.on_octets(first);
        link
    }

    /// The connection and its deadlines.
    pub(super) fn wire(&mut self) -> &mut Wire<S> {
        self.wire
    }

    /// What is known of the frames that came.
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// What the connection is to end with, if the client has done something that ends it; nothing more of it is read.
    pub(super) fn fault(&self) -> Option<Reason> {
        self.fault
    }

    /// Begins a turn.
    pub(super) fn begin_turn(&mut self) {
        self.left_in_turn = READ_IN_ONE_TURN;
    }

    fn on_octets(&mut self, octets: Bytes) {
        let now = self.wire.now();
        self.fault = self.fault.or(self.watch.on_octets(&octets, now).err());
        self.input = octets;
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.input.is_empty() {
            if self.left_in_turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let octets = ready!(self.wire.stream.poll_read_bytes(cx, READ_AT_ONCE))?;
            self.left_in_turn = self.left_in_turn.saturating_sub(octets.len());
            self.on_octets(octets);
        }
        if self.fault.is_some() {
            return Poll::Pending;
        }
        let octets = self.input.len().min(into.remaining());
        into.put_slice(self.input.get(..octets).unwrap_or_default());
        self.input.advance(octets);
        if self.input.is_empty() {
            // Not even an empty slice keeps the buffer it was cut from.
            self.input = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_gather(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.gathered.as_ref().is_some_and(|(_, filled)| *filled == Buffer::CAPACITY) {
            ready!(self.poll_hand_over(cx))?;
        }
        let (buffer, filled) = self.gathered.get_or_insert_with(|| (Buffer::take(), 0));
        let before = *filled;
        for slice in slices {
            let room = buffer.room().get_mut(*filled..).unwrap_or_default();
            let octets = slice.len().min(room.len());
            if let (Some(room), Some(octets)) = (room.get_mut(..octets), slice.get(..octets)) {
                room.copy_from_slice(octets);
            }
            *filled += octets;
        }
        Poll::Ready(Ok(*filled - before))
    }

    /// Hands what was gathered to the stack; ready when it has all of it.
    pub(super) fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.output.is_empty() {
                let now = self.wire.now();
                let pace = self.pace.get_or_insert_with(|| Pace::new(now));
                match self.wire.stream.poll_write_bytes(cx, &mut self.output) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(taken)) => {
                        pace.on_progress(taken);
                        self.watch.on_written(taken);
                        self.stalled = None;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        self.stalled.get_or_insert(now);
                        return Poll::Pending;
                    }
                }
            }
            self.output = match self.gathered.take() {
                None => break,
                Some((mut buffer, filled)) if filled <= COPIED => {
                    Bytes::copy_from_slice(buffer.room().get(..filled).unwrap_or_default())
                }
                Some((buffer, filled)) => buffer.freeze(0..filled),
            };
        }
        (self.output, self.pace) = (Bytes::new(), None);
        Poll::Ready(Ok(()))
    }

    /// When the client has taken nothing for too long, or too little on the whole; `None` if nothing waits for it.
    pub(super) fn write_deadline(&self) -> Option<Instant> {
        let patience = self.wire.site.config.write_timeout;
        Some((self.stalled? + patience).min(self.pace?.deadline(patience)))
    }
}

/// The machine's hold on a link.
pub(super) struct Handle<'w, S: Connection>(pub(super) Rc<RefCell<Link<'w, S>>>);

impl<S: Connection + Facts> AsyncRead for Handle<'_, S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_take(cx, into)
    }
}

impl<S: Connection + Facts> AsyncWrite for Handle<'_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_gather(cx, &[IoSlice::new(octets)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_gather(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The last frame is with the stack; the connection's end comes after it ([`Wire::end`]).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_hand_over(cx)
    }
}
