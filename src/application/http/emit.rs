//! The head of an answer as it goes out, with what every answer has (RFC 9112 §4, §5).

use super::Site;
use super::answer::http_date;
use bytes::{BufMut, BytesMut};
use http::header::CONNECTION;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use std::cell::RefCell;

/// What the client is told about the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum After {
    /// Nothing: it stays open, as HTTP/1.1 has it.
    Open,
    /// It stays open, which a client of HTTP/1.0 can't know.
    KeptAlive,
    /// It is closed.
    Closed,
}

/// The date of the second that is passing, for the many answers in it.
#[derive(Default)]
pub(super) struct Dates(RefCell<(u64, String)>);

impl Dates {
    fn put(&self, site: &Site, out: &mut BytesMut) {
        let now = site.clock.unix_time();
        let mut cached = self.0.borrow_mut();
        if cached.0 != now.as_secs() {
            *cached = (now.as_secs(), http_date(now).unwrap_or_default());
        }
        if !cached.1.is_empty() {
            field(out, b"date", cached.1.as_bytes());
        }
    }
}

/// Writes the head of an answer whose body has `length` octets, or would have for another method than HEAD; without a
/// length it goes in chunks.
pub(super) fn head(out: &mut BytesMut, site: &Site, head: &Parts, length: Option<u64>, after: After) {
    let copied = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
    out.reserve(512 + copied.min(super::exchange::SMALL_BODY));
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(head.status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\nserver: tapstack\r\nx-content-type-options: nosniff\r\n");
    site.dates.put(site, out);
    fields(out, &head.headers);
    // RFC 9110 §8.6: a 204 has no length, and a 304 none but that of the 200 it stands for.
    if !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        match length {
            Some(length) => field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes()),
            None => field(out, b"transfer-encoding", b"chunked"),
        }
    }
    match after {
        After::Open => {}
        After::KeptAlive => field(out, b"connection", b"keep-alive"),
        After::Closed => field(out, b"connection", b"close"),
    }
    out.put_slice(b"\r\n");
}

fn fields(out: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers.iter().filter(|(name, _)| *name != CONNECTION) {
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
}

fn field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}
