//! The head of an answer as it goes out, with what every answer has: as HTTP/1.1 writes it (RFC 9112 §4, §5), and as
//! fields for HTTP/2.

use super::Site;
use super::answer::http_date;
use super::proxy::AnsweredBy;
use bytes::{BufMut, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderValue, SERVER, X_CONTENT_TYPE_OPTIONS};
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
    /// It is closed, which is the end of a body that nobody knows the length of: the client knows no chunks.
    EndsBody,
}

/// The date of the second that is passing, for the many answers in it.
#[derive(Default)]
pub(super) struct Dates(RefCell<(u64, Option<HeaderValue>)>);

impl Dates {
    fn with<T>(&self, site: &Site, f: impl FnOnce(&HeaderValue) -> T) -> Option<T> {
        let now = site.clock.unix_time();
        let mut cached = self.0.borrow_mut();
        if cached.0 != now.as_secs() || cached.1.is_none() {
            *cached = (now.as_secs(), http_date(now).and_then(|date| HeaderValue::from_str(&date).ok()));
        }
        cached.1.as_ref().map(f)
    }
}

/// Writes the head of an answer whose body has `length` octets, or would have for another method than HEAD; without a
/// length it goes in chunks, or ends with the connection.
pub(super) fn head(out: &mut BytesMut, site: &Site, head: &Parts, length: Option<u64>, after: After) {
    let copied = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
    out.reserve(512 + copied.min(super::exchange::SMALL_BODY));
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(head.status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    if !is_passed_on(head) {
        out.put_slice(b"server: tapstack\r\nx-content-type-options: nosniff\r\n");
    }
    if !head.headers.contains_key(DATE) {
        site.dates.with(site, |date| field(out, b"date", date.as_bytes()));
    }
    fields(out, &head.headers);
    if has_length(head.status) {
        match length {
            Some(length) => field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes()),
            None if after == After::EndsBody => {}
            None => field(out, b"transfer-encoding", b"chunked"),
        }
    }
    match after {
        After::Open => {}
        After::KeptAlive => field(out, b"connection", b"keep-alive"),
        After::Closed | After::EndsBody => field(out, b"connection", b"close"),
    }
    out.put_slice(b"\r\n");
}

/// What is passed on is described by who made it.
fn is_passed_on(head: &Parts) -> bool {
    head.extensions.get::<AnsweredBy>().is_some()
}

/// RFC 9110 §8.6: a 204 has no length, and a 304 none but that of the 200 it stands for.
fn has_length(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Gives the head of an answer the same fields in HTTP/2, where none speaks of the connection (RFC 9113 §8.2.2).
pub(super) fn complete(site: &Site, head: &mut Parts, length: Option<u64>) {
    let is_passed_on = is_passed_on(head);
    let fields = &mut head.headers;
    fields.remove(CONNECTION);
    if !is_passed_on {
        fields.insert(SERVER, HeaderValue::from_static("tapstack"));
        fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if !fields.contains_key(DATE)
        && let Some(date) = site.dates.with(site, HeaderValue::clone)
    {
        fields.insert(DATE, date);
    }
    if let Some(length) = length.filter(|_| has_length(head.status)) {
        fields.insert(CONTENT_LENGTH, length.into());
    }
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
