//! Answers: their bodies, the headers that all of them have, and the short page of a refusal.

use super::access_log::Entry;
use super::progress::Progress;
use crate::base::time::Duration;
use crate::session::clock::Clock;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, DATE, HeaderName, HeaderValue, LOCATION, SERVER};
use hyper::{HeaderMap, Response, StatusCode};
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::UNIX_EPOCH;

/// Octets read from a file at a time. hyper asks for the next piece when less than its buffer is
/// waiting to be sent, so about two pieces of one file are in memory.
const PIECE: u64 = 128 << 10;
/// The last second that an HTTP-date can say: the end of the year 9999.
const LAST_DATE: u64 = 253_402_300_799;

/// The body of an answer.
pub struct Body {
    content: Content,
    ticket: Option<Ticket>,
}

enum Content {
    Whole(Bytes),
    File { file: File, left: u64 },
}

impl Body {
    /// A body that is here already.
    pub(super) fn whole(octets: impl Into<Bytes>) -> Self {
        Body { content: Content::Whole(octets.into()), ticket: None }
    }

    /// The next `length` octets of a file.
    pub(super) fn file(file: File, length: u64) -> Self {
        Body { content: Content::File { file, left: length }, ticket: None }
    }

    fn left(&self) -> u64 {
        match &self.content {
            Content::Whole(octets) => octets.len() as u64,
            Content::File { left, .. } => *left,
        }
    }
}

/// The next piece of a file. A file that ends before its length is an error: the length was promised to
/// the client, and only closing the connection tells it that the answer is not whole.
fn piece(file: &mut File, left: &mut u64) -> io::Result<Bytes> {
    let wanted = PIECE.min(*left);
    let mut octets = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
    file.by_ref().take(wanted).read_to_end(&mut octets)?;
    if (octets.len() as u64) < wanted {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent"));
    }
    *left -= wanted;
    Ok(octets.into())
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let octets = match &mut self.content {
            Content::Whole(octets) => Ok(std::mem::take(octets)),
            Content::File { file, left } => piece(file, left),
        };
        if let (Some(ticket), Ok(octets)) = (&mut self.ticket, &octets) {
            ticket.octets += octets.len() as u64;
            ticket.progress.pieces.give(octets.clone());
        }
        Poll::Ready(Some(octets.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

/// Travels with a request from its head to the end of its answer; dropping it is that end.
pub(super) struct Ticket {
    progress: Rc<Progress>,
    clock: Rc<dyn Clock>,
    entry: Option<Entry>,
    status: StatusCode,
    octets: u64,
}

impl Ticket {
    pub(super) fn new(progress: Rc<Progress>, clock: Rc<dyn Clock>, entry: Option<Entry>) -> Self {
        Ticket { progress, clock, entry, status: StatusCode::INTERNAL_SERVER_ERROR, octets: 0 }
    }

    /// Hands itself to the answer's body, and gives the answer what every answer has.
    pub(super) fn attach(mut self, mut response: Response<Body>) -> Response<Body> {
        self.status = response.status();
        self.progress.on_body_end();
        let headers = response.headers_mut();
        headers.insert(SERVER, HeaderValue::from_static("tapstack"));
        headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
        if let Some(date) = http_date(self.clock.unix_time()) {
            insert(headers, DATE, &date);
        }
        response.body_mut().ticket = Some(self);
        response
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.progress.on_answer_end();
        if let Some(entry) = &self.entry {
            entry.write(self.clock.unix_time(), self.status, self.octets);
        }
    }
}

/// A calendar time as an HTTP-date (RFC 9110 §5.6.7); `None` after the year 9999.
pub(super) fn http_date(since_1970: Duration) -> Option<String> {
    (since_1970.as_secs() <= LAST_DATE).then(|| httpdate::fmt_http_date(UNIX_EPOCH + since_1970))
}

/// Sets a header; a value that can't be one is left out.
pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// An answer with a body of some type.
pub(super) fn content(media_type: &'static str, octets: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(octets));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// An answer that is its status: a line of text says it to people.
pub(super) fn status(status: StatusCode) -> Response<Body> {
    let mut response = content("text/plain; charset=utf-8", format!("{status}\n"));
    *response.status_mut() = status;
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// The resource does not know this method (RFC 9110 §15.5.6).
pub(super) fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// What may be done with a resource (RFC 9110 §9.3.7).
pub(super) fn options(allowed: &'static str) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The resource is elsewhere on this site.
pub(super) fn redirect(to: &str) -> Response<Body> {
    let mut response = status(StatusCode::MOVED_PERMANENTLY);
    insert(response.headers_mut(), LOCATION, to);
    response
}

/// The same answer, after which the connection is closed.
pub(super) fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
