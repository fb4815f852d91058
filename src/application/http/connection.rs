//! One HTTP connection, from its first request to its last answer.
//!
//! ```text
//!   wait for the first octets  ─────► converse: answer what came, until nothing of it is left ─┐
//!        ▲ nothing is held                        what a request needs is held                 │
//!        └─────────────────────────────────────────────────────────────────────────────────────┤
//!                            close, or close our side and linger until the client closes its ◄─┘
//! ```
//!
//! A connection that waits owns its stream, an alarm and its place among those who are told to stop; what a request
//! needs is on the heap while there is one.

use super::emit::{self, After};
use super::exchange::{Next, converse};
use super::facts::Facts;
use super::wire::{Pace, Waited, Wire};
use super::{Site, answer};
use crate::application::server::{Connection, Shutdown};
use bytes::BytesMut;
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use std::io;
use std::rc::Rc;

/// Serves a connection until it ends.
///
/// # Errors
/// It broke, or the client took nothing for too long.
pub fn serve_connection<S: Connection + Facts>(
    stream: S,
    site: Rc<Site>,
    shutdown: &Shutdown,
) -> impl Future<Output = io::Result<()>> + use<S> {
    let mut stop = shutdown.requested();
    let mut wire = Wire::new(stream, site);
    // What a block takes over lies in its future once; the arguments of a function lie there twice.
    async move {
        if !wire.is_admitted {
            return Box::pin(turn_away(wire)).await;
        }
        let end = loop {
            let first = match wire.wait(&mut stop).await? {
                Waited::Began(octets) => octets,
                Waited::Closed => break Next::Close,
                Waited::GivenUp => break Next::Linger,
            };
            match Box::pin(converse(&mut wire, &stop, first)).await? {
                Next::Wait => {}
                end => break end,
            }
        };
        Box::pin(wire.end(end == Next::Linger)).await
    }
}

/// Tells a client with too many connections so, without waiting for what it wants.
async fn turn_away<S: Connection>(mut wire: Wire<S>) -> io::Result<()> {
    let mut pace = Pace::new(wire.now());
    let mut response = answer::status(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    let (head, mut body) = response.into_parts();
    let mut output = BytesMut::new();
    emit::head(&mut output, &wire.site, &head, body.length(), After::Closed);
    output.extend_from_slice(&body.take_whole(usize::MAX).unwrap_or_default());
    wire.write(output.freeze(), &mut pace).await?;
    wire.end(true).await
}
