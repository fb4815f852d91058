//! HTTP/1.1 and HTTP/2: files under a root, and pages about the stack itself (RFC 9110, RFC 9112, RFC 9113).
//!
//! ```text
//!   connection: waits, holding nothing
//!     -> exchange: requests and their answers, as long as there is something of them
//!          head (grammar, framing)   upload: the body, by length or in chunks   emit: the head of the answer
//!       -> guard (what the grammar lets through and RFC 9110 does not)
//!         -> host: redirects, cors, realms, what all its answers have
//!           -> pages (people who log in: their mail, sessions, password)
//!           -> /-/...  state_page, sink
//!           -> files (variant: in which coding; representation: conditions, ranges; listing; a cache of small ones)
//!           -> put (files that come)
//!           -> proxy (requests that others answer)
//! ```
//!
//! Octets come in as the slices the stack received and go out as buffers it sends from; [`wire`] holds the deadlines.
//! Who answers ([`guard`] and below) sees the request and response types of the `http` crate, an [`incoming`] body, and
//! no wire format.
//!
//! Who answers what: 400 [`head`], `presentation::chunked` and [`guard`]; 401, 403 [`realms`]; 404, 405, 406, 412, 416
//! [`files`]; 408 [`wire`]; 409, 415, 507 [`put`]; 413, 414, 417, 429, 501 [`guard`]; 431, 505 [`head`]; 503 [`connection`];
//! 502, 504 [`proxy`].
//!
//! A client that speaks HTTP/2 is led to [`http2`] instead of `exchange`, and to the same [`guard`].

mod access_log;
mod answer;
mod body;
mod clients;
pub mod connection;
mod cors;
mod emit;
mod exchange;
pub mod facts;
mod files;
mod guard;
mod head;
mod host;
mod http2;
mod incoming;
mod pages;
pub mod proxy;
mod put;
mod range;
mod realms;
mod redirects;
mod sink;
mod state_page;
mod upload;
mod validators;
mod wire;

pub use access_log::{AccessLog, LogFormat};
pub use body::Body;
pub use clients::{ClientLimits, Clients};
pub use connection::serve_connection;
pub use cors::Cors;
pub use files::{Manner, MediaTypes, Packing, Root, Store};
pub use host::{Host, Hosts, PathPrefix};
pub use pages::Pages;
pub use realms::{Login, Realm};
pub use redirects::Redirect;

use self::body::Permits;
use self::emit::Dates;
use self::facts::Facts;
use crate::application::server::{self, Accept, Bounds, Connection, Shutdown};
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::session::clock::Clock;
use crate::session::errands::Errands;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What the service is told by its configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Clients may speak HTTP/2.
    pub http2: bool,
    /// The pages under `/-/`, the upload sink among them.
    pub state_page: bool,
    /// They are not for everybody, so that they stand nowhere else.
    pub is_state_restricted: bool,
    /// How long the head of a request may take, from its first octet.
    pub header_timeout: Duration,
    /// How long the body of a request may stand still.
    pub body_timeout: Duration,
    /// How long the client may take nothing of an answer.
    pub write_timeout: Duration,
    /// How long a connection may wait for a request.
    pub idle_timeout: Duration,
    /// The largest head of a request in octets.
    pub header_limit: usize,
    /// The longest request target in octets.
    pub target_limit: usize,
    /// The largest request body in octets; the sink, which keeps nothing, has no bound.
    pub body_limit: u64,
    /// What one client may have.
    pub client_limits: ClientLimits,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            http2: true,
            state_page: true,
            is_state_restricted: false,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(60),
            header_limit: 64 << 10,
            target_limit: 8 << 10,
            body_limit: 1 << 20,
            client_limits: ClientLimits::default(),
        }
    }
}

/// What all connections of the service share.
pub struct Site {
    config: Config,
    clock: Rc<dyn Clock>,
    hosts: Hosts,
    login: Option<Login>,
    pages: Option<Pages>,
    clients: Clients,
    errands: Errands,
    access_log: Option<AccessLog>,
    state: Rc<dyn Fn() -> Value>,
    dates: Dates,
    random: RefCell<Random>,
    permits: Permits,
    /// Work was done in place that other tasks have waited for.
    has_worked: Cell<bool>,
}

/// When a request is answered.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// What the clock says, the same for a whole turn of the loop.
    turn: Instant,
    /// What the calendar says.
    calendar: Duration,
}

impl Site {
    /// A site of these hosts, and of pages that show what `state` gives: an object, each of whose members becomes a
    /// section of `/-/` and a file `/-/NAME.json`. Nobody can log in, what is put on the disk is waited for, and there
    /// is no log.
    pub fn new(
        config: Config,
        clock: Rc<dyn Clock>,
        random: Random,
        hosts: Hosts,
        state: Rc<dyn Fn() -> Value>,
    ) -> Self {
        Site {
            config,
            clock,
            hosts,
            login: None,
            pages: None,
            clients: Clients::default(),
            errands: Errands::inline(),
            access_log: None,
            state,
            dates: Dates::default(),
            random: RefCell::new(random),
            permits: Permits::default(),
            has_worked: Cell::new(false),
        }
    }

    /// The same for people who can log in.
    #[must_use]
    pub fn with_login(self, login: Login) -> Self {
        Site { login: Some(login), ..self }
    }

    /// The same, with pages for people who log in.
    #[must_use]
    pub fn with_pages(self, pages: Pages) -> Self {
        Site { pages: Some(pages), ..self }
    }

    /// The same, with clients that are counted together with those of other threads.
    #[must_use]
    pub fn with_clients(self, clients: Clients) -> Self {
        Site { clients, ..self }
    }

    /// The same, with threads that wait for the disk.
    #[must_use]
    pub fn with_errands(self, errands: Errands) -> Self {
        Site { errands, ..self }
    }

    /// The same, with an access log.
    #[must_use]
    pub fn with_access_log(self, access_log: AccessLog) -> Self {
        Site { access_log: Some(access_log), ..self }
    }

    fn moment(&self) -> Moment {
        Moment { turn: self.clock.now(), calendar: self.clock.unix_time() }
    }
}

/// Serves connections until `shutdown` is asked for and the requests at hand are answered.
pub async fn serve<L>(listener: L, site: Rc<Site>, bounds: Bounds, shutdown: Shutdown)
where
    L: Accept,
    L::Stream: Connection + Facts,
{
    let clock = Rc::clone(&site.clock);
    let converse = |stream| serve_connection(stream, Rc::clone(&site), &shutdown);
    server::serve("http", listener, &*clock, bounds, &shutdown, converse).await;
}

#[cfg(test)]
mod tests;
