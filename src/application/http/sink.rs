//! Where uploads end: `POST /-/sink` reads a body of any length, keeps nothing, and answers with how much
//! it was and its digest, as `{"bytes":N,"sha256":"…"}`.
//!
//! It is there to try and to measure uploads with, and on when the state page is. The bound on bodies does
//! not hold here because nothing is kept; the deadlines and the slowest rate do.

use super::answer;
use super::body::Body;
use super::incoming::Incoming;
use super::wire::Fault;
use http::{Method, Response};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

const ALLOWED: &str = "POST, PUT, OPTIONS";

/// True for the path of the sink.
pub(super) fn is_at(parts: &[Cow<'_, [u8]>]) -> bool {
    matches!(parts, [first, second] if first.as_ref() == b"-" && second.as_ref() == b"sink")
}

/// Answers a request to the sink.
pub(super) async fn answer(method: &Method, upload: &mut impl Incoming) -> Result<Response<Body>, Fault> {
    let mut digest = Sha256::new();
    let mut octets = 0;
    while let Some(piece) = upload.next().await? {
        octets += piece.len() as u64;
        digest.update(&piece);
    }
    Ok(match *method {
        Method::POST | Method::PUT => {
            let sha256: String = digest.finalize().iter().map(|octet| format!("{octet:02x}")).collect();
            answer::content("application/json", format!("{}\n", json!({"bytes": octets, "sha256": sha256})))
        }
        Method::OPTIONS => answer::options(ALLOWED),
        _ => answer::method_not_allowed(ALLOWED),
    })
}
