//! How far a connection has come, and by when it must have come further.
//!
//! ```text
//!           first octet          head complete              body complete         answer complete
//!   Idle ----------------> Head ----------------> Body ----------------> Answer ----------------> Idle
//!    idle_timeout       header_timeout       body_timeout, from the      write_timeout, while
//!                       for all of it        last octet; and a           the client takes nothing
//!                                            slowest rate
//! ```
//!
//! The stream tells of octets, the request's and the answer's bodies of their ends; one deadline comes out.

use super::Config;
use super::pieces::Pieces;
use crate::application::server::Connection;
use crate::base::time::{Duration, Instant};
use crate::session::clock::Clock;
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The slowest rate of a request body on average, in octets a second (the figure of Apache's
/// `mod_reqtimeout`).
const SLOWEST_BODY: u64 = 500;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    Head,
    Body,
    Answer,
}

/// Why a connection is late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Late {
    /// No request came.
    Idle,
    /// A request did not come to its end.
    Request,
    /// The client does not take the answer.
    Write,
}

/// The progress of one connection.
pub(super) struct Progress {
    clock: Rc<dyn Clock>,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    read_at: Cell<Instant>,
    body_octets: Cell<u64>,
    blocked_since: Cell<Option<Instant>>,
    /// The buffers of answers that are on their way through hyper.
    pub(super) pieces: Pieces,
}

impl Progress {
    pub(super) fn new(clock: Rc<dyn Clock>) -> Self {
        let now = clock.now();
        Progress {
            clock,
            phase: Cell::new(Phase::Idle),
            since: Cell::new(now),
            read_at: Cell::new(now),
            body_octets: Cell::new(0),
            blocked_since: Cell::new(None),
            pieces: Pieces::default(),
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.now());
    }

    fn on_read(&self) {
        self.read_at.set(self.clock.now());
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// The head of a request is complete.
    pub(super) fn on_head(&self) {
        self.body_octets.set(0);
        self.read_at.set(self.clock.now());
        self.enter(Phase::Body);
    }

    /// So much of the request's body came.
    pub(super) fn on_body(&self, octets: usize) {
        self.body_octets.set(self.body_octets.get().saturating_add(octets as u64));
    }

    /// Nothing more of the request is waited for.
    pub(super) fn on_body_end(&self) {
        self.enter(Phase::Answer);
    }

    /// The answer is complete, or given up.
    pub(super) fn on_answer_end(&self) {
        self.enter(Phase::Idle);
    }

    /// When the connection is late, and why.
    pub(super) fn deadline(&self, config: &Config) -> Option<(Instant, Late)> {
        if let Some(since) = self.blocked_since.get() {
            return Some((since + config.write_timeout, Late::Write));
        }
        match self.phase.get() {
            Phase::Idle => Some((self.since.get() + config.idle_timeout, Late::Idle)),
            Phase::Head => Some((self.since.get() + config.header_timeout, Late::Request)),
            Phase::Body => {
                let at_rate = Duration::from_millis(self.body_octets.get().saturating_mul(1_000) / SLOWEST_BODY);
                let slowest = self.since.get() + config.body_timeout + at_rate;
                Some((slowest.min(self.read_at.get() + config.body_timeout), Late::Request))
            }
            Phase::Answer => None,
        }
    }
}

/// A stream that tells of its progress.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) progress: Rc<Progress>,
}

impl<S> Watched<S> {
    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let progress = &self.progress;
        progress.blocked_since.set(match (&result, progress.blocked_since.get()) {
            (Poll::Ready(_), _) => None,
            (Poll::Pending, None) => Some(progress.clock.now()),
            (Poll::Pending, since) => since,
        });
        result
    }
}

impl<S: Read + Unpin> Read for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, into);
        if result.is_ready() {
            self.progress.on_read();
        }
        result
    }
}

impl<S: Write + Connection + Unpin> Write for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(from)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut written = 0;
        for slice in from.iter().filter(|slice| !slice.is_empty()) {
            let pieces = &self.progress.pieces;
            let mut octets = pieces.behind(slice).unwrap_or_else(|| Bytes::copy_from_slice(slice));
            let result = self.stream.poll_write_bytes(cx, &mut octets);
            match self.note(result) {
                Poll::Ready(Ok(n)) => written += n,
                // What was written before is said first; the rest shows again in the next call.
                _ if written > 0 => break,
                other => return other,
            }
            if !octets.is_empty() {
                break;
            }
            self.progress.pieces.done(slice);
        }
        Poll::Ready(Ok(written))
    }
}
