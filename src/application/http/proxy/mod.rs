//! Requests that others answer: a gateway to upstreams that speak HTTP/1.1 (RFC 9110 §3.7, §7.6).
//!
//! ```text
//!   guard ──► which upstream (upstream), by which path (path), with which fields (fields)
//!                │
//!   Incoming ────┴──► link ──► the upstream ──► answer_head ──► pass back ──► Body (streamed) ──► the client
//!    a piece at a time, as far as the next one takes it                a piece at a time, likewise
//! ```
//!
//! Nothing is copied from a message but what was understood: the target, the fields, and the octets of the body, which is framed
//! anew in both directions. So two readers never see two messages where we saw one.
//!
//! | what happens | what the client sees |
//! |---|---|
//! | no upstream can be reached | 502, or 504 if that took too long |
//! | all have as many connections as they may | 503 |
//! | one says nothing in time, or takes nothing | 504 |
//! | one closes, breaks or garbles its answer before the head of it is whole | 502 |
//! | the same after that | an answer that breaks off |
//!
//! The next upstream is asked if there was no connection, and once more if nothing came on one and the request may be repeated
//! (RFC 9110 §9.2.2): it has no body and a method that says so. Only such a request takes a connection that has waited,
//! which may go in the same moment; if it does, it is asked again on a new one.
//!
//! An answer that comes before the request is whole ends it. Not here: TLS to upstreams, Upgrade, trailers.

mod answer_head;
mod fields;
mod link;
mod path;
mod streamed;
mod upstream;

pub use self::path::To;
pub(super) use self::path::names_upstream;
pub use self::streamed::Streamed;

use self::answer_head::{AnswerHead, Framing};
use self::fields::Passed;
use self::link::{Link, Trouble};
use self::upstream::Upstream;
use super::answer::{self, closing};
use super::body::Body;
use super::guard::{Asker, Names};
use super::host::PathPrefix;
use super::incoming::Incoming;
use super::wire::Fault;
use crate::application::server::Shutdown;
use crate::base::time::Duration;
use crate::session::clock::Clock;
use crate::session::connection::Connection;
use futures_util::future::{Either, LocalBoxFuture, select};
use http::header::{CONTENT_LOCATION, HOST, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Response, StatusCode};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

/// Connects to an address.
pub type Dial = Rc<dyn Fn(SocketAddr) -> LocalBoxFuture<'static, io::Result<Box<dyn Connection>>>>;

/// What is passed on, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our path: it, and all below it.
    pub path: String,
    /// The upstreams, which are asked in turn.
    pub to: Vec<To>,
    /// They are asked by the name that the client said; otherwise by their address.
    pub keep_host: bool,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an upstream may take to answer, once it has the request.
    pub answer_timeout: Duration,
    /// How long a body may stand still on the side of an upstream.
    pub body_timeout: Duration,
    /// The largest request body.
    pub body_limit: u64,
    /// Connections to one upstream.
    pub connections: u32,
    /// Connections to one upstream that wait for another request.
    pub kept: usize,
    /// How long they do.
    pub keep_time: Duration,
    /// After so many failures in `out_time` an upstream is asked last; 0: never.
    pub failures: u32,
    /// For how long.
    pub out_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            path: "/".into(),
            to: Vec::new(),
            keep_host: true,
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            body_limit: 1 << 20,
            connections: 256,
            kept: 16,
            keep_time: Duration::from_secs(30),
            failures: 3,
            out_time: Duration::from_secs(10),
        }
    }
}

/// Who answered a request, for the log: an extension of the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AnsweredBy {
    /// The upstream.
    pub(super) address: SocketAddr,
    /// How long it took until the head of the answer was there.
    pub(super) time: Duration,
}

/// Paths that others answer.
pub struct Proxy {
    path: PathPrefix,
    settings: Rc<Settings>,
    clock: Rc<dyn Clock>,
    upstreams: Vec<Rc<Upstream>>,
    next: Cell<usize>,
}

/// Why there is no answer to pass on.
enum Failure {
    /// The client is at fault, or gone.
    Client(Fault),
    /// The body is too large.
    TooLarge,
    /// The upstream is at fault.
    Upstream(Trouble),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Client(fault)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Failure::Upstream(trouble)
    }
}

impl Proxy {
    /// A gateway that reaches its upstreams with `dial`.
    pub fn new(settings: Settings, clock: Rc<dyn Clock>, dial: &Dial) -> Self {
        let settings = Rc::new(settings);
        let upstream =
            |to: &To| Rc::new(Upstream::new(to.clone(), Rc::clone(&settings), Rc::clone(&clock), Rc::clone(dial)));
        Proxy {
            path: PathPrefix::new(&settings.path),
            upstreams: settings.to.iter().map(upstream).collect(),
            settings,
            clock,
            next: Cell::default(),
        }
    }

    /// The innermost of the proxies that a path is of.
    pub(super) fn of<'a>(proxies: &'a [Rc<Proxy>], names: &Names<'_>) -> Option<&'a Rc<Proxy>> {
        proxies.iter().filter(|proxy| proxy.path.covers(names)).max_by_key(|proxy| proxy.path.depth())
    }

    /// The largest request body.
    pub(super) fn body_limit(&self) -> u64 {
        self.settings.body_limit
    }

    /// Where a client is sent that leaves out the slash at the end of our path.
    pub(super) fn with_slash(&self, head: &Parts, names: &Names<'_>, is_folder: bool) -> Option<String> {
        if is_folder || names.len() != self.path.depth() || names.is_empty() || !self.settings.path.ends_with('/') {
            return None;
        }
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{}{query}", self.settings.path))
    }

    /// Looks after the connections that wait, until the service ends.
    pub async fn look_after(proxy: Rc<Proxy>, shutdown: Shutdown) {
        let clock = Rc::clone(&proxy.clock);
        let mut stop = shutdown.requested();
        let mut alarm = None;
        poll_fn(|cx| {
            loop {
                if Pin::new(&mut stop).poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                let due = proxy.upstreams.iter().filter_map(|upstream| upstream.look_after(cx)).min();
                let Some(due) = due else { return Poll::Pending };
                let alarm = alarm.insert(clock.sleep_until(due));
                if Pin::new(alarm).poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
        proxy.upstreams.iter().for_each(|upstream| upstream.close());
    }

    /// The upstreams in the order in which they are asked: each has its turn to be the first.
    fn in_turn(&self) -> Vec<&Rc<Upstream>> {
        let first = self.next.get() % self.upstreams.len().max(1);
        self.next.set(first + 1);
        let (behind, ahead) = self.upstreams.split_at(first);
        let mut order: Vec<_> = ahead.iter().chain(behind).collect();
        order.sort_by_key(|upstream| upstream.is_out());
        order
    }

    /// Has a request with a body of `least` octets, `Some(0)` if nobody knows of how many, answered.
    pub(super) async fn answer(
        &self,
        asker: Asker,
        head: &Parts,
        account: Option<&str>,
        least: Option<u64>,
        upload: &mut impl Incoming,
    ) -> Result<Response<Body>, Fault> {
        let began = self.clock.now();
        let may_repeat = least.is_none() && head.method.is_idempotent();
        let mut is_repeated = false;
        let mut trouble = Trouble::Full;
        'upstreams: for upstream in self.in_turn() {
            let complain = |trouble: &Trouble| {
                log::warn!(
                    target: "tapstack::http", "{}: {} {}: the upstream {}: {trouble}",
                    asker.peer, head.method, head.uri.path(), upstream.to.address
                );
            };
            let asked = asked(head);
            let authority = upstream.to.authority();
            let host = asked.filter(|_| self.settings.keep_host).unwrap_or(&authority);
            let target = upstream.to.target(head.uri.path(), head.uri.query(), self.path.depth());
            let request = Passed { head, asker, account, target: &target, host, asked, least };
            let mut waited = if may_repeat { upstream.waiting() } else { None };
            loop {
                let has_waited = waited.is_some();
                let link = match waited.take() {
                    Some(link) => Ok(link),
                    None => upstream.connect().await,
                };
                let mut link = match link {
                    Ok(link) => link,
                    Err(failed) => {
                        complain(&failed);
                        if !matches!(failed, Trouble::Full) {
                            upstream.on_failure();
                        }
                        trouble = failed;
                        continue 'upstreams;
                    }
                };
                match self.converse(&mut link, &request, upload).await {
                    Ok(answer) => {
                        upstream.on_answer();
                        let by = AnsweredBy { address: upstream.to.address, time: self.clock.now().since(began) };
                        return Ok(self.pass_back(link, answer, host, by));
                    }
                    Err(Failure::Client(fault)) => return Err(fault),
                    Err(Failure::TooLarge) => return Ok(closing(answer::status(StatusCode::PAYLOAD_TOO_LARGE))),
                    Err(Failure::Upstream(failed)) => {
                        let may_ask_again = may_repeat && !link.has_heard && failed.is_loss();
                        if may_ask_again && has_waited {
                            continue;
                        }
                        complain(&failed);
                        upstream.on_failure();
                        trouble = failed;
                        if may_ask_again && !std::mem::replace(&mut is_repeated, true) {
                            continue 'upstreams;
                        }
                        break 'upstreams;
                    }
                }
            }
        }
        Ok(refuse(&trouble, upload.is_ended()))
    }

    /// A request and the head of its answer.
    async fn converse(
        &self,
        link: &mut Link,
        request: &Passed<'_>,
        upload: &mut impl Incoming,
    ) -> Result<AnswerHead, Failure> {
        let method = &request.head.method;
        let early = match link.send(request.write(), method, self.settings.body_timeout).await? {
            None => self.send_body(link, request, upload).await?,
            early => early,
        };
        if let Some(early) = early {
            // The rest of the request will not follow.
            return Ok(AnswerHead { keeps_alive: false, ..early });
        }
        let answer = pin!(link.answer(method, self.settings.answer_timeout));
        match select(answer, pin!(upload.gone())).await {
            Either::Left((answer, _)) => Ok(answer?),
            Either::Right(((), _)) => {
                Err(Fault::Over(io::Error::new(io::ErrorKind::ConnectionAborted, "the client is gone")).into())
            }
        }
    }

    /// Passes the body of a request on, as it comes; an answer that comes first ends it.
    async fn send_body(
        &self,
        link: &mut Link,
        request: &Passed<'_>,
        upload: &mut impl Incoming,
    ) -> Result<Option<AnswerHead>, Failure> {
        let Some(least) = request.least else { return Ok(None) };
        let (method, time) = (&request.head.method, self.settings.body_timeout);
        let mut sent = 0;
        loop {
            let next = {
                let early = pin!(poll_fn(|cx| link.poll_answer(cx, method)));
                match select(pin!(upload.next()), early).await {
                    Either::Left((next, _)) => next?,
                    Either::Right((early, _)) => return Ok(Some(early?)),
                }
            };
            let Some(octets) = next else { break };
            sent += octets.len() as u64;
            if sent > self.settings.body_limit {
                return Err(Failure::TooLarge);
            }
            let octets = match least {
                0 => crate::presentation::chunked::chunk(&octets),
                length if sent > length => return Err(Fault::Refused(StatusCode::BAD_REQUEST).into()),
                _ => octets,
            };
            if let Some(early) = link.send(octets, method, time).await? {
                return Ok(Some(early));
            }
        }
        match least {
            0 => Ok(link.send(crate::presentation::chunked::LAST.into(), method, time).await?),
            length if sent < length => Err(Fault::Refused(StatusCode::BAD_REQUEST).into()),
            _ => Ok(None),
        }
    }

    /// The answer as the client gets it.
    fn pass_back(&self, mut link: Link, answer: AnswerHead, host: &str, by: AnsweredBy) -> Response<Body> {
        let AnswerHead { mut parts, framing, keeps_alive } = answer;
        for name in [LOCATION, CONTENT_LOCATION] {
            let place = parts.headers.get(&name).and_then(|value| value.to_str().ok());
            let place = place.and_then(|place| link.upstream().to.location(&self.settings.path, host, place));
            if let Some(place) = place.and_then(|place| HeaderValue::from_str(&place).ok()) {
                parts.headers.insert(name, place);
            }
        }
        fields::pass_back(&mut parts.headers, parts.version);
        parts.version = http::Version::HTTP_11;
        parts.extensions.insert(by);
        let body = match framing {
            Framing::None(length) => {
                link.end(keeps_alive);
                match parts.status {
                    StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Body::whole(bytes::Bytes::new()),
                    _ => Body::absent(length),
                }
            }
            Framing::Length(length) if length <= link.input.len() as u64 => {
                let octets = link.input.split_to(usize::try_from(length).unwrap_or(usize::MAX).min(link.input.len()));
                link.end(keeps_alive);
                Body::whole(octets)
            }
            framing => Body::streamed(Streamed::new(link, framing, keeps_alive, self.settings.body_timeout)),
        };
        Response::from_parts(parts, body)
    }
}

/// The host that a request asks, as it was said; the target outranks the field (RFC 9112 §3.2.2).
fn asked(head: &Parts) -> Option<&str> {
    match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers.get(HOST)?.to_str().ok(),
    }
}

/// There is no answer.
fn refuse(trouble: &Trouble, is_read: bool) -> Response<Body> {
    let mut response = answer::status(trouble.status());
    if matches!(trouble, Trouble::Full) {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if is_read { response } else { closing(response) }
}
