//! The connection as a conversation sees it: what comes and what goes, each by a deadline.
//!
//! ```text
//!            first octet           head complete              body complete          answer complete
//!   waiting ------------> head ------------------> body ------------------> answer ------------------> waiting
//!   idle_timeout       header_timeout       body_timeout, from the      write_timeout, while
//!                      for all of it        last octet; and a           the client takes nothing;
//!                                           slowest rate                and the slowest rate
//! ```
//!
//! One alarm serves them all: it is set anew only when it must ring earlier, and when it rings too early it is set
//! again. So a connection that is asked and answers all day sets it once a minute.

use super::Site;
use super::facts::Facts;
use super::guard::Asker;
use crate::application::server::{Connection, Requested};
use crate::base::time::{Duration, Instant};
use crate::session::clock::AlarmId;
use bytes::Bytes;
use http::StatusCode;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Octets taken from the stack at once, without a copy.
const READ_AT_ONCE: usize = 64 << 10;
/// How long a client that was answered for the last time may go on sending.
const LINGER: Duration = Duration::from_secs(2);

/// Why there is no next request.
#[derive(Debug)]
pub(super) enum Fault {
    /// This one is wrong, or late: the client is told with this status, and nothing more is read.
    Refused(StatusCode),
    /// There is nobody to tell.
    Over(io::Error),
}

impl From<StatusCode> for Fault {
    fn from(status: StatusCode) -> Self {
        Fault::Refused(status)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Over(error)
    }
}

/// The slowest rate of a body on average, in octets a second (the figure of Apache's `mod_reqtimeout`).
const SLOWEST: u64 = 500;

/// How much of a body has passed since when: it may stand still for a while, but not crawl for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    since: Instant,
    octets: u64,
}

impl Pace {
    /// Begins now.
    pub(super) fn new(now: Instant) -> Self {
        Pace { since: now, octets: 0 }
    }

    /// So much more has passed.
    pub(super) fn on_progress(&mut self, octets: usize) {
        self.octets += octets as u64;
    }

    /// When it has been too slow on the whole, who may stand still for `patience`.
    pub(super) fn deadline(&self, patience: Duration) -> Instant {
        self.since + patience + Duration::from_millis(self.octets.saturating_mul(1_000) / SLOWEST)
    }
}

/// What ends the wait for a request.
pub(super) enum Waited {
    /// Octets came.
    Began(Bytes),
    /// The client closed its side.
    Closed,
    /// Nothing came for too long, or the service is asked to stop.
    GivenUp,
}

/// A connection and its deadlines.
pub(super) struct Wire<S: Connection> {
    pub(super) stream: S,
    pub(super) site: Rc<Site>,
    /// When it rings.
    alarm: Option<(Instant, AlarmId)>,
    /// The client has no more connections than it may.
    pub(super) is_admitted: bool,
    /// Nothing has come on it.
    pub(super) is_new: bool,
}

impl<S: Connection + Facts> Wire<S> {
    /// Who asks.
    pub(super) fn asker(&self) -> Asker {
        Asker { peer: self.stream.peer().ip(), is_encrypted: self.stream.is_encrypted() }
    }

    /// What can tell of itself.
    pub(super) fn connection(&self) -> &S {
        &self.stream
    }
}

impl<S: Connection> Wire<S> {
    pub(super) fn new(stream: S, site: Rc<Site>) -> Self {
        let is_admitted = site.clients.enter(site.config.client_limits, stream.peer().ip());
        Wire { stream, site, alarm: None, is_admitted, is_new: true }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.stream.peer()
    }

    pub(super) fn now(&self) -> Instant {
        self.site.clock.now()
    }

    /// Waits for the first octets of a request.
    pub(super) async fn wait(&mut self, stop: &mut Requested) -> io::Result<Waited> {
        let deadline = self.now() + self.site.config.idle_timeout;
        poll_fn(|cx| {
            if let Poll::Ready(octets) = self.stream.poll_read_bytes(cx, READ_AT_ONCE) {
                let octets = octets?;
                return Poll::Ready(Ok(if octets.is_empty() { Waited::Closed } else { Waited::Began(octets) }));
            }
            match Pin::new(&mut *stop).poll(cx) {
                Poll::Ready(()) => Poll::Ready(Ok(Waited::GivenUp)),
                Poll::Pending => self.poll_alarm(deadline, cx).map(|()| Ok(Waited::GivenUp)),
            }
        })
        .await
    }

    /// What comes next of a request. That nothing does before the deadline is 408; that the client closes its side in
    /// the middle of a request is 400.
    pub(super) async fn read(&mut self, deadline: Instant) -> Result<Bytes, Fault> {
        poll_fn(|cx| match self.stream.poll_read_bytes(cx, READ_AT_ONCE) {
            Poll::Ready(Ok(octets)) if octets.is_empty() => Poll::Ready(Err(StatusCode::BAD_REQUEST.into())),
            Poll::Ready(octets) => Poll::Ready(octets.map_err(Fault::Over)),
            Poll::Pending => self.poll_alarm(deadline, cx).map(|()| Err(StatusCode::REQUEST_TIMEOUT.into())),
        })
        .await
    }

    /// What comes when nothing is expected: empty once the client has closed its side or the connection is broken.
    pub(super) async fn hear(&mut self) -> Bytes {
        poll_fn(|cx| self.stream.poll_read_bytes(cx, READ_AT_ONCE)).await.unwrap_or_default()
    }

    /// Breaks the connection off.
    pub(super) fn abort(&mut self) {
        self.stream.abort();
    }

    /// Hands all of `octets` to the stack. A client that takes nothing for too long, or too little on the whole, is reset.
    pub(super) async fn write(&mut self, mut octets: Bytes, pace: &mut Pace) -> io::Result<()> {
        let mut deadline = None;
        poll_fn(|cx| {
            while !octets.is_empty() {
                match self.stream.poll_write_bytes(cx, &mut octets) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(taken)) => {
                        pace.on_progress(taken);
                        deadline = None;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        let patience = self.site.config.write_timeout;
                        let still = *deadline.get_or_insert(self.site.clock.now() + patience);
                        return self.poll_alarm(still.min(pace.deadline(patience)), cx).map(|()| {
                            self.stream.abort();
                            Err(io::ErrorKind::TimedOut.into())
                        });
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Closes our side behind the last answer; a client that takes nothing of it for too long is reset. With `linger`,
    /// reads what still comes until the client closes its own, for a moment: closing with unread data would send a
    /// reset, which can destroy the answer on its way (RFC 9112 §9.6). A client that has said that it says no more is
    /// not waited for.
    pub(super) async fn end(&mut self, linger: bool) -> io::Result<()> {
        let deadline = self.now() + self.site.config.write_timeout;
        poll_fn(|cx| match self.stream.poll_shutdown_write(cx) {
            Poll::Ready(closed) => Poll::Ready(closed),
            Poll::Pending => self.poll_alarm(deadline, cx).map(|()| {
                self.stream.abort();
                Err(io::ErrorKind::TimedOut.into())
            }),
        })
        .await?;
        if !linger {
            return Ok(());
        }
        let deadline = self.now() + LINGER;
        poll_fn(|cx| {
            // So many reads in one turn, then others first.
            for _ in 0..16 {
                match self.stream.poll_read_bytes(cx, READ_AT_ONCE) {
                    Poll::Ready(Ok(octets)) if !octets.is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.poll_alarm(deadline, cx),
                }
            }
            cx.waker().wake_by_ref();
            self.poll_alarm(deadline, cx)
        })
        .await;
        Ok(())
    }

    /// Ready when `deadline` has come. One alarm serves all that wait on the connection itself.
    pub(super) fn poll_alarm(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let clock = &self.site.clock;
        let now = clock.now();
        if deadline <= now {
            return Poll::Ready(());
        }
        match self.alarm {
            Some((at, alarm)) if now < at && at <= deadline => clock.hand_over(alarm, cx.waker()),
            other => {
                other.into_iter().for_each(|(_, alarm)| clock.cancel(alarm));
                self.alarm = Some((deadline, clock.set_alarm(deadline, cx.waker())));
            }
        }
        Poll::Pending
    }
}

impl<S: Connection> Drop for Wire<S> {
    fn drop(&mut self) {
        if self.is_admitted {
            self.site.clients.leave(self.site.config.client_limits, self.peer().ip());
        }
        self.alarm.into_iter().for_each(|(_, alarm)| self.site.clock.cancel(alarm));
    }
}
