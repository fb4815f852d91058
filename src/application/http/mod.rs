//! HTTP/1.1: files under a root, and pages about the stack itself (RFC 9110, RFC 9112).
//!
//! ```text
//!   connection: waits, holding nothing
//!     -> exchange: requests and their answers, as long as there is something of them
//!          head (grammar, framing)   upload: the body, by length or in chunks   emit: the head of the answer
//!       -> guard (what the grammar lets through and RFC 9110 does not)
//!         -> /-/...  state_page, sink
//!         -> files (conditional, range, a cache of small ones)
//! ```
//!
//! Octets come in as the slices the stack received and go out as buffers it sends from; [`wire`] holds the deadlines.
//! Who answers ([`guard`] and below) sees the request and response types of the `http` crate and no wire format.
//!
//! Who answers what: 400 [`head`], `presentation::chunked` and [`guard`]; 404, 405, 412, 416 [`files`]; 408 [`wire`];
//! 413, 414, 417, 501 [`guard`]; 431 [`head`], at [`Config::header_limit`].
//!
//! Not here: HTTP/2, content encodings, several ranges in one answer, directory listings, uploads that are kept.

mod access_log;
mod answer;
pub mod connection;
mod emit;
mod exchange;
mod files;
mod guard;
mod head;
mod range;
mod sink;
mod state_page;
mod upload;
mod validators;
mod wire;

pub use answer::Body;
pub use connection::serve_connection;
pub use files::Root;

use self::emit::Dates;
use crate::application::server::{self, Accept, Bounds, Connection, Shutdown};
use crate::base::time::Duration;
use crate::session::clock::Clock;
use serde_json::Value;
use std::rc::Rc;

/// What the service is told by its configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The pages under `/-/`, the upload sink among them.
    pub state_page: bool,
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
}

impl Default for Config {
    fn default() -> Self {
        Config {
            state_page: true,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(60),
            header_limit: 64 << 10,
            target_limit: 8 << 10,
            body_limit: 1 << 20,
        }
    }
}

/// What all connections of the service share.
pub struct Site {
    config: Config,
    clock: Rc<dyn Clock>,
    root: Option<Root>,
    state: Rc<dyn Fn() -> Value>,
    dates: Dates,
}

impl Site {
    /// A site of the files under `root`, if any, and of pages that show what `state` gives: an object,
    /// each of whose members becomes a section of `/-/` and a file `/-/NAME.json`.
    pub fn new(config: Config, clock: Rc<dyn Clock>, root: Option<Root>, state: Rc<dyn Fn() -> Value>) -> Self {
        Site { config, clock, root, state, dates: Dates::default() }
    }
}

/// Serves connections until `shutdown` is asked for and the requests at hand are answered.
pub async fn serve<L>(listener: L, site: Rc<Site>, bounds: Bounds, shutdown: Shutdown)
where
    L: Accept,
    L::Stream: Connection,
{
    let clock = Rc::clone(&site.clock);
    let converse = |stream| serve_connection(stream, Rc::clone(&site), &shutdown);
    server::serve("http", listener, &*clock, bounds, &shutdown, converse).await;
}

#[cfg(test)]
mod tests;
