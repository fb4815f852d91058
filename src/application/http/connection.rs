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

use super::Site;
use super::exchange::{Next, converse};
use super::wire::{Waited, Wire};
use crate::application::server::{Connection, Shutdown};
use std::io;
use std::rc::Rc;

/// Serves a connection until it ends.
///
/// # Errors
/// It broke, or the client took nothing for too long.
pub fn serve_connection<S: Connection>(
    stream: S,
    site: Rc<Site>,
    shutdown: &Shutdown,
) -> impl Future<Output = io::Result<()>> + use<S> {
    let mut stop = shutdown.requested();
    let mut wire = Wire::new(stream, site);
    // What a block takes over lies in its future once; the arguments of a function lie there twice.
    async move {
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
