//! A connection to an upstream, and a request on it: octets out while an answer may come in, each by a deadline.

use super::answer_head::{AnswerHead, Search};
use super::upstream::{Place, Upstream};
use crate::base::time::Duration;
use crate::session::clock::{Clock, Late, Patience};
use crate::session::connection::Connection;
use bytes::Bytes;
use http::{Method, StatusCode};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

/// Octets taken from the stack at once, without a copy.
const READ_AT_ONCE: usize = 64 << 10;
/// Interim answers before one that is final.
const INTERIM: u32 = 16;

/// Why an upstream has not answered.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It has as many connections as it may have.
    Full,
    /// No connection came about.
    Unreachable(io::Error),
    /// It did nothing for too long; what it should have done.
    Late(&'static str),
    /// The connection broke.
    Broken(io::Error),
    /// It closed the connection.
    Ended,
    /// What it says is no answer.
    Garbled(&'static str),
}

impl Trouble {
    /// What the client is told (RFC 9110 §15.6.3 to §15.6.5).
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Trouble::Full => StatusCode::SERVICE_UNAVAILABLE,
            Trouble::Late(_) => StatusCode::GATEWAY_TIMEOUT,
            Trouble::Unreachable(error) if error.kind() == io::ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// The connection went, for whatever reason.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Trouble::Broken(_) | Trouble::Ended)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Full => f.write_str("it has as many connections as it may have"),
            Trouble::Unreachable(error) => write!(f, "can't be reached: {error}"),
            Trouble::Late(what) => write!(f, "{what}"),
            Trouble::Broken(error) => write!(f, "the connection broke: {error}"),
            Trouble::Ended => f.write_str("closed the connection before its answer was whole"),
            Trouble::Garbled(what) => write!(f, "what it answers can't be read: {what}"),
        }
    }
}

/// A connection to an upstream.
pub(super) struct Link {
    connection: Box<dyn Connection>,
    upstream: Rc<Upstream>,
    clock: Rc<dyn Clock>,
    /// What came and is not read yet.
    pub(super) input: Bytes,
    search: Search,
    interim: u32,
    /// Something of the answer came.
    pub(super) has_heard: bool,
    /// A request or its answer is under way: who lets go of it now gives it up.
    is_busy: bool,
    /// Counts it as long as it is there.
    _place: Place,
}

impl Link {
    pub(super) fn new(
        connection: Box<dyn Connection>,
        place: Place,
        upstream: Rc<Upstream>,
        clock: Rc<dyn Clock>,
    ) -> Self {
        let (input, search) = (Bytes::new(), Search::default());
        Link { connection, upstream, clock, input, search, interim: 0, has_heard: false, is_busy: true, _place: place }
    }

    /// Whose it is.
    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Another request begins on it; false if the upstream has closed it, or speaks unasked.
    pub(super) fn begin(&mut self) -> bool {
        (self.interim, self.has_heard, self.search) = (0, false, Search::default());
        self.is_busy = true;
        self.poll_is_gone(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Ready if a connection that waits is of no more use.
    pub(super) fn poll_is_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.poll_read_bytes(cx, 1).map(|_| ())
    }

    /// The answer came to its end: the connection waits for another request if it can.
    pub(super) fn end(mut self, keeps_alive: bool) {
        let upstream = Rc::clone(&self.upstream);
        self.is_busy = false;
        if keeps_alive && self.input.is_empty() {
            upstream.keep(self);
        }
    }

    /// Reads more behind what is not read yet; false at the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let octets = ready!(self.connection.poll_read_bytes(cx, READ_AT_ONCE))?;
        let is_more = !octets.is_empty();
        self.has_heard |= is_more;
        self.input = if self.input.is_empty() { octets } else { [&self.input[..], &octets[..]].concat().into() };
        Poll::Ready(Ok(is_more))
    }

    /// More of the answer; false at the end of the connection.
    pub(super) async fn more(&mut self, time: Duration) -> Result<bool, Trouble> {
        let clock = Rc::clone(&self.clock);
        let mut patience = Patience::new(&*clock);
        let more = poll_fn(|cx| {
            let more = self.poll_more(cx);
            patience.poll(cx, time, more)
        });
        match more.await {
            Ok(more) => more.map_err(Trouble::Broken),
            Err(Late) => Err(Trouble::Late("its answer stands still")),
        }
    }

    /// The final answer, once its head is whole.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>, method: &Method) -> Poll<Result<AnswerHead, Trouble>> {
        loop {
            match self.search.take(&mut self.input, method) {
                Ok(Some(head)) if head.parts.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return Poll::Ready(Err(Trouble::Garbled("it takes up a protocol that nobody asked for")));
                }
                Ok(Some(head)) if head.parts.status.is_informational() => {
                    self.interim += 1;
                    if self.interim > INTERIM {
                        return Poll::Ready(Err(Trouble::Garbled("there is no end of interim answers")));
                    }
                    continue;
                }
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(what) => return Poll::Ready(Err(Trouble::Garbled(what))),
            }
            match ready!(self.poll_more(cx)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Err(Trouble::Ended)),
                Err(error) => return Poll::Ready(Err(Trouble::Broken(error))),
            }
        }
    }

    /// The final answer, which must begin in time and then go on.
    pub(super) async fn answer(&mut self, method: &Method, time: Duration) -> Result<AnswerHead, Trouble> {
        let clock = Rc::clone(&self.clock);
        let mut patience = Patience::new(&*clock);
        let answer = poll_fn(|cx| {
            let answer = self.poll_answer(cx, method);
            patience.poll(cx, time, answer)
        });
        match answer.await {
            Ok(answer) => answer,
            Err(Late) => Err(Trouble::Late("has not answered in time")),
        }
    }

    /// Sends all of `octets`, unless the answer comes first. An upstream that takes nothing for too long is given up.
    pub(super) async fn send(
        &mut self,
        mut octets: Bytes,
        method: &Method,
        time: Duration,
    ) -> Result<Option<AnswerHead>, Trouble> {
        let clock = Rc::clone(&self.clock);
        let mut patience = Patience::new(&*clock);
        poll_fn(|cx| {
            loop {
                if octets.is_empty() {
                    return Poll::Ready(Ok(None));
                }
                if let Poll::Ready(answer) = self.poll_answer(cx, method) {
                    return Poll::Ready(answer.map(Some));
                }
                let taken = self.connection.poll_write_bytes(cx, &mut octets);
                match ready!(patience.poll(cx, time, taken)) {
                    Ok(Ok(0)) => return Poll::Ready(Err(Trouble::Ended)),
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return Poll::Ready(Err(Trouble::Broken(error))),
                    Err(Late) => return Poll::Ready(Err(Trouble::Late("takes nothing of the request"))),
                }
            }
        })
        .await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.is_busy {
            self.connection.abort();
        }
    }
}
