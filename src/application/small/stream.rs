//! The small services over TCP, without a copy: echo hands the buffers it received back as they are, and
//! chargen sends the same one again and again.

use super::{Small, daytime, pattern};
use crate::application::server::Connection;
use crate::base::time::Duration;
use crate::session::clock::{Clock, within};
use bytes::Bytes;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

/// Octets asked from the stream at a time.
const PIECE: usize = 256 << 10;
/// How long a connection may stand still in either direction.
pub(super) const IDLE: Duration = Duration::from_secs(600);
/// How often the chargen pattern stands in the buffer that is sent: about 64 KiB.
const ROUNDS: usize = 9;

/// Holds a conversation until the client ends it, or stands still too long.
pub async fn converse<S: Connection>(service: Small, mut stream: S, clock: &dyn Clock) -> io::Result<()> {
    let end = match service {
        Small::Echo => echo(&mut stream, clock).await,
        Small::Discard => discard(&mut stream, clock).await,
        Small::Chargen => chargen(&mut stream, clock).await,
        Small::Daytime => write(&mut stream, daytime(clock), clock).await,
    };
    match end {
        Ok(()) => {
            stream.shutdown_write();
            // The client closes next; until then its last octets are read, so that closing is no reset.
            discard(&mut stream, clock).await
        }
        Err(error) => {
            stream.abort();
            Err(error)
        }
    }
}

async fn echo<S: Connection>(stream: &mut S, clock: &dyn Clock) -> io::Result<()> {
    loop {
        let octets = read(stream, clock).await?;
        if octets.is_empty() {
            return Ok(());
        }
        write(stream, octets, clock).await?;
    }
}

async fn discard<S: Connection>(stream: &mut S, clock: &dyn Clock) -> io::Result<()> {
    while !read(stream, clock).await?.is_empty() {}
    Ok(())
}

/// Sends until the client has had enough, which ends in an error of the stream. What the client sends is
/// thrown away between pieces (RFC 864).
async fn chargen<S: Connection>(stream: &mut S, clock: &dyn Clock) -> io::Result<()> {
    let octets = Bytes::from(pattern().repeat(ROUNDS));
    loop {
        poll_fn(|cx| {
            while let Poll::Ready(Ok(read)) = stream.poll_read_bytes(cx, PIECE) {
                if read.is_empty() {
                    break;
                }
            }
            Poll::Ready(())
        })
        .await;
        write(stream, octets.clone(), clock).await?;
    }
}

/// What came next; empty at the end.
async fn read<S: Connection>(stream: &mut S, clock: &dyn Clock) -> io::Result<Bytes> {
    let read = poll_fn(|cx| stream.poll_read_bytes(cx, PIECE));
    within(clock, IDLE, read).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Queues all of `octets`.
async fn write<S: Connection>(stream: &mut S, mut octets: Bytes, clock: &dyn Clock) -> io::Result<()> {
    while !octets.is_empty() {
        let write = poll_fn(|cx| stream.poll_write_bytes(cx, &mut octets));
        within(clock, IDLE, write).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    }
    Ok(())
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
    fn a_connection_that_stands_still_is_given_up() {
        for service in Small::ALL {
            let mut bench = Bench::default();
            let (pipe, end) = connect(&mut bench, service);
            bench.pass(IDLE);
            assert!(end.borrow().as_ref().unwrap().is_err() && pipe.is_closed(), "{service}");
        }
    }
}
