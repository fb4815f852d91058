//! A listener: LISTEN of RFC 9293, with the queue of connections that wait to be accepted.
//!
//! ```text
//!  SYN ──► accept queue full?   ── yes ──► dropped; the peer's SYN comes again
//!          embryos at the limit? ─ yes ──► SYN cookie: nothing is kept
//!          otherwise                       Embryo, SYN-ACK
//!  third ACK ──► accept queue full? ─ yes ─► ignored; our SYN-ACK, or its data, comes again
//!                otherwise                 Connection in the queue ──► accept
//! ```

use crate::base::limits;
use crate::base::time::Instant;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::cookie;
use crate::transport::tcp::table::ConnectionId;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

/// A listener.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) local: SocketAddr,
    pub(super) config: Rc<Config>,
    pub(super) backlog: usize,
    /// Half-open connections.
    pub(super) embryos: usize,
    /// Open connections that wait for the application.
    pub(super) waiting: VecDeque<ConnectionId>,
    /// It is in the table's list of events.
    pub(super) has_event: bool,
    /// Until when a cookie may come back.
    cookies_until: Option<Instant>,
    /// Opened by a Fast Open cookie, with the time: their peers have yet to prove that they are there.
    pub(super) fast_opens: Vec<(ConnectionId, Instant)>,
}

impl Listener {
    pub(super) fn new(local: SocketAddr, backlog: usize, config: Rc<Config>) -> Self {
        Listener {
            local,
            config,
            backlog: backlog.max(1),
            embryos: 0,
            waiting: VecDeque::new(),
            has_event: false,
            cookies_until: None,
            fast_opens: Vec::new(),
        }
    }

    /// How well an address fits: a listener on it before one on all.
    pub(super) fn fit(&self, local: SocketAddr) -> Option<u8> {
        match self.local.ip() {
            any if any.is_unspecified() && any.is_ipv4() == local.is_ipv4() => Some(0),
            address => (address == local.ip()).then_some(1),
        }
    }

    /// True if no more connections can wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= self.backlog
    }

    /// True if no more half-open connections are kept.
    pub(super) fn must_use_cookies(&self) -> bool {
        self.embryos >= limits::TCP_EMBRYOS
    }

    /// A cookie was sent.
    pub(super) fn on_cookie(&mut self, now: Instant) {
        self.cookies_until = Some(now + cookie::VALIDITY);
    }

    /// True if an ACK may carry a cookie. Guessing one is no use while none was sent.
    pub(super) fn may_take_cookies(&self, now: Instant) -> bool {
        self.cookies_until.is_some_and(|until| until > now)
    }
}
