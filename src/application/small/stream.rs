//! The small services over TCP, without a copy: echo hands the buffers it received back as they are, and
//! chargen sends the same one again and again.

use super::{Small, daytime, pattern};
use crate::application::server::Connection;
use crate::base::time::Duration;
use crate::session::clock::{Clock, Late, Patience};
use bytes::Bytes;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Octets asked from the stream at a time.
const PIECE: usize = 256 << 10;
/// How long a connection may stand still in either direction.
pub(super) const IDLE: Duration = Duration::from_secs(600);
/// How often the chargen pattern stands in the buffer that is sent: about 64 KiB.
const ROUNDS: usize = 9;

/// Holds a conversation until the client ends it, or stands still too long.
pub fn converse<S: Connection>(service: Small, stream: S, clock: &dyn Clock) -> impl Future<Output = io::Result<()>> {
    Conversation::new(service, stream, clock)
}

/// A conversation: written out as a state machine, since there may be a hundred thousand of them that wait, and what
/// the compiler makes of nested functions takes three times the room.
struct Conversation<'a, S> {
    service: Small,
    stream: S,
    patience: Patience<'a>,
    /// To be written before anything else.
    octets: Bytes,
    /// Where chargen's octets come from.
    source: Option<Box<Bytes>>,
    /// Our side is closed. The client closes next; until then its last octets are read, so that closing is no reset.
    is_over: bool,
}

// Nothing in it is pinned.
impl<S> Unpin for Conversation<'_, S> {}

impl<'a, S: Connection> Conversation<'a, S> {
    fn new(service: Small, stream: S, clock: &'a dyn Clock) -> Self {
        let octets = if service == Small::Daytime { daytime(clock) } else { Bytes::new() };
        let source = (service == Small::Chargen).then(|| Box::new(Bytes::from(pattern().repeat(ROUNDS))));
        Conversation { service, stream, patience: Patience::new(clock), octets, source, is_over: false }
    }

    fn poll_to_the_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.octets.is_empty() {
                let written = self.stream.poll_write_bytes(cx, &mut self.octets);
                ready!(self.patience.poll(cx, IDLE, written)).unwrap_or_else(too_late)?;
            }
            match self.service {
                _ if self.is_over => {}
                // What the client sends is thrown away between pieces (RFC 864).
                Small::Chargen => {
                    self.throw_away(cx);
                    self.octets = self.source.as_deref().cloned().unwrap_or_default();
                    continue;
                }
                Small::Daytime => {
                    self.is_over = true;
                    continue;
                }
                Small::Echo | Small::Discard => {}
            }
            if self.is_over {
                match self.stream.poll_shutdown_write(cx) {
                    // That it is closed, again, is nothing that the client did.
                    Poll::Ready(closed) => closed?,
                    pending => ready!(self.patience.poll(cx, IDLE, pending)).unwrap_or_else(too_late)?,
                }
            }
            let read = self.stream.poll_read_bytes(cx, PIECE);
            let octets = ready!(self.patience.poll(cx, IDLE, read)).unwrap_or_else(too_late)?;
            match octets.is_empty() {
                true if self.is_over => return Poll::Ready(Ok(())),
                true => self.is_over = true,
                false if self.service == Small::Echo && !self.is_over => self.octets = octets,
                false => {}
            }
        }
    }

    fn throw_away(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Ok(read)) = self.stream.poll_read_bytes(cx, PIECE) {
            if read.is_empty() {
                break;
            }
        }
    }
}

impl<S: Connection> Future for Conversation<'_, S> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.poll_to_the_end(cx));
        if result.is_err() && !self.is_over {
            self.stream.abort();
        }
        Poll::Ready(result)
    }
}

fn too_late<T>(_: Late) -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::testing::{Bench, Pipe, pipe};
    use std::cell::RefCell;
    use std::rc::Rc;

    type End = Rc<RefCell<Option<io::Result<()>>>>;

    fn connect(bench: &mut Bench, service: Small) -> (Pipe, End) {
        let (ours, theirs) = pipe(1 << 16);
        let clock = bench.clock();
        let end = bench.spawn(async move { converse(service, theirs, &*clock).await });
        (ours, end)
    }

    #[test]
    fn echo_gives_everything_back_and_then_closes() {
        let mut bench = Bench::default();
        let (pipe, end) = connect(&mut bench, Small::Echo);
        let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        pipe.put(&sent);
        pipe.finish();
        let mut got = Vec::new();
        loop {
            bench.run();
            let piece = pipe.take();
            if piece.is_empty() {
                break;
            }
            got.extend_from_slice(&piece);
        }
        assert!(got == sent && pipe.is_finished());
        assert!(end.borrow().as_ref().unwrap().is_ok());
    }

    #[test]
    fn discard_takes_everything_and_says_nothing() {
        let mut bench = Bench::default();
        let (pipe, end) = connect(&mut bench, Small::Discard);
        pipe.put(vec![0; 1 << 20]);
        bench.run();
        assert!(pipe.take().is_empty() && !pipe.is_finished());
        pipe.finish();
        bench.run();
        assert!(pipe.is_finished() && end.borrow().as_ref().unwrap().is_ok());
    }

    #[test]
    fn chargen_sends_its_pattern_for_as_long_as_it_is_read() {
        let mut bench = Bench::default();
        let (pipe, end) = connect(&mut bench, Small::Chargen);
        let mut got = Vec::new();
        while got.len() < 200_000 {
            pipe.put("whatever");
            bench.run();
            got.extend_from_slice(&pipe.take());
        }
        let expected = pattern().repeat(40);
        assert!(got[..200_000] == expected[..200_000]);
        drop(pipe);
        bench.run();
        assert!(end.borrow().as_ref().unwrap().is_err());
    }

    #[test]
    fn daytime_is_a_line_and_the_end() {
        let mut bench = Bench::default();
        let (pipe, _end) = connect(&mut bench, Small::Daytime);
        assert_eq!(pipe.text(), "Sun, 22 Nov 2026 12:00:00 GMT\r\n");
        assert!(pipe.is_finished());
    }

    #[test]
    fn a_conversation_that_waits_takes_little_room() {
        let bench = Bench::default();
        let (clock, (_, theirs)) = (bench.clock(), pipe(1));
        let conversation = converse(Small::Echo, theirs, &*clock);
        // A pipe takes eight bytes more than a connection.
        assert!(size_of_val(&conversation) <= 120, "{}", size_of_val(&conversation));
    }

    #[test]
    fn a_connection_that_stands_still_is_given_up() {
        for service in Small::ALL {
            let mut bench = Bench::default();
            let (pipe, end) = connect(&mut bench, service);
            bench.pass(IDLE);
            assert!(end.borrow().as_ref().unwrap().is_err() && pipe.is_closed(), "{service}");
        }
    }
}
