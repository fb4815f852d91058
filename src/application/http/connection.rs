//! One HTTP connection, from its first request to its last answer.
//!
//! ```text
//!   wait for the first octets  ─────► converse: answer what came, until nothing of it is left ─┐
//!        ▲ nothing is held                        what a request needs is held                 │
//!        └─────────────────────────────────────────────────────────────────────────────────────┤
//!                            close, or close our side and linger until the client closes its ◄─┘
//! ```
//!
//! Once, before the first request, it is decided whether the client speaks HTTP/2 ([`super::http2`]): by what was agreed
//! on in TLS, or in the clear by its first octets (RFC 9113 §3).
//!
//! A connection that waits owns its stream, an alarm and its place among those who are told to stop; what a request
//! needs is on the heap while there is one.

use super::emit::{self, After};
use super::exchange::{Next, converse};
use super::facts::Facts;
use super::wire::{Fault, Pace, Waited, Wire};
use super::{Site, answer, http2};
use crate::application::server::{Connection, Requested, Shutdown};
use crate::base::time::Duration;
use bytes::{Bytes, BytesMut};
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
            match Box::pin(begin(&mut wire, &mut stop, first)).await? {
                Next::Wait => {}
                end => break end,
            }
        };
        Box::pin(wire.end(end == Next::Linger)).await
    }
}

/// Answers what begins with `first`, in the version of HTTP that the client speaks.
async fn begin<S: Connection + Facts>(wire: &mut Wire<S>, stop: &mut Requested, first: Bytes) -> io::Result<Next> {
    if !std::mem::take(&mut wire.is_new) || !may_speak_http2(wire, &first) {
        return converse(wire, stop, first).await;
    }
    match Box::pin(decide(wire, first)).await? {
        (first, true) => Box::pin(http2::converse(wire, stop, first)).await,
        (first, false) => Box::pin(converse(wire, stop, first)).await,
    }
}

/// True if a client that begins with these octets may be one of HTTP/2.
fn may_speak_http2<S: Connection + Facts>(wire: &Wire<S>, first: &[u8]) -> bool {
    wire.site.config.http2 && (wire.stream.speaks_http2() || begins_preface(wire, first))
}

/// Prior knowledge is for the clear: in TLS it is agreed on (RFC 9113 §3.2, §3.3).
fn begins_preface<S: Connection + Facts>(wire: &Wire<S>, first: &[u8]) -> bool {
    let common = first.len().min(http2::PREFACE.len());
    !wire.stream.is_encrypted() && first.get(..common) == http2::PREFACE.get(..common)
}

/// Waits until it is certain whether a client speaks HTTP/2: for the whole preface, or for an octet that differs.
async fn decide<S: Connection + Facts>(wire: &mut Wire<S>, first: Bytes) -> io::Result<(Bytes, bool)> {
    if wire.stream.speaks_http2() {
        return Ok((first, true));
    }
    let deadline = wire.now() + wire.site.config.header_timeout;
    let mut gathered = BytesMut::from(first);
    while begins_preface(wire, &gathered) && gathered.len() < http2::PREFACE.len() {
        match wire.read(deadline).await {
            Ok(octets) => gathered.extend_from_slice(&octets),
            // HTTP/1.1 says what is wrong.
            Err(Fault::Refused(_)) => return Ok((gathered.freeze(), false)),
            Err(Fault::Over(error)) => return Err(error),
        }
    }
    let is_preface = begins_preface(wire, &gathered);
    Ok((gathered.freeze(), is_preface))
}

/// How long a client that is turned away may take to show which version of HTTP it speaks.
const INTRODUCTION: Duration = Duration::from_secs(2);

/// Tells a client with too many connections so, without waiting for what it wants.
async fn turn_away<S: Connection + Facts>(mut wire: Wire<S>) -> io::Result<()> {
    if wire.stream.is_encrypted() {
        // What was agreed on is known after the handshake.
        let deadline = wire.now() + INTRODUCTION;
        if let Err(Fault::Over(error)) = wire.read(deadline).await {
            return Err(error);
        }
    }
    let mut pace = Pace::new(wire.now());
    if wire.stream.speaks_http2() {
        wire.write(Bytes::from_static(http2::REFUSAL), &mut pace).await?;
        return wire.end(true).await;
    }
    let mut response = answer::status(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    let (head, mut body) = response.into_parts();
    let mut output = BytesMut::new();
    emit::head(&mut output, &wire.site, &head, body.length(), After::Closed);
    output.extend_from_slice(&body.take_whole(usize::MAX).unwrap_or_default());
    wire.write(output.freeze(), &mut pace).await?;
    wire.end(true).await
}
