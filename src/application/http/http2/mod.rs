//! HTTP/2 (RFC 9113): frames, streams, windows and HPACK (RFC 7541) by the machine of the `h2` crate; its clock, its
//! octets, its tasks and its bounds by us.
//!
//! ```text
//!   first octets ── ALPN said h2, or they are the preface ──► converse
//!     link: octets to and from the machine          watch: what a client may send that only costs
//!     stream: a request and its answer ─► guard     upload: the body of a request     outbox: what is not sent yet
//! ```
//!
//! A connection is one task with its streams' tasks in it. What holds for it:
//!
//! | | |
//! |---|---|
//! | streams at once | [`HTTP2_STREAMS`]; a stream that is reset counts until its work is given up |
//! | head of a request | `header_limit`, and `header_timeout` for it as for the preface; 431 and GOAWAY |
//! | body | `body_timeout` and the slowest rate for each stream: 408. A window of [`STREAM_WINDOW`], of all [`WINDOW`] |
//! | answer | `write_timeout` and the slowest rate for each stream: RST_STREAM; for the connection: a reset |
//! | not sent yet | [`HTTP2_UNSENT`](crate::base::limits::HTTP2_UNSENT), none of it for a window that is shut |
//! | no stream | `idle_timeout`: GOAWAY |
//! | floods | ENHANCE_YOUR_CALM ([`watch`], and what the machine counts) |
//! | told to stop | GOAWAY, and streams that have begun go on |
//!
//! DEVIATION(RFC 9113 §4.3): fields that can't be decompressed are PROTOCOL_ERROR like the other mistakes of a connection,
//! not COMPRESSION_ERROR, and so is a window that is too large in SETTINGS (RFC 9113 §6.5.2): the machine says so.
//!
//! DEVIATION(RFC 7541 §5.2): the machine does not look at the padding of Huffman's code.
//!
//! DEVIATION(RFC 9113 §8.1): trailers with a target are not malformed: nobody reads any.
//!
//! Not here: push, priorities (RFC 9113 §5.3 lets us), CONNECT, upgrade from HTTP/1.1 (RFC 9113 §3.1 took it away).

mod link;
mod outbox;
mod stream;
mod upload;
mod watch;

pub(super) use watch::PREFACE;

use self::link::{Handle, Link};
use self::outbox::Piece;
use self::stream::{Shared, begin};
use super::exchange::{Next, REQUESTS_IN_ONE_TURN};
use super::facts::Facts;
use super::wire::Wire;
use crate::application::server::{Connection, Requested};
use crate::base::limits::HTTP2_STREAMS;
use crate::base::time::{Duration, Instant};
use crate::session::tasks::Tasks;
use bytes::Bytes;
use h2::Reason;
use h2::server::{self, Builder};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Octets of one request's body that may come before they are read. A body is read as it comes, so that this bounds the
/// rate (100 Mbit/s over 40 ms) and what comes while a password is checked.
const STREAM_WINDOW: u32 = 512 << 10;
/// The same for all streams of a connection.
const WINDOW: u32 = 1 << 20;
/// Octets of one answer that the machine takes at once.
const SEND_BUFFER: usize = 128 << 10;
/// Requests that are wrong by the rules of frames and fields before the client is told to calm down.
const MALFORMED: usize = 128;
/// How long a client that is told that we go may take to understand.
const FAREWELL: Duration = Duration::from_secs(2);
/// Times that streams and machine are looked at before other tasks have their turn.
const ROUNDS: usize = 4;

/// What a client hears that has too many connections: our settings, none, and GOAWAY with ENHANCE_YOUR_CALM.
pub(super) const REFUSAL: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";

type Machine<'w, S> = server::Connection<Handle<'w, S>, Piece>;

/// A connection and its streams.
struct Conversation<'w, S: Connection> {
    machine: Machine<'w, S>,
    shared: Rc<Shared<'w, S>>,
    tasks: Tasks<dyn Future<Output = ()> + 'w>,
    /// Since when there is no stream.
    idle: Option<Instant>,
    /// Since when the client is told that we go.
    leaving: Option<Instant>,
    /// It was told to go at once.
    is_over: bool,
}

/// What is to be done when a deadline has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    /// The client takes nothing: it is reset.
    Abort,
    /// The head of a request does not come to its end.
    GiveUp,
    /// Nothing is asked: the client is told that we go.
    Leave,
    /// The client was told, and has had time to understand.
    Close,
}

/// Holds a conversation that begins with `first` until the connection is to end.
pub(super) async fn converse<S: Connection + Facts>(
    wire: &mut Wire<S>,
    stop: &mut Requested,
    first: Bytes,
) -> io::Result<Next> {
    let (site, asker, began) = (Rc::clone(&wire.site), wire.asker(), wire.now());
    let link = Rc::new(RefCell::new(Link::new(wire, first)));
    let mut handshake = pin!(settings(site.config.header_limit).handshake(Handle(Rc::clone(&link))));
    let shaken = poll_fn(|cx| {
        if let Poll::Ready(shaken) = handshake.as_mut().poll(cx) {
            return Poll::Ready(Ok(Some(shaken)));
        }
        let mut link = link.borrow_mut();
        if let Poll::Ready(Err(error)) = link.poll_hand_over(cx) {
            return Poll::Ready(Err(error));
        }
        link.wire().poll_alarm(began + site.config.header_timeout, cx).map(|()| Ok(None))
    });
    let machine = match shaken.await? {
        Some(Ok(machine)) => machine,
        Some(Err(error)) => return end_of(error),
        None => return Ok(Next::Linger),
    };
    let shared = Rc::new(Shared { site, asker, link: Rc::clone(&link), outbox: Rc::default() });
    let tasks = Tasks::default();
    let mut conversation = Conversation { machine, shared, tasks, idle: Some(began), leaving: None, is_over: false };
    poll_fn(|cx| conversation.poll(stop, cx)).await
}

/// How a connection ends that the machine has ended: with its last frame, unless nothing can be sent.
fn end_of(error: h2::Error) -> io::Result<Next> {
    if error.is_io() {
        return Err(error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()));
    }
    log::debug!(target: "tapstack::http", "HTTP/2: {error}");
    Ok(Next::Linger)
}

fn settings(header_limit: usize) -> Builder {
    let mut settings = Builder::new();
    settings
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(u32::try_from(header_limit).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(MALFORMED));
    settings
}

impl<S: Connection + Facts> Conversation<'_, S> {
    fn poll(&mut self, stop: &mut Requested, cx: &mut Context<'_>) -> Poll<io::Result<Next>> {
        let shared = Rc::clone(&self.shared);
        shared.link.borrow_mut().begin_turn();
        if self.leaving.is_none() && Pin::new(stop).poll(cx).is_ready() {
            self.leave();
        }
        loop {
            if let Poll::Ready(ended) = self.poll_work(cx) {
                return Poll::Ready(ended.map_or_else(end_of, |()| Ok(Next::Linger)));
            }
            let mut link = shared.link.borrow_mut();
            if let Some(reason) = link.fault().filter(|_| !self.is_over) {
                drop(link);
                self.close(reason);
                continue;
            }
            if let Poll::Ready(Err(error)) = link.poll_hand_over(cx) {
                return Poll::Ready(Err(error));
            }
            let is_idle = self.tasks.len() == 0 && !self.machine.has_streams();
            self.idle = is_idle.then(|| self.idle.unwrap_or_else(|| shared.site.clock.now()));
            let Some((at, due)) = self.due(&link) else { return Poll::Pending };
            if link.wire().poll_alarm(at, cx).is_pending() {
                return Poll::Pending;
            }
            match due {
                Due::Abort => {
                    link.wire().stream.abort();
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Due::GiveUp => self.close(Reason::ENHANCE_YOUR_CALM),
                Due::Leave => self.leave(),
                Due::Close => self.close(Reason::NO_ERROR),
            }
        }
    }

    /// The next deadline.
    fn due(&self, link: &Link<'_, S>) -> Option<(Instant, Due)> {
        let config = &self.shared.site.config;
        let abort = link.write_deadline().map(|at| (at, Due::Abort));
        if self.is_over {
            return abort;
        }
        let give_up = link.watch().block().map(|since| (since + config.header_timeout, Due::GiveUp));
        let idle = self.idle.map(|idle| match self.leaving {
            Some(told) => (told.max(idle) + FAREWELL, Due::Close),
            None => (idle + config.idle_timeout, Due::Leave),
        });
        [abort, give_up, idle].into_iter().flatten().min()
    }

    /// Tells the client that we go; what it has asked is answered.
    fn leave(&mut self) {
        self.machine.graceful_shutdown();
        self.leaving = Some(self.shared.site.clock.now());
    }

    /// Ends the connection, and every stream.
    fn close(&mut self, reason: Reason) {
        self.machine.abrupt_shutdown(reason);
        self.is_over = true;
    }

    /// Lets streams and machine go on until none of them can, or others have their turn; ready when the machine is done.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let mut requests = 0;
        for _ in 0..ROUNDS {
            while self.tasks.poll_ended(cx).is_ready() {}
            loop {
                if requests == REQUESTS_IN_ONE_TURN || (requests > 0 && self.shared.site.has_worked.take()) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                // Whose work goes on has a place, also after the client has reset its stream.
                if self.tasks.len() >= HTTP2_STREAMS as usize {
                    match self.machine.poll_closed(cx) {
                        Poll::Ready(closed) => return Poll::Ready(closed),
                        Poll::Pending => break,
                    }
                }
                match self.machine.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        requests += 1;
                        if let Some(task) = begin(&self.shared, request, respond) {
                            self.tasks.push(task);
                        }
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => break,
                }
            }
            if !self.tasks.has_woken() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
