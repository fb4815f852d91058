//! Answers: their bodies, and the short page of a refusal.

use crate::base::buffers::Buffer;
use crate::base::time::Duration;
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use std::fs::File;
use std::io::{self, Read};
use std::time::UNIX_EPOCH;

/// Octets read from a file at a time: whole pages, and as much as a super-segment carries.
const PIECE: usize = 64 << 10;
const _: () = assert!(PIECE <= Buffer::CAPACITY);
/// The last second that an HTTP-date can say: the end of the year 9999.
const LAST_DATE: u64 = 253_402_300_799;

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Content);

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    File { file: File, left: u64 },
}

impl Body {
    /// A body that is here already.
    pub(super) fn whole(octets: impl Into<Bytes>) -> Self {
        Body(Content::Whole(octets.into()))
    }

    /// The next `length` octets of a file.
    pub(super) fn file(file: File, length: u64) -> Self {
        Body(Content::File { file, left: length })
    }

    /// Octets that are still to come.
    pub(super) fn length(&self) -> u64 {
        match &self.0 {
            Content::Whole(octets) => octets.len() as u64,
            Content::File { left, .. } => *left,
        }
    }

    /// All of it, if it is here already and has no more than so many octets.
    pub(super) fn take_whole(&mut self, most: usize) -> Option<Bytes> {
        match &mut self.0 {
            Content::Whole(octets) if octets.len() <= most => Some(std::mem::take(octets)),
            _ => None,
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The file can't be read, or ends before its length. The length was promised to the client, and only closing the
    /// connection tells it that the answer is not whole.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.0 {
            Content::Whole(octets) if octets.is_empty() => Ok(None),
            Content::Whole(octets) => Ok(Some(std::mem::take(octets))),
            Content::File { left: 0, .. } => Ok(None),
            Content::File { file, left } => {
                let octets = piece(file, usize::try_from(*left).unwrap_or(usize::MAX).min(PIECE))?;
                *left -= octets.len() as u64;
                Ok(Some(octets))
            }
        }
    }
}

/// Reads so many octets into a buffer that will be used again.
fn piece(file: &mut File, wanted: usize) -> io::Result<Bytes> {
    let mut buffer = Buffer::take();
    let mut filled = 0;
    while let Some(room) = buffer.room().get_mut(filled..wanted).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent"));
            }
            Ok(octets) => filled += octets,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer.freeze(0..filled))
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
